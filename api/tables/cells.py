"""What one cell says: text, a number, a moment, or nothing."""

import math
import re
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

__all__ = ["as_moment", "as_number", "as_text"]

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "saknas", "<na>"})
SPACES = str.maketrans("", "", "\u00a0\u202f\u2009 '")
TIME_PATTERN = re.compile(
    r"^(?P<a>\d{1,4})[-/.](?P<b>\d{1,2})[-/.](?P<c>\d{1,4})"
    r"(?:[T ]+(?P<h>\d{1,2})[:.](?P<m>\d{2})(?:[:.](?P<s>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)?"
    r"\s*(?P<zone>Z|z|[+-]\d{2}:?\d{2})?$"
)


def as_text(cell: Any) -> str:
    """A cell as text; whole numbers without a point, nothing as empty."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        if math.isnan(cell):
            return ""
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else str(cell)
    return str(cell).strip()


def as_number(cell: Any) -> float | None:
    """A cell as a number: NaN where nothing stands, None where it is not a number."""
    if cell is None:
        return math.nan
    if isinstance(cell, int | float | np.integer | np.floating):
        value = float(cell)
    else:
        text = str(cell).strip()
        if text.lower() in MISSING:
            return math.nan
        text = text.translate(SPACES)
        if "," in text:
            # 1.234,5 has points for thousands; 1,234.5 is the English way round.
            english = text.rfind(".") > text.rfind(",")
            text = text.replace(",", "") if english else text.replace(".", "").replace(",", ".")
        if "_" in text:
            return None
        try:
            value = float(text)
        except ValueError:
            return None
    return None if math.isinf(value) else value


def as_moment(cell: Any) -> tuple[int, bool] | None:
    """A cell as (seconds, whether it gave its zone); None where nothing stands."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, datetime):
        moment = cell
    elif isinstance(cell, date):
        moment = datetime(cell.year, cell.month, cell.day)  # noqa: DTZ001 - a wall clock's date
    else:
        text = str(cell).strip()
        if text.lower() in MISSING:
            return None
        moment = parsed_moment(text)
    zoned = moment.tzinfo is not None
    return math.floor((moment if zoned else moment.replace(tzinfo=UTC)).timestamp()), zoned


def parsed_moment(text: str) -> datetime:
    """A time as people write it: ISO 8601, a point between hours and minutes, day first."""
    found = TIME_PATTERN.match(text)
    if not found:
        raise ValueError(text)
    a, b, c = found["a"], found["b"], found["c"]
    # The year is the part with four digits; a day comes first where the year comes last.
    year, month, day = (a, b, c) if len(a) == 4 else (c, b, a)
    if len(year) != 4:
        raise ValueError(text)
    clock = f"{int(found['h'] or 0):02}:{found['m'] or '00'}:{found['s'] or '00'}"
    zone = (found["zone"] or "").upper().replace("Z", "+00:00")
    return datetime.fromisoformat(f"{year}-{int(month):02}-{int(day):02}T{clock}{zone}")
