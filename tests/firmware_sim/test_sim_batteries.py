"""Native devices on batteries say what is left; others say nothing of it."""

import numpy as np
import pytest

from firmware_sim.batteries import battery_volts
from firmware_sim.city import build_plan
from firmware_sim.faults import OPEN_MS, Fault
from firmware_sim.feed import feeder_rows
from firmware_sim.scenario import load_scenario
from firmware_sim.sky import DAY_MS
from firmware_sim.telling import history
from firmware_sim.world import build_city
from ingest.devices import DeviceEntry, Registry
from ingest.reading import Quantity
from ingest.wire import decode

SCENARIO = load_scenario("realistic").changed(luminaires=200, days=12)
PLAN = build_plan(SCENARIO)
ON_BATTERIES = next(f for f in PLAN.feeders if f.battery)


def silent(lamp: int, start_day: float, end_ms: int = OPEN_MS) -> Fault:
    kind, device = "communication_failure", ON_BATTERIES.device_ids[lamp]
    start_ms = SCENARIO.start_ms + round(start_day * DAY_MS)
    return Fault(
        "F1", kind, kind, ON_BATTERIES.name, (lamp,), start_ms, end_ms, 0.0, 0, "F1", "sensor",
        device,
    )  # fmt: skip


def volts(days: list[float], faults: list[Fault]) -> np.ndarray:
    time_ms = SCENARIO.start_ms + np.array(days) * DAY_MS
    each = np.broadcast_to(time_ms, (ON_BATTERIES.size, len(days)))
    return battery_volts(SCENARIO, ON_BATTERIES, faults, each)


def test_a_battery_sinks_by_six_hundredths_a_year() -> None:
    found = volts([0, 365.25, 2 * 365.25], [])

    np.testing.assert_allclose(np.diff(found, axis=1), -0.06, atol=0.011)
    assert len(np.unique(found[:, 0])) > 1  # not all were put up on the same day


def test_a_battery_empties_before_its_device_falls_silent_and_is_new_afterwards() -> None:
    back_ms = SCENARIO.start_ms + 12 * DAY_MS
    found = volts([0, 5.9, 8, 9.9, 12.1], [silent(1, 10, back_ms)])

    assert found[1, 1] == found[1, 0]
    assert found[1, 2] < found[1, 1] - 0.1
    assert found[1, 3] < 2.7
    assert found[1, 4] == 3.6
    np.testing.assert_array_equal(found[0], volts([0, 5.9, 8, 9.9, 12.1], [])[0])


@pytest.mark.parametrize("battery", [True, False])
def test_only_devices_on_batteries_tell_of_them(battery: bool) -> None:
    feeder = next(f for f in PLAN.feeders if f.battery is battery)
    rows, _ = feeder_rows(SCENARIO, feeder, [], SCENARIO.start_ms // DAY_MS, 1)

    assert np.isfinite(rows.battery_v).all() if battery else np.isnan(rows.battery_v).all()
    assert ("battery_v" in rows.columns()) is battery


def test_a_day_alone_tells_the_same_as_the_day_within_the_month() -> None:
    fault, first = [silent(1, 3)], SCENARIO.start_ms // DAY_MS
    whole, _ = feeder_rows(SCENARIO, ON_BATTERIES, fault, first, 3)
    day, _ = feeder_rows(SCENARIO, ON_BATTERIES, fault, first + 2, 1)
    within = whole.true_ms >= SCENARIO.start_ms + 2 * DAY_MS

    assert day.battery_v.min() < 2.7
    np.testing.assert_array_equal(np.sort(day.battery_v), np.sort(whole.battery_v[within]))


def test_what_is_told_of_batteries_is_understood() -> None:
    city = build_city(SCENARIO)
    start_ms = SCENARIO.start_ms + DAY_MS
    devices = {d for f in city.feeders if f.battery for d in f.device_ids}
    known = Registry([DeviceEntry(d) for d in devices])
    told = set()
    for topic, payload, _ in history(city, start_ms, start_ms + 7 * 3_600_000):
        if topic.split("/")[3] not in devices:
            assert b"battery_v" not in payload
            continue
        for reading in decode(topic, payload, known).series:
            if reading.quantity is Quantity.BATTERY_VOLTAGE:
                assert 2.4 <= min(reading.value) <= max(reading.value) <= 3.6
                told.add(reading.device_id)

    assert 0.9 * len(devices) < len(told)
    assert told <= devices
