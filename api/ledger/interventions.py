"""Interventions, what people noted of them, and points of safety walks, in the ledger."""

import json
import zlib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import BigInteger, Date, ForeignKey, LargeBinary, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.errors import ConflictError, NotFoundError, StaleVersionError
from api.interventions import Intervention, InterventionKind, Note, NoteKind, Phase, WalkPoint
from api.ledger.base import Base, BigId, CleanName, CleanText, Database, Document

__all__ = ["Interventions"]

Name = CleanName(200)
Word = CleanName(40)
CHANGEABLE = (
    "title", "kind", "sites", "area", "start", "end", "cancelled", "band", "hypothesis", "factors",
    "budget_sek", "budget_account", "maintenance_plan", "yearly_operating_cost_sek", "labels",
    "exclude", "near",
)  # fmt: skip
# What a result was computed from stays as it was once the result is frozen.
FROZEN = frozenset({"sites", "start", "end", "band", "exclude", "near", "cancelled"})


class InterventionRow(Base):
    """See `api.interventions.Intervention`."""

    __tablename__ = "interventions"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    version: Mapped[int]
    title: Mapped[str] = mapped_column(Name)
    kind: Mapped[str] = mapped_column(Word)
    sites: Mapped[list[str]] = mapped_column(Document)
    area: Mapped[str] = mapped_column(Name)
    start: Mapped[date] = mapped_column(Date, index=True)
    end: Mapped[date | None] = mapped_column(Date)
    cancelled: Mapped[bool]
    band: Mapped[str] = mapped_column(Word)
    hypothesis: Mapped[str] = mapped_column(CleanText)
    factors: Mapped[list[int]] = mapped_column(Document)
    budget_sek: Mapped[float | None]
    budget_account: Mapped[str] = mapped_column(Word)
    maintenance_plan: Mapped[str] = mapped_column(CleanText)
    yearly_operating_cost_sek: Mapped[float | None]
    labels: Mapped[list[str]] = mapped_column(Document)
    exclude: Mapped[list[str]] = mapped_column(Document)
    near: Mapped[list[str]] = mapped_column(Document)
    plan: Mapped[dict[str, Any] | None] = mapped_column(Document)
    plan_ms: Mapped[int | None] = mapped_column(BigInteger)
    result: Mapped[dict[str, Any] | None] = mapped_column(Document)
    result_ms: Mapped[int | None] = mapped_column(BigInteger)
    result_sha256: Mapped[str] = mapped_column(String(64))
    result_data: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    published_ms: Mapped[int | None] = mapped_column(BigInteger)
    created_by: Mapped[str] = mapped_column(Name)
    created_ms: Mapped[int] = mapped_column(BigInteger)


class InterventionNoteRow(Base):
    """See `api.interventions.Note`."""

    __tablename__ = "intervention_notes"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    intervention_id: Mapped[int] = mapped_column(ForeignKey("interventions.id"), index=True)
    phase: Mapped[str] = mapped_column(Word)
    kind: Mapped[str] = mapped_column(Word)
    day: Mapped[date] = mapped_column(Date)
    text: Mapped[str] = mapped_column(CleanText)
    scores: Mapped[dict[str, int]] = mapped_column(Document)
    remarks: Mapped[dict[str, str]] = mapped_column(Document)
    author: Mapped[str] = mapped_column(Name)
    created_ms: Mapped[int] = mapped_column(BigInteger)


class WalkPointRow(Base):
    """See `api.interventions.WalkPoint`."""

    __tablename__ = "safety_walk_points"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    walk: Mapped[str] = mapped_column(Name, index=True)
    day: Mapped[date] = mapped_column(Date)
    lat: Mapped[float | None]
    lon: Mapped[float | None]
    text: Mapped[str] = mapped_column(CleanText)
    device_id: Mapped[str] = mapped_column(Name)
    distance_m: Mapped[float | None]


class Interventions:
    """Interventions kept in one database; rows stay inside, frozen views leave.

    Parameters
    ----------
    database : Database
        With the schema of this version.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def all(self, *, published: bool = False) -> list[Intervention]:
        """Every intervention, newest start first; only the published ones if asked."""
        query = select(InterventionRow).order_by(
            InterventionRow.start.desc(), InterventionRow.id.desc()
        )
        if published:
            query = query.where(InterventionRow.published_ms.is_not(None))
        with self._db.read() as session:
            return [view_of(row) for row in session.scalars(query)]

    def get(self, number: int) -> Intervention:
        """One intervention.

        Raises
        ------
        NotFoundError
        """
        with self._db.read() as session:
            return view_of(row_of(session, number))

    def create(self, values: Mapping[str, Any], *, actor: str, now_ms: int) -> Intervention:
        """Record an intervention; `values` has the attributes that a person may set."""
        with self._db.write() as session:
            row = InterventionRow(
                version=1,
                cancelled=False,
                plan=None,
                plan_ms=None,
                result=None,
                result_ms=None,
                result_sha256="",
                result_data=None,
                published_ms=None,
                created_by=actor[:200],
                created_ms=now_ms,
            )
            put(row, values)
            session.add(row)
            session.flush()
            return view_of(row)

    def change(self, number: int, values: Mapping[str, Any], *, version: int) -> Intervention:
        """Change what a person may change.

        Raises
        ------
        StaleVersionError
            If somebody changed it meanwhile.
        ConflictError
            If the result is frozen and the change is about what it was computed from. A change
            of place, date or hours before that takes the plan back.
        """
        with self._db.write() as session:
            row = row_of(session, number)
            check_version(row, version)
            touched = {n for n in FROZEN & values.keys() if stored(row, n) != values[n]}
            if touched and row.result is not None:
                raise ConflictError(
                    f"the result is frozen, so {', '.join(sorted(touched))} cannot change.",
                    remedy="Record a new intervention.",
                )
            put(row, values)
            if touched:
                row.plan, row.plan_ms = None, None
            row.version += 1
            session.flush()
            return view_of(row)

    def keep_plan(self, number: int, plan: Mapping[str, Any], *, now_ms: int) -> Intervention:
        """Keep the evaluation plan; a later one replaces it until the start."""
        with self._db.write() as session:
            row = row_of(session, number)
            row.plan, row.plan_ms = dict(plan), now_ms
            row.version += 1
            session.flush()
            return view_of(row)

    def freeze(
        self,
        number: int,
        result: Mapping[str, Any],
        data: Mapping[str, Any],
        *,
        sha256: str,
        now_ms: int,
    ) -> Intervention:
        """Keep the result with its data, for good.

        Raises
        ------
        ConflictError
            If there is one already.
        """
        with self._db.write() as session:
            row = row_of(session, number)
            if row.result is not None:
                raise ConflictError("the result is frozen already.")
            row.result, row.result_ms, row.result_sha256 = dict(result), now_ms, sha256
            row.result_data = zlib.compress(json.dumps(data).encode(), 9)
            row.version += 1
            session.flush()
            return view_of(row)

    def frozen_data(self, number: int) -> dict[str, Any]:
        """The daily counts a frozen result was computed from.

        Raises
        ------
        NotFoundError
            If nothing is frozen.
        """
        with self._db.read() as session:
            packed = row_of(session, number).result_data
        if packed is None:
            raise NotFoundError(f"intervention {number} has no frozen result.")
        found: dict[str, Any] = json.loads(zlib.decompress(packed))
        return found

    def publish(self, number: int, *, published: bool, now_ms: int) -> Intervention:
        """Open the result page to all, or close it.

        Raises
        ------
        ConflictError
            If there is no frozen result to publish.
        """
        with self._db.write() as session:
            row = row_of(session, number)
            if published and row.result is None:
                raise ConflictError(
                    "only a frozen result can be published.", remedy="Freeze the result first."
                )
            row.published_ms = (row.published_ms or now_ms) if published else None
            row.version += 1
            session.flush()
            return view_of(row)

    def notes(self, number: int) -> list[Note]:
        """What people noted of one intervention, in order of days."""
        query = (
            select(InterventionNoteRow)
            .where(InterventionNoteRow.intervention_id == number)
            .order_by(InterventionNoteRow.day, InterventionNoteRow.id)
        )
        with self._db.read() as session:
            return [note_of(row) for row in session.scalars(query)]

    def add_note(
        self,
        number: int,
        *,
        phase: Phase,
        kind: NoteKind,
        day: date,
        text: str,
        scores: Mapping[int, int],
        remarks: Mapping[int, str],
        author: str,
        now_ms: int,
    ) -> Note:
        """Add a dialogue, an inspection or another observation."""
        with self._db.write() as session:
            row_of(session, number)
            row = InterventionNoteRow(
                intervention_id=number,
                phase=phase.value,
                kind=kind.value,
                day=day,
                text=text,
                scores={str(k): v for k, v in scores.items()},
                remarks={str(k): v for k, v in remarks.items()},
                author=author[:200],
                created_ms=now_ms,
            )
            session.add(row)
            session.flush()
            return note_of(row)

    def put_walk(self, walk: str, points: Sequence[WalkPoint]) -> int:
        """Keep the points of a safety walk; the same walk again replaces them."""
        with self._db.write() as session:
            for old in session.scalars(select(WalkPointRow).where(WalkPointRow.walk == walk)):
                session.delete(old)
            session.add_all(
                WalkPointRow(
                    walk=walk,
                    day=p.day,
                    lat=p.lat,
                    lon=p.lon,
                    text=p.text,
                    device_id=p.device_id,
                    distance_m=p.distance_m,
                )
                for p in points
            )
        return len(points)

    def walk_points(self, *, walk: str | None = None) -> list[WalkPoint]:
        """Points of one safety walk, or of all, by walk and number."""
        query = select(WalkPointRow).order_by(WalkPointRow.walk, WalkPointRow.id)
        if walk is not None:
            query = query.where(WalkPointRow.walk == walk)
        with self._db.read() as session:
            return [
                WalkPoint(r.id, r.walk, r.day, r.lat, r.lon, r.text, r.device_id, r.distance_m)
                for r in session.scalars(query)
            ]


def row_of(session: Session, number: int) -> InterventionRow:
    """One row, or that there is none."""
    row = session.get(InterventionRow, number)
    if row is None:
        raise NotFoundError(f"no intervention {number}.")
    return row


def check_version(row: InterventionRow, seen: int) -> None:
    """Raise if somebody changed it since."""
    if row.version != seen:
        raise StaleVersionError(f"intervention {row.id}", seen=seen, now=row.version)


def put(row: InterventionRow, values: Mapping[str, Any]) -> None:
    """Set what a person may set."""
    for name in CHANGEABLE:
        if name in values:
            value = values[name]
            setattr(row, name, list(value) if isinstance(value, tuple) else value)


def stored(row: InterventionRow, name: str) -> Any:
    """An attribute as its view has it."""
    value = getattr(row, name)
    return tuple(value) if isinstance(value, list) else value


def view_of(row: InterventionRow) -> Intervention:
    """A row as it leaves."""
    return Intervention(
        id=row.id,
        version=row.version,
        title=row.title,
        kind=InterventionKind(row.kind),
        sites=tuple(row.sites),
        area=row.area,
        start=row.start,
        end=row.end,
        cancelled=row.cancelled,
        band=row.band,
        hypothesis=row.hypothesis,
        factors=tuple(row.factors),
        budget_sek=row.budget_sek,
        budget_account=row.budget_account,
        maintenance_plan=row.maintenance_plan,
        yearly_operating_cost_sek=row.yearly_operating_cost_sek,
        labels=tuple(row.labels),
        exclude=tuple(row.exclude),
        near=tuple(row.near),
        plan=row.plan,
        plan_ms=row.plan_ms,
        result=row.result,
        result_ms=row.result_ms,
        result_sha256=row.result_sha256,
        published_ms=row.published_ms,
        created_by=row.created_by,
        created_ms=row.created_ms,
    )


def note_of(row: InterventionNoteRow) -> Note:
    """A note as it leaves."""
    return Note(
        id=row.id,
        intervention_id=row.intervention_id,
        phase=Phase(row.phase),
        kind=NoteKind(row.kind),
        day=row.day,
        text=row.text,
        scores={int(k): v for k, v in row.scores.items()},
        remarks={int(k): v for k, v in row.remarks.items()},
        author=row.author,
        created_ms=row.created_ms,
    )
