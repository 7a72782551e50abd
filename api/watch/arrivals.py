"""What came since the last light round, from stores that can tell and from stores that cannot."""

from collections.abc import Sequence
from dataclasses import dataclass

from ingest.journal import JournalReader
from ingest.reading import Quantity
from ingest.stores import Columns, SeriesStore, StoredEvent
from ingest.stores.parquet import ParquetStore

__all__ = ["ArchiveArrivals", "OverlapArrivals"]

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
OVERLAP_MS = 2 * HOUR_MS


class Passing:
    """Reads from a store as it is."""

    def __init__(self, store: SeriesStore) -> None:
        self.store = store

    def columns(
        self,
        quantity: Quantity,
        *,
        start_ms: int,
        stop_ms: int,
        devices: Sequence[str] | None = None,
    ) -> Columns:
        """Readings with `start_ms <= time_ms < stop_ms`, of all devices or of those named."""
        return self.store.columns(quantity, start_ms=start_ms, stop_ms=stop_ms, devices=devices)

    def events(self, *, start_ms: int, stop_ms: int) -> list[StoredEvent]:
        """Fault reports with `start_ms <= time_ms < stop_ms`, by time."""
        return self.store.events(start_ms=start_ms, stop_ms=stop_ms)


@dataclass(frozen=True, slots=True)
class ArchiveMark:
    """How far the journal was read, and which files the archive had then."""

    entry: int
    files: tuple[tuple[int, int] | None, ...]


class ArchiveArrivals(Passing):
    """The embedded store: what is new stands in the journal, by the number of its entry.

    When a day was sealed since, its file is new and holds nothing new, unless some of what came
    since is in it already, or somebody brought in other readings: then it cannot be told.

    Parameters
    ----------
    archive : ParquetStore
    reader : JournalReader
    """

    def __init__(self, archive: ParquetStore, reader: JournalReader) -> None:
        super().__init__(archive)
        self.archive, self.reader = archive, reader

    def arrived(
        self,
        quantity: Quantity,
        *,
        start_ms: int,
        stop_ms: int,
        reach_ms: int,
        now_ms: int,
        mark: ArchiveMark | None,
    ) -> tuple[Columns | None, ArchiveMark]:
        """Readings that came since `mark`; see `api.watch.open_window.Arriving`."""
        del now_ms  # the journal holds only what came
        days = range(start_ms // DAY_MS, (stop_ms - 1) // DAY_MS + 1)
        # The files first: an entry that is sealed while we look shows as a new file next time.
        files = tuple(self.archive.fingerprint(quantity, day) for day in days)
        new = ArchiveMark(self.reader.last_id(), files)
        if mark is None:
            return None, new
        if mark.files != files:
            sealed = new.entry - mark.entry - self.reader.count_after(mark.entry)
            brought = {(q, day) for q, day, _ in self.reader.dirty_days()}
            if sealed or brought & {(quantity.value, day) for day in days}:
                return None, new
        return (
            self.reader.tail(
                quantity, start_ms - reach_ms, stop_ms + reach_ms, after_id=mark.entry
            ),
            new,
        )


@dataclass(frozen=True, slots=True)
class OverlapMark:
    """When the last two rounds read: all of the window, and its end."""

    whole_ms: int
    last_ms: int


class OverlapArrivals(Passing):
    """A store that cannot tell: the last two hours again, and once an hour the whole window."""

    def arrived(
        self,
        quantity: Quantity,
        *,
        start_ms: int,
        stop_ms: int,
        reach_ms: int,
        now_ms: int,
        mark: OverlapMark | None,
    ) -> tuple[Columns | None, OverlapMark]:
        """Readings dated two hours before the last round and later; see `Arriving`."""
        del reach_ms  # clocks that are off are looked for when the whole window is read
        if mark is None or now_ms - mark.whole_ms >= HOUR_MS:
            return None, OverlapMark(now_ms, now_ms)
        since_ms = max(start_ms, mark.last_ms - OVERLAP_MS)
        found = self.columns(quantity, start_ms=since_ms, stop_ms=stop_ms)
        return found, OverlapMark(mark.whole_ms, now_ms)
