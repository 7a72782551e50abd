"""Memory while the store is away, and while a city's day is sealed.

The journal grows on disk, the collector does not.

A store outage of two hours at 2,000 messages a second is 14,400,000 messages; they go through
decode, plausibility and journal as fast as they can. LJUSVAKT_BENCH_OUTAGE_MESSAGES sets how many.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
MESSAGES = int(os.environ.get("LJUSVAKT_BENCH_OUTAGE_MESSAGES", "1440000"))

SCRIPT = """
import json, sys, time
from pathlib import Path
from ingest.intake import Intake
from ingest.devices import DeviceEntry, Registry
from ingest.journal import Journal
from ingest.liveness import Liveness
from ingest.settings import CollectorSettings

folder, n = Path(sys.argv[1]), int(sys.argv[2])
now_ms = 1_790_000_000_000
journal = Journal(folder / "journal.db", quota_bytes=1 << 32, now_ms=lambda: now_ms,
                  synchronous="NORMAL")
registry = Registry([DeviceEntry(f"L-{i:05}", interval_s=600.0) for i in range(33_000)])
intake = Intake(journal, registry, CollectorSettings(), Liveness(since_ms=0))
def largest():
    # Not ru_maxrss, which would also hold what the parent had when it forked.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024
seen = {"start": largest()}
for first in range(0, n, 1000):
    messages = [
        (f"ljusvakt/v1/g/L-{i % 33_000:05}/illuminance_lx",
         b'{"boot":1,"seq":%d,"t":%d,"v":21.5}' % (i // 33_000, now_ms - 3_600_000 + i // 2),
         1, False, i)
        for i in range(first, first + 1000)
    ]
    batch = intake.read(messages, [now_ms] * 1000)
    journal.commit(batch)
    for part in (4, 2, 1):
        if first + 1000 == n // part // 1000 * 1000:
            seen[f"{first + 1000} messages"] = largest()
counters = journal.counters()
assert counters.balanced and counters.in_journal == n // 1000 * 1000, counters
journal.close()
print(json.dumps({"rss_mb": seen, "journal_mb": (folder / "journal.db").stat().st_size >> 20}))
"""


def test_memory_stays_bounded_while_the_store_is_away(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(MESSAGES)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    print(f"\nstore away, {MESSAGES:,} messages: {found}")
    assert max(found["rss_mb"].values()) < 300


SEALING = """
import json, sys, time
from pathlib import Path
import numpy as np
from ingest.batch import Batch
from ingest.journal import Journal, JournalReader
from ingest.reading import Quantity
from ingest.sealer import Sealer
from ingest.stores.merging import DAY_MS
from ingest.stores.parquet import ParquetStore

folder = Path(sys.argv[1])
midnight_ms = 20_513 * DAY_MS
now_ms = midnight_ms + 2 * DAY_MS
journal = Journal(folder / "journal.db", quota_bytes=1 << 32, now_ms=lambda: now_ms,
                  synchronous="NORMAL")
reader = JournalReader(folder / "journal.db")
names = [f"L-{n:05}" for n in range(33_000)]
rng = np.random.default_rng(4)
def largest():
    # Not ru_maxrss, which would also hold what the parent had when it forked.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024
for slot in range(144):
    for first in range(0, 33_000, 1000):
        batch = Batch()
        at_ms = midnight_ms + slot * 600_000 + first * 10 + rng.integers(0, 3000, 1000)
        batch.add_columns(Quantity.ILLUMINANCE, names[first : first + 1000],
                          np.arange(1000, dtype=np.int32), at_ms,
                          np.round(rng.uniform(0, 30, 1000), 1),
                          np.full(1000, at_ms.max() + 900), np.zeros(1000, np.uint8))
        journal.commit(batch)
before = largest()
began_s = time.perf_counter()
Sealer(journal, reader, ParquetStore(folder / "archive"), now_ms=lambda: now_ms)._drain()
seconds = time.perf_counter() - began_s
counters = reader.counters()
assert counters.balanced and counters.stored == 33_000 * 144, counters
reader.close()
journal.close()
print(json.dumps({"before_mb": before, "peak_mb": largest(), "seconds": round(seconds, 1)}))
"""


def test_memory_stays_bounded_while_a_citys_day_is_sealed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SEALING, str(tmp_path)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    print(f"\n33,000 luminaires, one day, 4,752,000 readings sealed: {found}")
    assert found["peak_mb"] < 300
