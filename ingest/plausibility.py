"""Which readings can be believed, and how far: a flag beside the value, never silent dropping."""

from math import isnan
from typing import Final

import msgspec

from ingest.devices import Registry
from ingest.errors import MalformedPayloadError, Reason
from ingest.reading import QUANTITIES, Decoded, Event, Flag, QuantitySpec, Series

__all__ = ["Clocks", "judge"]

EPOCH_2020_MS: Final = 1_577_836_800_000
EPOCH_2262_MS: Final = 9_214_646_400_000  # later does not fit nanoseconds in 64 bits
LATE_MS: Final = 24 * 3_600_000
AHEAD_MS: Final = 5 * 60_000

BEHIND_MS: Final = 15 * 60_000
BEFORE_MS: Final = 10 * 60_000
_WRONG_SHARE: Final = 0.6
_VOTE_EVERY_MS: Final = 5 * 60_000
_VOTES: Final = 24
_MIN_VOTES: Final = 8
_MASK: Final = (1 << _VOTES) - 1

_LATE: Final = int(Flag.LATE)
_CLOCK: Final = int(Flag.CLOCK)
_SUSPECT: Final = int(Flag.SUSPECT)
_REPLACED: Final = int(Flag.TIME_REPLACED)
_SIMULATED: Final = int(Flag.SIMULATED)
_QOS0: Final = int(Flag.QOS0)

_UNREPRESENTABLE: Final = 1 << 53


def _unremarkable(spec: QuantitySpec) -> tuple[float, float]:
    """Bounds between which a value needs no closer look: lowest, and just below what does."""
    above = [sentinel for sentinel in spec.sentinels if sentinel > spec.lowest]
    return float(spec.lowest), min([spec.highest, spec.suspect_above, *above])


# Plain tuples, looked up once for every series that passes.
UNREMARKABLE: Final = {quantity: _unremarkable(spec) for quantity, spec in QUANTITIES.items()}


class Votes(msgspec.Struct, gc=False):
    """The last votes on a device's clock: 1 against it, 0 for it, the newest lowest."""

    bits: int = 0
    count: int = 0
    last_ms: int = 0


class Clocks:
    """Whose clock runs wrong.

    Each device votes at most once in five minutes of receive time, with its newest time: more than
    15 min behind or 10 min ahead is a vote against its clock. More than 60 % of its last 24 votes
    (at least 8) convict it. A buffer replayed after an outage is over within minutes and is few
    votes, so honest late data keeps its name.

    Devices without a vote against them cost nothing; at most `limit` others are remembered.

    Attributes
    ----------
    suspects : dict of str to Votes
        Devices with votes against their clock.

    References
    ----------
    The shares and offsets are those by which analytics corrects clocks.
    """

    def __init__(self, *, limit: int = 100_000) -> None:
        self.suspects: dict[str, Votes] = {}
        self._limit = limit

    def wrong(self, device_id: str, offset_ms: int, received_ms: int) -> bool:
        """Take a vote; whether the device's clock runs wrong by now.

        Parameters
        ----------
        device_id : str
        offset_ms : int
            Reference time minus the newest device time in the message [ms].
        received_ms : int
        """
        off = offset_ms > BEHIND_MS or offset_ms < -BEFORE_MS
        votes = self.suspects.get(device_id)
        if votes is None:
            if not off:
                return False
            votes = self.suspects[device_id] = Votes()
            if len(self.suspects) > self._limit:
                del self.suspects[next(iter(self.suspects))]
        if not 0 <= received_ms - votes.last_ms < _VOTE_EVERY_MS:
            votes.bits = ((votes.bits << 1) | off) & _MASK
            votes.count = min(votes.count + 1, _VOTES)
            votes.last_ms = received_ms
            if not votes.bits:
                del self.suspects[device_id]
                return False
        return votes.count >= _MIN_VOTES and votes.bits.bit_count() > _WRONG_SHARE * votes.count


def judge(
    decoded: Decoded,
    *,
    received_ms: int,
    registry: Registry,
    clocks: Clocks,
    qos: int = 1,
) -> Decoded:
    """Judge a message's readings and fault reports, in place.

    - A value outside its quantity's range makes the whole message malformed (`range`).
    - Sentinels ("not known") leave and are counted in `skipped`; -0.0 becomes 0.0.
    - Times: more than 24 h old is flagged `LATE`; more than 5 min ahead, or from a device whose
      clock runs wrong, `CLOCK`, and kept. Times before 2020 are moved so that the newest of them
      falls on the network's time, else on `received_ms`, and flagged `TIME_REPLACED`. Times outside
      1970..2262 (negative ones are clocks never set) make the message malformed (`time`).

    Parameters
    ----------
    decoded : Decoded
        As `ingest.wire.decode` made it.
    received_ms : int
        When we received it [ms, UTC].
    registry : Registry
        Knows which light sensors mean 65535.
    clocks : Clocks
        State of the devices' clocks; changed here.
    qos : int
        Of the MQTT delivery; 0 flags `QOS0`.

    Returns
    -------
    Decoded
        The same object; every series has its `flags`.

    Raises
    ------
    MalformedPayloadError
        `range` or `time`; the clocks are then as before.
    """
    base = (0 if qos else _QOS0) | (_SIMULATED if decoded.simulated else 0)
    newest, oldest = -_UNREPRESENTABLE, _UNREPRESENTABLE
    seen: list[int] | None = None
    emptied = False
    for series in decoded.series:
        value, time_ms = series.value, series.time_ms
        low, high = UNREMARKABLE[series.quantity]
        if len(value) == 1:
            one = value[0]
            plain = low <= one < high
            if plain and one == 0.0:
                value[0] = 0.0  # perhaps it was -0.0
        else:
            lowest = min(value)
            plain = low <= lowest and max(value) < high and not isnan(sum(value))
            if plain and lowest == 0.0:
                series.value = [one + 0.0 for one in value]
        if plain:
            series.flags = base
        else:
            decoded.skipped += _look_closer(series, base, registry)
            emptied = emptied or not series.value
        if time_ms is not seen:  # series of one message often share their times
            seen = time_ms
            first, last = (time_ms[0], time_ms[0]) if len(time_ms) == 1 else _ends(time_ms)
            newest = max(newest, last)
            oldest = min(oldest, first)
    for event in decoded.events:
        newest = max(newest, event.time_ms)
        oldest = min(oldest, event.time_ms)
    if emptied:
        decoded.series = [series for series in decoded.series if series.value]
    reference = decoded.network_ms or received_ms
    if (
        oldest < received_ms - LATE_MS
        or oldest < EPOCH_2020_MS
        or newest > received_ms + AHEAD_MS
        or newest < reference - BEHIND_MS
        or decoded.events
        or (decoded.series and decoded.series[0].device_id in clocks.suspects)
    ):
        _judge_times(decoded, base, newest, oldest, received_ms, clocks)
    return decoded


def _ends(time_ms: list[int]) -> tuple[int, int]:
    return min(time_ms), max(time_ms)


def _look_closer(series: Series, base: int, registry: Registry) -> int:
    """Judge each value by itself; how many said "not known" and left."""
    spec = QUANTITIES[series.quantity]
    sentinels = spec.sentinels
    if sentinels:
        entry = registry.get(series.device_id)
        if entry is not None and entry.max_illuminance_lx in sentinels:
            sentinels = sentinels - {entry.max_illuminance_lx}
    kept_ms: list[int] = []
    kept: list[float] = []
    flags: list[int] = []
    for time_ms, value in zip(series.time_ms, series.value, strict=True):
        if value in sentinels:
            continue
        if not spec.lowest <= value <= spec.highest:
            raise MalformedPayloadError(
                f"{series.quantity} of {value:g} is impossible "
                f"({spec.lowest:g} to {spec.highest:g} {spec.unit})".rstrip(),
                reason=Reason.RANGE,
                device_id=series.device_id,
            )
        kept_ms.append(time_ms)
        kept.append(value + 0.0)  # -0.0 becomes 0.0
        flags.append(base | _SUSPECT if value > spec.suspect_above else base)
    skipped = len(series.value) - len(kept)
    if skipped:
        series.time_ms = kept_ms
    series.value = kept
    series.flags = _shortest(flags) if flags else base
    return skipped


def _shortest(flags: list[int]) -> int | list[int]:
    """One value where all rows have the same."""
    first = flags[0]
    return first if flags.count(first) == len(flags) else flags


def _judge_times(
    decoded: Decoded, base: int, newest: int, oldest: int, received_ms: int, clocks: Clocks
) -> None:
    """Flag and, where they are from before 2020, move the times of a message."""
    device_id = _device_of(decoded)
    if device_id is None:
        return
    if oldest <= -_UNREPRESENTABLE or newest >= EPOCH_2262_MS:
        wrong_ms = newest if newest >= EPOCH_2262_MS else oldest
        raise MalformedPayloadError(
            f"time {wrong_ms} ms cannot be kept", reason=Reason.TIME, device_id=device_id
        )
    network_ms = decoded.network_ms
    anchor_ms = received_ms
    if network_ms is not None and EPOCH_2020_MS <= network_ms < EPOCH_2262_MS:
        anchor_ms = network_ms
    wrong = newest >= EPOCH_2020_MS and clocks.wrong(device_id, anchor_ms - newest, received_ms)
    rule = _Times(
        shift_ms=anchor_ms - _newest_unset(decoded) if oldest < EPOCH_2020_MS else 0,
        anchor_ms=anchor_ms,
        late_before_ms=received_ms - LATE_MS,
        ahead_after_ms=received_ms + AHEAD_MS,
        clock=_CLOCK if wrong else 0,
    )
    for series in decoded.series:
        judged = [rule.judge(time_ms) for time_ms in series.time_ms]
        if oldest < EPOCH_2020_MS:
            series.time_ms = [time_ms for time_ms, _ in judged]
        seen = series.flags
        had = seen if isinstance(seen, list) else [seen] * len(judged)
        series.flags = _shortest([a | b for a, (_, b) in zip(had, judged, strict=True)])
    decoded.events = [_judged_event(event, rule, base) for event in decoded.events]


class _Times(msgspec.Struct, frozen=True, gc=False):
    """How the times of one message are judged."""

    shift_ms: int
    anchor_ms: int
    late_before_ms: int
    ahead_after_ms: int
    clock: int

    def judge(self, time_ms: int) -> tuple[int, int]:
        """The time to keep, and its flags."""
        flags = self.clock
        if time_ms < EPOCH_2020_MS:
            flags = _REPLACED
            time_ms += self.shift_ms
            if time_ms < EPOCH_2020_MS:
                time_ms = self.anchor_ms
        if time_ms < self.late_before_ms:
            flags |= _LATE
        elif time_ms > self.ahead_after_ms:
            flags |= _CLOCK
        return time_ms, flags


def _judged_event(event: Event, rule: _Times, base: int) -> Event:
    time_ms, flags = rule.judge(event.time_ms)
    return msgspec.structs.replace(event, time_ms=time_ms, flags=flags | base)


def _device_of(decoded: Decoded) -> str | None:
    if decoded.series:
        return decoded.series[0].device_id
    return decoded.events[0].device_id if decoded.events else None


def _newest_unset(decoded: Decoded) -> int:
    """The newest of the times from before 2020: what the anchor stands for."""
    unset = [t for series in decoded.series for t in series.time_ms if t < EPOCH_2020_MS]
    unset += [event.time_ms for event in decoded.events if event.time_ms < EPOCH_2020_MS]
    return max(unset)
