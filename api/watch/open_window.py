"""The window that is going on, kept in memory: a light round adds what came since the last one.

What is kept equals what a fresh read would give, clocks and late readings included; after a
restart, or where the source cannot tell what came since, it is read afresh.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from analytics.clocks import EARLY_MS, clock_votes, doubted
from analytics.grid import DAY_MS, SLOT_MS, SLOTS, Bools, Floats, Times, lay_out
from api.watch.strand import Strand
from api.watch.window_readings import READ, Part, ReadingSource, WindowReader, joined
from ingest.reading import Flag, Quantity
from ingest.stores import Columns

__all__ = ["Arriving", "OpenNight", "OpenWindow"]

WIDE_MS = 3 * DAY_MS  # clocks that are further off are nobody's; int32 offsets reach 24 days
LAST_GASP = 128
AWAY_MS = 50 * 60_000  # and three of its intervals: then it is missed, and so is its gateway
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
    resumed_ms : int64 (n,)
        When each was first heard again after it was missed for long, by when readings came; 0
        where that was not seen since this process reads along.
    """

    lux: Floats
    seen_ms: Times
    gasp_ms: Times
    shift_ms: Times
    resumed_ms: Times


class OpenWindow:
    """Keeps the window that is going on.

    Parameters
    ----------
    reader : WindowReader
    """

    def __init__(self, reader: WindowReader) -> None:
        self.reader = reader
        n = reader.plan.street.n
        self.fresh_reads = 0
        self._came = np.zeros(n, dtype=np.int64)
        self._resumed = np.zeros(n, dtype=np.int64)
        self._start_ms = -1
        self._marks: dict[Quantity, Any] = {}
        interval_s = np.nan_to_num(reader.plan.street.interval_s, nan=600)
        self._away_ms = np.maximum(AWAY_MS, 3000 * interval_s)

    def bring_up_to(self, readings: ReadingSource, start_ms: int, now_ms: int) -> OpenNight:
        """Add what came since the last time; read all where that cannot be told."""
        news = None
        if start_ms == self._start_ms and isinstance(readings, Arriving):
            news = self._news(readings, now_ms)
        if news is None:
            self._begin(readings, start_ms, now_ms)
        else:
            self._add(readings, news, now_ms)
        return OpenNight(self._lux, self._seen, self._gasp, self._shift, self._resumed)

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
        recount = False
        self._follow_arrivals(news)
        for quantity, came in news.items():
            strand = self._strands[quantity]
            at = came.time_ms - self._start_ms
            inside = (at >= 0) & (at < DAY_MS)
            # Outside the window only what a moved clock dated there is of use.
            part = strand.take(came if inside.all() else came.only(inside | moved[came.row]))
            fresh[quantity] = part
            late = (part.time_ms < recent_ms) | (part.delta_ms < -EARLY_MS)
            again[part.row[late]] = True
            if len(strand.corrected):
                again[strand.corrected] = True
                strand.corrected = strand.corrected[:0]
                recount = True
            votes = self._inside(part)
            self._votes += clock_votes(votes.row, votes.delta_ms.astype(np.int64), n=n)
        if recount:
            self._count_again()
        again |= self._move_clocks(readings, now_ms)
        again |= self._shift != 0
        self._lay_out(fresh, again, recent_ms)

    def _follow_arrivals(self, news: dict[Quantity, Part]) -> None:
        """Who is heard again: a gateway that comes back hands over one device after another."""
        came = np.zeros_like(self._came)
        for part in news.values():
            np.maximum.at(came, part.row, part.time_ms + part.delta_ms)
        again = (self._came > 0) & (came - self._came >= self._away_ms)
        self._resumed = np.where(again, came, self._resumed)
        self._came = np.maximum(self._came, came)

    def _move_clocks(self, readings: ReadingSource, now_ms: int) -> Bools:
        """Judge the clocks again; devices whose clock is moved otherwise than before."""
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
        self._votes[:] = 0
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
