"""How fast a night is reduced and judged: ratios within one run, nothing asserted about time.

What is measured is checked to have come out right: one feeder of the city is dark, and it alone is
found. Seconds are of processor time: the machine may have other work.
"""

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
from street_of_lamps import FIRST_NIGHT, Street

from analytics.findings import CauseKind, FindingKind
from analytics.grid import DAY_MS, SLOTS, window_start
from analytics.light_course import transitions
from analytics.rules import Rules
from api.watch import night_round
from api.watch.backtest import run_backtest, write_findings
from api.watch.feature_store import FeatureStore
from api.watch.feed import read_feed
from api.watch.night_round import NightRound
from firmware_sim.feed import write_feed
from firmware_sim.scenario import load_scenario
from firmware_sim.score import read_run, score_runs
from ingest.reading import Quantity
from ingest.stores import Columns
from ingest.stores.parquet import ParquetStore

CITY = 33_000
FEEDER = 12
DARK_DAY = 1  # of the nights made, the one in which the first feeder stays dark
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
    """33,000 lamps on feeders of 12, made from one small street; the first feeder fails once.

    Lux has a row for each lamp of the street, and below them one for each lamp of that feeder.
    """
    street = Street(feeders=20, lamps=FEEDER, nights=nights)
    whole = street.lux()
    street.lit[:FEEDER, street.at(DARK_DAY) : street.at(DARK_DAY + 1)] = 0
    lux = np.concatenate([whole, street.lux()[:FEEDER]])
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
        self.of[:FEEDER] = street.n + np.arange(FEEDER)

    def grid(self, start_ms):
        """What the window that begins then must hold, a row for each device."""
        first = int(np.searchsorted(self.street.time_ms, start_ms))
        return self.lux[self.of, first : first + SLOTS].astype(np.float32)

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


def test_a_night_of_a_city(tmp_path: Path, monkeypatch):
    street, assets, lux = city(8)
    source = OneNight(street, assets, lux)
    first = street.first_night
    engine = NightRound(assets, rules=Rules(), features=FeatureStore(tmp_path / "f"))
    before = engine.noon_round(source, window_start(first + 1))
    assert before.findings == []
    start = window_start(first + 1)
    whole = source.columns(Quantity.ILLUMINANCE, start_ms=start, stop_ms=start + DAY_MS)
    grids = engine._reader.read(Held(whole), start, 2**62)
    assert np.array_equal(grids.lux, source.grid(start)[places(engine, assets)])
    copy_s = seconds(grids.lux.copy)
    parts = {name: timed(monkeypatch, name) for name in ("reduce_night", "judge_night")}
    rounds = []
    for night in range(2, 8):
        begin = time.process_time()
        result = engine.noon_round(source, window_start(first + night))
        rounds.append(time.process_time() - begin)
        if night == DARK_DAY + 1:
            assert dark(result) == ids_of_first_feeder(assets)
    features_s, detectors_s = (float(np.median(parts[name])) for name in parts)
    both_s = features_s + detectors_s
    readings = CITY * SLOTS
    assert [len(took) for took in parts.values()] == [len(rounds)] * 2
    print(f"\nreadings a night            {readings:,}; {len(rounds)} nights")
    print(f"features                    {readings / features_s / 1e6:.1f} M readings/s")
    print(f"features and detectors      {readings / both_s / 1e6:.1f} M readings/s")
    print(f"one copy of the grid        {copy_s * 1e3:.1f} ms; both cost {both_s / copy_s:.0f}")
    print(f"noon round, no store        {np.median(rounds):.2f} s (most {max(rounds):.2f} s)")


def timed(monkeypatch, name):
    """What each call of a step of the round takes from now on [s]."""
    step, took = getattr(night_round, name), []

    def watched(*args, **options):
        begin = time.process_time()
        try:
            return step(*args, **options)
        finally:
            took.append(time.process_time() - begin)

    monkeypatch.setattr(night_round, name, watched)
    return took


def places(engine, assets):
    """Where each row of the round stands among the assets."""
    at = {asset.device_id: place for place, asset in enumerate(assets)}
    return [at[name] for name in engine.street.names]


def dark(result):
    """Devices of the one incident that was found."""
    (incident,) = {finding.incident for finding in result.findings}
    assert {finding.cause_kind for finding in result.findings} == {CauseKind.FEEDER}, incident
    return sorted(finding.device_id for finding in result.findings)


def ids_of_first_feeder(assets):
    return sorted(asset.device_id for asset in assets[:FEEDER])


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
        result = engine.light_round(source, noon + 6 * HOUR_MS + k * 600_000)
        costs.append(time.process_time() - begin)
    assert dark(result) == ids_of_first_feeder(assets)
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
    told = in_a_process_of_its_own("noon", str(tmp_path), str(first))
    print("\n" + told, end="")
    assert f"dark: {', '.join(ids_of_first_feeder(assets))}\n" in told


def noon_from_parquet(folder: Path, first: int) -> None:
    """What the measured process does."""
    assets = pickle.loads((folder / "assets.pickle").read_bytes())  # noqa: S301 - written above
    engine = NightRound(assets, rules=Rules(), features=FeatureStore(folder / "f"))
    store = ParquetStore(folder / "archive")
    idle = resident_mib()
    engine.noon_round(store, window_start(first + 1))
    start, begin = time.process_time(), time.monotonic()
    result = engine.noon_round(store, window_start(first + 2))
    print(
        f"noon round of {CITY:,} x 24 h, light and watts from Parquet: "
        f"{time.process_time() - start:.2f} s of processor, {time.monotonic() - begin:.2f} s; "
        f"{resident_mib():.0f} MiB at most, {idle:.0f} before it"
    )
    start = time.process_time()
    engine.light_round(store, window_start(first + 2) - 600_000)
    print(f"light round, a whole night read afresh: {time.process_time() - start:.2f} s")
    print(f"dark: {', '.join(dark(result))}")


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
    run = read_run(tmp_path / "found.csv", tmp_path / "truth.csv", lamp_nights=2000 * 60)
    found = score_runs([run])
    print(
        f"{found.found_any} of {found.faults} faults found; "
        f"{found.orders_on_fault} of {found.orders} orders are on a fault"
    )
    assert found.found_any > 0.8 * found.faults > 80
    assert found.orders_on_fault > 0.95 * found.orders > 80


def backtest_of(folder: Path) -> None:
    """What the measured process does."""
    begin = time.monotonic()
    feed = read_feed(folder)
    read_mib = resident_mib()
    result = run_backtest(feed, Rules())
    write_findings(folder / "found.csv", result.findings)
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
    """Four hundred nights of 240 lamps, of which one fails every third night and is mended."""
    source = Seasons()
    engine = NightRound(source.street(FIRST_NIGHT).assets, rules=Rules(), features=FeatureStore())
    costs, told = [], set()
    for night in range(FIRST_NIGHT, FIRST_NIGHT + 401):
        source.go_to(night)
        start = time.process_time()
        result = engine.noon_round(source, window_start(night + 1))
        costs.append(time.process_time() - start)
        assert result.nights_judged == 1
        told |= {f.incident for f in result.findings if f.kind is FindingKind.LAMP_FAILURE}
    assert len(told) > 100
    early, late = (np.median(costs[end - 10 : end]) * 1e3 for end in (31, 401))
    print(
        f"\na night after 30 nights {early:.1f} ms, after 400 {late:.1f} ms; {len(told)} failures"
    )


class Seasons:
    """A night at a time, by the sun of its date; every third one begins a lamp's failure."""

    def street(self, night):
        street = Street(feeders=20, lamps=12, nights=1, first_night=night)
        begun = night - night % 3
        lamp = begun // 3 % street.n
        street.lit[lamp, : street.at(0, 22 if night - begun < 2 else 0)] = 0
        return street

    def go_to(self, night):
        """Make ready what the window of this night holds."""
        self.start_ms = window_start(night)
        self.found = (
            self.street(night)
            .store()
            .columns(Quantity.ILLUMINANCE, start_ms=self.start_ms, stop_ms=self.start_ms + DAY_MS)
        )

    def columns(self, quantity, *, start_ms, stop_ms, devices=None):
        found = self.found
        if quantity is Quantity.ILLUMINANCE and start_ms <= self.start_ms < stop_ms:
            return found
        return Columns(*(getattr(found, n)[:0] for n in Columns.__slots__[:5]), found.device_ids)

    def events(self, *, start_ms, stop_ms):
        return []


def test_transitions_against_their_loop():
    rng = np.random.default_rng(1)
    dark, known = rng.random((400, SLOTS)) < 0.3, rng.random((400, SLOTS)) < 0.9
    fast = seconds(lambda: transitions(dark, known))
    slow = seconds(
        lambda: [lighting_loops.transitions(d, k) for d, k in zip(dark, known, strict=True)]
    )
    by_loop = np.array([lighting_loops.transitions(d, k) for d, k in zip(dark, known, strict=True)])
    assert np.array_equal(np.stack(transitions(dark, known), axis=1), by_loop)
    print(f"\ntransitions: {slow / fast:.0f} times as fast as the loop")


if __name__ == "__main__":
    if sys.argv[1] == "noon":
        noon_from_parquet(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        backtest_of(Path(sys.argv[2]))
