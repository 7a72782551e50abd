"""The registry as ingest sees it."""

import json
from pathlib import Path

import pytest

from ingest.devices import CodecRule, DeviceEntry, Registry, RegistryFile
from ingest.errors import MalformedPayloadError, Reason, SettingsError, UnknownCodecError
from ingest.wire import decode

EUI = "A81758FFFE0A0B0C"
TOPIC = f"application/1/device/{EUI.lower()}/event/up"
UP = json.dumps(
    {
        "time": "2026-09-21T13:28:20Z",
        "deviceInfo": {"devEui": EUI.lower(), "deviceProfileName": "Light 5"},
        "fPort": 5,
        "data": "BAAB",
    }
).encode()


def test_a_snapshot_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "data" / "devices.json"
    entries = [
        DeviceEntry(
            "lamp-1", dev_eui=EUI, codec="nas", model="UL2014", interval_s=600.0, group="g"
        ),
        DeviceEntry("sky", max_illuminance_lx=65535, username="sky-user"),
    ]
    saved = Registry(entries, enrol=True, rules=[CodecRule("light*", "elsys")], version=7)
    saved.save(path)
    loaded = Registry.load(path)
    assert loaded.devices == saved.devices
    assert (loaded.enrol, loaded.rules, loaded.version) == (True, saved.rules, 7)
    assert not list(path.parent.glob(".*"))


def test_a_device_is_found_by_its_id_and_by_its_deveui() -> None:
    registry = Registry([DeviceEntry("lamp-1", dev_eui=EUI), DeviceEntry("24E124538B000001")])
    assert registry.by_eui(EUI) is registry.get("lamp-1") is not None
    assert registry.by_eui("24E124538B000001") is registry.get("24E124538B000001") is not None
    assert registry.get(EUI) is registry.by_eui("0000000000000000") is None


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ([DeviceEntry("a b")], "is not"),
        ([DeviceEntry("")], "is not"),
        ([DeviceEntry("a"), DeviceEntry("a")], "twice"),
        ([DeviceEntry("a", dev_eui="abc")], "hex digits"),
        ([DeviceEntry("a", dev_eui=EUI.lower())], "upper-case"),
        ([DeviceEntry("a", dev_eui=EUI), DeviceEntry("b", dev_eui=EUI)], "twice"),
    ],
)
def test_ids_that_cannot_be_are_refused(entries: list[DeviceEntry], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        Registry(entries)


@pytest.mark.parametrize("content", ["", "[]", '{"version":1}', '{"version":1,"devices":[{}]}'])
def test_a_file_that_is_no_snapshot_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "devices.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match=r"devices\.json"):
        Registry.load(path)


def test_a_changed_snapshot_is_seen_and_a_broken_one_keeps_the_last_good(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    file = RegistryFile(path)
    assert len(file.current()) == 0
    Registry([DeviceEntry("a")], version=1).save(path)
    first = file.current()
    assert (first.version, file.current() is first) == (1, True)
    Registry([DeviceEntry("a"), DeviceEntry("b")], version=2).save(path)
    assert file.current().version == 2
    path.write_text("half a snapsh")
    with pytest.raises(SettingsError):
        file.current()
    assert file.current().version == 2
    Registry([], version=3).save(path)
    assert file.current().version == 3


def test_enrolment_can_be_set_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    Registry([DeviceEntry("a")], enrol=False).save(path)
    assert RegistryFile(path, enrol=True).current().enrol
    assert not RegistryFile(path).current().enrol
    assert RegistryFile(tmp_path / "absent.json", enrol=True).current().enrol


def test_an_unknown_device_is_put_aside_unless_it_may_enrol() -> None:
    topic = "ljusvakt/v1/g/new/power_w"
    with pytest.raises(MalformedPayloadError) as caught:
        decode(topic, b'{"v":1}', Registry())
    assert caught.value.reason is Reason.UNKNOWN_DEVICE
    assert decode(topic, b'{"v":1}', Registry(enrol=True)).series[0].device_id == "new"
    with pytest.raises(MalformedPayloadError) as caught:
        decode(TOPIC, UP, Registry(rules=[CodecRule("*", "elsys")]))
    assert caught.value.reason is Reason.UNKNOWN_DEVICE


@pytest.mark.parametrize(
    "registry",
    [
        Registry([DeviceEntry("s", dev_eui=EUI, codec="elsys")]),
        Registry([DeviceEntry("s", dev_eui=EUI)], rules=[CodecRule("light ?", "elsys")]),
        Registry(
            [DeviceEntry("s", dev_eui=EUI, codec="elsys")], rules=[CodecRule("*", "terabee")]
        ),
        Registry([DeviceEntry("s", dev_eui=EUI)],
                 rules=[CodecRule("lamp*", "nas"), CodecRule("*", "elsys")]),
    ],
    ids=["entry", "rule", "entry before rule", "first rule that fits"],
)  # fmt: skip
def test_a_codec_is_chosen_by_entry_then_rule(registry: Registry) -> None:
    [series] = decode(TOPIC, UP, registry).series
    assert (series.device_id, series.quantity, series.value) == ("s", "illuminance_lx", [1.0])


def test_a_codec_is_chosen_by_the_device_profile_before_rules() -> None:
    payload = UP.replace(b"Light 5", b"ELSYS ERS")
    registry = Registry(enrol=True, rules=[CodecRule("*", "terabee")])
    assert decode(TOPIC, payload, registry).series[0].device_id == EUI


def test_without_a_codec_the_error_names_device_profile_port_and_bytes() -> None:
    with pytest.raises(UnknownCodecError) as caught:
        decode(TOPIC, UP, Registry(enrol=True))
    for fact in (EUI, "Light 5", "port 5", "040001"):
        assert fact in str(caught.value)


def test_a_codec_nobody_knows_is_an_error_of_the_message() -> None:
    registry = Registry([DeviceEntry("s", dev_eui=EUI, codec="esperanto")])
    with pytest.raises(UnknownCodecError, match="esperanto"):
        decode(TOPIC, UP, registry)
