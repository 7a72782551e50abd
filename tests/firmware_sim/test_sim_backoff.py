"""Waits before connecting again."""

from firmware_sim.backoff import pause_s


def test_waits_double_up_to_a_minute_and_are_drawn_from_all_of_it() -> None:
    assert [pause_s(failures, lambda: 0.5) for failures in range(8)] == [
        0.5,
        1,
        2,
        4,
        8,
        16,
        30,
        30,
    ]
    assert pause_s(5, lambda: 0.0) == 0.0
    assert pause_s(10_000, lambda: 0.25) == 15.0
