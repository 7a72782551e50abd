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
from ingest.stores.memory import MemoryStore


class TestMemoryStore(SeriesStoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


@several_batches
@quick
def test_memory_agrees_with_a_loop_over_single_readings(batches) -> None:
    store = MemoryStore()
    for batch in batches:
        store.add(Quantity.ILLUMINANCE, columns_of(batch))
    assert everything(store) == oracle(batches)
