"""Messages that come by another way than the broker: history of the demo, reports over HTTP."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from ingest.batch import Batch
from ingest.devices import Registry
from ingest.errors import JournalError
from ingest.intake import Intake
from ingest.journal import Journal
from ingest.liveness import Liveness
from ingest.reading import Decoded
from ingest.settings import CollectorSettings
from ingest.sources import Message

__all__ = ["HandIn", "TakesDecoded"]


class TakesDecoded(Protocol):
    """Takes what was decoded already; `HandIn` is one."""

    @property
    def registry(self) -> Registry:
        """The devices that exist now."""
        ...

    def keep(self, decoded: Sequence[Decoded]) -> None:
        """Return once it is durable."""
        ...


class HandIn:
    """Decodes, judges and commits messages as the collector does, in the journal's thread.

    Parameters
    ----------
    journal : Journal
    registry : callable
        The devices that exist now.
    now_ms : callable
        The clock [ms, UTC].
    insist_s : float
        How long a full or failing journal is tried again before whoever hands in is told [s].
    """

    def __init__(
        self,
        journal: Journal,
        *,
        registry: Callable[[], Registry],
        now_ms: Callable[[], int],
        insist_s: float = 10.0,
    ) -> None:
        self._journal = journal
        self._registry = registry
        self._now_ms = now_ms
        self._insist_s = insist_s
        # Nobody here listens for receipts.
        self._settings = CollectorSettings(receipts_s=0)
        self._intake = Intake(journal, registry(), self._settings, Liveness(since_ms=now_ms()))

    @property
    def registry(self) -> Registry:
        """The devices that exist now."""
        return self._registry()

    def put(self, messages: Sequence[tuple[str, bytes, int]]) -> None:
        """Hand messages in, each with the time it was received [ms, UTC]; blocking.

        Raises
        ------
        JournalError
            The journal took nothing for `insist_s`. Handing in the same again is safe: numbered
            rows are known, and a reading of the same device, quantity and time is the same one.
        """
        arrived: list[Message] = [(topic, payload, 1, False, 0) for topic, payload, _ in messages]
        received_ms = [at_ms for *_, at_ms in messages]
        self._commit(lambda intake: intake.read(arrived, received_ms))

    def keep(self, decoded: Sequence[Decoded]) -> None:
        """Hand in what was decoded already, received now, one device in each; blocking.

        Raises
        ------
        MalformedPayloadError
            A value or time cannot be kept; nothing is.
        JournalError
            As `put`.
        """
        now_ms = self._now_ms()

        def read(intake: Intake) -> Batch:
            batch = Batch()
            batch.counts["messages"] += 1
            for one in decoded:
                intake.admit(batch, one, now_ms)
            return batch

        self._commit(read)

    def _commit(self, read: Callable[[Intake], Batch]) -> None:
        batch, error = self._journal.call(self._read_and_commit, read)
        give_up_s = time.monotonic() + self._insist_s
        while error is not None:
            if time.monotonic() > give_up_s:
                raise error
            time.sleep(min(self._settings.retry_s, self._insist_s / 10))
            # The same batch: read once more, its numbered rows would be repeats of themselves.
            try:
                self._journal.commit(batch)
            except JournalError as again:
                error = again
            else:
                error = None

    def _read_and_commit(
        self, journal: Journal, read: Callable[[Intake], Batch]
    ) -> tuple[Batch, JournalError | None]:
        """In one go, in the journal's thread."""
        self._intake.registry = self._registry()
        batch = read(self._intake)
        try:
            journal.commit(batch)
        except JournalError as error:
            return batch, error
        return batch, None
