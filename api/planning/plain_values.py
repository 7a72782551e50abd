"""Numbers and the quality of counts as JSON has them."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from api.planning.counts import Counts, SiteQuality

__all__ = ["number", "numbers", "quality_json"]


def quality_json(quality: SiteQuality, counts: Counts) -> dict[str, Any]:
    """What was found in a site's rows, with what was done about it."""
    unit = "days" if counts.hours is None else "hours"
    return {
        "rows": quality.rows,
        "repeated_rows": quality.repeated_rows,
        "conflicting_rows": quality.conflicting_rows,
        "empty_rows": quality.empty_rows,
        "impossible_rows": quality.impossible_rows,
        "skipped_hour_rows": quality.skipped_hour_rows,
        "lone_repeated_rows": quality.lone_repeated_rows,
        "repeated_hours": quality.repeated_hours,
        f"{unit}_expected": quality.steps_expected,
        f"{unit}_present": quality.steps_present,
        f"{unit}_missing": quality.steps_missing,
        "dead_hours": quality.dead,
        "stuck_hours": quality.stuck,
        "impossible_peaks": quality.peak,
        "unexplained_falls": quality.fell,
        "level_shift_day": None if quality.shift_day is None else str(quality.shift_day),
        "level_shift_percent": number(quality.shift_percent),
    }


def number(value: object) -> float | None:
    """A number for JSON: None where it is not known."""
    if value is None:
        return None
    plain = float(value)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # numpy scalar or float
    return None if math.isnan(plain) else round(plain, 6)


def numbers(values: npt.ArrayLike) -> list[float | None]:
    """Numbers for JSON."""
    return [number(v) for v in np.asarray(values, dtype=np.float64).tolist()]
