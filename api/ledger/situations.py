"""The part of the ledger that keeps situation maps as they were made."""

from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from api.ledger import outbox
from api.ledger.base import Database
from api.ledger.models import SituationRow

__all__ = ["SituationMap", "Situations"]


@dataclass(frozen=True, slots=True)
class SituationMap:
    """One situation map.

    Attributes
    ----------
    slot_ms : int
        The moment it was due for, or was asked for [ms, UTC].
    made_ms : int
        When it was made [ms, UTC]; after the slot where nothing ran then.
    columns : mapping of str to list
        See `csv_export.situation`.
    """

    slot_ms: int
    made_ms: int
    made_by: str
    columns: Mapping[str, list[Any]]

    @property
    def places(self) -> int:
        """How many rows it has."""
        return len(self.columns["site"])


class Situations:
    """Situation maps."""

    _db: Database

    def keep_situation_map(
        self, slot_ms: int, columns: Mapping[str, list[Any]], *, made_by: str, now_ms: int
    ) -> bool:
        """Keep the map of a slot; False where somebody else has made it: the first one stands."""
        with self._db.write() as session:
            row = SituationRow(
                slot_ms=slot_ms, made_ms=now_ms, made_by=made_by, content=dict(columns)
            )
            with suppress(IntegrityError), session.begin_nested():
                session.add(row)
                session.flush()
                outbox.stream(
                    session,
                    at_ms=now_ms,
                    kind="situation_map",
                    subject=str(slot_ms),
                    area="",
                    content={"places": len(columns["site"])},
                )
                return True
            return False

    def situation_map(self, slot_ms: int | None = None) -> SituationMap | None:
        """The map of a slot, or the newest; None where none was made."""
        return next(self._maps(slot_ms, limit=1), None)

    def situation_maps(self, *, limit: int = 100) -> list[SituationMap]:
        """The newest first."""
        return list(self._maps(None, limit=limit))

    def _maps(self, slot_ms: int | None, *, limit: int) -> Generator[SituationMap]:
        query = select(SituationRow).order_by(SituationRow.slot_ms.desc()).limit(limit)
        if slot_ms is not None:
            query = query.where(SituationRow.slot_ms == slot_ms)
        with self._db.read() as session:
            for row in session.scalars(query).all():
                yield SituationMap(row.slot_ms, row.made_ms, row.made_by, dict(row.content))
