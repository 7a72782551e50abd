"""What every place where readings rest promises; run over each of them by `test_*_store.py`."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.reading import Flag, Quantity
from ingest.stores import Columns, SeriesStore, StoredEvent

DAY_MS = 86_400_000
NOON_MS = 1_763_812_800_000 - 1_763_812_800_000 % DAY_MS + DAY_MS // 2  # 2025-11-22T12:00Z

Row = tuple[str, int, float, int, int]


def columns_of(rows: Sequence[Row]) -> Columns:
    """Columns from rows of (device id, time_ms, value, received_ms, flags), kept in order."""
    ids = list(dict.fromkeys(row[0] for row in rows))
    return Columns(
        np.array([ids.index(row[0]) for row in rows], np.int32),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64),
        np.array([row[3] for row in rows], np.int64),
        np.array([row[4] for row in rows], np.uint8),
        ids,
    )


def rows_of(columns: Columns) -> list[Row]:
    """Rows as they come out."""
    return [
        (columns.device_ids[d], int(t), float(v), int(r), int(f))
        for d, t, v, r, f in zip(
            columns.device,
            columns.time_ms,
            columns.value,
            columns.received_ms,
            columns.flags,
            strict=True,
        )
    ]


def everything(store: SeriesStore, quantity: Quantity = Quantity.ILLUMINANCE) -> list[Row]:
    return rows_of(store.columns(quantity, start_ms=NOON_MS - DAY_MS, stop_ms=NOON_MS + 3 * DAY_MS))


class SeriesStoreContract:
    """Inherit this beside a `store` fixture that gives an empty store."""

    def test_readings_are_kept_as_given(self, store: SeriesStore) -> None:
        rows = [("L-1", NOON_MS, 21.5, NOON_MS + 700, 0), ("L-1", NOON_MS + 1, 0.0, NOON_MS + 9, 3)]
        store.add(Quantity.ILLUMINANCE, columns_of(rows))
        assert everything(store) == rows

    def test_columns_have_their_types(self, store: SeriesStore) -> None:
        store.add(Quantity.POWER, columns_of([("L-1", NOON_MS, 31.0, NOON_MS, 0)]))
        out = store.columns(Quantity.POWER, start_ms=NOON_MS, stop_ms=NOON_MS + 1)
        kinds = [out.device, out.time_ms, out.value, out.received_ms, out.flags]
        assert [str(k.dtype) for k in kinds] == ["int32", "int64", "float64", "int64", "uint8"]

    def test_values_come_back_in_the_precision_their_quantity_is_kept_in(
        self, store: SeriesStore
    ) -> None:
        store.add(Quantity.ILLUMINANCE, columns_of([("L-1", NOON_MS, 23.4, NOON_MS, 0)]))
        store.add(Quantity.ENERGY, columns_of([("L-1", NOON_MS, 123456789.123, NOON_MS, 0)]))
        assert everything(store)[0][2] == float(np.float32(23.4))
        assert everything(store, Quantity.ENERGY)[0][2] == 123456789.123

    def test_counts_come_back_whole(self, store: SeriesStore) -> None:
        rows = [("F-1", NOON_MS, 17.0, NOON_MS, 0), ("F-1", NOON_MS + 300_000, 0.0, NOON_MS, 0)]
        store.add(Quantity.PEOPLE_IN, columns_of(rows))
        assert everything(store, Quantity.PEOPLE_IN) == rows

    def test_the_same_reading_twice_is_one_and_keeps_when_it_first_came(
        self, store: SeriesStore
    ) -> None:
        store.add(Quantity.ILLUMINANCE, columns_of([("L-1", NOON_MS, 23.4, NOON_MS + 5, 0)]))
        store.add(
            Quantity.ILLUMINANCE,
            columns_of([("L-1", NOON_MS, 23.4, NOON_MS + k, int(Flag.LATE)) for k in (60, 90)]),
        )
        assert everything(store) == [("L-1", NOON_MS, float(np.float32(23.4)), NOON_MS + 5, 0)]

    def test_the_last_write_wins(self, store: SeriesStore) -> None:
        store.add(
            Quantity.ILLUMINANCE,
            columns_of([("L-1", NOON_MS, v, NOON_MS + k, 0) for k, v in enumerate((1.0, 5.0))]),
        )
        store.add(Quantity.ILLUMINANCE, columns_of([("L-1", NOON_MS, 3.0, NOON_MS + 7, 4)]))
        assert everything(store) == [("L-1", NOON_MS, 3.0, NOON_MS + 7, 4)]

    def test_a_value_that_returns_counts_from_its_return(self, store: SeriesStore) -> None:
        for k, value in enumerate((1.0, 2.0, 1.0, 1.0)):
            store.add(Quantity.ILLUMINANCE, columns_of([("L-1", NOON_MS, value, NOON_MS + k, 0)]))
        assert everything(store) == [("L-1", NOON_MS, 1.0, NOON_MS + 2, 0)]

    def test_a_reading_that_is_taken_back_is_gone_and_may_come_again(
        self, store: SeriesStore
    ) -> None:
        reading = ("L-1", NOON_MS, 1.5, NOON_MS, 0)
        taken_back = ("L-1", NOON_MS, 1.5, NOON_MS + 5, int(Flag.WITHDRAWN))
        moved = ("L-1", NOON_MS + 1, 1.5, NOON_MS + 5, 0)
        store.add(Quantity.ILLUMINANCE, columns_of([reading]))
        store.add(Quantity.ILLUMINANCE, columns_of([taken_back, moved]))
        assert everything(store) == [moved]
        again = ("L-1", NOON_MS, 1.5, NOON_MS + 9, 0)
        store.add(Quantity.ILLUMINANCE, columns_of([again]))
        assert everything(store) == [again, moved]

    def test_start_is_inside_and_stop_is_outside(self, store: SeriesStore) -> None:
        rows = [("L-1", NOON_MS + k, float(k), NOON_MS, 0) for k in range(4)]
        store.add(Quantity.ILLUMINANCE, columns_of(rows))
        out = store.columns(Quantity.ILLUMINANCE, start_ms=NOON_MS + 1, stop_ms=NOON_MS + 3)
        assert rows_of(out) == rows[1:3]

    def test_out_comes_by_device_and_then_by_time_whatever_the_order_in(
        self, store: SeriesStore
    ) -> None:
        rows = [
            (device, NOON_MS + day * DAY_MS + k * 600_000, float(k), NOON_MS, 0)
            for device in ("L-1", "L-10", "L-2", "l-1")
            for day in (0, 1, 2)
            for k in (0, 3)
        ]
        shuffled = [rows[k] for k in np.random.default_rng(7).permutation(len(rows))]
        store.add(Quantity.ILLUMINANCE, columns_of(shuffled[:11]))
        store.add(Quantity.ILLUMINANCE, columns_of(shuffled[11:]))
        assert everything(store) == rows

    def test_days_and_midnight_do_not_lose_a_reading(self, store: SeriesStore) -> None:
        midnight = NOON_MS + DAY_MS // 2
        rows = [("L-1", midnight + k, float(k + 2), midnight, 0) for k in (-1, 0, 1)]
        store.add(Quantity.ILLUMINANCE, columns_of(rows))
        out = store.columns(Quantity.ILLUMINANCE, start_ms=midnight, stop_ms=midnight + DAY_MS)
        assert everything(store) == rows
        assert rows_of(out) == rows[1:]

    def test_the_latest_reading_of_each_device_is_its_newest_that_stands(
        self, store: SeriesStore
    ) -> None:
        """Not in the protocol, but all of ours have it."""
        rows = [
            ("L-1", NOON_MS, 1.0, NOON_MS, 0),
            ("L-2", NOON_MS + 5, 2.0, NOON_MS, 0),
            ("L-1", NOON_MS + DAY_MS, 3.0, NOON_MS, 0),
            ("L-3", NOON_MS + 2 * DAY_MS, 4.0, NOON_MS, 0),
        ]
        taken_back = ("L-1", NOON_MS + DAY_MS, 3.0, NOON_MS, int(Flag.WITHDRAWN))
        window = {"start_ms": NOON_MS, "stop_ms": NOON_MS + 2 * DAY_MS}
        store.add(Quantity.ILLUMINANCE, columns_of(rows))
        assert rows_of(store.latest(Quantity.ILLUMINANCE, **window)) == [rows[2], rows[1]]
        store.add(Quantity.ILLUMINANCE, columns_of([taken_back]))
        assert rows_of(store.latest(Quantity.ILLUMINANCE, **window)) == [rows[0], rows[1]]

    def test_only_the_devices_asked_for_come(self, store: SeriesStore) -> None:
        rows = [(f"L-{k}", NOON_MS, float(k), NOON_MS, 0) for k in range(5)]
        store.add(Quantity.ILLUMINANCE, columns_of(rows))
        window = {"start_ms": NOON_MS, "stop_ms": NOON_MS + 1}
        some = store.columns(Quantity.ILLUMINANCE, devices=["L-3", "L-1", "L-9"], **window)
        none = store.columns(Quantity.ILLUMINANCE, devices=[], **window)
        assert rows_of(some) == [rows[1], rows[3]]
        assert rows_of(none) == []

    def test_every_device_id_that_comes_has_a_reading(self, store: SeriesStore) -> None:
        rows = [(f"L-{k}", NOON_MS + k * DAY_MS, 1.0, NOON_MS, 0) for k in range(3)]
        store.add(Quantity.ILLUMINANCE, columns_of(rows))
        out = store.columns(Quantity.ILLUMINANCE, start_ms=NOON_MS, stop_ms=NOON_MS + DAY_MS + 1)
        assert out.device_ids == ["L-0", "L-1"]

    def test_an_empty_store_gives_nothing(self, store: SeriesStore) -> None:
        assert everything(store) == []
        assert store.events(start_ms=0, stop_ms=2 * NOON_MS) == []

    def test_adding_nothing_changes_nothing(self, store: SeriesStore) -> None:
        store.add(Quantity.ILLUMINANCE, columns_of([]))
        store.add_events([])
        assert everything(store) == []

    def test_quantities_do_not_mix(self, store: SeriesStore) -> None:
        store.add(Quantity.ILLUMINANCE, columns_of([("L-1", NOON_MS, 1.0, NOON_MS, 0)]))
        store.add(Quantity.POWER, columns_of([("L-1", NOON_MS, 2.0, NOON_MS, 0)]))
        assert [row[2] for row in everything(store)] == [1.0]
        assert [row[2] for row in everything(store, Quantity.POWER)] == [2.0]

    def test_fault_reports_are_kept_as_given_and_come_by_time(self, store: SeriesStore) -> None:
        reports = [
            StoredEvent(
                "L-2", NOON_MS, NOON_MS + 9, "lamp_failure", True, 'DALI "0x12"\\ åäö, a=b'
            ),
            StoredEvent("L-1", NOON_MS + 1, NOON_MS + 2, "driver_restart", None, ""),
            StoredEvent("L-2", NOON_MS + DAY_MS, NOON_MS + DAY_MS, "lamp_failure", False, ""),
        ]
        store.add_events([reports[2], reports[0], reports[1]])
        assert store.events(start_ms=NOON_MS, stop_ms=NOON_MS + DAY_MS + 1) == reports
        assert store.events(start_ms=NOON_MS, stop_ms=NOON_MS + DAY_MS) == reports[:2]

    @pytest.mark.parametrize("last", [None, True, False])
    def test_the_same_fault_report_again_replaces(
        self, store: SeriesStore, last: bool | None
    ) -> None:
        before = StoredEvent("L-1", NOON_MS, NOON_MS + 1, "lamp_failure", last is not True, "first")
        after = StoredEvent("L-1", NOON_MS, NOON_MS + 5, "lamp_failure", last, "")
        repeat = StoredEvent("L-1", NOON_MS, NOON_MS + 9, "lamp_failure", last, "")
        store.add_events([before])
        store.add_events([after])
        store.add_events([repeat])
        assert store.events(start_ms=NOON_MS, stop_ms=NOON_MS + 1) == [after]

    def test_a_fault_report_that_was_taken_back_is_gone_and_may_come_again(
        self, store: SeriesStore
    ) -> None:
        early = StoredEvent("L-1", NOON_MS, NOON_MS + 9, "lamp_failure", True, "")
        late = replace(early, time_ms=NOON_MS + 5)
        taken_back = replace(late, received_ms=NOON_MS + 20, flags=int(Flag.WITHDRAWN))
        store.add_events([late])
        store.add_events([early, taken_back])
        assert store.events(start_ms=NOON_MS, stop_ms=NOON_MS + 9) == [early]
        store.add_events([taken_back])
        assert store.events(start_ms=NOON_MS, stop_ms=NOON_MS + 9) == [early]
        again = replace(late, received_ms=NOON_MS + 30)
        store.add_events([again])
        assert store.events(start_ms=NOON_MS, stop_ms=NOON_MS + 9) == [early, again]


readings = st.lists(
    st.tuples(
        st.sampled_from(["a", "B", "b-1", "O_"]),
        st.integers(NOON_MS - 3, NOON_MS + 3).map(lambda t: t + DAY_MS // 2 - 1),
        st.sampled_from([0.0, 1.5, 2.25]),
        st.integers(NOON_MS, NOON_MS + 5),
        st.sampled_from([0, 1, 63, int(Flag.WITHDRAWN)]),
    ),
    max_size=30,
)
arrivals = st.lists(readings, max_size=4)


def oracle(batches: Sequence[Sequence[Row]]) -> list[Row]:
    """The same by a loop over single readings."""
    kept: dict[tuple[str, int], Row] = {}
    for batch in batches:
        for row in batch:
            before = kept.get(row[:2])
            if row[4] & Flag.WITHDRAWN:
                kept.pop(row[:2], None)
            elif before is None or before[2] != row[2]:
                kept[row[:2]] = row
    return [kept[key] for key in sorted(kept)]


several_batches = given(batches=arrivals)
quick = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
