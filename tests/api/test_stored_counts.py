"""Counts of places from what counters sent: intervals, silence, two ways, several counters."""

from zoneinfo import ZoneInfo

import numpy as np
import pytest

from api.assets import Asset, AssetKind
from api.planning.stored_counts import counters_by_site, stored_counts
from ingest.reading import Flag, Quantity
from ingest.stores import Columns
from ingest.stores.memory import MemoryStore

UTC = ZoneInfo("UTC")
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
START_MS = 20_000 * DAY_MS


def counter(name, site="Torget", interval_s=None):
    return Asset(name, name, AssetKind.COUNTER, site=site, interval_s=interval_s)


def put(store, device, end_ms, people, quantity=Quantity.PEOPLE_COUNT, flag=Flag.NONE):
    n = len(end_ms)
    store.add(
        quantity,
        Columns(
            np.zeros(n, np.int32), np.asarray(end_ms, np.int64), np.asarray(people, np.float64),
            np.asarray(end_ms, np.int64), np.full(n, int(flag), np.uint8), [device],
        ),
    )  # fmt: skip


def tens(n=144):
    """Ends of ten-minute intervals from midnight on."""
    return START_MS + 600_000 * (np.arange(n) + 1)


def read(store, *assets, days=1):
    return stored_counts(
        store, assets, zone=UTC, start_ms=START_MS + 1, stop_ms=START_MS + days * DAY_MS + 1
    )


def test_a_reading_belongs_to_the_interval_that_ends_with_it():
    store = MemoryStore()
    put(store, "a", tens(), np.arange(144) // 6 * 1.0)
    found = read(store, counter("a"))
    assert found.hours.shape == (1, 24, 1)
    assert found.hours[0, :, 0].tolist() == [6.0 * h for h in range(24)]


def test_silence_is_missing_and_never_nobody():
    store = MemoryStore()
    keep = np.delete(np.arange(144), [60, *range(72, 78)])
    put(store, "a", tens()[keep], np.full(len(keep), 2.0))
    hours = read(store, counter("a")).hours[0, :, 0]
    assert hours[10] == 12.0  # five of six, scaled to the hour
    assert np.isnan(hours[12])
    assert np.nansum(hours) == 12.0 * 23


def test_nothing_sent_is_nothing_known():
    assert read(MemoryStore(), counter("a")) is None
    assert read(MemoryStore()) is None


def test_both_ways_are_added_and_one_without_the_other_is_not_known():
    store = MemoryStore()
    rng = np.random.default_rng(0)
    put(store, "a", tens(), rng.poisson(20, 144), Quantity.PEOPLE_IN)
    put(store, "a", tens(72), rng.poisson(20, 72), Quantity.PEOPLE_OUT)
    hours = read(store, counter("a")).hours[0, :, 0]
    assert hours[:12] == pytest.approx(240, rel=0.3)
    assert np.isnan(hours[12:]).all()


def test_a_counter_that_sees_one_way_only_is_missing_meanwhile():
    store = MemoryStore()
    rng = np.random.default_rng(1)
    out = rng.poisson(30, 144)
    out[72:] = 0
    put(store, "a", tens(), rng.poisson(30, 144), Quantity.PEOPLE_IN)
    put(store, "a", tens(), out, Quantity.PEOPLE_OUT)
    hours = read(store, counter("a")).hours[0, :, 0]
    assert np.isfinite(hours[:12]).all()
    assert np.isnan(hours[12:]).all()


def test_a_place_is_known_when_all_its_counters_are():
    store = MemoryStore()
    put(store, "a", tens(), np.full(144, 1.0))
    put(store, "b", START_MS + HOUR_MS * (np.arange(12) + 1), np.full(12, 10.0))
    found = read(store, counter("a"), counter("b", interval_s=3600), counter("c", site="Parken"))
    assert found.sites == ["Torget"]
    assert found.hours[0, :12, 0].tolist() == [16.0] * 12
    assert np.isnan(found.hours[0, 12:, 0]).all()
    assert found.quality["Torget"].steps_present == 12


def test_simulated_counters_taint_the_answer():
    store = MemoryStore()
    put(store, "a", tens(), np.ones(144), flag=Flag.SIMULATED)
    assert read(store, counter("a")).simulated is True


def test_luminaires_are_no_counters_and_a_counter_without_a_place_is_one():
    lamp = Asset("x", "x", AssetKind.LUMINAIRE, site="Torget")
    assert counters_by_site([lamp, counter("b"), counter("a"), counter("c", site="")]) == {
        "Torget": ["b", "a"],
        "c": ["c"],
    }
