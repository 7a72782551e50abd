"""Helium's HTTP and MQTT integration as recorded in the field: one envelope, uplinks only."""

from ingest.devices import Registry
from ingest.errors import MalformedPayloadError, Reason
from ingest.reading import Decoded
from ingest.topics import Route
from ingest.wire.uplink import Uplink, decode_uplink, parse_envelope

__all__ = ["decode"]


def decode(route: Route, payload: bytes, registry: Registry) -> Decoded:
    """Read an uplink.

    Raises
    ------
    MalformedPayloadError
        With the reason.
    """
    envelope = parse_envelope(payload)
    dev_eui = envelope.eui("dev_eui")
    if not dev_eui:
        raise MalformedPayloadError("the envelope names no DevEUI", reason=Reason.IDENTITY)
    if dev_eui != route.device:
        raise MalformedPayloadError(
            f"the topic names device {route.device}, the envelope {dev_eui}",
            reason=Reason.IDENTITY_MISMATCH,
            device_id=route.device,
        )
    uplink = Uplink(
        dev_eui=dev_eui,
        device_id="",
        profile="",
        port=envelope.port("port"),
        frame_counter=envelope.counter("fcnt"),
        payload=envelope.base64("payload"),
        network_ms=envelope.stamp_ms("reported_at"),
    )
    return decode_uplink(uplink, registry)
