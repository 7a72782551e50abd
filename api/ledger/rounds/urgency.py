"""How urgent the open orders are that a round may have changed."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select

from analytics.findings import CauseKind, FindingKind
from api.ledger import outbox, steps
from api.ledger.models import (
    AssetRow,
    EvidenceRow,
    IncidentRow,
    MemberRow,
    StatusRow,
    WorkOrderRow,
)
from api.ledger.rounds.work import CHUNK, DARK_WORDS, Work
from api.operations.extent import Surroundings
from api.operations.incidents import (
    IncidentState,
)
from api.operations.sla import judge
from api.operations.states import LuminaireState

__all__ = ["judge_again"]


def judge_again(work: Work, touched: Sequence[IncidentRow]) -> None:
    """Urgency of every open order the round may have changed.

    A fifth lamp in a row makes the four orders beside it urgent as well, so all orders on the
    touched segments and places are judged.
    """
    new = set(work.changes.orders_created)
    orders = {o.id: o for o in work.orders.values() if o.is_open}
    segments, sites = around(work, [row.id for row in touched])
    orders |= {o.id: o for o in orders_around(work, segments, sites)}
    if not orders:
        return
    around_them = surroundings(work)
    members = members_of(work, list(orders))
    day = datetime.fromtimestamp(work.now_ms / 1000, UTC)
    today = day.astimezone(ZoneInfo(work.policy.timezone)).date()
    for order in orders.values():
        facts = around_them.facts(
            members.get(order.id, []),
            kind=FindingKind(order.kind),
            crew=order.crew,
            cause_kind=CauseKind(order.cause_kind),
            prioritised=work.policy.is_prioritised(order.area, today),
            exposure=order.exposure,
        )
        steps.prioritise(
            work.session,
            order,
            judge(work.policy, facts),
            policy=work.policy,
            at_ms=work.now_ms,
            created=order.id in new,
        )
    for number in work.changes.orders_created:
        outbox.matter_of_order(work.session, orders[number], what="opened", at_ms=work.now_ms)


def around(work: Work, incident_ids: Sequence[int]) -> tuple[set[str], set[str]]:
    devices = {
        device
        for number in incident_ids
        for device, kind in work.evidence[number]
        if kind in DARK_WORDS
    }
    stands = [work.assets[d] for d in devices if d in work.assets]
    return {a.segment for a in stands} - {""}, {a.site for a in stands} - {""}


def orders_around(
    work: Work, segments: Collection[str], sites: Collection[str]
) -> Iterable[WorkOrderRow]:
    for column, names in ((AssetRow.segment, sorted(segments)), (AssetRow.site, sorted(sites))):
        for i in range(0, len(names), CHUNK):
            yield from work.session.scalars(
                select(WorkOrderRow)
                .join(MemberRow, MemberRow.order_id == WorkOrderRow.id)
                .join(AssetRow, AssetRow.device_id == MemberRow.device_id)
                .where(
                    WorkOrderRow.is_open.is_(True),
                    WorkOrderRow.from_findings.is_(True),
                    column.in_(names[i : i + CHUNK]),
                )
                .distinct()
            )


def surroundings(work: Work) -> Surroundings:
    out = work.session.scalars(
        select(EvidenceRow.device_id)
        .join(IncidentRow, IncidentRow.id == EvidenceRow.incident_id)
        .where(
            EvidenceRow.end_ms.is_(None),
            EvidenceRow.withdrawn.is_(False),
            EvidenceRow.kind.in_(sorted(DARK_WORDS)),
            IncidentRow.state == IncidentState.OPEN.value,
        )
    )
    unknown = work.session.scalars(
        select(StatusRow.device_id).where(
            StatusRow.state.in_([LuminaireState.UNKNOWN.value, LuminaireState.PLANNED.value])
        )
    )
    return Surroundings(work.assets.values(), out=set(out), unknown=set(unknown))


def members_of(work: Work, order_ids: Sequence[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for i in range(0, len(order_ids), CHUNK):
        for order_id, device in work.session.execute(
            select(MemberRow.order_id, MemberRow.device_id).where(
                MemberRow.order_id.in_(order_ids[i : i + CHUNK]), MemberRow.end_ms.is_(None)
            )
        ):
            found[order_id].append(device)
    return found
