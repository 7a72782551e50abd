"""What people did to luminaires and have planned, as the night round needs to know it."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from analytics.grid import DAY_MS, Bools
from api.street.street_plan import StreetPlan

__all__ = ["Maintenance", "MaintenanceLog"]

PLANNED_AT_MOST_MS = 14 * DAY_MS


@dataclass(frozen=True, slots=True)
class Maintenance:
    """One line of the maintenance log.

    Attributes
    ----------
    action : str
        sensor_swap, lamp_swap, cleaned, repaired, planned_on or planned_off.
    """

    device_id: str
    time_ms: int
    action: str


class MaintenanceLog:
    """The log by rows of the street; lines about devices that do not stand there are left out.

    Parameters
    ----------
    lines : iterable of Maintenance
    plan : StreetPlan
    """

    def __init__(self, lines: Iterable[Maintenance], plan: StreetPlan) -> None:
        by_time = sorted(lines, key=lambda m: m.time_ms)
        self._lines = [(plan.row_of[m.device_id], m) for m in by_time if m.device_id in plan.row_of]
        self._n = plan.street.n

    def done(self, start_ms: int, stop_ms: int) -> dict[str, Bools]:
        """Who was worked on in `[start, stop)`, by action: bool (n,) each."""
        found: dict[str, Bools] = {}
        for row, line in self._lines:
            if start_ms <= line.time_ms < stop_ms:
                found.setdefault(line.action, np.zeros(self._n, dtype=bool))[row] = True
        return found

    def planned(self, start_ms: int, stop_ms: int) -> Bools:
        """Luminaires with planned work in `[start, stop)`: bool (n,).

        Work lasts from one planned entry to the next; an entry without a second one marks its day.
        """
        planned = np.zeros(self._n, dtype=bool)
        begun: dict[int, tuple[int, str]] = {}
        for row, line in self._lines:
            if not line.action.startswith("planned"):
                continue
            before = begun.pop(row, None)
            if (
                before
                and before[1] != line.action
                and line.time_ms - before[0] < PLANNED_AT_MOST_MS
            ):
                planned[row] |= before[0] < stop_ms and line.time_ms >= start_ms
                continue
            begun[row] = (line.time_ms, line.action)
            planned[row] |= start_ms <= line.time_ms < stop_ms
        for row, (time_ms, _) in begun.items():
            planned[row] |= time_ms < stop_ms and time_ms + DAY_MS >= start_ms
        return planned
