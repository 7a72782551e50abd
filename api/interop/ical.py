"""A calendar of due work (RFC 5545), for a phone or an office calendar."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from icalendar import Alarm, Calendar, Event

__all__ = ["calendar_of"]

HALF_HOUR = timedelta(minutes=30)


def calendar_of(orders: Iterable[Any], *, name: str, base_url: str, now_ms: int) -> bytes:
    """Open work orders as events that end at their deadline; those without one are left out.

    Parameters
    ----------
    orders : iterable of WorkOrder
    name : str
        Of the calendar.
    base_url : str
        For links.
    now_ms : int
        When it was made [ms, UTC].
    """
    calendar = Calendar()
    calendar.add("prodid", "-//Ljusvakt//SV")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", name)
    calendar.add("refresh-interval", timedelta(minutes=15), parameters={"VALUE": "DURATION"})
    for order in orders:
        if order.due_ms is None:
            continue
        due = moment(order.due_ms)
        event = Event()
        # The same order is the same event, whenever it is fetched.
        event.add("uid", f"work-order-{order.id}@ljusvakt")
        event.add("sequence", order.version)
        event.add("dtstamp", moment(now_ms))
        event.add("dtstart", due - HALF_HOUR)
        event.add("dtend", due)
        event.add("summary", order.title)
        event.add("description", "\n".join(part for part in (order.why, order.note) if part))
        if base_url:
            event.add("url", f"{base_url.rstrip('/')}/work-orders/{order.id}")
        if order.site:
            event.add("location", order.site)
        if order.lat is not None and order.lon is not None:
            event.add("geo", (order.lat, order.lon))
        event.add("priority", min(1 + 2 * order.rank, 9))
        if order.rank == 0:
            alarm = Alarm()
            alarm.add("action", "DISPLAY")
            alarm.add("description", order.title)
            alarm.add("trigger", -HALF_HOUR)
            event.add_component(alarm)
        calendar.add_component(event)
    return bytes(calendar.to_ical())


def moment(time_ms: int) -> datetime:
    """A moment in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC)
