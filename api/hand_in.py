"""Messages that come by another way than the broker: history of the demo, reports over HTTP."""

import asyncio
from collections.abc import Callable, Sequence

from ingest.collector import Intake
from ingest.devices import Registry
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
    """

    def __init__(
        self, journal: Journal, *, registry: Callable[[], Registry], now_ms: Callable[[], int]
    ) -> None:
        self._journal = journal
        self._registry = registry
        self._now_ms = now_ms
        self._intake = Intake(journal, registry(), CollectorSettings(), Liveness(since_ms=now_ms()))

    async def __call__(self, topic: str, payload: bytes) -> None:
        """Hand one message in; returns once it is durable."""
        await asyncio.to_thread(self.put, [(topic, payload, self._now_ms())])

    def put(self, messages: Sequence[tuple[str, bytes, int]]) -> None:
        """Hand messages in, each with the time it was received [ms, UTC]; blocking."""
        self._journal.call(self._commit, messages)

    def _commit(self, journal: Journal, messages: Sequence[tuple[str, bytes, int]]) -> None:
        self._intake.registry = self._registry()
        arrived: list[Message] = [(topic, payload, 1, False, 0) for topic, payload, _ in messages]
        journal.commit(self._intake.read(arrived, [received_ms for *_, received_ms in messages]))
