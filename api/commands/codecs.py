"""`decode`: one payload, read or explained."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.errors import BadInputError

if TYPE_CHECKING:
    from ingest.reading import Decoded

__all__ = ["register"]

_ENVELOPES = ("json_v1", "chirpstack_v3", "chirpstack_v4", "ttn_v3", "helium_v1")


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    app.command("decode")(decode)


def decode(
    payload: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="HEX",
            help="The payload in hexadecimal (spaces, 0x and case do not matter), or - for "
            "standard input; for an envelope (json_v1, chirpstack_v4, ...) its JSON text.",
        ),
    ] = None,
    codec: Annotated[str, typer.Option(help="Family of the device, or an envelope.")] = "",
    device: Annotated[str, typer.Option(help="Model, where its family needs one.")] = "",
    port: Annotated[int, typer.Option(help="LoRaWAN port.", min=0, max=255)] = 1,
    topic: Annotated[str, typer.Option(help="MQTT topic; needed for an envelope.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    list_codecs: Annotated[bool, typer.Option("--list", help="Name the codecs.")] = False,
) -> None:
    """Read one payload and print its readings and fault reports, or say why it cannot be read."""
    import msgspec

    if list_codecs:
        _print_codecs(as_json=as_json)
        return
    if not codec:
        raise BadInputError("no codec is named.", remedy="Give --codec; --list names them.")
    text = " ".join(payload or [])
    if text == "-":
        text = sys.stdin.read()
    if not text.strip():
        raise BadInputError("there is no payload.", remedy="Give it in hexadecimal.")
    if codec in _ENVELOPES:
        decoded = _read_envelope(codec, topic, text.encode())
    else:
        decoded = _read_payload(codec, device, port, text)
    shown = _shown(decoded, unknown_ms=decoded.network_ms if codec not in _ENVELOPES else None)
    if as_json:
        typer.echo(msgspec.json.encode({"codec": codec, **shown}).decode())
        return
    for line in _lines(shown):
        typer.echo(line)


def _bytes(text: str) -> bytes:
    """Bytes from hexadecimal as people write it."""
    digits = "".join(part.removeprefix("0x").removeprefix("0X") for part in text.split())
    digits = digits.replace(":", "").replace("-", "").replace(",", "")
    try:
        return bytes.fromhex(digits)
    except ValueError as error:
        raise BadInputError(
            f"{text[:80]!r} is not hexadecimal.",
            remedy="Give two digits for each byte, as in 01f37f20.",
        ) from error


def _read_payload(family: str, model: str, port: int, text: str) -> "Decoded":
    from api.clock import Clock
    from ingest.devices import Registry
    from ingest.errors import MalformedPayloadError, UnknownCodecError
    from ingest.plausibility import Clocks, judge
    from ingest.reading import Decoded
    from ingest.wire import codecs
    from ingest.wire.uplink import fill

    payload = _bytes(text)
    now_ms = Clock().now_ms()
    decoded = Decoded(network_ms=now_ms)
    try:
        module = codecs.codec(family)
    except UnknownCodecError as error:
        known = ", ".join((*codecs.FAMILIES, *_ENVELOPES))
        raise BadInputError(
            f"there is no codec {family!r}.", remedy=f"Known are {known}."
        ) from error
    try:
        fill(decoded, "device", module.decode(payload, port, model=model or None), now_ms)
        return judge(decoded, received_ms=now_ms, registry=Registry(), clocks=Clocks())
    except MalformedPayloadError as error:
        named = f" (bytes {payload.hex()})" if payload.hex() not in error.detail else ""
        raise BadInputError(f"{error.detail}{named}") from error


def _read_envelope(name: str, topic: str, payload: bytes) -> "Decoded":
    from api.clock import Clock
    from ingest.devices import Registry
    from ingest.errors import MalformedPayloadError, RefusedContentError
    from ingest.plausibility import Clocks, judge
    from ingest.topics import route
    from ingest.wire import decode as read

    if not topic:
        raise BadInputError(
            f"{name} names the device by its topic.",
            remedy="Give --topic, such as ljusvakt/v1/street/lamp-1/illuminance_lx.",
        )
    registry = Registry(enrol=True)
    try:
        if not name.startswith(route(topic).format):
            raise BadInputError(f"topic {topic!r} carries {route(topic).format}, not {name}.")
        decoded = read(topic, payload, registry)
        return judge(decoded, received_ms=Clock().now_ms(), registry=registry, clocks=Clocks())
    except (MalformedPayloadError, RefusedContentError) as error:
        raise BadInputError(f"{error}.") from error


def _shown(decoded: "Decoded", *, unknown_ms: int | None) -> dict[str, Any]:
    """What a message held, in the words and times of the interchange formats.

    `unknown_ms` stands where the payload gave no time: shown as null.
    """
    from ingest.reading import QUANTITIES

    readings: list[dict[str, Any]] = []
    for series in decoded.series:
        flags = series.flags
        for row, (time_ms, value) in enumerate(zip(series.time_ms, series.value, strict=True)):
            flag = flags[row] if isinstance(flags, list) else flags
            readings.append(
                {
                    "device_id": series.device_id,
                    "time": _time(time_ms, unknown_ms),
                    "quantity": series.quantity.value,
                    "value": value,
                    "unit": QUANTITIES[series.quantity].unit,
                    "flags": _flag_names(flag),
                }
            )
    events = [
        {
            "device_id": event.device_id,
            "time": _time(event.time_ms, unknown_ms),
            "event": event.event,
            "active": event.active,
            "info": event.info,
        }
        for event in decoded.events
    ]
    return {"readings": readings, "events": events, "skipped": decoded.skipped}


def _time(time_ms: int, unknown_ms: int | None) -> str | None:
    from datetime import UTC, datetime

    if time_ms == unknown_ms:
        return None

    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _flag_names(flags: int) -> list[str]:
    from ingest.reading import Flag

    return [flag.name.lower() for flag in Flag if flags & flag and flag.name]


def _lines(shown: dict[str, Any]) -> list[str]:
    """The same for people, one line a reading or fault report."""
    meaning = {True: "starts", False: "ends", None: "happened"}
    lines = [
        f"{row['quantity']:21} {row['value']:<12g} {row['unit']:4} {_when(row)}  "
        f"{row['device_id']} {' '.join(row['flags'])}".rstrip()
        for row in shown["readings"]
    ]
    lines += [
        f"{row['event']:21} {meaning[row['active']]:17} {_when(row)}  "
        f"{row['device_id']} {row['info']}".rstrip()
        for row in shown["events"]
    ]
    if shown["skipped"]:
        lines.append(f"values that say they are not known: {shown['skipped']}")
    return lines or ["a known payload that holds no readings and no fault reports"]


def _when(row: dict[str, Any]) -> str:
    return f"{row['time'] or 'when it was received':24}"


def _print_codecs(*, as_json: bool) -> None:
    import msgspec

    from ingest.wire import codecs

    families = {family: list(codecs.codec(family).MODELS) for family in codecs.FAMILIES}
    if as_json:
        listed = {"codecs": families, "envelopes": list(_ENVELOPES)}
        typer.echo(msgspec.json.encode(listed).decode())
        return
    for family, models in families.items():
        typer.echo(f"{family:12} {', '.join(models)}")
    typer.echo(f"envelopes    {', '.join(_ENVELOPES)}")
