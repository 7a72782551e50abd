"""Vendors' payloads and network servers' envelopes, byte for byte."""

import base64
import json
from pathlib import Path

import pytest

from firmware_sim.devices import nas_ul20xx as nas
from firmware_sim.devices.elsys import encode_elsys
from firmware_sim.devices.envelopes import Uplink, chirpstack_v3, chirpstack_v4, things_stack_v3
from firmware_sim.devices.lorawan import ElsysSensor, LuminaireController, dev_eui_of

NOON_MS = 1_790_000_000_000
UPLINK = Uplink("FEFF010203040506", "L-1", "ELSYS ERS", 5, 7, b"\x01\x02", NOON_MS)


def test_an_alert_of_one_dead_lamp() -> None:
    # As the vendor's decoder test has it: DALI address 1, lamp failure.
    assert (
        nas.encode_driver_alert((nas.Driver(nas.single(1), lamp_failure=True),)).hex() == "83200202"
    )


def test_an_alert_of_the_meter() -> None:
    # As the vendor's decoder test has it: over-current, 89 W, 229 V, power factor 0.86.
    payload = nas.encode_metering_alert(
        power_w=89, voltage_v=229, power_factor=0.86, over_current=True
    )

    assert payload.hex() == "84025900e50056"


def test_a_status_begins_with_the_clock_and_lists_the_drivers() -> None:
    drivers = (nas.Driver(nas.BROADCAST, level_pct=25), nas.Driver(nas.single(9), level_pct=25))
    payload = nas.encode_status(
        0x5E207FF3, drivers, dali_error=True, rssi_dbm=-50, snr_db=9, temperature_c=22
    )

    assert payload.hex() == "00f37f205e8232091600fe50190012501900"


def test_a_status_with_a_light_sensor_has_the_layout_of_the_vendors_example() -> None:
    drivers = (nas.Driver(nas.BROADCAST, level_pct=25), nas.Driver(nas.single(9), level_pct=25))
    payload = nas.encode_status(
        0x5E207FF3, drivers, light_lx=299.9, lamp_error_in_24_h=True, dali_error=True,
        rssi_dbm=-50, snr_db=9, temperature_c=22,
    )  # fmt: skip

    # The vendor's has a photoresistor and a digital input, open drain and LumaLink besides.
    assert payload.hex() == "01f37f205e8200320916200302" + "9455" + "fe50190012501900"


@pytest.mark.parametrize(
    ("light_lx", "raw"), [(0.0, 0), (0.001, 0), (1.0, 12_000), (-1.0, 0xFFFF), (65535.0, 0xFFFF)]
)
def test_light_is_a_logarithm_from_a_thousandth_of_a_lux(light_lx: float, raw: int) -> None:
    assert nas.encode_light(light_lx) == b"\x02" + raw.to_bytes(2, "little")


def test_a_usage_packet_says_what_is_in_it() -> None:
    payload = nas.encode_usage(
        address=nas.single(9), energy_wh=234_567, power_w=42, voltage_v=229, power_factor=0.93,
        lamp_on_s=19_918_800,
    )  # fmt: skip

    assert payload.hex() == "0012b3479403002a005de5d0ef2f01"


def test_an_elsys_payload_is_a_row_of_tagged_values() -> None:
    payload = encode_elsys(
        temperature_c=-0.5, humidity_pct=41, light_lx=39.4, motion=300, supply_v=3.674
    )

    assert payload.hex() == "01fffb02290400270" + "5ff070e5a"


@pytest.mark.data
def test_elsys_payloads_agree_with_the_vendors_own_examples(data_dir: Path) -> None:
    names = {
        "temperature": "temperature_c",
        "humidity": "humidity_pct",
        "light": "light_lx",
        "motion": "motion",
    }
    compared = 0
    for line in (data_dir / "lorawan" / "codec_vectors_dev.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        known = {"temperature", "humidity", "light", "motion", "batteryVoltage", "batteryLevel"}
        if row["vendor"] != "elsys" or not {"light"} <= row["expected"].keys() <= known:
            continue
        expected = row["expected"]
        values = {names[k]: v for k, v in expected.items() if k in names}
        ours = encode_elsys(**values, supply_v=expected.get("batteryVoltage"))
        if len(ours) == len(row["hex"]) // 2:
            assert ours.hex() == row["hex"]
            compared += 1
    assert compared >= 1


def test_chirpstack_v4_leaves_out_a_counter_of_zero() -> None:
    topic, payload = chirpstack_v4(UPLINK)
    first = json.loads(chirpstack_v4(Uplink(**{**vars_of(UPLINK), "counter": 0}))[1])

    assert topic == "application/ljusvakt/device/feff010203040506/event/up"
    assert json.loads(payload)["fCnt"] == 7
    assert "fCnt" not in first
    assert base64.b64decode(json.loads(payload)["data"]) == b"\x01\x02"


def vars_of(uplink: Uplink) -> dict[str, object]:
    return {name: getattr(uplink, name) for name in uplink.__dataclass_fields__}


def test_every_envelope_carries_device_port_counter_and_bytes() -> None:
    v3 = json.loads(chirpstack_v3(UPLINK)[1])
    topic, payload = things_stack_v3(UPLINK)
    tts = json.loads(payload)

    assert (v3["devEUI"], v3["fPort"], v3["fCnt"], v3["data"]) == ("feff010203040506", 5, 7, "AQI=")
    assert topic == "v3/ljusvakt@ttn/devices/eui-feff010203040506/up"
    assert tts["uplink_message"]["frm_payload"] == "AQI="
    assert tts["received_at"] == "2026-09-21T14:13:20.000000000Z"


def test_the_same_name_is_the_same_eui() -> None:
    assert dev_eui_of("L-1") == "FEFF9ED15F6D259A"
    assert len({dev_eui_of(f"L-{k}") for k in range(1000)}) == 1000


def test_a_controller_tells_its_status_and_with_a_meter_its_use() -> None:
    controller = LuminaireController.named("L-1", 40.0)
    metered = controller.sample(NOON_MS, level=1.0, power_w=40.0, energy_wh=70_000, lamp_on_s=3600)
    without = controller.sample(NOON_MS, level=1.0, power_w=None, energy_wh=0, lamp_on_s=0)
    frames = [json.loads(m.payload) for m in metered]

    assert [frame["fPort"] for frame in frames] == [23, 26]
    assert base64.b64decode(frames[1]["data"])[3:7] == (70_000).to_bytes(4, "little")
    assert [json.loads(m.payload)["fPort"] for m in without] == [23]


def test_a_start_has_the_layout_of_the_vendors_example() -> None:
    # 00, serial, firmware 1.1.1, 2020-01-16T15:23:31Z, DALI, options, bus high, drivers, reason.
    example = bytes.fromhex("000D008350010101F37F205E000CFE0104")
    ours = nas.encode_boot(0x5083000D, 1579188211)

    assert len(ours) == len(example)
    assert ours[:5] == example[:5]
    assert ours[8:12] == example[8:12]
    assert (ours[12], ours[14], ours[15]) == (example[12], example[14], example[15])


def test_a_frame_that_a_gateway_kept_has_the_gateways_time_or_the_servers() -> None:
    late = Uplink(**{**vars_of(UPLINK), "arrived_ms": UPLINK.time_ms + 3_600_000})
    v4, v3 = json.loads(chirpstack_v4(late)[1]), json.loads(chirpstack_v3(late)[1])
    tts = json.loads(things_stack_v3(late)[1])
    heard, arrived = "2026-09-21T14:13:20.000000000Z", "2026-09-21T15:13:20.000000000Z"

    assert (v4["time"], v4["rxInfo"][0]["nsTime"]) == (heard, arrived)
    assert v3["rxInfo"][0]["time"] == heard
    assert tts["received_at"] == tts["uplink_message"]["received_at"] == arrived
    assert tts["uplink_message"]["rx_metadata"][0]["time"] == heard


def test_a_sensor_counts_its_frames_and_its_battery_sinks() -> None:
    sensor = ElsysSensor.named("L-1", NOON_MS)
    frames = [
        json.loads(sensor.measure(NOON_MS + k * 365 * 86_400_000, light_lx=12).payload)
        for k in (0, 5)
    ]
    volts = [int.from_bytes(base64.b64decode(frame["data"])[-2:], "big") for frame in frames]

    assert [frame.get("fCnt", 0) for frame in frames] == [0, 1]
    assert volts[0] == 3600
    assert 3200 < volts[1] < 3400
