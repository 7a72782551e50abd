from pathlib import Path

from contracts.series_store import columns_of

from ingest.reading import Quantity
from ingest.sealer import KEPT_FOR_EVER, thin
from ingest.stores import StoredEvent
from ingest.stores.merging import DAY_MS
from ingest.stores.parquet import ParquetStore, day_number

DAY = day_number("2026-03-30")


def test_days_go_whole_and_counts_of_people_stay(tmp_path: Path) -> None:
    store = ParquetStore(tmp_path)
    for quantity in (Quantity.PEOPLE_IN, Quantity.PEOPLE_PRESENT, Quantity.POWER):
        rows = [("F-1", (DAY + day) * DAY_MS, 1.0 + day, 0, 0) for day in range(2)]
        store.add(quantity, columns_of(rows))
    store.add_events([StoredEvent("L-1", DAY * DAY_MS, 0, "lamp_failure", True, "")])
    gone = thin(store, before_day=DAY + 1)
    assert gone == {"people_present": [DAY], "power_w": [DAY], "events": [DAY]}
    assert store.days(Quantity.PEOPLE_IN) == [DAY, DAY + 1]
    assert store.days(Quantity.POWER) == store.days(Quantity.PEOPLE_PRESENT) == [DAY + 1]
    assert store.event_days() == []
    assert thin(store, before_day=DAY + 1) == {}


def test_what_counts_people_in_passing_is_kept_and_nothing_else() -> None:
    passing = {q for q in Quantity if q.startswith("people_") and "present" not in q}
    assert passing == KEPT_FOR_EVER
