"""What devices report about themselves: status bits and fault reports as evidence.

A report alone may be spurious, so two in a row, or one that still stands after an hour, are
needed. For a luminaire whose light is measured, reports shorten the wait and never outvote the
light.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from analytics.findings import FindingKind
from analytics.grid import Bools, Ints, Times

__all__ = ["EVENT_KIND", "STANDS_AFTER_MS", "Reports"]

STANDS_AFTER_MS = 3_600_000

EVENT_KIND: Mapping[str, FindingKind] = {
    # TALQ 2.7 names in snake case, and the finding each is evidence for.
    "lamp_failure": FindingKind.LAMP_FAILURE,
    "light_source_open_circuit": FindingKind.LAMP_FAILURE,
    "control_gear_failure": FindingKind.LAMP_FAILURE,
    "control_gear_comm_failure": FindingKind.LAMP_FAILURE,
    "relay_failure": FindingKind.LAMP_FAILURE,
    "lamp_unexpected_on": FindingKind.LAMP_UNEXPECTED_ON,
    "switching_error_on": FindingKind.LAMP_UNEXPECTED_ON,
    "switching_error_off": FindingKind.SWITCHING_ERROR,
    "switching_error": FindingKind.SWITCHING_ERROR,
    "cycling_failure": FindingKind.CYCLING_FAILURE,
    "dimming_failure": FindingKind.DIMMING_FAILURE,
    "lamp_power_too_low": FindingKind.DIMMING_FAILURE,
    "absolute_lamp_power_too_low": FindingKind.DIMMING_FAILURE,
    "absolut_lamp_power_too_low": FindingKind.DIMMING_FAILURE,
    "supply_loss": FindingKind.SUPPLY_LOSS,
    "circuit_breaker_tripped": FindingKind.SUPPLY_LOSS,
    "contactor_error": FindingKind.SUPPLY_LOSS,
}


class Reports:
    """Fault reports of a stretch of time, per luminaire and kind.

    Parameters
    ----------
    n : int
        Number of luminaires.

    Attributes
    ----------
    since_ms : dict of kind to int64 (n,)
        First report of the period that still stands; 0 = none stands.
    last_ms : dict of kind to int64 (n,)
        Latest report that the fault is there; 0 = none.
    count : dict of kind to int32 (n,)
        Reports in a row that the fault is there.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self.since_ms: dict[FindingKind, Times] = {}
        self.last_ms: dict[FindingKind, Times] = {}
        self.count: dict[FindingKind, Ints] = {}

    def take(self, reports: Iterable[tuple[int, int, str, bool | None]]) -> None:
        """Read reports (row, time_ms, event, active) in order of time; unknown ones are skipped."""
        for row, time_ms, event, active in reports:
            kind = EVENT_KIND.get(event)
            if kind is None or row < 0:
                continue
            since = self.since_ms.setdefault(kind, np.zeros(self.n, dtype=np.int64))
            last = self.last_ms.setdefault(kind, np.zeros(self.n, dtype=np.int64))
            count = self.count.setdefault(kind, np.zeros(self.n, dtype=np.int32))
            if active is False:
                since[row] = 0
                count[row] = 0
                continue
            count[row] += 1
            last[row] = time_ms
            # A report without a period (None) counts as a report, but nothing of it stands.
            if active and not since[row]:
                since[row] = time_ms

    def stands(self, kind: FindingKind, now_ms: int) -> Bools:
        """Luminaires whose fault of this kind is confirmed by their own reports."""
        if kind not in self.since_ms:
            return np.zeros(self.n, dtype=bool)
        since, count = self.since_ms[kind], self.count[kind]
        return ((since > 0) & (now_ms - since >= STANDS_AFTER_MS)) | (count >= 2)

    def onset_ms(self, kind: FindingKind) -> Times:
        """When the confirmed report began; 0 where there is none."""
        if kind not in self.since_ms:
            return np.zeros(self.n, dtype=np.int64)
        return np.where(self.since_ms[kind] > 0, self.since_ms[kind], self.last_ms[kind])
