"""Wire formats: pure decoders from bytes to what a message held."""

from typing import Final

from ingest.devices import DeviceEntry, Registry
from ingest.errors import MalformedPayloadError, Reason, RefusedContentError
from ingest.personal import is_mac, refuse_personal_bytes
from ingest.reading import Decoded
from ingest.topics import Format, Route, route
from ingest.wire import chirpstack, helium_v1, json_v1, ttn_v3

__all__ = ["MAX_BYTES", "decode"]

MAX_BYTES: Final = 64 * 1024


def decode(topic: str, payload: bytes, registry: Registry) -> Decoded:
    """Read one message.

    Parameters
    ----------
    topic : str
    payload : bytes
        At most 64 KiB.
    registry : Registry
        Which devices exist and how they speak.

    Returns
    -------
    Decoded
        Not judged yet: hand it to `ingest.plausibility.judge`. A known message that holds no
        readings (a join, an empty frame) is empty.

    Raises
    ------
    MalformedPayloadError
        The message goes to quarantine, with `reason`.
    RefusedContentError
        It holds an identifier of a person: counted, not kept.
    """
    if len(payload) > MAX_BYTES:
        raise MalformedPayloadError(
            f"{len(payload)} bytes are more than {MAX_BYTES}", reason=Reason.TOO_LARGE
        )
    looked = False
    try:
        place = route(topic)
        if place.format is Format.JSON_V1:
            entry = registry.get(place.device)
            if entry is None or entry.group not in {"", place.group}:
                _refuse_stranger(place, entry, registry)
            return json_v1.decode(place, payload)
        # An envelope has room for anything; a native message has none, unless it is malformed.
        looked = True
        refuse_personal_bytes(payload)
        return _network_server(place, payload, registry)
    except RefusedContentError:
        raise
    except MalformedPayloadError:
        # Quarantine keeps the bytes whole: what must not be kept is refused before.
        if not looked:
            refuse_personal_bytes(payload)
        raise
    except Exception as error:
        # The last line of defence: a bug in one decoder costs one message, never the collector.
        if not looked:
            refuse_personal_bytes(payload)
        raise MalformedPayloadError(
            f"the decoder failed: {type(error).__name__}: {error}", reason=Reason.DECODER_ERROR
        ) from error


def _refuse_stranger(place: Route, entry: DeviceEntry | None, registry: Registry) -> None:
    """Refuse a device that is not listed, or that uses another's group; let it pass to enrol."""
    if entry is not None:
        raise MalformedPayloadError(
            f"device {place.device} belongs to group {entry.group}, not {place.group}",
            reason=Reason.IDENTITY_MISMATCH,
            device_id=place.device,
        )
    if not registry.enrol:
        raise MalformedPayloadError(
            f"device {place.device} is not in the registry",
            reason=Reason.UNKNOWN_DEVICE,
            device_id=place.device,
        )
    if is_mac(place.device):  # somebody's phone must not enrol as a device
        raise RefusedContentError("device")


def _network_server(place: Route, payload: bytes, registry: Registry) -> Decoded:
    if place.format is Format.CHIRPSTACK:
        return chirpstack.decode(place, payload, registry)
    if place.format is Format.TTN_V3:
        return ttn_v3.decode(place, payload, registry)
    return helium_v1.decode(place, payload, registry)
