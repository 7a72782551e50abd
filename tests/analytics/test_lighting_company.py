"""What is raised beside a group that began with it joins its order; nothing else does."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from analytics.company import clock_beside, matter_beside
from analytics.findings import CauseKind, FindingKind
from analytics.memory import Episode

HOUR = 3_600_000
NOON = 1000 * 24 * HOUR + 12 * HOUR
AT = NOON + 9 * HOUR
LOST, OUT, MUTE = (
    FindingKind.SUPPLY_LOSS,
    FindingKind.LAMP_FAILURE,
    FindingKind.COMMUNICATION_FAILURE,
)


def town(**columns: Any) -> Any:
    n = 8
    unknown = np.full(n, -1, dtype=np.int32)
    zero = np.zeros(n, dtype=np.int32)
    base = {
        "feeder": zero,
        "cabinet": unknown,
        "segment": zero,
        "mains": np.ones(n, dtype=bool),
        "north_m": np.arange(n, dtype=np.float32) * 30,
        "east_m": np.zeros(n, dtype=np.float32),
    }
    return SimpleNamespace(**(base | columns))


def memory(*rows: int, kind: FindingKind = LOST, start: int = AT, cause=CauseKind.SEGMENT) -> Any:
    found = [Episode(r, kind, start, NOON + 24 * HOUR, "out", cause, 0) for r in rows]
    return SimpleNamespace(open={(e.row, 0): e for e in found}, closed=[])


def joined(street: Any, remembered: Any, kind: FindingKind, start: int, *rows: int) -> bool:
    at = np.array(rows or (5,), dtype=np.int32)
    return matter_beside(remembered, street, at, kind, start, NOON) == "out"


def test_a_lamp_that_went_dark_with_a_section_of_its_feeder_is_its_order():
    assert joined(town(), memory(0, 1, 2, 3), OUT, AT)
    assert joined(town(), memory(0, 1, 2, 3), OUT, NOON)  # found dark at dusk
    assert not joined(town(), memory(0, 1, 2, 3), OUT, AT + 3 * HOUR)
    feeders = np.array([0, 0, 0, 0, 1, 1, 1, 1], dtype=np.int32)
    assert not joined(town(feeder=feeders), memory(0, 1, 2, 3), OUT, AT)
    cabinet = np.zeros(8, dtype=np.int32)
    assert joined(town(feeder=feeders, cabinet=cabinet), memory(0, 1, 2, 3), OUT, AT)


def test_a_device_whose_last_readings_were_lost_went_with_the_section():
    assert joined(town(), memory(0, 1, 2, 3), MUTE, AT - 2 * HOUR)
    assert not joined(town(), memory(0, 1, 2, 3), MUTE, AT - 20 * HOUR)
    battery = town(mains=np.zeros(8, dtype=bool))
    assert not joined(battery, memory(0, 1, 2, 3), MUTE, AT)


def test_two_lone_faults_or_a_dead_gateway_draw_nothing_to_them():
    assert not joined(town(), memory(0, kind=OUT, cause=CauseKind.LUMINAIRE), OUT, AT)
    gateway = memory(0, 1, 2, 3, kind=MUTE, cause=CauseKind.GATEWAY)
    assert not joined(town(), gateway, OUT, AT)


def test_lamps_of_one_feeder_whose_order_nobody_knows_may_be_neighbours():
    unknown = np.full(8, -1, dtype=np.int32)
    lone = memory(0, kind=OUT, cause=CauseKind.LUMINAIRE)
    assert joined(town(segment=unknown), lone, OUT, AT)
    assert not joined(town(segment=unknown), lone, OUT, AT + 5 * HOUR)


def test_a_group_takes_up_the_lamp_that_was_told_before_it():
    lone = memory(0, kind=OUT, cause=CauseKind.LUMINAIRE)
    assert joined(town(), lone, MUTE, AT, 4, 5, 6)


def test_places_stand_in_where_no_feeder_is_known():
    unknown = np.full(8, -1, dtype=np.int32)
    nameless = town(feeder=unknown, segment=unknown)
    assert joined(nameless, memory(0, 1, 2, 3), OUT, AT)
    far = town(feeder=unknown, segment=unknown, north_m=np.arange(8, dtype=np.float32) * 900)
    assert not joined(far, memory(0, 1, 2, 3), OUT, AT)


def test_a_lamp_that_shows_the_feeders_wrong_clock_later_joins_its_order():
    clock = memory(0, 1, 2, kind=FindingKind.SWITCHING_ERROR, cause=CauseKind.FEEDER)
    assert clock_beside(clock, town(), np.array([5])) == "out"
    alone = memory(0, kind=FindingKind.SWITCHING_ERROR, cause=CauseKind.LUMINAIRE)
    assert clock_beside(alone, town(), np.array([5])) == ""
    elsewhere = town(feeder=np.array([0] * 4 + [1] * 4, dtype=np.int32))
    assert clock_beside(clock, elsewhere, np.array([5])) == ""
