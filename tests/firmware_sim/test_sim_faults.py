"""Each kind of fault shows as lamps, sensors and supplies do: night, day, watts and time."""

from dataclasses import replace

import numpy as np
import pytest

from firmware_sim.city import CityPlan, Feeder, build_plan
from firmware_sim.faults import OPEN_MS, Fault, in_a_row, plan_faults, shaped_fault
from firmware_sim.light import Measured, measure, programme_levels
from firmware_sim.nuisances import Span, quirks_of
from firmware_sim.scenario import (
    FAULT_KINDS,
    City,
    Devices,
    FaultRates,
    Nuisances,
    PlacedFault,
    Run,
    Scenario,
    Weather,
)
from firmware_sim.sky import DAY_MS, sky_table
from firmware_sim.streams import generator
from firmware_sim.sun import sun_position

QUIET = Nuisances(
    loss=0, bursts_per_month=0, duplicates=0, out_of_order=0, late_per_month=0,
    gateway_outages_per_month=0, clock_skew=0, local_clock=0, unset_clock_per_month=0, sentinels=0,
    swaps_logged=0, swaps_unlogged=0, planned_work=0, stray_light=0, festive=0, headlights=0,
    event_miss=0, event_false_per_month=0, sun_gaps=0,
)  # fmt: skip
CALM = Scenario(
    scenario=Run(days=30),
    city=City(luminaires=60, luminaires_per_feeder=10, tunnels=2),
    devices=Devices(
        lux=1,
        power=1,
        status=1,
        dimming=0,
        part_night=0,
        motion=0,
        own_photocell=0,
        feeder_photocell=0,
        switched_feeder=0,
        gain_wander=0,
        noise=0.005,
        nominal_error=0,
        nominal_missing=0,
        nominal_wrong=0,
        clo=0,
    ),
    weather=Weather(rain=0, trees=0),
    nuisances=QUIET,
)
BEGIN_MS = CALM.start_ms + 5 * DAY_MS
LAMP = 4


@pytest.fixture(scope="module")
def plan() -> CityPlan:
    return build_plan(CALM)


@pytest.fixture(scope="module")
def feeder(plan: CityPlan) -> Feeder:
    one_street = next(f for f in plan.feeders if len(set(f.segments)) == 1 and not f.tunnel)
    return replace(
        one_street,
        max_lx=120_000.0,
        resolution_lx=0.01,
        dark_offset_lx=one_street.dark_offset_lx * 0,
    )


def measured(feeder: Feeder, faults: list[Fault], days: int = 12) -> Measured:
    table = sky_table(CALM, CALM.start_ms // DAY_MS, days)
    quirks = tuple(quirks_of(CALM, feeder, lamp) for lamp in range(feeder.size))
    return measure(CALM, feeder, faults, quirks, (), table)


@pytest.fixture(scope="module")
def healthy(feeder: Feeder) -> Measured:
    return measured(feeder, [])


def struck(feeder: Feeder, kind: str, size: float) -> Measured:
    rng = generator(1, "test")
    return measured(feeder, [shaped_fault(feeder, LAMP, kind, rng, BEGIN_MS, OPEN_MS, size=size)])


def parts(run: Measured, lamp: int = LAMP) -> tuple[np.ndarray, np.ndarray]:
    """Whether each sample after the onset is of deep night, and of full day."""
    elevation, _ = sun_position(run.true_ms[lamp].astype(float), CALM.city.lat, CALM.city.lon)
    after = run.true_ms[lamp] >= BEGIN_MS
    return after & (elevation < -8), after & (elevation > 8)


def ratio(
    run: Measured, healthy: Measured, values: str = "lux", lamp: int = LAMP
) -> tuple[float, float]:
    """Median of faulty over healthy at night and by day."""
    night, day = parts(run, lamp)
    change = getattr(run, values)[lamp] / getattr(healthy, values)[lamp]
    return float(np.median(change[night])), float(np.median(change[day]))


def test_a_dead_lamp_keeps_its_neighbours_light_and_its_daylight(
    feeder: Feeder, healthy: Measured
) -> None:
    run = struck(feeder, "lamp_failure", 0.0)
    night, day = ratio(run, healthy)

    assert 0.02 < night < 0.4
    assert day == pytest.approx(1, abs=0.03)
    assert ratio(run, healthy, "power_w")[0] < 0.06
    assert 0.8 < ratio(run, healthy, lamp=LAMP + 1)[0] < 0.99


def test_a_lost_string_takes_light_and_watts_alike(feeder: Feeder, healthy: Measured) -> None:
    run = struck(feeder, "dimming_failure", 0.5)

    assert 0.5 <= ratio(run, healthy)[0] < 0.66
    assert 0.45 < ratio(run, healthy, "power_w")[0] < 0.6


def test_depreciation_keeps_the_watts_and_takes_its_time(feeder: Feeder, healthy: Measured) -> None:
    run = struck(feeder, "depreciation", 0.4)
    night, _ = parts(run)
    change = (run.lux[LAMP] / healthy.lux[LAMP])[night]

    assert ratio(run, healthy, "power_w")[0] == pytest.approx(1, abs=0.01)
    assert change[:40].mean() > 0.98
    assert 0.6 < change[-40:].mean() < 0.95


def test_a_cycling_lamp_falls_and_rises_many_times_a_night(
    feeder: Feeder, healthy: Measured
) -> None:
    run = struck(feeder, "cycling_failure", 0.4)
    night, _ = parts(run)
    dark = run.light[LAMP][night] < 0.1
    per_night = np.abs(np.diff(dark.astype(int))).sum() / 7

    assert per_night > 6
    assert 16 in run.status[LAMP]
    assert (healthy.status[LAMP] == 0).all()


def test_a_day_burner_adds_its_own_light_and_draws_power_by_day(
    feeder: Feeder, healthy: Measured
) -> None:
    run = struck(feeder, "lamp_unexpected_on", 1.0)
    _, day = parts(run)
    added = (run.lux - healthy.lux)[LAMP][day]

    assert np.median(added) == pytest.approx(feeder.level_lx[LAMP] * feeder.own[LAMP], rel=0.1)
    assert np.median(run.power_w[LAMP][day]) > 0.9 * feeder.rated_w[LAMP]
    assert ratio(run, healthy)[0] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("minutes", [60.0, -60.0])
def test_a_switching_error_darkens_one_end_of_the_night(
    feeder: Feeder, healthy: Measured, minutes: float
) -> None:
    run = struck(feeder, "switching_error", minutes)
    lost = (healthy.light[LAMP] > 0.9) & (run.light[LAMP] < 0.1)
    hours = run.true_ms[LAMP][lost] / 3_600_000 % 24
    evening = (hours > 12).mean()

    assert lost.sum() == pytest.approx(6 * 7, abs=8)
    assert evening == (1.0 if minutes > 0 else 0.0)
    assert not ((healthy.light[LAMP] < 0.1) & (run.light[LAMP] > 0.9)).any()


def test_a_feeder_clock_moves_both_ends_of_the_night_of_everyone(
    feeder: Feeder, healthy: Measured
) -> None:
    everyone = tuple(range(feeder.size))
    clock = Fault(
        "x", "switching_error", "clock", feeder.name, everyone, BEGIN_MS, OPEN_MS, 60.0, 0, "x",
        "feeder", feeder.name,
    )  # fmt: skip
    run = measured(feeder, [clock])
    lost = (healthy.light > 0.9) & (run.light < 0.1)
    gained = (healthy.light < 0.1) & (run.light > 0.9)

    assert (lost.sum(1) > 30).all()
    assert (gained.sum(1) > 30).all()


def test_a_lost_supply_is_silence_on_mains_and_darkness_on_batteries(feeder: Feeder) -> None:
    everyone = tuple(range(feeder.size))
    out = Fault(
        "x", "supply_loss", "dark_feeder", feeder.name, everyone, BEGIN_MS, OPEN_MS, 0.0, 0, "x",
        "feeder", feeder.name,
    )  # fmt: skip
    mains = measured(replace(feeder, battery=False), [out])
    battery = measured(replace(feeder, battery=True), [out])
    later = mains.true_ms[0] > BEGIN_MS + 2 * 600_000

    assert not mains.alive[0][later].any()
    assert mains.alive[0][mains.true_ms[0] < BEGIN_MS].all()
    assert battery.alive[0][later].all()
    assert (battery.light[0][later] == 0).all()
    assert 128 in mains.status[0][mains.alive[0]]


@pytest.mark.parametrize("size", [0.0, 1.0, 2.0])
def test_a_stuck_sensor_repeats_itself_day_and_night(feeder: Feeder, size: float) -> None:
    run = struck(feeder, "sensor_stuck", size)
    after = run.true_ms[LAMP] >= BEGIN_MS

    assert len(np.unique(run.lux[LAMP][after])) == 1
    assert len(np.unique(run.lux[LAMP][~after])) > 100


def test_a_blind_sensor_loses_night_and_day_by_one_factor(
    feeder: Feeder, healthy: Measured
) -> None:
    night, day = ratio(struck(feeder, "sensor_blind", 0.3), healthy)

    assert night == pytest.approx(0.3, rel=0.02)
    assert day == pytest.approx(0.3, rel=0.02)


def test_a_drifting_sensor_moves_slowly_night_and_day(feeder: Feeder, healthy: Measured) -> None:
    run = struck(feeder, "sensor_drift", -0.8)
    night, day = parts(run)
    change = run.lux[LAMP] / healthy.lux[LAMP]

    assert change[night][0] > 0.98
    assert change[night][-10:].mean() == pytest.approx(change[day][-10:].mean(), rel=0.1)
    assert change[night][-1] < 0.9


def test_a_misaimed_sensor_sees_less_lamp_and_more_sky(feeder: Feeder, healthy: Measured) -> None:
    night, day = ratio(struck(feeder, "misaimed", 0.4), healthy)

    assert night == pytest.approx(0.4, abs=0.03)
    assert day > 1.3


def test_a_silent_device_says_nothing_and_its_lamp_burns_on(
    feeder: Feeder, healthy: Measured
) -> None:
    run = struck(feeder, "communication_failure", 0.0)
    after = run.true_ms[LAMP] >= BEGIN_MS

    assert not run.alive[LAMP][after].any()
    np.testing.assert_array_equal(run.light, healthy.light)


def test_batteries_thin_out_for_days_before_they_are_silent(feeder: Feeder) -> None:
    run = struck(replace(feeder, battery=True), "communication_failure", 0.0)
    before = (run.true_ms[LAMP] < BEGIN_MS) & (run.true_ms[LAMP] > BEGIN_MS - 2 * DAY_MS)

    assert 0.1 < run.alive[LAMP][before].mean() < 0.6


def test_a_repaired_fault_is_over(feeder: Feeder, healthy: Measured) -> None:
    end_ms = BEGIN_MS + 3 * DAY_MS
    fault = shaped_fault(feeder, LAMP, "lamp_failure", generator(1, "t"), BEGIN_MS, end_ms)
    run = measured(feeder, [fault])
    outside = (run.true_ms[LAMP] < BEGIN_MS) | (run.true_ms[LAMP] >= end_ms)

    np.testing.assert_array_equal(run.lux[LAMP][outside], healthy.lux[LAMP][outside])


def test_planned_work_lights_the_lamps_by_day(feeder: Feeder, healthy: Measured) -> None:
    table = sky_table(CALM, CALM.start_ms // DAY_MS, 12)
    noon = BEGIN_MS + DAY_MS // 2
    quirks = tuple(quirks_of(CALM, feeder, lamp) for lamp in range(feeder.size))
    run = measure(CALM, feeder, [], quirks, (Span(noon, noon + 3_600_000),), table)
    working = (run.true_ms[0] >= noon) & (run.true_ms[0] < noon + 3_600_000)

    assert (run.light[0][working] == 1).all()
    np.testing.assert_array_equal(run.light[0][~working], healthy.light[0][~working])


def test_tunnels_burn_day_and_night(plan: CityPlan) -> None:
    tunnel = next(f for f in plan.feeders if f.tunnel)

    assert measured(tunnel, []).burning.all()


def test_a_feeder_that_is_fed_at_night_alone_is_silent_by_day(feeder: Feeder) -> None:
    run = measured(replace(feeder, switching="feeder"), [])
    elevation, _ = sun_position(run.true_ms.astype(float), CALM.city.lat, CALM.city.lon)

    assert not run.alive[elevation > 0].any()
    assert run.alive[elevation < -6].all()


@pytest.mark.parametrize(
    ("dimming", "at_23", "at_03", "at_12"),
    [
        ("", 1, 1, 1),
        ("22:00-05:00@40", 0.4, 0.4, 1),
        ("00:30-04:30@0", 1, 0, 1),
        ("22:00-23:30@50;23:30-05:00@20", 0.5, 0.2, 1),
    ],
)
def test_dimming_programmes_run_over_midnight(
    dimming: str, at_23: float, at_03: float, at_12: float
) -> None:
    level, motion = programme_levels(dimming)

    assert (level[23 * 60], level[3 * 60], level[12 * 60]) == (at_23, at_03, at_12)
    assert not motion.any()


def test_five_in_a_row_are_five_neighbours_of_one_segment(plan: CityPlan) -> None:
    for feeder in plan.feeders:
        for at in range(feeder.size):
            lamps = in_a_row(feeder, at)
            assert len({feeder.segments[k] for k in lamps}) == 1
            assert list(lamps) == list(range(lamps[0], lamps[0] + len(lamps)))
            longest = max(feeder.segments.count(s) for s in feeder.segments)
            assert len(lamps) == min(5, longest)


def test_every_kind_comes_up_and_no_lamp_has_two_faults_at_once() -> None:
    rates = FaultRates(
        **dict.fromkeys(FAULT_KINDS, 0.05), feeder_out=0.1, five_in_a_row=0.2, feeder_clock=0.1,
        cabinet_out=0.1, gateway_dead=0.1,
    )  # fmt: skip
    plan = build_plan(Scenario(city=City(luminaires=800), faults=rates))
    faults = [f for found in plan_faults(plan).values() for f in found]

    assert {f.kind for f in faults} == {*FAULT_KINDS, "supply_loss"}
    assert {f.cause_kind for f in faults} == {
        "luminaire", "sensor", "segment", "feeder", "cabinet", "gateway",
    }  # fmt: skip
    singles = [(f.feeder, f.lamps[0]) for f in faults if len(f.lamps) == 1]
    assert len(singles) == len(set(singles))


def test_a_placed_fault_stands_where_it_was_placed_and_leaves_gateways_apart() -> None:
    scenario = Scenario(
        city=City(luminaires=300),
        fault=(
            PlacedFault(kind="gateway_dead", gateway=1, at_day=2.0),
            PlacedFault(kind="feeder_out", feeder=1, at_day=3.0, until_day=4.0),
        ),
    )
    plan = build_plan(scenario)
    faults = [f for found in plan_faults(plan).values() for f in found]
    gateway = list(plan.gateways)[1]
    silent = {f.feeder for f in faults if f.kind == "communication_failure"}
    dark = next(f for f in faults if f.kind == "supply_loss")

    assert silent == {f.name for f in plan.gateways[gateway]}
    assert dark.feeder not in silent
    assert dark.end_ms - dark.start_ms == DAY_MS
    assert dark.start_ms == scenario.start_ms + 3 * DAY_MS


def test_more_faults_on_one_feeder_change_no_other_feeders_faults() -> None:
    quiet = Scenario(city=City(luminaires=300), faults=FaultRates(lamp_failure=0.05))
    placed = PlacedFault(kind="lamp_failure", feeder=3, lamp=1)
    plan = build_plan(quiet)
    before = plan_faults(plan)
    after = plan_faults(build_plan(Scenario(city=quiet.city, faults=quiet.faults, fault=(placed,))))
    changed = [name for name in before if before[name] != after[name]]

    assert changed == [plan.feeders[3].name]
