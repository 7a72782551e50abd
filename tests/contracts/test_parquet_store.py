import tempfile
from pathlib import Path

import pytest
from contracts.series_store import (
    SeriesStoreContract,
    columns_of,
    everything,
    oracle,
    quick,
    several_batches,
)

from ingest.reading import Quantity
from ingest.stores.parquet import ParquetStore


class TestParquetArchive(SeriesStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ParquetStore:
        return ParquetStore(tmp_path)


@several_batches
@quick
def test_the_archive_agrees_with_a_loop_over_single_readings(batches) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = ParquetStore(Path(folder))
        for batch in batches:
            store.add(Quantity.ILLUMINANCE, columns_of(batch))
        assert everything(store) == oracle(batches)
