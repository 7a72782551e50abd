"""Holidays and their eves, as arrays for analytics."""

from datetime import date, timedelta
from typing import cast

import numpy as np
import numpy.typing as npt

from analytics.calendar import day_classes, easter_sunday, weekdays
from api.errors import BadInputError

__all__ = ["EPOCH", "classes_of", "country_of", "special_days"]

EPOCH = date(1970, 1, 1)
NO_HOLIDAYS = "none"
# Zones that one country fills and whose national holidays are known; others say it themselves.
COUNTRY_BY_ZONE = {
    "Europe/Berlin": "DE",
    "Europe/Copenhagen": "DK",
    "Europe/Helsinki": "FI",
    "Europe/London": "GB",
    "Europe/Oslo": "NO",
    "Europe/Stockholm": "SE",
    "Europe/Zurich": "CH",
}


def country_of(zone_name: str, given: str | None) -> str:
    """The country whose holidays hold: the one given, else the zone's, else none."""
    return given or COUNTRY_BY_ZONE.get(zone_name, NO_HOLIDAYS)


def special_days(
    first: date, n_days: int, country: str
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which dates are like a Sunday, and which like a Saturday from 14:00.

    Parameters
    ----------
    first : date
    n_days : int
    country : str
        ISO 3166 code, or "none".

    Returns
    -------
    (bool (n_days,), bool (n_days,))
        Eves are known for Sweden alone: Easter and Whitsun Eve are like a Sunday; 5 January,
        Maundy Thursday, 30 April and the Friday before All Saints are half days.
    """
    as_sunday = np.zeros(n_days, dtype=np.bool_)
    half_day = np.zeros(n_days, dtype=np.bool_)
    if country == NO_HOLIDAYS or not n_days:
        return as_sunday, half_day
    years = range(first.year, (first + timedelta(days=n_days)).year + 1)
    full = public_holidays(country, years)
    half: set[date] = set()
    if country == "SE":
        for year in years:
            easter = date(year, *easter_sunday(year))
            full |= {easter - timedelta(days=1), easter + timedelta(days=48)}
            # The Friday before the Saturday that falls on 31 October to 6 November.
            friday = date(year, 10, 30)
            friday += timedelta(days=(4 - friday.weekday()) % 7)
            half |= {date(year, 1, 5), date(year, 4, 30), easter - timedelta(days=3), friday}
    for days, out in ((full, as_sunday), (half, half_day)):
        for day in days:
            at = (day - first).days
            if 0 <= at < n_days:
                out[at] = True
    return as_sunday, half_day


def public_holidays(country: str, years: range) -> set[date]:
    """Public and de facto holidays of a country, by the holidays package."""
    import holidays

    try:
        # Without the two keywords the Swedish calendar makes every Sunday a holiday and forgets
        # Midsummer Eve; labels depend on the language, so only dates are used.
        if country == "SE":
            found = holidays.country_holidays(
                "SE",
                years=years,
                include_sundays=False,
                categories=("public", "de_facto"),
                language="en_US",
            )
        else:
            found = holidays.country_holidays(country, years=years)
    except (NotImplementedError, AttributeError, ValueError) as error:
        raise BadInputError(
            f"no holidays are known for {country!r}.",
            remedy='Use a code such as SE, or "none".',
        ) from error
    return set(cast("dict[date, str]", found))


def classes_of(first: date, n_days: int, country: str) -> npt.NDArray[np.int8]:
    """Day classes int8 (n_days, 24) of consecutive dates; see `analytics.calendar`."""
    as_sunday, half_day = special_days(first, n_days, country)
    return day_classes(
        weekdays((first - EPOCH).days, n_days), as_sunday=as_sunday, half_day=half_day
    )
