"""The part of the ledger that keeps citizens' reports, and our orders in the city's case system."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from analytics.findings import FindingKind
from api.assets import Asset
from api.errors import BadInputError, NotFoundError
from api.ledger import conversions as to_view
from api.ledger import outbox, steps
from api.ledger.base import Database, row_of
from api.ledger.models import (
    AssetRow,
    LinkRow,
    MemberRow,
    ServiceRequestRow,
    StatusRow,
    StepRow,
    WorkOrderRow,
)
from api.ledger.new_orders import new_by_hand
from api.ledger.orders import locked
from api.ledger.views import CaseLink, ServiceRequest, WorkOrder
from api.operations.alerts import MINUTE_MS, backoff_ms
from api.operations.reports import (
    DUPLICATE_MS,
    MATCH_WITHIN_M,
    SERVICES,
    Answer,
    PlacedReport,
    Service,
    answer_of,
    duplicate_of,
    nearest,
    needs_order,
    public_status,
    reply,
)
from api.operations.sla import Policy
from api.operations.work_orders import STEPS, Action, Crew, Step, WorkOrderState

__all__ = ["CaseJob", "RequestUpdate", "Requests"]

REPORT_LOCK, CASE_LOCK = 7_203_307, 7_203_308
CLAIM_MS = 5 * MINUTE_MS
KINDS = {
    "lit_by_day": FindingKind.LAMP_UNEXPECTED_ON,
    "flickering": FindingKind.CYCLING_FAILURE,
    "dim": FindingKind.DEPRECIATION,
}


@dataclass(frozen=True, slots=True)
class RequestUpdate:
    """A change citizens are told of; `update_id` is the same for ever."""

    update_id: str
    request_id: int
    status: str
    extended_status: str
    description: str
    updated_ms: int


@dataclass(frozen=True, slots=True)
class CaseJob:
    """An order the city's case system is to be told of."""

    order: WorkOrder
    link: CaseLink
    attempts: int


class Requests:
    """Citizens' reports and case links."""

    _db: Database
    policy: Policy
    allow_simulated: bool

    def report(
        self,
        *,
        service_code: str,
        now_ms: int,
        description: str = "",
        lat: float | None = None,
        lon: float | None = None,
        address: str = "",
        luminaire_id: str | None = None,
        reference: str | None = None,
    ) -> ServiceRequest:
        """Take a citizen's report; one that says what an open one says gives that one back.

        Parameters
        ----------
        service_code : str
            One of `api.operations.reports.SERVICES`.
        luminaire_id : str, optional
            Where the sign on the column was read.
        reference : str, optional
            The case system's own id: the same again is the same report.

        Raises
        ------
        BadInputError
            If the code is unknown, or no place is given.
        """
        service = SERVICES.get(service_code)
        if service is None:
            raise BadInputError(f"no service {service_code!r}.")
        if (lat is None or lon is None) and not address and not luminaire_id:
            raise BadInputError("a report needs lat and lon, an address, or a luminaire.")
        with self._db.write() as session:
            self._db.lock(session, REPORT_LOCK)
            if reference is not None:
                same = session.scalar(
                    select(ServiceRequestRow).where(ServiceRequestRow.reference == reference)
                )
                if same is not None:
                    return request_view(session, primary(session, same))
            row = ServiceRequestRow(
                service_code=service_code,
                status="open",
                status_notes="",
                description=description[:4000],
                lat=lat,
                lon=lon,
                address=address,
                requested_ms=now_ms,
                updated_ms=now_ms,
                reference=reference,
                answer="",
            )
            asset, order = self._match(session, row, luminaire_id)
            session.add(row)
            session.flush()
            earlier = self._duplicate(session, row) if order is None else None
            if earlier is not None:
                row.duplicate_of, row.status = earlier.id, "closed"
                row.order_id = earlier.order_id
                return request_view(session, earlier)
            self._answer(session, row, asset, order, service, now_ms)
            return request_view(session, row)

    def _match(
        self, session: Session, row: ServiceRequestRow, luminaire_id: str | None
    ) -> tuple[Asset | None, WorkOrderRow | None]:
        """The luminaire that is meant, and the open order that has it."""
        asset = None
        if luminaire_id:
            found = session.scalar(
                select(AssetRow)
                .where(
                    or_(AssetRow.luminaire_id == luminaire_id, AssetRow.device_id == luminaire_id)
                )
                .limit(1)
            )
            if found is None and (row.lat is None or row.lon is None):
                raise NotFoundError(f"no luminaire {luminaire_id!r}.")
            asset = to_view.asset(found) if found else None
            row.match_distance_m = 0.0 if found else None
        if asset is None and row.lat is not None and row.lon is not None:
            near = nearest(assets_around(session, row.lat, row.lon), row.lat, row.lon)
            if near is not None:
                asset, row.match_distance_m = near
        if asset is None:
            return None, None
        row.luminaire_id = asset.luminaire_id
        if row.lat is None or row.lon is None:
            row.lat, row.lon = asset.lat, asset.lon
        order = session.scalar(
            select(WorkOrderRow)
            .join(MemberRow, MemberRow.order_id == WorkOrderRow.id)
            .where(
                MemberRow.device_id == asset.device_id,
                MemberRow.end_ms.is_(None),
                WorkOrderRow.is_open.is_(True),
                WorkOrderRow.crew == Crew.LAMP.value,
            )
            .order_by(WorkOrderRow.rank, WorkOrderRow.id)
            .limit(1)
        )
        return asset, order

    def _duplicate(self, session: Session, row: ServiceRequestRow) -> ServiceRequestRow | None:
        open_ones = session.scalars(
            select(ServiceRequestRow)
            .outerjoin(WorkOrderRow, WorkOrderRow.id == ServiceRequestRow.order_id)
            .where(
                ServiceRequestRow.id != row.id,
                ServiceRequestRow.status == "open",
                ServiceRequestRow.duplicate_of.is_(None),
                ServiceRequestRow.requested_ms >= row.requested_ms - DUPLICATE_MS,
                or_(WorkOrderRow.id.is_(None), WorkOrderRow.is_open.is_(True)),
            )
        )
        by_id = {r.id: r for r in open_ones}
        found = duplicate_of(placed(row), [placed(r) for r in by_id.values()])
        return by_id[found.id] if found else None

    def _answer(
        self,
        session: Session,
        row: ServiceRequestRow,
        asset: Asset | None,
        order: WorkOrderRow | None,
        service: Service,
        now_ms: int,
    ) -> None:
        """Join the report to an order, make one, or say what the sensor sees."""
        status = session.get(StatusRow, asset.device_id) if asset else None
        answer = answer_of(
            to_view.status(status) if status else None,
            has_order=order is not None,
            found=asset is not None,
        )
        if order is not None:
            # The clock starts at detection or at a citizen's report, whichever is first.
            order.detected_ms = min(order.detected_ms, row.requested_ms)
        elif needs_order(answer, service):
            order = new_by_hand(
                session,
                [asset.device_id] if asset else [],
                kind=KINDS.get(service.code, FindingKind.LAMP_FAILURE),
                actor="open311",
                now_ms=now_ms,
                note=f"{service.english}: {row.description[:500]}",
                place=("", row.address, row.lat, row.lon),
                simulated=False,
                policy=self.policy,
                hazard=service.hazard,
            )
        row.order_id = order.id if order else None
        row.answer = reply(answer, row.order_id)
        row.status = "closed" if answer is Answer.PLANNED and order is None else "open"
        outbox.stream(
            session,
            at_ms=now_ms,
            kind="service_request",
            subject=str(row.id),
            area=asset.area if asset else "",
            content={"service_code": row.service_code, "order": row.order_id},
        )

    def service_request(self, request_id: int) -> ServiceRequest:
        """One report, with the status its order has now."""
        with self._db.read() as session:
            row = row_of(session, ServiceRequestRow, request_id)
            if row is None:
                raise NotFoundError(f"no service request {request_id}.")
            return request_view(session, row)

    def service_requests(
        self,
        *,
        ids: Sequence[int] = (),
        service_codes: Collection[str] = (),
        start_ms: int | None = None,
        stop_ms: int | None = None,
        status: str | None = None,
        limit: int = 1000,
        after: tuple[int, int] | None = None,
    ) -> list[ServiceRequest]:
        """Reports by time, newest first; `ids` override all else, as GeoReport v2 says."""
        r = ServiceRequestRow
        query = select(r).order_by(r.requested_ms.desc(), r.id.desc()).limit(limit)
        if ids:
            query = query.where(r.id.in_([i for i in ids if abs(i) < 2**62]))
        else:
            if service_codes:
                query = query.where(r.service_code.in_(sorted(service_codes)))
            if start_ms is not None:
                query = query.where(r.requested_ms >= start_ms)
            if stop_ms is not None:
                query = query.where(r.requested_ms < stop_ms)
            if after is not None:
                query = query.where(
                    or_(
                        r.requested_ms < after[0], and_(r.requested_ms == after[0], r.id < after[1])
                    )
                )
            if status is not None:
                is_open = and_(
                    r.status == "open",
                    or_(WorkOrderRow.id.is_(None), WorkOrderRow.is_open.is_(True)),
                )
                query = query.outerjoin(WorkOrderRow, WorkOrderRow.id == r.order_id).where(
                    is_open if status == "open" else ~is_open
                )
        with self._db.read() as session:
            return [request_view(session, row) for row in session.scalars(query)]

    def request_updates(self, *, start_ms: int, stop_ms: int) -> list[RequestUpdate]:
        """What happened to reports in `[start_ms, stop_ms)`, for readers that poll."""
        query = (
            select(StepRow, ServiceRequestRow.id, WorkOrderRow)
            .join(ServiceRequestRow, ServiceRequestRow.order_id == StepRow.order_id)
            .join(WorkOrderRow, WorkOrderRow.id == StepRow.order_id)
            .where(StepRow.at_ms >= start_ms, StepRow.at_ms < stop_ms)
            .order_by(StepRow.at_ms, StepRow.id, ServiceRequestRow.id)
        )
        with self._db.read() as session:
            found: list[RequestUpdate] = []
            for step, request_id, order in session.execute(query):
                status, extended, note = public_status(
                    WorkOrderState(step.state),
                    waiting_for=step.details.get("waiting_for"),
                    rejection=step.details.get("rejection"),
                    owner=step.details.get("owner") or order.owner,
                    duplicate_of=step.details.get("duplicate_of"),
                    verification=step.details.get("verification"),
                )
                found.append(
                    RequestUpdate(
                        f"{request_id}-{order.id}-{step.version}",
                        request_id,
                        status,
                        extended.value,
                        note,
                        step.at_ms,
                    )
                )
            return found

    # -- the city's own case system ----------------------------------------------------------

    def claim_case_jobs(
        self, system: str, claimant: str, *, now_ms: int, limit: int = 50
    ) -> list[CaseJob]:
        """Orders the case system has not heard the latest of; nobody else gets them meanwhile."""
        with self._db.write() as session:
            self._db.lock(session, CASE_LOCK)
            link_new_orders(session, system)
            rows = session.execute(
                select(LinkRow, WorkOrderRow)
                .join(WorkOrderRow, WorkOrderRow.id == LinkRow.order_id)
                .where(
                    LinkRow.system == system,
                    LinkRow.pushed_version < WorkOrderRow.version,
                    LinkRow.not_before_ms <= now_ms,
                    or_(LinkRow.claimed_until_ms.is_(None), LinkRow.claimed_until_ms <= now_ms),
                )
                .order_by(WorkOrderRow.rank, WorkOrderRow.id)
                .limit(limit)
            ).all()
            jobs: list[CaseJob] = []
            for link, order in rows:
                link.claimed_by, link.claimed_until_ms = claimant, now_ms + CLAIM_MS
                jobs.append(CaseJob(to_view.order(order), to_view.link(link), link.attempts))
                # Counted when it begins: after a crash nobody knows whether it arrived.
                link.attempts += 1
            return jobs

    def case_told(self, job: CaseJob, *, remote_id: str, now_ms: int) -> None:
        """The case system knows the order as it was when the job was claimed."""
        with self._db.write() as session:
            row = session.get_one(LinkRow, (job.order.id, job.link.system))
            row.remote_id = remote_id
            row.pushed_version = max(row.pushed_version, job.order.version)
            row.claimed_by, row.claimed_until_ms, row.attempts, row.error = "", None, 0, ""
            row.not_before_ms = now_ms

    def case_failed(self, job: CaseJob, error: str, *, now_ms: int) -> None:
        """Again later; an order is never given up, because nobody else would tell the city."""
        with self._db.write() as session:
            row = session.get_one(LinkRow, (job.order.id, job.link.system))
            row.error = error[:500]
            row.claimed_by, row.claimed_until_ms = "", None
            row.not_before_ms = now_ms + backoff_ms(row.attempts)

    def case_links(self, system: str) -> list[CaseLink]:
        """Orders the case system knows."""
        with self._db.read() as session:
            rows = session.scalars(
                select(LinkRow)
                .where(LinkRow.system == system, LinkRow.remote_id.is_not(None))
                .order_by(LinkRow.order_id)
            )
            return [to_view.link(row) for row in rows]

    def case_status(
        self, system: str, order_id: int, *, status: str, updated_ms: int | None
    ) -> bool:
        """Keep what the case system says of an order; whether that is news."""
        with self._db.write() as session:
            row = session.get(LinkRow, (order_id, system))
            if row is None:
                raise NotFoundError(f"order {order_id} is not in {system!r}.")
            news = row.remote_status != status
            row.remote_status, row.remote_updated_ms = status, updated_ms
            return news

    def done_elsewhere(self, order_id: int, *, system: str, now_ms: int) -> bool:
        """Mark an order done because the other system closed its case; whether that changed it.

        Done, not proved: the light still decides.
        """
        with self._db.write() as session:
            row = locked(session, order_id, None)
            if Action.DONE not in STEPS[WorkOrderState(row.state)]:
                return False
            step = Step(Action.DONE, note=f"closed in {system}")
            steps.apply(session, row, step, actor=system, at_ms=now_ms, policy=self.policy)
            return True


def link_new_orders(session: Session, system: str) -> None:
    """Every real order that is not closed yet belongs into the case system."""
    missing = session.scalars(
        select(WorkOrderRow.id)
        .outerjoin(LinkRow, and_(LinkRow.order_id == WorkOrderRow.id, LinkRow.system == system))
        .where(
            LinkRow.order_id.is_(None),
            WorkOrderRow.simulated.is_(False),
            WorkOrderRow.is_open.is_(True),
        )
    )
    session.add_all(
        LinkRow(
            order_id=number,
            system=system,
            remote_status="",
            pushed_version=0,
            attempts=0,
            not_before_ms=0,
            claimed_by="",
            error="",
        )
        for number in missing.all()
    )
    session.flush()


def assets_around(session: Session, lat: float, lon: float) -> list[Asset]:
    """Assets in a window around a place that holds everything near enough to match."""
    d_lat = MATCH_WITHIN_M / 110_000
    d_lon = d_lat * 6  # enough up to 80 degrees north
    rows = session.scalars(
        select(AssetRow).where(
            AssetRow.lat.between(lat - d_lat, lat + d_lat),
            AssetRow.lon.between(lon - d_lon, lon + d_lon),
        )
    )
    return [to_view.asset(row) for row in rows]


def placed(row: ServiceRequestRow) -> PlacedReport:
    """Where and when."""
    return PlacedReport(row.id, row.lat, row.lon, row.requested_ms, row.luminaire_id)


def primary(session: Session, row: ServiceRequestRow) -> ServiceRequestRow:
    """The report this one is a duplicate of, or itself."""
    while row.duplicate_of is not None:
        row = session.get_one(ServiceRequestRow, row.duplicate_of)
    return row


def request_view(session: Session, row: ServiceRequestRow) -> ServiceRequest:
    """A report with the status its order has now."""
    found = to_view.request(row)
    order = session.get(WorkOrderRow, row.order_id) if row.order_id else None
    if order is None or row.duplicate_of is not None:
        return found
    status, extended, note = public_status(
        WorkOrderState(order.state),
        waiting_for=order.waiting_for,
        rejection=order.rejection,
        owner=order.owner,
        duplicate_of=order.duplicate_of,
        verification=order.verification,
    )
    return replace(
        found,
        status=status,
        extended_status=extended.value,
        status_notes=note or found.answer,
        updated_ms=max(order.updated_ms, found.updated_ms),
        expected_ms=order.repaired_due_ms or order.first_action_due_ms,
    )
