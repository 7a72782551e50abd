"""TALQ log reports: fault reports and light from a gateway of luminaires."""

import json
from typing import Any

import pytest

from ingest.devices import DeviceEntry, Registry
from ingest.errors import MalformedPayloadError, Reason
from ingest.reading import Quantity
from ingest.wire import talq

REGISTRY = Registry([DeviceEntry("lamp-1"), DeviceEntry("lamp-2"), DeviceEntry("counter")])
TIME = "2026-11-22T16:31:00Z"
TIME_MS = 1_795_365_060_000


def event(name: str, device: str = "lamp-1/monitor", **more: Any) -> dict[str, Any]:
    data = {"type": "EventLogData", "srcAddress": device, "timestamp": TIME, "eventType": name}
    return {"cmsRefId": "x", "data": {**data, **more}}


def attribute(name: str, value: Any, device: str = "lamp-1/light", **more: Any) -> dict[str, Any]:
    data = {"type": "AttributeLogData", "srcAddress": device, "timestamp": TIME}
    return {"data": {**data, "attributeName": name, "attributeValue": value, **more}}


def report(*entries: Any, **options: Any) -> talq.LogReport:
    body = json.dumps({"address": "gateway", "entries": list(entries)}).encode()
    return talq.decode(body, REGISTRY, **options)


def test_a_lamp_failure_starts_ends_and_happens() -> None:
    got = report(
        event("lampFailure", startEndFlag=True, info="driver 2"),
        event("lampFailure", "lamp-2", startEndFlag=False),
        event("deviceReset"),
        event("supplyLoss", startEndFlag="false"),
    )
    assert not got.problems
    assert [(e.device_id, e.event, e.active, e.info, e.time_ms) for e in got.decoded.events] == [
        ("lamp-1", "lamp_failure", True, "driver 2", TIME_MS),
        ("lamp-2", "lamp_failure", False, "", TIME_MS),
        ("lamp-1", "device_reset", None, "", TIME_MS),
        ("lamp-1", "supply_loss", False, "", TIME_MS),
    ]


def test_both_spellings_are_one_event() -> None:
    got = report(
        event("controlGearComFailure"),
        event("controlGearCommFailure"),
        event("absolutLampPowerTooHigh"),
        event("absoluteLampPowerTooHigh"),
    )
    assert [e.event for e in got.decoded.events] == [
        *["control_gear_comm_failure"] * 2,
        *["absolute_lamp_power_too_high"] * 2,
    ]


def test_every_name_is_known_in_camel_and_in_snake_case() -> None:
    for name in talq.EVENTS:
        head, *tail = name.split("_")
        camel = head + "".join(word.capitalize() for word in tail)
        assert talq.canonical_event(camel) == talq.canonical_event(name) == name
    assert talq.canonical_event("lampExploded") is None


def test_light_and_dimming_are_readings_however_deep_they_are_wrapped() -> None:
    level = {"type": "AttributeLevelState", "value": {"name": "LevelState", "value": 70}}
    got = report(
        attribute("lightLevel", {"type": "AttributeFloat", "value": 7.4}),
        attribute("lightLevel", 8),
        attribute("actualLightState", level),
        attribute("lightLevel", {"value": None}),
    )
    assert [(s.quantity, s.value) for s in got.decoded.series] == [
        (Quantity.ILLUMINANCE, [7.4, 8.0]),
        (Quantity.DIMMING, [70.0]),
    ]
    assert (got.decoded.series[0].time_ms, got.decoded.skipped) == ([TIME_MS, TIME_MS], 1)


def test_a_relative_input_value_is_never_illuminance() -> None:
    got = report(attribute("inputValue", {"type": "AttributeFloat", "value": 120, "unit": "Lux"}))
    assert (got.decoded.series, got.decoded.skipped, got.problems) == ([], 1, [])


def test_only_configured_traffic_counters_count_people() -> None:
    entries = [attribute("roadUserNumber", 12, "counter/bikes"),
               attribute("roadUserNumber", 3, "counter/feet"),
               attribute("accumulatedRoadUserNumber", 500, "counter/feet")]  # fmt: skip
    got = report(*entries, counters={"counter/feet"})
    assert [(s.quantity, s.value) for s in got.decoded.series] == [
        (Quantity.PEOPLE_COUNT, [3.0]),
        (Quantity.PEOPLE_COUNT_TOTAL, [500.0]),
    ]
    assert got.decoded.skipped == 1


def test_a_time_may_stand_in_the_value_or_nowhere() -> None:
    inside = attribute("lightLevel", {"value": 1, "timestamp": TIME})
    del inside["data"]["timestamp"]
    nowhere = attribute("lightLevel", 2)
    del nowhere["data"]["timestamp"]
    assert report(inside, nowhere).decoded.series[0].time_ms == [TIME_MS, 0]


def test_one_bad_entry_leaves_the_others_good() -> None:
    got = report(
        event("lampFailure", "stranger"),
        event("lampFailure", "no id/x"),
        event("lampExploded"),
        event("lampFailure", startEndFlag=1),
        event("lampFailure", timestamp="yesterday"),
        attribute("lightLevel", {"value": "dark"}),
        {"data": {"type": "Other"}},
        "entry",
        event("lampFailure"),
    )
    assert [(p.index, p.reason) for p in got.problems] == [
        (0, Reason.UNKNOWN_DEVICE),
        (1, Reason.IDENTITY),
        (2, Reason.SHAPE),
        (3, Reason.TYPE),
        (4, Reason.TIME),
        (5, Reason.TYPE),
        (6, Reason.SHAPE),
        (7, Reason.SHAPE),
    ]
    assert len(got.decoded.events) == 1


def test_a_change_of_light_is_no_fault() -> None:
    change = event("lightStateChange", command={"level": 50})
    change["data"]["type"] = "StateChangeEventLogData"
    got = report(change)
    assert (got.decoded.events, got.decoded.skipped, got.problems) == ([], 1, [])


def test_an_empty_report_is_a_report() -> None:
    assert report().problems == []
    assert talq.decode(b"[]", REGISTRY).decoded.events == []
    assert talq.decode(b'{"address":"gw"}', REGISTRY).decoded.series == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"3", b"[1]", b'{"entries":3}', b"[" * 100_000, b"\xff"]
)
def test_what_is_no_log_report_is_put_aside(body: bytes) -> None:
    with pytest.raises(MalformedPayloadError):
        talq.decode(body, REGISTRY)
