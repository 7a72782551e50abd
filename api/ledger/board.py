"""What lists of work orders show beside each order, fetched for the whole list at once."""

from collections.abc import Collection, Sequence

from sqlalchemy import select

from api.ledger.base import Database
from api.ledger.models import EvidenceRow, MemberRow, WorkOrderRow

__all__ = ["confidences_of", "members_of", "orders_by_device"]

CHUNK = 500


def members_of(database: Database, order_ids: Sequence[int]) -> dict[int, list[str]]:
    """Devices that are part of each of these orders now, in order of their ids."""
    found: dict[int, list[str]] = {order_id: [] for order_id in order_ids}
    with database.read() as session:
        for start in range(0, len(order_ids), CHUNK):
            part = order_ids[start : start + CHUNK]
            rows = session.execute(
                select(MemberRow.order_id, MemberRow.device_id)
                .where(MemberRow.order_id.in_(part))
                .order_by(MemberRow.device_id)
            )
            for order_id, device_id in rows:
                found[order_id].append(device_id)
    return found


def confidences_of(database: Database, incident_ids: Sequence[int]) -> dict[int, float]:
    """The highest confidence among the standing findings of each of these incidents."""
    found: dict[int, float] = {}
    with database.read() as session:
        for start in range(0, len(incident_ids), CHUNK):
            part = incident_ids[start : start + CHUNK]
            rows = session.execute(
                select(EvidenceRow.incident_id, EvidenceRow.confidence).where(
                    EvidenceRow.incident_id.in_(part), EvidenceRow.withdrawn.is_(False)
                )
            )
            for incident_id, confidence in rows:
                found[incident_id] = max(confidence, found.get(incident_id, 0.0))
    return found


def orders_by_device(database: Database, *, areas: Collection[str] | None = None) -> dict[str, int]:
    """The open work order each device is part of, the most urgent where there are several."""
    query = (
        select(MemberRow.device_id, WorkOrderRow.id)
        .join(WorkOrderRow, WorkOrderRow.id == MemberRow.order_id)
        .where(WorkOrderRow.is_open.is_(True))
        .order_by(WorkOrderRow.rank.desc(), WorkOrderRow.due_ms.desc(), WorkOrderRow.id.desc())
    )
    if areas is not None:
        query = query.where(WorkOrderRow.area.in_(sorted(areas)))
    with database.read() as session:
        # The most urgent comes last and stays.
        return {row[0]: row[1] for row in session.execute(query)}
