"""Which weekday's habits a date follows."""

import numpy as np
import numpy.typing as npt

from analytics.errors import ShapeMismatchError

__all__ = ["SATURDAY", "SUNDAY", "day_classes", "easter_sunday", "weekdays"]

SATURDAY, SUNDAY = 5, 6
HALF_DAY_FROM = 14  # local hour from which the eve of a holiday is like a Saturday


def weekdays(first_day: int, n_days: int) -> npt.NDArray[np.int8]:
    """Weekdays of consecutive dates, Monday 0 to Sunday 6.

    Parameters
    ----------
    first_day : int
        Days since 1970-01-01, which was a Thursday.
    n_days : int
    """
    return ((first_day + 3 + np.arange(n_days)) % 7).astype(np.int8)


def day_classes(
    weekday: npt.ArrayLike,
    *,
    as_sunday: npt.ArrayLike | None = None,
    half_day: npt.ArrayLike | None = None,
) -> npt.NDArray[np.int8]:
    """Whose habits each hour of each date follows.

    Parameters
    ----------
    weekday : int (n_days,)
        Monday 0 to Sunday 6.
    as_sunday : bool (n_days,), optional
        Public and de facto holidays, Easter Eve, Whitsun Eve.
    half_day : bool (n_days,), optional
        Days that are like a Saturday from 14:00 on; weekdays only.

    Returns
    -------
    int8 (n_days, 24)
        Weekday by date and local hour.
    """
    own = np.asarray(weekday, dtype=np.int8)
    classes = np.repeat(own[:, None], 24, axis=1)
    for name, given in (("as_sunday", as_sunday), ("half_day", half_day)):
        if given is not None and np.shape(given) != own.shape:
            raise ShapeMismatchError(f"{name} is {np.shape(given)}, but weekday is {own.shape}")
    if half_day is not None:
        half = np.asarray(half_day, dtype=np.bool_) & (own < SATURDAY)
        classes[half, HALF_DAY_FROM:] = SATURDAY
    if as_sunday is not None:
        classes[np.asarray(as_sunday, dtype=np.bool_)] = SUNDAY
    return classes


def easter_sunday(year: int) -> tuple[int, int]:
    """Month and day of Easter Sunday in the Gregorian calendar.

    References
    ----------
    Meeus (1998), Astronomical Algorithms, chapter 8.
    """
    golden = year % 19
    century, rest = divmod(year, 100)
    leap_centuries, century_rest = divmod(century, 4)
    correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leap_centuries - correction + 15) % 30
    leap_years, year_rest = divmod(rest, 4)
    weekday = (32 + 2 * century_rest + 2 * leap_years - epact - year_rest) % 7
    late = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * late + 114, 31)
    return month, day + 1
