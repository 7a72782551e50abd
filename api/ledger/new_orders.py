"""New work orders: blank ones, and those a person begins."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from analytics.findings import CauseKind, FindingKind
from api.errors import NotFoundError
from api.ledger import outbox, steps
from api.ledger.models import AssetRow, MemberRow, WorkOrderRow
from api.operations.sla import NO_DUE_MS, Facts, Policy, judge
from api.operations.work_orders import (
    Action,
    BudgetAccount,
    WorkOrderState,
    crew_of,
    title_of,
)

__all__ = ["blank_order", "new_by_hand"]


def blank_order(
    kind: FindingKind, cause_kind: CauseKind, cause_id: str, *, now_ms: int, simulated: bool
) -> WorkOrderRow:
    """A new order that nobody has taken or judged yet, without members or place."""
    return WorkOrderRow(
        state=WorkOrderState.NEW.value,
        is_open=True,
        version=1,
        crew=crew_of(kind).value,
        kind=kind.value,
        cause_kind=cause_kind.value,
        cause_id=cause_id,
        title="",
        note="",
        members=0,
        from_findings=False,
        simulated=simulated,
        area="",
        site="",
        assignee="",
        budget_account=BudgetAccount.ORDINARY_OPERATION.value,
        priority="",
        rank=0,
        rule_id="",
        why="",
        detected_ms=now_ms,
        created_ms=now_ms,
        updated_ms=now_ms,
        due_ms=NO_DUE_MS,
        owner="",
        times_reopened=0,
    )


def new_by_hand(
    session: Session,
    device_ids: Sequence[str],
    *,
    kind: FindingKind,
    actor: str,
    now_ms: int,
    note: str,
    place: tuple[str, str, float | None, float | None],
    simulated: bool,
    policy: Policy,
    hazard: bool = False,
) -> WorkOrderRow:
    """An order without an incident."""
    stands = [session.get(AssetRow, device) for device in dict.fromkeys(device_ids)]
    if None in stands:
        raise NotFoundError("no such asset.")
    assets = [row for row in stands if row is not None]
    first = assets[0] if assets else None
    area, site, lat, lon = place
    cause_id = first.luminaire_id if first else site or "?"
    row = blank_order(kind, CauseKind.LUMINAIRE, cause_id, now_ms=now_ms, simulated=simulated)
    row.title = title_of(kind, CauseKind.LUMINAIRE, cause_id, len(assets))
    row.note, row.members = note, len(assets)
    row.area = first.area if first and first.area else area
    row.site = first.site if first and first.site else site
    row.lat = first.lat if first and first.lat is not None else lat
    row.lon = first.lon if first and first.lon is not None else lon
    session.add(row)
    session.flush()
    for asset in assets:
        session.add(
            MemberRow(
                order_id=row.id,
                device_id=asset.device_id,
                luminaire_id=asset.luminaire_id,
                kind=kind.value,
                start_ms=now_ms,
                by_hand=True,
            )
        )
    session.flush()
    judgement = judge(policy, facts_of(assets, kind, hazard=hazard))
    steps.prioritise(session, row, judgement, policy=policy, at_ms=now_ms, created=True)
    steps.remember(
        session,
        row,
        action=Action.CREATE,
        actor=actor,
        at_ms=now_ms,
        note=note,
    )
    outbox.matter_of_order(session, row, what="opened", at_ms=now_ms)
    return row


def facts_of(assets: Sequence[AssetRow], kind: FindingKind, *, hazard: bool) -> Facts:
    """What the policy asks about luminaires a person named."""
    return Facts(
        hazard=hazard,
        out=len(assets),
        place_kind=frozenset(a.place_kind for a in assets if a.place_kind),
        location_category=frozenset(a.location_category for a in assets if a.location_category),
        kind=kind.value,
        crew=crew_of(kind).value,
        third_party=next((a.owner for a in assets if a.owner), ""),
    )
