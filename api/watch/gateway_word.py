"""What gateways say themselves: a gateway that speaks works, whoever is silent behind it."""

import numpy as np

from analytics.findings import CauseKind
from analytics.grid import Times
from api.street.street_plan import StreetPlan
from api.watch.window_readings import ReadingSource
from ingest.reading import Quantity

__all__ = ["GatewayWords"]


class GatewayWords:
    """When each gateway last spoke under its own name; asked only where it matters.

    Any quantity counts: a temperature, a voltage. Other devices behind it do not, since the
    registry may name for them a gateway that they do not need.

    Parameters
    ----------
    readings : ReadingSource
    plan : StreetPlan
    since_ms, now_ms : int
        What is dated before does not help; what came later is not known yet.
    """

    def __init__(
        self, readings: ReadingSource, plan: StreetPlan, *, since_ms: int, now_ms: int
    ) -> None:
        self._readings, self._plan = readings, plan
        self._since_ms, self._now_ms = since_ms, now_ms
        self._heard: Times | None = None

    def __call__(self) -> Times:
        """When each was last heard [ms, UTC], by its number; 0 where it was not: int64 (g,)."""
        if self._heard is None:
            self._heard = self._look()
        return self._heard

    def _look(self) -> Times:
        names = self._plan.names[CauseKind.GATEWAY]
        number = {name: i for i, name in enumerate(names) if name not in self._plan.row_of}
        heard = np.zeros(len(names), dtype=np.int64)
        for quantity in Quantity if number else ():
            found = self._readings.columns(
                quantity, start_ms=self._since_ms, stop_ms=self._now_ms + 1, devices=list(number)
            )
            of = np.array([number.get(d, -1) for d in found.device_ids], dtype=np.int64)
            if not len(found):
                continue
            gateway = of[found.device]
            known = (gateway >= 0) & (found.received_ms <= self._now_ms)
            np.maximum.at(heard, gateway[known], found.time_ms[known])
        return heard
