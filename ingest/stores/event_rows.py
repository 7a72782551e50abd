"""Fault reports put together: the last word on (device, time, event) stands."""

from collections.abc import Iterable

from ingest.stores import StoredEvent

__all__ = ["in_event_order", "keep_event", "merge_events"]

EventKey = tuple[str, int, str]


def keep_event(kept: dict[EventKey, StoredEvent], event: StoredEvent) -> None:
    """Put `event` over what is kept; an identical repeat keeps the time it first came."""
    key = (event.device_id, event.time_ms, event.event)
    before = kept.get(key)
    if before is None or _said(before) != _said(event):
        kept[key] = event


def _said(event: StoredEvent) -> tuple[bool | None, str]:
    return event.active, event.info


def merge_events(events: Iterable[StoredEvent]) -> list[StoredEvent]:
    """Unique fault reports in order; later ones are newer."""
    kept: dict[EventKey, StoredEvent] = {}
    for event in events:
        keep_event(kept, event)
    return in_event_order(kept.values())


def in_event_order(events: Iterable[StoredEvent]) -> list[StoredEvent]:
    """By time, then device, then name."""
    return sorted(events, key=lambda e: (e.time_ms, e.device_id, e.event))
