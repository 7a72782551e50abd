"""From the journal into the store, in order, for as long as it takes.

Two ways to empty the journal stand behind one small interface: `StoreShipper` writes to a database
as readings come; `ingest.sealer.Sealer` turns whole days into files.
"""

import asyncio
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from ingest.batch import BadMessage
from ingest.errors import IngestError, Reason, StoreAwayError, StoreDeniedError, StoreError
from ingest.journal import Journal, JournalEntry, JournalReader
from ingest.log import Log
from ingest.reading import Quantity
from ingest.stores import Added, Columns, CountingStore
from ingest.stores.merging import DAY_MS, concatenate

__all__ = ["Shipper", "ShipperStatus", "StoreShipper", "is_late"]

T = TypeVar("T")

MOST_READINGS = 10_000
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
LOOK_AGAIN_S = 1.0
STOP_WITHIN_S = 2.0
NIGHT_STARTS_MS = DAY_MS // 2  # a night runs from noon to noon UTC and is settled at its end
QUARANTINE_TOPIC = "store-refused"

_log = Log(__name__)


@dataclass(slots=True)
class ShipperStatus:
    """How the emptying of the journal goes.

    Attributes
    ----------
    waiting : int
        Readings and fault reports in the journal when it was last looked at.
    stored, duplicate, quarantined : int
        What became of readings since this process started.
    error : str
        What went wrong last; empty while all is well.
    failing_since_ms : int or None
        Since when nothing could be handed over [ms, UTC, the injected clock].
    moved_ms : int or None
        When something was last handed over.
    """

    waiting: int = 0
    stored: int = 0
    duplicate: int = 0
    quarantined: int = 0
    error: str = ""
    failing_since_ms: int | None = None
    moved_ms: int | None = None


class Shipper(Protocol):
    """What empties the journal."""

    status: ShipperStatus

    async def run(self) -> None:
        """Empty the journal until cancelled; an error of the store is waited out."""
        ...

    async def drain(self) -> None:
        """Return when everything acknowledged before the call rests in the store.

        Raises
        ------
        StoreError
            If the store does not take it.
        """
        ...

    def wake(self) -> None:
        """Look at the journal soon; may be called from any thread."""
        ...


def is_late(columns: Columns) -> bool:
    """Whether a reading came after its night was settled, so that the night must be judged again.

    A night runs from noon to noon UTC.
    """
    if not len(columns):
        return False
    settled_ms = ((columns.time_ms - NIGHT_STARTS_MS) // DAY_MS + 1) * DAY_MS + NIGHT_STARTS_MS
    return bool(np.any(columns.received_ms >= settled_ms))


class EmptyingLoop:
    """What both ways of emptying the journal share: the loop, the patience, the status.

    Parameters
    ----------
    step : callable
        Moves a part of what waits and returns whether there was something; blocking.
    waiting : callable
        How much is in the journal.
    now_ms : callable
        The clock [ms, UTC].
    draw : callable, optional
        A random number in 0..1, for the length of pauses.
    """

    def __init__(
        self,
        step: Callable[[], bool],
        waiting: Callable[[], int],
        now_ms: Callable[[], int],
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.status = ShipperStatus()
        self._step = step
        self._waiting = waiting
        self._now_ms = now_ms
        self._draw = draw
        self._one_at_a_time = threading.Lock()
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failures = 0

    def wake(self) -> None:
        """Look at the journal soon; may be called from any thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Step until cancelled."""
        self._loop = asyncio.get_running_loop()
        while True:
            self._woken.clear()
            try:
                moved = await in_thread(self.step)
            except IngestError as error:
                await asyncio.sleep(self._failed(error))
                continue
            except Exception as error:
                # A bug must not end the program while devices talk: what waits is safe meanwhile.
                _log.exception("the journal could not be emptied")
                wrapped = StoreError(f"{type(error).__name__}: {error}")
                await asyncio.sleep(self._failed(wrapped))
                continue
            if not moved:
                await self._rest(LOOK_AGAIN_S)

    async def _rest(self, longest_s: float) -> None:
        """Until woken, and not longer than this."""
        try:
            async with asyncio.timeout(longest_s):
                await self._woken.wait()
        except TimeoutError:
            return

    def step(self) -> bool:
        """One step with its status."""
        with self._one_at_a_time:
            moved = self._step()
            self.status.waiting = self._waiting()
        if moved:
            self.status.moved_ms = self._now_ms()
        if self.status.error:
            _log.info("the store takes readings again", failures=self._failures)
        self.status.error = ""
        self.status.failing_since_ms = None
        self._failures = 0
        return moved

    def _failed(self, error: IngestError) -> float:
        """Note a failure; how long to wait before the next try [s]."""
        pause_s = pause_after(error, self._failures, self._draw)
        self._failures += 1
        self.status.error = str(error)
        if self.status.failing_since_ms is None:
            self.status.failing_since_ms = self._now_ms()
        try:
            self.status.waiting = self._waiting()
        except IngestError:
            _log.warning("the journal cannot be counted")
        _log.warning(
            "readings wait in the journal",
            error=str(error),
            waiting=self.status.waiting,
            failures=self._failures,
            retry_in_s=round(pause_s, 1),
        )
        return pause_s


def pause_after(error: IngestError, failures: int, draw: Callable[[], float]) -> float:
    """How long to leave a store alone after its (failures + 1)th failure in a row [s].

    Full jitter: anything up to a bound that doubles, so that many collectors do not come back at
    once. What the store asks for (`Retry-After`) is obeyed; wrong settings are tried once a minute.
    """
    if isinstance(error, StoreDeniedError):
        return LONGEST_PAUSE_S
    if isinstance(error, StoreAwayError) and error.retry_after_s is not None:
        return min(max(error.retry_after_s, 0.0), 10 * LONGEST_PAUSE_S)
    bound = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures, 10))
    return max(0.05, bound * draw())


async def in_thread(work: Callable[[], T]) -> T:
    """The result of blocking work in a thread of its own.

    When cancelled it waits a moment for the work, then leaves it behind: a store that hangs must
    not keep the program from stopping, and what was not confirmed stays in the journal.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # T is None where work returns None

    def body() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = work()
        except BaseException as error:
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=body, name="shipper", daemon=True).start()
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait([done], timeout=STOP_WITHIN_S)
        if done.done() and not done.cancelled():
            done.exception()
        raise


class StoreShipper(EmptyingLoop):
    """Journal to database: read in order, write, and only then let the journal forget.

    Parameters
    ----------
    journal : Journal
    reader : JournalReader
    store : CountingStore
    now_ms : callable
        The clock [ms, UTC].
    most_readings : int
        How many readings one write carries.
    draw : callable, optional
        A random number in 0..1, for the length of pauses.
    """

    def __init__(
        self,
        journal: Journal,
        reader: JournalReader,
        store: CountingStore,
        *,
        now_ms: Callable[[], int],
        most_readings: int = MOST_READINGS,
        draw: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(self._ship, reader.in_journal, now_ms, draw)
        self._journal = journal
        self._reader = reader
        self._store = store
        self._most = most_readings

    async def drain(self) -> None:
        """Return when everything acknowledged before the call rests in the store."""
        upto, events_upto = self._reader.last_id(), self._reader.last_event_id()
        while self._left(upto, events_upto):
            await in_thread(self.step)

    def _left(self, upto: int, events_upto: int) -> bool:
        first = self._reader.entries(0, 1)
        if first and first[0].id <= upto:
            return True
        return bool(self._reader.events(upto_id=events_upto, most=1))

    def _ship(self) -> bool:
        """Hand over one batch of readings and one of fault reports."""
        entries = self._reader.entries(0, self._most)
        if entries:
            self._ship_entries(entries)
        events = self._reader.events(most=self._most)
        if events:
            added = self._store.put_events([event for _, event in events])
            self._journal.drop_events(
                events[-1][0],
                stored=added.stored,
                duplicate=added.duplicate,
                quarantined=added.quarantined,
                bad=self._bad("events", added),
            ).result()
            self._count(added.stored, added.duplicate, added.quarantined)
        return bool(entries or events)

    def _ship_entries(self, entries: Sequence[JournalEntry]) -> None:
        stored = duplicate = quarantined = 0
        bad: list[BadMessage] = []
        for name in dict.fromkeys(entry.quantity for entry in entries):
            columns = concatenate([e.columns for e in entries if e.quantity == name])
            added = self._store.put(Quantity(name), columns)
            stored += added.stored
            duplicate += added.duplicate
            quarantined += added.quarantined
            bad += self._bad(name, added)
        late = {(entry.quantity, entry.day) for entry in entries if is_late(entry.columns)}
        if late:
            # Before the entries go: a crash between the two marks twice, never not at all.
            self._journal.mark_dirty(sorted(late)).result()
        self._journal.drop_shipped(
            entries[-1].id,
            stored=stored,
            duplicate=duplicate,
            quarantined=quarantined,
            bad=bad,
            dirty=False,
        ).result()
        self._count(stored, duplicate, quarantined)

    def _bad(self, name: str, added: Added) -> list[BadMessage]:
        """What the store refused, for the quarantine, as lines of line protocol."""
        now = self._now_ms()
        return [
            BadMessage(
                now,
                f"{QUARANTINE_TOPIC}/{name}",
                text.encode(),
                Reason.STORE_REFUSED,
                said[:500],
                text.count("\n") + 1,
            )
            for text, said in added.refused
        ]

    def _count(self, stored: int, duplicate: int, quarantined: int) -> None:
        self.status.stored += stored
        self.status.duplicate += duplicate
        self.status.quarantined += quarantined
