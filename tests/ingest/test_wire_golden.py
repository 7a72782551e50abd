"""Every wire format, in the messages under tests/golden/wire."""

import json
from pathlib import Path
from typing import Any

import pytest

from ingest.devices import DeviceEntry, Registry
from ingest.errors import MalformedPayloadError, RefusedContentError
from ingest.plausibility import Clocks, judge
from ingest.reading import Decoded
from ingest.topics import Format, route
from ingest.wire import decode

GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "wire").glob("*.json"))


def shown(decoded: Decoded) -> dict[str, Any]:
    return {
        "readings": [
            {
                "device_id": series.device_id,
                "quantity": series.quantity.value,
                "time_ms": series.time_ms,
                "value": series.value,
                "flags": series.flags,
            }
            for series in decoded.series
        ],
        "events": [
            {
                "device_id": event.device_id,
                "time_ms": event.time_ms,
                "event": event.event,
                "active": event.active,
                "info": event.info,
                "flags": event.flags,
            }
            for event in decoded.events
        ],
        "skipped": decoded.skipped,
    }


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_message_says_what_it_said_before(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    registry = Registry([DeviceEntry(**device) for device in case["devices"]])
    payload = json.dumps(case["payload"]).encode()
    try:
        decoded = decode(case["topic"], payload, registry)
        judge(decoded, received_ms=case["received_ms"], registry=registry, clocks=Clocks())
        said = shown(decoded)
    except MalformedPayloadError as error:
        said = {"quarantined": error.reason.value, "detail": str(error)}
    except RefusedContentError as error:
        said = {"refused": error.field}
    assert said == case["expected"]


def test_every_wire_format_has_golden_messages() -> None:
    formats = {route(json.loads(path.read_text("utf-8"))["topic"]).format for path in GOLDEN}
    assert formats == set(Format)


def test_golden_messages_hold_zeros_without_a_sign() -> None:
    case = json.loads(next(p for p in GOLDEN if p.stem == "json_v1_columns").read_text("utf-8"))
    registry = Registry([DeviceEntry(**device) for device in case["devices"]])
    decoded = decode(case["topic"], json.dumps(case["payload"]).encode(), registry)
    judge(decoded, received_ms=case["received_ms"], registry=registry, clocks=Clocks())
    assert str(decoded.series[0].value[1]) == "0.0"
