"""Native messages: one reading, or columns of them, or fault reports, as JSON."""

from typing import Annotated, Final

import msgspec

from ingest.errors import MalformedPayloadError, Reason
from ingest.personal import refuse_personal
from ingest.reading import Decoded, Event, Quantity, Sequence, Series
from ingest.topics import Route
from ingest.wire.talq import canonical_event
from ingest.wire.text import clean_text

__all__ = ["MAX_ROWS", "decode"]

MAX_ROWS: Final = 1000

_Delta = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
_Deltas = Annotated[list[_Delta], msgspec.Meta(min_length=1, max_length=MAX_ROWS)]
_Column = Annotated[list[float | None], msgspec.Meta(min_length=1, max_length=MAX_ROWS)]
# Whatever reads the message next, the numbering of rows for one, can count on 64 bits.
_Time = Annotated[int, msgspec.Meta(gt=-(1 << 53), lt=1 << 53)]
_Boot = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
_Seq = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]


class _Quantity(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    v: float | _Column | msgspec.UnsetType | None = msgspec.UNSET
    t: _Time | msgspec.UnsetType = msgspec.UNSET
    t0: _Time | None = None
    dt: _Deltas | None = None
    boot: _Boot | None = None
    seq: _Seq | None = None
    simulated: bool = False


class _Readings(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    t0: _Time
    dt: _Deltas
    q: Annotated[dict[Quantity, _Column], msgspec.Meta(min_length=1)]
    boot: _Boot | None = None
    seq: _Seq | None = None
    simulated: bool = False


class _Report(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    event: str
    active: bool | None = None
    info: str = ""


class _Events(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    t0: _Time
    dt: _Deltas
    e: Annotated[list[_Report], msgspec.Meta(min_length=1, max_length=MAX_ROWS)]
    boot: _Boot | None = None
    seq: _Seq | None = None
    simulated: bool = False


_read_quantity = msgspec.json.Decoder(_Quantity).decode
_read_readings = msgspec.json.Decoder(_Readings).decode
_read_events = msgspec.json.Decoder(_Events).decode


def decode(route: Route, payload: bytes) -> Decoded:
    """Read a native message.

    Parameters
    ----------
    route : Route
        From its topic; names the device and what the message holds.
    payload : bytes

    Returns
    -------
    Decoded
        Times as the device gave them; 0 where it gave none. Values as given, `null` left out and
        counted as skipped.

    Raises
    ------
    MalformedPayloadError
        With the reason and, for what JSON can say, the place.
    RefusedContentError
        If free text in it holds an identifier of a person.
    """
    try:
        quantity = route.quantity
        if quantity is not None:
            return _quantity(route.device, quantity, _read_quantity(payload))
        if route.kind == "readings":
            return _readings(route.device, _read_readings(payload))
        if route.kind == "events":
            return _events(route.device, _read_events(payload))
    except msgspec.MsgspecError as error:
        raise _malformed(error, route.device) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise MalformedPayloadError(str(error), device_id=route.device) from error
    raise MalformedPayloadError(
        f"topic kind {route.kind!r} carries nothing from devices to us",
        reason=Reason.UNKNOWN_TOPIC,
        device_id=route.device,
    )


def _quantity(device: str, quantity: Quantity, message: _Quantity) -> Decoded:
    value = message.v
    if type(value) is float:
        if message.t0 is not None or message.dt is not None:
            raise _shape(device, "t0 and dt belong to a list of values; one value takes t")
        time, boot, seq = message.t, message.boot, message.seq
        series = Series(device, quantity, [0 if time is msgspec.UNSET else time], [value])
        sequence = None
        if boot is not None and seq is not None:
            sequence = Sequence(device, boot, seq, 1)
        elif boot is not seq:
            raise _half_numbered(device)
        # In order, not by name: this line runs for most messages of a city.
        return Decoded([series], [], 0, None, None, sequence, message.simulated)
    if value is None:
        sequence = _sequence(device, message, 1)
        return Decoded(skipped=1, sequence=sequence, simulated=message.simulated)
    if not isinstance(value, list):
        raise _shape(device, "v is missing")
    if message.t0 is None or message.dt is None or message.t is not msgspec.UNSET:
        raise _shape(device, "a list of values takes t0 and dt, and no t")
    t0 = message.t0
    rows = [t0 + delta for delta in message.dt]
    times, skipped, values = _rows(device, rows, value, "v")
    decoded = Decoded(
        sequence=_sequence(device, message, len(message.dt)),
        skipped=skipped,
        simulated=message.simulated,
    )
    if values:
        decoded.series = [Series(device, quantity, times, values)]
    return decoded


def _readings(device: str, message: _Readings) -> Decoded:
    series: list[Series] = []
    skipped = 0
    t0 = message.t0
    rows = [t0 + delta for delta in message.dt]
    for quantity, column in message.q.items():
        times, none, values = _rows(device, rows, column, quantity)
        skipped += none
        if values:
            series.append(Series(device, quantity, times, values))
    return Decoded(
        series,
        skipped=skipped,
        sequence=_sequence(device, message, len(message.dt)),
        simulated=message.simulated,
    )


def _events(device: str, message: _Events) -> Decoded:
    if len(message.e) != len(message.dt):
        raise _shape(device, f"e has {len(message.e)} rows, dt {len(message.dt)}")
    events: list[Event] = []
    for delta, report in zip(message.dt, message.e, strict=True):
        name = canonical_event(report.event)
        if name is None:
            raise _shape(device, f"event {report.event[:80]!r} is not in the list of event names")
        info = clean_text(report.info)
        refuse_personal({"info": info})
        events.append(Event(device, message.t0 + delta, name, report.active, info))
    return Decoded(
        events=events,
        sequence=_sequence(device, message, len(message.dt)),
        simulated=message.simulated,
    )


def _rows(
    device: str, times: list[int], column: list[float | None], name: str
) -> tuple[list[int], int, list[float]]:
    """Times and values without the rows that say "not known", and how many those were."""
    if len(column) != len(times):
        raise _shape(device, f"{name} has {len(column)} rows, dt {len(times)}")
    if None not in column:
        return times, 0, column  # type: ignore[return-value]  # no None is left in it
    kept = [(time, value) for time, value in zip(times, column, strict=True) if value is not None]
    return [time for time, _ in kept], len(times) - len(kept), [value for _, value in kept]


def _sequence(device: str, message: _Quantity | _Readings | _Events, count: int) -> Sequence | None:
    if message.boot is None and message.seq is None:
        return None
    if message.boot is None or message.seq is None:
        raise _half_numbered(device)
    return Sequence(device, message.boot, message.seq, count)


def _half_numbered(device: str) -> MalformedPayloadError:
    return _shape(device, "boot and seq are given together or not at all")


def _shape(device: str, detail: str) -> MalformedPayloadError:
    return MalformedPayloadError(detail, reason=Reason.SHAPE, device_id=device)


def _malformed(error: msgspec.MsgspecError, device: str) -> MalformedPayloadError:
    text = str(error)
    return MalformedPayloadError(text, reason=reason_of(error, text), device_id=device)


def reason_of(error: Exception, text: str) -> Reason:
    """Which reason msgspec's words stand for."""
    if not isinstance(error, msgspec.ValidationError):
        return Reason.SYNTAX
    if "field `" in text or "of length" in text or "enum value" in text:
        return Reason.SHAPE
    if "out of range" in text or ">" in text or "<" in text:
        return Reason.TIME if text.endswith(("`$.t`", "`$.t0`")) else Reason.RANGE
    return Reason.TYPE
