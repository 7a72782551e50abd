"""How fast a night is reduced and judged: ratios within one run, nothing asserted about time.

Seconds are of processor time: the machine may have other work."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from oracles import lighting_loops
from street_of_lamps import Street

from analytics.grid import DAY_MS, SLOTS, window_start
from analytics.nights import transitions
from analytics.rules import Rules
from api.feature_store import FeatureStore
from api.night_round import NightRound
from ingest.reading import Quantity
from ingest.stores import Columns
from ingest.stores.parquet import ParquetStore

CITY = 33_000


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

    def columns(self, quantity, *, start_ms, stop_ms):
        inside = (self.street.time_ms >= start_ms) & (self.street.time_ms < stop_ms)
        width = int(inside.sum())
        if quantity is not Quantity.ILLUMINANCE or not width:
            width = 0
        time_ms = np.tile(self.street.time_ms[inside][:width], CITY)
        value = self.lux[:, inside][self.of, :width].ravel()
        row = np.repeat(np.arange(CITY, dtype=np.int32), width)
        flags = np.zeros(len(row), np.uint8)
        return Columns(row, time_ms, value, time_ms + 1000, flags, self.ids)

    def events(self, *, start_ms, stop_ms):
        return []


def test_a_night_of_a_city(tmp_path: Path):
    street, assets, lux = city(3)
    source = OneNight(street, assets, lux)
    first = street.first_night
    engine = NightRound(assets, rules=Rules(), features=FeatureStore(tmp_path / "f"))
    engine.noon_round(source, window_start(first + 1))
    grids = engine._grids(source, window_start(first + 1), window_start(first + 2), 2**62)
    copy_s = seconds(grids.lux.copy)
    reduce_s = seconds(lambda: engine._reduce(Grids(grids), first + 1, 2**62), 2)
    readings = CITY * SLOTS
    start = time.process_time()
    engine.noon_round(source, window_start(first + 2))
    noon_s = time.process_time() - start
    light_s = seconds(lambda: engine.light_round(source, window_start(first + 2) + DAY_MS // 2), 2)
    again_s = seconds(
        lambda: engine.light_round(source, window_start(first + 2) + DAY_MS // 2 + 600_000), 1
    )
    print(f"\nreadings a night            {readings:,}")
    print(f"reduce, grid included       {readings / reduce_s / 1e6:.1f} M readings/s")
    print(
        f"one copy of the grid        {copy_s * 1e3:.1f} ms; a night costs {reduce_s / copy_s:.0f}"
    )
    print(f"noon round, no store        {noon_s:.2f} s")
    print(f"light round, first and next {light_s:.2f} s, {again_s:.2f} s")


class Grids:
    """The same night again, so that only the reduction is measured."""

    def __init__(self, grids):
        row, slot = np.nonzero(np.isfinite(grids.lux))
        self.row, self.slot, self.value = row.astype(np.int32), slot, grids.lux[row, slot]
        self.ids = None

    def columns(self, quantity, *, start_ms, stop_ms):
        n = len(self.row) if quantity is Quantity.ILLUMINANCE else 0
        time_ms = start_ms + self.slot[:n] * 600_000
        flags = np.zeros(n, np.uint8)
        ids = [f"K{i // 240:03d}L{i % 240 // 12}-{i % 12:02d}" for i in range(CITY)]
        return Columns(self.row[:n], time_ms, self.value[:n].astype(float), time_ms, flags, ids)

    def events(self, *, start_ms, stop_ms):
        return []


def test_a_noon_round_from_the_parquet_store(tmp_path: Path):
    street, assets, lux = city(2)
    source = OneNight(street, assets, lux)
    store = ParquetStore(tmp_path / "archive")
    first = street.first_night
    for night in (first, first + 1):
        found = source.columns(
            Quantity.ILLUMINANCE, start_ms=window_start(night), stop_ms=window_start(night + 1)
        )
        store.add(Quantity.ILLUMINANCE, found)
    engine = NightRound(assets, rules=Rules(), features=FeatureStore(tmp_path / "f"))
    engine.noon_round(store, window_start(first + 1))
    start = time.process_time()
    engine.noon_round(store, window_start(first + 2))
    print(f"\nnoon round of {CITY:,} x 24 h, Parquet included: {time.process_time() - start:.2f} s")


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

    def columns(self, quantity, *, start_ms, stop_ms):
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
