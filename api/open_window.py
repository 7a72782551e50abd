"""The window that is going on, kept in memory: a light round adds what came since the last one.

What is kept equals what a fresh read would give, clocks and late readings included; after a
restart, or where the source cannot tell what came since, it is read afresh.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from analytics.clocks import EARLY_MS, clock_votes, doubted
from analytics.grid import DAY_MS, SLOT_MS, SLOTS, Bools, Floats, Ints, Times, lay_out
from api.window_readings import READ, Part, ReadingSource, WindowReader, joined
from ingest.reading import Flag, Quantity
from ingest.stores import Columns

__all__ = ["Arriving", "OpenNight", "OpenWindow"]

WIDE_MS = 3 * DAY_MS  # clocks that are further off are nobody's; int32 offsets reach 24 days
LAST_GASP = 128
RECENT_SLOTS = 2


@runtime_checkable
class Arriving(Protocol):
    """A source that can tell what came since it was asked last."""

    def arrived(
        self,
        quantity: Quantity,
        *,
        start_ms: int,
        stop_ms: int,
        reach_ms: int,
        now_ms: int,
        mark: Any,
    ) -> tuple[Columns | None, Any]:
        """Readings that came since `mark`, and the mark for the next time.

        Of the window from `start_ms` to `stop_ms`, and of `reach_ms` around it. Columns are None
        where it cannot be told, as with a mark of None: the window is read afresh then. The same
        reading may come again.
        """
        ...


@dataclass(slots=True)
class OpenNight:
    """The open window as far as it was received.

    Attributes
    ----------
    lux : float32 (n, 144)
    seen_ms : int64 (n,)
        When anything was last heard of each device in this window; 0 where nothing was.
    gasp_ms : int64 (n,)
        Its last "supply lost" with its last breath; 0 where there was none.
    shift_ms : int64 (n,)
        What each clock was moved by.
    """

    lux: Floats
    seen_ms: Times
    gasp_ms: Times
    shift_ms: Times


class Strand:
    """All readings of one quantity in the window, in the order they came."""

    def __init__(self, n: int, start_ms: int) -> None:
        self.n, self.start_ms = n, start_ms
        self.size = 0
        self._held = Part(*(np.zeros(0, kind) for kind in ("i4", "i4", "f4", "i4")))  # type: ignore[arg-type]  # offsets, 4 bytes
        self.newest = np.full(n, np.iinfo(np.int64).min, dtype=np.int64)
        self.corrected: Ints = np.zeros(0, dtype=np.int32)  # devices whose readings changed

    def part(self, keep: Any = slice(None)) -> Part:
        """Readings as they are held, or some of them, with full times."""
        held, size = self._held, self.size
        return Part(
            held.row[:size][keep],
            held.time_ms[:size][keep].astype(np.int64) + self.start_ms,
            held.value[:size][keep],
            held.delta_ms[:size][keep],
        )

    def of_rows(self, wanted: Bools) -> Part:
        """Readings of some devices."""
        return self.part(np.flatnonzero(wanted[self._held.row[: self.size]]))

    def since(self, time_ms: int) -> Part:
        """Readings dated from a moment on."""
        return self.part(np.flatnonzero(self._held.time_ms[: self.size] >= time_ms - self.start_ms))

    def take(self, part: Part) -> Part:
        """Add readings; what was there already is replaced. Returns those that changed anything."""
        part = newest_of_repeats(part)
        again = part.time_ms <= self.newest[part.row]
        if again.any():
            part = self._without_known(part, again)
        self._append(part)
        np.maximum.at(self.newest, part.row, part.time_ms)
        return part

    def drop_outside(self, wanted: Bools) -> None:
        """Forget what some devices dated outside of the window."""
        held, size = self._held, self.size
        at = held.time_ms[:size]
        keep = ~wanted[held.row[:size]] | ((at >= 0) & (at < DAY_MS))
        if keep.all():
            return
        for name in ("row", "time_ms", "value", "delta_ms"):
            column = getattr(held, name)
            kept = column[:size][keep]
            column[: len(kept)] = kept
        self.size = int(keep.sum())

    def _without_known(self, part: Part, again: Bools) -> Part:
        """Replace the values of readings that are held; what is left is new or changed."""
        asked = np.zeros(self.n, dtype=bool)
        asked[part.row[again]] = True
        at = np.flatnonzero(asked[self._held.row[: self.size]])
        held_key = key_of(self._held.row[at], self._held.time_ms[at])
        order = np.argsort(held_key)
        held_key, at = held_key[order], at[order]
        key = key_of(part.row, part.time_ms - self.start_ms)
        place = np.minimum(np.searchsorted(held_key, key), max(len(at) - 1, 0))
        known = held_key[place] == key if len(at) else np.zeros(len(key), dtype=bool)
        there = at[place[known]] if len(at) else at
        same = self._held.value[there] == part.value[known]
        self._held.value[there] = part.value[known]
        delta = self._held.delta_ms[there]
        # An identical repeat keeps when it came first.
        self._held.delta_ms[there] = np.where(same, delta, part.delta_ms[known])
        self.corrected = part.only(known).row[~same]
        return part.only(~known)

    def _append(self, part: Part) -> None:
        size = self.size + len(part)
        if size > len(self._held.row):
            room = max(2 * len(self._held.row), size, 4096)
            for name in ("row", "time_ms", "value", "delta_ms"):
                column = getattr(self._held, name)
                wider = np.zeros(room, column.dtype)
                wider[: self.size] = column[: self.size]
                setattr(self._held, name, wider)
        new = slice(self.size, size)
        self._held.row[new] = part.row
        self._held.time_ms[new] = part.time_ms - self.start_ms
        self._held.value[new] = part.value
        self._held.delta_ms[new] = part.delta_ms
        self.size = size


class OpenWindow:
    """Keeps the window that is going on.

    Parameters
    ----------
    reader : WindowReader
    """

    def __init__(self, reader: WindowReader) -> None:
        self.reader = reader
        self.fresh_reads = 0
        self._start_ms = -1
        self._marks: dict[Quantity, Any] = {}

    def bring_up_to(self, readings: ReadingSource, start_ms: int, now_ms: int) -> OpenNight:
        """Add what came since the last time; read all where that cannot be told."""
        news = None
        if start_ms == self._start_ms and isinstance(readings, Arriving):
            news = self._news(readings, now_ms)
        if news is None:
            self._begin(readings, start_ms, now_ms)
        else:
            self._add(readings, news, now_ms)
        return OpenNight(self._lux, self._seen, self._gasp, self._shift)

    def _news(self, readings: Arriving, now_ms: int) -> dict[Quantity, Part] | None:
        """What came since, by quantity; None where it must be read afresh."""
        out: dict[Quantity, Part] = {}
        for quantity in READ:
            found, self._marks[quantity] = readings.arrived(
                quantity,
                start_ms=self._start_ms,
                stop_ms=self._start_ms + DAY_MS,
                reach_ms=WIDE_MS,
                now_ms=now_ms,
                mark=self._marks.get(quantity),
            )
            if found is None or (found.flags & Flag.WITHDRAWN).any():
                self._marks.clear()
                return None
            out[quantity] = self.reader.part(quantity, found, now_ms)
        return out

    def _begin(self, readings: ReadingSource, start_ms: int, now_ms: int) -> None:
        """Read the whole window."""
        n = self.reader.plan.street.n
        self.fresh_reads += 1
        self._start_ms = start_ms
        self._strands = {q: Strand(n, start_ms) for q in READ}
        self._votes = np.zeros((2, n), dtype=np.int64)
        self._shift = np.zeros(n, dtype=np.int64)
        self._lux = np.full((n, SLOTS), np.nan, dtype=np.float32)
        self._seen = np.zeros(n, dtype=np.int64)
        self._gasp = np.zeros(n, dtype=np.int64)
        stop_ms = start_ms + DAY_MS
        news: dict[Quantity, Part] = {}
        for quantity in READ:
            if isinstance(readings, Arriving):
                # The mark first: what comes between the two is heard twice, never lost.
                _, self._marks[quantity] = readings.arrived(
                    quantity,
                    start_ms=start_ms,
                    stop_ms=stop_ms,
                    reach_ms=WIDE_MS,
                    now_ms=now_ms,
                    mark=None,
                )
            found = readings.columns(quantity, start_ms=start_ms, stop_ms=stop_ms)
            news[quantity] = self.reader.part(quantity, found, now_ms)
        self._add(readings, news, now_ms)

    def _add(self, readings: ReadingSource, news: dict[Quantity, Part], now_ms: int) -> None:
        n = self.reader.plan.street.n
        again = np.zeros(n, dtype=bool)  # devices whose window is laid out anew
        moved = self._shift != 0
        recent_ms = now_ms - now_ms % SLOT_MS - RECENT_SLOTS * SLOT_MS
        fresh: dict[Quantity, Part] = {}
        for quantity, part in news.items():
            strand = self._strands[quantity]
            at = part.time_ms - self._start_ms
            inside = (at >= 0) & (at < DAY_MS)
            part = part if inside.all() else part.only(inside | moved[part.row])
            fresh[quantity] = part = strand.take(part)
            late = (part.time_ms < recent_ms) | (part.delta_ms < -EARLY_MS)
            again[part.row[late]] = True
            if len(strand.corrected):
                again[strand.corrected] = True
                strand.corrected = strand.corrected[:0]
                self._votes[:] = 0
            inside = (part.time_ms >= self._start_ms) & (part.time_ms < self._start_ms + DAY_MS)
            votes = part if inside.all() else part.only(inside)
            self._votes += clock_votes(votes.row, votes.delta_ms.astype(np.int64), n=n)
        again |= self._move_clocks(readings, now_ms)
        again |= self._shift != 0
        self._lay_out(fresh, again, recent_ms)

    def _move_clocks(self, readings: ReadingSource, now_ms: int) -> Bools:
        """Judge the clocks again; devices whose clock is moved otherwise than before."""
        if not self._votes.any():
            self._count_again()
        suspect = doubted(self._votes[0], self._votes[1])
        shift = np.zeros_like(self._shift)
        if suspect.any():
            held = {q: self._inside(s.of_rows(suspect)) for q, s in self._strands.items()}
            shift = self.reader.shift_of(held, suspect)
        changed: Bools = shift != self._shift
        self._shift = shift
        if changed.any():
            for strand in self._strands.values():
                strand.drop_outside(changed)
            rows = np.flatnonzero(changed & (shift != 0)).astype(np.int32)
            if len(rows):
                beside = self.reader.beside(readings, self._start_ms, now_ms, shift, rows)
                for quantity, part in beside.items():
                    self._strands[quantity].take(part)
        return changed

    def _inside(self, part: Part) -> Part:
        """Those dated inside the window."""
        at = part.time_ms - self._start_ms
        inside = (at >= 0) & (at < DAY_MS)
        return part if inside.all() else part.only(inside)

    def _count_again(self) -> None:
        for strand in self._strands.values():
            part = self._inside(strand.part())
            self._votes += clock_votes(part.row, part.delta_ms.astype(np.int64), n=strand.n)

    def _lay_out(self, fresh: dict[Quantity, Part], again: Bools, recent_ms: int) -> None:
        """Lay out the newest slots of all, and the whole window of those that need it."""
        lux = self._strands[Quantity.ILLUMINANCE]
        n, rows = lux.n, np.flatnonzero(again)
        low = int(np.clip((recent_ms - self._start_ms) // SLOT_MS, 0, SLOTS))
        if len(rows) > n // 2:
            again, rows, low = np.ones(n, dtype=bool), np.arange(n), SLOTS
        if low < SLOTS and len(fresh[Quantity.ILLUMINANCE]):
            part = lux.since(recent_ms)
            time_ms = part.moved(self._shift)
            newest = lay_out(part.row, time_ms, part.value, n=n, start_ms=self._start_ms)
            self._lux[:, low:] = newest[:, low:]
        if len(rows):
            place = np.full(n, -1, dtype=np.int32)
            place[rows] = np.arange(len(rows), dtype=np.int32)
            part = lux.of_rows(again)
            self._lux[rows] = lay_out(
                place[part.row],
                part.moved(self._shift),
                part.value,
                n=len(rows),
                start_ms=self._start_ms,
            )
        self._look_back(fresh, again)

    def _look_back(self, fresh: dict[Quantity, Part], again: Bools) -> None:
        """When each device was last heard, and when it last told that its supply was going."""
        self._seen[again], self._gasp[again] = 0, 0
        stop_ms = self._start_ms + DAY_MS
        for quantity, strand in self._strands.items():
            part = fresh[quantity]
            if again.any():
                part = joined([part.only(~again[part.row]), strand.of_rows(again)])
            time_ms = part.moved(self._shift)
            there = np.isfinite(part.value) & (time_ms >= self._start_ms) & (time_ms < stop_ms)
            np.maximum.at(self._seen, part.row[there], time_ms[there])
            if quantity is Quantity.LAMP_STATUS:
                gasp = there & ((np.nan_to_num(part.value).astype(np.int64) & LAST_GASP) > 0)
                np.maximum.at(self._gasp, part.row[gasp], time_ms[gasp])


def key_of(row: Ints, at_ms: Any) -> Times:
    """One number for a device and a moment within some weeks."""
    return row.astype(np.int64) * (1 << 33) + at_ms.astype(np.int64) + (1 << 32)


def newest_of_repeats(part: Part) -> Part:
    """The last of equal (device, time), in place of the first of them."""
    if len(part) < 2:
        return part
    order = np.lexsort((part.time_ms, part.row))
    row, time_ms = part.row[order], part.time_ms[order]
    last = np.r_[(row[1:] != row[:-1]) | (time_ms[1:] != time_ms[:-1]), True]
    if last.all():
        return part
    return part.only(order[last])
