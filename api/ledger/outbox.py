"""What others are told, written in the transaction that makes it true."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.ledger.models import MatterRow, StreamRow, WorkOrderRow

__all__ = ["matter", "matter_of_order", "stream", "stream_order"]

STREAM_LOCK = 7_203_311


def stream(
    session: Session, *, at_ms: int, kind: str, subject: str, area: str, content: Mapping[str, Any]
) -> None:
    """Add what live pages are told.

    On PostgreSQL a sequence runs ahead of the commits, and a page that has seen 8 would never ask
    for a 7 that commits later; so whoever adds to the stream holds the others back until commit.
    """
    if session.get_bind().dialect.name == "postgresql" and not session.info.get("streaming"):
        session.connection().exec_driver_sql(f"SELECT pg_advisory_xact_lock({STREAM_LOCK})")
        session.info["streaming"] = True
    session.add(
        StreamRow(at_ms=at_ms, kind=kind, subject=subject, area=area, content=dict(content))
    )


def stream_order(session: Session, order: WorkOrderRow, *, at_ms: int) -> None:
    """Tell live pages how an order stands."""
    content = {
        "state": order.state,
        "version": order.version,
        "priority": order.priority,
        "title": order.title,
        "crew": order.crew,
        "assignee": order.assignee,
    }
    stream(
        session,
        at_ms=at_ms,
        kind="work_order",
        subject=str(order.id),
        area=order.area,
        content=content,
    )


def matter_of_order(session: Session, order: WorkOrderRow, *, what: str, at_ms: int) -> None:
    """An order that people may want to be told about; once for each time it happens."""
    turn = f":{order.times_reopened}" if what == "reopened" else ""
    matter(
        session,
        key=f"work_order:{order.id}:{what}{turn}",
        kind=f"work_order.{what}",
        order=order,
        at_ms=at_ms,
        title=order.title,
        content={
            "work_order": order.id,
            "state": order.state,
            "kind": order.kind,
            "cause_kind": order.cause_kind,
            "cause_id": order.cause_id,
            "members": order.members,
            "priority": order.priority,
            "why": order.why,
            "site": order.site,
            "simulated": order.simulated,
        },
    )


def matter(
    session: Session,
    *,
    key: str,
    kind: str,
    at_ms: int,
    title: str,
    content: Mapping[str, Any],
    order: WorkOrderRow | None = None,
    rank: int = 0,
) -> None:
    """Something that may be told; a matter already known by its key is not told again."""
    if session.scalar(select(MatterRow.id).where(MatterRow.key == key)) is not None:
        return
    session.add(
        MatterRow(
            key=key,
            kind=kind,
            order_id=order.id if order else None,
            area=order.area if order else "",
            crew=order.crew if order else "",
            rank=order.rank if order else rank,
            at_ms=at_ms,
            title=title,
            content=dict(content),
            planned=False,
            acknowledged_by="",
        )
    )
    session.flush()
