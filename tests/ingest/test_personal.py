"""Identifiers of people are refused in every format, and nothing else is."""

import json
from pathlib import Path
from typing import Any

import pytest

from ingest.devices import CodecRule, DeviceEntry, Registry
from ingest.errors import MalformedPayloadError, RefusedContentError
from ingest.personal import refuse_personal, refuse_personal_bytes
from ingest.wire import decode, talq

EUI = "a81758fffe0a0b0c"
REGISTRY = Registry([DeviceEntry("lamp-1")], enrol=True, rules=[CodecRule("*", "elsys")])
ENVELOPE: dict[str, Any] = {
    "time": "2026-09-21T13:28:20Z",
    "deviceInfo": {"devEui": EUI, "tags": {}},
    "fPort": 5,
    "data": "BAAB",
}


def v4(**more: object) -> bytes:
    return json.dumps({**ENVELOPE, **more}).encode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mac", "whatever"),
        ("macAddress", "0a1b2c3d4e5f"),
        ("MAC_ADDR", "0a1b2c3d4e5f"),
        ("wifiMac", "0a1b2c3d4e5f"),
        ("phone_macs", ["0a1b2c3d4e5f"]),
        ("hashedMac", "9f86d081884c7d65"),
        ("seen", "0A:1B:2C:3D:4E:5F"),
        ("seen", "near 0a-1b-2c-3d-4e-5f today"),
        ("seen", "0a1b.2c3d.4e5f"),
        ("imsi", "x"),
        ("IMEI", 490154203237518),
        ("subscriber", "240017123456789"),
        ("counter", 240017123456789),
        ("licensePlate", "x"),
        ("licence_plate", "x"),
        ("regnr", "abc"),
        ("registreringsnummer", "abc"),
        ("vehicle", "ABC 123"),
        ("last", "ABC12D"),
        ("bssid", "x"),
    ],
)
def test_e08_an_identifier_of_a_person_is_refused_by_field(name: str, value: object) -> None:
    for content in ({name: value}, {"a": [{"b": {name: value}}]}):
        with pytest.raises(RefusedContentError) as caught:
            decode(f"application/1/device/{EUI}/event/up", v4(object=content), REGISTRY)
        assert caught.value.field == name
        assert str(value) not in str(caught.value)


FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "native": ("ljusvakt/v1/g/lamp-1/people_count", {"v": 1, "t": 1_790_000_000_000}),
    "native events": ("ljusvakt/v1/g/lamp-1/events", {"t0": 0, "dt": [0], "e": []}),
    "chirpstack v4": (f"application/1/device/{EUI}/event/up", ENVELOPE),
    "chirpstack status": (f"application/1/device/{EUI}/event/status", ENVELOPE),
    "chirpstack v3": (f"application/1/device/{EUI}/event/up", {"devEUI": EUI, "fPort": 5}),
    "things stack": ("v3/a/devices/d/up", {"end_device_ids": {"device_id": "d"}}),
    "helium": (f"helium/{EUI}/rx", {"dev_eui": EUI}),
    "unknown topic": ("somewhere/else", {}),
    "unknown device": ("ljusvakt/v1/g/nobody/people_count", {"v": 1}),
    "bad id": ("ljusvakt/v1/g/no body/people_count", {"v": 1}),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_e08_in_every_format_even_a_malformed_one(kind: str) -> None:
    topic, message = FORMATS[kind]
    for more in ({"mac": "0A:1B:2C:3D:4E:5F"}, {"x": {"y": "0A:1B:2C:3D:4E:5F"}}):
        payload = json.dumps({**message, **more}).encode()
        for body in (payload, payload.replace(b"mac", rb"\u006dac")):
            with pytest.raises(RefusedContentError):
                decode(topic, body, Registry([DeviceEntry("lamp-1")]))


def test_e08_even_in_what_is_no_json() -> None:
    with pytest.raises(RefusedContentError) as caught:
        decode("ljusvakt/v1/g/lamp-1/people_count", b"seen 0A:1B:2C:3D:4E:5F {", REGISTRY)
    assert "4E" not in str(caught.value)


def test_e08_in_the_free_text_of_a_fault_report() -> None:
    report = {"t0": 0, "dt": [0], "e": [{"event": "supply_loss", "info": "by ABC123"}]}
    decode("ljusvakt/v1/g/lamp-1/events", json.dumps(report).encode(), REGISTRY)
    for info in ("ABC123", "0A:1B:2C:3D:4E:5F", "imei 490154203237518"):
        report["e"] = [{"event": "supply_loss", "info": info}]
        with pytest.raises(RefusedContentError):
            decode("ljusvakt/v1/g/lamp-1/events", json.dumps(report).encode(), REGISTRY)


def test_e08_in_a_talq_log_report_but_for_the_devices_own_address() -> None:
    entry = {"type": "AttributeLogData", "srcAddress": "lamp-1/basic"}
    own = {
        **entry,
        "attributeName": "physicalAddress",
        "attributeValue": {"value": "0A:1B:2C:3D:4E:5F"},
    }
    other = {**entry, "attributeName": "seen", "attributeValue": {"value": "0A:1B:2C:3D:4E:5F"}}
    body = json.dumps({"entries": [{"data": own}]}).encode()
    assert talq.decode(body, REGISTRY).decoded.skipped == 1
    with pytest.raises(RefusedContentError):
        talq.decode(json.dumps({"entries": [{"data": other}]}).encode(), REGISTRY)


@pytest.mark.parametrize(
    "more",
    [
        {"deduplicationId": "3ac7e3c4-4401-4b8d-9386-a5c902f9202d"},
        {"rxInfo": [{"gatewayId": "0A:1B:2C:3D:4E:5F", "uplinkId": 421710625512345}]},
        {"rxInfo": [{"gatewayID": "490154203237518", "time": "2026-09-21T13:28:20.123456789Z"}]},
        {"devAddr": "00189440", "joinEui": "80-00-00-00-00-00-00-0C"},
        {"object": {"macVersion": "1.0.3", "mac_settings": {"rx1_delay": 5}, "machine": "x"}},
        {"object": {"temperature": 21.5, "counter": 123456789012, "serial": "6614C39694870000"}},
        {"object": {"mac": None, "plate": ""}},
        {"object": {"uptime": 1_790_000_000_000, "eui64": "70:B3:D5:02:00:07:32:08"}},
        {"deviceInfo": {"devEui": EUI, "deviceName": "HBG123", "tags": {"column": "HBG123"}}},
        {"object": {"status": "EU868", "mode": "SF12BW125", "template": "abc"}},
    ],
)
def test_what_networks_and_devices_say_of_themselves_passes(more: dict[str, Any]) -> None:
    assert decode(f"application/1/device/{EUI}/event/up", v4(**more), REGISTRY).series


def test_e08_a_phone_cannot_enrol_under_its_own_address() -> None:
    topic = "ljusvakt/v1/g/0A-1B-2C-3D-4E-5F/people_count"
    with pytest.raises(RefusedContentError) as caught:
        decode(topic, b'{"v":1}', REGISTRY)
    assert caught.value.field == "device"
    listed = Registry([DeviceEntry("0A-1B-2C-3D-4E-5F")])  # the operator's own choice of a name
    assert decode(topic, b'{"v":1}', listed).series


def test_more_fields_than_can_be_looked_at_are_refused_if_they_look_suspicious() -> None:
    many = {f"k{n}": n for n in range(2000)}
    refuse_personal_bytes(json.dumps(many).encode())
    with pytest.raises(RefusedContentError, match="fields"):
        refuse_personal_bytes(json.dumps({"mac_settings": 1, **many}).encode())
    with pytest.raises(RefusedContentError, match="fields"):
        refuse_personal([[0] * 2000])


@pytest.mark.data
def test_no_captured_message_is_taken_for_personal(data_dir: Path) -> None:
    folder = data_dir / "payload_samples"
    payloads = [path.read_bytes() for path in folder.glob("*.json")]
    for path in folder.glob("*.ndjson"):
        payloads += path.read_bytes().splitlines()
    assert len(payloads) > 600
    for payload in payloads:
        refuse_personal_bytes(payload)


def test_a_native_message_pays_nothing_for_this() -> None:
    # Known keys and numbers only: there is no room for an identifier, so nobody looks.
    payload = b'{"t":240017123456789,"v":1}'
    assert decode("ljusvakt/v1/g/lamp-1/people_count", payload, REGISTRY).series
    with pytest.raises(MalformedPayloadError):
        decode("ljusvakt/v1/g/lamp-1/people_count", b'{"t":1790000000000,"v":1,"w":2}', REGISTRY)
