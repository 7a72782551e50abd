"""Many native messages at once: those without anything remarkable, as columns.

Most messages of a city are one reading, or a column of them, of one quantity by a known device,
with believable values and times. They are decoded and judged here together, without an object for
each reading. Whatever is remarkable in any way (another format, an unknown device, an error, a
sentinel, a flag to set other than for a wrong clock) is left to `ingest.wire.decode` and
`ingest.plausibility.judge`; both ways give the same readings.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress, repeat
from struct import pack
from typing import Annotated, Any, Final, TypeVar, cast

import msgspec
import numpy as np
import numpy.typing as npt

from ingest.devices import Registry
from ingest.errors import MalformedPayloadError
from ingest.plausibility import AHEAD_MS, BEHIND_MS, EPOCH_2020_MS, LATE_MS, UNREMARKABLE, Clocks
from ingest.reading import Flag, Quantity
from ingest.receipts import Numbered
from ingest.topics import route
from ingest.wire.json_v1 import MAX_ROWS

__all__ = ["Block", "Plain", "Topics", "read"]

T = TypeVar("T")
Longs = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Flags = npt.NDArray[np.uint8]

_Delta = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
_Time = Annotated[int, msgspec.Meta(ge=EPOCH_2020_MS, lt=1 << 53)]
_Boot = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
_Seq = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
_Length = msgspec.Meta(min_length=1, max_length=MAX_ROWS)


class _One(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    v: float
    t: _Time
    boot: _Boot | None = None
    seq: _Seq | None = None


class _Columns(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    t0: _Time
    dt: Annotated[list[_Delta], _Length]
    v: Annotated[list[float], _Length]
    boot: _Boot | None = None
    seq: _Seq | None = None


_read_one = msgspec.json.Decoder(_One).decode
_read_columns = msgspec.json.Decoder(_Columns).decode
_EUI: Final = re.compile(r"[0-9A-Fa-f]{16}")
_MAX_BYTES: Final = 64 * 1024
_MAX_TOPICS: Final = 1 << 17
_AT_A_TIME: Final = 64
_QUANTITIES: Final = list(Quantity)
_LOW: Final = np.array([UNREMARKABLE[quantity][0] for quantity in _QUANTITIES])
_HIGH: Final = np.array([UNREMARKABLE[quantity][1] for quantity in _QUANTITIES])


@dataclass(slots=True)
class Plain:
    """Unremarkable readings of a batch of messages, message by message in the order they came.

    Attributes
    ----------
    message : int64 (m,)
        Which messages these are.
    device_ids : list of str, m long
        Whose they are.
    quantity : int64 (m,)
        Their quantities, as places in `list(Quantity)`.
    boot, seq : list of (int or None), m long
        Where each message stands in its device's numbering; both or neither.
    count : int64 (m,)
        How many readings each of them holds.
    time_ms : int64 (n,)
        When it was so [ms, UTC]; n is the sum of `count`.
    value : float64 (n,)
    flags : uint8 (m,)
        Of all readings of each message: 0, or `Flag.CLOCK`.
    rest : list of int
        Messages to be decoded and judged one by one, in order.
    """

    message: Longs
    device_ids: list[str]
    quantity: Longs
    boot: list[int | None]
    seq: list[int | None]
    count: Longs
    time_ms: Longs
    value: Doubles
    flags: Flags
    rest: list[int]

    def numbered(self) -> tuple[list[int], Numbered]:
        """The messages that are numbered: which of these, and their places in the numbering."""
        given = [boot is not None for boot in self.boot]
        if not any(given):
            return [], Numbered()
        first = np.cumsum(self.count) - self.count
        all_ = Numbered(
            self.device_ids,
            cast("list[int]", self.boot),  # where it is given, it is
            cast("list[int]", self.seq),
            self.count.tolist(),
            np.minimum.reduceat(self.time_ms, first).tolist(),
            np.maximum.reduceat(self.time_ms, first).tolist(),
        )
        at = list(compress(range(len(given)), given))
        return at, all_ if len(at) == len(given) else all_.chosen(given)

    def by_quantity(self, received_ms: Longs | int, keep: Mask | None = None) -> "list[Block]":
        """The same readings, one block a quantity.

        Parameters
        ----------
        received_ms : int64 (k,) or int
            As given to `read`.
        keep : bool (m,), optional
            Messages to take; those that turned out to be repeats stay out.
        """
        given = np.asarray(received_ms, np.int64)
        blocks: list[Block] = []
        present = self.quantity if keep is None else self.quantity[keep]
        for number in np.flatnonzero(np.bincount(present)).tolist():
            mine = self.quantity == number
            if keep is not None:
                mine &= keep
            message, devices = self.message, self.device_ids
            count, flags, time_ms, value = self.count, self.flags, self.time_ms, self.value
            if not mine.all():
                rows = np.repeat(mine, count)
                message, count, flags = message[mine], count[mine], flags[mine]
                time_ms, value = time_ms[rows], value[rows]
                devices = list(compress(devices, mine.tolist()))
            received = given[message] if given.ndim else given.repeat(len(message))
            device = np.arange(len(message), dtype=np.int32)
            if len(time_ms) > len(message):
                device, received = np.repeat(device, count), np.repeat(received, count)
                flags = np.repeat(flags, count)
            blocks.append(
                Block(_QUANTITIES[number], devices, device, time_ms, value, received, flags)
            )
        return blocks


@dataclass(frozen=True, slots=True)
class Block:
    """Readings of one quantity.

    Attributes
    ----------
    device_ids : list of str
    device : int32 (n,)
        Index into `device_ids`, where each message's device stands, one after another.
    time_ms : int64 (n,)
    value : float64 (n,)
    received_ms : int64 (n,)
    flags : uint8 (n,)
    """

    quantity: Quantity
    device_ids: list[str]
    device: npt.NDArray[np.int32]
    time_ms: Longs
    value: Doubles
    received_ms: Longs
    flags: Flags


class Topics:
    """Topics of one quantity each by known devices; the memory of `read`, kept by its caller.

    Invented topics never enter it: only what a registry lists, and at most 131,072.
    """

    __slots__ = ("_registry", "columns", "devices", "known", "quantity")

    def __init__(self) -> None:
        self._registry: Registry | None = None
        self.known: dict[str, int] = {}
        self.devices: list[str] = []
        self.quantity: Longs = np.empty(0, np.int64)
        self.columns: Mask = np.empty(0, np.bool_)

    def of(self, registry: Registry) -> dict[str, int]:
        """Places of the topics seen under this registry."""
        if registry is not self._registry:
            self._registry, self.known, self.devices = registry, {}, []
            self.quantity, self.columns = np.empty(0, np.int64), np.empty(0, np.bool_)
        return self.known

    def learn(self, messages: Sequence[tuple[str, bytes]], registry: Registry) -> None:
        """Remember topics and the shape of what came there, where they are of known devices."""
        known = len(self.quantity)
        quantity: list[int] = []
        columns: list[bool] = []
        for topic, payload in messages:
            shape = b'"dt"' in payload
            at = self.known.get(topic)
            if at is not None:
                if at < known:
                    self.columns[at] = shape
                else:
                    columns[at - known] = shape
                continue
            try:
                place = route(topic)
            except MalformedPayloadError:
                continue
            entry = registry.get(place.device)
            mine = entry is not None and entry.group in {"", place.group}
            # What a LoRaWAN device says by its network server is read one by one; what it says
            # itself must then not be read before that.
            lorawan = entry is not None and (entry.dev_eui or _EUI.fullmatch(entry.device_id))
            if place.quantity is None or not mine or lorawan:
                continue
            if len(self.known) < _MAX_TOPICS:
                self.known[topic] = len(self.devices)
                self.devices.append(place.device)
                quantity.append(_QUANTITIES.index(place.quantity))
                columns.append(shape)
        if quantity:
            self.quantity = np.concatenate([self.quantity, np.array(quantity, np.int64)])
            self.columns = np.concatenate([self.columns, np.array(columns, np.bool_)])


@dataclass(frozen=True, slots=True)
class _Judged:
    """Messages of one shape as columns, and whether each is unremarkable.

    `age_ms` is the receive time minus the newest time of each.
    """

    message: Longs
    boot: list[int | None]
    seq: list[int | None]
    count: Longs
    time_ms: Longs
    value: Doubles
    age_ms: Longs
    good: Mask


def read(
    names: Sequence[str],
    payloads: Sequence[bytes],
    received_ms: Longs | int,
    registry: Registry,
    clocks: Clocks,
    topics: Topics,
    aside: Sequence[int] = (),
) -> Plain:
    """Decode and judge what is unremarkable.

    Parameters
    ----------
    names, payloads : sequence of str, sequence of bytes
        Topic and payload of each message.
    received_ms : int64 (k,) or int
        When each was received [ms, UTC].
    registry : Registry
    clocks : Clocks
        State of the devices' clocks; changed here.
    topics : Topics
        Kept by the caller from batch to batch.
    aside : sequence of int
        Messages that are remarkable for how they came: at QoS 0, or retained.

    Returns
    -------
    Plain
    """
    known = topics.of(registry)
    received = np.asarray(received_ms, np.int64)
    place = np.fromiter(map(known.get, names, repeat(-1)), np.int64, len(names))
    ours = place >= 0
    if len(aside):
        ours[np.asarray(aside, np.int64)] = False
    if names and max(map(len, payloads)) > _MAX_BYTES:
        ours &= np.fromiter(map(len, payloads), np.int64, len(names)) <= _MAX_BYTES
    shape = topics.columns[place] & ours if topics.devices else ours
    failed: list[int] = []
    found: list[_Judged] = []
    for mine, judged in ((ours & ~shape, _one_each), (ours & shape, _many_each)):
        if mine.any():
            numbers = np.flatnonzero(mine)
            at = received if received.ndim == 0 else received[numbers]
            quantity = topics.quantity[place[numbers]]
            whole = len(numbers) == len(payloads)
            bodies = payloads if whole else [payloads[number] for number in numbers.tolist()]
            found.append(judged(numbers, bodies, quantity, at, failed))
    rest: list[int] = np.flatnonzero(~ours).tolist()
    if rest or failed:
        topics.learn([(names[number], payloads[number]) for number in rest + failed], registry)
    return _together(found, rest, names, place, received, topics, clocks)


def _decoded(
    numbers: list[int],
    payloads: Sequence[bytes],
    decoder: Callable[[bytes], Any],
    failed: list[int],
    otherwise: Any,
) -> list[Any]:
    """Messages of one shape; of those that cannot be decoded so, `otherwise`."""
    try:
        return list(map(decoder, payloads))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    messages: list[Any] = []
    for number, payload in zip(numbers, payloads, strict=True):
        try:
            messages.append(decoder(payload))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            failed.append(number)
            messages.append(otherwise)
    return messages


def _one_each(
    numbers: Longs,
    payloads: Sequence[bytes],
    quantity: Longs,
    received_ms: Longs,
    failed: list[int],
) -> _Judged:
    """Messages of one reading."""
    messages = _decoded(numbers.tolist(), payloads, _read_one, failed, _One(0.0, EPOCH_2020_MS))
    time_ms = np.array([message.t for message in messages], np.int64)
    value = np.array([message.v for message in messages], np.float64)
    boot = [message.boot for message in messages]
    seq = [message.seq for message in messages]
    value += 0.0  # -0.0 becomes 0.0
    good = (
        (value >= _LOW[quantity])
        & (value < _HIGH[quantity])
        & _timely(time_ms, time_ms, received_ms)
        & _numbered(boot, seq)
    )
    if failed:
        good &= ~np.isin(numbers, failed)
    count = np.ones(len(messages), np.int64)
    return _Judged(numbers, boot, seq, count, time_ms, value, received_ms - time_ms, good)


def _many_each(
    numbers: Longs,
    payloads: Sequence[bytes],
    quantity: Longs,
    received_ms: Longs,
    failed: list[int],
) -> _Judged:
    """Messages of columns, decoded a few at a time so that they stay in the processor's cache."""
    boot: list[int | None] = []
    seq: list[int | None] = []
    t0: list[int] = []
    counts: list[int] = []
    times = bytearray()
    values = bytearray()
    otherwise = _Columns(EPOCH_2020_MS, [0], [0.0])
    in_order = numbers.tolist()
    for start in range(0, len(in_order), _AT_A_TIME):
        some = in_order[start : start + _AT_A_TIME]
        bodies = payloads[start : start + _AT_A_TIME]
        messages = _decoded(some, bodies, _read_columns, failed, otherwise)
        deltas = [message.dt for message in messages]
        columns = [message.v for message in messages]
        lengths = list(map(len, deltas))
        if lengths != list(map(len, columns)):  # an error: `decode` will say which
            for at, (number, length) in enumerate(zip(some, lengths, strict=True)):
                if len(columns[at]) != length:
                    failed.append(number)
                    columns[at] = [0.0] * length
        total = sum(lengths)
        # Half as long as by numpy, which asks each number what it is.
        times += pack(f"{total}q", *_flat(deltas))
        values += pack(f"{total}d", *_flat(columns))
        counts += lengths
        t0 += [message.t0 for message in messages]
        boot += [message.boot for message in messages]
        seq += [message.seq for message in messages]
    count = np.array(counts, np.int64)
    time_ms = np.frombuffer(times, np.int64) + np.repeat(np.array(t0, np.int64), count)
    value = np.frombuffer(values, np.float64)
    value += 0.0  # -0.0 becomes 0.0
    first = np.cumsum(count) - count
    newest = np.maximum.reduceat(time_ms, first)
    good = (
        (np.minimum.reduceat(value, first) >= _LOW[quantity])
        & (np.maximum.reduceat(value, first) < _HIGH[quantity])
        & _timely(np.minimum.reduceat(time_ms, first), newest, received_ms)
        & _numbered(boot, seq)
    )
    if failed:
        good &= ~np.isin(numbers, failed)
    return _Judged(numbers, boot, seq, count, time_ms, value, received_ms - newest, good)


def _flat(rows: list[list[T]]) -> list[T]:
    """One list after another."""
    flat: list[T] = []
    for row in rows:
        flat += row
    return flat


def _timely(oldest: Longs, newest: Longs, received_ms: Longs) -> Mask:
    """Whether times need no flag, unless the device's clock runs wrong."""
    return (oldest >= received_ms - LATE_MS) & (newest <= received_ms + AHEAD_MS)


def _numbered(boot: list[int | None], seq: list[int | None]) -> Mask | np.bool_:
    """Whether `boot` and `seq` are both given or neither."""
    if None not in boot and None not in seq:
        return np.bool_(True)
    return np.array([(b is None) == (s is None) for b, s in zip(boot, seq, strict=True)], np.bool_)


def _together(
    found: list[_Judged],
    rest: list[int],
    names: Sequence[str],
    place: Longs,
    received_ms: Longs,
    seen: Topics,
    clocks: Clocks,
) -> Plain:
    """One list of messages in the order they came; what is remarkable joins the rest."""
    for judged in found:
        if not judged.good.all():
            rest += judged.message[~judged.good].tolist()
    apart = {names[n].split("/", 4)[3] for n in rest if names[n].count("/") == 4}
    if rest:
        found = [_without(judged, apart, place, seen.devices, rest) for judged in found]
        found = [judged for judged in found if len(judged.message)]
    rest.sort()
    if not found:
        none = np.empty(0, np.int64)
        flags = np.empty(0, np.uint8)
        return Plain(none, [], none, [], [], none, none, np.empty(0), flags, rest)
    if len(found) > 1:
        found = [_in_order(found)]
    [all_] = found
    topic = place[all_.message]
    device_ids = list(map(seen.devices.__getitem__, topic.tolist()))
    return Plain(
        message=all_.message,
        device_ids=device_ids,
        quantity=seen.quantity[topic],
        boot=all_.boot,
        seq=all_.seq,
        count=all_.count,
        time_ms=all_.time_ms,
        value=all_.value,
        flags=_clock_flags(all_, device_ids, received_ms, clocks),
        rest=rest,
    )


def _clock_flags(
    judged: _Judged, device_ids: list[str], received_ms: Longs, clocks: Clocks
) -> Flags:
    """Take votes on clocks, as `judge` does: from late messages, and of suspected devices."""
    flags = np.zeros(len(judged.message), np.uint8)
    suspects = clocks.suspects
    late = judged.age_ms > BEHIND_MS
    if not suspects and not late.any():
        return flags
    received = (
        np.broadcast_to(received_ms, len(late))
        if received_ms.ndim == 0
        else (received_ms[judged.message])
    )
    told = zip(device_ids, late.tolist(), judged.age_ms.tolist(), received.tolist(), strict=True)
    for at, (device, behind, age_ms, received_at_ms) in enumerate(told):
        if (behind or device in suspects) and clocks.wrong(device, age_ms, received_at_ms):
            flags[at] = Flag.CLOCK
    return flags


def _without(
    judged: _Judged, apart: set[str], place: Longs, names: list[str], rest: list[int]
) -> _Judged:
    """The good messages of devices that have nothing remarkable in this batch.

    A device with something remarkable goes there whole: of two readings at the same time the later
    message must win.
    """
    devices = [names[at] for at in place[judged.message].tolist()]
    keep = judged.good & np.array([device not in apart for device in devices], np.bool_)
    rest += judged.message[judged.good & ~keep].tolist()
    rows = np.repeat(keep, judged.count)
    chosen = np.flatnonzero(keep).tolist()
    return _Judged(
        judged.message[keep],
        [judged.boot[at] for at in chosen],
        [judged.seq[at] for at in chosen],
        judged.count[keep],
        judged.time_ms[rows],
        judged.value[rows],
        judged.age_ms[keep],
        judged.good[keep],
    )


def _in_order(found: list[_Judged]) -> _Judged:
    """Messages of both shapes in the order in which they came."""
    message = np.concatenate([judged.message for judged in found])
    count = np.concatenate([judged.count for judged in found])
    order = np.argsort(message)
    rows = np.argsort(np.repeat(message, count), kind="stable")
    boot = [boot for judged in found for boot in judged.boot]
    seq = [seq for judged in found for seq in judged.seq]
    return _Judged(
        message[order],
        [boot[at] for at in order.tolist()],
        [seq[at] for at in order.tolist()],
        count[order],
        np.concatenate([judged.time_ms for judged in found])[rows],
        np.concatenate([judged.value for judged in found])[rows],
        np.concatenate([judged.age_ms for judged in found])[order],
        np.concatenate([judged.good for judged in found])[order],
    )
