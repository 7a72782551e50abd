"""What cannot wait for the next light round: many devices that say they lose their supply.

A last gasp or a fault report is in the journal within milliseconds; the next light round may be ten
minutes away. So the journal is looked at every few seconds, and when several devices said so a
round is run as soon as they can be believed: half a minute after the last of them where nearly a
whole cabinet went at once, a quarter of an hour after it for the others (see `analytics.quick`).
"""

from collections.abc import Iterator
from typing import Protocol

from analytics.device_events import EVENT_KIND
from analytics.findings import FindingKind
from analytics.quick import AT_ONCE_MS, TOLD_MS
from api.clock import Clock
from ingest.journal import JournalReader
from ingest.reading import Quantity
from ingest.stores import Columns, SeriesStore, StoredEvent
from ingest.stores.event_rows import standing_events

__all__ = ["JournalNews", "StoreNews", "Urgency"]

LAST_GASP = 128
# Fewer than this no section can be made of.
MANY = 3
WINDOW_MS = 120_000
# What a round reads must be in the store when it reads; devices' clocks may be a little off.
MARGIN_MS = 2_000
STEP_MS = 5_000
LOSSES = frozenset(name for name, kind in EVENT_KIND.items() if kind is FindingKind.SUPPLY_LOSS)


class News(Protocol):
    """What came since it was last asked for."""

    def since_last(self, now_ms: int) -> tuple[Columns, list[StoredEvent]]:
        """Readings of `lamp_status`, and fault reports."""
        ...


class JournalNews:
    """By the numbers of the journal's entries; nothing is news the first time.

    Parameters
    ----------
    reader : JournalReader
    """

    def __init__(self, reader: JournalReader) -> None:
        self._reader = reader
        self._entry, self._event = reader.last_id(), reader.last_event_id()

    def since_last(self, now_ms: int) -> tuple[Columns, list[StoredEvent]]:
        """See `News`."""
        entry, event = self._reader.last_id(), self._reader.last_event_id()
        bits = self._reader.tail(
            Quantity.LAMP_STATUS.value, now_ms - WINDOW_MS, now_ms + WINDOW_MS,
            after_id=self._entry, upto_id=entry,
        )  # fmt: skip
        told = self._reader.events(
            start_ms=now_ms - WINDOW_MS, stop_ms=now_ms + WINDOW_MS,
            after_id=self._event, upto_id=event,
        )  # fmt: skip
        self._entry, self._event = entry, event
        return bits, standing_events([one for _, one in told])


class StoreNews:
    """By time: all of the last two minutes again, from a store that cannot tell what came.

    Parameters
    ----------
    store : SeriesStore
    """

    def __init__(self, store: SeriesStore) -> None:
        self._store = store

    def since_last(self, now_ms: int) -> tuple[Columns, list[StoredEvent]]:
        """See `News`."""
        start_ms, stop_ms = now_ms - WINDOW_MS, now_ms + 1
        return (
            self._store.columns(Quantity.LAMP_STATUS, start_ms=start_ms, stop_ms=stop_ms),
            self._store.events(start_ms=start_ms, stop_ms=stop_ms),
        )


class Urgency:
    """Says when a round should be run sooner than it would be.

    Parameters
    ----------
    news : News
    clock : Clock
    """

    def __init__(self, news: News, clock: Clock) -> None:
        self._news = news
        self._clock = clock
        self._lost: dict[str, int] = {}
        self._due_ms: set[int] = set()

    def next_ms(self) -> int | None:
        """When a round should be run at the latest [ms, UTC]; None where none is urgent."""
        now_ms = self._clock.now_ms()
        fresh = dict(losses(*self._news.since_last(now_ms)))
        grown = fresh.items() - self._lost.items()
        self._lost |= fresh
        self._lost = {d: t for d, t in self._lost.items() if t > now_ms - WINDOW_MS}
        if grown and len(self._lost) >= MANY:
            for patience_ms in (AT_ONCE_MS, TOLD_MS):
                # To whole five seconds: while more of them come, the rounds do not multiply.
                due_ms = now_ms + patience_ms + MARGIN_MS
                self._due_ms.add(-(-due_ms // STEP_MS) * STEP_MS)
        return min(self._due_ms, default=None)

    def done(self, at_ms: int) -> None:
        """A round was run for this moment."""
        self._due_ms = {t for t in self._due_ms if t > at_ms}


def losses(bits: Columns, told: list[StoredEvent]) -> Iterator[tuple[str, int]]:
    """Devices that say their supply goes, and when."""
    for device, time_ms, value in zip(
        bits.device.tolist(), bits.time_ms.tolist(), bits.value.tolist(), strict=True
    ):
        if value == value and int(value) & LAST_GASP:  # noqa: PLR0124 - NaN
            yield bits.device_ids[device], time_ms
    for event in told:
        if event.event in LOSSES and event.active is not False:
            yield event.device_id, event.time_ms
