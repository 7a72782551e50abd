"""How soon the one urgent order of a group went out: minutes, by cause and by what could be seen.

The clock of a group begins with its first dark reading: the first that came in from a member which
still reports, from when the light went and should have burned. Where nobody reports any more,
because mains-fed sensors lost their supply too, it begins with the loss.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from firmware_sim.sun import sun_position
from firmware_sim.tables import first_received, number, read_rows, texts

__all__ = ["BOUND_MINUTES", "SILENT_BOUND_MINUTES", "Lit", "UrgentCase", "first_dark", "read_lit"]

BOUND_MINUTES, SILENT_BOUND_MINUTES = 45.0, 75.0
SHARE_WITHIN = 0.95
CIVIL_DARK_DEG = -6.0
MINUTE_MS, DAY_MS = 60_000, 86_400_000


@dataclass(frozen=True)
class Lit:
    """What the assets say of one luminaire: supply, whether lit by day, where it stands."""

    mains: bool
    always: bool
    tunnel: bool
    lat: float
    lon: float


@dataclass(frozen=True)
class UrgentCase:
    """One urgent fault of several luminaires.

    Attributes
    ----------
    group : str
        `feeder`, `segment`, `cabinet` or `tunnel`.
    silent : bool or None
        Whether its members fell silent with the supply; None where the assets do not tell.
    minutes : float
        To the first order about it; infinite without one.
    orders : int
        How many were meant for it.
    """

    group: str
    silent: bool | None
    minutes: float
    orders: int

    @property
    def bound_minutes(self) -> float:
        """What it may take."""
        return BOUND_MINUTES if self.silent is False else SILENT_BOUND_MINUTES


def read_lit(assets: Path) -> dict[str, Lit]:
    """What the assets say of each device."""
    table = read_rows(assets, ["device_id"])
    columns = [
        texts(table, name) for name in ("device_id", "supply", "switching", "kind", "lat", "lon")
    ]
    return {
        device: Lit(
            supply != "battery", switching == "always", kind == "tunnel", number(lat), number(lon)
        )
        for device, supply, switching, kind, lat, lon in zip(*columns, strict=True)
    }  # fmt: skip


def first_dark(
    members: Mapping[str, Lit], start_ms: int, readings: Path | None
) -> tuple[int, bool]:
    """When the first dark reading came in, and whether all members fell silent instead.

    Without readings the moment stands for it from which the first reporting member was dark and
    should have burned.
    """
    reporting = {device: one for device, one in members.items() if not one.mains}
    if not reporting:
        return start_ms, True
    dark_ms = min(lit_from(one, start_ms) for one in reporting.values())
    came = None
    if readings is not None:
        came = first_received(readings, list(reporting), dark_ms, dark_ms + DAY_MS)
    return dark_ms if came is None else came, False


def lit_from(one: Lit, start_ms: int) -> int:
    """The first moment from which a luminaire should burn."""
    if one.always or not np.isfinite(one.lat + one.lon):
        return start_ms
    minutes = start_ms + np.arange(0, DAY_MS, MINUTE_MS, dtype=np.float64)
    elevation, _ = sun_position(minutes, one.lat, one.lon)
    dark = np.flatnonzero(elevation < CIVIL_DARK_DEG)
    return int(minutes[dark[0]]) if len(dark) else start_ms


def urgent_facts(cases: Sequence[UrgentCase], rate: Any) -> dict[str, Any]:
    """Time to the order by group and by what could be seen, as plain numbers.

    Parameters
    ----------
    rate : callable
        A share with its exact bounds, from hits and trials.
    """
    groups: dict[str, list[UrgentCase]] = {}
    for case in cases:
        seen = {True: "silent", False: "dark", None: "not_told"}[case.silent]
        groups.setdefault(f"{case.group}_{seen}", []).append(case)
        groups.setdefault(f"all_{seen}", []).append(case)
    return {name: group_facts(groups[name], rate) for name in sorted(groups)}


def group_facts(cases: Sequence[UrgentCase], rate: Any) -> dict[str, Any]:
    """One group: all its cases have the same bound."""
    bound = cases[0].bound_minutes
    minutes = [case.minutes for case in cases]
    p95 = at_most(minutes, SHARE_WITHIN)
    found = sum(np.isfinite(minutes))
    within = sum(m <= bound for m in minutes)
    return {
        "n": len(cases),
        "bound_minutes": bound,
        "median_minutes": at_most(minutes, 0.5),
        "p95_minutes": p95,
        "met": p95 is not None and p95 <= bound,
        "found": rate(int(found), len(cases)),
        "within_bound": rate(int(within), len(cases)),
        "exactly_one_order": rate(sum(case.orders == 1 for case in cases), len(cases)),
    }


def at_most(minutes: Sequence[float], share: float) -> float | None:
    """What so large a share took at most; None where too many were never found."""
    value = sorted(minutes)[max(-(-len(minutes) * round(share * 100) // 100), 1) - 1]
    return float(value) if np.isfinite(value) else None
