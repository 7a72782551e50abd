"""Matters: what findings with one cause are about, from the first sign until it is over."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from analytics.findings import FindingKind
from api.auth import STAFF, Needs, Principal
from api.ledger.views import Incident
from api.operations.incidents import IncidentState
from api.pagination import PageAsked
from api.routes.shapes import (
    IncidentDetailOut,
    IncidentOut,
    JudgedListOf,
    incident_detail_out,
    incident_out,
)
from api.services import ServiceDep

router = APIRouter(prefix="/api/v1", tags=["incidents"])
Staff = Annotated[Principal, Depends(Needs(*STAFF))]


@router.get("/incidents")
def incidents(
    services: ServiceDep,
    pages: PageAsked,
    principal: Staff,
    state: IncidentState | None = None,
    kind: FindingKind | None = None,
    cause_id: Annotated[str | None, Query(max_length=200)] = None,
) -> JudgedListOf[IncidentOut]:
    """Incidents, the newest first."""

    def found(before: int | None, limit: int) -> list[Incident]:
        return services.ledger.incidents(
            states=(state,) if state else (),
            areas=principal.area_filter,
            kind=kind,
            cause_id=cause_id,
            limit=limit,
            before=before,
        )

    page = pages.by_number(found)
    return JudgedListOf(
        items=[incident_out(one) for one in page.items], next=page.next, stale=services.stale()
    )


@router.get("/incidents/{incident_id}")
def incident(
    incident_id: Annotated[int, Path(ge=1, lt=2**62)], services: ServiceDep, principal: Staff
) -> IncidentDetailOut:
    """One incident with its timeline, its findings and its work order."""
    return incident_detail_out(services.ledger.incident(incident_id, areas=principal.area_filter))
