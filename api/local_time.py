"""Wall clocks and UTC: which local hours were skipped, which came twice."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt

from api.errors import BadInputError

__all__ = ["LocalTime", "time_zone"]

Seconds = npt.NDArray[np.int64]

DAY_S = 86_400
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_zone(name: str) -> ZoneInfo:
    """The zone of this IANA name, or an error that says what a name looks like."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadInputError(
            f"no time zone is called {name!r}.", remedy="Use a name such as Europe/Stockholm."
        ) from error


class LocalTime:
    """One zone's wall clock over a span of time, as arrays.

    Parameters
    ----------
    zone : ZoneInfo
    first_s, last_s : int
        The span that must be covered [s since 1970]; two days are added on either side, so a wall
        clock reading may be given in place of UTC.

    Attributes
    ----------
    since_s : int64 (n,)
        When each offset began to hold [s, UTC]; the first is the start of the span.
    offset_s : int64 (n,)
        Wall clock minus UTC from then on [s].
    """

    def __init__(self, zone: ZoneInfo, first_s: int, last_s: int) -> None:
        self.zone = zone
        changes = list(offset_changes(zone, first_s - 2 * DAY_S, last_s + 2 * DAY_S))
        self.since_s: Seconds = np.array([at for at, _ in changes], dtype=np.int64)
        self.offset_s: Seconds = np.array([offset for _, offset in changes], dtype=np.int64)

    def to_wall(self, utc_s: Seconds) -> Seconds:
        """What the wall clock shows [s, counted as if it were UTC]."""
        at = np.searchsorted(self.since_s, utc_s, side="right") - 1
        return np.asarray(utc_s + self.offset_s[np.maximum(at, 0)], dtype=np.int64)

    def to_utc(self, wall_s: Seconds, *, second: npt.NDArray[np.bool_] | None = None) -> Seconds:
        """When the wall clock showed this [s, UTC]; a skipped reading gets the later offset.

        Parameters
        ----------
        wall_s : int64 (n,)
        second : bool (n,), optional
            Where true, the second of two occurrences is meant.
        """
        first, last = self._segments(wall_s)
        at = first if second is None else np.where(second, np.maximum(first, last), first)
        return np.asarray(wall_s - self.offset_s[at], dtype=np.int64)

    def skipped(self, wall_s: Seconds) -> npt.NDArray[np.bool_]:
        """Whether no clock ever showed this (the hour lost in spring)."""
        first, last = self._segments(wall_s)
        return np.asarray(first > last)

    def repeated(self, wall_s: Seconds) -> npt.NDArray[np.bool_]:
        """Whether the clock showed this twice (the hour won in autumn)."""
        first, last = self._segments(wall_s)
        return np.asarray(first < last)

    def _segments(self, wall_s: Seconds) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """First stretch of constant offset that ends after the reading, last that begins by it."""
        starts = self.since_s + self.offset_s
        ends = self.since_s[1:] + self.offset_s[:-1]
        return (
            np.searchsorted(ends, wall_s, side="right"),
            np.searchsorted(starts, wall_s, side="right") - 1,
        )


def offset_changes(zone: ZoneInfo, first_s: int, last_s: int) -> Iterable[tuple[int, int]]:
    """Each moment [s, UTC] from which another offset [s] holds, the start of the span included."""
    known = utc_offset(zone, first_s)
    yield first_s, known
    for day in range(first_s, last_s, DAY_S):
        stop = min(day + DAY_S, last_s)
        if (new := utc_offset(zone, stop)) != known:
            low, high = day, stop
            while high - low > 1:
                middle = (low + high) // 2
                if utc_offset(zone, middle) == known:
                    low = middle
                else:
                    high = middle
            yield high, new
            known = new


def utc_offset(zone: ZoneInfo, time_s: int) -> int:
    """Wall clock minus UTC at one moment [s]."""
    try:
        moment = EPOCH + timedelta(seconds=time_s)
        offset = moment.astimezone(zone).utcoffset()
    except OverflowError as error:
        raise BadInputError(
            "a time lies outside the years 1 to 9999.", remedy="Check the time column."
        ) from error
    return int(offset.total_seconds()) if offset is not None else 0
