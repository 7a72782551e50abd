"""The readings of one window, from noon to noon, as matrices: clocks put right, sentinels gone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from analytics.clocks import clock_votes, doubted, steady_shift, true_ms
from analytics.grid import DAY_MS, SLOTS, Bools, Floats, Ints, Times, lay_out
from api.street.street_plan import StreetPlan
from ingest.reading import Quantity
from ingest.stores import Columns, StoredEvent

__all__ = ["READ", "Grids", "Part", "ReadingSource", "WindowReader", "margin_ms", "several_of"]

READ = (Quantity.ILLUMINANCE, Quantity.POWER, Quantity.LAMP_STATUS, Quantity.DIMMING)
HOUR_MS = 3_600_000
CITY = 5_000  # luminaires from which memory is worth a second look at the files


class ReadingSource(Protocol):
    """What a round reads from; any store, or a folder of files."""

    def columns(
        self,
        quantity: Quantity,
        *,
        start_ms: int,
        stop_ms: int,
        devices: Sequence[str] | None = None,
    ) -> Columns:
        """Readings with `start_ms <= time_ms < stop_ms`, of all devices or of those named."""
        ...

    def events(self, *, start_ms: int, stop_ms: int) -> list[StoredEvent]:
        """Fault reports with `start_ms <= time_ms < stop_ms`, by time."""
        ...


@dataclass(slots=True)
class Grids:
    """Matrices of one window; None where nobody sent the quantity.

    Attributes
    ----------
    lux, power, status, dimming : float32 (n, 144)
        NaN where silent.
    heard : bool (n, 144)
        Where anything came.
    shift_ms : int64 (n,)
        What each device's clock was moved by.
    """

    lux: Floats
    power: Floats | None
    status: Floats | None
    heard: Bools
    shift_ms: Times
    dimming: Floats | None = None


@dataclass(slots=True)
class Part:
    """Readings of one quantity by row, narrow: a city's night of them is held at once.

    Attributes
    ----------
    row : int32 (m,)
    time_ms : int64 (m,)
        As the device says.
    value : float32 (m,)
    delta_ms : int32 (m,)
        Receive time minus device time.
    """

    row: Ints
    time_ms: Times
    value: Floats
    delta_ms: Ints

    def __len__(self) -> int:
        return len(self.row)

    def only(self, keep: Bools | npt.NDArray[np.intp]) -> "Part":
        """Some of them."""
        return Part(self.row[keep], self.time_ms[keep], self.value[keep], self.delta_ms[keep])

    def moved(self, shift_ms: Times) -> Times:
        """When they were taken, the clocks put right."""
        return true_ms(self.row, self.time_ms, self.time_ms + self.delta_ms, shift_ms)


def several_of(quantity: Quantity) -> Literal["median", "last"]:
    """What stands for several readings in one slot: bit fields and commands know no middle."""
    levels = (Quantity.LAMP_STATUS, Quantity.DIMMING)
    return "last" if quantity in levels else "median"


def margin_ms(shift_ms: Times) -> tuple[int, int]:
    """How far before and after a window the readings of moved clocks must be looked for."""
    return (
        -(-int(max(shift_ms.max(initial=0), 0)) // HOUR_MS) * HOUR_MS,
        -(-int(max(-shift_ms.min(initial=0), 0)) // HOUR_MS) * HOUR_MS,
    )


class WindowReader:
    """Reads windows of the street.

    Parameters
    ----------
    plan : StreetPlan
    noted : callable
        Is shown every bundle of columns that is read: who is simulated stands in their flags.
    """

    def __init__(
        self, plan: StreetPlan, *, noted: Callable[[Columns], None] = lambda _: None
    ) -> None:
        self.plan = plan
        self.noted = noted
        self._listed: tuple[list[str], Ints] = ([], np.zeros(0, dtype=np.int32))

    def read(self, readings: ReadingSource, start_ms: int, now_ms: int) -> Grids:
        """The window that begins at `start_ms`, as it was known at `now_ms`."""
        n = self.plan.street.n
        parts: dict[Quantity, Part] = {}
        votes = np.zeros((2, n), dtype=np.int64)
        for quantity in READ:
            parts[quantity] = part = self._window_of(readings, quantity, start_ms, now_ms)
            votes += clock_votes(part.row, part.delta_ms.astype(np.int64), n=n)
        shift = self.shift_of(parts, doubted(votes[0], votes[1]))
        moved = np.flatnonzero(shift).astype(np.int32)
        extra = self.beside(readings, start_ms, now_ms, shift, moved) if len(moved) else {}
        laid = {q: self._lay_out(q, parts.pop(q), extra.get(q), start_ms, shift) for q in READ}
        lux = laid[Quantity.ILLUMINANCE]
        if lux is None:
            lux = np.full((n, SLOTS), np.nan, dtype=np.float32)
        heard = np.isfinite(lux)
        power, status = laid[Quantity.POWER], laid[Quantity.LAMP_STATUS]
        for other in (power, status):
            if other is not None:
                heard |= np.isfinite(other)
        return Grids(lux, power, status, heard, shift, laid[Quantity.DIMMING])

    def _window_of(
        self, readings: ReadingSource, quantity: Quantity, start_ms: int, now_ms: int
    ) -> Part:
        """One quantity of the window, by device and time.

        A city's is read in two halves, as stores keep UTC days: one day's file is held at a time.
        """
        stop_ms = start_ms + DAY_MS
        edges = [start_ms, stop_ms]
        if self.plan.street.n > CITY:
            edges.insert(1, start_ms + DAY_MS // 2)
        halves = [
            self.part(quantity, readings.columns(quantity, start_ms=a, stop_ms=b), now_ms)
            for a, b in pairwise(edges)
        ]
        filled = [half for half in halves if len(half)]
        if len(filled) < 2:
            return filled[0] if filled else halves[0]
        whole = joined(filled)
        del halves, filled
        # Two sorted runs: a stable sort merges them.
        return whole.only(np.argsort(whole.row, kind="stable"))

    def part(self, quantity: Quantity, found: Columns, now_ms: int) -> Part:
        """Columns by row, of luminaires alone, received by now, without sentinels."""
        self.noted(found)
        row = self._rows_of(found.device_ids)[found.device] if len(found) else found.device
        keep = (row >= 0) & (found.received_ms <= now_ms)
        time_ms, value = found.time_ms, found.value
        delta = found.received_ms - time_ms
        if not keep.all():
            row, time_ms, value, delta = row[keep], time_ms[keep], value[keep], delta[keep]
        narrow = np.clip(delta, -(2**31) + 1, 2**31 - 1).astype(np.int32)
        part = Part(row, time_ms, value.astype(np.float32), narrow)
        return self._without_sentinels(part) if quantity is Quantity.ILLUMINANCE else part

    def _rows_of(self, device_ids: list[str]) -> Ints:
        """Rows of devices; a source that gives the same list again is not asked name by name."""
        if device_ids is not self._listed[0]:
            self._listed = device_ids, self.plan.rows(device_ids)
        return self._listed[1]

    def _without_sentinels(self, part: Part) -> Part:
        """Negative values and 65535 say "not known", unless the sensor really ends there."""
        odd = (part.value < 0) | (part.value == 65535)
        if odd.any():
            meant = (self.plan.street.max_lx[part.row] == 65535) & (part.value > 0)
            part.value = np.where(odd & ~meant, np.float32(np.nan), part.value)
        return part

    def shift_of(self, parts: dict[Quantity, Part], suspect: Bools) -> Times:
        """What the doubted devices' clocks must be moved by, from all that they sent."""
        n = self.plan.street.n
        if not suspect.any():
            return np.zeros(n, dtype=np.int64)
        rows, deltas = [], []
        for part in parts.values():
            asked = suspect[part.row]
            rows.append(part.row[asked])
            deltas.append(part.delta_ms[asked].astype(np.int64))
        return steady_shift(np.concatenate(rows), np.concatenate(deltas), n=n)

    def beside(
        self, readings: ReadingSource, start_ms: int, now_ms: int, shift: Times, rows: Ints
    ) -> dict[Quantity, Part]:
        """What devices with a moved clock sent inside the window and dated outside of it."""
        before, after = margin_ms(shift[rows])
        names = [self.plan.street.names[int(r)] for r in rows]
        stop_ms = start_ms + DAY_MS
        spans = [(start_ms - before, start_ms)] if before else []
        spans += [(stop_ms, stop_ms + after)] if after else []
        out: dict[Quantity, Part] = {}
        for quantity in READ:
            found = [
                self.part(
                    quantity,
                    readings.columns(quantity, start_ms=a, stop_ms=b, devices=names),
                    now_ms,
                )
                for a, b in spans
            ]
            out[quantity] = joined(found)
        return out

    def _lay_out(
        self, quantity: Quantity, part: Part, extra: Part | None, start_ms: int, shift: Times
    ) -> Floats | None:
        """One quantity as a matrix, or None where nobody sent it."""
        if not len(part) and not (extra and len(extra)):
            return None
        n, several = self.plan.street.n, several_of(quantity)
        time_ms = part.moved(shift)
        out = lay_out(part.row, time_ms, part.value, n=n, start_ms=start_ms, several=several)
        if extra and len(extra):
            # Few devices: laid out alone, so that the many need not be sorted again.
            rows = np.flatnonzero(shift)
            place = np.full(n, -1, dtype=np.int32)
            place[rows] = np.arange(len(rows), dtype=np.int32)
            own = joined([part.only(place[part.row] >= 0), extra])
            out[rows] = lay_out(
                place[own.row],
                own.moved(shift),
                own.value,
                n=len(rows),
                start_ms=start_ms,
                several=several,
            )
        return out


def joined(parts: Sequence[Part]) -> Part:
    """Several as one."""
    return Part(
        np.concatenate([p.row for p in parts]),
        np.concatenate([p.time_ms for p in parts]),
        np.concatenate([p.value for p in parts]),
        np.concatenate([p.delta_ms for p in parts]),
    )
