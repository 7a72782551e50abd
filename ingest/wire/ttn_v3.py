"""The Things Stack v3: uplinks and joins."""

from ingest.devices import Registry
from ingest.errors import MalformedPayloadError, Reason
from ingest.reading import Decoded
from ingest.topics import Route
from ingest.wire.uplink import Uplink, decode_uplink, find_device, parse_envelope

__all__ = ["decode"]


def decode(route: Route, payload: bytes, registry: Registry) -> Decoded:
    """Read an uplink; a join is known and holds nothing.

    Raises
    ------
    MalformedPayloadError
        With the reason; `encrypted` for a payload that only the application can decrypt.
    """
    envelope = parse_envelope(payload)
    ids = envelope.inner("end_device_ids")
    device = ids.text("device_id")
    dev_eui = ids.eui("dev_eui")
    if not device and not dev_eui:
        raise MalformedPayloadError("the envelope names no device", reason=Reason.IDENTITY)
    if device != route.device:
        raise MalformedPayloadError(
            f"the topic names device {route.device}, the envelope {device[:80]!r}",
            reason=Reason.IDENTITY_MISMATCH,
            device_id=route.device,
        )
    outer_ms = envelope.time_ms("received_at")
    simulated = envelope.flag("simulated")
    if route.kind == "join" or envelope.has("join_accept"):
        find_device(registry, dev_eui, device)
        return Decoded(network_ms=outer_ms, simulated=simulated)
    if not envelope.has("uplink_message"):
        raise MalformedPayloadError(
            "the message has neither uplink_message nor join_accept",
            reason=Reason.SHAPE,
            device_id=device,
        )
    message = envelope.inner("uplink_message")
    if message.fields.get("app_s_key"):
        raise MalformedPayloadError(
            f"the payload of {device} is encrypted for the application (app_s_key)",
            reason=Reason.ENCRYPTED,
            device_id=device,
        )
    inner_ms = message.time_ms("received_at")
    uplink = Uplink(
        dev_eui=dev_eui,
        device_id=device,
        profile=_profile(message.inner("version_ids").fields),
        port=message.port("f_port"),
        frame_counter=message.counter("f_cnt"),
        payload=message.base64("frm_payload"),
        network_ms=outer_ms if inner_ms is None else inner_ms,
        simulated=simulated,
    )
    return decode_uplink(uplink, registry)


def _profile(version_ids: dict[str, object]) -> str:
    """Brand and model of the device repository stand in for a device profile name."""
    words = (version_ids.get("brand_id"), version_ids.get("model_id"))
    return " ".join(word for word in words if isinstance(word, str))
