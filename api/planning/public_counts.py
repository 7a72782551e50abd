"""Counts that may leave the house: fixed windows, small counts withheld, the rest rounded."""

from typing import Any

import numpy as np

from analytics.calendar import weekdays
from analytics.privacy import PUBLIC_K, ROUND_TO, suppress
from api.planning.counts import Counts
from api.planning.holiday_calendar import EPOCH
from api.planning.plain_values import numbers

__all__ = ["PARTS_OF_DAY", "public_table"]

# Whole parts of the day: fixed, at least an hour, the same for everybody.
PARTS_OF_DAY = ((0, 5), (5, 9), (9, 12), (12, 15), (15, 18), (18, 21), (21, 24))


def public_table(counts: Counts, site: str, window: str) -> dict[str, Any]:
    """Persons by weekday and part of the day in one fixed window.

    Returns
    -------
    dict
        `persons` 7 rows (Monday first) by 7 parts of the day; None where withheld or not counted.
        Totals are rounded by themselves and need not add up.
    """
    hours = counts.hourly[:, :, counts.column(site)]
    weekday = weekdays((counts.first_day - EPOCH).days, counts.n_days)
    basis = np.full((7, len(PARTS_OF_DAY)), np.nan)
    for day in range(7):
        for part, (start, stop) in enumerate(PARTS_OF_DAY):
            block = hours[weekday == day, start:stop]
            known = np.isfinite(block)
            if known.any():
                basis[day, part] = np.where(known, block, 0.0).sum()
    shown = suppress(basis)
    return {
        "site": site,
        "window": window,
        "parts_of_day": [f"{start:02}-{stop:02}" for start, stop in PARTS_OF_DAY],
        "persons": [numbers(row) for row in shown.cells],
        "by_weekday": numbers(shown.row_totals),
        "by_part_of_day": numbers(shown.column_totals),
        "total": numbers([shown.total])[0],
        "withheld": int(shown.withheld.sum()),
        "rule": f"Below {PUBLIC_K} persons withheld, with others that would give them away; "
        f"rounded to {ROUND_TO}, so totals need not add up.",
        "simulated": counts.simulated,
    }
