"""Many native messages at once: those without anything remarkable, as columns.

Most messages of a city are one reading, or a column of them, of one quantity by a known device,
with believable values and times. They are decoded and judged here together, without an object for
each reading. Whatever is remarkable in any way (another format, an unknown device, an error, a
sentinel, a flag to set) is left to `ingest.wire.decode` and `ingest.plausibility.judge`; both ways
give the same readings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any, Final, NamedTuple, cast

import msgspec
import numpy as np
import numpy.typing as npt

from ingest.devices import Registry
from ingest.errors import MalformedPayloadError
from ingest.plausibility import AHEAD_MS, BEHIND_MS, EPOCH_2020_MS, LATE_MS, UNREMARKABLE, Clocks
from ingest.reading import Quantity
from ingest.topics import Route, route
from ingest.wire.json_v1 import MAX_ROWS

__all__ = ["Plain", "Topics", "read"]

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


# A topic's device and quantity, the quantity's number, and whether columns come there.
_Place = tuple[Route, int, bool]
_read_one = msgspec.json.Decoder(_One).decode
_read_columns = msgspec.json.Decoder(_Columns).decode
_QUANTITIES: Final = list(Quantity)
_NUMBER_OF: Final = {quantity: number for number, quantity in enumerate(_QUANTITIES)}
_LOW: Final = np.array([UNREMARKABLE[quantity][0] for quantity in _QUANTITIES])
_HIGH: Final = np.array([UNREMARKABLE[quantity][1] for quantity in _QUANTITIES])
_MAX_BYTES: Final = 64 * 1024
_MAX_TOPICS: Final = 1 << 17


@dataclass(slots=True)
class Plain:
    """Unremarkable readings of a batch of messages, message by message in the order they came.

    Attributes
    ----------
    message : int64 (m,)
        Which messages these are.
    routes : list of Route
        Device and quantity of each of them.
    numbering : list of (int or None, int or None)
        `boot` and `seq` of each of them; both or neither.
    count : int64 (m,)
        How many readings each of them holds.
    time_ms : int64 (n,)
        When it was so [ms, UTC]; n is the sum of `count`.
    value : float64 (n,)
    rest : list of int
        Messages to be decoded and judged one by one, in order.
    """

    message: npt.NDArray[np.int64]
    routes: list[Route]
    numbering: list[tuple[int | None, int | None]]
    count: npt.NDArray[np.int64]
    time_ms: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    rest: list[int]


class Topics:
    """Topics of one quantity each by known devices; the memory of `read`.

    Invented topics never enter it: only what a registry lists, and at most 131,072.
    """

    __slots__ = ("_known", "_registry")

    def __init__(self) -> None:
        self._registry: Registry | None = None
        self._known: dict[str, _Place] = {}

    def of(self, registry: Registry) -> dict[str, _Place]:
        """Topics seen under this registry."""
        if registry is not self._registry:
            self._registry, self._known = registry, {}
        return self._known

    def learn(self, topic: str, payload: bytes, registry: Registry) -> None:
        """Remember a topic and its shape, if it is one of a known device and one quantity."""
        try:
            place = route(topic)
        except MalformedPayloadError:
            return
        entry = registry.get(place.device)
        if place.quantity is None or entry is None or entry.group not in {"", place.group}:
            return
        if len(self._known) < _MAX_TOPICS or topic in self._known:
            self._known[topic] = (place, _NUMBER_OF[place.quantity], b'"dt"' in payload)


def read(
    messages: Sequence[tuple[str, bytes]],
    received_ms: npt.NDArray[np.int64] | int,
    registry: Registry,
    clocks: Clocks,
    topics: Topics,
) -> Plain:
    """Decode and judge what is unremarkable.

    Parameters
    ----------
    messages : sequence of (str, bytes)
        Topics and payloads; delivered at QoS 1 or 2, not retained.
    received_ms : int64 (k,) or int
        When each was received [ms, UTC].
    registry : Registry
    clocks : Clocks
        Devices under suspicion are left to `judge`, which alone takes votes.
    topics : Topics
        Kept by the caller from batch to batch.

    Returns
    -------
    Plain
    """
    if not messages:
        return _together([], [], [], clocks)
    names, payloads = zip(*messages, strict=True)
    known = topics.of(registry)
    places = list(map(known.get, names))
    numbers, rest = list(range(len(names))), list[int]()
    if None in places or max(map(len, payloads)) > _MAX_BYTES:
        for number in numbers:
            if places[number] is None:
                topics.learn(names[number], payloads[number], registry)
            if places[number] is None or len(payloads[number]) > _MAX_BYTES:
                rest.append(number)
        left_out = set(rest)
        numbers = [number for number in numbers if number not in left_out]
    received = np.asarray(received_ms, np.int64)
    chosen = [place for number in numbers if (place := places[number])] if rest else places
    ones, columns = _by_shape(_Group(numbers, cast("list[_Place]", chosen), []))
    found = [
        _judge_ones(_decoded(ones, payloads, _read_one, rest), received),
        _judge_columns(_decoded(columns, payloads, _read_columns, rest), received),
    ]
    for number in rest:
        if places[number]:  # perhaps its shape has changed
            topics.learn(names[number], payloads[number], registry)
    return _together(found, rest, [names[number] for number in rest], clocks)


class _Group(NamedTuple):
    """Messages of one shape, with their numbers and places."""

    numbers: list[int]
    places: list[_Place]
    messages: list[Any]


def _by_shape(group: _Group) -> tuple[_Group, _Group]:
    """Messages of one reading, and messages of columns."""
    shapes = [columns for _, _, columns in group.places]
    nothing = _Group([], [], [])
    if True not in shapes:
        return group, nothing
    if False not in shapes:
        return nothing, group
    parts = ([n for n, shape in enumerate(shapes) if shape is kind] for kind in (False, True))
    ones, columns = (
        _Group([group.numbers[n] for n in part], [group.places[n] for n in part], [])
        for part in parts
    )
    return ones, columns


def _decoded(
    group: _Group, payloads: Sequence[bytes], decoder: Callable[[bytes], Any], rest: list[int]
) -> _Group:
    """Decode messages of one shape; those that cannot be join the rest."""
    try:
        messages = [decoder(payloads[number]) for number in group.numbers]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    else:
        return _Group(group.numbers, group.places, messages)
    good = _Group([], [], [])
    for number, place in zip(group.numbers, group.places, strict=True):
        try:
            message = decoder(payloads[number])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            rest.append(number)
        else:
            good.numbers.append(number)
            good.places.append(place)
            good.messages.append(message)
    return good


class _Judged(NamedTuple):
    """Messages of one shape as columns, and whether each is unremarkable."""

    group: _Group
    rows: npt.NDArray[np.int64]
    time_ms: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    good: npt.NDArray[np.bool_]


def _judge_ones(group: _Group, received_ms: npt.NDArray[np.int64]) -> _Judged:
    """Messages of one reading."""
    messages = group.messages
    time_ms = np.array([message.t for message in messages], np.int64)
    value = np.array([message.v for message in messages], np.float64)
    quantity = np.array([number for _, number, _ in group.places], np.intp)
    received = _of(received_ms, group)
    good = _believable(value, quantity) & _timely(time_ms, time_ms, received)
    good &= _numbered(messages)
    return _Judged(group, np.ones(len(messages), np.int64), time_ms, value, good)


def _judge_columns(group: _Group, received_ms: npt.NDArray[np.int64]) -> _Judged:
    """Messages of columns."""
    messages = group.messages
    count = np.array([len(message.dt) for message in messages], np.int64)
    equal = count == np.array([len(message.v) for message in messages], np.int64)
    if not equal.all():  # lists of unequal length are an error: `decode` will say which
        for message, fits in zip(messages, equal.tolist(), strict=True):
            if not fits:
                message.v = [0.0] * len(message.dt)
    if not messages:
        return _Judged(group, count, np.empty(0, np.int64), np.empty(0), equal)
    t0 = np.array([message.t0 for message in messages], np.int64)
    total = int(count.sum())
    deltas = chain.from_iterable([message.dt for message in messages])
    values = chain.from_iterable([message.v for message in messages])
    dt, value = np.fromiter(deltas, np.int64, total), np.fromiter(values, np.float64, total)
    time_ms = np.repeat(t0, count) + dt
    start = np.cumsum(count) - count
    quantity = np.repeat(np.array([number for _, number, _ in group.places], np.intp), count)
    good = (
        equal
        & _numbered(messages)
        & np.logical_and.reduceat(_believable(value, quantity), start)
        & _timely(
            np.minimum.reduceat(time_ms, start),
            np.maximum.reduceat(time_ms, start),
            _of(received_ms, group),
        )
    )
    return _Judged(group, count, time_ms, value, good)


def _of(received_ms: npt.NDArray[np.int64], group: _Group) -> npt.NDArray[np.int64]:
    return received_ms if received_ms.ndim == 0 else received_ms[group.numbers]


def _numbered(messages: list[Any]) -> npt.NDArray[np.bool_] | np.bool_:
    """Whether `boot` and `seq` are both given or neither."""
    boots = [message.boot for message in messages]
    seqs = [message.seq for message in messages]
    if None not in boots and None not in seqs:
        return np.bool_(True)
    return np.array([(b is None) == (s is None) for b, s in zip(boots, seqs, strict=True)], bool)


def _believable(
    value: npt.NDArray[np.float64], quantity: npt.NDArray[np.intp]
) -> npt.NDArray[np.bool_]:
    """Whether values are within the bounds that need no closer look; -0.0 becomes 0.0."""
    value += 0.0
    return (value >= _LOW[quantity]) & (value < _HIGH[quantity])


def _timely(
    oldest: npt.NDArray[np.int64],
    newest: npt.NDArray[np.int64],
    received_ms: npt.NDArray[np.int64],
) -> npt.NDArray[np.bool_]:
    """Whether times need no flag and cast no vote against the device's clock."""
    return (
        (oldest >= received_ms - LATE_MS)
        & (newest <= received_ms + AHEAD_MS)
        & (newest >= received_ms - BEHIND_MS)
    )


def _together(found: list[_Judged], rest: list[int], names: list[str], clocks: Clocks) -> Plain:
    """One list of messages in the order they came; what is remarkable joins the rest."""
    apart = {name.split("/", 4)[3] for name in names if name.count("/") == 4}
    apart.update(clocks.suspects)
    for judged in found:
        if not judged.good.all():
            for at in np.flatnonzero(~judged.good).tolist():
                rest.append(judged.group.numbers[at])
                apart.add(judged.group.places[at][0].device)
    if apart:
        found = [_without(judged, apart, rest) for judged in found]
    rest.sort()
    found = [judged for judged in found if judged.group.numbers]
    if not found:
        none = np.empty(0, np.int64)
        return Plain(none, [], [], none, none, np.empty(0), rest)
    numbering = [(one.boot, one.seq) for judged in found for one in judged.group.messages]
    plain = Plain(
        message=np.array([n for judged in found for n in judged.group.numbers], np.int64),
        routes=[place for judged in found for place, *_ in judged.group.places],
        numbering=numbering,
        count=np.concatenate([judged.rows for judged in found]),
        time_ms=np.concatenate([judged.time_ms for judged in found]),
        value=np.concatenate([judged.value for judged in found]),
        rest=rest,
    )
    if len(found) > 1:
        _in_order(plain)
    return plain


def _without(judged: _Judged, apart: set[str], rest: list[int]) -> _Judged:
    """The good messages of devices that have nothing remarkable in this batch.

    A device with something remarkable goes there whole: of two readings at the same time the later
    message must win.
    """
    group, good = judged.group, judged.good
    mine = np.array([place.device not in apart for place, *_ in group.places], np.bool_)
    rest += [group.numbers[at] for at in np.flatnonzero(good & ~mine).tolist()]
    chosen = np.flatnonzero(good & mine).tolist()
    rows = np.repeat(good & mine, judged.rows)
    return _Judged(
        _Group(
            [group.numbers[at] for at in chosen],
            [group.places[at] for at in chosen],
            [group.messages[at] for at in chosen],
        ),
        judged.rows[chosen],
        judged.time_ms[rows],
        judged.value[rows],
        good[chosen],
    )


def _in_order(plain: Plain) -> None:
    """Bring the messages into the order in which they came."""
    order = np.argsort(plain.message)
    rows = np.argsort(np.repeat(plain.message, plain.count), kind="stable")
    plain.routes = [plain.routes[at] for at in order.tolist()]
    plain.numbering = [plain.numbering[at] for at in order.tolist()]
    plain.message, plain.count = plain.message[order], plain.count[order]
    plain.time_ms, plain.value = plain.time_ms[rows], plain.value[rows]
