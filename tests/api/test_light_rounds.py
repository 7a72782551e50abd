"""What a light round may say, how soon, and that noon says the same."""

from dataclasses import replace

import numpy as np
import pytest
from street_of_lamps import Street

from analytics.grid import window_start
from analytics.rules import Rules
from api.assets import AssetKind, Supply, Switching
from api.watch.feature_store import FeatureStore
from api.watch.night_round import NightRound
from ingest.reading import Quantity
from ingest.stores import Columns

MINUTE_MS = 60_000


def engine_of(street, store):
    """A round that has settled the first night."""
    engine = NightRound(street.assets, rules=Rules(), features=FeatureStore())
    engine.noon_round(store, window_start(street.first_night + 1))
    return engine


def said(result):
    return {(f.device_id, f.kind.value, f.cause_kind.value, f.cause_id) for f in result.findings}


def first_word(engine, store, street, hour, *, night=1, minutes=200):
    """Minutes from a moment to the first finding of a light round, and that round's result."""
    for minute in range(0, minutes, 10):
        result = engine.light_round(store, street.moment(night, hour + minute / 60))
        if result.findings:
            return minute, result
    return None, None


def behind(street, gateways):
    """The feeders behind these gateways, the others each behind their own."""
    street.assets = [replace(a, gateway=gateways.get(a.feeder, a.gateway)) for a in street.assets]
    return street


def with_status(store, street, lamps, moment_ms, bits=128):
    """Some lamps report status bits once."""
    n = len(lamps)
    store.add(
        Quantity.LAMP_STATUS,
        Columns(
            np.arange(n, dtype=np.int32),
            np.full(n, moment_ms, np.int64),
            np.full(n, float(bits)),
            np.full(n, moment_ms + 1000, np.int64),
            np.zeros(n, np.uint8),
            [street.assets[i].device_id for i in lamps],
        ),
    )
    return store


@pytest.mark.parametrize("slow_s", [600, 900, 1800])
def test_a_gateways_outage_is_no_loss_of_supply_however_slow_the_others_behind_it_are(slow_s):
    street = behind(Street(feeders=6, supply=Supply.MAINS), {"F0": "G-A", "F1": "G-A", "F2": "G-A"})
    quick = {"F0"}
    street.assets = [
        replace(a, interval_s=600.0 if a.feeder in quick else float(slow_s)) for a in street.assets
    ]
    every = slow_s // 600 if slow_s >= 1200 else 1
    for row, asset in enumerate(street.assets):
        if asset.feeder in {"F1", "F2"}:
            street.heard[row, np.arange(street.heard.shape[1]) % every != 0] = False
    street.heard[:18, street.at(1, 8) :] = False
    store = street.store()
    engine = engine_of(street, store)
    for minute in range(0, 300, 10):
        result = engine.light_round(store, street.moment(1, 8 + minute / 60))
        assert result.findings == [], minute


def test_a_gateways_outage_is_no_loss_of_supply_when_it_carries_one_whole_cabinet():
    street = Street(feeders=12, nights=2, interval_s=300, supply=Supply.MAINS)
    street.assets = [
        replace(a, gateway="G-A", cabinet="C-A") if a.feeder in {"F0", "F1", "F2", "F3"} else a
        for a in street.assets
    ]
    for row, asset in enumerate(street.assets):
        if asset.feeder == "F3":
            street.assets[row] = replace(asset, supply=Supply.BATTERY)
        else:  # twice as slow, one feeder at other times than the rest: it is missed first
            street.assets[row] = replace(asset, interval_s=600.0)
            street.heard[row, int(asset.feeder != "F0") :: 2] = False
    street.heard[:24, street.at(1, 8.1) :] = False
    store = street.store()
    assert first_word(engine_of(street, store), store, street, 8, minutes=300) == (None, None)


def test_a_feeder_that_stops_while_the_others_behind_its_gateway_speak_is_out():
    street = behind(Street(feeders=3, supply=Supply.MAINS), {"F0": "G-A", "F1": "G-A"})
    street.heard[:6, street.at(1, 8) :] = False
    store = street.store()
    minute, result = first_word(engine_of(street, store), store, street, 8)
    assert minute <= 75
    assert {c for *_, c in said(result)} == {"F0"}


@pytest.mark.parametrize("kind", ["last gasp", "fault report"])
def test_what_the_devices_said_themselves_needs_nobody_else_behind_the_gateway(kind):
    street = Street(feeders=3, supply=Supply.MAINS)  # each feeder alone behind its gateway
    street.heard[:6, street.at(1, 8) :] = False
    if kind == "fault report":
        for lamp in range(4):
            street.report(lamp, 1, 8.02, "supply_loss", True)
    store = street.store()
    if kind == "last gasp":
        with_status(store, street, [0, 1, 2, 3], street.moment(1, 8.02))
    engine = engine_of(street, store)
    minute, result = first_word(engine, store, street, 8)
    # The two that said nothing are known to be gone when they have missed their turn.
    assert minute <= 40
    noon = engine.noon_round(store, window_start(street.first_night + 2))
    assert {(k, c) for _, k, _, c in said(noon)} == {("supply_loss", "F0")}
    assert {f.incident for f in noon.findings} == {f.incident for f in result.findings}


def test_a_silent_feeder_alone_behind_its_gateway_waits_for_noon():
    street = Street(feeders=3, supply=Supply.MAINS)
    street.heard[:6, street.at(1, 8) :] = False
    store = street.store()
    assert first_word(engine_of(street, store), store, street, 8) == (None, None)


def test_one_false_report_is_no_loss_of_supply():
    street = Street(feeders=3, supply=Supply.MAINS)
    street.report(0, 1, 8, "supply_loss", True)
    street.report(1, 1, 8, "supply_loss", True)
    store = street.store()
    assert first_word(engine_of(street, store), store, street, 8) == (None, None)


def test_a_cabinet_is_one_order_though_its_feeders_show_it_at_different_times():
    street = Street(feeders=6, supply=Supply.MAINS)
    street.assets = [
        replace(
            a,
            gateway="G",
            cabinet="C-out" if a.feeder in {"F0", "F1", "F2"} else a.cabinet,
            supply=Supply.BATTERY if a.feeder == "F0" else Supply.MAINS,
        )
        for a in street.assets
    ]
    out = street.at(1, 8)
    street.lit[:6, out:] = 0  # battery devices go on reporting, and see darkness
    street.heard[6:18, out:] = False
    store = street.store()
    engine = engine_of(street, store)
    minute, result = first_word(engine, store, street, 8)
    assert minute <= 45
    for later in range(minute, 180, 10):
        result = engine.light_round(store, street.moment(1, 8 + later / 60))
    noon = engine.noon_round(store, window_start(street.first_night + 2))
    for picture in (result, noon):
        assert len(picture.findings) == 18
        assert len({f.incident for f in picture.findings}) == 1
        assert {f.cause_id for f in picture.findings} == {"C-out"}


def test_an_outage_of_four_days_is_one_order_all_the_time():
    street = Street(feeders=3, nights=6)
    street.lit[:6, street.at(1, 8) : street.at(5, 0)] = 0
    store = street.store()
    engine = engine_of(street, store)
    for night in range(1, 6):
        for minute in range(30, 24 * 60, 30):
            engine.light_round(store, street.moment(night, minute / 60))
        result = engine.noon_round(store, window_start(street.first_night + night + 1))
    assert len(result.findings) == 6
    assert len({f.incident for f in result.findings}) == 1
    assert all(f.end_ms is not None for f in result.findings)


def test_an_outage_after_a_repair_is_an_order_of_its_own():
    street = Street(feeders=3, nights=7)
    street.lit[:6, street.at(1, 8) : street.at(5, 0)] = 0
    street.lit[:6, street.at(5, 12) :] = 0
    store = street.store()
    engine = engine_of(street, store)
    for night in range(2, 6):
        engine.noon_round(store, window_start(street.first_night + night))
    result = engine.light_round(store, street.moment(5, 13))
    assert len({f.incident for f in result.findings}) == 2
    assert {f.start_ms > street.moment(5) for f in result.findings} == {False, True}


def test_five_in_a_row_are_told_within_three_quarters_of_an_hour():
    street = Street(feeders=3, lamps=12)
    street.lit[3:8, street.at(1, 8) :] = 0
    store = street.store()
    minute, result = first_word(engine_of(street, store), store, street, 8)
    assert minute <= 45
    assert {(k, c) for _, k, c, _ in said(result)} == {("supply_loss", "segment")}
    assert len(result.findings) == 5


@pytest.mark.parametrize("hour", [1, 8, 20])
def test_a_tunnel_fully_dark_is_told_within_three_quarters_of_an_hour_day_and_night(hour):
    street = Street(feeders=2, lamps=6, sky_share=0.0)
    street.lit[:3] = 1
    street.assets = [
        replace(
            a, kind=AssetKind.TUNNEL, switching=Switching.ALWAYS, site="Norra", segment="T", lat=LAT
        )
        if i < 3
        else a
        for i, a in enumerate(street.assets)
    ]
    street.lit[:3, street.at(1, hour) :] = 0
    store = street.store()
    minute, result = first_word(engine_of(street, store), store, street, hour)
    assert minute <= 45
    assert {f.device_id for f in result.findings} == {"L0-00", "L0-01", "L0-02"}
    assert len({f.incident for f in result.findings}) == 1


def with_a_switched_feeder(nights):
    """One gateway; the first feeder is switched as a whole, so its devices speak at night only."""
    street = Street(feeders=3, lamps=8, nights=nights, supply=Supply.MAINS)
    street.assets = [
        replace(a, gateway="G", switching=Switching.FEEDER if a.feeder == "F0" else Switching.ASTRO)
        for a in street.assets
    ]
    street.heard[:8] &= street.lit[:8] > 0
    return street


def test_a_gateway_that_is_away_from_dusk_on_is_no_loss_of_the_switched_feeder_behind_it():
    street = with_a_switched_feeder(3)
    dusk = int(np.argmax(street.lit[0, street.at(2) :])) / 6
    street.heard[:, street.at(2, dusk - 0.2) : street.at(2, dusk + 9)] = False
    # What most of the city does at once we would not believe: others go on speaking elsewhere.
    street.heard[16:] = True
    street.assets[16:] = [replace(a, gateway="G2") for a in street.assets[16:]]
    store = street.store()
    engine = engine_of(street, store)
    engine.noon_round(store, window_start(street.first_night + 2))
    assert first_word(engine, store, street, dusk, minutes=300, night=2) == (None, None)


def test_a_switched_feeder_that_does_not_come_on_is_told_within_75_minutes_of_dusk():
    street = with_a_switched_feeder(3)
    dusk = int(np.argmax(street.lit[0, street.at(2) :])) / 6
    street.heard[:8, street.at(2) :] = False
    store = street.store()
    engine = engine_of(street, store)
    engine.noon_round(store, window_start(street.first_night + 2))
    minute, result = first_word(engine, store, street, dusk, minutes=300, night=2)
    assert minute is not None
    assert minute <= 75
    assert {(k, c) for _, k, c, _ in said(result)} == {("supply_loss", "feeder")}


LAT = 56.05


@pytest.mark.parametrize("seed", range(6))
def test_light_and_noon_rounds_end_in_the_same_findings(seed):
    rng = np.random.default_rng(seed)
    street = Street(feeders=5, lamps=8, nights=3, seed=seed)
    street.assets = [
        replace(a, gateway="G", supply=Supply.MAINS if a.feeder in {"F1", "F3"} else Supply.BATTERY)
        for a in street.assets
    ]
    start = street.at(1, rng.uniform(6.5, 13))
    feeder = int(rng.integers(5))
    rows = slice(8 * feeder, 8 * feeder + 8)
    if feeder in (1, 3):
        street.heard[rows, start:] = False
    else:
        street.lit[rows, start:] = 0
    street.lit[(8 * feeder + 10) % 40, start:] = 0
    store = street.store()
    noons = [window_start(street.first_night + k) for k in (1, 2, 3)]
    alone = NightRound(street.assets, rules=Rules(), features=FeatureStore())
    both = NightRound(street.assets, rules=Rules(), features=FeatureStore())
    for k, noon in enumerate(noons):
        for minute in range(10, 24 * 60, 10):
            both.light_round(store, street.moment(k, minute / 60))
        ends = alone.noon_round(store, noon), both.noon_round(store, noon)
    assert said(ends[0]) == said(ends[1])
    assert {f.incident for f in ends[0].findings} == {f.incident for f in ends[1].findings}
    assert min(f.raised_ms for f in ends[1].findings) < min(f.raised_ms for f in ends[0].findings)


def clock_off_by(street, feeder, hours, *, first=1):
    """A feeder's clock goes wrong: off so long before dawn, or on so long after dusk."""
    for lamp, asset in enumerate(street.assets):
        if asset.feeder != feeder:
            continue
        wrong = int(abs(hours) * 3600 / street.interval_s)
        for night in range(first, street.nights):
            at = slice(street.at(night), street.at(night + 1))
            burning = np.flatnonzero(street.lit[lamp, at] > 0)
            dark = burning[-wrong:] if hours < 0 else burning[:wrong]
            street.lit[lamp, street.at(night) + dark] = 0
    return street


def light_rounds_of(street, nights):
    """Incidents of supply after all light rounds and noons."""
    store = street.store()
    engine = engine_of(street, store)
    for night in range(1, nights):
        for minute in range(10, 24 * 60, 10):
            result = engine.light_round(store, street.moment(night, minute / 60))
        result = engine.noon_round(store, window_start(street.first_night + night + 1))
    return {f.incident for f in result.findings if f.kind.value == "supply_loss"}


@pytest.mark.slow
def test_a_clock_that_switches_off_before_dawn_calls_nobody_out_at_night():
    street = clock_off_by(Street(feeders=3, lamps=8, nights=5), "F0", -1.2)
    assert light_rounds_of(street, 5) == set()


@pytest.mark.slow
def test_nor_does_it_where_one_of_its_radios_drops_out_just_then():
    street = clock_off_by(Street(feeders=3, lamps=8, nights=4, supply=Supply.MAINS), "F0", -1.2)
    street.assets = [replace(a, gateway="G") for a in street.assets]
    for night in range(4):
        street.heard[3, street.at(night, 15) : street.at(night, 18)] = False
    assert light_rounds_of(street, 4) == set()


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 3])
def test_a_clock_that_switches_on_late_calls_out_once_at_most(every):
    street = clock_off_by(Street(feeders=3, lamps=9, nights=7), "F0", 1.5)
    if every > 1:
        # While the first have said that they burn, the last word of others is that they do not.
        slot = np.arange(len(street.time_ms))
        for lamp in range(9):
            street.heard[lamp] = (slot + lamp) % every == 0
        street.assets = [
            replace(a, interval_s=600.0 * every) if a.feeder == "F0" else a for a in street.assets
        ]
    store = street.store()
    engine = engine_of(street, store)
    told = {}
    for night in range(1, 7):
        for minute in range(10, 24 * 60, 10):
            for f in engine.light_round(store, street.moment(night, minute / 60)).findings:
                if f.kind.value == "supply_loss":
                    told.setdefault((f.incident, f.device_id, f.start_ms), night)
        engine.noon_round(store, window_start(street.first_night + night + 1))
    assert len({incident for incident, _, _ in told}) <= 1
    assert set(told.values()) <= {1}


@pytest.mark.parametrize("what", ["part of a feeder", "silent feeder"])
def test_what_goes_before_dawn_and_cannot_be_a_clock_is_told_at_once(what):
    supply = Supply.BATTERY if what == "part of a feeder" else Supply.MAINS
    street = Street(feeders=3, lamps=12, supply=supply)
    street.assets = [replace(a, gateway="G") for a in street.assets]
    if what == "part of a feeder":
        street.lit[3:8, street.at(1, 15.5) :] = 0
    else:
        street.heard[:12, street.at(1, 15.5) :] = False
    store = street.store()
    minute, _ = first_word(engine_of(street, store), store, street, 15.5, minutes=80)
    assert minute is not None


@pytest.mark.parametrize("hours", [1.2, 1.5, 3.0])
def test_a_gateway_that_was_away_for_an_hour_or_more_hands_over_and_calls_nobody_out(hours):
    street = Street(feeders=2, lamps=14, supply=Supply.MAINS)
    away = street.at(1, 4)
    street.heard[:14, away : street.at(1, 4 + hours)] = False
    street.heard[2:14, away : street.at(1, 4 + hours + 0.4)] = False  # one after another
    store = street.store()
    engine = engine_of(street, store)
    assert first_word(engine, store, street, 3.5, minutes=240) == (None, None)
