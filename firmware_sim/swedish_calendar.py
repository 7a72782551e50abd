"""Local time and Swedish holidays by rule, for when people walk and when lamps are dimmed."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

__all__ = ["day_class", "easter", "holidays", "utc_offset_ms"]


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (Butcher's rule)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    ell = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 19 * ell) // 433
    month = (h + ell - 7 * m + 90) // 25
    return date(year, month, (h + ell - 7 * m + 33 * month + 19) % 32)


def weekday_in(first: date, weekday: int) -> date:
    """The first such weekday (0 = Monday) on or after a date."""
    return first + timedelta(days=(weekday - first.weekday()) % 7)


def holidays(year: int) -> frozenset[date]:
    """Public and de facto holidays of Sweden: the days that look like a Sunday."""
    sunday = easter(year)
    fixed = [(1, 1), (1, 6), (5, 1), (6, 6), (12, 24), (12, 25), (12, 26), (12, 31)]
    midsummer = weekday_in(date(year, 6, 20), 5)
    return frozenset(
        [date(year, month, day) for month, day in fixed]
        + [sunday + timedelta(days=n) for n in (-2, -1, 0, 1, 39, 48, 49)]
        + [midsummer, midsummer - timedelta(days=1), weekday_in(date(year, 10, 31), 5)]
    )


def day_class(day: date) -> int:
    """0 on Mondays to Thursdays, 1 on Fridays, 2 on Saturdays, 3 on Sundays and holidays."""
    if day.weekday() == 6 or day in holidays(day.year):
        return 3
    return max(day.weekday() - 3, 0)


def utc_offset_ms(time_ms: NDArray[np.int64], timezone: str) -> NDArray[np.int64]:
    """What is added to UTC for the clock on the wall [ms]; looked up once an hour.

    Offsets change on the full hour UTC in the zones of Europe.
    """
    zone = ZoneInfo(timezone)
    hours = time_ms // 3_600_000
    wanted, where = np.unique(hours, return_inverse=True)
    moments = [datetime.fromtimestamp(int(h) * 3600, UTC).astimezone(zone) for h in wanted]
    offsets = [
        int((moment.utcoffset() or timedelta()).total_seconds()) * 1000 for moment in moments
    ]
    return np.array(offsets, np.int64)[where].reshape(time_ms.shape)
