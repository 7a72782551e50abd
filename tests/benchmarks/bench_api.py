"""How long the API and the pages take in a large city while it reports, by the program's processes.

33,000 luminaires with a day and a half of light behind them, 20,000 work orders of which 8,000 are
open, forty counters with a week of counts; devices send through a real Mosquitto, and a light round
begins with the program. Every question is asked in turn with one that does nothing (`/healthz`),
over one connection; `make bench` prints both.
"""

import gzip
import http.client
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contracts.large_city import COUNTERS, LUMINAIRES, OPEN, ORDERS, fill_city
from contracts.ljusvakt_process import Process, bare_environment
from contracts.mosquitto_server import MosquittoServer
from contracts.postgres_server import PostgresServer

from api.datadir import write_json
from api.ledger import Ledger, open_ledger
from ingest.reading import Quantity
from ingest.stores import Columns
from ingest.stores.parquet import ParquetStore

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(900)]
# Messages a second: each luminaire every five minutes.
RATE = int(os.environ.get("LJUSVAKT_BENCH_RATE", "110"))
TURNS = int(os.environ.get("LJUSVAKT_BENCH_TURNS", "300"))
KEYS = 40  # so that none meets the limit of requests a minute
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
EMPTY = "/healthz"
LIST = "/api/v1/work-orders?open=true&limit=100"
PAGES = (
    "/api/v1/work-orders?limit=100",
    "/api/v1/work-orders/1",
    "/api/v1/health",
    "/api/v1/map",
    "/",
    "/orders",
    "/crew",
    "/orders/1",
    "/luminaires",
    "/metrics",
)


def archive(folder: Path, now_ms: int) -> None:
    """Light under every luminaire every ten minutes, and hourly counts of a week."""
    store = ParquetStore(folder)
    rng = np.random.default_rng(7)
    for first in range(0, 216, 24):
        slots = now_ms - (216 - first - np.arange(24)) * 10 * MINUTE_MS
        time_ms = (slots[:, None] + rng.integers(0, 540_000, LUMINAIRES)[None, :]).ravel()
        time_ms = np.minimum(time_ms, now_ms)
        dark = np.abs(time_ms % DAY_MS - 12 * HOUR_MS) > 4 * HOUR_MS
        value = np.where(dark, 12.5, 4000.0)
        rows = len(time_ms)
        device = np.tile(np.arange(LUMINAIRES, dtype=np.int32), 24)
        names = [f"d{n}" for n in range(1, LUMINAIRES + 1)]
        flags = np.zeros(rows, np.uint8)
        columns = Columns(device, time_ms, value, time_ms + 900, flags, names)
        store.add(Quantity.ILLUMINANCE, columns)
    hours = now_ms // HOUR_MS * HOUR_MS - np.arange(7 * 24)[::-1] * HOUR_MS
    time_ms = np.tile(hours, COUNTERS)
    device = np.repeat(np.arange(COUNTERS, dtype=np.int32), len(hours))
    people = rng.poisson(30, len(time_ms)).astype(np.float64)
    names = [f"counter-{n}" for n in range(COUNTERS)]
    counts = Columns(device, time_ms, people, time_ms, np.zeros(len(people), np.uint8), names)
    store.add(Quantity.PEOPLE_COUNT, counts)


class Reader:
    """Asks over one connection that is kept, as a browser does."""

    def __init__(self, port: int, keys: Sequence[str]) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.close = self.connection.close
        self.keys = itertools.cycle(keys)

    def ask(self, path: str) -> float:
        """Milliseconds to the last byte of the answer."""
        began = time.perf_counter()
        status, body = self._get(path)
        took = (time.perf_counter() - began) * 1000
        assert status == 200, (path, status, body[:300])
        return took

    def read(self, path: str) -> Any:
        """What the answer says."""
        status, body = self._get(path)
        assert status == 200, (path, status, body[:300])
        return json.loads(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)

    def _get(self, path: str) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {next(self.keys)}", "Accept-Encoding": "gzip"}
        self.connection.request("GET", path, headers=headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read()


def tell(name: str, took: Sequence[float], empty: Sequence[float]) -> None:
    """One line: medians, p99, and both as multiples of the empty answer's."""
    half, most = np.quantile(took, [0.5, 0.99])
    nothing, nothing_most = np.quantile(empty, [0.5, 0.99])
    print(
        f"{name:44} median {half:6.1f} ms ({half / nothing:5.1f} x), p99 {most:6.1f} ms"
        f" ({most / nothing_most:5.1f} x the empty one's {nothing_most:.1f}), n = {len(took)}"
    )


def measure(port: int, keys: Sequence[str]) -> None:
    """Over one connection; what is timed is the right answer, before and afterwards."""
    with closing(Reader(port, keys)) as reader:
        first = reader.read(LIST)["items"]
        assert [order["state"] for order in first] == ["new"] * 100
        assert first == sorted(first, key=lambda order: order["urgency"])
        assert reader.read("/api/v1/work-orders/1")["id"] == 1
        ask_all(reader)
        city = reader.read("/api/v1/map")
        assert len(city["luminaires"]["id"]) + city["left_out"] == LUMINAIRES + COUNTERS
        ingest = reader.read("/api/v1/health")["ingest"]
        assert (ingest["quarantined"], ingest["refused"]) == (0, 0)
        assert ingest["received"] > TURNS


def ask_all(reader: Reader) -> None:
    """Ask everything, each in turn with the empty question."""
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    # The list comes twice: beside the round that begins with the program, and without one.
    for path, turns in ((LIST, TURNS), *((path, TURNS) for path in PAGES), (LIST, TURNS * 3)):
        pairs = [(reader.ask(path), reader.ask(EMPTY)) for _ in range(turns)]
        first, *_ = pairs
        took, empty = ([pair[i] for pair in pairs] for i in (0, 1))
        tell(path, took, empty)
        if first[0] > 3 * statistics.median(took):
            print(f"{'':44} the first one {first[0]:.0f} ms")


def filled(ledger: Ledger, data: Path) -> list[str]:
    """The city in a ledger and its readings in a folder; keys of operators, each asking seldom."""
    now_ms = time.time_ns() // 1_000_000
    fill_city(ledger, now_ms)
    archive(data / "archive", now_ms)
    # As if the program had been away for a while: a light round is due, no night is.
    write_json(data / "rounds.json", {"last_ms": now_ms - 20 * MINUTE_MS})
    made = (
        ledger.create_key(f"bench {n}", roles=["operator"], now_ms=now_ms - HOUR_MS)
        for n in range(KEYS)
    )
    return [key.secret for key in made]


@pytest.fixture
def broker(mosquitto: Path, tmp_path: Path) -> Iterator[MosquittoServer]:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
    with MosquittoServer(mosquitto, tmp_path / "mosquitto", port) as server:
        yield server


def reporting(broker: MosquittoServer) -> subprocess.Popen[bytes]:
    """A city that sends."""
    script = Path(__file__).with_name("city_load.py")
    return subprocess.Popen([sys.executable, script, *map(str, (broker.port, LUMINAIRES, RATE))])


def run(url: str, data: Path, port: int, broker: MosquittoServer, parts: Sequence[str]) -> None:
    """Start the parts over a filled city, let it report, and measure."""
    data.mkdir()
    with open_ledger(url or data / "ops.db") as ledger:
        keys = filled(ledger, data)
    environment = bare_environment(
        LEDGER__URL=url,
        DATA_DIR=str(data),
        BROKER__URL=f"mqtt://127.0.0.1:{broker.port}",
        HTTP__PORT=str(port),
        ROUNDS__LIGHT_ROUND_MINUTES="5",
    )
    print(f"\n{LUMINAIRES} luminaires, {ORDERS} orders ({OPEN} open), {RATE} messages a second")
    print(f"processes: {', '.join(parts)}")
    with ExitStack() as stack:
        for part in parts:
            process = stack.enter_context(Process(part, environment))
            process.wait_for('"ready"')
        city = reporting(broker)
        stack.callback(city.wait)
        stack.callback(city.kill)
        measure(port, keys)


def test_one_process(tmp_path: Path, free_port: int, broker: MosquittoServer) -> None:
    run("", tmp_path / "data", free_port, broker, ["run"])


def test_a_process_for_each_part(
    tmp_path: Path, free_port: int, broker: MosquittoServer, postgres: PostgresServer
) -> None:
    run(postgres.fresh(), tmp_path / "data", free_port, broker, ["collect", "rounds", "api"])
