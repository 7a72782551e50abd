"""What a fault costs: the class its stretch no longer meets, and the people who pass in the dark.

Everything about classes is indicative: one sensor on a column is no grid of EN 13201-4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from analytics.exposure import dark_passages
from analytics.findings import FindingKind
from analytics.grid import Floats, Ints
from analytics.levels import last_median
from analytics.lighting_class import P_CLASSES, PClass, meets_class, nights_until_below
from analytics.memory import Memory
from api.findings import NamedFinding
from api.street.street_plan import StreetPlan
from api.watch.explain import costs
from api.watch.people import Passages

__all__ = ["TAKES_LIGHT", "Consequences", "passages_source"]

K = FindingKind
DARK = frozenset({K.LAMP_FAILURE, K.SUPPLY_LOSS})
DIMMER = frozenset({K.DIMMING_FAILURE, K.DEPRECIATION})
TAKES_LIGHT = DARK | DIMMER | {K.CYCLING_FAILURE, K.SWITCHING_ERROR}
CYCLING_SHARE = 0.5  # out about half of the time; the night's own share is not kept
LEVEL_NIGHTS = 3


@dataclass(frozen=True, slots=True)
class Consequences:
    """Adds to open findings of the lamp crew what they cost.

    Parameters
    ----------
    plan : StreetPlan
    memory : Memory
        As it is after the last settled night.
    passages : mapping of site to Passages
    dark_hours : float64 (24,)
        Share of each local hour that is dark.
    """

    plan: StreetPlan
    memory: Memory
    passages: Mapping[str, Passages]
    dark_hours: npt.NDArray[np.float64]

    def added(self, findings: Sequence[NamedFinding]) -> list[NamedFinding]:
        """The findings with further numbers and sentences; the same list where nothing is known."""
        here = [f for f in findings if self._concerns(f)]
        if not here:
            return list(findings)
        level_lx = self._level_lx(here)
        numbers = {id(f): self._of_class(f, level_lx) for f in here}
        for f, n in zip(here, self._people(here, numbers), strict=True):
            if np.isfinite(n):
                site = self.plan.assets[self.plan.row_of[f.device_id]].site
                numbers[id(f)]["passages"] = two_digits(float(n))
                numbers[id(f)]["passages_borrowed"] = float(self.passages[site].borrowed)
        return [self._with(f, numbers.get(id(f), {})) for f in findings]

    def _concerns(self, f: NamedFinding) -> bool:
        """Whether it is open, of a luminaire that stands, and takes light away."""
        return f.end_ms is None and f.kind in TAKES_LIGHT and f.device_id in self.plan.row_of

    def _level_lx(self, here: Sequence[NamedFinding]) -> Floats:
        """Lit level of every luminaire now; 0 for those that are out."""
        level = np.nan_to_num(last_median(self.memory.levels, LEVEL_NIGHTS, 1))
        lux = self.memory.own_lx * np.exp(level)
        out = [self.plan.row_of[f.device_id] for f in here if f.kind in DARK]
        lux[out] = 0
        return lux.astype(np.float32)

    def _of_class(self, f: NamedFinding, level_lx: Floats) -> dict[str, float]:
        """How its stretch stands against its P class, and for how long yet."""
        row = self.plan.row_of[f.device_id]
        name = self.plan.assets[row].lighting_class.strip().upper()
        asked = P_CLASSES.get(name)
        if asked is None:
            return {}
        rows = self._stretch(row)
        verdict = meets_class(level_lx[rows], np.ones(len(rows), dtype=np.float32), asked)
        if verdict.meets_average is None:
            return {}
        found = {
            "class_number": float(name[1:]),
            "class_average_lx": asked.average_lx,
            "class_least_lx": asked.least_lx,
            "average_lx": round(verdict.average_lx, 1),
            "least_lx": round(verdict.least_lx, 1),
        }
        return found | (self._nights(row, asked) if f.kind is K.DEPRECIATION else {})

    def _nights(self, row: int, asked: PClass) -> dict[str, float]:
        """Nights until the luminaire's own light is below the class, with an interval."""
        level = self.memory.own_lx[[row], None] * np.exp(self.memory.levels[[row]])
        soonest, likely, latest = nights_until_below(level.astype(np.float32), asked.average_lx)
        found = {"soonest": soonest[0], "likely": likely[0], "latest": latest[0]}
        if not np.isfinite(likely[0]):
            return {}
        # Infinity is no number in JSON; beyond a century nobody asks.
        return {f"nights_{k}": float(min(np.ceil(v), 36_525)) for k, v in found.items()}

    def _stretch(self, row: int) -> Ints:
        """Luminaires of the same segment, or tunnel; the luminaire alone where neither is known."""
        street = self.plan.street
        of = street.place if street.tunnel[row] and street.place[row] >= 0 else street.segment
        if of[row] < 0:
            return np.array([row], dtype=np.int32)
        return np.flatnonzero(of == of[row]).astype(np.int32)

    def _people(
        self, here: Sequence[NamedFinding], numbers: Mapping[int, Mapping[str, float]]
    ) -> Floats:
        """Passages a night in light below what the place should have."""
        sites = sorted(self.passages)
        if not sites:
            return np.full(len(here), np.nan, dtype=np.float32)
        at = {site: i for i, site in enumerate(sites)}
        place = [at.get(self.plan.assets[self.plan.row_of[f.device_id]].site, -1) for f in here]
        dark_h = float(self.dark_hours.sum())
        return dark_passages(
            np.stack([self.passages[s].by_hour for s in sites]),
            self.dark_hours,
            np.array(place, dtype=np.int32),
            np.array([lacking(f, numbers[id(f)], dark_h) for f in here], dtype=np.float32),
        )

    @staticmethod
    def _with(f: NamedFinding, numbers: Mapping[str, float]) -> NamedFinding:
        if not numbers:
            return f
        said = costs(numbers)
        note = f"{f.note} {said}".strip() if said else f.note
        return replace(f, evidence={**f.evidence, **numbers}, note=note)


def lacking(f: NamedFinding, of_class: Mapping[str, float], dark_h: float) -> float:
    """Share of the night's passages in light below the class, or without one below the usual."""
    if f.kind in DARK:
        return 1.0
    if f.kind is K.CYCLING_FAILURE:
        return CYCLING_SHARE
    if f.kind is K.SWITCHING_ERROR:
        return min(f.evidence.get("minutes", 0.0) / 60 / max(dark_h, 1), 1.0)
    if of_class:
        below = of_class["average_lx"] < of_class["class_average_lx"]
        return float(below or of_class["least_lx"] < of_class["class_least_lx"])
    return float(np.clip(1 - f.evidence.get("level", 1.0), 0, 1))


def two_digits(n: float) -> float:
    """Rounded to what can be known, so that a night a minute longer changes nothing."""
    return float(f"{n:.2g}")


class Numbered(Protocol):
    """A finding as the ledger keeps it."""

    @property
    def evidence(self) -> Mapping[str, float]:
        """Its numbers by name."""
        ...


def passages_source(
    findings: Sequence[Numbered],
) -> Literal["own_counter", "nearest_similar_place", "none"]:
    """How it is known who passes where these findings are."""
    known = [f.evidence for f in findings if "passages" in f.evidence]
    if not known:
        return "none"
    own = any(not n.get("passages_borrowed") for n in known)
    return "own_counter" if own else "nearest_similar_place"
