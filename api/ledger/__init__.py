"""Assets, incidents, work orders, users: SQLAlchemy on SQLite or PostgreSQL.

Rows stay inside; what leaves is frozen (`api.ledger.views`).
"""

from api.ledger.ledger import Ledger, open_ledger
from api.ledger.rounds import DarkHours
from api.ledger.street import AssetChange, AssetDiff
from api.ledger.views import (
    Attachment,
    Evidence,
    Incident,
    IncidentDetail,
    Maintenance,
    OrderFilter,
    Page,
    PlannedWork,
    ReconcileResult,
    ServiceRequest,
    StreamEvent,
    WorkOrder,
    WorkOrderDetail,
)

__all__ = [
    "AssetChange",
    "AssetDiff",
    "Attachment",
    "DarkHours",
    "Evidence",
    "Incident",
    "IncidentDetail",
    "Ledger",
    "Maintenance",
    "OrderFilter",
    "Page",
    "PlannedWork",
    "ReconcileResult",
    "ServiceRequest",
    "StreamEvent",
    "WorkOrder",
    "WorkOrderDetail",
    "open_ledger",
]
