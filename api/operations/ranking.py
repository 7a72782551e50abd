"""Which order first: urgency, people in the dark, the way there; and what keeps failing."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from api.operations.extent import distance_m

__all__ = ["RepeatFault", "ranked", "repeat_faults"]

DAY_MS = 86_400_000
REPEATS, REPEAT_DAYS = 3, 90
FAR_M = 1e9


def ranked(
    orders: Iterable[Any], *, near: tuple[float, float] | None = None
) -> list[tuple[Any, float | None]]:
    """Orders for a crew, each with its distance [m].

    By rank of the priority, then by people x dark hours a night (most first, unknown last), then by
    distance from where the crew stands, then by deadline and number.

    Parameters
    ----------
    orders : iterable of WorkOrder
    near : (lat, lon), optional
        Where the crew stands; it is used here and kept nowhere.
    """
    found: list[tuple[tuple[float, ...], Any, float | None]] = []
    for order in orders:
        away = None
        if near is not None and order.lat is not None and order.lon is not None:
            away = distance_m(near[0], near[1], order.lat, order.lon)
        key = (
            order.rank,
            -(order.exposure or 0.0),
            away if away is not None else FAR_M,
            order.due_ms if order.due_ms is not None else 2.0**62,
            order.id,
        )
        found.append((key, order, away))
    found.sort(key=lambda item: item[0])
    return [(order, away) for _, order, away in found]


@dataclass(frozen=True, slots=True)
class RepeatFault:
    """A place where faults come back.

    Attributes
    ----------
    faults : int
        Most faults within ninety days.
    last_ms : int
        When the last of them began.
    cost : float or None
        What their orders cost together, where that was written down.
    """

    site: str
    faults: int
    last_ms: int
    order_ids: tuple[int, ...]
    cost: float | None


def repeat_faults(
    orders: Sequence[Any], *, at_least: int = REPEATS, days: int = REPEAT_DAYS
) -> list[RepeatFault]:
    """Places with at least three faults within ninety days, the worst first.

    Duplicates, orders that were no fault, and sensor faults do not count.
    """
    by_site: dict[str, list[Any]] = defaultdict(list)
    for order in orders:
        if (
            order.site
            and order.crew.value == "lamp"
            and order.state.value not in {"duplicate", "rejected"}
        ):
            by_site[order.site].append(order)
    found: list[RepeatFault] = []
    for site, there in by_site.items():
        there.sort(key=lambda o: (o.detected_ms, o.id))
        best: list[Any] = []
        first = 0
        for last in range(len(there)):
            while there[last].detected_ms - there[first].detected_ms > days * DAY_MS:
                first += 1
            if last - first + 1 >= len(best):
                best = there[first : last + 1]
        if len(best) >= at_least:
            costs = [o.cost for o in best if o.cost is not None]
            found.append(
                RepeatFault(
                    site,
                    len(best),
                    best[-1].detected_ms,
                    tuple(o.id for o in best),
                    sum(costs) if costs else None,
                )
            )
    return sorted(found, key=lambda r: (-r.faults, r.site))
