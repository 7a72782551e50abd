"""From the embedded archive to InfluxDB, day by day, as often as one likes, verified."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from api.datadir import read_json, write_json
from api.errors import LjusvaktError
from ingest.reading import Quantity
from ingest.stores import Added, Columns, CountingStore, StoredEvent
from ingest.stores.merging import DAY_MS, rows
from ingest.stores.parquet import ParquetStore, day_name

__all__ = ["Migrated", "migrate"]

AT_ONCE = 100_000
WITHOUT_NOTES = "Remove it: every day is then carried and verified again, which changes nothing."
Told = Callable[[str, int, int], None]


@dataclass(slots=True)
class Migrated:
    """What was carried over.

    Attributes
    ----------
    days : int
        Days of a quantity that were carried and verified now.
    skipped : int
        Days that an earlier run had carried and that have not changed since.
    readings, events : int
        In the days carried now.
    written : int
        How many of these were new over there.
    """

    days: int = 0
    skipped: int = 0
    readings: int = 0
    events: int = 0
    written: int = 0


class Target(CountingStore, Protocol):
    """Where it goes; `ingest.stores.influx.InfluxStore` is one."""


def migrate(
    source: ParquetStore,
    target: Target,
    *,
    name: str,
    watermark: Path,
    told: Told = lambda _what, _done, _all: None,
) -> Migrated:
    """Carry every day of every quantity, and the fault reports, to another store.

    A day counts as carried once the other store has given back, for every device, as many readings
    with the same sum. That is noted, so the next run goes on where this one ended.

    Parameters
    ----------
    source : ParquetStore
        Its archive; with its tail, what is not sealed yet is carried as well, but not noted.
    target : CountingStore
    name : str
        Of the target, for the notes.
    watermark : Path
        Where the notes are.
    told : callable
        Quantity, days done, and of how many.

    Raises
    ------
    LjusvaktError
        If the other store refuses readings or gives back something else.
    """
    notes: dict[str, Any] = read_json(watermark, remedy=WITHOUT_NOTES) or {}
    done: dict[str, str] = notes.setdefault(name, {})
    result = Migrated()
    for quantity in source.quantities():
        days = source.days(quantity)
        for number, day in enumerate(days, start=1):
            key, mark = f"{quantity.value}/{day_name(day)}", repr(source.fingerprint(quantity, day))
            if done.get(key) == mark:
                result.skipped += 1
            else:
                _carry_day(source, target, quantity, day, result)
                done[key] = mark
                write_json(watermark, notes)
            told(quantity.value, number, len(days))
    _carry_events(source, target, result, told)
    return result


def _carry_day(
    source: ParquetStore, target: Target, quantity: Quantity, day: int, result: Migrated
) -> None:
    start_ms, stop_ms = day * DAY_MS, (day + 1) * DAY_MS
    columns = source.columns(quantity, start_ms=start_ms, stop_ms=stop_ms)
    for start in range(0, len(columns), AT_ONCE):
        added = target.put(quantity, rows(columns, slice(start, start + AT_ONCE)))
        _no_refusals(added, f"{quantity.value} of {day_name(day)}")
        result.written += added.stored
    there = target.columns(quantity, start_ms=start_ms, stop_ms=stop_ms)
    if _sums(columns) != _sums(there):
        wrong, _ = min(set(_sums(columns).items()) ^ set(_sums(there).items()))
        raise LjusvaktError(
            f"{quantity.value} of {wrong} on {day_name(day)} is not the same over there",
            remedy="Nothing was removed here. Run it again; if it stays, the target holds newer "
            "readings of that day.",
        )
    result.days += 1
    result.readings += len(columns)


def _sums(columns: Columns) -> dict[str, tuple[int, float]]:
    """How many readings each device has, and their sum."""
    n = len(columns.device_ids)
    counts = np.bincount(columns.device, minlength=n)
    sums = np.bincount(columns.device, weights=columns.value, minlength=n)
    both = zip(counts.tolist(), sums.tolist(), strict=True)
    return dict(zip(columns.device_ids, both, strict=True))


def _carry_events(source: ParquetStore, target: Target, result: Migrated, told: Told) -> None:
    days = source.event_days()
    for number, day in enumerate(days, start=1):
        window = {"start_ms": day * DAY_MS, "stop_ms": (day + 1) * DAY_MS}
        events: list[StoredEvent] = source.events(**window)
        added = target.put_events(events)
        _no_refusals(added, f"fault reports of {day_name(day)}")
        missing = set(events) - set(target.events(**window))
        if missing:
            raise LjusvaktError(
                f"{len(missing)} fault reports of {day_name(day)} are not the same over there",
                remedy="Nothing was removed here. Run it again.",
            )
        result.events += len(events)
        result.written += added.stored
        told("events", number, len(days))


def _no_refusals(added: Added, what: str) -> None:
    if added.refused:
        text, said = added.refused[0]
        raise LjusvaktError(
            f"{added.quarantined} of {what} were refused: {said} (first: {text.splitlines()[0]})",
            remedy="A retention period that is too short is the usual reason: lengthen it there.",
        )
