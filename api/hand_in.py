"""Messages that come by another way than the broker: history of the demo, reports over HTTP."""

import asyncio
import time
from collections.abc import Callable, Sequence

from ingest.batch import Batch
from ingest.devices import Registry
from ingest.errors import JournalError
from ingest.intake import Intake
from ingest.journal import Journal
from ingest.liveness import Liveness
from ingest.settings import CollectorSettings
from ingest.sources import Message

__all__ = ["HandIn"]


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

    async def __call__(self, topic: str, payload: bytes) -> None:
        """Hand one message in; returns once it is durable."""
        await asyncio.to_thread(self.put, [(topic, payload, self._now_ms())])

    def put(self, messages: Sequence[tuple[str, bytes, int]]) -> None:
        """Hand messages in, each with the time it was received [ms, UTC]; blocking.

        Raises
        ------
        JournalError
            The journal took nothing for `insist_s`. Handing in the same again is safe: numbered
            rows are known, and a reading of the same device, quantity and time is the same one.
        """
        batch, error = self._journal.call(self._commit, messages)
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

    def _commit(
        self, journal: Journal, messages: Sequence[tuple[str, bytes, int]]
    ) -> tuple[Batch, JournalError | None]:
        """Read and commit in one go, in the journal's thread."""
        self._intake.registry = self._registry()
        arrived: list[Message] = [(topic, payload, 1, False, 0) for topic, payload, _ in messages]
        batch = self._intake.read(arrived, [received_ms for *_, received_ms in messages])
        try:
            journal.commit(batch)
        except JournalError as error:
            return batch, error
        return batch, None
