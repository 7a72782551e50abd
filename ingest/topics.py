"""What a topic says: which format its messages have, and whose they are."""

import re
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec

from ingest.errors import MalformedPayloadError, Reason
from ingest.reading import Quantity

__all__ = ["FILTERS", "Format", "Route", "route"]

FILTERS: Final = (
    "ljusvakt/v1/+/+/+",
    "application/+/device/+/event/+",
    "v3/+/devices/+/up",
    "v3/+/devices/+/join",
    "helium/+/rx",
)
"""What a collector subscribes to."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_EUI: Final = re.compile(r"[0-9A-Fa-f]{16}")
_QUANTITIES: Final = {quantity.value: quantity for quantity in Quantity}
_CHIRPSTACK_EVENTS: Final = frozenset(
    {"up", "status", "join", "ack", "txack", "log", "location", "integration", "error"}
)


class Format(StrEnum):
    """A wire format by name."""

    JSON_V1 = "json_v1"
    CHIRPSTACK = "chirpstack"  # v3 and v4 share their topics; the envelope tells which it is
    TTN_V3 = "ttn_v3"
    HELIUM_V1 = "helium_v1"


class Route(msgspec.Struct, frozen=True, gc=False):
    """Where a message belongs.

    Attributes
    ----------
    format : Format
    device : str
        Device id (native, The Things Stack) or DevEUI in upper-case hexadecimal.
    kind : str
        Native: `readings`, `events`, `ack` or a quantity's name; otherwise the kind of event.
    quantity : Quantity or None
        For native topics of one quantity.
    group : str
        Group (native) or application.
    """

    format: Format
    device: str
    kind: str
    quantity: Quantity | None = None
    group: str = ""


def _unknown(topic: str) -> MalformedPayloadError:
    return MalformedPayloadError(
        f"topic {topic[:200]!r} is none of ours", reason=Reason.UNKNOWN_TOPIC
    )


def _identity(topic: str, what: str) -> MalformedPayloadError:
    return MalformedPayloadError(
        f"{what} in topic {topic[:200]!r} is not an id", reason=Reason.IDENTITY
    )


# A topic repeats for as long as its device lives. The bound keeps invented topics from growing
# memory; one city of 33,000 devices with two topics each fits.
@lru_cache(maxsize=1 << 16)
def route(topic: str) -> Route:
    """Read a topic.

    Raises
    ------
    MalformedPayloadError
        `unknown_topic` if it is none of ours, `identity` if an id in it is malformed.
    """
    parts = topic.split("/")
    match parts:
        case ["ljusvakt", "v1", group, device, kind]:
            return _native(topic, group, device, kind)
        case ["application", application, "device", dev_eui, "event", kind]:
            if kind not in _CHIRPSTACK_EVENTS:
                raise _unknown(topic)
            if not _EUI.fullmatch(dev_eui):
                raise _identity(topic, "DevEUI")
            return Route(Format.CHIRPSTACK, dev_eui.upper(), kind, None, application)
        case ["v3", application, "devices", device, ("up" | "join") as kind]:
            if not _ID.fullmatch(device):
                raise _identity(topic, "device")
            return Route(Format.TTN_V3, device, kind, None, application)
        case ["helium", dev_eui, "rx"]:
            if not _EUI.fullmatch(dev_eui):
                raise _identity(topic, "DevEUI")
            return Route(Format.HELIUM_V1, dev_eui.upper(), "up")
        case _:
            raise _unknown(topic)


def _native(topic: str, group: str, device: str, kind: str) -> Route:
    if not _ID.fullmatch(group):
        raise _identity(topic, "group")
    if not _ID.fullmatch(device):
        raise _identity(topic, "device")
    quantity = _QUANTITIES.get(kind)
    if quantity is None and kind not in {"readings", "events", "ack"}:
        raise _unknown(topic)
    return Route(Format.JSON_V1, device, kind, quantity, group)
