"""One moment, one place, one cause: also where the registry says nothing, or wrong things."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import lighting_loops as loops

from analytics.cause import COMMON_ONSET_MS, Section, together
from analytics.coincidence import near_each_other, one_matter, same_moment
from analytics.findings import CauseKind

HOUR = 3_600_000


def town(
    n: int,
    *,
    spacing_m: float = 30.0,
    placed: bool = True,
    feeder: Any = None,
    cabinet: Any = None,
) -> Any:
    along = np.arange(n, dtype=np.float32) * spacing_m
    nowhere = np.full(n, np.nan, dtype=np.float32)
    unknown = np.full(n, -1, dtype=np.int32)
    return SimpleNamespace(
        n=n,
        feeder=unknown if feeder is None else np.array(feeder, dtype=np.int32),
        cabinet=unknown if cabinet is None else np.array(cabinet, dtype=np.int32),
        interval_s=np.full(n, 600, dtype=np.float32),
        north_m=along if placed else nowhere,
        east_m=np.zeros(n, dtype=np.float32) if placed else nowhere,
    )


def at(*hours: float) -> Any:
    return (np.array(hours) * HOUR).astype(np.int64)


def mask(n: int, *rows: int) -> Any:
    out = np.zeros(n, dtype=bool)
    out[list(rows)] = True
    return out


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), min_size=1, max_size=12),
    st.integers(1, 6),
)
def test_who_went_together_are_as_many_as_the_loop_finds(spans, least):
    low = np.array([a for a, _ in spans], dtype=np.int64) * HOUR
    high = low + np.array([b for _, b in spans], dtype=np.int64) * HOUR
    got = together(high, least, COMMON_ONSET_MS, earliest=low)
    expected = loops.together(low.tolist(), high.tolist(), least, COMMON_ONSET_MS)
    assert got.sum() == sum(expected)


def test_a_cabinet_that_no_registry_names_is_one_matter():
    n = 30
    onset = np.full(n, 50 * HOUR, dtype=np.int64)
    out = mask(n, *range(5, 25))
    (found,) = same_moment(out, mask(n), onset, onset, town(n))
    assert found.rows.tolist() == list(range(5, 25))
    assert found.cause_kind is CauseKind.LUMINAIRE


def test_the_silent_ones_belong_to_those_that_went_dark_with_them():
    n = 10
    onset = np.full(n, 50 * HOUR, dtype=np.int64)
    (found,) = same_moment(mask(n, 0, 1, 2), mask(n, 3, 4, 5), onset, onset, town(n))
    assert len(found.rows) == 6


def test_silence_alone_says_nothing_of_the_supply():
    n = 10
    onset = np.full(n, 50 * HOUR, dtype=np.int64)
    assert same_moment(mask(n), mask(n, *range(8)), onset, onset, town(n)) == []


def test_lamps_that_failed_apart_in_time_or_place_are_no_outage():
    n = 8
    onset = at(50, 53, 56, 59, 62, 65, 68, 71)
    assert same_moment(mask(n, *range(8)), mask(n), onset, onset, town(n)) == []
    at_once = np.full(n, 50 * HOUR, dtype=np.int64)
    assert same_moment(mask(n, *range(8)), mask(n), at_once, at_once, town(n, spacing_m=900)) == []


def test_found_dark_at_dusk_in_a_big_city_without_places_is_not_yet_one_cause():
    n = 1000
    latest = np.full(n, 70 * HOUR, dtype=np.int64)
    by_day = latest - 22 * HOUR
    out = mask(n, 1, 200, 400, 600, 800)
    assert same_moment(out, mask(n), latest, by_day, town(n, placed=False)) == []


def test_who_was_dark_at_dusk_can_have_gone_with_those_that_fell_silent_by_day():
    high, low = at(70, 70, 55, 55.2), at(48, 48, 55, 55.2)
    assert together(high, 4, earliest=low).all()
    assert not together(high, 4).any()


def test_what_the_registry_hangs_elsewhere_joins_the_section_beside_it():
    section = Section(np.arange(4, dtype=np.int32), CauseKind.FEEDER, 7, 50 * HOUR)
    group = Section(np.arange(4, 9, dtype=np.int32), CauseKind.LUMINAIRE, 4, 50 * HOUR)
    (found,) = one_matter([section, group], town(9, feeder=[7] * 4 + [8] * 5))
    assert (found.cause_kind, found.cause) == (CauseKind.FEEDER, 7)
    assert len(found.rows) == 9


def part(rows: range, kind: CauseKind, cause: int, hour: float, since: float | None = None) -> Any:
    earliest = None if since is None else int(since * HOUR)
    return Section(np.array(rows, dtype=np.int32), kind, cause, int(hour * HOUR), earliest)


def test_stretches_of_one_feeder_that_went_together_are_the_feeders():
    parts = [part(range(4), CauseKind.SEGMENT, 0, 50), part(range(4, 9), CauseKind.SEGMENT, 1, 50)]
    (found,) = one_matter(parts, town(9, feeder=[3] * 9, cabinet=[1] * 9))
    assert (found.cause_kind, found.cause, found.start_ms) == (CauseKind.FEEDER, 3, 50 * HOUR)


def test_feeders_of_one_cabinet_that_went_together_are_the_cabinets():
    feeder = [0] * 4 + [1] * 5
    parts = [part(range(4), CauseKind.FEEDER, 0, 50), part(range(4, 9), CauseKind.FEEDER, 1, 51)]
    (found,) = one_matter(parts, town(9, feeder=feeder, cabinet=[6] * 9))
    assert (found.cause_kind, found.cause) == (CauseKind.CABINET, 6)
    hours_apart = [parts[0], part(range(4, 9), CauseKind.FEEDER, 1, 53)]
    assert len(one_matter(hours_apart, town(9, feeder=feeder, cabinet=[6] * 9))) == 2


def test_a_feeder_found_dark_at_dusk_went_with_the_silent_one_of_its_cabinet():
    silent = part(range(4), CauseKind.FEEDER, 0, 53.2)
    at_dusk = part(range(4, 9), CauseKind.FEEDER, 1, 58, since=36)
    (found,) = one_matter([at_dusk, silent], town(9, feeder=[0] * 4 + [1] * 5, cabinet=[6] * 9))
    assert found.start_ms == int(53.2 * HOUR)


def test_two_cabinets_side_by_side_stay_two_matters():
    parts = [part(range(4), CauseKind.FEEDER, 0, 50), part(range(4, 9), CauseKind.FEEDER, 1, 50)]
    assert len(one_matter(parts, town(9, feeder=[0] * 4 + [1] * 5, cabinet=[5] * 4 + [6] * 5))) == 2
    far = town(9, spacing_m=900, feeder=[0] * 4 + [1] * 5)
    assert len(one_matter(parts, far)) == 2


def test_stretches_of_no_known_feeder_side_by_side_are_one_matter_that_nobody_named():
    parts = [part(range(4), CauseKind.SEGMENT, 0, 50), part(range(4, 9), CauseKind.SEGMENT, 1, 50)]
    (found,) = one_matter(parts, town(9))
    assert (found.cause_kind, found.cause) == (CauseKind.LUMINAIRE, 0)


@pytest.mark.parametrize(("spacing", "groups"), [(100.0, 1), (500.0, 6)])
def test_places_hang_together_by_steps_of_four_hundred_metres(spacing, groups):
    rows = np.arange(6, dtype=np.int32)
    assert len(near_each_other(rows, town(6, spacing_m=spacing))) == groups
