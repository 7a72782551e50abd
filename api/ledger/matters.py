"""The part of the ledger that knows what is wrong: incidents, findings, and a round's word."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import select

from analytics.findings import FindingKind
from api.assets import Asset
from api.errors import NotFoundError
from api.findings import NamedFinding
from api.ledger import conversions as to_view
from api.ledger.base import Database, row_of
from api.ledger.models import (
    AssetRow,
    EvidenceRow,
    IncidentRow,
    PlannedWorkRow,
    StreamRow,
    TimelineRow,
    WorkOrderRow,
)
from api.ledger.rounds import DarkHours, Work, apply_round
from api.ledger.street import REGISTRY, version_of, windows_of
from api.ledger.views import Evidence, Incident, IncidentDetail, ReconcileResult, StreamEvent
from api.operations.incidents import IncidentState
from api.operations.sla import Policy
from api.operations.states import LuminaireState

__all__ = ["Matters"]

ROUND_LOCK = 7_203_302


class Matters:
    """Incidents and findings."""

    _db: Database
    policy: Policy
    allow_simulated: bool
    _known_assets: tuple[int, dict[str, Asset]] | None

    def reconcile(
        self,
        findings: Sequence[NamedFinding],
        *,
        now_ms: int,
        states: Mapping[str, LuminaireState] | None = None,
        night: DarkHours | None = None,
        settled: bool = False,
        complete_since_ms: int | None = None,
        exposure: Mapping[str, float] | None = None,
    ) -> ReconcileResult:
        """Bring a round's findings into the ledger. The same again changes nothing.

        Findings with the same `incident` are one matter and one work order. An incident is cleared
        when each of its findings has an end; one whose luminaires are all reported under another
        key is merged there. A work order is proved by the light when its incident clears; one that
        was marked done and is still reported faulty in later dark hours is reopened.

        Parameters
        ----------
        findings : sequence of NamedFinding
            As judged now. One that is missing says nothing, unless `complete_since_ms` is given.
        now_ms : int
            The round's own time [ms, UTC].
        states : mapping of device id to LuminaireState, optional
            As judged now. Without it they follow from the findings.
        night : DarkHours, optional
            The dark hours this round has judged to their end: what was marked done before (with an
            hour of dark to spare) and is still reported faulty, is reopened.
        settled : bool
            Whether this is the round that settles the night; it confirms what it repeats.
        complete_since_ms : int, optional
            Everything that began since then is in `findings`: what is not was taken back by later
            data, and is withdrawn.
        exposure : mapping of device id to float, optional
            Passages a night in light below what it should be.

        Notes
        -----
        Findings of simulated devices are left out, and counted as suppressed, unless the ledger was
        opened with `allow_simulated`.
        """
        real = [f for f in findings if self.allow_simulated or not f.simulated]
        with self._db.write() as session:
            self._db.lock(session, ROUND_LOCK)
            version = version_of(session, REGISTRY)
            if self._known_assets is None or self._known_assets[0] != version:
                rows = session.scalars(select(AssetRow))
                self._known_assets = (version, {a.device_id: to_view.asset(a) for a in rows})
            assets = self._known_assets[1]
            first_ms = min((f.start_ms for f in real), default=now_ms)
            planned = session.scalars(
                select(PlannedWorkRow).where(PlannedWorkRow.until_ms > min(first_ms, now_ms))
            ).all()
            work = Work(
                session,
                assets=assets,
                policy=self.policy,
                now_ms=now_ms,
                windows=windows_of(planned, assets) if planned else [],
                exposure=exposure or {},
            )
            result = apply_round(
                work,
                real,
                states=states,
                night=night,
                settled=settled,
                complete_since_ms=complete_since_ms,
                left_out=len(findings) - len(real),
            )
            for row in planned:
                if row.checked_ms is None and row.until_ms <= now_ms:
                    row.checked_ms = now_ms
            return result

    def incidents(
        self,
        *,
        states: Collection[IncidentState] = (),
        areas: Collection[str] | None = None,
        kind: FindingKind | None = None,
        cause_id: str | None = None,
        limit: int = 1000,
        before: int | None = None,
    ) -> list[Incident]:
        """Incidents, the newest first; `before` = id of the last one of the page before."""
        query = select(IncidentRow).order_by(IncidentRow.id.desc()).limit(limit)
        if states:
            query = query.where(IncidentRow.state.in_(sorted(state.value for state in states)))
        if areas is not None:
            query = query.where(IncidentRow.area.in_(sorted(areas)))
        if kind is not None:
            query = query.where(IncidentRow.kind == kind.value)
        if cause_id is not None:
            query = query.where(IncidentRow.cause_id == cause_id)
        if before is not None:
            query = query.where(IncidentRow.id < before)
        with self._db.read() as session:
            return [to_view.incident(row) for row in session.scalars(query)]

    def incident(self, incident_id: int, *, areas: Collection[str] | None = None) -> IncidentDetail:
        """One incident with timeline and evidence.

        Raises
        ------
        NotFoundError
            If there is none, or none in these areas.
        """
        with self._db.read() as session:
            row = row_of(session, IncidentRow, incident_id)
            if row is None or (areas is not None and row.area not in areas):
                raise NotFoundError(f"no incident {incident_id}.")
            timeline = session.scalars(
                select(TimelineRow)
                .where(TimelineRow.incident_id == incident_id)
                .order_by(TimelineRow.id)
            )
            evidence = session.scalars(
                select(EvidenceRow)
                .where(EvidenceRow.incident_id == incident_id)
                .order_by(EvidenceRow.start_ms, EvidenceRow.device_id)
            )
            return IncidentDetail(
                to_view.incident(row),
                tuple(to_view.timeline(entry) for entry in timeline),
                tuple(to_view.evidence(e) for e in evidence),
                session.scalar(
                    select(WorkOrderRow.id).where(WorkOrderRow.incident_id == incident_id)
                ),
            )

    def findings(
        self,
        *,
        open: bool | None = None,  # noqa: A002 - the word the filter bears everywhere
        device_id: str | None = None,
        kind: FindingKind | None = None,
        areas: Collection[str] | None = None,
        since_ms: int | None = None,
        withdrawn: bool = False,
        limit: int = 1000,
        after: int = 0,
    ) -> list[Evidence]:
        """Findings as last judged, in the order they came; `after` = id of the last one seen."""
        query = select(EvidenceRow).where(EvidenceRow.id > after).order_by(EvidenceRow.id)
        if not withdrawn:
            query = query.where(EvidenceRow.withdrawn.is_(False))
        if open is not None:
            ends = EvidenceRow.end_ms
            query = query.where(ends.is_(None) if open else ends.is_not(None))
        if device_id is not None:
            query = query.where(EvidenceRow.device_id == device_id)
        if kind is not None:
            query = query.where(EvidenceRow.kind == kind.value)
        if since_ms is not None:
            query = query.where(EvidenceRow.start_ms >= since_ms)
        if areas is not None:
            query = query.join(IncidentRow, IncidentRow.id == EvidenceRow.incident_id).where(
                IncidentRow.area.in_(sorted(areas))
            )
        with self._db.read() as session:
            return [to_view.evidence(row) for row in session.scalars(query.limit(limit))]

    def stream(
        self, *, after: int = 0, limit: int = 500, areas: Collection[str] | None = None
    ) -> list[StreamEvent]:
        """What live pages are told, behind an id; ids rise in commit order."""
        query = select(StreamRow).where(StreamRow.id > after).order_by(StreamRow.id).limit(limit)
        if areas is not None:
            query = query.where(StreamRow.area.in_(sorted(areas)))
        with self._db.read() as session:
            return [to_view.stream_event(row) for row in session.scalars(query)]

    def stream_position(self) -> int:
        """The id of the newest event; 0 where there is none."""
        with self._db.read() as session:
            newest = select(StreamRow.id).order_by(StreamRow.id.desc()).limit(1)
            return session.scalar(newest) or 0
