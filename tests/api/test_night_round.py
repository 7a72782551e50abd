"""The round over a street that a reader can hold in mind."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from street_of_lamps import Street

from analytics.grid import window_start
from analytics.rules import Rules
from api.assets import AssetKind, Supply, Switching
from api.watch.feature_store import FeatureStore
from api.watch.maintenance_log import Maintenance
from api.watch.night_round import NightRound
from ingest.reading import Flag, Quantity
from ingest.stores.memory import MemoryStore


def settle(street, *, features=None, maintenance=(), rounds=None, store=None):
    """Run the noon rounds one by one; the last result."""
    engine = NightRound(
        street.assets,
        rules=Rules(),
        features=features or FeatureStore(),
        maintenance=maintenance,
    )
    source = store or street.store()
    result = None
    for night in range(rounds or street.nights):
        result = engine.noon_round(source, window_start(street.first_night + night + 1))
    return result


def said(result, *, open_only=False):
    """Kinds by luminaire."""
    return sorted(
        (f.luminaire_id, f.kind.value) for f in result.findings if f.end_ms is None or not open_only
    )


def test_a_healthy_street_raises_nothing():
    result = settle(Street(nights=12))
    assert result.findings == []
    assert set(result.states.values()) == {"ok"}


def test_one_dark_lamp_is_one_order_at_the_first_noon():
    street = Street(nights=6)
    street.lit[2, street.at(5, 9) :] = 0
    result = settle(street, rounds=6)
    assert said(result) == [("L0-02", "lamp_failure")]
    finding = result.findings[0]
    assert finding.raised_ms == window_start(street.first_night + 6)
    assert abs(finding.start_ms - street.moment(5, 9)) <= 1_200_000
    assert finding.cause_id == "L0-02"
    assert result.states["L0-02"] == "faulty"


def tunnel_of(street, lamps, *, sky_share=0.0):
    """Make the first lamps a tunnel's, by the registry and by their light."""
    street.sky_share = sky_share
    street.lit[:lamps] = 1
    street.assets = [
        replace(a, kind=AssetKind.TUNNEL, switching=Switching.ALWAYS, site="Norra", segment="T")
        if i < lamps
        else a
        for i, a in enumerate(street.assets)
    ]
    return street


@pytest.mark.parametrize("hour", [14.0, 16.7, 22.0])
def test_a_tunnel_lamp_that_goes_out_at_dawn_or_by_day_is_one_order_the_same_noon(hour):
    street = tunnel_of(Street(nights=13), 4)
    street.lit[2, street.at(12, hour) :] = 0
    result = settle(street)
    assert said(result) == [("L0-02", "lamp_failure")]
    assert abs(result.findings[0].start_ms - street.moment(12, hour)) <= 1_200_000


def test_a_tunnels_portal_that_sees_the_sky_by_day_is_judged_at_night():
    street = tunnel_of(Street(nights=13), 4, sky_share=0.05)
    street.lit[2, street.at(12, 8) :] = 0
    result = settle(street)
    assert said(result) == [("L0-02", "lamp_failure")]


def test_a_tunnel_that_burns_at_night_only_whatever_the_registry_says_raises_nothing():
    street = tunnel_of(Street(nights=13), 4)
    street.lit[:4] = street.elevation < -5
    assert said(settle(street)) == []


def test_light_ends_the_finding_and_silence_does_not():
    street = Street(nights=8)
    street.lit[2, street.at(5, 9) : street.at(7, 0)] = 0
    street.heard[2, street.at(6, 0) : street.at(7, 0)] = False
    store = street.store()
    silent = settle(street, rounds=7, store=store)
    assert said(silent, open_only=True) == [("L0-02", "lamp_failure")]
    lit = settle(street, rounds=8, store=store)
    assert said(lit, open_only=True) == []
    assert lit.findings[0].end_ms > street.moment(7, 0)


def test_silence_is_not_darkness():
    street = Street()
    street.heard[3, street.at(1, 6) : street.at(1, 22)] = False
    assert said(settle(street)) == []


def test_a_feeder_that_goes_dark_is_one_order_on_the_feeder():
    street = Street()
    street.lit[:6, street.at(1, 8) :] = 0
    result = settle(street, rounds=2)
    assert len(result.findings) == 6
    assert {f.kind.value for f in result.findings} == {"supply_loss"}
    assert len({f.incident for f in result.findings}) == 1
    assert {(f.cause_kind.value, f.cause_id) for f in result.findings} == {("feeder", "F0")}


def test_five_in_a_row_are_one_urgent_order_on_the_segment():
    street = Street(lamps=12)
    street.lit[3:8, street.at(1, 8) :] = 0
    result = settle(street, rounds=2)
    assert len(result.findings) == 5
    assert len({f.incident for f in result.findings}) == 1
    assert {f.cause_kind.value for f in result.findings} == {"segment"}
    assert {f.severity.value for f in result.findings} == {"urgent"}


def test_a_mains_fed_feeder_that_falls_silent_is_a_loss_of_supply():
    street = Street(supply=Supply.MAINS)
    street.assets = [replace(a, gateway="G") for a in street.assets]
    street.heard[:6, street.at(1, 8) :] = False
    result = settle(street, rounds=2)
    assert {f.kind.value for f in result.findings} == {"supply_loss"}
    assert len({f.incident for f in result.findings}) == 1


def test_a_dead_gateway_is_one_order_on_the_gateway_and_no_darkness():
    street = Street(feeders=4, nights=4)
    street.assets = [
        replace(a, gateway="G-A" if a.feeder in ("F0", "F1") else "G-B") for a in street.assets
    ]
    street.heard[:12, street.at(1, 8) :] = False
    result = settle(street)
    assert {f.kind.value for f in result.findings} == {"communication_failure"}
    assert len({f.incident for f in result.findings}) == 1
    assert {(f.cause_kind.value, f.cause_id) for f in result.findings} == {("gateway", "G-A")}
    assert result.states["L0-00"] == "unknown"
    assert result.states["L3-00"] == "ok"


def test_a_city_that_falls_silent_at_once_is_our_own_deafness():
    street = Street(nights=4, supply=Supply.MAINS)
    street.heard[:, street.at(2, 3) :] = False
    assert said(settle(street)) == []


def test_a_stuck_sensor_goes_to_the_sensor_crew():
    street = Street()
    street.held[4, street.at(1, 0) :] = 18.3
    assert said(settle(street)) == [("L0-04", "sensor_stuck")]


def test_a_report_still_standing_after_an_hour_raises_for_a_controller_without_lux():
    street = Street()
    street.heard[1] = False
    street.report(1, 1, 9, "lamp_failure", True)
    result = settle(street, rounds=2)
    assert said(result) == [("L0-01", "lamp_failure")]
    assert "controller" in result.findings[0].note


def test_a_single_report_that_was_taken_back_raises_nothing():
    street = Street()
    street.heard[1] = False
    street.report(1, 1, 9, "lamp_failure", True)
    street.report(1, 1, 9.4, "lamp_failure", False)
    assert said(settle(street)) == []


def test_reports_never_outvote_the_light():
    street = Street()
    street.report(1, 1, 9, "lamp_failure", True)
    street.report(1, 1, 11, "lamp_failure", True)
    assert said(settle(street)) == []


def test_planned_work_raises_nothing():
    street = Street()
    street.lit[2, street.at(1, 4) : street.at(2, 0)] = 0
    work = [
        Maintenance("L0-02", street.moment(1, 3), "planned_off"),
        Maintenance("L0-02", street.moment(2, 0), "planned_on"),
    ]
    assert said(settle(street, maintenance=work)) == []


def test_late_data_redoes_its_night_only_and_comes_to_the_same_end():
    street = Street(nights=6)
    street.lit[2, street.at(2, 9) :] = 0
    full = street.store()
    street.heard[:3, street.at(2, 6) : street.at(3, 0)] = False
    part = street.store()
    engine = NightRound(street.assets, rules=Rules(), features=FeatureStore())
    noons = [window_start(street.first_night + k + 1) for k in range(6)]
    for noon in noons[:5]:
        engine.noon_round(part, noon)
    engine.mark_dirty([street.first_night + 2])
    late = engine.noon_round(full, noons[5])
    assert late.nights_judged == 2  # the dirty one and the new one
    straight = settle(street, store=full)
    assert {(f.device_id, f.kind, f.start_ms) for f in late.findings} == {
        (f.device_id, f.kind, f.start_ms) for f in straight.findings
    }


def test_a_reading_dated_years_ago_has_nothing_judged_again():
    street = Street(nights=4)
    engine = NightRound(street.assets, rules=Rules(), features=FeatureStore())
    store = street.store()
    for night in range(3):
        engine.noon_round(store, window_start(street.first_night + night + 1))
    before = engine._memory
    engine.mark_dirty([street.first_night - 1000])
    engine.noon_round(store, window_start(street.first_night + 4))
    assert engine._memory is before


def test_a_restart_in_mid_history_changes_nothing(tmp_path):
    street = Street(nights=5)
    street.lit[2, street.at(1, 9) :] = 0
    street.held[7, street.at(2, 0) :] = 18.0
    store = street.store()
    straight = settle(street, features=FeatureStore(tmp_path / "a"), store=store)
    halting = None
    for k in range(street.nights):
        engine = NightRound(street.assets, rules=Rules(), features=FeatureStore(tmp_path / "b"))
        halting = engine.noon_round(store, window_start(street.first_night + k + 1))
    assert halting is not None
    assert halting.findings == straight.findings
    features = [sorted((tmp_path / d / "features").rglob("*.parquet")) for d in "ab"]
    assert [p.read_bytes() for p in features[0]] == [p.read_bytes() for p in features[1]]


def test_everything_remembered_can_be_rebuilt_from_the_features(tmp_path):
    street = Street(nights=5)
    street.lit[2, street.at(1, 9) :] = 0
    store = street.store()
    before = settle(street, features=FeatureStore(tmp_path), store=store)
    for checkpoint in (tmp_path / "memory").glob("*.npz"):
        checkpoint.unlink()
    engine = NightRound(street.assets, rules=Rules(), features=FeatureStore(tmp_path))
    after = engine.noon_round(store, window_start(street.first_night + 5))
    assert after.nights_judged == 0
    assert [f.incident for f in after.findings] == [f.incident for f in before.findings]
    assert [f.raised_ms for f in after.findings] == [f.raised_ms for f in before.findings]


def test_nights_kept_by_a_version_that_knew_fewer_features_are_reduced_anew(tmp_path):
    street = Street(nights=5)
    street.lit[2, street.at(1, 9) :] = 0
    store = street.store()
    settle(street, features=FeatureStore(tmp_path), store=store)
    new = {part: part.read_bytes() for part in (tmp_path / "features").rglob("part.parquet")}
    for part in new:
        night = pq.read_table(part)
        pq.write_table(night.drop_columns(night.column_names[-1]), part)
    for checkpoint in (tmp_path / "memory").glob("*.npz"):
        checkpoint.unlink()
    engine = NightRound(street.assets, rules=Rules(), features=FeatureStore(tmp_path))
    engine.noon_round(store, window_start(street.first_night + 5))
    assert {part: part.read_bytes() for part in new} == new


@pytest.mark.parametrize("supply", [Supply.BATTERY, Supply.MAINS])
def test_a_light_round_reports_a_dead_feeder_and_noon_agrees(supply):
    street = Street(feeders=3, nights=3, supply=supply)
    street.assets = [replace(a, gateway="G") for a in street.assets]
    fault = street.at(1, 9)
    if supply is Supply.BATTERY:
        street.lit[:6, fault:] = 0
    else:
        street.heard[:6, fault:] = False
    store = street.store()
    engine = NightRound(street.assets, rules=Rules(), features=FeatureStore())
    engine.noon_round(store, window_start(street.first_night + 1))
    raised = None
    for minutes in range(0, 180, 10):
        result = engine.light_round(store, street.moment(1, 9 + minutes / 60))
        if result.findings:
            raised = minutes
            break
    assert raised is not None
    assert raised <= (45 if supply is Supply.BATTERY else 75)
    noon = engine.noon_round(store, window_start(street.first_night + 2))
    assert len(noon.findings) == 6
    assert {f.incident for f in noon.findings} == {f.incident for f in result.findings}
    assert len({f.incident for f in noon.findings}) == 1


def test_a_sensor_that_loses_light_by_night_and_day_is_blind_and_a_lamp_is_not_blamed():
    street = Street(nights=16)
    street.gain[3, street.at(12, 3) :] = 0.4
    result = settle(street)
    assert said(result) == [("L0-03", "sensor_blind")]


def test_a_lamp_that_loses_half_its_light_in_one_step_is_a_dimming_failure():
    street = Street(nights=16)
    street.lit[3, street.at(12, 3) :] *= 0.5
    result = settle(street)
    assert said(result) == [("L0-03", "dimming_failure")]


def test_a_shop_window_that_goes_out_is_nobodys_fault():
    street = Street(nights=17)
    hour = (street.time_ms / 3_600_000) % 24
    shop = (hour > 15) & (hour < 22) & (np.arange(len(hour)) < street.at(12))
    street.stray_lx[3, shop] = 9.0
    assert said(settle(street)) == []


def test_a_dark_lamp_does_not_make_its_neighbours_fade():
    street = Street(nights=18)
    street.lit[3, street.at(12, 3) :] = 0
    assert said(settle(street)) == [("L0-03", "lamp_failure")]


def test_a_lamp_that_burns_by_day_is_found_by_light_alone():
    street = Street(nights=20, lamps=8, sky_share=0.02)
    street.lit[3, street.at(12) :] = 1
    result = settle(street)
    assert said(result) == [("L0-03", "lamp_unexpected_on")]


def test_going_out_and_coming_back_is_cycling():
    street = Street(nights=4)
    for night in range(1, 4):
        for k in range(5):
            on = street.at(night, 7 + 2 * k)
            street.lit[3, on : on + street.at(0, 0.7)] = 0
    assert said(settle(street)) == [("L0-03", "cycling_failure")]


def test_a_lamp_that_comes_on_an_hour_late_is_a_switching_error():
    street = Street(nights=16)
    dusk = street.elevation < -5
    starts = np.flatnonzero(np.diff(dusk.astype(int)) == 1) + 1
    for start in starts[starts > street.at(12)]:
        street.lit[3, start : start + 7] = 0
    assert said(settle(street)) == [("L0-03", "switching_error")]


def test_light_that_is_switched_off_in_the_small_hours_is_as_it_should_be():
    street = Street(nights=4)
    street.assets = [replace(a, dimming="00:30-04:30@0") for a in street.assets]
    local_hour = (street.time_ms / 3_600_000 + 2) % 24  # summer time
    street.lit[:, (local_hour >= 0.5) & (local_hour < 4.5)] = 0
    assert said(settle(street)) == []


def test_midsummer_nights_and_a_land_without_night_are_survived():
    midsummer = Street(nights=4, first_night=20_624)
    assert said(settle(midsummer)) == []
    polar = Street(nights=3, first_night=20_624)
    polar.assets = [replace(a, lat=70.0) for a in polar.assets]
    polar.lit[:] = 0
    assert said(settle(polar)) == []


def simulated_from(store, flags):
    """The same readings, marked by device."""
    marked = MemoryStore()
    lux = store.columns(Quantity.ILLUMINANCE, start_ms=0, stop_ms=2**60)
    flagged = np.array([flags.get(d, 0) for d in lux.device_ids], np.uint8)[lux.device]
    marked.add(Quantity.ILLUMINANCE, replace(lux, flags=flagged))
    return marked


def test_what_simulated_devices_show_is_marked_also_once_they_are_silent(tmp_path):
    street = Street(nights=4)
    street.lit[[2, 8], street.at(0, 9) :] = 0
    street.heard[2, street.at(1, 0) :] = False
    store = simulated_from(street.store(), {"L0-02": int(Flag.SIMULATED)})
    settle(street, store=store, rounds=2, features=FeatureStore(tmp_path))
    again = settle(street, store=store, features=FeatureStore(tmp_path))
    marks = {(f.luminaire_id, f.simulated) for f in again.findings}
    assert {("L0-02", True), ("L1-02", False)} <= marks
    assert len(marks) == len({name for name, _ in marks})


def test_a_real_device_may_take_over_a_simulated_ones_name():
    street = Street(nights=3)
    street.lit[2, street.at(1, 9) :] = 0
    features = FeatureStore()
    features.write_simulated({"L0-02"})
    result = settle(street, features=features)
    assert [(f.luminaire_id, f.simulated) for f in result.findings] == [("L0-02", False)]


def test_who_only_reports_faults_is_simulated_as_its_newest_report_says():
    street = Street(nights=3)
    street.heard[:] = False
    for lamp in (1, 2):
        street.report(lamp, 1, 9, "lamp_failure", True)
        street.report(lamp, 1, 11, "lamp_failure", True)
    marked = int(Flag.SIMULATED)
    street.events = [
        replace(e, flags=marked) if e.device_id == "L0-01" or n == 2 else e
        for n, e in enumerate(street.events)
    ]
    result = settle(street)
    assert {(f.luminaire_id, f.simulated) for f in result.findings} == {
        ("L0-01", True),
        ("L0-02", False),  # a simulated one was there before
    }


def test_what_a_light_round_saw_and_the_night_does_not_bear_out_is_withdrawn():
    street = Street(nights=2)
    engine = NightRound(street.assets, rules=Rules(), features=FeatureStore())
    dark = Street(nights=2)
    dark.lit[:6, dark.at(1, 8) :] = 0
    engine.noon_round(street.store(), window_start(street.first_night + 1))
    seen = engine.light_round(dark.store(), street.moment(1, 12))
    assert {(f.end_ms, f.withdrawn) for f in seen.findings} == {(None, False)}
    for day in (2, 3):  # what came in later: the feeder was lit all along
        last = engine.noon_round(street.store(), window_start(street.first_night + day))
    assert len(last.findings) == 6
    assert all(f.withdrawn and f.end_ms is not None for f in last.findings)


def test_an_empty_registry_and_an_empty_store_give_an_empty_picture():
    street = Street()
    engine = NightRound([], rules=Rules(), features=FeatureStore())
    result = engine.noon_round(street.store(), window_start(street.first_night + 1))
    assert result.findings == []
    assert result.states == {}


def test_what_ended_two_months_ago_leaves_the_picture_once_and_late_data_does_not_bring_it_back():
    street = Street(feeders=1, lamps=5, nights=80, interval_s=1800)
    street.lit[2, street.at(5, 9) : street.at(7, 0)] = 0
    street.lit[3, street.at(78, 9) :] = 0
    store = street.store()
    engine = NightRound(street.assets, rules=Rules(), features=FeatureStore())
    told, retired = [], []
    for night in range(street.nights):
        if night == 75:
            # Something was handed over late about nights long settled, the lamp's among them.
            engine.mark_dirty([street.first_night + 4, street.first_night + 50])
        result = engine.noon_round(store, window_start(street.first_night + night + 1))
        told.append({f.luminaire_id for f in result.findings})
        retired += [(night, f.luminaire_id) for f in result.retired]
    assert all(seen == {"L0-02"} for seen in told[6:60])
    ((night, lamp),) = retired
    assert lamp == "L0-02"
    assert 68 <= night <= 72
    assert not any("L0-02" in seen for seen in told[night:])
    assert "L0-03" in told[-1]


def test_small_hours_that_people_dim_say_nothing_of_the_lamp():
    street = Street(feeders=1, lamps=4, nights=1)
    street.assets = [
        replace(a, dimming="motion:22:00-07:00@30" if i < 2 else "")
        for i, a in enumerate(street.assets)
    ]
    features = FeatureStore()
    settle(street, features=features)
    night = features.read_night(street.first_night, [a.device_id for a in street.assets])
    assert np.isfinite(night.lux_late).tolist() == [False, False, True, True]
