import pytest
from contracts.series_store import (
    SeriesStoreContract,
    columns_of,
    everything,
    oracle,
    quick,
    rows_of,
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


def test_times_as_far_apart_as_there_are_keep_their_order() -> None:
    far = [("b", 2**62, 1.0, 5, 0), ("a", -(2**62), 1.0, 5, 0), ("b", -(2**62), 2.0, 5, 0)]
    store = MemoryStore()
    store.add(Quantity.ILLUMINANCE, columns_of([*far, ("b", 2**62, 3.0, 6, 0)]))
    out = store.columns(Quantity.ILLUMINANCE, start_ms=-(2**63), stop_ms=2**63 - 1)
    assert rows_of(out) == [far[1], far[2], ("b", 2**62, 3.0, 6, 0)]
