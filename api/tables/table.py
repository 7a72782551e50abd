"""Named columns, and what each is taken for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from api.errors import BadInputError
from api.local_time import LocalTime
from api.tables.cells import as_moment, as_number, as_text

__all__ = ["Table", "Times"]


@dataclass(frozen=True, slots=True)
class Times:
    """One column of times.

    Attributes
    ----------
    utc_s : int64 (n,)
        UTC [s since 1970], of the first occurrence where the wall clock showed it twice.
    wall_s : int64 (n,)
        What the local clock showed [s, counted as if it were UTC].
    known : bool (n,)
        Whether the cell held a time at all.
    skipped, repeated : bool (n,)
        Local readings that no clock showed, or that it showed twice. Always false where the file
        itself gives the zone: then nothing is in doubt.
    zoned : bool
        Whether the file itself gives the zone.
    """

    utc_s: npt.NDArray[np.int64]
    wall_s: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]
    skipped: npt.NDArray[np.bool_]
    repeated: npt.NDArray[np.bool_]
    zoned: bool


@dataclass(frozen=True, slots=True)
class Table:
    """Named columns of equal length; a cell is text, a number, a time, a truth value or None.

    Attributes
    ----------
    name : str
        Of the file, for messages.
    columns : dict of str to sequence
    first_line : int
        Line (or row of the sheet) of the first record, for messages.
    """

    name: str
    columns: Mapping[str, Sequence[Any]]
    first_line: int = 2

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def column(self, name: str) -> Sequence[Any]:
        """A column by its name; capitals and surrounding spaces do not matter."""
        if name in self.columns:
            return self.columns[name]
        alike = [own for own in self.columns if own.strip().casefold() == name.strip().casefold()]
        if len(alike) == 1:
            return self.columns[alike[0]]
        raise BadInputError(
            f"{self.name} has no column {name!r}.",
            remedy=f"It has: {', '.join(self.columns)}.",
        )

    def texts(self, name: str) -> list[str]:
        """A column as text without surrounding spaces; empty where nothing stands."""
        return [as_text(cell) for cell in self.column(name)]

    def numbers(self, name: str) -> npt.NDArray[np.float64]:
        """A column as float64, NaN where nothing stands; decimal comma and spaces are read.

        Raises
        ------
        BadInputError
            With the line of the first cell that is no number.
        """
        cells = self.column(name)
        if isinstance(cells, np.ndarray) and cells.dtype.kind in "fiu":
            return cells.astype(np.float64)
        out = np.empty(len(cells), dtype=np.float64)
        for i, cell in enumerate(cells):
            value = as_number(cell)
            if value is None:
                raise BadInputError(
                    f"{self.name}, line {self.first_line + i}, column {name!r}: "
                    f"{as_text(cell)[:40]!r} is not a number.",
                    remedy="Correct the cell, or leave it empty where nothing is known.",
                )
            out[i] = value
        return out

    def times(self, name: str, zone: ZoneInfo) -> Times:
        """A column as times.

        Parameters
        ----------
        name : str
        zone : ZoneInfo
            Where a time without a zone was read off the wall, and whose wall clock is wanted.

        Raises
        ------
        BadInputError
            With the line of the first cell that is no time.
        """
        seconds, known, zoned = self._seconds(name)
        there = seconds[known]
        first, last = (int(there.min()), int(there.max())) if len(there) else (0, 0)
        clock = LocalTime(zone, first, last)
        none = np.zeros(len(seconds), dtype=np.bool_)
        if zoned:
            return Times(seconds, clock.to_wall(seconds), known, none, none, zoned=True)
        skipped, repeated = clock.skipped(seconds) & known, clock.repeated(seconds) & known
        return Times(clock.to_utc(seconds), seconds, known, skipped, repeated, zoned=False)

    def _seconds(self, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], bool]:
        """Seconds, which of them are known, and whether they are UTC already."""
        cells = self.column(name)
        if isinstance(cells, np.ndarray) and cells.dtype.kind == "M":
            known = ~np.isnat(cells)
            seconds = np.where(known, cells, np.datetime64(0, "s")).astype("M8[s]")
            return seconds.astype(np.int64), known, False
        seconds = np.zeros(len(cells), dtype=np.int64)
        known = np.zeros(len(cells), dtype=np.bool_)
        kinds: set[bool] = set()
        seen: dict[Any, tuple[int, bool] | None] = {}
        for i, cell in enumerate(cells):
            if cell not in seen:
                seen[cell] = self._moment(cell, i, name)
            moment = seen[cell]
            if moment is not None:
                seconds[i], zoned = moment
                known[i] = True
                kinds.add(zoned)
        if len(kinds) > 1:
            raise BadInputError(
                f"{self.name}, column {name!r}: some times have a zone and others have none.",
                remedy="Give all of them a zone, or none.",
            )
        return seconds, known, True in kinds

    def _moment(self, cell: Any, i: int, name: str) -> tuple[int, bool] | None:
        """One cell as (seconds, zone given); None where nothing stands."""
        try:
            return as_moment(cell)
        except (ValueError, OverflowError) as error:
            raise BadInputError(
                f"{self.name}, line {self.first_line + i}, column {name!r}: "
                f"{as_text(cell)[:40]!r} is not a time.",
                remedy="Write it as 2026-05-01 13:00, with a zone if it is not local.",
            ) from error
