"""The city's repair rules as data, and their two clocks."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import BadInputError
from api.operations.sla import (
    ClockKind,
    ControlScope,
    Facts,
    Verified,
    deadline_ms,
    duration_ms,
    is_working_day,
    judge,
    load_policy,
    packaged_policies,
    parse_policy,
)

HBG = load_policy("helsingborg")
STOCKHOLM = ZoneInfo("Europe/Stockholm")
LAMP = Facts(kind="lamp_failure", out=1)


def ms(text: str) -> int:
    """Stockholm wall clock."""
    return int(datetime.fromisoformat(text).replace(tzinfo=STOCKHOLM).timestamp() * 1000)


def wall(time_ms: int | None) -> str:
    assert time_ms is not None
    return datetime.fromtimestamp(time_ms / 1000, UTC).astimezone(STOCKHOLM).isoformat()[:16]


# Each of these sentences stands on helsingborg.se, "Belysning och gatlyktor".
def test_helsingborg_sends_somebody_within_the_hour_for_five_in_a_row() -> None:
    """'first action within 1 h: five light points in a row, or contiguous in an area, out'"""
    verdict = judge(HBG, Facts(kind="lamp_failure", out=1, run_out=5))
    assert (verdict.priority, verdict.first_action) == ("akut", "PT1H")
    assert verdict.verified is Verified.TRUE
    assert "5 out in a row" in verdict.why
    area = judge(HBG, Facts(kind="lamp_failure", out=1, run_out=2, cluster_out=5))
    assert area.rule_id == "hbg-akut-rad"


def test_four_in_a_row_are_not_yet_urgent() -> None:
    assert judge(HBG, Facts(kind="lamp_failure", run_out=4, cluster_out=4)).priority == "skyndsam"


def test_helsingborg_sends_somebody_within_the_hour_for_danger() -> None:
    """'first action within 1 h (on-call crew on site): electrical or mechanical danger'"""
    assert judge(HBG, Facts(kind="lamp_failure", hazard=True)).rule_id == "hbg-akut-fara"


def test_helsingborg_sends_somebody_within_the_hour_for_the_switching_system() -> None:
    """'first action within 1 h: fault in the system that switches the lighting'"""
    scope = Facts(kind="supply_loss", control_scope=ControlScope.CABINET)
    assert judge(HBG, scope).rule_id == "hbg-akut-styrning"


def test_helsingborg_mends_a_crossing_by_the_next_working_day() -> None:
    """'same or next working day: one or more points out at a pedestrian crossing, …'"""
    verdict = judge(HBG, Facts(kind="lamp_failure", out=1, place_kind=frozenset({"crossing"})))
    assert (verdict.rule_id, verdict.verified) == ("hbg-skyndsam-overgang", Verified.PARTLY)
    due = deadline_ms(HBG, verdict.first_action, verdict.clock, start_ms=ms("2026-06-18 22:00"))
    # Friday 19 June 2026 is Midsummer Eve: the next working day is Monday.
    assert wall(due) == "2026-06-22T16:00"


def test_what_was_not_read_on_the_page_says_so() -> None:
    assert judge(HBG, LAMP).verified is Verified.FALSE
    for rule in HBG.rules:
        assert rule.source, rule.id
        if rule.verified is Verified.TRUE:
            assert rule.source.startswith("helsingborg.se"), rule.id
            assert rule.quote, rule.id
        if rule.verified is Verified.FALSE:
            assert rule.source.startswith("our proposal"), rule.id


@pytest.mark.parametrize("name", sorted(packaged_policies()))
def test_every_packaged_policy_reads_and_judges_a_single_lamp(name: str) -> None:
    policy = load_policy(name)
    assert policy.id == name
    verdict = judge(policy, Facts(kind="lamp_failure", out=1, run_out=1, cluster_out=1))
    assert verdict.rank > 0, "a single lamp in an unknown place is urgent nowhere"


def test_malmo_hurries_for_a_fully_dark_crossing_only() -> None:
    malmo = load_policy("malmo")
    crossing = frozenset({"crossing"})
    fully = Facts(kind="lamp_failure", place_kind=crossing, fully_dark=True)
    partly = Facts(kind="lamp_failure", place_kind=crossing, fully_dark=False)
    unknown = Facts(kind="lamp_failure", place_kind=crossing, fully_dark=None)
    verdicts = [judge(malmo, f).rule_id for f in (fully, partly, unknown)]
    assert verdicts == ["mlm-akut-helt-mork", "mlm-3-dagar", "mlm-30-dagar"]


def test_vallentuna_counts_three_in_a_row_and_whole_groups() -> None:
    val = load_policy("vallentuna")
    assert judge(val, Facts(kind="lamp_failure", run_out=3)).rule_id == "val-3-arbetsdagar"
    assert judge(val, Facts(kind="lamp_failure", run_out=2)).rule_id == "val-15-arbetsdagar"
    feeder = Facts(kind="supply_loss", control_scope=ControlScope.FEEDER)
    assert judge(val, feeder).rule_id == "val-3-arbetsdagar"


def test_sundays_are_no_holidays_by_themselves_and_midsummer_eve_is_free() -> None:
    assert not is_working_day(date(2026, 6, 19))  # Midsummer Eve, a Friday
    assert not is_working_day(date(2026, 12, 24))
    assert not is_working_day(date(2026, 5, 1))
    assert is_working_day(date(2026, 5, 4))
    assert not is_working_day(date(2026, 5, 3))  # a Sunday
    # Mondays to Fridays of 2026: 261, minus the 10 free days that fall on one of them.
    days = [date(2026, 1, 1) + timedelta(days=i) for i in range(365)]
    assert sum(is_working_day(day) for day in days) == 251


def test_three_working_days_from_a_friday_evening_end_on_wednesday() -> None:
    due = deadline_ms(HBG, "P3D", ClockKind.WORKING_DAYS, start_ms=ms("2026-11-20 22:00"))
    assert wall(due) == "2026-11-25T16:00"


def test_an_hour_is_an_hour_also_when_the_clock_is_put_back() -> None:
    start = ms("2026-10-25 01:30")
    due = deadline_ms(HBG, "PT1H", ClockKind.ALWAYS, start_ms=start)
    assert due == start + 3_600_000


def test_a_pause_moves_the_deadline_and_an_open_one_stops_the_clock() -> None:
    start = ms("2026-11-23 10:00")
    hour = 3_600_000
    paused = deadline_ms(
        HBG, "PT1H", ClockKind.ALWAYS, start_ms=start, pauses=[(start + 600_000, start + 5 * hour)]
    )
    assert paused == start + hour + 5 * hour - 600_000
    assert (
        deadline_ms(HBG, "PT1H", ClockKind.ALWAYS, start_ms=start, pauses=[(start, None)]) is None
    )


def test_a_working_day_spent_waiting_does_not_count() -> None:
    start = ms("2026-11-23 10:00")  # a Monday
    waited = [(ms("2026-11-24 09:00"), ms("2026-11-25 09:00"))]  # over Tuesday's close of work
    free = deadline_ms(HBG, "P2D", ClockKind.WORKING_DAYS, start_ms=start)
    due = deadline_ms(HBG, "P2D", ClockKind.WORKING_DAYS, start_ms=start, pauses=waited)
    assert (wall(free), wall(due)) == ("2026-11-25T16:00", "2026-11-26T16:00")


@given(
    start=st.integers(ms("2024-01-01 00:00"), ms("2028-01-01 00:00")),
    days=st.integers(1, 15),
    gap=st.integers(0, 400),
    length=st.integers(1, 400),
)
def test_a_pause_never_makes_a_deadline_earlier(
    start: int, days: int, gap: int, length: int
) -> None:
    pause = (start + gap * 1_800_000, start + (gap + length) * 1_800_000)
    for clock in ClockKind:
        free = deadline_ms(HBG, f"P{days}D", clock, start_ms=start)
        paused = deadline_ms(HBG, f"P{days}D", clock, start_ms=start, pauses=[pause])
        assert free is not None
        assert paused is not None
        assert start < free <= paused


def test_a_duration_that_is_none_is_refused() -> None:
    assert duration_ms("P1DT2H30M") == ((24 + 2) * 60 + 30) * 60_000
    for text in ("P", "1h", "PT1S", "", "P1W", "-PT1H"):
        with pytest.raises(BadInputError):
            duration_ms(text)


GOOD = """
id = "x"
title = "x"
levels = ["a", "b"]
[[rule]]
id = "one"
priority = "b"
source = "somewhere"
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("priority", "run_outs = 5\npriority"), "unknown run_outs"),
        (('priority = "b"', 'priority = "c"'), "none of"),
        (('source = "somewhere"', ""), "source"),
        (('source = "somewhere"', 'source = "s"\nrun_out = "5"'), "cannot be judged"),
        (('source = "somewhere"', 'source = "s"\nrun_out = true'), "cannot be judged"),
        (('source = "somewhere"', 'source = "s"\nrepaired = "soon"'), "duration"),
        (('source = "somewhere"', 'source = "s"\nrun_out = 5'), "rule without conditions"),
        (('title = "x"', ""), "KeyError"),
    ],
)
def test_a_policy_that_cannot_be_used_says_where(change: tuple[str, str], message: str) -> None:
    assert parse_policy(GOOD, name="good").levels == ("a", "b")
    with pytest.raises(BadInputError, match=message):
        parse_policy(GOOD.replace(*change, 1), name="bad")


def test_a_policy_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="helsingborg"):
        load_policy(tmp_path / "none.toml")


def test_prioritised_areas_have_dates() -> None:
    assert HBG.is_prioritised("söder", date(2026, 1, 1))
    assert not HBG.is_prioritised("Söder", date(2031, 1, 1))
    assert not HBG.is_prioritised("Pålsjö", date(2026, 1, 1))


def test_hoerby_hurries_for_a_row_and_sets_no_time_that_was_not_read() -> None:
    hoerby = load_policy("horby")
    verdict = judge(hoerby, Facts(kind="lamp_failure", out=5, run_out=5))
    assert (verdict.rule_id, verdict.first_action, verdict.repaired) == ("horby-rad", "", "")
    assert judge(hoerby, Facts(kind="lamp_failure", out=1)).priority == "planerad"
