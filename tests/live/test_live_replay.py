"""Recorded uplinks of real devices, through a real broker, rest in the store once each."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingest.counters import Counters
from ingest.journal import JournalReader
from ingest.reading import Quantity
from ingest.stores.parquet import ParquetStore

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.data]

LJUSVAKT = Path(sys.executable).with_name("ljusvakt")
HOUR_S = 3600
Rows = set[tuple[str, str, int, float]]


@contextmanager
def running(folder: Path, *, mqtt_port: int, http_port: int) -> Generator[None]:
    """`ljusvakt run` with a broker of its own that takes devices it does not know."""
    config = folder.with_suffix(".toml")
    config.write_text(
        f"[broker]\nport = {mqtt_port}\n[rounds]\nenrol = true\n[http]\nport = {http_port}\n",
        encoding="utf-8",
    )
    process = subprocess.Popen(
        [LJUSVAKT, "run", "--config", config, "--data", folder, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("LJUSVAKT_")},
    )
    assert process.stdout is not None
    try:
        assert any('"ready"' in line for line in process.stdout)
        yield
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def replay(file: Path, mqtt_port: int, *arguments: str) -> int:
    """Messages the broker has taken."""
    done = subprocess.run(
        [
            LJUSVAKT, "replay", file,
            "--broker", f"mqtt://127.0.0.1:{mqtt_port}", "--speed", "max", "--json",
            *arguments,
        ],
        check=True, timeout=120, capture_output=True, text=True,
    )  # fmt: skip
    acknowledged: int = json.loads(done.stdout.splitlines()[-1])["acknowledged"]
    return acknowledged


def counts_after(folder: Path, messages: int, *, within_s: float = 60) -> Counters:
    """The balance as soon as so many messages have been read."""
    end = time.monotonic() + within_s
    reader = JournalReader(folder / "journal.db")
    try:
        while (counts := reader.counters()).other.get("messages", 0) < messages:
            assert time.monotonic() < end, f"{counts} and not {messages} messages"
            time.sleep(0.2)
        return counts
    finally:
        reader.close()


def rows_in(folder: Path) -> Rows:
    """Everything a round or a page would read."""
    reader = JournalReader(folder / "journal.db")
    store = ParquetStore(folder / "archive", tail=reader)
    found: Rows = set()
    try:
        for quantity in Quantity:
            columns = store.columns(quantity, start_ms=0, stop_ms=2**52)
            rows = [
                (quantity.value, columns.device_ids[device], time_ms, value)
                for device, time_ms, value in zip(
                    columns.device.tolist(),
                    columns.time_ms.tolist(),
                    columns.value.tolist(),
                    strict=True,
                )
            ]
            assert len(set(rows)) == len(rows), f"{quantity}: rows twice"
            found |= set(rows)
    finally:
        reader.close()
    return found


def frames_of(file: Path) -> int:
    """Frames by the rule: the same device, counter and bytes within an hour is the same frame."""
    table = pq.read_table(file, columns=["deveui", "fcnt", "payload_b64", "utc_time"])
    rows = table.sort_by("utc_time").to_pylist()
    first: dict[tuple[str, int, str], float] = {}
    frames = 0
    for row in rows:
        key = (row["deveui"], row["fcnt"], row["payload_b64"])
        at_s = row["utc_time"].timestamp()
        if key not in first or at_s - first[key] > HOUR_S:
            first[key] = at_s
            frames += 1
    return frames


def test_13332_uplinks_rest_once_each_also_when_replayed_twice_and_shuffled(
    tmp_path: Path, data_dir: Path, mosquitto: Path, free_port: int
) -> None:
    assert mosquitto
    file = data_dir / "lorawan" / "elsys_ems_tourperret_first_half.parquet"
    folder, other = tmp_path / "in order", tmp_path / "shuffled"
    with running(folder, mqtt_port=free_port, http_port=free_port + 1):
        sent = replay(file, free_port)
        assert sent == 13_332
        once = counts_after(folder, sent)
        rows_once = rows_in(folder)
        sent += replay(file, free_port, "--shuffle", "--seed", "3")
        twice = counts_after(folder, sent)
    assert once.balanced
    assert once.quarantined == once.refused == 0
    # Three readings a frame; a frame heard again is a duplicate, whatever the order.
    heard_again = 13_332 - frames_of(file)
    assert heard_again > 1_900
    assert once.duplicate >= 2.9 * heard_again
    assert len(rows_once) == once.received - once.duplicate
    assert twice.balanced
    assert twice.received == 2 * once.received
    assert twice.received - twice.duplicate == len(rows_once)
    assert rows_in(folder) == rows_once

    with running(other, mqtt_port=free_port, http_port=free_port + 1):
        sent = replay(file, free_port, "--shuffle", "--duplicate", "0.1", "--seed", "5")
        assert sent > 14_000
        shuffled = counts_after(other, sent)
    assert shuffled.balanced
    assert rows_in(other) == rows_once


def test_captured_network_server_messages_rest_or_say_why_they_cannot(
    tmp_path: Path, data_dir: Path, mosquitto: Path, free_port: int
) -> None:
    assert mosquitto
    samples = data_dir / "payload_samples"
    folder = tmp_path / "data"
    with running(folder, mqtt_port=free_port, http_port=free_port + 1):
        names = (
            "helium_elsys_ems_300_captured.ndjson",
            "chirpstack_v3_nas_lcu_captured.json",
            "chirpstack_v3_wyres_300_captured.ndjson",
        )
        sent = sum(replay(samples / name, free_port) for name in names)
        counts = counts_after(folder, sent)
    assert counts.balanced
    devices = {device for _, device, _, _ in rows_in(folder)}
    assert "70B3D5B020073208" in devices, "the luminaire controller"
    assert any(device.startswith("A81758FFFE") for device in devices), "the ELSYS sensors"
    # The Wyres node speaks a format of its own that no codec here claims to know.
    assert counts.rejected == {"unknown_codec": counts.quarantined}
