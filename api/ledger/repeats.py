"""The part of the ledger that knows requests which came before, by their Idempotency-Key."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError

from api.ledger.base import Database
from api.ledger.models import IdempotencyRow

__all__ = ["KEPT_MS", "RememberedAnswer", "Repeats", "Turn"]

KEPT_MS = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class RememberedAnswer:
    """What a request was answered."""

    request_digest: str
    status: int
    body: str


@dataclass(slots=True)
class Turn:
    """The turn of one request under its key.

    Attributes
    ----------
    before : RememberedAnswer or None
        What it was answered when it came before; nothing need be done then.
    answer : RememberedAnswer or None
        Set it, and it is kept with what was done; without it nothing was done.
    """

    before: RememberedAnswer | None
    answer: RememberedAnswer | None = None


class Repeats:
    """Answers to requests that may come again."""

    _db: Database

    @contextmanager
    def once(self, who: str, key: str, *, now_ms: int) -> Generator[Turn]:
        """Everything the ledger is asked inside is one transaction with the answer under the key.

        Either both are kept or neither: no crash leaves an effect without its answer. Another
        request under the same key waits, in whichever replica, until this one has ended. An error,
        or a turn without an answer, takes everything back, so the request may come again. Answers
        are kept for a week.

        Parameters
        ----------
        who, key : str
            Whose key it is, and the key; together they name the request.
        """
        with self._db.write() as session:
            session.execute(delete(IdempotencyRow).where(IdempotencyRow.at_ms < now_ms - KEPT_MS))
            row = IdempotencyRow(
                principal=who, key=key, request_digest="", status=0, body="", at_ms=now_ms
            )
            known = True
            with suppress(IntegrityError), session.begin_nested():
                session.add(row)
                session.flush()
                known = False
            if known:
                found = session.get_one(IdempotencyRow, (who, key))
                yield Turn(RememberedAnswer(found.request_digest, found.status, found.body))
                return
            turn = Turn(None)
            with session.begin_nested() as done:
                with self._db.joined(session):
                    yield turn
                if turn.answer is None:
                    done.rollback()
            kept = session.get_one(IdempotencyRow, (who, key))
            if turn.answer is None:
                session.delete(kept)
                return
            kept.request_digest, kept.status = turn.answer.request_digest, turn.answer.status
            kept.body = turn.answer.body
