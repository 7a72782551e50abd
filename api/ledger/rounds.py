"""A round's findings brought into the ledger: incidents, work orders, states, alerts."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from analytics.findings import CauseKind, FindingKind, Severity
from api.assets import Asset
from api.findings import NamedFinding
from api.ledger import conversions as to_view
from api.ledger import outbox, steps
from api.ledger.models import (
    AssetRow,
    EvidenceRow,
    IncidentRow,
    MemberRow,
    StatusRow,
    TimelineRow,
    WorkOrderRow,
)
from api.ledger.street import STATES, next_version
from api.ledger.views import ReconcileResult
from api.operations.extent import DARK_KINDS, Surroundings
from api.operations.incidents import (
    SEVERITIES,
    IncidentState,
    Known,
    KnownFinding,
    PlannedWindow,
    Wanted,
    What,
    plan_round,
    unplanned,
)
from api.operations.sla import NO_DUE_MS, Policy, judge
from api.operations.states import LuminaireState
from api.operations.work_orders import (
    CLOSED,
    Action,
    BudgetAccount,
    Crew,
    Rejection,
    Step,
    Verification,
    WorkOrderState,
    crew_of,
    title_of,
)

__all__ = ["DarkHours", "Round"]

SYSTEM = "ljusvakt"
# Dark hours must go on at least this long after a repair was marked done before they can deny it.
DARK_AFTER_DONE_MS = 3_600_000
CHUNK = 500
OBSERVED_EVERY_MS = 6 * 3_600_000


@dataclass(frozen=True, slots=True)
class DarkHours:
    """The dark hours a round has settled, `[start_ms, stop_ms)`."""

    start_ms: int
    stop_ms: int


@dataclass(slots=True)
class Changes:
    """Collected while the round is applied."""

    opened: list[str] = field(default_factory=list[str])
    changed: list[str] = field(default_factory=list[str])
    merged: list[str] = field(default_factory=list[str])
    cleared: list[str] = field(default_factory=list[str])
    reopened: list[str] = field(default_factory=list[str])
    withdrawn: list[str] = field(default_factory=list[str])
    orders_created: list[int] = field(default_factory=list[int])
    orders_verified: list[int] = field(default_factory=list[int])
    orders_reopened: list[int] = field(default_factory=list[int])
    orders_closed: list[int] = field(default_factory=list[int])

    def result(self, suppressed: int) -> ReconcileResult:
        """Frozen."""
        names = ("opened", "changed", "merged", "cleared", "reopened", "withdrawn")
        orders = ("orders_created", "orders_verified", "orders_reopened", "orders_closed")
        return ReconcileResult(
            **{name: tuple(getattr(self, name)) for name in (*names, *orders)},
            suppressed=suppressed,
        )


class Round:
    """One reconciliation, inside one transaction.

    Parameters
    ----------
    session : Session
        A transaction that may write and that no other round shares.
    assets : mapping of device id to Asset
    policy : Policy
    now_ms : int
    windows : sequence of PlannedWindow
    exposure : mapping of device id to float
        Passages a night in light below what it should be.
    """

    def __init__(
        self,
        session: Session,
        *,
        assets: Mapping[str, Asset],
        policy: Policy,
        now_ms: int,
        windows: Sequence[PlannedWindow],
        exposure: Mapping[str, float],
    ) -> None:
        self.session = session
        self.assets = assets
        self.policy = policy
        self.now_ms = now_ms
        self.windows = windows
        self.exposure = exposure
        self.changes = Changes()
        self.rows: dict[str, IncidentRow] = {}
        # What stands behind each incident, by device and kind: read once, kept as written.
        self.evidence: dict[int, dict[tuple[str, str], EvidenceRow]] = defaultdict(dict)
        self.orders: dict[int, WorkOrderRow] = {}

    def run(
        self,
        findings: Sequence[NamedFinding],
        *,
        states: Mapping[str, LuminaireState] | None,
        night: DarkHours | None,
        settled: bool,
        complete_since_ms: int | None,
        left_out: int = 0,
    ) -> ReconcileResult:
        """Apply the findings; see `Ledger.reconcile`."""
        kept, suppressed = unplanned(findings, self.windows, now_ms=self.now_ms)
        known = self._known({f.incident for f in kept})
        plan = plan_round(known, kept, settled=settled, complete_since_ms=complete_since_ms)
        for wanted in plan.incidents:
            self._write_incident(wanted)
        self.session.flush()
        for wanted in plan.incidents:
            self._link_merged(wanted)
        self._write_states(states, kept)
        touched = [self.rows[wanted.key] for wanted in plan.incidents]
        self._load_orders(touched)
        # Orders that stay come first, so that a merged one finds the order it is part of.
        for wanted in sorted(plan.incidents, key=lambda w: w.state is IncidentState.MERGED):
            self._follow(wanted)
        self._follow_by_hand(plan.incidents)
        if night is not None:
            self._deny_repairs(kept, states or {}, night)
        self._judge_again(touched)
        return self.changes.result(suppressed + left_out)

    # -- incidents ---------------------------------------------------------------------------

    def _known(self, keys: Collection[str]) -> dict[str, Known]:
        """Every open incident, and those the findings name."""
        found = list(
            self.session.scalars(
                select(IncidentRow).where(IncidentRow.state == IncidentState.OPEN.value)
            )
        )
        have = {row.key for row in found}
        missing = sorted(set(keys) - have)
        for i in range(0, len(missing), CHUNK):
            part = missing[i : i + CHUNK]
            found += self.session.scalars(select(IncidentRow).where(IncidentRow.key.in_(part)))
        self.rows = {row.key: row for row in found}
        evidence: dict[int, dict[tuple[str, FindingKind], KnownFinding]] = defaultdict(dict)
        for row in self._evidence([row.id for row in found]):
            self.evidence[row.incident_id][row.device_id, row.kind] = row
            kind = FindingKind(row.kind)
            evidence[row.incident_id][row.device_id, kind] = KnownFinding(
                row.device_id, kind, row.start_ms, row.end_ms, row.withdrawn
            )
        return {
            row.key: Known(
                row.key,
                IncidentState(row.state),
                FindingKind(row.kind),
                CauseKind(row.cause_kind),
                row.cause_id,
                row.confirmed,
                evidence[row.id],
            )
            for row in found
        }

    def _evidence(self, incident_ids: Sequence[int]) -> Iterable[EvidenceRow]:
        for i in range(0, len(incident_ids), CHUNK):
            part = incident_ids[i : i + CHUNK]
            yield from self.session.scalars(
                select(EvidenceRow).where(EvidenceRow.incident_id.in_(part))
            )

    def _write_incident(self, wanted: Wanted) -> None:
        row = self.rows.get(wanted.key)
        if row is None:
            row = self._new_incident(wanted)
        self._write_evidence(row, wanted)
        standing = [e for e in self.evidence[row.id].values() if not e.withdrawn]
        opened = [e for e in standing if e.end_ms is None]
        row.state, row.kind, row.confirmed = wanted.state.value, wanted.kind.value, wanted.confirmed
        row.members = len({e.device_id for e in opened or standing})
        row.updated_ms = self.now_ms
        if standing:
            row.start_ms = min(e.start_ms for e in standing)
            ends = [e.end_ms for e in standing if e.end_ms is not None]
            row.end_ms = max(ends) if wanted.state is IncidentState.CLEARED and ends else None
            most = [Severity(e.severity) for e in opened or standing]
            row.severity = min(most, key=SEVERITIES.index).value
            row.confidence = max(e.confidence for e in opened or standing)
        if wanted.findings:
            last = wanted.findings[0]
            row.cause_kind, row.cause_id = last.cause_kind.value, last.cause_id
            row.note = last.note
        if wanted.state is not IncidentState.MERGED:
            row.merged_into = None
        self._tell(row, wanted)

    def _new_incident(self, wanted: Wanted) -> IncidentRow:
        first = wanted.findings[0]
        stands = [self.assets[f.device_id] for f in wanted.findings if f.device_id in self.assets]
        row = IncidentRow(
            key=wanted.key,
            state=wanted.state.value,
            kind=wanted.kind.value,
            cause_kind=first.cause_kind.value,
            cause_id=first.cause_id,
            severity=first.severity.value,
            confidence=first.confidence,
            start_ms=first.start_ms,
            end_ms=None,
            raised_ms=min(f.raised_ms for f in wanted.findings),
            updated_ms=self.now_ms,
            members=0,
            simulated=any(f.simulated for f in wanted.findings),
            confirmed=False,
            area=most_common(a.area for a in stands),
            site=most_common(a.site for a in stands),
            note=first.note,
        )
        self.session.add(row)
        self.session.flush()
        self.rows[wanted.key] = row
        return row

    def _write_evidence(self, row: IncidentRow, wanted: Wanted) -> None:
        stored = self.evidence[row.id]
        for device, kind in wanted.withdrawn:
            stored[device, kind.value].withdrawn = True
        for finding in wanted.findings:
            values = to_view.evidence_values(finding)
            if (e := stored.get((finding.device_id, finding.kind.value))) is None:
                e = EvidenceRow(incident_id=row.id, withdrawn=finding.withdrawn, **values)
                self.session.add(e)
                stored[e.device_id, e.kind] = e
                continue
            e.withdrawn = finding.withdrawn
            raised = min(e.raised_ms, finding.raised_ms)
            for name, value in values.items():
                setattr(e, name, value)
            e.raised_ms = raised  # the round that first reported it stays

    def _tell(self, row: IncidentRow, wanted: Wanted) -> None:
        """Timeline and result."""
        into = {
            What.OPENED: self.changes.opened,
            What.MERGED: self.changes.merged,
            What.CLEARED: self.changes.cleared,
            What.REOPENED: self.changes.reopened,
            What.WITHDRAWN: self.changes.withdrawn,
        }
        changed = True
        for entry in wanted.entries:
            self.session.add(
                TimelineRow(
                    incident_id=row.id,
                    at_ms=self.now_ms,
                    what=entry.what.value,
                    note=entry.note,
                )
            )
            if (kept := into.get(entry.what)) is not None:
                kept.append(row.key)
                changed = False
        if changed:
            self.changes.changed.append(row.key)
        outbox.stream(
            self.session,
            at_ms=self.now_ms,
            kind="incident",
            subject=str(row.id),
            area=row.area,
            content={"state": row.state, "kind": row.kind, "members": row.members},
        )

    def _link_merged(self, wanted: Wanted) -> None:
        if wanted.merged_into is not None:
            self.rows[wanted.key].merged_into = self.rows[wanted.merged_into].id

    # -- states ------------------------------------------------------------------------------

    def _write_states(
        self, states: Mapping[str, LuminaireState] | None, findings: Sequence[NamedFinding]
    ) -> None:
        """The state of each luminaire: as judged, but planned while a window covers it."""
        given = dict(states) if states is not None else states_of(findings)
        reasons = {f.device_id: f.kind.value for f in findings if f.end_ms is None}
        for window in self.windows:
            if window.from_ms <= self.now_ms < window.until_ms:
                given[window.device_id] = LuminaireState.PLANNED
                reasons[window.device_id] = "planned_work"
        stored = {
            device: (state, observed_ms)
            for device, state, observed_ms in self.session.execute(
                select(StatusRow.device_id, StatusRow.state, StatusRow.observed_ms)
            )
        }
        new: list[dict[str, object]] = []
        changed: list[dict[str, object]] = []
        for device, state in given.items():
            known = state in {LuminaireState.OK, LuminaireState.FAULTY}
            was, observed_ms = stored.get(device, (None, None))
            # Hours are close enough to say when it was last seen; else each round writes each row.
            stale = known and (
                observed_ms is None or self.now_ms - observed_ms >= OBSERVED_EVERY_MS
            )
            if was == state.value and not stale:
                continue
            values: dict[str, object] = {"device_id": device, "state": state.value}
            values["reason"] = reasons.get(device, "")
            if was != state.value:
                values["since_ms"] = self.now_ms
            if known:
                values |= {"observed_ms": self.now_ms, "last_known": state.value}
            (new if was is None else changed).append(values)
        blank = {"observed_ms": None, "last_known": None}
        if new:
            self.session.execute(insert(StatusRow), [blank | values for values in new])
        for names in {tuple(sorted(values)) for values in changed}:
            same = [values for values in changed if tuple(sorted(values)) == names]
            self.session.execute(update(StatusRow), same)
        if new or changed:
            next_version(self.session, STATES)

    # -- work orders -------------------------------------------------------------------------

    def _load_orders(self, incidents: Sequence[IncidentRow]) -> None:
        ids = [row.id for row in incidents]
        for i in range(0, len(ids), CHUNK):
            for order in self.session.scalars(
                select(WorkOrderRow)
                .where(WorkOrderRow.incident_id.in_(ids[i : i + CHUNK]))
                .with_for_update()
            ):
                if order.incident_id is not None:
                    self.orders[order.incident_id] = order

    def _follow(self, wanted: Wanted) -> None:
        """Bring the incident's work order to where the incident stands."""
        incident = self.rows[wanted.key]
        order = self.orders.get(incident.id)
        if order is None:
            if wanted.state is IncidentState.OPEN:
                self._create_order(incident)
            return
        self._write_members(order, incident)
        state = WorkOrderState(order.state)
        match wanted.state:
            case IncidentState.OPEN:
                reopened = any(entry.what is What.REOPENED for entry in wanted.entries)
                if reopened and state in CLOSED and order.rejection not in STAYS_REJECTED:
                    self._reopen(order, "the fault came back")
            case IncidentState.CLEARED if state not in CLOSED:
                self._prove(order, incident.end_ms)
            case IncidentState.WITHDRAWN if state not in CLOSED:
                self._withdraw(order, state)
            case IncidentState.MERGED if state not in CLOSED:
                self._close_as_part(order, incident)
            case _:
                pass

    def _prove(self, order: WorkOrderRow, cleared_ms: int | None) -> None:
        """Verified by the light, once every luminaire of the order is lit again."""
        left = self.session.scalar(
            select(MemberRow.device_id)
            .where(MemberRow.order_id == order.id, MemberRow.end_ms.is_(None))
            .limit(1)
        )
        if left is None:
            step = Step(Action.VERIFY, by_light=True, verification=Verification.LIGHT)
            self._step(order, step, {"cleared_ms": cleared_ms})
            self.changes.orders_verified.append(order.id)

    def _follow_by_hand(self, plan: Sequence[Wanted]) -> None:
        """Luminaires people put into an order (merged, split) are proved there as well."""
        ended = {
            f.device_id: f.end_ms
            for wanted in plan
            for f in wanted.findings
            if f.end_ms is not None and crew_of(f.kind) is Crew.LAMP
        }
        if not ended:
            return
        dark = set(
            self.session.scalars(
                select(EvidenceRow.device_id).where(
                    EvidenceRow.end_ms.is_(None), EvidenceRow.withdrawn.is_(False)
                )
            )
        )
        rows = self.session.execute(
            select(MemberRow, WorkOrderRow, IncidentRow.state)
            .join(WorkOrderRow, WorkOrderRow.id == MemberRow.order_id)
            .outerjoin(IncidentRow, IncidentRow.id == WorkOrderRow.incident_id)
            .where(
                MemberRow.by_hand.is_(True),
                MemberRow.end_ms.is_(None),
                WorkOrderRow.is_open.is_(True),
            )
        ).all()
        taken_back = {f.device_id for wanted in plan for f in wanted.findings if f.withdrawn}
        orders: dict[int, tuple[WorkOrderRow, str | None]] = {}
        proved: set[int] = set()
        for member, order, incident_state in rows:
            if member.device_id in ended and member.device_id not in dark:
                member.end_ms = ended[member.device_id]
                orders[order.id] = (order, incident_state)
                if member.device_id not in taken_back:
                    proved.add(order.id)
        self.session.flush()
        for order, state in orders.values():
            if order.id not in proved and self._all_taken_back(order, taken_back):
                self._withdraw(order, WorkOrderState(order.state))
            elif state in {None, IncidentState.CLEARED.value, IncidentState.WITHDRAWN.value}:
                self._prove(order, self.now_ms)

    def _all_taken_back(self, order: WorkOrderRow, taken_back: Collection[str]) -> bool:
        """Whether no luminaire of an order was ever at fault."""
        members = self.session.scalars(
            select(MemberRow.device_id).where(MemberRow.order_id == order.id)
        )
        return all(device in taken_back for device in members)

    def _create_order(self, incident: IncidentRow) -> None:
        kind = FindingKind(incident.kind)
        order = WorkOrderRow(
            incident_id=incident.id,
            state=WorkOrderState.NEW.value,
            is_open=True,
            version=1,
            crew=crew_of(kind).value,
            kind=kind.value,
            cause_kind=incident.cause_kind,
            cause_id=incident.cause_id,
            title="",
            note=incident.note,
            members=0,
            from_findings=True,
            simulated=incident.simulated,
            area=incident.area,
            site=incident.site,
            assignee="",
            budget_account=BudgetAccount.ORDINARY_OPERATION.value,
            priority="",
            rank=0,
            rule_id="",
            why="",
            detected_ms=incident.raised_ms,
            created_ms=self.now_ms,
            updated_ms=self.now_ms,
            due_ms=NO_DUE_MS,
            owner="",
            times_reopened=0,
        )
        self.session.add(order)
        self.session.flush()
        self.orders[incident.id] = order
        self._write_members(order, incident)
        steps.remember(
            self.session,
            order,
            action=Action.CREATE,
            actor=SYSTEM,
            at_ms=self.now_ms,
            note=incident.note,
            details={"incident": incident.key},
        )
        self.changes.orders_created.append(order.id)

    def _write_members(self, order: WorkOrderRow, incident: IncidentRow) -> None:
        """Open findings are members; of an order whose findings are all over, those that were."""
        stored = {
            m.device_id: m
            for m in self.session.scalars(select(MemberRow).where(MemberRow.order_id == order.id))
        }
        evidence = list(
            self.session.scalars(
                select(EvidenceRow)
                .where(EvidenceRow.incident_id == incident.id, EvidenceRow.withdrawn.is_(False))
                .order_by(EvidenceRow.start_ms, EvidenceRow.kind)
            )
        )
        open_ones = [e for e in evidence if e.end_ms is None]
        wanted = {e.device_id: e for e in reversed(open_ones or evidence)}
        for device, e in wanted.items():
            member = stored.get(device)
            if member is None:
                member = MemberRow(order_id=order.id, device_id=device, by_hand=False)
                self.session.add(member)
                stored[device] = member
            member.luminaire_id, member.kind = e.luminaire_id, e.kind
            member.start_ms, member.end_ms = e.start_ms, e.end_ms
        ended = {e.device_id: e.end_ms for e in evidence if e.end_ms is not None}
        for device, member in list(stored.items()):
            if device not in wanted and not member.by_hand:
                if evidence and device not in ended:
                    self.session.delete(member)  # taken back, or it turned out to belong elsewhere
                    del stored[device]
                else:
                    member.end_ms = ended.get(device, member.end_ms)
        self._describe(order, incident, [stored[d] for d in sorted(stored)])

    def _describe(
        self, order: WorkOrderRow, incident: IncidentRow, members: Sequence[MemberRow]
    ) -> None:
        """Kind, cause, place and title as they are now."""
        kind, cause_kind = FindingKind(incident.kind), CauseKind(incident.cause_kind)
        order.kind, order.cause_kind, order.cause_id = (
            kind.value,
            cause_kind.value,
            incident.cause_id,
        )
        order.crew = crew_of(kind).value
        order.members = sum(m.end_ms is None for m in members) or len(members)
        order.title = title_of(kind, cause_kind, incident.cause_id, order.members)
        stands = [self.assets[m.device_id] for m in members if m.device_id in self.assets]
        places = [(a.lat, a.lon) for a in stands if a.lat is not None and a.lon is not None]
        if places:
            order.lat = sum(lat for lat, _ in places) / len(places)
            order.lon = sum(lon for _, lon in places) / len(places)
        order.area = most_common(a.area for a in stands) or order.area
        order.site = most_common(a.site for a in stands) or order.site
        known = [self.exposure[m.device_id] for m in members if m.device_id in self.exposure]
        order.exposure = max(known) if known else None

    def _step(
        self, order: WorkOrderRow, step: Step, details: Mapping[str, object] | None = None
    ) -> None:
        steps.apply(
            self.session,
            order,
            step,
            actor=SYSTEM,
            at_ms=self.now_ms,
            details=dict(details or {}),
            policy=self.policy,
        )

    def _reopen(self, order: WorkOrderRow, note: str, **details: object) -> None:
        self._step(order, Step(Action.REOPEN, by_light=True, note=note), details)
        outbox.matter_of_order(self.session, order, what="reopened", at_ms=self.now_ms)
        self.changes.orders_reopened.append(order.id)

    def _withdraw(self, order: WorkOrderRow, state: WorkOrderState) -> None:
        note = "later data showed that the fault was not there"
        if state is WorkOrderState.DONE:
            # No light proved anything: the crew's word is all there is.
            step = Step(Action.VERIFY, by_light=True, verification=Verification.CREW, note=note)
            self.changes.orders_verified.append(order.id)
        else:
            step = Step(Action.REJECT, by_light=True, rejection=Rejection.NOT_A_FAULT, note=note)
            self.changes.orders_closed.append(order.id)
        self._step(order, step, {"withdrawn": True})

    def _close_as_part(self, order: WorkOrderRow, incident: IncidentRow) -> None:
        stays = self.orders.get(incident.merged_into or 0) or self.session.scalar(
            select(WorkOrderRow).where(WorkOrderRow.incident_id == incident.merged_into)
        )
        if stays is None:
            return
        # A report or alert that was first keeps its time: the clock of the order that stays.
        stays.detected_ms = min(stays.detected_ms, order.detected_ms)
        steps.set_clocks(self.session, stays, self.policy)
        self._step(
            order,
            Step(
                Action.DUPLICATE,
                by_light=True,
                duplicate_of=stays.id,
                note=f"part of work order {stays.id}",
            ),
        )
        self.changes.orders_closed.append(order.id)

    def _deny_repairs(
        self,
        findings: Sequence[NamedFinding],
        states: Mapping[str, LuminaireState],
        night: DarkHours,
    ) -> None:
        """Reopen what was marked done and was still seen faulty in the dark hours after."""
        still: dict[str, list[str]] = defaultdict(list)
        for f in findings:
            if f.end_ms is None and states.get(f.device_id) is not LuminaireState.UNKNOWN:
                still[f.incident].append(f.device_id)
        done = self.session.scalars(
            select(WorkOrderRow)
            .where(WorkOrderRow.state == WorkOrderState.DONE.value)
            .with_for_update()
        ).all()
        keys = {row.id: row.key for row in self.rows.values()}
        for order in done:
            devices = still.get(keys.get(order.incident_id or 0, ""), [])
            if (
                devices
                and order.done_ms is not None
                and order.done_ms + DARK_AFTER_DONE_MS <= night.stop_ms
            ):
                self._reopen(
                    order,
                    f"still faulty in the dark hours after: {', '.join(sorted(devices)[:5])}",
                    still_faulty=sorted(devices)[:200],
                    dark_start_ms=night.start_ms,
                    dark_stop_ms=night.stop_ms,
                )

    # -- urgency -----------------------------------------------------------------------------

    def _judge_again(self, touched: Sequence[IncidentRow]) -> None:
        """Urgency of every open order the round may have changed.

        A fifth lamp in a row makes the four orders beside it urgent as well, so all orders on the
        touched segments and places are judged.
        """
        new = set(self.changes.orders_created)
        orders = {o.id: o for o in self.orders.values() if o.is_open}
        segments, sites = self._around([row.id for row in touched])
        orders |= {o.id: o for o in self._orders_around(segments, sites)}
        if not orders:
            return
        surroundings = self._surroundings()
        members = self._members_of(list(orders))
        day = datetime.fromtimestamp(self.now_ms / 1000, UTC)
        today = day.astimezone(ZoneInfo(self.policy.timezone)).date()
        for order in orders.values():
            facts = surroundings.facts(
                members.get(order.id, []),
                kind=FindingKind(order.kind),
                crew=order.crew,
                cause_kind=CauseKind(order.cause_kind),
                prioritised=self.policy.is_prioritised(order.area, today),
                exposure=order.exposure,
            )
            steps.prioritise(
                self.session,
                order,
                judge(self.policy, facts),
                policy=self.policy,
                at_ms=self.now_ms,
                created=order.id in new,
            )
        for number in self.changes.orders_created:
            outbox.matter_of_order(self.session, orders[number], what="opened", at_ms=self.now_ms)

    def _around(self, incident_ids: Sequence[int]) -> tuple[set[str], set[str]]:
        devices = {
            device
            for number in incident_ids
            for device, kind in self.evidence[number]
            if kind in DARK_WORDS
        }
        stands = [self.assets[d] for d in devices if d in self.assets]
        return {a.segment for a in stands} - {""}, {a.site for a in stands} - {""}

    def _orders_around(
        self, segments: Collection[str], sites: Collection[str]
    ) -> Iterable[WorkOrderRow]:
        for column, names in ((AssetRow.segment, sorted(segments)), (AssetRow.site, sorted(sites))):
            for i in range(0, len(names), CHUNK):
                yield from self.session.scalars(
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

    def _surroundings(self) -> Surroundings:
        out = self.session.scalars(
            select(EvidenceRow.device_id)
            .join(IncidentRow, IncidentRow.id == EvidenceRow.incident_id)
            .where(
                EvidenceRow.end_ms.is_(None),
                EvidenceRow.withdrawn.is_(False),
                EvidenceRow.kind.in_(sorted(DARK_WORDS)),
                IncidentRow.state == IncidentState.OPEN.value,
            )
        )
        unknown = self.session.scalars(
            select(StatusRow.device_id).where(
                StatusRow.state.in_([LuminaireState.UNKNOWN.value, LuminaireState.PLANNED.value])
            )
        )
        return Surroundings(self.assets.values(), out=set(out), unknown=set(unknown))

    def _members_of(self, order_ids: Sequence[int]) -> dict[int, list[str]]:
        found: dict[int, list[str]] = defaultdict(list)
        for i in range(0, len(order_ids), CHUNK):
            for order_id, device in self.session.execute(
                select(MemberRow.order_id, MemberRow.device_id).where(
                    MemberRow.order_id.in_(order_ids[i : i + CHUNK]), MemberRow.end_ms.is_(None)
                )
            ):
                found[order_id].append(device)
        return found


DARK_WORDS = frozenset(kind.value for kind in DARK_KINDS)
STAYS_REJECTED = frozenset({Rejection.INTENTIONAL.value, Rejection.NOT_OURS.value})


def states_of(findings: Sequence[NamedFinding]) -> dict[str, LuminaireState]:
    """States as far as findings alone tell them; silence makes a luminaire unknown."""
    states: dict[str, LuminaireState] = {}
    for finding in findings:
        if finding.end_ms is not None:
            states.setdefault(finding.device_id, LuminaireState.OK)
    for finding in findings:
        if finding.end_ms is None and finding.kind not in {
            FindingKind.COMMUNICATION_FAILURE,
            FindingKind.SENSOR_STUCK,
            FindingKind.SENSOR_BLIND,
        }:
            states[finding.device_id] = LuminaireState.FAULTY
    for finding in findings:
        if finding.end_ms is None and finding.kind in {
            FindingKind.COMMUNICATION_FAILURE,
            FindingKind.SENSOR_STUCK,
            FindingKind.SENSOR_BLIND,
        }:
            states[finding.device_id] = LuminaireState.UNKNOWN
    return states


def most_common(words: Iterable[str]) -> str:
    """The commonest word that is not empty; the first by alphabet where several are."""
    counted: dict[str, int] = defaultdict(int)
    for word in words:
        if word:
            counted[word] += 1
    return min(counted, key=lambda word: (-counted[word], word), default="")
