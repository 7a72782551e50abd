"""Native messages: what each shape may hold, and why others are refused."""

import json
from typing import Any

import pytest

from ingest.devices import DeviceEntry, Registry
from ingest.errors import MalformedPayloadError, Reason
from ingest.reading import Decoded, Quantity, Sequence
from ingest.wire import decode

REGISTRY = Registry([DeviceEntry("lamp-1")])
T = 1_790_000_000_000


def native(message: object, kind: str = "illuminance_lx") -> Decoded:
    return decode(f"ljusvakt/v1/g/lamp-1/{kind}", json.dumps(message).encode(), REGISTRY)


def reason(message: object, kind: str = "illuminance_lx") -> Reason:
    with pytest.raises(MalformedPayloadError) as caught:
        native(message, kind)
    assert caught.value.device_id == "lamp-1"
    return caught.value.reason


def test_one_reading_with_its_place_in_the_numbering() -> None:
    decoded = native({"t": T, "v": 3, "boot": 2, "seq": 4294967295})
    [series] = decoded.series
    assert (series.device_id, series.quantity) == ("lamp-1", Quantity.ILLUMINANCE)
    assert (series.time_ms, series.value) == ([T], [3.0])
    assert decoded.sequence == Sequence("lamp-1", 2, 4294967295, 1)


def test_null_counts_as_skipped_and_keeps_its_number() -> None:
    decoded = native({"t": T, "v": None, "boot": 2, "seq": 5})
    assert (decoded.series, decoded.skipped) == ([], 1)
    assert decoded.sequence == Sequence("lamp-1", 2, 5, 1)


def test_a_column_of_nulls_is_no_series() -> None:
    decoded = native({"t0": T, "dt": [0, 1], "v": [None, None]})
    assert (decoded.series, decoded.skipped) == ([], 2)


def test_a_thousand_rows_are_the_most() -> None:
    rows = list(range(1000))
    assert len(native({"t0": T, "dt": rows, "v": rows}).series[0].value) == 1000
    assert reason({"t0": T, "dt": [*rows, 1000], "v": [*rows, 1000]}) is Reason.SHAPE


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"t": T},
        {"t": T, "v": 1, "unit": "lx"},
        {"t": T, "v": [1]},
        {"t0": T, "v": [1]},
        {"dt": [0], "v": [1]},
        {"t0": T, "dt": [0], "v": 1},
        {"t": T, "t0": T, "dt": [0], "v": [1]},
        {"t0": T, "dt": [0, 1], "v": [1]},
        {"t0": T, "dt": [], "v": []},
        {"t": T, "v": 1, "boot": 1},
        {"t": T, "v": 1, "seq": 1},
    ],
)
def test_a_message_of_another_shape_is_refused(message: dict[str, Any]) -> None:
    assert reason(message) is Reason.SHAPE


@pytest.mark.parametrize(
    "message",
    [
        [],
        "text",
        {"t": "2026-09-21", "v": 1},
        {"t": 1.5, "v": 1},
        {"t": T, "v": "12"},
        {"t": T, "v": True},
        {"t": T, "v": {"lx": 1}},
        {"t0": T, "dt": [0], "v": [[1]]},
        {"t": T, "v": 1, "simulated": 1},
    ],
)
def test_a_value_of_another_type_is_refused(message: object) -> None:
    assert reason(message) is Reason.TYPE


@pytest.mark.parametrize(
    "message",
    [
        {"t0": T, "dt": [-1], "v": [1]},
        {"t0": T, "dt": [2**31], "v": [1]},
        {"t": T, "v": 1, "boot": -1, "seq": 0},
        {"t": T, "v": 1, "boot": 0, "seq": 2**32},
    ],
)
def test_numbers_outside_their_bounds_are_refused(message: object) -> None:
    assert reason(message) is Reason.RANGE


def test_readings_of_several_quantities_share_their_times() -> None:
    decoded = native(
        {"t0": T, "dt": [0, 5], "q": {"power_w": [1, 2], "people_in": [None, 4]}}, "readings"
    )
    assert [(s.quantity, s.time_ms, s.value) for s in decoded.series] == [
        (Quantity.POWER, [T, T + 5], [1.0, 2.0]),
        (Quantity.PEOPLE_IN, [T + 5], [4.0]),
    ]
    assert decoded.skipped == 1


def test_a_quantity_nobody_knows_is_refused() -> None:
    assert reason({"t0": T, "dt": [0], "q": {"lux": [1]}}, "readings") is Reason.SHAPE
    assert reason({"t0": T, "dt": [0], "q": {}}, "readings") is Reason.SHAPE


def test_a_fault_nobody_knows_is_refused() -> None:
    rows = {"t0": T, "dt": [0], "e": [{"event": "lamp_exploded"}]}
    assert reason(rows, "events") is Reason.SHAPE
    assert reason({"t0": T, "dt": [0, 1], "e": [{"event": "supply_loss"}]}, "events") is (
        Reason.SHAPE
    )


def test_a_fault_without_period_neither_starts_nor_ends() -> None:
    decoded = native({"t0": T, "dt": [0], "e": [{"event": "device_reset"}]}, "events")
    assert decoded.events[0].active is None


def test_the_info_of_a_fault_is_made_harmless() -> None:
    text = "e\u0301t\u202ee\u0000 \u2028ok" + "x" * 600
    decoded = native({"t0": T, "dt": [0], "e": [{"event": "supply_loss", "info": text}]}, "events")
    info = decoded.events[0].info
    assert info.startswith("éte okx")
    assert len(info) == 500
    assert not {"\u202e", "\u0000", "\u2028"} & set(info)


def test_our_own_receipts_are_not_for_us() -> None:
    assert reason({"boot": 1, "seq": 2}, "ack") is Reason.UNKNOWN_TOPIC


@pytest.mark.parametrize(
    "topic",
    ["", "ljusvakt", "ljusvakt/v1/g/lamp-1", "ljusvakt/v2/g/lamp-1/readings", "$SYS/broker",
     "ljusvakt/v1/g/lamp-1/lux", "ljusvakt/v1/g/lamp-1/readings/more", "v3/a/devices/d/down",
     "application/1/device/0011223344556677/event/dance"],
)  # fmt: skip
def test_a_topic_that_is_none_of_ours_is_refused(topic: str) -> None:
    with pytest.raises(MalformedPayloadError) as caught:
        decode(topic, b"{}", REGISTRY)
    assert caught.value.reason is Reason.UNKNOWN_TOPIC
