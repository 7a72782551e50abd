"""Which columns of a table of counts hold the place, the time and the number."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import time as clock_time
from typing import Any, cast
from zoneinfo import ZoneInfo

import numpy as np

from api.errors import BadInputError
from api.tables import Table, refuse_identifiers

__all__ = ["COUNT", "SITE", "TIME", "with_known_columns"]

SITE, TIME, COUNT = "site", "time", "count"

# The first that the table has is taken. Capitals, spaces and underscores do not matter.
SITE_NAMES = (
    "plats", "mätplats", "mätpunkt", "mätstation", "räknare", "sensor", "station", "location",
    "place", "counter", "sensorname", "namn", "name",
)  # fmt: skip
TIME_NAMES = (
    "tid", "tidpunkt", "datumtid", "datumochtid", "tidsstämpel", "starttid", "timestamp",
    "datetime", "localtime", "time",
)  # fmt: skip
DATE_NAMES = ("datum", "date", "dag", "day", "localdate")
HOUR_NAMES = ("timme", "klockslag", "kl", "hour", "localhour", "tid", "time")
COUNT_NAMES = (
    "antal", "antalpersoner", "antalpassager", "passager", "gående", "fotgängare", "besökare",
    "personer", "peoplecount", "people", "pedestrians", "visitors", "counts",
)  # fmt: skip
HOUR_PATTERN = re.compile(
    r"^(?:kl\.?\s*)?(?P<h>\d{1,2})(?:[:.](?P<m>\d{2})(?:[:.]\d{2})?)?"
    r"(?:\s*[-\u2013]\s*\d{1,2}(?:[:.]\d{2})?)?$"
)


def with_known_columns(table: Table, *, site: str, time: str, count: str) -> Table:
    """The table with its columns named `site`, `time` and `count`.

    A name that was given is taken as it is. Where the usual one is asked for and is not there, a
    column with a common Swedish or English name is taken; a date and an hour in columns of their
    own are put together; a table with one column for each place is turned into rows.

    Parameters
    ----------
    table : Table
    site, time, count : str
        As the planner gave them; `SITE`, `TIME` and `COUNT` for "find it".

    Raises
    ------
    BadInputError
        If a named column is missing, none can be found, or the table holds identifiers of people.
    """
    refuse_identifiers(table)
    places = found(table, site, SITE, SITE_NAMES)
    times, when = times_of(table, time)
    numbers = found(table, count, COUNT, COUNT_NAMES)
    if numbers is None and places is None and count == COUNT and site == SITE:
        return rows_of(table, times, when)
    if numbers is None:
        table.column(count)  # says what there is instead
        return table
    # Read here, so that a cell that is no number is told by the name the file has for its column.
    columns: dict[str, Any] = {TIME: when, COUNT: table.numbers(numbers)}
    if places is not None:
        columns[SITE] = table.texts(places)
    elif site != SITE:
        table.column(site)
    return replace(table, columns=columns)


def plain(name: str) -> str:
    """A column's name without what does not matter."""
    return re.sub(r"[\s_\-.()]", "", name).casefold()


def found(table: Table, given: str, usual: str, names: Sequence[str]) -> str | None:
    """The column that was given, or the first with one of the names; None where there is none."""
    own = {plain(name): name for name in reversed(list(table.columns))}
    if given in table.columns:
        return given
    if plain(given) in own:
        return own[plain(given)]
    return next((own[name] for name in names if name in own), None) if given == usual else None


def times_of(table: Table, given: str) -> tuple[set[str], Sequence[Any]]:
    """The columns that give the time, and the time itself."""
    own = {plain(name): name for name in table.columns}
    day = next((own[name] for name in DATE_NAMES if name in own), None)
    hour = next((own[name] for name in HOUR_NAMES if name in own), None)
    if given == TIME and day is not None and hour is not None and holds_hours(table, hour):
        return {day, hour}, put_together(table, day, hour)
    whole = found(table, given, TIME, (*TIME_NAMES, *DATE_NAMES))
    if whole is None:
        table.column(given)  # says what there is instead
        raise BadInputError(f"{table.name} has no column {given!r}.")
    return {whole}, table.column(whole)


def holds_hours(table: Table, name: str) -> bool:
    """Whether a column's first cell is an hour of the day; "tid" may be that or a whole time."""
    first = next((cell for cell in table.column(name) if cell is not None), None)
    return first is not None and minutes_of(first) is not None


def put_together(table: Table, day: str, hour: str) -> Sequence[Any]:
    """A date and an hour of the day as one time, as the wall clock showed it."""
    dates = table.times(day, ZoneInfo("UTC"))
    cells = table.column(hour)
    out = np.full(len(table), np.datetime64("NaT"), dtype="M8[s]")
    for i in np.flatnonzero(dates.known).tolist():
        minutes = minutes_of(cells[i])
        if minutes is None:
            raise BadInputError(
                f"{table.name}, line {table.first_line + i}, column {hour!r}: "
                f"{str(cells[i])[:40]!r} is not an hour of the day.",
                remedy="Write it as 13 or 13:00.",
            )
        out[i] = np.datetime64(int(dates.wall_s[i]) // 86_400 * 86_400 + 60 * minutes, "s")
    return cast("Sequence[Any]", out)


def minutes_of(cell: Any) -> int | None:
    """An hour of the day in minutes since midnight; None where it is none."""
    if isinstance(cell, clock_time):
        return 60 * cell.hour + cell.minute
    text = str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()
    parts = HOUR_PATTERN.match(text.casefold())
    if not parts or int(parts["h"]) > 24 or int(parts["m"] or 0) > 59:
        return None
    return 60 * int(parts["h"]) + int(parts["m"] or 0)


def rows_of(table: Table, times: set[str], when: Sequence[Any]) -> Table:
    """A table with one column for each place, as rows of place, time and number.

    Raises
    ------
    BadInputError
        If there is no other column, or one that does not hold numbers.
    """
    places = [name for name in table.columns if name not in times and name.strip()]
    if not places:
        table.column(COUNT)
    numbers = [table.numbers(name) for name in places]
    index = np.tile(np.arange(len(table)), len(places))
    repeated: Any = when
    repeated = repeated[index] if isinstance(when, np.ndarray) else [when[i] for i in index]
    return replace(
        table,
        columns={
            SITE: [name.strip() for name in places for _ in range(len(table))],
            TIME: repeated,
            COUNT: cast("Sequence[Any]", np.concatenate(numbers)),
        },
    )
