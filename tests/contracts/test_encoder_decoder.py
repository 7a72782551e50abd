"""What the simulated devices write, the collector reads: two readings of one page of rules."""

import base64
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.devices import nas_ul20xx
from firmware_sim.devices.elsys import encode_elsys
from firmware_sim.devices.envelopes import Uplink, chirpstack_v3, chirpstack_v4, things_stack_v3
from firmware_sim.devices.lorawan import LuminaireController, Radio
from firmware_sim.devices.native import encode_events, encode_readings, topic
from firmware_sim.devices.node import Node, Row
from firmware_sim.feed import write_feed
from firmware_sim.samples import samples
from firmware_sim.scenario import load_scenario
from firmware_sim.telling import history
from firmware_sim.world import build_city
from ingest.devices import DeviceEntry, Registry
from ingest.reading import QUANTITIES, Quantity
from ingest.wire import decode

START_MS = 1_790_000_000_000
SET_MS = 1_577_836_800_000  # 2020: an older time is a clock that was never set
EUI = "FEFF010203040506"
REGISTRY = Registry([DeviceEntry("L-1", dev_eui=EUI, codec="elsys"), DeviceEntry("N-1")])
TIMES = st.integers(1_577_836_800_000, 4_000_000_000_000)


def value_of(quantity: Quantity) -> st.SearchStrategy[float]:
    spec = QUANTITIES[quantity]
    return st.floats(spec.lowest, spec.highest, allow_nan=False).filter(
        lambda v: v not in spec.sentinels
    )


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[int], dict[str, list[float | None]]]:
    """Times and columns of a message; some values not known."""
    first = draw(TIMES)
    deltas = draw(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=8))
    names = draw(st.lists(st.sampled_from(list(Quantity)), min_size=1, max_size=3, unique=True))
    columns: dict[str, list[float | None]] = {}
    for name in names:
        values = st.lists(st.none() | value_of(name), min_size=len(deltas), max_size=len(deltas))
        columns[name.value] = draw(values)
    return [first, *(first + d for d in deltas[1:])], columns


@settings(deadline=None)
@given(batches(), st.integers(0, 1000), st.integers(0, 2**32 - 1), st.booleans())
def test_a_batch_is_read_as_it_was_written(
    batch: tuple[list[int], dict[str, list[float | None]]], boot: int, seq: int, simulated: bool
) -> None:
    times, columns = batch
    payload = encode_readings(times, columns, boot=boot, seq=seq, simulated=simulated)
    decoded = decode(topic("G-1", "L-1", "readings"), payload, REGISTRY)

    expected = {
        name: [(t, v) for t, v in zip(times, values, strict=True) if v is not None]
        for name, values in columns.items()
    }
    found = {s.quantity.value: list(zip(s.time_ms, s.value, strict=True)) for s in decoded.series}
    assert found == {name: rows for name, rows in expected.items() if rows}
    assert decoded.skipped == sum(v is None for values in columns.values() for v in values)
    assert decoded.simulated == simulated
    assert decoded.sequence is not None
    assert (decoded.sequence.boot, decoded.sequence.first, decoded.sequence.count) == (
        boot, seq, len(times),
    )  # fmt: skip


@settings(deadline=None)
@given(TIMES, st.sampled_from([True, False, None]), st.sampled_from(["", "DALI 0x12"]))
def test_a_fault_report_is_read_as_it_was_written(
    time_ms: int, active: bool | None, info: str
) -> None:
    payload = encode_events(time_ms, "lamp_failure", active=active, info=info)
    (event,) = decode(topic("G-1", "L-1", "events"), payload, REGISTRY).events

    assert (event.device_id, event.time_ms, event.event) == ("L-1", time_ms, "lamp_failure")
    assert (event.active, event.info) == (active, info)


def test_a_node_that_resends_repeats_the_same_readings_and_numbers() -> None:
    node = Node("G-1", "L-1", boot=4)
    sent = node.send([Row(START_MS + k, {"illuminance_lx": 1.5 * k}) for k in range(5)])
    node.acknowledge(4, 1)
    (first,), (again,) = (
        [decode(m.topic, m.payload, REGISTRY) for m in messages]
        for messages in (sent, node.resend())
    )

    assert again.series[0].time_ms == first.series[0].time_ms[2:]
    assert again.series[0].value == first.series[0].value[2:]
    assert again.sequence is not None
    assert again.sequence.first == 2


@pytest.mark.parametrize("envelope", [chirpstack_v4, chirpstack_v3, things_stack_v3])
def test_an_elsys_uplink_is_read_through_every_network_server(envelope: object) -> None:
    payload = encode_elsys(
        light_lx=123, temperature_c=-4.5, humidity_pct=81, motion=3, supply_v=3.5
    )
    uplink = Uplink(EUI, "L-1", "ELSYS ERS", 5, 99, payload, START_MS)
    where, message = envelope(uplink)  # type: ignore[operator]
    decoded = decode(where, message, REGISTRY)
    values = {s.quantity: s.value[0] for s in decoded.series}

    assert values[Quantity.ILLUMINANCE] == 123
    assert values[Quantity.TEMPERATURE] == pytest.approx(-4.5)
    assert values[Quantity.HUMIDITY] == 81
    assert values[Quantity.MOTION] == 3
    assert values[Quantity.BATTERY_VOLTAGE] == pytest.approx(3.5)
    assert {s.device_id for s in decoded.series} == {"L-1"}
    assert decoded.network_ms == START_MS
    assert decoded.frame is not None
    assert (decoded.frame.frame_counter, decoded.frame.payload) == (99, payload)


def test_a_luminaire_controller_is_read_by_the_codec_of_its_profile() -> None:
    controller = LuminaireController.named("L-7", 40.0)
    registry = Registry([DeviceEntry("L-7", dev_eui=controller.radio.dev_eui)])
    messages = controller.sample(
        START_MS, level=0.6, power_w=2.0, energy_wh=1_234_567, lamp_on_s=9, lamp_failure=True
    )
    decoded = [decode(m.topic, m.payload, registry) for m in messages]
    values = {s.quantity: s.value[-1] for d in decoded for s in d.series}
    events = [(e.event, e.active) for d in decoded for e in d.events]

    assert values[Quantity.POWER] == 2
    assert values[Quantity.ENERGY] == 1234.567
    assert values[Quantity.DIMMING] == 60
    assert int(values[Quantity.LAMP_STATUS]) & 1
    assert ("lamp_failure", True) in events


@given(st.floats(0.001, 60_000), st.integers(0, 7), st.integers(0, 100))
def test_a_controllers_light_and_failures_are_read_as_they_were_meant(
    light_lx: float, flags: int, level_pct: int
) -> None:
    lamp, gear, restarted = (bool(flags & bit) for bit in (1, 2, 4))
    driver = nas_ul20xx.Driver(
        nas_ul20xx.single(0), driver_error=gear, lamp_failure=lamp, power_failure=restarted,
        level_pct=level_pct,
    )  # fmt: skip
    payload = nas_ul20xx.encode_status(START_MS // 1000, (driver,), light_lx=light_lx)
    registry = Registry([DeviceEntry("L-7", dev_eui=EUI)])
    uplink = Uplink(EUI, "L-7", "NAS UL20xx", nas_ul20xx.STATUS_PORT, 3, payload, START_MS + 9)
    decoded = decode(*chirpstack_v4(uplink), registry)
    values = {s.quantity: (s.time_ms[0], s.value[0]) for s in decoded.series}

    # 4,000 steps a decade: half a step is 0.03 %.
    assert values[Quantity.ILLUMINANCE] == (START_MS, pytest.approx(light_lx, rel=3e-4))
    assert values[Quantity.DIMMING] == (START_MS, level_pct)
    assert values[Quantity.LAMP_STATUS] == (START_MS, lamp + 2 * gear + 16 * restarted)
    assert {e.event for e in decoded.events} == {
        name for name, there in (("lamp_failure", lamp), ("control_gear_failure", gear)) if there
    }


def events_of(controller: LuminaireController, event: str) -> list[tuple[str, bool | None]]:
    """What is read of a report that begins and ends."""
    registry = Registry([DeviceEntry("L-7", dev_eui=controller.radio.dev_eui)])
    messages = [m for on in (True, False) for m in controller.report(START_MS, event, active=on)]
    found = [e for m in messages for e in decode(m.topic, m.payload, registry).events]
    return [(e.event, e.active) for e in found if e.event == event]


@pytest.mark.parametrize("event", ["lamp_failure", "control_gear_failure"])
def test_a_controllers_report_begins_and_ends(event: str) -> None:
    controller = LuminaireController.named("L-7", 40.0)

    assert events_of(controller, event) == [(event, True), (event, False)]


def test_without_a_driver_the_meter_reports_a_dead_lamp_and_nothing_else() -> None:
    controller = LuminaireController(Radio("L-7", "NAS UL20xx"), 40.0, dali=False)

    assert events_of(controller, "lamp_failure") == [
        ("lamp_failure", True),
        ("lamp_failure", False),
    ]
    assert controller.report(START_MS, "control_gear_failure", active=True) == []
    assert controller.report(START_MS, "cycling_failure", active=True) == []


def test_a_controller_says_that_its_supply_is_back() -> None:
    controller = LuminaireController.named("L-7", 40.0)
    registry = Registry([DeviceEntry("L-7", dev_eui=controller.radio.dev_eui)])
    (message,) = controller.report(START_MS, "device_reset", active=None)

    assert [
        (e.event, e.active) for e in decode(message.topic, message.payload, registry).events
    ] == [("device_reset", None)]


def test_a_meters_alert_is_read_as_power_at_least() -> None:
    payload = nas_ul20xx.encode_metering_alert(
        power_w=3, voltage_v=231, power_factor=0.5, lamp_error=True
    )
    registry = Registry([DeviceEntry("L-7", dev_eui=EUI, codec="nas")])
    uplink = Uplink(EUI, "L-7", "UL2014", nas_ul20xx.ALERT_PORT, 3, payload, START_MS)
    decoded = decode(*chirpstack_v4(uplink), registry)

    assert {s.quantity: s.value for s in decoded.series}[Quantity.POWER] == [3]
    assert decoded.events


def test_every_message_of_a_simulated_day_can_be_read() -> None:
    city = build_city(load_scenario("nuisances").changed(luminaires=120, days=1))
    registry = Registry([DeviceEntry(str(row["device_id"])) for row in city.assets_rows()])
    start_ms = city.scenario.start_ms
    readings = messages = 0
    for where, payload, received_ms in history(city, start_ms, start_ms + 86_400_000):
        decoded = decode(where, payload, registry)
        assert decoded.simulated
        assert len(payload) <= 65_536
        assert start_ms <= received_ms < start_ms + 86_400_000
        readings += sum(len(s.value) for s in decoded.series)
        messages += 1

    assert messages > 400
    assert readings > 20_000


def test_rows_of_a_history_are_numbered_without_a_gap() -> None:
    city = build_city(load_scenario("nuisances").changed(luminaires=40, days=1))
    registry = Registry([DeviceEntry(str(row["device_id"])) for row in city.assets_rows()])
    start_ms = city.scenario.start_ms
    expected: dict[str, int] = {}
    for where, payload, _ in history(city, start_ms, start_ms + 86_400_000, boot=7):
        sequence = decode(where, payload, registry).sequence
        assert sequence is not None
        device = where.split("/")[3]
        assert (sequence.boot, sequence.first) == (7, expected.get(device, 0))
        expected[device] = sequence.first + sequence.count

    assert len(expected) > 40
    assert min(expected.values()) > 10


def test_a_message_a_sample_is_what_the_encoder_writes_and_holds_what_the_files_hold(
    tmp_path: Path,
) -> None:
    scenario = load_scenario("nuisances").changed(luminaires=60, days=2)
    city = build_city(scenario)
    registry = Registry([DeviceEntry(str(row["device_id"])) for row in city.assets_rows()])
    sent: Counter[tuple[str, int, Quantity, float]] = Counter()
    numbers: dict[str, tuple[int, int]] = {}
    for where, payload, _ in (message for piece in samples(city, 5) for message in piece):
        content = json.loads(payload)
        device = where.split("/")[3]
        boot, expected = numbers.get(device, (5 << 16, 0))
        # From 0 again after the device has lost its supply or the time.
        assert (content["boot"], content["seq"]) == (boot, expected) or (
            content["boot"] > boot and content["seq"] == 0
        )
        numbers[device] = (content["boot"], content["seq"] + 1)
        if where.endswith("/readings"):
            assert payload == encode_readings(
                [content["t0"]], content["q"], boot=content["boot"], seq=content["seq"]
            )
        for series in decode(where, payload, registry).series:
            sent[(series.device_id, series.time_ms[0], series.quantity, series.value[0])] += 1
    write_feed(scenario, tmp_path, processes=1)
    table = pq.read_table(tmp_path / "readings.parquet")
    devices, times = table["device_id"].to_pylist(), table["time"].cast("int64").to_pylist()
    written: Counter[tuple[str, int, Quantity, float]] = Counter()
    for quantity in Quantity:
        if quantity.value in table.column_names:
            for device, time_ms, value in zip(
                devices, times, table[quantity.value].to_pylist(), strict=True
            ):
                if value is not None:
                    written[(device, time_ms, quantity, round(value, 3))] += 1
    rounded: Counter[tuple[str, int, Quantity, float]] = Counter()
    for (device, time_ms, quantity, value), count in sent.items():
        rounded[(device, time_ms, quantity, round(float(np.float32(value)), 3))] += count

    assert len(numbers) == len(registry)
    assert max(boot for boot, _ in numbers.values()) > 5 << 16
    # Times from 1970 are of devices whose clock was not set; ingest moves those.
    assert {k: n for k, n in rounded.items() if k[1] > SET_MS} == {
        k: n for k, n in written.items() if k[1] > SET_MS
    }


@pytest.mark.slow
def test_a_meter_goes_on_where_it_stood_whenever_the_city_is_asked() -> None:
    scenario = load_scenario("demo").changed(luminaires=40, days=5)
    devices = msgspec.structs.replace(scenario.devices, lorawan=1.0, power=1.0)
    scenario = msgspec.structs.replace(scenario, devices=devices)
    registry = Registry(
        [DeviceEntry(str(r["device_id"])) for r in build_city(scenario).assets_rows()]
    )

    def energy(first_day: int, days: int) -> dict[str, dict[int, float]]:
        start_ms = scenario.start_ms + first_day * 86_400_000
        found: dict[str, dict[int, float]] = {}
        messages = history(build_city(scenario), start_ms, start_ms + days * 86_400_000)
        for where, payload, received_ms in messages:
            for series in decode(where, payload, registry).series:
                if series.quantity is Quantity.ENERGY:
                    found.setdefault(series.device_id, {})[received_ms] = series.value[-1]
        return found

    whole, later, earlier = energy(0, 5), energy(3, 2), energy(-1, 1)

    assert len(whole) > 30
    assert later.keys() == earlier.keys() == whole.keys()
    for device, counted in later.items():
        assert counted.items() <= whole[device].items()
        assert min(earlier[device].values()) < min(counted.values())
    for device, counted in whole.items():
        kwh = [counted[t] for t in sorted(counted)]
        assert kwh[0] > 0
        # A frame that was held back may bring an older count; the meter itself never goes back.
        assert sum(b < a for a, b in pairwise(kwh)) < 0.02 * len(kwh)
        assert kwh[-1] > kwh[0]
        assert max(earlier[device].values()) <= kwh[0]


@pytest.mark.parametrize("server", ["chirpstack_v4", "chirpstack_v3", "things_stack_v3"])
def test_a_city_on_lorawan_is_read_under_its_devices_euis(server: str) -> None:
    scenario = load_scenario("demo").changed(luminaires=40, days=1)
    devices = msgspec.structs.replace(scenario.devices, lorawan=1.0, network_server=server)
    city = build_city(msgspec.structs.replace(scenario, devices=devices))
    names = [str(row["device_id"]) for row in city.assets_rows()]
    registry = Registry([DeviceEntry(name) for name in names])
    start_ms = city.scenario.start_ms
    found: dict[str, int] = {}
    begins = {"things_stack_v3": "v3/", "chirpstack_v3": "application/1/"}
    for where, payload, _ in history(city, start_ms, start_ms + 86_400_000):
        if not where.startswith("ljusvakt/v1/"):  # the counters stay as they are
            assert where.startswith(begins.get(server, "application/ljusvakt/"))
        for series in decode(where, payload, registry).series:
            found[series.device_id] = found.get(series.device_id, 0) + len(series.value)

    assert set(found) == set(names)
    assert min(found.values()) > 100


def test_envelopes_are_plain_json() -> None:
    _, message = chirpstack_v4(Uplink(EUI, "Å", "ELSYS", 5, 1, b"\x04\x00\x01", START_MS))

    assert base64.b64decode(json.loads(message)["data"]) == b"\x04\x00\x01"
