"""When what rounds have found is old."""

import pytest

from api.clock import Clock
from api.watch.rounds import MINUTE_MS, is_late

NOW_MS = 1_790_000_000_000


@pytest.mark.parametrize(
    ("speed", "minutes", "late"),
    [(1.0, 60, False), (1.0, 61, True), (60.0, 61, True), (600.0, 600, False), (600.0, 601, True)],
)
def test_old_is_an_hour_or_a_minute_of_real_time_where_simulated_time_flies(
    speed: float, minutes: int, late: bool
) -> None:
    clock = Clock(start_ms=NOW_MS, speed=speed, held=True)
    assert is_late(NOW_MS - minutes * MINUTE_MS, clock) is late
    assert is_late(None, clock)
