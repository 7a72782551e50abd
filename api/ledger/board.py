"""What lists of work orders show beside each order, fetched for the whole list at once."""

from collections.abc import Sequence

from sqlalchemy import select

from api.ledger.base import Database
from api.ledger.models import EvidenceRow, MemberRow

__all__ = ["confidences_of", "members_of"]

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
