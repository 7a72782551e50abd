from pathlib import Path

import numpy as np
import pytest
from contracts.series_store import columns_of

from ingest.reading import Quantity
from ingest.sealer import thin
from ingest.stores import StoredEvent
from ingest.stores.merging import DAY_MS
from ingest.stores.parquet import ParquetStore, day_number
from ingest.stores.rollups import HourlyRollups

IN = Quantity.PEOPLE_IN
DAY = day_number("2026-03-30")
HOUR_MS = 3_600_000
FOREVER = {"start_ms": 0, "stop_ms": (DAY + 400) * DAY_MS}


@pytest.fixture
def store(tmp_path: Path) -> ParquetStore:
    return ParquetStore(tmp_path)


def count(store: ParquetStore, *rows: tuple[str, int, float]) -> None:
    store.add(IN, columns_of([(name, DAY * DAY_MS + at, value, 0, 0) for name, at, value in rows]))


def hours(rollups: HourlyRollups, **window: int) -> list[tuple]:
    h = rollups.hourly(IN, **(window or FOREVER))
    return list(
        zip(
            h.device,
            ((h.hour_ms - DAY * DAY_MS) // HOUR_MS).tolist(),
            h.sum.tolist(),
            h.count.tolist(),
            h.mean.tolist(),
            h.min.tolist(),
            h.max.tolist(),
            strict=True,
        )
    )


def test_an_hour_has_its_sum_count_mean_least_and_greatest(store: ParquetStore) -> None:
    count(store, ("F-2", 0, 4.0), ("F-1", 0, 1.0), ("F-1", HOUR_MS - 1, 2.0), ("F-1", HOUR_MS, 7.0))
    rollups = HourlyRollups(store)
    assert rollups.refresh(IN) == [DAY]
    assert hours(rollups) == [
        ("F-1", 0, 3.0, 2, 1.5, 1.0, 2.0),
        ("F-1", 1, 7.0, 1, 7.0, 7.0, 7.0),
        ("F-2", 0, 4.0, 1, 4.0, 4.0, 4.0),
    ]


def test_only_what_changed_is_made_again(store: ParquetStore) -> None:
    count(store, ("F-1", 0, 1.0), ("F-1", DAY_MS, 2.0))
    rollups = HourlyRollups(store)
    assert rollups.refresh(IN) == [DAY, DAY + 1]
    assert rollups.refresh(IN) == []
    count(store, ("F-1", DAY_MS + 1, 5.0))
    assert rollups.refresh(IN) == [DAY + 1]
    assert [row[2] for row in hours(rollups)] == [1.0, 7.0]


def test_months_are_files_of_their_own_and_read_together(store: ParquetStore) -> None:
    count(store, *[("F-1", k * DAY_MS, float(k)) for k in range(4)])
    rollups = HourlyRollups(store)
    rollups.refresh(IN)
    assert rollups.part(IN, "2026-03").exists()
    assert rollups.part(IN, "2026-04").exists()
    assert [row[2] for row in hours(rollups)] == [0.0, 1.0, 2.0, 3.0]
    some = hours(rollups, start_ms=(DAY + 1) * DAY_MS, stop_ms=(DAY + 3) * DAY_MS)
    assert [row[2] for row in some] == [1.0, 2.0]


def test_raw_days_go_whole_and_their_hours_stay(store: ParquetStore) -> None:
    count(store, ("F-1", 0, 1.0), ("F-1", DAY_MS, 2.0))
    store.add(Quantity.POWER, columns_of([("L-1", DAY * DAY_MS, 30.0, 0, 0)]))
    store.add_events([StoredEvent("L-1", DAY * DAY_MS, 0, "lamp_failure", True, "")])
    gone = thin(store, before_day=DAY + 1)
    assert gone == {"people_in": [DAY], "power_w": [DAY], "events": [DAY]}
    assert store.days(IN) == [DAY + 1]
    assert store.quantities() == [IN]
    assert store.event_days() == []
    rollups = HourlyRollups(store)
    assert rollups.refresh(IN) == []
    assert [row[2] for row in hours(rollups)] == [1.0, 2.0]


def test_an_empty_archive_has_no_hours(store: ParquetStore) -> None:
    rollups = HourlyRollups(store)
    assert rollups.refresh(IN) == []
    assert hours(rollups) == []
    assert thin(store, before_day=DAY) == {}


def test_hours_agree_with_a_loop_over_readings(store: ParquetStore) -> None:
    rng = np.random.default_rng(11)
    rows = {
        (f"F-{rng.integers(4)}", int(rng.integers(3 * DAY_MS) // 300_000 * 300_000)): float(
            rng.integers(40)
        )
        for _ in range(800)
    }
    count(store, *[(name, at, value) for (name, at), value in rows.items()])
    rollups = HourlyRollups(store)
    rollups.refresh(IN)
    expected: dict[tuple[str, int], list[float]] = {}
    for (name, at), value in rows.items():
        expected.setdefault((name, at // HOUR_MS), []).append(value)
    assert hours(rollups) == [
        (name, hour, sum(v), len(v), sum(v) / len(v), min(v), max(v))
        for (name, hour), v in sorted(expected.items())
    ]
