"""Fault reports put together: the last word on (device, time, event) stands."""

from collections.abc import Iterable, Sequence

from ingest.reading import Flag
from ingest.stores import StoredEvent

__all__ = ["EventKey", "in_event_order", "key_of", "merge_events", "standing_events", "taken_back"]

EventKey = tuple[str, int, str]


def key_of(event: StoredEvent) -> EventKey:
    """What makes two fault reports the same one."""
    return event.device_id, event.time_ms, event.event


def merge_events(events: Iterable[StoredEvent]) -> list[StoredEvent]:
    """One fault report a key, in order; later ones are newer.

    An identical repeat keeps the time it first came. One that takes another back stands in its
    place, with `Flag.WITHDRAWN`.
    """
    kept: dict[EventKey, StoredEvent] = {}
    for event in events:
        key = key_of(event)
        before = kept.get(key)
        if before is None or _said(before) != _said(event):
            kept[key] = event
    return in_event_order(kept.values())


def _said(event: StoredEvent) -> tuple[bool | None, str, bool]:
    return event.active, event.info, taken_back(event)


def taken_back(event: StoredEvent) -> bool:
    """Whether it takes a fault report back instead of making one."""
    return bool(event.flags & Flag.WITHDRAWN)


def standing_events(merged: Sequence[StoredEvent]) -> list[StoredEvent]:
    """Merged fault reports without those that were taken back."""
    return [event for event in merged if not taken_back(event)]


def in_event_order(events: Iterable[StoredEvent]) -> list[StoredEvent]:
    """By time, then device, then name."""
    return sorted(events, key=lambda e: (e.time_ms, e.device_id, e.event))
