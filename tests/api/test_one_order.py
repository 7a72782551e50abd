"""One cause, one order: silences that belong together, and silences that are over."""

from dataclasses import replace

import numpy as np
from street_of_lamps import Street

from analytics.grid import window_start
from analytics.rules import Rules
from api.assets import Supply
from api.watch.feature_store import FeatureStore
from api.watch.night_round import NightRound

DECEMBER = 20_790


def judged(street, nights):
    """Findings after each noon."""
    engine = NightRound(street.assets, rules=Rules(), features=FeatureStore())
    store = street.store()
    return [
        engine.noon_round(store, window_start(street.first_night + night + 1)).findings
        for night in range(nights)
    ]


def test_devices_of_one_feeder_that_stopped_in_one_moment_are_one_order():
    street = Street(feeders=4, lamps=8, nights=5)
    street.heard[1:7:2, street.at(1, 8) :] = False
    last = judged(street, 5)[-1]
    assert {f.device_id for f in last} == {"L0-01", "L0-03", "L0-05"}
    assert {f.kind.value for f in last} == {"communication_failure"}
    assert len({f.incident for f in last}) == 1


def test_devices_that_stopped_on_different_days_are_their_own_orders():
    street = Street(feeders=4, lamps=8, nights=6)
    street.heard[1, street.at(1, 8) :] = False
    street.heard[5, street.at(3, 2) :] = False
    last = judged(street, 6)[-1]
    assert len({f.incident for f in last}) == 2


def test_five_in_a_row_that_never_spoke_are_one_order_for_those_who_fit_devices():
    street = Street(feeders=4, lamps=10, nights=5)
    street.heard[2:7, :] = False
    last = judged(street, 5)[-1]
    assert {f.device_id for f in last} == {f"L0-{i:02d}" for i in range(2, 7)}
    assert {(f.kind.value, f.cause_id) for f in last} == {("communication_failure", "S0")}
    assert len({f.incident for f in last}) == 1


def test_a_few_that_never_spoke_are_not_there_yet():
    street = Street(feeders=4, lamps=10, nights=5)
    street.heard[2:6, :] = False
    assert judged(street, 5)[-1] == []


def test_a_device_that_comes_back_some_hours_after_its_feeder_is_no_order_of_its_own():
    street = Street(feeders=4, lamps=6, nights=7, supply=Supply.MAINS)
    street.assets = [replace(a, gateway="G") for a in street.assets]
    street.heard[:6, street.at(1, 8) : street.at(4, 22)] = False
    street.heard[2, street.at(1, 8) : street.at(5, 4)] = False
    last = judged(street, 7)[-1]
    assert {f.kind.value for f in last} == {"supply_loss"}
    assert len({f.incident for f in last}) == 1
    assert all(f.end_ms is not None for f in last)


def test_a_gateway_that_is_back_by_noon_leaves_no_loss_of_supply_behind():
    street = Street(feeders=4, lamps=6, nights=6, supply=Supply.MAINS)
    street.heard[:6, street.at(1, 8) : street.at(4, 22.5)] = False
    kinds = {f.kind.value for findings in judged(street, 6) for f in findings}
    assert kinds == {"communication_failure"}


def test_a_gateway_that_hands_over_one_device_after_another_at_noon_is_no_loss_of_supply():
    street = Street(feeders=3, lamps=12, nights=4, supply=Supply.MAINS)
    street.assets = [replace(a, gateway="G" if a.feeder == "F0" else "H") for a in street.assets]
    street.heard[:12, street.at(1, 10) : street.at(1, 23.7)] = False
    street.heard[3:7, street.at(1, 10) : street.at(2, 0.2)] = False
    assert [f for findings in judged(street, 4) for f in findings] == []


def test_what_is_told_does_not_depend_on_the_order_of_the_devices():
    street = Street(feeders=4, lamps=8, nights=5)
    street.heard[1:7:2, street.at(1, 8) :] = False
    told = {(f.device_id, f.incident) for f in judged(street, 5)[-1]}
    order = np.random.default_rng(3).permutation(street.n)
    street.assets = [street.assets[i] for i in order]
    for name in ("lit", "gain", "stray_lx", "heard", "held"):
        setattr(street, name, getattr(street, name)[order])
    assert {(f.device_id, f.incident) for f in judged(street, 5)[-1]} == told


def cabinet_half_switched_off(nights):
    """A cabinet goes out in the third night while one of its two feeders is off on purpose."""
    street = Street(feeders=4, lamps=8, nights=nights, first_night=DECEMBER)
    street.assets = [
        replace(
            a,
            cabinet="C" if a.feeder in {"F0", "F1"} else a.cabinet,
            dimming="00:30-04:30@0" if a.feeder == "F1" else "",
        )
        for a in street.assets
    ]
    for night in range(nights):
        street.lit[8:16, street.at(night, 11.5) : street.at(night, 15.5)] = 0
    street.lit[:16, street.at(2, 13) :] = 0
    return street


def test_a_cabinet_lost_while_one_of_its_feeders_was_switched_off_on_purpose_is_one_order():
    last = judged(cabinet_half_switched_off(3), 3)[-1]
    assert {f.device_id for f in last} == {f"L{f}-{i:02d}" for f in (0, 1) for i in range(8)}
    assert {(f.kind.value, f.cause_id) for f in last} == {("supply_loss", "C")}
    assert len({f.incident for f in last}) == 1


def test_the_second_feeder_of_that_cabinet_joins_the_order_when_it_should_burn_again():
    street = cabinet_half_switched_off(3)
    store = street.store()
    engine = NightRound(street.assets, rules=Rules(), features=FeatureStore())
    for night in range(2):
        engine.noon_round(store, window_start(street.first_night + night + 1))
    told = {}
    for minute in range(13 * 60, 18 * 60, 10):
        for f in engine.light_round(store, street.moment(2, minute / 60)).findings:
            told.setdefault((f.device_id[:2], f.incident), minute)
    ((first, one), early), ((second, same), late) = sorted(told.items())
    assert (first, second) == ("L0", "L1")
    assert one == same
    assert early <= 14 * 60
    assert 16 * 60 <= late <= 16.5 * 60
    settled = engine.noon_round(store, window_start(street.first_night + 3)).findings
    assert {f.incident for f in settled} == {one}
