"""Rounds are run when they are due: none missed, none twice."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from api.clock import Clock
from api.watch.rounds import DAY_MS, MINUTE_MS, NOON_MS, Due, RoundKind, Rounds, due_rounds

EVERY = 10 * MINUTE_MS
NOON = 20_000 * DAY_MS + NOON_MS


def test_a_light_round_is_due_once_in_ten_minutes() -> None:
    due = due_rounds(last_ms=NOON, now_ms=NOON + EVERY + 1, light_every_ms=EVERY)
    assert due == [Due(RoundKind.LIGHT, NOON + EVERY)]
    assert due_rounds(last_ms=NOON + EVERY, now_ms=NOON + EVERY + 1, light_every_ms=EVERY) == []


def test_noon_settles_the_night_and_stands_for_its_light_round() -> None:
    due = due_rounds(last_ms=NOON - EVERY, now_ms=NOON + 5, light_every_ms=EVERY)
    assert due == [Due(RoundKind.NOON, NOON)]


def test_after_three_days_away_every_noon_is_settled_and_one_light_round_run() -> None:
    due = due_rounds(last_ms=NOON, now_ms=NOON + 3 * DAY_MS + 2 * EVERY, light_every_ms=EVERY)
    assert due == [
        Due(RoundKind.NOON, NOON + DAY_MS),
        Due(RoundKind.NOON, NOON + 2 * DAY_MS),
        Due(RoundKind.NOON, NOON + 3 * DAY_MS),
        Due(RoundKind.LIGHT, NOON + 3 * DAY_MS + 2 * EVERY),
    ]


@given(start=st.integers(0, 10 * DAY_MS), steps=st.lists(st.integers(0, 2 * DAY_MS), max_size=20))
def test_however_the_clock_is_looked_at_every_noon_is_run_once(
    start: int, steps: list[int]
) -> None:
    now, last, noons = start, start, []
    for step in steps:
        now += step
        for due in due_rounds(last_ms=last, now_ms=now, light_every_ms=EVERY):
            assert due.at_ms > last
            last = due.at_ms
            noons += [due.at_ms] if due.kind is RoundKind.NOON else []
    expected = [
        day * DAY_MS + NOON_MS for day in range(25) if start < day * DAY_MS + NOON_MS <= now
    ]
    assert noons == expected


def test_a_round_that_fails_is_run_again_and_those_done_are_not(tmp_path: Path) -> None:
    seen: list[int] = []
    broken = [NOON + DAY_MS]

    def judge(due: Due) -> None:
        if due.at_ms in broken:
            raise OSError("disk")
        seen.append(due.at_ms)

    def rounds() -> Rounds:
        return Rounds(
            clock=Clock(start_ms=NOON + 2 * DAY_MS, speed=1e-6),
            judge=judge,
            state_file=tmp_path / "rounds.json",
            start_ms=NOON - 1,
        )

    first = rounds()
    first.catch_up(first.due())
    assert seen == [NOON]
    broken.clear()
    again = rounds()
    again.catch_up(again.due())
    assert seen == [NOON, NOON + DAY_MS, NOON + 2 * DAY_MS]


def test_a_process_that_comes_to_lead_goes_on_where_the_last_leader_was(tmp_path: Path) -> None:
    said: list[str] = []
    leading = [0, 0]

    def rounds(me: int) -> Rounds:
        return Rounds(
            clock=Clock(start_ms=NOON + 2 * DAY_MS, speed=1e-6),
            judge=lambda due: said.append(f"{me}:{due.kind}:{(due.at_ms - NOON) // DAY_MS}"),
            state_file=tmp_path / "rounds.json",
            start_ms=NOON - 1,
            may_run=lambda: bool(leading[me]),
            term=lambda: leading[me],
            taken_over=lambda: said.append(f"{me}:taken over"),
        )

    one, two = rounds(0), rounds(1)
    assert not one.turn()
    assert not two.turn()
    leading[0] = 1
    assert one.turn()
    assert said == ["0:taken over", "0:noon:0", "0:noon:1", "0:noon:2"]
    leading[0], leading[1] = 0, 1
    assert two.turn()
    # All was run by the first: only its memory is taken up.
    assert said[4:] == ["1:taken over"]
    assert not one.turn()
