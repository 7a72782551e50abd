"""Findings into incidents, without any database."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from analytics.findings import CauseKind, FindingKind, Severity
from api.findings import NamedFinding
from api.operations.incidents import (
    IncidentState,
    Known,
    KnownFinding,
    Plan,
    PlannedWindow,
    What,
    plan_round,
    unplanned,
)


def finding(
    device: str,
    incident: str,
    *,
    kind: FindingKind = FindingKind.LAMP_FAILURE,
    start: int = 1000,
    end: int | None = None,
) -> NamedFinding:
    return NamedFinding(
        kind=kind,
        device_id=device,
        luminaire_id=device,
        incident=incident,
        cause_kind=CauseKind.LUMINAIRE,
        cause_id=device,
        start_ms=start,
        end_ms=end,
        raised_ms=start + 10,
        severity=Severity.MAJOR,
        confidence=0.9,
        note="",
    )


def remembered(before: dict[str, Known], plan: Plan) -> dict[str, Known]:
    """What a ledger holds after a plan: the plainest ledger there can be."""
    after = dict(before)
    for wanted in plan.incidents:
        old = after.get(wanted.key)
        held = dict(old.findings) if old else {}
        for device, kind in wanted.withdrawn:
            held[device, kind] = replace(held[device, kind], withdrawn=True)
        for f in wanted.findings:
            held[f.device_id, f.kind] = KnownFinding(f.device_id, f.kind, f.start_ms, f.end_ms)
        after[wanted.key] = Known(
            wanted.key,
            wanted.state,
            wanted.kind,
            CauseKind.LUMINAIRE,
            "",
            wanted.confirmed,
            held,
            wanted.merged_into,
        )
    return after


def whats(plan: Plan) -> dict[str, list[What]]:
    return {w.key: [e.what for e in w.entries] for w in plan.incidents}


drawn_findings = st.lists(
    st.builds(
        finding,
        device=st.sampled_from("abcd"),
        incident=st.sampled_from("XYZ"),
        kind=st.sampled_from(
            [FindingKind.LAMP_FAILURE, FindingKind.SUPPLY_LOSS, FindingKind.COMMUNICATION_FAILURE]
        ),
        start=st.sampled_from([1000, 2000]),
        end=st.sampled_from([None, None, 3000]),
    ),
    max_size=8,
)


@given(rounds=st.lists(drawn_findings, max_size=5), settled=st.booleans(), complete=st.booleans())
def test_the_same_round_again_changes_nothing(
    rounds: list[list[NamedFinding]], settled: bool, complete: bool
) -> None:
    known: dict[str, Known] = {}
    since = 0 if complete else None
    for findings in rounds:
        known = remembered(
            known, plan_round(known, findings, settled=settled, complete_since_ms=since)
        )
        again = plan_round(known, findings, settled=settled, complete_since_ms=since)
        assert again.incidents == ()


@given(findings=drawn_findings, order=st.randoms(use_true_random=False))
def test_the_order_of_findings_does_not_matter(findings: list[NamedFinding], order: object) -> None:
    unique = list({(f.incident, f.device_id, f.kind): f for f in findings}.values())
    shuffled = list(unique)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan_round({}, unique) == plan_round({}, shuffled)


def test_an_incident_opens_is_confirmed_and_clears() -> None:
    known = remembered({}, plan_round({}, [finding("a", "X")]))
    confirmed = plan_round(known, [finding("a", "X")], settled=True)
    assert whats(confirmed) == {"X": [What.CONFIRMED]}
    known = remembered(known, confirmed)
    cleared = plan_round(known, [finding("a", "X", end=2000)], settled=True)
    assert whats(cleared) == {"X": [What.CLEARED]}
    assert cleared.incidents[0].state is IncidentState.CLEARED
    known = remembered(known, cleared)
    back = plan_round(known, [finding("a", "X", start=5000)])
    assert whats(back) == {"X": [What.REOPENED]}


def test_a_finding_that_is_not_repeated_stays_until_light_or_a_complete_round_says_otherwise() -> (
    None
):
    known = remembered({}, plan_round({}, [finding("a", "X")]))
    assert plan_round(known, []).incidents == ()
    assert plan_round(known, [], complete_since_ms=1500).incidents == ()
    gone = plan_round(known, [], complete_since_ms=1000)
    assert gone.incidents[0].state is IncidentState.WITHDRAWN


def test_single_lamps_that_turn_out_to_be_one_feeder_are_merged_into_it() -> None:
    singles = [
        finding("a", "A"),
        finding("b", "B"),
        finding("c", "C", kind=FindingKind.SENSOR_STUCK),
    ]
    known = remembered({}, plan_round({}, singles))
    feeder = [finding(d, "F", kind=FindingKind.SUPPLY_LOSS) for d in "abc"]
    plan = plan_round(known, feeder)
    assert whats(plan) == {
        "A": [What.MERGED],
        "B": [What.MERGED],
        "F": [What.OPENED, What.ABSORBED, What.ABSORBED],
    }
    # The stuck sensor is another crew's matter: C stays.


def test_what_was_merged_stays_so_while_only_ends_are_told_of_it() -> None:
    feeder = [finding(d, "feeder/F0") for d in ("d1", "d2")]
    alone = [finding(d, f"lamp/{d}") for d in ("d1", "d2")]
    held = remembered({}, plan_round({}, feeder))
    held = remembered(held, plan_round(held, alone))
    assert held["feeder/F0"].state is IncidentState.MERGED
    over = [finding(d, key, end=5000) for d, key in (("d1", "lamp/d1"), ("d1", "feeder/F0"))]
    said = [*over, alone[1]]
    plan = plan_round(held, said, complete_since_ms=0)
    assert whats(plan) == {"lamp/d1": [What.CLEARED]}
    held = remembered(held, plan)
    assert plan_round(held, said, complete_since_ms=0).incidents == ()


def test_what_stands_again_under_its_own_name_brings_back_only_what_is_told() -> None:
    feeder = [finding(d, "feeder/F0") for d in ("d1", "d2")]
    held = remembered({}, plan_round({}, feeder))
    held = remembered(held, plan_round(held, [finding(d, f"lamp/{d}") for d in ("d1", "d2")]))
    plan = plan_round(held, feeder[:1])
    (back,) = [w for w in plan.incidents if w.key == "feeder/F0"]
    assert back.state is IncidentState.OPEN
    assert back.withdrawn == [("d2", FindingKind.LAMP_FAILURE)]
    held = remembered(held, plan)
    assert plan_round(held, feeder[:1]).incidents == ()
    assert plan_round(held, feeder[:1], complete_since_ms=9_000).incidents == ()


def test_an_incident_of_which_one_luminaire_is_elsewhere_is_not_merged() -> None:
    known = remembered({}, plan_round({}, [finding("a", "X"), finding("b", "X")]))
    plan = plan_round(known, [finding("a", "F")])
    assert [w.key for w in plan.incidents] == ["F"]


def test_members_and_kind_may_change() -> None:
    known = remembered({}, plan_round({}, [finding("a", "X")]))
    more = plan_round(known, [finding("a", "X"), finding("b", "X")])
    assert whats(more) == {"X": [What.MEMBERS]}
    known = remembered(known, more)
    other = plan_round(
        known,
        [
            finding("a", "X", end=2000),
            finding("b", "X", end=2000),
            finding("a", "X", kind=FindingKind.CYCLING_FAILURE),
            finding("b", "X", kind=FindingKind.CYCLING_FAILURE),
        ],
    )
    assert whats(other) == {"X": [What.CHANGED_KIND]}


def test_planned_work_raises_nothing_while_it_lasts_and_everything_is_checked_after() -> None:
    window = PlannedWindow("a", 1000, 2000)
    inside = finding("a", "X", start=1500)
    assert unplanned([inside], [window], now_ms=1800) == ([], 1)
    assert unplanned([inside], [window], now_ms=2000) == ([inside], 0)
    over = finding("a", "X", start=1500, end=1900)
    assert unplanned([over], [window], now_ms=5000) == ([], 1)
    before = finding("a", "X", start=999)
    other = finding("b", "X", start=1500)
    assert unplanned([before, other], [window], now_ms=1800) == ([before, other], 0)
