"""What a message says: CloudEvents for programs, a few plain lines for people."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from api.operations.alerts import Matter, Message

__all__ = ["cloud_event", "lines_of", "subject_of"]


def cloud_event(matter: Matter, *, source: str) -> dict[str, Any]:
    """A matter as a CloudEvents 1.0 event in JSON.

    The id is the matter's key, so that a receiver that is told twice knows it.
    """
    subject = f"work-orders/{matter.order_id}" if matter.order_id is not None else matter.key
    return {
        "specversion": "1.0",
        "id": matter.key,
        "source": source,
        "type": f"se.ljusvakt.{matter.kind}.v1",
        "subject": subject,
        "time": rfc3339(matter.at_ms),
        "datacontenttype": "application/json",
        "data": {"title": matter.title, "area": matter.area, **plain(matter.content)},
    }


def plain(content: Mapping[str, Any]) -> dict[str, Any]:
    """Only what JSON can hold."""
    return {
        name: value
        for name, value in content.items()
        if value is None or isinstance(value, str | int | float | bool)
    }


def subject_of(message: Message) -> str:
    """One line, without line breaks."""
    first = message.matters[0]
    urgent = "BRÅDSKANDE: " if first.rank == 0 else ""
    more = f" (+{len(message.matters) - 1})" if len(message.matters) > 1 else ""
    # Only people read this: programs know a repeat by its id.
    again = "(kanske igen) " if message.may_have_arrived else ""
    rung = f"[trappsteg {message.escalation}] " if message.escalation else ""
    return f"{again}{rung}{urgent}{first.title}{more}".replace("\r", " ").replace("\n", " ")[:200]


def lines_of(message: Message, *, base_url: str, timezone: str) -> str:
    """A few plain lines for a person, at most fifty matters."""
    zone = ZoneInfo(timezone)
    lines: list[str] = []
    for matter in message.matters[:50]:
        at = datetime.fromtimestamp(matter.at_ms / 1000, UTC).astimezone(zone)
        lines.append(f"{at:%Y-%m-%d %H:%M} {matter.title}")
        if why := matter.content.get("why"):
            lines.append(f"  {why}")
        if matter.order_id is not None and base_url:
            lines.append(f"  {base_url.rstrip('/')}/work-orders/{matter.order_id}")
    if len(message.matters) > 50:
        lines.append(f"... {len(message.matters) - 50} till")
    return "\n".join(lines) + "\n"


def rfc3339(time_ms: int) -> str:
    """UTC with Z."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
