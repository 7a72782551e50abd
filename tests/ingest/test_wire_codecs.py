"""LoRaWAN payloads, byte by byte, and the vendors' own test vectors."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.errors import MalformedPayloadError, UnknownCodecError
from ingest.wire.codecs import FAMILIES, Report, Value, codec, family_of_profile
from ingest.wire.talq import EVENTS


def said(family: str, port: int, payload: str, model: str | None = None) -> list[tuple[Any, ...]]:
    """What a payload says, as plain tuples."""
    found = codec(family).decode(bytes.fromhex(payload), port, model=model)
    return [
        (item.quantity.value, item.value, item.time_ms, item.channel)
        if isinstance(item, Value)
        else (item.event, item.active, item.time_ms)
        for item in found
    ]


def values(family: str, port: int, payload: str, model: str | None = None) -> dict[str, float]:
    """Values of the main channel by quantity."""
    return {
        row[0]: row[1]
        for row in said(family, port, payload, model)
        if len(row) == 4 and row[3] == ""
    }


AT = 1_700_000_000_000
AT_HEX = "00f15365"


def test_a_luminaire_controller_reports_light_dimming_and_its_drivers_failures() -> None:
    # State, firmware 1.1: time, state, radio, 31 °C, no alerts, a light sensor, two drivers.
    light = "03 02 803e"  # 16000 steps of 4000 a decade: 10^4 thousandths of a lux
    drivers = "fe 21 50 04  04 21 28 83"
    found = said("nas", 23, f"01 {AT_HEX} 0000 3209 1f 00 {light} {drivers}")
    assert found == [
        ("temperature_c", 31, AT, ""),
        ("illuminance_lx", pytest.approx(10.0), AT, ""),
        ("dimming_pct", 80, AT, ""),
        ("dimming_pct", 40, AT, "DALI2"),
        ("control_gear_failure", True, AT),
        ("lamp_failure", True, AT),
        ("lamp_status", 1 | 2 | 16, AT, ""),
    ]


def test_a_light_sensor_that_is_not_there_is_no_darkness() -> None:
    assert "illuminance_lx" not in values("nas", 23, f"01 {AT_HEX} 0000 3209 1f 00 03 02 ffff")


def test_a_luminaire_that_burns_well_says_so_without_fault_reports() -> None:
    found = said("nas", 23, f"01 {AT_HEX} 0000 3209 1f 00 00 fe 21 64 04")
    assert ("lamp_status", 0, AT, "") in found
    assert not [row for row in found if len(row) == 3]


def test_energy_and_power_of_several_drivers_keep_apart() -> None:
    meter = "ff 03 e8030000 2d00"
    driver = "12 43 b80b0000 1400 10270000"  # and hours of the driver
    assert said("nas", 26, f"00 {meter} {driver}") == [
        ("energy_kwh", 1.0, None, ""),
        ("power_w", 45, None, ""),
        ("energy_kwh", 3.0, None, "DALI9"),
        ("power_w", 20, None, "DALI9"),
    ]
    assert said("nas", 25, meter) == said("nas", 26, f"00 {meter}")


def test_an_alert_says_what_began_and_what_ended() -> None:
    reports = {row[0]: row[1] for row in said("nas", 61, "84 05 0000 b400 00") if len(row) == 3}
    assert reports == {
        "lamp_failure": True,
        "current_too_high": False,
        "supply_voltage_too_low": True,
        "supply_voltage_too_high": False,
        "power_factor_too_low": False,
    }
    assert values("nas", 61, "84 05 0000 b400 00") == {"power_w": 0, "lamp_status": 1 | 8}


def test_older_controllers_tell_their_state_on_another_port() -> None:
    found = said("nas", 24, f"{AT_HEX} 42 4b04 e2 22 7f 05 01 fe ff 1e")
    assert found == [
        ("temperature_c", -30, AT, ""),
        ("control_gear_comm_failure", True, AT),
        ("device_malfunction", True, AT),
        ("lamp_failure", None, AT),
        ("dimming_pct", 30, AT, ""),
    ]


def test_a_commanded_dim_level_and_a_restart_are_told() -> None:
    assert said("nas", 60, "09 fe 32 1e 04 ff 00") == [("dimming_pct", 50, None, "")]
    assert said("nas", 99, "00 11223344 010203 00000000 00000000 02") == [
        ("device_reset", None, None)
    ]


@pytest.mark.parametrize(
    ("kind", "payload", "expected"),
    [
        ("temperature", "01 ff9c", {"temperature_c": -10.0}),
        ("light", "04 2710", {"illuminance_lx": 10_000}),
        ("motion", "05 07", {"motion_count": 7}),
        ("battery", "07 0e10", {"battery_v": 3.6}),
        ("humidity", "02 64", {"humidity_pct": 100}),
        ("grid eye, then light", f"13 {'00' * 65} 04 0001", {"illuminance_lx": 1}),
        ("acceleration, then light", "03 7f8000 04 0002", {"illuminance_lx": 2}),
        ("pulses, then light", "0b ffffffff 0a 0001 04 0003", {"illuminance_lx": 3}),
    ],
)
def test_each_elsys_type_has_its_length(kind: str, payload: str, expected: object) -> None:
    assert values("elsys", 5, payload) == expected, kind


def test_each_milesight_model_reads_its_own_channels() -> None:
    assert values("milesight", 85, "0175 64 0394 10270000", "EM500-LGT") == {
        "battery_pct": 100,
        "illuminance_lx": 10_000,
    }
    assert values("milesight", 85, "0300 01 0400 00", "WS202") == {"motion_count": 1}
    assert values("milesight", 85, "0300 01 0400 00", "WS301") == {}
    with pytest.raises(UnknownCodecError, match="no model given"):
        said("milesight", 85, "0300 01 0400 00")


def test_a_milesight_model_nobody_has_taught_us_is_not_guessed_at() -> None:
    for model in ("VS370", "CT101", "Milesight UC300 v2"):
        with pytest.raises(UnknownCodecError, match=r"model .* is unknown .bytes 05cc02000100"):
            said("milesight", 85, "05cc 0200 0100", model)
    assert values("milesight", 85, "05cc 0200 0100", "Milesight people counter") == {
        "people_in": 2,
        "people_out": 1,
    }


def test_lines_and_regions_of_a_people_counter_keep_apart() -> None:
    found = said(
        "milesight",
        85,
        "03d2 01000000 04d2 02000000 05cc 0300 0400 06d2 05000000 08cc 0600 0700 0fe3 01020304",
        "VS133",
    )
    assert found == [
        ("people_in_total", 1, None, ""),
        ("people_out_total", 2, None, ""),
        ("people_in", 3, None, ""),
        ("people_out", 4, None, ""),
        ("people_in_total", 5, None, "line2"),
        ("people_in", 6, None, "line2"),
        ("people_out", 7, None, "line2"),
        ("people_present", 1, None, "region1"),
        ("people_present", 2, None, "region2"),
        ("people_present", 3, None, "region3"),
        ("people_present", 4, None, "region4"),
    ]


def test_remembered_counts_keep_the_time_they_were_made() -> None:
    gate = said("milesight", 85, f"20ce {AT_HEX} 01 0700 0200 1d00 0800", "VS351")
    assert gate == [
        ("people_in", 7, AT, ""),
        ("people_out", 2, AT, ""),
        ("people_in_total", 29, AT, ""),
        ("people_out_total", 8, AT, ""),
    ]
    assert said("milesight", 85, f"20ce {AT_HEX} 06 05000000", "VS135") == [
        ("people_in_total", 5, AT, "line2")
    ]
    assert said("milesight", 85, f"20ce {AT_HEX} 10 0500 0600", "VS121") == [
        ("people_in_total", 5, AT, ""),
        ("people_out_total", 6, AT, ""),
    ]
    assert said("milesight", 85, f"20ce {AT_HEX} 64000000", "EM500-LGT") == [
        ("illuminance_lx", 100, AT, "")
    ]


def test_a_report_with_a_time_of_its_own_is_at_that_time() -> None:
    assert said("milesight", 85, f"0aef {AT_HEX} 05cc 0100 0200 0175 63", "VS350") == [
        ("people_in", 1, AT, ""),
        ("people_out", 2, AT, ""),
        ("battery_pct", 99, AT, ""),
    ]


def test_a_blocked_counter_and_a_broken_gate_are_fault_reports() -> None:
    assert said("milesight", 85, "50fc 000001", "VS133") == [("function_error", True, None)]
    assert said("milesight", 85, "03f4 0000", "VS360") == [("device_malfunction", False, None)]


def test_answers_to_settings_are_known_and_hold_nothing() -> None:
    assert said("milesight", 85, "ff01 01 ff16 6614c39694870000 ff09 0102 fe10 ff", "VS133") == []
    assert said("milesight", 85, "f885 01 08 00 f985 01 08", "VS133") == []


def test_people_counters_of_imbuildings_with_and_without_header() -> None:
    header = "0206 0004a30b0114930d"
    body = "00 016f 0003 0004 00 0102 0103 09"
    expected = {
        "battery_v": 3.67,
        "people_in": 3,
        "people_out": 4,
        "people_in_total": 0x0102,
        "people_out_total": 0x0103,
    }
    assert values("imbuildings", 1, header + body) == expected
    assert values("imbuildings", 26, body) == expected
    assert values("imbuildings", 27, "00 0102 0103") == {
        "people_in_total": 0x0102,
        "people_out_total": 0x0103,
    }
    assert values("imbuildings", 1, "0205 0004a30b0114930d 00 016f 0001 0002 00 07") == {
        "battery_v": 3.67,
        "people_in": 1,
        "people_out": 2,
    }
    assert values("imbuildings", 13, "ff38 1388 0400 01") == {
        "temperature_c": -2.0,
        "humidity_pct": 50.0,
    }


def test_terabee_totals_occupancy_and_trouble() -> None:
    assert said("terabee", 82, "00000010 00000020 01") == [
        ("people_in_total", 16, None, ""),
        ("people_out_total", 32, None, ""),
        ("device_malfunction", True, None),
    ]
    assert said("terabee", 2, "02 00000010 00000020") == [
        ("people_in_total", 16, None, ""),
        ("people_out_total", 32, None, ""),
    ]
    assert said("terabee", 83, "00 05 02 03 ffffffffffff") == [
        ("people_present", 5, None, ""),
        ("people_present", 2, None, "zone0"),
        ("people_present", 3, None, "zone1"),
    ]
    assert said("terabee", 3, "ff 01 00") == []


def test_cayenne_channels_of_one_quantity_keep_apart() -> None:
    assert said("cayenne_lpp", 1, "03 65 0100 05 67 ff9c 07 65 0002 03 88 000000000000000000") == [
        ("illuminance_lx", 256, None, ""),
        ("temperature_c", -10.0, None, ""),
        ("illuminance_lx", 2, None, "ch7"),
    ]


@pytest.mark.parametrize(
    ("family", "port", "payload"),
    [
        ("nas", 62, "0102"),
        ("nas", 61, "9900"),
        ("nas", 50, "77"),
        ("nas", 23, "0501020304"),
        ("nas", 26, "01ff03"),
        ("elsys", 5, "7f00"),
        ("elsys", 6, "0100"),
        ("milesight", 85, "77770000"),
        ("imbuildings", 1, "0909"),
        ("terabee", 9, "01"),
        ("terabee", 3, "63"),
        ("cayenne_lpp", 1, "01fe00"),
    ],
)
def test_what_the_format_does_not_know_is_an_error_that_names_the_bytes(
    family: str, port: int, payload: str
) -> None:
    with pytest.raises(UnknownCodecError, match=payload):
        said(family, port, payload)


@pytest.mark.parametrize(
    ("family", "port", "payload"),
    [
        ("nas", 23, "01f37f20"),
        ("nas", 61, "84025900e5005600"),
        ("nas", 25, "ff03ed00"),
        ("elsys", 5, "0100"),
        ("milesight", 85, "0175"),
        ("milesight", 85, "05cc0200"),
        ("imbuildings", 1, "02060004a30b0114930d00"),
        ("imbuildings", 26, "00"),
        ("terabee", 1, "000000020000"),
        ("terabee", 82, "0000000a000000050400"),
        ("cayenne_lpp", 1, "036501"),
    ],
)
def test_a_payload_cut_short_or_too_long_is_never_half_read(
    family: str, port: int, payload: str
) -> None:
    with pytest.raises(MalformedPayloadError, match=payload):
        said(family, port, payload)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_empty_payload_is_an_error(family: str) -> None:
    with pytest.raises(MalformedPayloadError):
        codec(family).decode(b"", 1, model=None)


@settings(max_examples=400, deadline=None)
@given(
    family=st.sampled_from(FAMILIES),
    payload=st.binary(max_size=60),
    port=st.one_of(
        st.sampled_from([1, 2, 5, 6, 23, 24, 25, 26, 50, 60, 61, 82, 83, 85, 99]),
        st.integers(0, 255),
    ),
    model=st.sampled_from(
        [None, "VS121", "VS133", "VS351", "VS360", "WS202", "EM500-LGT", "AM307"]
    ),
)
def test_no_bytes_do_worse_than_a_malformed_payload(
    family: str, payload: bytes, port: int, model: str | None
) -> None:
    found: list[Value | Report] = []
    complaint = payload.hex()
    try:
        found = codec(family).decode(payload, port, model=model)
    except MalformedPayloadError as error:
        complaint = error.detail
    assert payload.hex() in complaint
    for item in found:
        assert item.time_ms is None or 0 <= item.time_ms < 2**53
        if isinstance(item, Report):
            assert item.event in EVENTS


def test_a_profile_name_that_names_two_families_names_none() -> None:
    assert family_of_profile("EU868 ELSYS ERS Eye") == "elsys"
    assert family_of_profile("Milesight WS202") == "milesight"
    assert family_of_profile("NAS UL2014 fw1.1") == "nas"
    assert family_of_profile("ELSYS or Milesight") is None
    assert family_of_profile("Test device-profile") is None


# ------------------------------------------------------------------ the vendors' vectors

VENDORS = {
    "nasys": "nas",
    "elsys": "elsys",
    "milesight": "milesight",
    "milesight-iot": "milesight",
    "imbuildings": "imbuildings",
    "terabee": "terabee",
}
# A vendor's field, and the quantity it is for us with the number of its steps in one of our units.
FIELDS: dict[str, dict[str, tuple[str, float]]] = {
    "nas": {},
    "elsys": {
        "temperature": ("temperature_c", 1),
        "humidity": ("humidity_pct", 1),
        "light": ("illuminance_lx", 1),
        "motion": ("motion_count", 1),
        "batteryVoltage": ("battery_v", 1),
        "vdd": ("battery_v", 1000),
    },
    "milesight": {
        "battery": ("battery_pct", 1),
        "batteryLevel": ("battery_pct", 1),
        "battery_main": ("battery_pct", 1),
        "temperature": ("temperature_c", 1),
        "humidity": ("humidity_pct", 1),
        "illumination": ("illuminance_lx", 1),
        "light": ("illuminance_lx", 1),
        "activity": ("motion_count", 1),
        "people_in": ("people_in", 1),
        "people_out": ("people_out", 1),
        "in": ("people_in", 1),
        "out": ("people_out", 1),
        "period_in": ("people_in", 1),
        "period_out": ("people_out", 1),
        "periodicCountIn": ("people_in", 1),
        "periodicCountOut": ("people_out", 1),
        "periodic_counter_in": ("people_in", 1),
        "periodic_counter_out": ("people_out", 1),
        "total_in": ("people_in_total", 1),
        "total_out": ("people_out_total", 1),
        "totalCountIn": ("people_in_total", 1),
        "totalCountOut": ("people_out_total", 1),
        "total_counter_in": ("people_in_total", 1),
        "total_counter_out": ("people_out_total", 1),
        "active_power": ("power_w", 1),
        "power_consumption": ("energy_kwh", 1000),
        "powerConsumption": ("energy_kwh", 1000),
    },
    "imbuildings": {
        "temperature": ("temperature_c", 1),
        "humidity": ("humidity_pct", 1),
        "batteryVoltage": ("battery_v", 1),
        "counterA": ("people_in", 1),
        "counterB": ("people_out", 1),
        "totalCounterA": ("people_in_total", 1),
        "totalCounterB": ("people_out_total", 1),
    },
    "terabee": {
        "count_in": ("people_in_total", 1),
        "count_out": ("people_out_total", 1),
        "absoluteFw": ("people_in_total", 1),
        "absoluteBw": ("people_out_total", 1),
    },
}
# Milesight models without any quantity of ours: current transformers, vaping, field tester, valve.
NOT_OURS = ("ct1", "ct3", "gs601", "ft101", "wt101")
# Not a vendor's value but a later computation (since the last message), or cut out of a longer
# example so that the bytes do not hold what the vector lists.
BYTES_OF_ONE_CHANNEL = 5


def vectors(data_dir: Path) -> list[dict[str, Any]]:
    lines = (data_dir / "lorawan" / "codec_vectors_dev.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        row for row in rows if row["direction"] == "uplink" and row["vendor"].lower() in VENDORS
    ]


@pytest.mark.data
def test_the_vendors_vectors_decode_to_the_vendors_values(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    decoded: Counter[str] = Counter()
    compared: Counter[str] = Counter()
    wrong: list[str] = []
    for row in vectors(data_dir):
        family = VENDORS[row["vendor"].lower()]
        name = f"{row['device']} {row['hex']}"
        payload = bytes.fromhex(row["hex"])
        try:
            found = codec(family).decode(payload, row["fport"] or 1, model=row["device"])
        except MalformedPayloadError as error:
            if not row["device"].casefold().startswith((*NOT_OURS, "em310-tilt")):
                wrong.append(f"{name}: {error}")
            continue
        decoded[family] += 1
        ours = {v.quantity.value: v.value for v in found if isinstance(v, Value) and not v.channel}
        for field, expected in flat(row["expected"]).items():
            quantity, steps = FIELDS[family].get(field, ("", 1))
            if not quantity or not isinstance(expected, int | float):
                continue
            if row["device"] == "am300-series" and field == "illumination":
                continue  # a step of brightness, which one driver of this model calls so
            if quantity not in ours and len(payload) < BYTES_OF_ONE_CHANNEL:
                continue
            compared[family] += 1
            if ours.get(quantity) != pytest.approx(expected / steps):
                wrong.append(f"{name}: {field} is {expected}, not {ours.get(quantity)}")
    with capsys.disabled():
        print(f"\nvectors decoded {dict(decoded)}, values compared {dict(compared)}")
    assert not wrong
    assert set(decoded) == set(FIELDS)


def flat(expected: dict[str, Any]) -> dict[str, Any]:
    """A vector's fields, with those of its last remembered report."""
    history = expected.get("history") or [{}]
    return {**history[-1], **expected} if isinstance(history, list) else expected


@pytest.mark.data
def test_luminaire_vectors_give_failures_dimming_power_and_light(data_dir: Path) -> None:
    of_luminaires = [row for row in vectors(data_dir) if row["vendor"] == "nasys"]
    compared: Counter[str] = Counter()
    for row in of_luminaires:
        found = codec("nas").decode(bytes.fromhex(row["hex"]), row["fport"], model=row["device"])
        ours = {v.quantity.value: v.value for v in found if isinstance(v, Value) and not v.channel}
        events = {(r.event, r.info) for r in found if isinstance(r, Report) and r.active}
        expected = row["expected"]
        drivers = expected.get("drivers", []) + expected.get("dali_statuses", [])
        drivers += expected.get("dimming_source", [])
        if drivers:
            compared["failures"] += 1
            lamp = any(d["status"]["lamp_failure"] for d in drivers)
            gear = any(d["status"]["driver_error"] for d in drivers)
            assert (int(ours["lamp_status"]) & 3) == lamp + 2 * gear
            assert {info for event, info in events if event == "lamp_failure"} == {
                d["address"].replace("dali_single_", "DALI ")
                for d in drivers
                if d["status"]["lamp_failure"]
            }
        if expected["packet_type"] == "metering_alert":
            compared["power"] += 1
            assert ours["power_w"] == expected["power__W"]
            assert ("current_too_high", "metering") in events
        levels = expected.get("dimming_source", []) + expected.get("destination", [])
        if levels:
            compared["dimming"] += 1
            assert ours["dimming_pct"] == levels[0]["dimming_level__percent"]
        if lux := expected.get("sensor_source", {}).get("light_sensor__lx"):
            compared["light"] += 1
            assert ours["illuminance_lx"] == pytest.approx(float(lux), abs=0.05)
    assert set(compared) == {"failures", "power", "dimming", "light"}
