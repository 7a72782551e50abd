"""Readings a second and processor time a message: the limit, paho, and our collector.

Every subscriber is a process of its own on the same machine, one after the other, in rounds; the
table shows medians and, in brackets, the lowest and highest. Only ratios within one run mean much.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from contracts.mosquitto_server import MosquittoServer

from ingest.batch import Batch
from ingest.journal import Journal
from ingest.reading import Quantity

HERE = Path(__file__).parent
ROUNDS = int(os.environ.get("LJUSVAKT_BENCH_ROUNDS", "3"))
MESSAGES = int(os.environ.get("LJUSVAKT_BENCH_MESSAGES", "60000"))
KINDS = ("raw", "paho", "mqtt5", "compatible", "compatible_3_1_1")

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(1800)]


def port_of() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def start(script: str, *args: object) -> subprocess.Popen[str]:
    """A process of its own."""
    return subprocess.Popen(
        [sys.executable, str(HERE / script), *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def result(process: subprocess.Popen[str]) -> dict[str, float]:
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


def streamed(kind: str, n: int, readings: int, folder: Path) -> dict[str, float]:
    """Against a server that streams packets encoded before."""
    port = port_of()
    server = start("ingest_load.py", "serve", port, n, readings)
    ready(server)
    subscriber = start("ingest_subscribers.py", kind, port, n, folder)
    try:
        return result(subscriber)
    finally:
        server.kill()
        server.communicate()


def through_mosquitto(
    program: Path, kind: str, n: int, readings: int, folder: Path
) -> dict[str, float]:
    """Through a broker, from a publisher that is faster than it."""
    port = port_of()
    with MosquittoServer(program, folder / "mosquitto", port):
        publisher = start("ingest_load.py", "publish", port, n, readings)
        ready(publisher)
        subscriber = start("ingest_subscribers.py", kind, port, n, folder)
        ready(subscriber)
        assert publisher.stdin is not None
        publisher.stdin.write("go\n")
        publisher.stdin.flush()
        try:
            return result(subscriber)
        finally:
            publisher.kill()
            publisher.communicate()


def table(found: dict[str, list[dict[str, float]]], readings: int) -> dict[str, float]:
    """Print what was measured; the rate of each as a share of the raw reader's."""
    rate = {k: [one["messages"] / one["seconds"] for one in v] for k, v in found.items()}
    share: dict[str, float] = {}
    for kind, several in found.items():
        cpu = [one["cpu_s"] / one["messages"] * 1e6 for one in several]
        # Within a round the machine is nearly the same; between rounds it is not.
        ratios = [mine / raw for mine, raw in zip(rate[kind], rate["raw"], strict=True)]
        share[kind] = statistics.median(ratios)
        print(
            f"  {kind:16} {statistics.median(rate[kind]) * readings:11,.0f} readings/s"
            f"  {share[kind]:5.2f} of raw ({min(ratios):.2f}-{max(ratios):.2f})"
            f"  {statistics.median(cpu):6.2f} CPU us/message ({min(cpu):.2f}-{max(cpu):.2f})"
        )
    return share


@pytest.mark.parametrize("readings", [1, 20])
def test_streaming_server(tmp_path: Path, readings: int) -> None:
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for number in range(ROUNDS):
        for kind in KINDS:
            folder = tmp_path / f"{kind}-{number}"
            folder.mkdir()
            found[kind].append(streamed(kind, MESSAGES, readings, folder))
    print(f"\nstreaming server, {readings} readings a message, {MESSAGES} messages x {ROUNDS}")
    assert table(found, readings)["raw"] == 1


@pytest.mark.parametrize("readings", [1, 20])
def test_through_mosquitto(mosquitto: Path, tmp_path: Path, readings: int) -> None:
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for number in range(ROUNDS):
        for kind in KINDS:
            folder = tmp_path / f"{kind}-{number}"
            folder.mkdir()
            found[kind].append(through_mosquitto(mosquitto, kind, MESSAGES, readings, folder))
    print(f"\nMosquitto QoS 1, {readings} readings a message, {MESSAGES} messages x {ROUNDS}")
    assert table(found, readings)["raw"] == 1


def committing(journal: Journal, batches: int, n: int) -> float:
    """How long so many commits take in the journal's thread, where the collector's are made [s]."""
    ids = [f"d{i}" for i in range(n)]
    began_s = time.perf_counter()
    for i in range(batches):
        batch = Batch()
        batch.add_columns(
            Quantity.ILLUMINANCE,
            ids,
            np.arange(n, dtype=np.int32),
            1_790_000_000_000 + i + np.zeros(n, np.int64),
            np.full(n, 21.5),
            np.full(n, 1_790_000_000_000),
            np.zeros(n, np.uint8),
        )
        journal.commit(batch)
    return time.perf_counter() - began_s


def test_journal_commits(tmp_path: Path) -> None:
    """Batches of 1,000 readings, synchronous FULL, against the same with NORMAL."""
    n, batches = 1000, 1000
    rates: dict[str, list[float]] = {"FULL": [], "NORMAL": []}
    for number in range(ROUNDS):
        for synchronous, several in rates.items():
            journal = Journal(
                tmp_path / f"{synchronous}-{number}.db",
                quota_bytes=4 << 30,
                now_ms=lambda: 0,
                synchronous=synchronous,
            )
            several.append(n * batches / journal.call(committing, batches, n))
            assert journal.counters().in_journal == n * batches
            journal.close()
    print("\njournal, batches of 1,000 readings")
    for synchronous, several in rates.items():
        print(
            f"  {synchronous:7} {statistics.median(several):12,.0f} readings/s"
            f" ({min(several):,.0f}-{max(several):,.0f})"
        )
