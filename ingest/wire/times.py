"""RFC 3339 times, to the millisecond and without rounding errors."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

__all__ = ["parse_rfc3339"]

_RFC3339: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,12}))?"
    r"(?:[Zz]|([+-])(\d{2}):(\d{2}))",
    re.ASCII,
)
_EPOCH_DAY: Final = datetime(1970, 1, 1, tzinfo=UTC).toordinal()


@lru_cache(maxsize=512)
def _day_ms(date: str) -> int:
    return (datetime.strptime(date, "%Y-%m-%d").replace(tzinfo=UTC).toordinal() - _EPOCH_DAY) * (
        86_400_000
    )


def parse_rfc3339(text: str) -> int:
    """Milliseconds since 1970 (UTC) of an RFC 3339 time with zone.

    Fractions finer than a millisecond are cut off, never rounded up; a leap second (`:60`) is the
    first millisecond of the next minute.

    Raises
    ------
    ValueError
        If the text is no such time.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is not an RFC 3339 time with zone")
    date, hour, minute, second, fraction, sign, zone_hour, zone_minute = found.groups()
    h, m, s = int(hour), int(minute), int(second)
    if h > 23 or m > 59 or s > 60:
        raise ValueError(f"{text[:40]!r} is not a time of day")
    millisecond = int(fraction[:3].ljust(3, "0")) if fraction and s < 60 else 0
    offset = 0
    if sign:
        zh, zm = int(zone_hour), int(zone_minute)
        if zh > 23 or zm > 59:
            raise ValueError(f"{text[:40]!r} has an impossible zone")
        offset = (zh * 60 + zm) * 60_000 * (1 if sign == "+" else -1)
    return _day_ms(date) + ((h * 60 + m) * 60 + s) * 1000 + millisecond - offset
