"""A gateway that speaks for itself tells a silent feeder from a dead gateway."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from street_of_lamps import Street

from analytics.grid import window_start
from analytics.rules import Rules
from api.assets import Asset, Supply
from api.street.assets_registry import write_registry
from api.watch.feature_store import FeatureStore
from api.watch.night_round import NightRound
from ingest.devices import Registry
from ingest.reading import Quantity
from ingest.stores import Columns

MINUTE_MS = 60_000


def silent_feeder(*, gateway_speaks_until):
    """A feeder alone behind G0 falls silent; its gateway sends its temperature up to an hour."""
    street = Street(feeders=3, supply=Supply.MAINS)
    street.heard[:6, street.at(1, 8) :] = False
    store = street.store()
    time_ms = np.arange(
        street.moment(0), street.moment(1, gateway_speaks_until), 5 * MINUTE_MS, dtype=np.int64
    )
    n = len(time_ms)
    store.add(
        Quantity.TEMPERATURE,
        Columns(
            np.zeros(n, np.int32), time_ms, np.full(n, 31.0), time_ms + 1000,
            np.zeros(n, np.uint8), ["G0"],
        ),
    )  # fmt: skip
    engine = NightRound(street.assets, rules=Rules(), features=FeatureStore())
    engine.noon_round(store, window_start(street.first_night + 1))
    return street, store, engine


def test_a_silent_feeder_alone_behind_a_gateway_that_speaks_is_told_in_time():
    street, store, engine = silent_feeder(gateway_speaks_until=24)
    told = [
        minute
        for minute in range(0, 200, 10)
        if engine.light_round(store, street.moment(1, 8 + minute / 60)).findings
    ]
    assert told
    assert told[0] <= 75
    light = engine.light_round(store, street.moment(1, 12))
    noon = engine.noon_round(store, window_start(street.first_night + 2))
    for picture in (light, noon):
        assert {(f.kind.value, f.cause_id) for f in picture.findings} == {("supply_loss", "F0")}
        assert len(picture.findings) == 6
    assert {f.incident for f in light.findings} == {f.incident for f in noon.findings}


@pytest.mark.parametrize("until", [0.0, 8.0])
def test_a_gateway_that_stopped_too_says_nothing_about_the_supply(until):
    street, store, engine = silent_feeder(gateway_speaks_until=until)
    for minute in range(0, 300, 10):
        assert not engine.light_round(store, street.moment(1, 8 + minute / 60)).findings
    noon = engine.noon_round(store, window_start(street.first_night + 2))
    assert {f.kind.value for f in noon.findings} <= {"communication_failure"}


def test_words_that_came_later_are_not_known_yet():
    street, store, engine = silent_feeder(gateway_speaks_until=8)
    late = street.moment(1, 14)
    store.add(
        Quantity.TEMPERATURE,
        Columns(
            np.zeros(1, np.int32), np.array([street.moment(1, 9.5)]), np.array([30.0]),
            np.array([late]), np.zeros(1, np.uint8), ["G0"],
        ),
    )  # fmt: skip
    assert not engine.light_round(store, late - MINUTE_MS).findings
    assert engine.light_round(store, late + MINUTE_MS).findings


def test_ingest_knows_the_gateways_that_assets_name(tmp_path: Path):
    path = tmp_path / "registry.json"
    lamp = Asset("d1", "L1", gateway="G-DAL-01")
    write_registry([lamp, replace(lamp, device_id="d2"), Asset("d3", "L3", gateway="å")], path)
    assert [entry.device_id for entry in Registry.load(path).devices] == [
        "d1",
        "d2",
        "d3",
        "G-DAL-01",
    ]
    version = Registry.load(path).version
    write_registry([lamp, replace(lamp, device_id="d2"), Asset("d3", "L3", gateway="å")], path)
    assert Registry.load(path).version == version
