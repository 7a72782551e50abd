"""How fast the stores are, as ratios within one run; `make bench` prints them.

Nothing is asserted about time: machines differ. What is compared is checked to be the same.
"""

import gzip
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from contracts.influx_server import InfluxServer
from contracts.journaled import batch_of

from ingest.journal import Journal, JournalReader
from ingest.reading import Quantity
from ingest.sealer import Sealer
from ingest.stores import Columns
from ingest.stores.influx import InfluxStore, InfluxTarget
from ingest.stores.lines import together
from ingest.stores.merging import DAY_MS, at_kept_precision, merge, rows, select
from ingest.stores.parquet import ParquetStore, day_number

pytestmark = pytest.mark.live

LUX = Quantity.ILLUMINANCE
DAY = day_number("2026-03-01")
MIDNIGHT_MS = DAY * DAY_MS
SLOTS = 144  # one reading every ten minutes
BATCH = 10_000
SEED = 4


def city_day(devices: int, seed: int = SEED) -> Columns:
    """A day of lux: dark days, lit nights, each device with its own phase and jitter; by time."""
    rng = np.random.default_rng(seed)
    time_ms = (
        MIDNIGHT_MS
        + np.arange(SLOTS)[None, :] * 600_000
        + rng.integers(0, 590_000, devices)[:, None]
        + rng.integers(0, 3000, (devices, SLOTS))
    ).ravel()
    level = rng.uniform(8, 30, devices)[:, None] * (np.abs(np.arange(SLOTS) - 72) > 35)
    value = np.round(level + rng.uniform(0, 0.4, (devices, SLOTS)), 1).ravel()
    order = np.argsort(time_ms, kind="stable")
    device = np.repeat(np.arange(devices, dtype=np.int32), SLOTS)
    return Columns(
        device[order],
        time_ms[order],
        value[order],
        time_ms[order] + 900,
        np.zeros(devices * SLOTS, np.uint8),
        [f"HBG-L-{n:05}" for n in range(devices)],
    )


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def spread(times: list[float]) -> str:
    return f"median {np.median(times):.3f} s, {min(times):.3f} to {max(times):.3f}, n={len(times)}"


class DirectInflux(InfluxStore):
    """Writes without the tests' proxy, which would slow InfluxDB 1.x down."""

    def _post(self, lines):
        body = gzip.compress(together(lines), 6)
        answer = self._reader.http.post(
            "/write",
            params={"db": self.target.bucket, "precision": "ms"},
            content=body,
            headers={"Content-Encoding": "gzip"},
        )
        assert answer.status_code == 204, answer.text


def database(server: InfluxServer, name: str) -> DirectInflux:
    server.query(f'CREATE DATABASE "{name}"')
    return DirectInflux(InfluxTarget(server.url, name, timeout_s=120), now_ms=lambda: MIDNIGHT_MS)


def same(one: Columns, other: Columns) -> bool:
    """Whether both hold the same readings in the same order."""
    names = ("device", "time_ms", "value", "received_ms", "flags")
    return one.device_ids == other.device_ids and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in names
    )


def fill(influx: DirectInflux, columns: Columns) -> None:
    for part in in_batches(columns):
        influx.add(LUX, part)
    influx.close()


def in_batches(columns: Columns, size: int = BATCH) -> list[Columns]:
    return [rows(columns, slice(k, k + size)) for k in range(0, len(columns), size)]


def through_journal(folder: Path, columns: Columns) -> ParquetStore:
    """As the program does it: durable commits, then the day sealed."""
    now = MIDNIGHT_MS + 2 * DAY_MS
    journal = Journal(folder / "journal.db", quota_bytes=1 << 32, now_ms=lambda: now)
    reader = JournalReader(folder / "journal.db")
    store = ParquetStore(folder / "archive", tail=reader)
    for part in in_batches(columns):
        journal.commit(batch_of(LUX, part))
    Sealer(journal, reader, store, now_ms=lambda: now)._drain()
    counters = reader.counters()
    assert (counters.stored, counters.in_journal, counters.duplicate) == (len(columns), 0, 0)
    store.tail = None
    reader.close()
    journal.close()
    return store


@pytest.fixture(scope="module")
def server(influxd: Path, tmp_path_factory: pytest.TempPathFactory):
    server = InfluxServer(influxd, tmp_path_factory.mktemp("influx"))
    server.start()
    yield server
    server.stop()


def test_parquet_and_influxdb_take_and_give_the_same_day(
    server: InfluxServer, tmp_path: Path
) -> None:
    devices = 5_000
    columns = city_day(devices)
    n = len(columns)
    parquet_s: list[float] = []
    for k in range(3):
        (tmp_path / f"p{k}").mkdir()
        parquet_s.append(seconds(lambda k=k: through_journal(tmp_path / f"p{k}", columns)))
    direct_s = [seconds(lambda k=k: ParquetStore(tmp_path / f"d{k}").add(LUX, columns))
                for k in range(3)]  # fmt: skip
    influx_s: list[float] = []
    for k in range(2):
        influx_s += [seconds(lambda k=k: fill(database(server, f"bench{k}"), columns))]
        counted = server.query("SELECT count(value) FROM illuminance_lx", f"bench{k}")
        assert f",{n}]" in counted, "every reading is one point"
    influx = database(server, "bench0")
    append = np.median(influx_s) / np.median(parquet_s)
    print(f"\n{n} readings of {devices} luminaires, one day, batches of {BATCH}, seed {SEED}")
    print(
        f"append  journal + seal, durable: {n / np.median(parquet_s):,.0f}/s  {spread(parquet_s)}"
    )
    print(
        f"append  one day at once to Parquet: {n / np.median(direct_s):,.0f}/s  {spread(direct_s)}"
    )
    print(f"append  InfluxDB 1.6.7, gzip: {n / np.median(influx_s):,.0f}/s  {spread(influx_s)}")
    print(f"append  Parquet through the journal is {append:.1f} times InfluxDB")

    window = {"start_ms": MIDNIGHT_MS, "stop_ms": MIDNIGHT_MS + DAY_MS}
    store = ParquetStore(tmp_path / "p0" / "archive")
    given = merge(at_kept_precision(LUX, columns))
    here, there = store.columns(LUX, **window), influx.columns(LUX, **window)
    assert same(here, given)
    assert same(at_kept_precision(LUX, there), given)
    assert same(ParquetStore(tmp_path / "d0").columns(LUX, **window), given)
    parquet_read: list[float] = []
    influx_read: list[float] = []
    for _ in range(3):  # by turns, so that both meet the same neighbours on the machine
        parquet_read += [seconds(lambda: store.columns(LUX, **window)) for _ in range(10)]
        influx_read.append(seconds(lambda: influx.columns(LUX, **window)))
        parquet_read += [seconds(lambda: store.columns(LUX, **window)) for _ in range(10)]
    ratio = np.median(influx_read) / np.median(parquet_read)
    print(f"read 24 h of all  Parquet: {spread(parquet_read)}")
    print(f"read 24 h of all  InfluxDB 1.6.7: {spread(influx_read)}")
    print(f"read 24 h of all  Parquet is {ratio:.0f} times InfluxDB")
    device = "HBG-L-01234"
    alone = store.columns(LUX, **window, devices=[device])
    assert same(alone, merge(select(given, **window, devices=[device])))
    assert len(alone) == SLOTS
    one = [seconds(lambda: store.columns(LUX, **window, devices=[device])) for _ in range(9)]
    print(f"read 24 h of one  Parquet: {spread(one)}")
    influx.close()


def test_a_day_of_a_city_of_33_000_luminaires(tmp_path: Path) -> None:
    columns = city_day(33_000)
    store = ParquetStore(tmp_path)
    wrote = seconds(lambda: store.add(LUX, columns))
    raw = tmp_path / "raw.f4"
    columns.value.astype("f4").tofile(raw)
    window = {"start_ms": MIDNIGHT_MS, "stop_ms": MIDNIGHT_MS + DAY_MS}
    assert same(store.columns(LUX, **window), merge(at_kept_precision(LUX, columns)))
    read = [seconds(lambda: store.columns(LUX, **window)) for _ in range(5)]
    floor = [seconds(lambda: np.fromfile(raw, "f4")) for _ in range(5)]
    size = store.part(LUX, DAY).stat().st_size
    n = len(columns)
    print(f"\n{n} readings of 33,000 luminaires, one day, {size / n:.2f} bytes a reading")
    print(f"sealed in {wrote:.2f} s ({n / wrote:,.0f} readings/s)")
    print(
        f"read: {spread(read)}; {np.median(read) / np.median(floor):.0f} times a raw float32 file"
    )


OUTAGE = """
import sys
from pathlib import Path
import numpy as np
sys.path[:0] = {path!r}
from contracts.journaled import batch_of
from ingest.errors import StoreAwayError
from ingest.journal import Journal, JournalReader
from ingest.reading import Quantity
from ingest.shipper import StoreShipper
from ingest.stores import Columns
from ingest.stores.influx import InfluxStore, InfluxTarget
from ingest.stores import Added
from ingest.stores.memory import MemoryStore

def largest_mb():
    # Not ru_maxrss, which would also hold what the parent had when it forked.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


folder = Path({folder!r})
now = 1_772_323_200_000
journal = Journal(folder / "journal.db", quota_bytes=1 << 32, now_ms=lambda: now)
reader = JournalReader(folder / "journal.db")
away = InfluxStore(InfluxTarget("http://127.0.0.1:9", "x", timeout_s=1), now_ms=lambda: now)
shipper = StoreShipper(journal, reader, away, now_ms=lambda: now)
before = largest_mb()
ids = [f"L-{{n}}" for n in range(33_000)]
sent = 0
refusals = 0
for second in range(7200):
    for half in range(2):
        k = np.arange(sent, sent + 1000)
        journal.commit(batch_of(Quantity.ILLUMINANCE, Columns(
            (k - sent).astype(np.int32), now + k * 0 + second * 1000 + half, (k % 211) / 10,
            now + k * 0 + second * 1000 + 5, np.zeros(1000, np.uint8),
            [ids[n % 33_000] for n in k.tolist()])))
        sent += 1000
    if second % 600 == 0:
        try:
            shipper.step()
        except StoreAwayError:
            refusals += 1
assert refusals == 12 and reader.in_journal() == sent == 14_400_000
print("outage", before, largest_mb())


class Swallow(MemoryStore):
    def put(self, quantity, columns):
        return Added(len(columns), 0)
shipper = StoreShipper(journal, reader, Swallow(), now_ms=lambda: now)
while shipper.step():
    pass
assert reader.in_journal() == 0 and reader.counters().balanced
print("drained", before, largest_mb())
"""


def test_memory_during_a_two_hour_outage_at_2000_messages_a_second(tmp_path: Path) -> None:
    """Accelerated: commits of 1,000 messages as fast as they go, the store away."""
    tests = str(Path(__file__).parents[1])
    script = OUTAGE.format(folder=str(tmp_path), path=[tests])
    took = time.perf_counter()
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=1200
    )
    took = time.perf_counter() - took
    assert out.returncode == 0, out.stderr[-2000:]
    print(f"\n14,400,000 readings kept in the journal while the store was away, {took:.0f} s")
    peak_mb: dict[str, int] = {}
    for line in out.stdout.splitlines():
        what, before, peak = line.split()
        peak_mb[what] = int(peak)
        print(f"{what}: peak {peak} MB resident, {before} MB at the start")
    assert peak_mb["outage"] <= peak_mb["drained"] < 300
