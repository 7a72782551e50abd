"""LoRaWAN uplinks: what the network servers' envelopes have in common."""

import base64
import binascii
from typing import Any, Final

import msgspec

from ingest.devices import DeviceEntry, Registry
from ingest.errors import MalformedPayloadError, Reason, UnknownCodecError
from ingest.reading import Decoded, Event, Frame, Series
from ingest.topics import Route
from ingest.wire.codecs import FAMILIES, Report, Value, codec, family_of_profile
from ingest.wire.times import parse_rfc3339

__all__ = ["Envelope", "Uplink", "decode_uplink", "find_device", "parse_envelope"]

LATEST_MS: Final = 9_214_646_399_999  # 2261-12-31T23:59:59.999Z
_HEX: Final = frozenset("0123456789abcdefABCDEF")


class Uplink(msgspec.Struct, frozen=True, gc=False):
    """One frame as the network server handed it over.

    Attributes
    ----------
    dev_eui : str
        16 upper-case hexadecimal digits; empty if the envelope has none.
    device_id : str
        The network server's own name of the device; stands in without a DevEUI.
    profile : str
        Device profile name; may be empty.
    port, frame_counter : int
    payload : bytes
    network_ms : int or None
        When the network server heard it [ms, UTC].
    simulated : bool
    """

    dev_eui: str
    device_id: str
    profile: str
    port: int
    frame_counter: int
    payload: bytes
    network_ms: int | None
    simulated: bool = False


class Envelope:
    """A decoded JSON object whose fields are asked for by name and type.

    Network servers leave out what is zero, false or empty (proto3), and may write 64-bit numbers
    as text: an absent field is its default.
    """

    __slots__ = ("fields", "place")

    def __init__(self, fields: dict[str, Any], place: str = "") -> None:
        self.fields = fields
        self.place = place

    def _wrong(self, name: str, expected: str) -> MalformedPayloadError:
        return MalformedPayloadError(
            f"{self.place}{name} is not {expected}, but {type(self.fields[name]).__name__}",
            reason=Reason.TYPE,
        )

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self.fields.get(name) is not None

    def text(self, name: str) -> str:
        """A text; empty if absent."""
        value = self.fields.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(name, "text")
        return value

    def integer(self, name: str, *, most: int) -> int:
        """A whole number from 0 to `most`, also one written as text; 0 if absent."""
        value = self.fields.get(name)
        if value is None:
            return 0
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value[:25])
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(name, "a whole number")
        if not 0 <= value <= most:
            raise MalformedPayloadError(
                f"{self.place}{name} is not from 0 to {most}", reason=Reason.RANGE
            )
        return value

    def port(self, name: str) -> int:
        """A LoRaWAN port; 0 if absent."""
        return self.integer(name, most=255)

    def counter(self, name: str) -> int:
        """A frame counter; 0 if absent."""
        return self.integer(name, most=(1 << 32) - 1)

    def stamp_ms(self, name: str) -> int | None:
        """A time in whole milliseconds [UTC]; None if absent or 0."""
        return self.integer(name, most=LATEST_MS) or None

    def number(self, name: str) -> float:
        """A number; 0 if absent."""
        value = self.fields.get(name)
        if value is None:
            return 0.0
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(name, "a number")
        return float(value)

    def flag(self, name: str) -> bool:
        """A truth value; false if absent."""
        value = self.fields.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def inner(self, name: str) -> "Envelope":
        """An object inside; empty if absent."""
        value = self.fields.get(name)
        if value is None:
            return Envelope({}, f"{self.place}{name}.")
        if not isinstance(value, dict):
            raise self._wrong(name, "an object")
        return Envelope(value, f"{self.place}{name}.")

    def items(self, name: str) -> list["Envelope"]:
        """The objects of a list; empty if absent."""
        value = self.fields.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self._wrong(name, "a list of objects")
        return [Envelope(item, f"{self.place}{name}[].") for item in value]

    def time_ms(self, name: str) -> int | None:
        """An RFC 3339 time [ms, UTC]; None if absent."""
        text = self.text(name)
        if not text:
            return None
        try:
            return parse_rfc3339(text)
        except ValueError as error:
            raise MalformedPayloadError(
                f"{self.place}{name}: {error}", reason=Reason.TIME
            ) from error

    def base64(self, name: str) -> bytes:
        """Bytes in base64, standard or URL alphabet; empty if absent."""
        text = self.text(name)
        try:
            padded = text + "=" * (-len(text) % 4)
            return base64.b64decode(padded.translate(_URL_ALPHABET), validate=True)
        except (binascii.Error, ValueError) as error:
            raise MalformedPayloadError(
                f"{self.place}{name} is not base64: {error}", reason=Reason.SYNTAX
            ) from error

    def eui(self, name: str) -> str:
        """A EUI-64, in hexadecimal or (ChirpStack v3 from protobuf) base64; upper-case hex."""
        text = self.text(name)
        if len(text) == 16 and _HEX.issuperset(text):
            return text.upper()
        if len(text) in {11, 12} and len(raw := self.base64(name)) == 8:
            return raw.hex().upper()
        if not text:
            return ""
        raise MalformedPayloadError(
            f"{self.place}{name} {text[:40]!r} is no EUI-64", reason=Reason.IDENTITY
        )

    def device(self, name: str, route: Route) -> str:
        """The DevEUI of the device, which the topic must name as well."""
        dev_eui = self.eui(name)
        if not dev_eui:
            raise MalformedPayloadError("the envelope names no DevEUI", reason=Reason.IDENTITY)
        if dev_eui != route.device:
            raise MalformedPayloadError(
                f"the topic names device {route.device}, the envelope {dev_eui}",
                reason=Reason.IDENTITY_MISMATCH,
                device_id=route.device,
            )
        return dev_eui


_URL_ALPHABET: Final = str.maketrans("-_", "+/")


def parse_envelope(payload: bytes) -> Envelope:
    """Read JSON that must be one object.

    Raises
    ------
    MalformedPayloadError
        `syntax`, or `shape` for JSON that is no object.
    """
    try:
        content = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedPayloadError(str(error)) from error
    if not isinstance(content, dict):
        raise MalformedPayloadError(
            f"the message is not one object, but {type(content).__name__}", reason=Reason.SHAPE
        )
    return Envelope(content)


def find_device(registry: Registry, dev_eui: str, device_id: str) -> tuple[str, DeviceEntry | None]:
    """The id of a LoRaWAN device, and its entry.

    Raises
    ------
    MalformedPayloadError
        `unknown_device` if it is not listed and the registry does not enrol.
    """
    entry = registry.by_eui(dev_eui) if dev_eui else None
    entry = entry or (registry.get(device_id) if device_id else None)
    if entry is not None:
        return entry.device_id, entry
    name = dev_eui or device_id
    if not registry.enrol:
        raise MalformedPayloadError(
            f"device {name} is not in the registry", reason=Reason.UNKNOWN_DEVICE, device_id=name
        )
    return name, None


def choose_codec(
    uplink: Uplink, name: str, entry: DeviceEntry | None, registry: Registry
) -> tuple[str, str]:
    """Codec family and model: the device's own entry, else its profile name, else a rule."""
    model = entry.model if entry else ""
    if entry is not None and entry.codec:
        return entry.codec, model
    if family := family_of_profile(uplink.profile):
        return family, model
    for rule in registry.rules:
        if rule.fits(uplink.profile):
            return rule.codec, model or rule.model
    raise UnknownCodecError(
        f"no codec is known for device {name} (profile {uplink.profile!r}, port {uplink.port}, "
        f"bytes {uplink.payload.hex()}); give one in its registry entry or by a rule: "
        f"{', '.join(FAMILIES)}",
        device_id=name,
    )


def decode_uplink(uplink: Uplink, registry: Registry) -> Decoded:
    """Read one frame with the codec of its device.

    A frame without payload, or with MAC commands only (port 0), is known and holds nothing.

    Raises
    ------
    MalformedPayloadError
        If the device or codec is not known, or the codec cannot read the bytes.
    """
    name, entry = find_device(registry, uplink.dev_eui, uplink.device_id)
    decoded = Decoded(
        network_ms=uplink.network_ms,
        frame=Frame(name, uplink.frame_counter, uplink.payload),
        simulated=uplink.simulated,
    )
    if not uplink.payload or uplink.port == 0:
        return decoded
    family, model = choose_codec(uplink, name, entry, registry)
    try:
        found = codec(family).decode(uplink.payload, uplink.port, model=model or uplink.profile)
    except MalformedPayloadError as error:
        error.device_id = name
        raise
    fill(decoded, name, found, uplink.network_ms or 0)
    return decoded


def fill(decoded: Decoded, device: str, found: list[Value | Report], default_ms: int) -> None:
    """Put what a codec found into a message's columns, one series a quantity and channel."""
    columns: dict[tuple[str, str], Series] = {}
    for item in found:
        time_ms = default_ms if item.time_ms is None else item.time_ms
        if isinstance(item, Report):
            decoded.events.append(Event(device, time_ms, item.event, item.active, item.info))
            continue
        key = (item.quantity, item.channel)
        series = columns.get(key)
        if series is None:
            name = f"{device}_{item.channel}" if item.channel else device
            series = columns[key] = Series(name, item.quantity, [], [])
            decoded.series.append(series)
        series.time_ms.append(time_ms)
        series.value.append(float(item.value))
