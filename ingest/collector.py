"""Messages in, readings in the journal, and only then the acknowledgement."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ingest.batch import Batch
from ingest.devices import Registry
from ingest.errors import (
    JournalError,
    JournalFullError,
    SettingsError,
)
from ingest.inbox import Inbox
from ingest.intake import Intake
from ingest.journal import Journal
from ingest.liveness import Liveness
from ingest.log import Log
from ingest.settings import CollectorSettings
from ingest.sources import Message, Source, SourceStatus

__all__ = ["Collector", "Health"]

log = Log("ingest.collector")


@dataclass(frozen=True, slots=True)
class Health:
    """How the collector stands.

    Attributes
    ----------
    waiting : int
        Messages that have come and are not in the journal yet.
    journal_error : str
        Why the journal takes nothing at the moment; empty when it does.
    """

    source: SourceStatus
    waiting: int
    journal_error: str

    @property
    def degraded(self) -> bool:
        """Whether something keeps messages from arriving."""
        return bool(self.journal_error) or not self.source.connected


class Collector:
    """From one source into one journal.

    Messages that have come within `linger_s` are decoded, judged and committed together in the
    journal's thread; then they are acknowledged in the order they came. While a commit runs the
    next batch fills, so a slow disk makes batches larger, not the wait longer. When the journal is
    full or the disk refuses, nothing is acknowledged and the same batch is tried again.

    Parameters
    ----------
    source : Source
    journal : Journal
    registry : callable
        The devices that exist now, e.g. `RegistryFile(...).current`; asked once a batch.
    settings : CollectorSettings
    now_ms : callable
        The clock [ms, UTC].
    """

    def __init__(
        self,
        source: Source,
        journal: Journal,
        *,
        registry: Callable[[], Registry],
        now_ms: Callable[[], int],
        settings: CollectorSettings | None = None,
    ) -> None:
        self.source = source
        self.journal = journal
        self.settings = settings or CollectorSettings()
        self.liveness = Liveness(since_ms=now_ms())
        self._registry = registry
        self._now_ms = now_ms
        self._intake: Intake | None = None
        self._inbox = Inbox(self.settings.batch_messages)
        self._in_work = 0
        self._wake = asyncio.Event()
        self._full = asyncio.Event()
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._paused = False
        self._journal_error = ""
        self._receipts_due_s = 0.0

    # ------------------------------------------------------------------ what others ask

    @property
    def health(self) -> Health:
        """How it stands."""
        return Health(self.source.status, len(self._inbox) + self._in_work, self._journal_error)

    async def run(self) -> None:
        """Collect until `stop`."""
        reading = asyncio.create_task(self.source.run(self._deliver), name="source")
        pumping = asyncio.create_task(self._pump(), name="collector")
        try:
            await asyncio.wait({reading, pumping}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done() and not self._stopping.is_set():
                reading.result()  # a recorded source comes to its end; an error is raised
                self._stopping.set()
                self._wake.set()
            await pumping
            await self.source.stop()
            await reading
        finally:
            for task in (reading, pumping):
                task.cancel()
            await asyncio.gather(reading, pumping, return_exceptions=True)
            self._stopped.set()

    async def stop(self) -> None:
        """Read no more, commit and acknowledge what has come, say goodbye.

        What could not be committed in time is not acknowledged; the broker keeps it.
        """
        self.source.pause()
        self._stopping.set()
        self._wake.set()
        self._full.set()
        await self._stopped.wait()

    # ------------------------------------------------------------------ messages come

    def _deliver(self, messages: Sequence[Message]) -> None:
        self._inbox.add(messages, self._now_ms())
        waiting = len(self._inbox)
        if waiting >= self.settings.batch_messages:
            self._full.set()
            if waiting >= self.settings.inbox_messages and not self._paused:
                self._paused = True
                self.source.pause()
        self._wake.set()

    # ------------------------------------------------------------------ and are kept

    async def _pump(self) -> None:
        intake = self._intake = Intake(
            self.journal, self._current_registry(Registry()), self.settings, self.liveness
        )
        loop = asyncio.get_running_loop()
        give_up_s = None
        while True:
            await self._gather(intake)
            if self._stopping.is_set():
                give_up_s = give_up_s or loop.time() + self.settings.stop_s
                if not self._inbox:
                    break
            messages, received_ms = self._inbox.take()
            self._in_work = len(messages)
            intake.registry = self._current_registry(intake.registry)
            batch, error = await loop.run_in_executor(
                self.journal.executor, self._work, intake, messages, received_ms
            )
            if error is not None and not await self._insist(batch, error, give_up_s):
                return
            self._in_work = 0
            self.source.ack(self._inbox.committed(messages))
            if self._paused and len(self._inbox) < self.settings.inbox_messages // 2:
                self._paused = False
                if not self._stopping.is_set():
                    self.source.resume()
            await self._tell_devices(intake)
        await self._tell_devices(intake, now=True)

    def _current_registry(self, last: Registry) -> Registry:
        try:
            return self._registry()
        except SettingsError as error:
            log.error("the device registry cannot be read", problem=str(error))  # noqa: TRY400 - the text says it all
            return last

    async def _gather(self, intake: Intake) -> None:
        """Wait for a message, then for others to come with it."""
        while not self._inbox and not self._stopping.is_set():
            self._wake.clear()
            timeout_s = None
            if intake.due and self.settings.receipts_s:
                timeout_s = max(0.0, self._receipts_due_s - time.monotonic())
            try:
                await asyncio.wait_for(self._wake.wait(), timeout_s)
            except TimeoutError:
                await self._tell_devices(intake)
        if len(self._inbox) < self.settings.batch_messages and not self._stopping.is_set():
            self._full.clear()
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self.settings.linger_s, self._full.set)
            await self._full.wait()
            timer.cancel()

    def _work(
        self, intake: Intake, messages: Sequence[Message], received_ms: Sequence[int]
    ) -> tuple[Batch, JournalError | None]:
        """Decode, judge and commit, in the journal's thread."""
        batch = intake.read(messages, received_ms)
        try:
            self.journal.commit(batch)
        except JournalError as error:
            return batch, error
        except Exception:
            # A bug again, in what all of them made together: keep the messages themselves.
            log.exception("messages could not be committed", messages=len(messages))
            batch = intake.put_aside(messages, received_ms)
            try:
                self.journal.commit(batch)
            except JournalError as error:
                return batch, error
        return batch, None

    async def _insist(self, batch: Batch, error: JournalError, give_up_s: float | None) -> bool:
        """Try the same batch until the journal takes it; False when we had to stop before."""
        loop = asyncio.get_running_loop()
        while True:
            if str(error) != self._journal_error:
                self._journal_error = str(error)
                full = isinstance(error, JournalFullError)
                log.error("nothing is acknowledged", journal_full=full, problem=str(error))
            if self._stopping.is_set():
                give_up_s = give_up_s or loop.time() + self.settings.stop_s
                if loop.time() > give_up_s:
                    return False
            await asyncio.sleep(self.settings.retry_s)
            try:
                await loop.run_in_executor(self.journal.executor, self.journal.commit, batch)
            except JournalError as again:
                error = again
            else:
                log.info("the journal takes readings again")
                self._journal_error = ""
                return True

    async def _tell_devices(self, intake: Intake, *, now: bool = False) -> None:
        """Publish the receipts that are due, at most every `receipts_s`."""
        every_s = self.settings.receipts_s
        if not every_s or not intake.due or (not now and time.monotonic() < self._receipts_due_s):
            return
        self._receipts_due_s = time.monotonic() + every_s
        loop = asyncio.get_running_loop()
        receipts = await loop.run_in_executor(self.journal.executor, intake.receipts)
        for topic, payload in receipts:
            if not self.source.publish(topic, payload):
                break  # the device sends again and is told then
