"""All readings of one quantity in one window, in the order they came, each of them once."""

from typing import Any

import numpy as np
import numpy.typing as npt

from analytics.grid import DAY_MS, Bools, Ints, Times
from api.watch.window_readings import Part

__all__ = ["Strand"]

FIRST_ROOM = 4096


class Strand:
    """Grows with what comes; sixteen bytes a reading.

    Parameters
    ----------
    n : int
        Number of devices.
    start_ms : int
        The window's noon; times are kept as offsets from it.

    Attributes
    ----------
    corrected : int32
        Devices of which a reading that was there got another value; emptied by whoever heeds it.
    """

    def __init__(self, n: int, start_ms: int) -> None:
        self.n, self.start_ms = n, start_ms
        self.size = 0
        self.corrected: Ints = np.zeros(0, dtype=np.int32)
        self._newest = np.full(n, np.iinfo(np.int64).min, dtype=np.int64)
        self._held: dict[str, npt.NDArray[Any]] = {
            "row": np.zeros(0, np.int32),
            "at": np.zeros(0, np.int32),
            "value": np.zeros(0, np.float32),
            "delta": np.zeros(0, np.int32),
        }

    def _column(self, name: str) -> npt.NDArray[Any]:
        return self._held[name][: self.size]

    def part(self, keep: Any = slice(None)) -> Part:
        """Readings as they are held, or some of them, with full times."""
        return Part(
            self._column("row")[keep],
            self._column("at")[keep].astype(np.int64) + self.start_ms,
            self._column("value")[keep],
            self._column("delta")[keep],
        )

    def of_rows(self, wanted: Bools) -> Part:
        """Readings of some devices."""
        return self.part(np.flatnonzero(wanted[self._column("row")]))

    def since(self, time_ms: int) -> Part:
        """Readings dated from a moment on."""
        return self.part(np.flatnonzero(self._column("at") >= time_ms - self.start_ms))

    def take(self, part: Part) -> Part:
        """Add readings; the value of one that was there is replaced. Returns those that are new."""
        part = newest_of_repeats(part)
        again = part.time_ms <= self._newest[part.row]
        if again.any():
            part = self._replace(part, again)
        self._append(part)
        np.maximum.at(self._newest, part.row, part.time_ms)
        return part

    def drop_outside(self, wanted: Bools) -> None:
        """Forget what some devices dated outside of the window."""
        at = self._column("at")
        keep = ~wanted[self._column("row")] | ((at >= 0) & (at < DAY_MS))
        if keep.all():
            return
        kept = {name: self._column(name)[keep] for name in self._held}
        self.size = int(keep.sum())
        for name, column in kept.items():
            self._held[name][: self.size] = column

    def _replace(self, part: Part, again: Bools) -> Part:
        """Replace the values of readings that are held; what is left is new."""
        asked = np.zeros(self.n, dtype=bool)
        asked[part.row[again]] = True
        at = np.flatnonzero(asked[self._column("row")])
        held = key_of(self._column("row")[at], self._column("at")[at])
        order = np.argsort(held)
        held, at = held[order], at[order]
        key = key_of(part.row, part.time_ms - self.start_ms)
        place = np.minimum(np.searchsorted(held, key), len(at) - 1)
        known: Bools = held[place] == key
        there = at[place[known]]
        value, delta = self._held["value"], self._held["delta"]
        same = value[there] == part.value[known]
        value[there] = part.value[known]
        # An identical repeat keeps when it came first.
        delta[there] = np.where(same, delta[there], part.delta_ms[known])
        self.corrected = np.append(self.corrected, part.row[known][~same])
        return part.only(~known)

    def _append(self, part: Part) -> None:
        size = self.size + len(part)
        room = len(self._held["row"])
        if size > room:
            for name, column in self._held.items():
                wider = np.zeros(max(2 * room, size, FIRST_ROOM), column.dtype)
                wider[: self.size] = column[: self.size]
                self._held[name] = wider
        new = slice(self.size, size)
        self._held["row"][new] = part.row
        self._held["at"][new] = part.time_ms - self.start_ms
        self._held["value"][new] = part.value
        self._held["delta"][new] = part.delta_ms
        self.size = size


def key_of(row: Ints, at_ms: npt.NDArray[Any]) -> Times:
    """One number for a device and a moment within some weeks."""
    key: Times = row.astype(np.int64) * (1 << 33) + at_ms.astype(np.int64) + (1 << 32)
    return key


def newest_of_repeats(part: Part) -> Part:
    """The last of equal (device, time)."""
    follows = part.row[1:] == part.row[:-1]
    if np.all((part.row[1:] > part.row[:-1]) | (follows & (part.time_ms[1:] > part.time_ms[:-1]))):
        return part  # as a store gives them: sorted, each once
    order = np.lexsort((part.time_ms, part.row))
    row, time_ms = part.row[order], part.time_ms[order]
    same = (row[1:] == row[:-1]) & (time_ms[1:] == time_ms[:-1])
    return part.only(order[np.r_[~same, True]]) if same.any() else part
