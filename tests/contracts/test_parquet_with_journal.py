import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from contracts.journaled import Journaled
from contracts.series_store import (
    NOON_MS,
    SeriesStoreContract,
    columns_of,
    everything,
    oracle,
    quick,
    several_batches,
)

from ingest.reading import Quantity
from ingest.sealer import Sealer
from ingest.stores.parquet import ParquetStore


def journaled(folder: Path) -> Journaled:
    through = Journaled(folder, lambda: NOON_MS)
    through.store = ParquetStore(folder / "archive", tail=through.reader)
    return through


def sealing(through: Journaled) -> Sealer:
    return Sealer(through.journal, through.reader, through.store, now_ms=lambda: NOON_MS)


class TestJournalTailAlone(SeriesStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Journaled]:
        through = journaled(tmp_path)
        yield through
        through.close()


class TestArchiveWithTailOnTop(SeriesStoreContract):
    """Every second addition is sealed, so that each test meets both."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Journaled]:
        through = journaled(tmp_path)
        sealer = sealing(through)
        turn = iter(range(1000))
        through.settle = lambda: sealer._drain() if next(turn) % 2 == 0 else None
        yield through
        through.close()


@several_batches
@quick
def test_archive_and_tail_agree_with_a_loop_over_single_readings(batches) -> None:
    with tempfile.TemporaryDirectory() as folder:
        through = journaled(Path(folder))
        sealer = sealing(through)
        for number, batch in enumerate(batches):
            through.add(Quantity.ILLUMINANCE, columns_of(batch))
            if number % 2:
                sealer._drain()
        assert everything(through) == oracle(batches)
        sealer._drain()
        assert everything(through) == oracle(batches)
        counters = through.reader.counters()
        assert counters.balanced
        assert counters.in_journal == 0
        assert counters.stored == len(oracle(batches))
        through.close()
