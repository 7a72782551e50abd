"""How fast a night is reduced and judged: ratios within one run, nothing asserted about time.

Seconds are of processor time: the machine may have other work."""

import os
import pickle
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from oracles import lighting_loops
from street_of_lamps import Street

from analytics.grid import DAY_MS, SLOTS, window_start
from analytics.light_course import transitions
from analytics.rules import Rules
from api.watch.backtest import run_backtest
from api.watch.feature_store import FeatureStore
from api.watch.feed import read_feed
from api.watch.night_round import NightRound
from firmware_sim.feed import write_feed
from firmware_sim.scenario import load_scenario
from ingest.reading import Quantity
from ingest.stores import Columns
from ingest.stores.parquet import ParquetStore

CITY = 33_000
HOUR_MS = 3_600_000


def seconds(work, times=3):
    """The best of a few runs."""
    best = float("inf")
    for _ in range(times):
        # Time of this process, not of the wall: the machine may have other work.
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def city(nights):
    """33,000 lamps on feeders of 12, made from one small street."""
    street = Street(feeders=20, lamps=12, nights=nights)
    lux = street.lux()
    copies = -(-CITY // street.n)
    assets = [
        replace(
            a,
            device_id=f"K{k:03d}{a.device_id}",
            luminaire_id=f"K{k:03d}{a.device_id}",
            segment=f"K{k}{a.segment}",
            feeder=f"K{k}{a.feeder}",
            cabinet=f"K{k}{a.cabinet}",
            gateway=f"K{k}",
        )
        for k in range(copies)
        for a in street.assets
    ][:CITY]
    return street, assets, lux


class OneNight:
    """Readings of a big city, night by night, made when asked for."""

    def __init__(self, street, assets, lux):
        self.street, self.lux = street, lux.astype(np.float64)
        self.ids = [a.device_id for a in assets]
        self.row = np.repeat(np.arange(CITY, dtype=np.int32), SLOTS)
        self.of = np.arange(CITY) % street.n

    def columns(self, quantity, *, start_ms, stop_ms, devices=None):
        inside = (self.street.time_ms >= start_ms) & (self.street.time_ms < stop_ms)
        width = int(inside.sum())
        if quantity is not Quantity.ILLUMINANCE or not width:
            width = 0
        time_ms = np.tile(self.street.time_ms[inside][:width], CITY)
        value = self.lux[:, inside][self.of, :width].ravel()
        row = np.repeat(np.arange(CITY, dtype=np.int32), width)
        flags = np.zeros(len(row), np.uint8)
        return Columns(row, time_ms, value, time_ms + 1000, flags, self.ids)

    def arrived(self, quantity, *, start_ms, stop_ms, reach_ms, now_ms, mark):
        if mark is None:
            return None, now_ms
        return self.columns(quantity, start_ms=mark, stop_ms=now_ms), now_ms

    def events(self, *, start_ms, stop_ms):
        return []


def test_a_night_of_a_city(tmp_path: Path):
    street, assets, lux = city(3)
    source = OneNight(street, assets, lux)
    first = street.first_night
    engine = NightRound(assets, rules=Rules(), features=FeatureStore(tmp_path / "f"))
    engine.noon_round(source, window_start(first + 1))
    start = window_start(first + 1)
    whole = source.columns(Quantity.ILLUMINANCE, start_ms=start, stop_ms=start + DAY_MS)
    same = Held(whole)
    grids = engine._reader.read(same, start, 2**62)
    copy_s = seconds(grids.lux.copy)
    reduce_s = seconds(lambda: engine._reduce(same, first + 1, 2**62), 2)
    readings = CITY * SLOTS
    begin = time.process_time()
    engine.noon_round(source, window_start(first + 2))
    noon_s = time.process_time() - begin
    print(f"\nreadings a night            {readings:,}")
    print(f"reduce, grid included       {readings / reduce_s / 1e6:.1f} M readings/s")
    print(
        f"one copy of the grid        {copy_s * 1e3:.1f} ms; a night costs {reduce_s / copy_s:.0f}"
    )
    print(f"noon round, no store        {noon_s:.2f} s")


def test_light_rounds_of_a_city(tmp_path: Path):
    """Every ten minutes of a night, each reading arriving in its own round."""
    street, assets, lux = city(3)
    source = OneNight(street, assets, lux)
    first = street.first_night
    engine = NightRound(assets, rules=Rules(), features=FeatureStore(tmp_path / "f"))
    engine.noon_round(source, window_start(first + 1))
    noon = window_start(first + 1)
    begin = time.process_time()
    engine.light_round(source, noon + 6 * HOUR_MS)
    afresh_s = time.process_time() - begin
    costs = []
    for k in range(1, 100):
        begin = time.process_time()
        engine.light_round(source, noon + 6 * HOUR_MS + k * 600_000)
        costs.append(time.process_time() - begin)
    print(f"\nlight round, six hours read afresh        {afresh_s:.2f} s")
    print(
        "light round, what came since             "
        f"{np.median(costs):.2f} s (median of {len(costs)}; most {max(costs):.2f} s)"
    )
    assert engine._open.fresh_reads == 1


class Held:
    """The same readings again and again, so that only their reduction is measured."""

    def __init__(self, columns):
        self.found = columns

    def columns(self, quantity, *, start_ms, stop_ms, devices=None):
        found = self.found
        if quantity is Quantity.ILLUMINANCE:
            return found
        return Columns(*(getattr(found, n)[:0] for n in Columns.__slots__[:5]), found.device_ids)

    def events(self, *, start_ms, stop_ms):
        return []


def test_a_noon_round_from_the_parquet_store(tmp_path: Path):
    """In a process of its own, whose largest resident memory is the kernel's figure."""
    street, assets, lux = city(2)
    source = OneNight(street, assets, lux)
    store = ParquetStore(tmp_path / "archive")
    first = street.first_night
    for night in (first, first + 1):
        start = window_start(night)
        for quantity in (Quantity.ILLUMINANCE, Quantity.POWER):
            found = source.columns(Quantity.ILLUMINANCE, start_ms=start, stop_ms=start + DAY_MS)
            store.add(quantity, found)
    (tmp_path / "assets.pickle").write_bytes(pickle.dumps(assets))
    print("\n" + in_a_process_of_its_own("noon", str(tmp_path), str(first)), end="")


def noon_from_parquet(folder: Path, first: int) -> None:
    """What the measured process does."""
    assets = pickle.loads((folder / "assets.pickle").read_bytes())  # noqa: S301 - written above
    engine = NightRound(assets, rules=Rules(), features=FeatureStore(folder / "f"))
    store = ParquetStore(folder / "archive")
    idle = resident_mib()
    engine.noon_round(store, window_start(first + 1))
    start, begin = time.process_time(), time.monotonic()
    engine.noon_round(store, window_start(first + 2))
    print(
        f"noon round of {CITY:,} x 24 h, light and watts from Parquet: "
        f"{time.process_time() - start:.2f} s of processor, {time.monotonic() - begin:.2f} s; "
        f"{resident_mib():.0f} MiB at most, {idle:.0f} before it"
    )
    start = time.process_time()
    engine.light_round(store, window_start(first + 2) - 600_000)
    print(f"light round, a whole night read afresh: {time.process_time() - start:.2f} s")


def resident_mib() -> float:
    """The most memory this process has had since it began its program [MiB].

    `ru_maxrss` would also hold what the parent had when it forked.
    """
    status = Path("/proc/self/status").read_text()
    return int(next(x for x in status.splitlines() if x.startswith("VmHWM")).split()[1]) / 1024


def test_a_backtest_of_two_thousand_lamps_and_sixty_nights(tmp_path: Path):
    """Ten-minute readings; the command in a process of its own."""
    scenario = load_scenario("realistic").changed(luminaires=2000, days=60, seed=7)
    devices = msgspec.structs.replace(scenario.devices, interval_s=(600,))
    write_feed(msgspec.structs.replace(scenario, devices=devices), tmp_path, processes=1)
    print("\n" + in_a_process_of_its_own("backtest", str(tmp_path)), end="")


def backtest_of(folder: Path) -> None:
    """What the measured process does."""
    begin = time.monotonic()
    feed = read_feed(folder)
    read_mib = resident_mib()
    result = run_backtest(feed, Rules())
    print(
        f"backtest of 2,000 lamps x 60 nights: {result.readings:,} readings, "
        f"{time.monotonic() - begin:.0f} s, {time.process_time():.0f} s of processor; "
        f"{resident_mib():,.0f} MiB at most, {read_mib:,.0f} once read"
    )


def in_a_process_of_its_own(*arguments: str) -> str:
    """What this file says when it is run with these arguments."""
    path = os.pathsep.join(p for p in sys.path if p)
    run = subprocess.run(
        [sys.executable, __file__, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    return run.stdout


def test_a_night_costs_the_same_whatever_the_history():
    street = Street(feeders=20, lamps=12, nights=6)
    store = street.store()
    engine = NightRound(street.assets, rules=Rules(), features=FeatureStore())
    costs = {}
    shifted = Shifted(store, street)
    for k in range(400):
        start = time.process_time()
        engine.noon_round(shifted, window_start(street.first_night + k + 1))
        costs[k] = time.process_time() - start
    early = np.median([costs[k] for k in range(25, 35)])
    late = np.median([costs[k] for k in range(390, 400)])
    print(f"\na night after 30 nights {early * 1e3:.1f} ms, after 400 {late * 1e3:.1f} ms")


class Shifted:
    """One night's light for ever, a day later each time."""

    def __init__(self, store, street):
        self.start = window_start(street.first_night + 2)
        self.found = store.columns(
            Quantity.ILLUMINANCE, start_ms=self.start, stop_ms=self.start + DAY_MS
        )

    def columns(self, quantity, *, start_ms, stop_ms, devices=None):
        found = self.found
        if quantity is not Quantity.ILLUMINANCE or stop_ms - start_ms > DAY_MS:
            empty = found.time_ms[:0]
            return Columns(
                found.device[:0], empty, found.value[:0], empty, found.flags[:0], found.device_ids
            )
        time_ms = found.time_ms + (start_ms - self.start)
        return Columns(
            found.device, time_ms, found.value, time_ms + 1000, found.flags, found.device_ids
        )

    def events(self, *, start_ms, stop_ms):
        return []


def test_transitions_against_their_loop():
    rng = np.random.default_rng(1)
    dark, known = rng.random((400, SLOTS)) < 0.3, rng.random((400, SLOTS)) < 0.9
    fast = seconds(lambda: transitions(dark, known))
    slow = seconds(
        lambda: [lighting_loops.transitions(d, k) for d, k in zip(dark, known, strict=True)]
    )
    print(f"\ntransitions: {slow / fast:.0f} times as fast as the loop")


if __name__ == "__main__":
    if sys.argv[1] == "noon":
        noon_from_parquet(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        backtest_of(Path(sys.argv[2]))
