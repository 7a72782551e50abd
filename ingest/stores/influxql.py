"""InfluxQL: the one place where the text of a query is put together.

Only names of our own, whole numbers and device ids that match their pattern ever get into the text.
"""

from collections.abc import Sequence

from ingest.reading import Flag, Quantity
from ingest.stores.lines import DEVICE_ID, EVENTS

__all__ = ["bound", "event_window", "last", "ping", "window"]


def window(
    quantity: Quantity, start_ms: int, stop_ms: int, devices: Sequence[str] | None = None
) -> str:
    """Every reading of a window; of the named devices, whose ids must be good ones."""
    where = _between(start_ms, stop_ms)
    if devices is not None:
        if not devices or not all(DEVICE_ID.fullmatch(name) for name in devices):
            raise ValueError("a query needs device ids that match their pattern")
        where += " AND (" + " OR ".join(f"\"device\" = '{name}'" for name in devices) + ")"
    return (
        f'SELECT "value", "received_ms", "flags" FROM "{quantity.value}" '  # noqa: S608 - see above
        f'WHERE {where} GROUP BY "device"'
    )


def last(quantity: Quantity, start_ms: int, stop_ms: int) -> str:
    """The newest reading of each device in a window, of those that were not taken back."""
    return (
        'SELECT last("value") AS "value", "received_ms", "flags" '  # noqa: S608 - see above
        f'FROM "{quantity.value}" WHERE {_between(start_ms, stop_ms)} '
        f'AND "flags" < {int(Flag.WITHDRAWN)} GROUP BY "device"'
    )


def event_window(start_ms: int, stop_ms: int) -> str:
    """Every fault report of a window."""
    return (
        'SELECT "active", "has_period", "info", "received_ms", "flags" '  # noqa: S608 - see above
        f'FROM "{EVENTS}" WHERE {_between(start_ms, stop_ms)} GROUP BY "device", "event"'
    )


def bound(end: str, quantity: Quantity | None) -> str:
    """The first or last point of a quantity (None: of the fault reports)."""
    if end not in {"first", "last"}:
        raise ValueError(f"no end {end!r}")
    measurement = EVENTS if quantity is None else quantity.value
    return f'SELECT {end}("received_ms") FROM "{measurement}"'  # noqa: S608 - see above


def ping() -> str:
    """A question whose answer is empty, unless the database is missing."""
    return f'SELECT "received_ms" FROM "{EVENTS}" WHERE {_between(0, 1)} LIMIT 1'  # noqa: S608 - see above


def _between(start_ms: int, stop_ms: int) -> str:
    return f"time >= {int(start_ms)}ms AND time < {int(stop_ms)}ms"
