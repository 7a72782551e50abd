"""The window that is kept in memory is what a fresh read gives."""

import numpy as np
from contracts.journaled import Journaled
from hypothesis import given, settings
from hypothesis import strategies as st
from street_of_lamps import Street

import api.watch.window_readings
from analytics.grid import DAY_MS, window_start
from api.street.street_plan import plan_street
from api.watch.arrivals import ArchiveArrivals, OverlapArrivals
from api.watch.feed_source import Gathering
from api.watch.open_window import OpenWindow
from api.watch.window_readings import WindowReader
from ingest.reading import Flag, Quantity
from ingest.sealer import Sealer
from ingest.stores import Columns
from ingest.stores.memory import MemoryStore
from ingest.stores.parquet import ParquetStore

STEP = 600_000
LAMPS = 6
STREET = Street(feeders=1, lamps=LAMPS, nights=2)
PLAN = plan_street(STREET.assets)
START = window_start(STREET.first_night)
IDS = [a.device_id for a in STREET.assets]
QUANTITIES = (Quantity.ILLUMINANCE, Quantity.POWER, Quantity.LAMP_STATUS)


def feed_of(rows):
    """A feed of (quantity, device, seconds after noon, value, seconds on the way)."""
    gathering = Gathering()
    gathering.number_of.update({name: i for i, name in enumerate(IDS)})
    for quantity in QUANTITIES:
        mine = [r for r in rows if r[0] is quantity]
        if mine:
            _, device, at, value, late = zip(*mine, strict=True)
            time_ms = START + np.array(at, np.int64) * 1000
            gathering.add(
                quantity,
                np.array(device, np.int32),
                time_ms,
                np.array(value, float),
                time_ms + np.array(late, np.int64) * 1000,
            )
    return gathering.source([])


def assert_same(kept, fresh):
    np.testing.assert_array_equal(kept.lux, fresh.lux)
    np.testing.assert_array_equal(kept.seen_ms, fresh.seen_ms)
    np.testing.assert_array_equal(kept.gasp_ms, fresh.gasp_ms)
    np.testing.assert_array_equal(kept.shift_ms, fresh.shift_ms)


def fresh(source, now_ms, start_ms=START):
    return OpenWindow(WindowReader(PLAN)).bring_up_to(source, start_ms, now_ms)


reading = st.tuples(
    st.sampled_from(QUANTITIES),
    st.integers(0, LAMPS - 1),
    st.integers(-7200, 20 * 3600),
    st.sampled_from([0.0, 1.5, 20.25, 128.0, -1.0, 65535.0]),
    st.one_of(st.integers(0, 120), st.integers(-20_000, 40_000)),
)


@settings(max_examples=60)
@given(
    rows=st.lists(reading, max_size=60),
    wrong=st.dictionaries(st.integers(0, LAMPS - 1), st.integers(-9000, 9000), max_size=2),
    stops=st.lists(st.integers(0, 22 * 6), min_size=1, max_size=8),
)
def test_round_by_round_it_is_what_a_fresh_read_gives(rows, wrong, stops):
    # Beside whatever came, some devices whose clock is wrong all day.
    rows = rows + [
        (Quantity.ILLUMINANCE, d, 600 * k + off, 20.0 + k % 3, -off + 3)
        for d, off in wrong.items()
        for k in range(-3, 120)
    ]
    source = feed_of(rows)
    window = OpenWindow(WindowReader(PLAN))
    for slot in sorted(stops):
        now_ms = START + slot * STEP
        assert_same(window.bring_up_to(source, START, now_ms), fresh(source, now_ms))
    assert window.fresh_reads == 1


def test_the_window_of_the_light_round_is_the_one_that_noon_settles():
    rows = [
        (Quantity.ILLUMINANCE, d, 300 * k + off, 20.0 + (d + k) % 5, -off + 2)
        for d, off in enumerate((0, 7200, -5400, 0, 200, 40_000))
        for k in range(-400, 700)
    ]
    source = feed_of(rows)
    window = OpenWindow(WindowReader(PLAN))
    now_ms = START
    while now_ms < START + DAY_MS:
        now_ms += STEP
        kept = window.bring_up_to(source, START, now_ms)
    settled = WindowReader(PLAN).read(source, START, now_ms)
    np.testing.assert_array_equal(kept.lux, settled.lux)
    np.testing.assert_array_equal(kept.shift_ms, settled.shift_ms)
    assert (settled.shift_ms[[1, 2, 5]] == [-7_200_000, 5_400_000, -40_020_000]).all()
    # A clock that is two hours wrong loses none of its day.
    assert np.isfinite(settled.lux).all()


def columns_of(device, at_ms, value, received_ms, flags=0):
    return Columns(
        np.array(device, np.int32),
        np.array(at_ms, np.int64),
        np.array(value, float),
        np.array(received_ms, np.int64),
        np.full(len(device), flags, np.uint8),
        IDS,
    )


class NewsOf(MemoryStore):
    """A store that repeats, corrects, and tells what came by the order it came in."""

    def __init__(self):
        super().__init__()
        self.came = []

    def add(self, quantity, columns):
        super().add(quantity, columns)
        self.came.append((quantity, columns))

    def arrived(self, quantity, *, start_ms, stop_ms, reach_ms, now_ms, mark):
        if mark is None:
            return None, len(self.came)
        parts = [c for q, c in self.came[mark:] if q is quantity]
        none = columns_of([], [], [], [])
        return (parts[0] if len(parts) == 1 else none if not parts else joined(parts)), len(
            self.came
        )


def joined(parts):
    return Columns(
        *(np.concatenate([getattr(p, n) for p in parts]) for n in Columns.__slots__[:5]), IDS
    )


def test_a_repeat_changes_nothing_and_a_correction_stands():
    store = NewsOf()
    window = OpenWindow(WindowReader(PLAN))
    at = [START + 7 * STEP + 1000, START + 7 * STEP + 301_000]
    store.add(Quantity.ILLUMINANCE, columns_of([0, 0], at, [10, 20], [at[1], at[1]]))
    now_ms = START + 8 * STEP
    assert window.bring_up_to(store, START, now_ms).lux[0, 7] == 15
    store.add(Quantity.ILLUMINANCE, columns_of([0], at[:1], [10], [now_ms]))
    assert_same(window.bring_up_to(store, START, now_ms), fresh(store, now_ms))
    store.add(Quantity.ILLUMINANCE, columns_of([0], at[1:], [40], [now_ms]))
    kept = window.bring_up_to(store, START, now_ms)
    assert kept.lux[0, 7] == 25
    assert_same(kept, fresh(store, now_ms))
    assert window.fresh_reads == 1


def test_a_reading_that_is_taken_back_has_the_window_read_afresh():
    store = NewsOf()
    window = OpenWindow(WindowReader(PLAN))
    at = [START + 7 * STEP]
    store.add(Quantity.ILLUMINANCE, columns_of([0], at, [10], at))
    now_ms = START + 8 * STEP
    window.bring_up_to(store, START, now_ms)
    store.add(Quantity.ILLUMINANCE, columns_of([0], at, [10], at, int(Flag.WITHDRAWN)))
    assert np.isnan(window.bring_up_to(store, START, now_ms).lux).all()
    assert window.fresh_reads == 2


def test_a_store_that_cannot_tell_is_asked_for_two_hours_and_once_an_hour_for_all():
    asked = []

    class Counting(MemoryStore):
        def columns(self, quantity, *, start_ms, stop_ms, devices=None):
            if quantity is Quantity.ILLUMINANCE:
                asked.append(start_ms)
            return super().columns(quantity, start_ms=start_ms, stop_ms=stop_ms, devices=devices)

    store = Counting()
    source, window = OverlapArrivals(store), OpenWindow(WindowReader(PLAN))
    for k in range(30, 40):
        at = START + k * STEP
        store.add(Quantity.ILLUMINANCE, columns_of([0], [at], [20], [at + 1000]))
        kept = window.bring_up_to(source, START, at + STEP)
        assert_same(kept, fresh(store, at + STEP))
    assert [a == START for a in asked[::2]].count(True) >= 2
    assert window.fresh_reads == 2


def test_the_embedded_store_tells_what_came_also_when_a_day_is_sealed_meanwhile(tmp_path):
    lux = STREET.lux()
    through = Journaled(tmp_path, lambda: START)
    archive = ParquetStore(tmp_path / "archive", tail=through.reader)
    sealer = Sealer(through.journal, through.reader, archive, now_ms=lambda: START)
    source, window = ArchiveArrivals(archive, through.reader), OpenWindow(WindowReader(PLAN))
    for slot in range(70, 90):
        at = START + slot * STEP
        through.add(
            Quantity.ILLUMINANCE,
            columns_of(range(LAMPS), [at] * LAMPS, lux[:, slot], [at + 1000] * LAMPS),
        )
        if slot == 80:
            sealer._drain()
        kept = window.bring_up_to(source, START, at + STEP)
        assert_same(kept, fresh(archive, at + STEP))
        if slot == 85:
            sealer._drain()  # all of it was read: a new file with nothing new
    assert window.fresh_reads == 2
    through.close()


def test_a_restart_in_the_night_takes_the_window_up_again():
    source = feed_of(
        [(Quantity.ILLUMINANCE, d, 600 * k, 20.0, 2) for d in range(LAMPS) for k in range(100)]
    )
    going = OpenWindow(WindowReader(PLAN))
    for slot in range(60, 80):
        kept = going.bring_up_to(source, START, START + slot * STEP)
    restarted = OpenWindow(WindowReader(PLAN)).bring_up_to(source, START, START + 79 * STEP)
    assert_same(kept, restarted)


def test_a_lone_time_far_ahead_was_not_taken_later_than_it_came():
    rows = [(Quantity.ILLUMINANCE, 0, 600 * k, 20.0, 2) for k in range(30)]
    rows.append((Quantity.ILLUMINANCE, 0, 600 * 29 + 36_000, 20.0, 2 - 36_000))
    kept = fresh(feed_of(rows), START + 31 * STEP)
    assert kept.seen_ms[0] < START + 31 * STEP


def test_a_city_read_in_halves_is_the_city_read_at_once(monkeypatch):
    rows = [
        (Quantity.ILLUMINANCE, d, 300 * k + off, 20.0 + (d + k) % 5, -off + 2)
        for d, off in enumerate((0, 7200, -5400, 0, 200, 40_000))
        for k in range(-100, 400)
    ]
    source, now_ms = feed_of(rows), START + DAY_MS
    whole = WindowReader(PLAN).read(source, START, now_ms)
    monkeypatch.setattr(api.watch.window_readings, "CITY", 0)
    halves = WindowReader(PLAN).read(source, START, now_ms)
    np.testing.assert_array_equal(halves.lux, whole.lux)
    np.testing.assert_array_equal(halves.shift_ms, whole.shift_ms)
