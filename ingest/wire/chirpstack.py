"""ChirpStack v3 and v4: one kind of topic, two envelopes."""

from typing import Final

from ingest.devices import Registry
from ingest.errors import MalformedPayloadError, Reason
from ingest.reading import Decoded, Event, Quantity, Series
from ingest.topics import Route
from ingest.wire.text import clean_text
from ingest.wire.uplink import Envelope, Uplink, decode_uplink, find_device, parse_envelope

__all__ = ["decode"]

_SINCE_2020_MS: Final = 1_577_836_800_000
# Codes of ChirpStack's log that a TALQ event says as well; all others are about the network.
_LOG_EVENTS: Final = {"UPLINK_F_CNT_RESET": "device_reset", "OTAA": "communication_failure"}


def decode(route: Route, payload: bytes, registry: Registry) -> Decoded:
    """Read any event of ChirpStack v3 or v4.

    Only `up` and (v4) `status` hold readings, and `log` may hold a fault report; the others are
    known and hold nothing.

    Raises
    ------
    MalformedPayloadError
        With the reason; `encrypted` for a payload that only the application can decrypt.
    """
    envelope = parse_envelope(payload)
    kind = route.kind
    wrapped = envelope.fields.get("payload")
    if isinstance(wrapped, dict) and "type" in envelope.fields:
        # As some collectors record them: {"type": "up", "payload": {...}}.
        kind = envelope.text("type")
        envelope = Envelope(wrapped, "payload.")
    elif envelope.has("_topic"):
        # As others do: the envelope with `_topic` and `_timestamp` of their own.
        kind = envelope.text("_topic").rpartition("/")[2]
        kind = "up" if kind == "rx" else kind  # as earlier versions named it
    if envelope.has("deviceInfo"):
        return _v4(route, kind, envelope, registry)
    return _v3(route, kind, envelope, registry)


def _v4(route: Route, kind: str, envelope: Envelope, registry: Registry) -> Decoded:
    info = envelope.inner("deviceInfo")
    dev_eui = info.device("devEui", route)
    network_ms = envelope.time_ms("time")
    if kind == "up":
        _refuse_encrypted(envelope, dev_eui)
        if network_ms is None:
            network_ms = _gateway_ms(envelope, "nsTime", "gwTime")
        uplink = Uplink(
            dev_eui=dev_eui,
            device_id="",
            profile=info.text("deviceProfileName"),
            port=envelope.port("fPort"),
            frame_counter=envelope.counter("fCnt"),
            payload=envelope.base64("data"),
            network_ms=network_ms,
        )
        return decode_uplink(uplink, registry)
    device, _ = find_device(registry, dev_eui, "")
    decoded = Decoded(network_ms=network_ms)
    if kind == "status":
        _battery(decoded, device, envelope)
    elif kind == "log":
        _log(decoded, device, envelope)
    return decoded


def _v3(route: Route, kind: str, envelope: Envelope, registry: Registry) -> Decoded:
    dev_eui = envelope.device("devEUI", route)
    if kind != "up":
        device, _ = find_device(registry, dev_eui, "")
        decoded = Decoded(network_ms=_v3_network_ms(envelope))
        if kind == "status":
            _battery(decoded, device, envelope)
        return decoded
    uplink = Uplink(
        dev_eui=dev_eui,
        device_id="",
        profile=envelope.text("deviceProfileName"),
        port=envelope.port("fPort"),
        frame_counter=envelope.counter("fCnt"),
        payload=_v3_data(envelope),
        network_ms=_v3_network_ms(envelope),
    )
    return decode_uplink(uplink, registry)


def _v3_data(envelope: Envelope) -> bytes:
    """The frame's bytes: base64, as ChirpStack writes them.

    Recorders that put their own `_timestamp` into the envelope write hexadecimal. Whether text is
    one or the other is never guessed from its letters: "50270c04" is both.
    """
    if envelope.has("_timestamp"):
        return _hex(envelope, "data")
    return envelope.base64("data")


def _hex(envelope: Envelope, name: str) -> bytes:
    try:
        return bytes.fromhex(envelope.text(name))
    except ValueError as error:
        raise MalformedPayloadError(f"{name} is not hexadecimal: {error}") from error


def _v3_network_ms(envelope: Envelope) -> int | None:
    if (published := envelope.time_ms("publishedAt")) is not None:
        return published
    if (recorded := envelope.stamp_ms("_timestamp")) is not None:
        return recorded
    return _gateway_ms(envelope, "time")


def _gateway_ms(envelope: Envelope, *names: str) -> int | None:
    """The earliest credible time among the gateways that heard it."""
    times = [
        time_ms
        for gateway in envelope.items("rxInfo")
        for name in names
        if (time_ms := gateway.time_ms(name)) is not None and time_ms >= _SINCE_2020_MS
    ]
    return min(times, default=None)


def _refuse_encrypted(envelope: Envelope, dev_eui: str) -> None:
    if envelope.fields.get("joinServerContext"):
        raise MalformedPayloadError(
            f"the payload of {dev_eui} is encrypted for the application (joinServerContext)",
            reason=Reason.ENCRYPTED,
            device_id=dev_eui,
        )


def _battery(decoded: Decoded, device: str, envelope: Envelope) -> None:
    if envelope.flag("externalPowerSource") or envelope.flag("batteryLevelUnavailable"):
        return
    if not envelope.has("batteryLevel"):
        # LoRaWAN has no level that ChirpStack would write as 0 without one of the flags above.
        decoded.skipped += 1
        return
    level = envelope.number("batteryLevel")
    decoded.series.append(
        Series(device, Quantity.BATTERY_LEVEL, [decoded.network_ms or 0], [level])
    )


def _log(decoded: Decoded, device: str, envelope: Envelope) -> None:
    event = _LOG_EVENTS.get(envelope.text("code"))
    if event is None:
        return
    info = clean_text(f"{envelope.text('code')}: {envelope.text('description')}")
    decoded.events.append(Event(device, decoded.network_ms or 0, event, None, info))
