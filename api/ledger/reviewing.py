"""The part of the ledger that looks back: cases for a policy, quality figures, orders as truth."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import heappop, heappush
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from analytics.findings import CauseKind, FindingKind
from api.assets import Asset
from api.ledger import conversions as to_view
from api.ledger.base import Database
from api.ledger.models import AssetRow, MemberRow, PauseRow, StatusRow, WorkOrderRow
from api.ledger.orders import detail
from api.ledger.views import WorkOrder, WorkOrderDetail
from api.operations.extent import DARK_KINDS, Surroundings
from api.operations.sla import Policy
from api.operations.states import LuminaireState
from api.operations.what_if import Case
from api.operations.work_orders import CLOSED, WorkOrderState

__all__ = ["OutAt", "Quality", "Reviewing"]

CHUNK = 200


@dataclass(frozen=True, slots=True)
class Quality:
    """How right the orders were.

    Attributes
    ----------
    by_rejection : mapping of str to int
        Why orders were no work for us.
    wrong_share : float or None
        Rejected as no fault, of all that were judged (verified or rejected as no fault); None where
        none was.
    denied : int
        Times the light denied a repair.
    by_proof : mapping of str to int
        What proved the repairs: light, crew, photo.
    """

    orders: int
    verified: int
    by_rejection: dict[str, int]
    wrong_share: float | None
    denied: int
    by_proof: dict[str, int]


class Around:
    """The assets that decide how far one order reaches, out of a whole city.

    A row ends with its segment and a place with its site; what is lit elsewhere changes nothing.

    Parameters
    ----------
    assets : iterable of Asset
    """

    def __init__(self, assets: Iterable[Asset]) -> None:
        self._assets = {a.device_id: a for a in assets}
        self._by: dict[tuple[str, str], list[str]] = defaultdict(list)
        for a in self._assets.values():
            for name in self._names(a):
                self._by[name].append(a.device_id)

    @staticmethod
    def _names(asset: Asset) -> list[tuple[str, str]]:
        return [
            (what, name)
            for what, name in (("segment", asset.segment), ("site", asset.site))
            if name
        ]

    def of(self, members: Sequence[str], out: Collection[str]) -> list[Asset]:
        """Members, their places, and the segments of everything that is out at that time."""
        names = {n for d in members if d in self._assets for n in self._names(self._assets[d])}
        names |= {
            ("segment", self._assets[d].segment)
            for d in out
            if d in self._assets and self._assets[d].segment
        }
        near = {d for name in names for d in self._by[name]}
        near |= {d for d in (*members, *out) if d in self._assets}
        return [self._assets[d] for d in sorted(near)]


class OutAt:
    """What was out at one moment after another, each change looked at once.

    Parameters
    ----------
    times : iterable of (start_ms, end_ms, device_id)
        `[start_ms, end_ms)`; without an end it is still out.
    """

    def __init__(self, times: Iterable[tuple[int, int | None, str]]) -> None:
        self._coming = sorted(times, key=lambda t: t[0], reverse=True)
        self._going: list[tuple[int, str]] = []
        self._out: Counter[str] = Counter()

    def at(self, at_ms: int) -> set[str]:
        """Devices that are out then; moments must come in order."""
        while self._coming and self._coming[-1][0] <= at_ms:
            _start_ms, end_ms, device_id = self._coming.pop()
            self._out[device_id] += 1
            if end_ms is not None:
                heappush(self._going, (end_ms, device_id))
        while self._going and self._going[0][0] <= at_ms:
            _end_ms, device_id = heappop(self._going)
            self._out[device_id] -= 1
            if not self._out[device_id]:
                del self._out[device_id]
        return set(self._out)


class Reviewing:
    """Looking back."""

    _db: Database
    policy: Policy

    def orders_since(self, since_ms: int = 0, *, until_ms: int | None = None) -> list[WorkOrder]:
        """Orders detected in a time, by number."""
        query = select(WorkOrderRow).where(WorkOrderRow.detected_ms >= since_ms)
        if until_ms is not None:
            query = query.where(WorkOrderRow.detected_ms < until_ms)
        with self._db.read() as session:
            return [to_view.order(row) for row in session.scalars(query.order_by(WorkOrderRow.id))]

    def quality(self, *, since_ms: int = 0) -> Quality:
        """Figures over the orders detected since then."""
        orders = [o for o in self.orders_since(since_ms) if o.state is not WorkOrderState.DUPLICATE]
        verified = sum(o.state is WorkOrderState.VERIFIED for o in orders)
        rejections = Counter(o.rejection for o in orders if o.rejection)
        wrong = rejections["not_a_fault"]
        judged = verified + wrong
        return Quality(
            len(orders),
            verified,
            dict(rejections),
            wrong / judged if judged else None,
            sum(o.times_reopened for o in orders),
            dict(Counter(o.verification for o in orders if o.verification)),
        )

    def closed_details(self, *, since_ms: int = 0) -> Iterator[WorkOrderDetail]:
        """Closed orders with everything about them, by number; duplicates left out."""
        last = 0
        words = [s.value for s in CLOSED if s is not WorkOrderState.DUPLICATE]
        while True:
            with self._db.read() as session:
                rows = session.scalars(
                    select(WorkOrderRow)
                    .where(
                        WorkOrderRow.id > last,
                        WorkOrderRow.state.in_(words),
                        WorkOrderRow.detected_ms >= since_ms,
                    )
                    .order_by(WorkOrderRow.id)
                    .limit(CHUNK)
                ).all()
                found = [detail(session, row) for row in rows]
            if not found:
                return
            yield from found
            last = found[-1].order.id

    def cases(self, *, now_ms: int, since_ms: int = 0) -> list[Case]:
        """Orders as cases for a policy; rows and clusters as they were when each was detected."""
        with self._db.read() as session:
            assets = {r.device_id: to_view.asset(r) for r in session.scalars(select(AssetRow))}
            rows = session.scalars(
                select(WorkOrderRow)
                .where(
                    WorkOrderRow.detected_ms >= since_ms,
                    WorkOrderRow.state != WorkOrderState.DUPLICATE.value,
                )
                .order_by(WorkOrderRow.detected_ms, WorkOrderRow.id)
            ).all()
            members: dict[int, list[MemberRow]] = defaultdict(list)
            for member in session.scalars(select(MemberRow)):
                members[member.order_id].append(member)
            pauses: dict[int, list[tuple[int, int | None]]] = defaultdict(list)
            for p in session.scalars(select(PauseRow).order_by(PauseRow.from_ms)):
                pauses[p.order_id].append((p.from_ms, p.until_ms))
            unknown = set(
                session.scalars(
                    select(StatusRow.device_id).where(
                        StatusRow.state == LuminaireState.UNKNOWN.value
                    )
                )
            )
        dark_words = {kind.value for kind in DARK_KINDS}
        dark = OutAt(
            (m.start_ms, m.end_ms, m.device_id)
            for found in members.values()
            for m in found
            if m.kind in dark_words
        )
        zone = ZoneInfo(self.policy.timezone)
        around = Around(assets.values())
        cases: list[Case] = []
        for row in rows:
            at_ms = row.detected_ms
            out = dark.at(at_ms)
            devices = [m.device_id for m in members[row.id]]
            facts = Surroundings(around.of(devices, out), out=out, unknown=unknown).facts(
                devices,
                kind=FindingKind(row.kind),
                crew=row.crew,
                cause_kind=CauseKind(row.cause_kind),
                prioritised=self.policy.is_prioritised(
                    row.area, datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone).date()
                ),
                exposure=row.exposure,
            )
            cases.append(
                Case(
                    row.id,
                    facts,
                    at_ms,
                    row.first_action_ms,
                    row.done_ms or row.closed_ms,
                    now_ms,
                    tuple(pauses[row.id]),
                )
            )
        return cases

    def equity(self, *, since_ms: int = 0) -> dict[str, tuple[int, float | None]]:
        """Repairs and their median days, in prioritised areas and in the rest."""
        zone = ZoneInfo(self.policy.timezone)
        days: dict[str, list[float]] = {"prioritised": [], "rest": []}
        for order in self.orders_since(since_ms):
            if order.state is not WorkOrderState.VERIFIED or order.closed_ms is None:
                continue
            on = datetime.fromtimestamp(order.detected_ms / 1000, UTC).astimezone(zone).date()
            name = "prioritised" if self.policy.is_prioritised(order.area, on) else "rest"
            days[name].append((order.closed_ms - order.detected_ms) / 86_400_000)
        return {
            name: (len(found), sorted(found)[len(found) // 2] if found else None)
            for name, found in days.items()
        }

    def sizes(self) -> dict[str, Any]:
        """How much the ledger holds, for `doctor`."""
        with self._db.read() as session:
            return {
                "assets": session.scalar(select(func.count()).select_from(AssetRow)),
                "work_orders": session.scalar(select(func.count()).select_from(WorkOrderRow)),
            }
