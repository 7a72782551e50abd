"""The journal: what was acknowledged is on this disk before it is acknowledged.

One SQLite file in WAL mode with one read-write connection, owned by one thread. Readings lie in it
as blobs of columns until a store has them; fault reports, quarantined messages, what was seen
already and the counters lie beside them and are committed together.

References
----------
SQLite, "Write-Ahead Logging", https://sqlite.org/wal.html (one writer: the WAL-reset bug before
3.51.3 needs two connections that write or checkpoint).
"""

import contextlib
import os
import shutil
import sqlite3
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from ingest.batch import BadMessage, Batch
from ingest.counters import Counters
from ingest.errors import JournalError, JournalFullError
from ingest.frames import Frames
from ingest.journal import numbering
from ingest.journal.contents import Contents
from ingest.journal.file import (
    PAGE_SIZE,
    SCHEMA,
    SCHEMA_VERSION,
    connect,
    take_writer_lock,
    told,
)
from ingest.journal.neighbours import merge_neighbours

__all__ = ["Journal"]

MERGE_ABOVE = 10_000  # so many entries of one quantity and day make reading slow
VACUUM_PAGES = 512
FOLD_MESSAGES = 200_000  # so many numbered messages are logged before they are folded together

P = ParamSpec("P")
T = TypeVar("T")


class Journal:
    """The one writer of a journal.

    Every method may be called from any thread; the work is done by the journal's own thread, in the
    order of the calls.

    Parameters
    ----------
    path : Path
        Made when it does not exist.
    quota_bytes : int
        How large its content may grow [bytes]; then `JournalFullError`, until a store takes some.
    now_ms : callable
        The clock [ms, UTC].
    min_free_bytes : int
        Free space of the disk below which it is full as well [bytes].
    quarantine_bytes : int
        How much the quarantine may hold [bytes]; the oldest message goes first and is counted.
    frames_kept : int
        How many LoRaWAN frames are remembered; five hours of 33,000 devices at six an hour.
    synchronous : str
        "FULL" keeps acknowledged readings through a power cut; "NORMAL" only through a killed
        process.

    Raises
    ------
    JournalError
        If another process writes it, if it is damaged, or was made by a newer version.
    """

    def __init__(
        self,
        path: Path,
        *,
        quota_bytes: int,
        now_ms: Callable[[], int],
        min_free_bytes: int = 64 * 1024 * 1024,
        quarantine_bytes: int = 64 * 1024 * 1024,
        frames_kept: int = 1_000_000,
        synchronous: str = "FULL",
    ) -> None:
        self.path = path
        self.quota_bytes = quota_bytes
        self.now_ms = now_ms
        self.min_free_bytes = min_free_bytes
        self.quarantine_bytes = quarantine_bytes
        self.frames_kept = frames_kept
        self._synchronous = synchronous
        self._lock_fd = take_writer_lock(path)
        self._waiting: deque[tuple[Callable[[], Counter[str]], Future[None]]] = deque()
        self._owed: list[Batch] = []
        self._paid: list[Batch] = []
        self._thread = threading.local()
        self._closed = False
        self.executor = ThreadPoolExecutor(
            1, thread_name_prefix="journal", initializer=self._mark_thread
        )
        try:
            self.call(Journal._open)
        except BaseException:
            self.call(Journal._close_connection)
            self.executor.shutdown()
            os.close(self._lock_fd)
            raise

    # ------------------------------------------------------------------ the thread

    def _mark_thread(self) -> None:
        self._thread.mine = True

    def call(
        self, work: "Callable[Concatenate[Journal, P], T]", *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work(journal, ...)` in the journal's thread and wait for it."""
        if getattr(self._thread, "mine", False):
            return work(self, *args, **kwargs)
        return self.executor.submit(work, self, *args, **kwargs).result()

    def _open(self) -> None:
        fresh = not self.path.exists() or self.path.stat().st_size == 0
        try:
            self.db = connect(self.path)
            version = int(self.db.execute("PRAGMA user_version").fetchone()[0])
            if version > SCHEMA_VERSION:
                raise JournalError(
                    f"the journal {self.path} was made by a newer Ljusvakt (version {version}): "
                    "update this one, nothing was changed"
                )
            if version == 1:
                # The same tables; rows are written closer since, and both ways are read.
                self.db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            if not fresh and version == 0:
                fresh = not self.db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
                if not fresh:
                    raise JournalError(f"{self.path} is a database, but not a journal")
            if fresh:
                self.db.execute(f"PRAGMA page_size = {PAGE_SIZE}")
                self.db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self.db.execute("PRAGMA journal_mode = WAL")
            self.db.execute(f"PRAGMA synchronous = {self._synchronous}")
            self.db.execute("PRAGMA wal_autocheckpoint = 2000")
            self.db.execute(f"PRAGMA journal_size_limit = {64 * 1024 * 1024}")
            self.db.execute("PRAGMA cache_size = -16384")
            self.db.execute("PRAGMA mmap_size = 0")
            if fresh:
                self._make_schema()
            self._load()
        except sqlite3.Error as error:
            raise JournalError(
                f"the journal {self.path} cannot be opened: {error}; "
                "`ljusvakt doctor` checks it, nothing was changed"
            ) from error

    def _make_schema(self) -> None:
        self.db.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA.split(";"):
            if statement.strip():
                self.db.execute(statement)
        self.db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self.db.execute("COMMIT")

    def _load(self) -> None:
        """What the writer keeps in memory: names, counts, sizes."""
        self._contents = Contents(
            self.db, quarantine_bytes=self.quarantine_bytes, now_ms=self.now_ms
        )
        self._counts: Counter[str] = Counter(
            dict(self.db.execute("SELECT name, n FROM counter").fetchall())
        )
        self.frames = Frames(self.db, self.frames_kept)
        self.receipts, self._logged = numbering.load(self.db, self._contents.device_names())
        self._used_bytes = self._contents.used_bytes()

    # ------------------------------------------------------------------ what may be asked anywhere

    @property
    def used_bytes(self) -> int:
        """Size of its content after the last commit [bytes]."""
        return self._used_bytes

    @property
    def last_id(self) -> int:
        """The id of the newest entry."""
        return self._contents.last_id

    def counters(self) -> Counters:
        """The counts as of the last commit; its `in_journal` is the writer's own running sum."""
        return Counters.of(dict(self._counts), self._contents.in_journal)

    def room(self) -> bool:
        """Whether a commit would be taken now."""
        return not self._why_full(8 * PAGE_SIZE)

    def _why_full(self, more_bytes: int) -> str:
        if self._used_bytes + more_bytes > self.quota_bytes:
            return (
                f"the journal {self.path} holds {self._used_bytes} bytes of its quota of "
                f"{self.quota_bytes}; the broker holds the rest until the store has taken some"
            )
        free = shutil.disk_usage(self.path.parent).free
        if free - more_bytes < self.min_free_bytes:
            return (
                f"the disk of {self.path} has {free} bytes left, below the "
                f"{self.min_free_bytes} kept free; make room, nothing is lost meanwhile"
            )
        return ""

    # ------------------------------------------------------------------ writing

    def commit(self, batch: Batch) -> int:
        """Write a batch; when this returns it is durable.

        Returns
        -------
        int
            Id of its last entry (of the last entry there is, when it holds no readings).

        Raises
        ------
        JournalFullError
            Nothing was written; the same batch may be tried again when there is room.
        JournalError
            The disk refused; nothing was written, the same batch may be tried again.
        """
        return self.call(Journal._commit, batch)

    def _commit(self, batch: Batch) -> int:
        if any(batch is one for one in self._paid):
            self._paid = [one for one in self._paid if one is not batch]
            return self._contents.last_id  # it went with another's commit
        batches = [one for one in self._owed if one is not batch] + [batch]
        logged = self._logged
        try:
            self._must_fit(sum(one.nbytes for one in batches) + 2 * PAGE_SIZE)
            with self._transaction() as counts:
                for one in batches:
                    self._write_batch(one, counts)
                self._carry_waiting(counts)
        except JournalError:
            self._logged = logged
            self._owe(batch)
            raise
        except BaseException:
            self._logged = logged
            raise
        self._paid += batches[:-1]
        self._owed.clear()
        self.frames.written()
        self._tidy()
        return self._contents.last_id

    def _must_fit(self, more_bytes: int) -> None:
        if why := self._why_full(more_bytes):
            raise JournalFullError(why)

    def _owe(self, batch: Batch) -> None:
        """Remember a batch that failed and has said of rows or frames that they are here.

        Its messages are not acknowledged and it will be tried again. Until then, another commit
        must not make durable that they were seen, or count their repeats, without the readings
        themselves: it takes this batch with it.
        """
        if (batch.sequences or self.frames.pending) and all(batch is not o for o in self._owed):
            self._owed.append(batch)

    @contextlib.contextmanager
    def _transaction(self) -> Generator[Counter[str]]:
        """One transaction; what is counted in it is counted when it is durable."""
        counts: Counter[str] = Counter()
        before = self._contents.mark()
        self._carried: list[tuple[Callable[[], Counter[str]], Future[None]]] = []
        try:
            self.db.execute("BEGIN IMMEDIATE")
            yield counts
            self.db.executemany(
                "INSERT INTO counter VALUES (?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
                [(name, n) for name, n in counts.items() if n],
            )
            self.db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
            self._contents.forget(before)
            self._waiting.extendleft(reversed(self._carried))
            if isinstance(error, sqlite3.Error):
                raise told(self.path, error) from error
            raise
        self._counts.update(counts)
        self._used_bytes = self._contents.used_bytes()
        for _, future in self._carried:
            future.set_result(None)

    def _write_batch(self, batch: Batch, counts: Counter[str]) -> None:
        counts.update(batch.counts)
        self._contents.put(batch, counts)
        if batch.sequences:
            numbers = self._contents.numbers_of(batch.sequences.device_id)
            numbering.log(self.db, batch.sequences, numbers)
            self._logged += len(batch.sequences)
        self.frames.write()

    def _fold_sequences(self) -> None:
        """Put what was logged of numbered messages into one row a device and boot."""
        with self._transaction():
            changed = numbering.fold(
                self.db, self.receipts, self._contents.number_of, self.now_ms()
            )
        self._logged = 0
        for delivered in changed:
            delivered.changed = False
        self.receipts.dropped.clear()

    # ------------------------------------------------------------------ what stores have taken

    def drop_shipped(
        self,
        upto_id: int,
        *,
        stored: int,
        duplicate: int,
        quarantined: int = 0,
        bad: Sequence[BadMessage] = (),
        dirty: bool = True,
    ) -> Future[None]:
        """The store has every entry up to and with `upto_id`: they may go.

        Parameters
        ----------
        stored, duplicate, quarantined : int
            What became of their readings; the sum is what the entries held.
        bad : sequence of BadMessage
            What the store refused, for the quarantine in the same commit; `quarantined` counts it.
        dirty : bool
            Whether their days are to be evaluated again.

        Returns
        -------
        Future
            Done when it is durable; nobody needs to wait for it.
        """

        def work() -> Counter[str]:
            days = self._contents.days_upto(upto_id)
            became = self._contents.delete_entries(
                "id <= ?", (upto_id,), stored=stored, duplicate=duplicate, quarantined=quarantined
            )
            if dirty:
                self._contents.mark_dirty(days)
            became.update(self._contents.keep_refused(bad))
            return became

        return self._later(work)

    def drop_sealed(
        self,
        quantity: str,
        day: int,
        upto_id: int,
        *,
        stored: int,
        duplicate: int,
        dirty: bool = True,
    ) -> Future[None]:
        """The archive has the entries of one quantity and day up to `upto_id`: they may go."""

        def work() -> Counter[str]:
            became = self._contents.delete_entries(
                "quantity = ? AND day = ? AND id <= ?",
                (quantity, day, upto_id),
                stored=stored,
                duplicate=duplicate,
            )
            if dirty:
                self._contents.mark_dirty([(quantity, day)])
            return became

        return self._later(work)

    def drop_events(
        self,
        upto_id: int,
        *,
        stored: int,
        duplicate: int,
        quarantined: int = 0,
        bad: Sequence[BadMessage] = (),
        day: int | None = None,
    ) -> Future[None]:
        """The store has the fault reports up to `upto_id` (of one UTC day): they may go."""

        def work() -> Counter[str]:
            became = self._contents.delete_events(
                upto_id, day, stored=stored, duplicate=duplicate, quarantined=quarantined
            )
            became.update(self._contents.keep_refused(bad))
            return became

        return self._later(work)

    def mark_dirty(self, days: Sequence[tuple[str, int]]) -> Future[None]:
        """These (quantity, day) are to be evaluated again."""

        def work() -> Counter[str]:
            self._contents.mark_dirty(days)
            return Counter()

        return self._later(work)

    def clean(self, quantity: str, day: int, *, seen_since: int) -> Future[None]:
        """(quantity, day) has been evaluated; kept dirty if it changed after `seen_since`."""

        def work() -> Counter[str]:
            self._contents.mark_clean(quantity, day, seen_since=seen_since)
            return Counter()

        return self._later(work)

    def _later(self, work: Callable[[], Counter[str]]) -> Future[None]:
        """Do this in the next commit, or in one of its own when none comes."""
        future: Future[None] = Future()
        self._waiting.append((work, future))
        self.executor.submit(self._flush)
        return future

    def _flush(self) -> None:
        if not self._waiting:
            return  # a commit has carried it
        # When the disk refuses, what waits goes on waiting for the next commit.
        with contextlib.suppress(JournalError), self._transaction() as counts:
            self._carry_waiting(counts)
        self._tidy()

    def _carry_waiting(self, counts: Counter[str]) -> None:
        while self._waiting:
            work, future = self._waiting.popleft()
            try:
                counts.update(work())
            except ValueError as error:  # whoever asked accounted wrongly; nothing was changed
                future.set_exception(error)
            except BaseException:
                self._waiting.appendleft((work, future))
                raise
            else:
                self._carried.append((work, future))

    def flush(self) -> None:
        """Return when everything asked for so far is durable."""
        self.call(Journal._flush)

    # ------------------------------------------------------------------ keeping it small

    def _tidy(self) -> None:
        """Merge small neighbours and give pages back; what fails here is done another time."""
        with contextlib.suppress(sqlite3.Error, JournalError):
            for (quantity, day), entries in list(self._contents.entries.items()):
                if entries > MERGE_ABOVE:
                    with self._transaction():
                        gone = merge_neighbours(self.db, quantity, day)
                        self._contents.entries[quantity, day] -= gone
            if self._logged >= FOLD_MESSAGES:
                self._fold_sequences()
            free = int(self.db.execute("PRAGMA freelist_count").fetchone()[0])
            if free > 4 * VACUUM_PAGES:
                self.db.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()

    def close(self) -> None:
        """Do what is waiting, fold the WAL into the file and let go of it."""
        if self._closed:
            return
        self._closed = True
        try:
            self.call(Journal._close)
        finally:
            self.executor.shutdown()
            os.close(self._lock_fd)

    def _close(self) -> None:
        self._flush()
        with contextlib.suppress(sqlite3.Error, JournalError):
            self._fold_sequences()
            self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._close_connection()

    def _close_connection(self) -> None:
        with contextlib.suppress(AttributeError, sqlite3.Error):  # it may never have been opened
            self.db.close()
