"""What was judged: one row for each fault on each luminaire."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from analytics.findings import FindingKind
from api.auth import STAFF, Needs, Principal
from api.ledger.views import Evidence
from api.pagination import PageAsked
from api.routes.shapes import FindingOut, JudgedListOf, Moment, finding_out, time_ms_of
from api.services import ServiceDep

router = APIRouter(prefix="/api/v1", tags=["findings"])


@router.get("/findings")
def findings(
    services: ServiceDep,
    pages: PageAsked,
    principal: Annotated[Principal, Depends(Needs(*STAFF))],
    kind: FindingKind | None = None,
    device_id: Annotated[str | None, Query(max_length=200)] = None,
    open: Annotated[  # noqa: A002 - the word stands in the address
        bool | None, Query(description="Only those that still hold, or only those that do not.")
    ] = None,
    since: Annotated[Moment | None, Query(description="Began at or after this.")] = None,
    withdrawn: Annotated[
        bool, Query(description="Also those that later data showed never to have been so.")
    ] = False,
) -> JudgedListOf[FindingOut]:
    """Findings in the order they came; `incident` groups those that are one matter."""

    def found(after: int | None, limit: int) -> list[Evidence]:
        return services.ledger.findings(
            open=open,
            device_id=device_id,
            kind=kind,
            areas=principal.area_filter,
            since_ms=time_ms_of(since) if since else None,
            withdrawn=withdrawn,
            limit=limit,
            after=after or 0,
        )

    page = pages.by_number(found)
    return JudgedListOf(
        items=[finding_out(one) for one in page.items], next=page.next, stale=services.stale()
    )
