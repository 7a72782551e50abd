"""Helium's HTTP and MQTT integration as recorded in the field: one envelope, uplinks only."""

from ingest.devices import Registry
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
    dev_eui = envelope.device("dev_eui", route)
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
