"""Rounds over a real ledger: one work order per cause, proved or denied by the light."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from contracts.lamp_street import HOUR_MS, NOW_MS, finding, street

from analytics.findings import CauseKind, FindingKind
from api.errors import BadInputError
from api.findings import NamedFinding
from api.interop.csv_export import truth_columns
from api.ledger import DarkHours, Ledger, OrderFilter, open_ledger
from api.operations.incidents import IncidentState
from api.operations.states import LuminaireState
from api.operations.work_orders import Action, Crew, Rejection, WorkOrderState

S = WorkOrderState


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with open_ledger(ledger_url) as opened:
        opened.put_assets(street(), now_ms=NOW_MS)
        yield opened


def feeder(first: int = 1, last: int = 19, *, end_ms: int | None = None) -> list[NamedFinding]:
    return [
        finding(
            i,
            "feeder/F0",
            kind=FindingKind.SUPPLY_LOSS,
            cause_kind=CauseKind.FEEDER,
            cause_id="F0",
            end_ms=end_ms,
        )
        for i in range(first, last + 1)
    ]


def only_order(ledger: Ledger) -> int:
    (order,) = ledger.work_orders(OrderFilter(open=True)).items
    return order.id


def step(
    ledger: Ledger, number: int, action: Action, *, now_ms: int = NOW_MS, **facts: object
) -> None:
    version = ledger.work_order(number).order.version
    ledger.transition(number, action, version=version, actor="kim", now_ms=now_ms, **facts)  # type: ignore[arg-type]


def test_a_whole_feeder_out_is_one_order(ledger: Ledger) -> None:
    result = ledger.reconcile(feeder(), now_ms=NOW_MS)
    assert result.opened == ("feeder/F0",)
    (order,) = ledger.work_orders().items
    assert (order.cause_kind, order.cause_id, order.members) == ("feeder", "F0", 19)
    assert order.title == "supply loss: 19 luminaires, feeder F0"
    assert order.priority == "akut"
    assert order.budget_account.value == "drift_ordinarie"
    detail = ledger.work_order(order.id)
    assert [m.luminaire_id for m in detail.members][:3] == ["L1", "L2", "L3"]
    assert detail.evidence[0].evidence == {"illuminance_lx": 0.1}
    assert {m.state for m in detail.members} == {"faulty"}


def test_running_a_round_again_changes_nothing(ledger: Ledger) -> None:
    findings = [*feeder(), finding(25, "lamp/L25")]
    assert not ledger.reconcile(findings, now_ms=NOW_MS, settled=True).quiet
    before = ledger.work_orders().items
    for hours in range(1, 4):
        again = ledger.reconcile(findings, now_ms=NOW_MS + hours * HOUR_MS, settled=True)
        assert again.quiet
    assert ledger.work_orders().items == before
    assert len(ledger.incident(1).timeline) == 2  # opened, confirmed


def test_the_light_that_comes_back_proves_the_repair(ledger: Ledger) -> None:
    ledger.reconcile(feeder(), now_ms=NOW_MS)
    number = only_order(ledger)
    step(ledger, number, Action.START)
    step(ledger, number, Action.DONE, now_ms=NOW_MS + HOUR_MS)
    assert ledger.reconcile(feeder(), now_ms=NOW_MS + 2 * HOUR_MS).quiet
    result = ledger.reconcile(feeder(end_ms=NOW_MS + 5 * HOUR_MS), now_ms=NOW_MS + 20 * HOUR_MS)
    assert result.orders_verified == (number,)
    order = ledger.work_order(number).order
    assert (order.state, order.verification) == (S.VERIFIED, "light")
    assert order.closed_ms == NOW_MS + 20 * HOUR_MS


def test_a_repair_the_next_dark_hours_deny_is_reopened_with_the_evidence(ledger: Ledger) -> None:
    ledger.reconcile(feeder(), now_ms=NOW_MS)
    number = only_order(ledger)
    step(ledger, number, Action.DONE)
    night = DarkHours(NOW_MS + 4 * HOUR_MS, NOW_MS + 18 * HOUR_MS)
    still = feeder(3, 5)
    cleared = [
        f for f in feeder(end_ms=NOW_MS + 5 * HOUR_MS) if f.device_id not in {"d3", "d4", "d5"}
    ]
    result = ledger.reconcile(
        [*still, *cleared], now_ms=NOW_MS + 19 * HOUR_MS, night=night, settled=True
    )
    assert result.orders_reopened == (number,)
    detail = ledger.work_order(number)
    assert detail.order.state is S.REOPENED
    assert detail.history[-1].details["still_faulty"] == ["d3", "d4", "d5"]
    assert detail.history[-1].details["dark_stop_ms"] == night.stop_ms
    again = ledger.reconcile(
        [*still, *cleared], now_ms=NOW_MS + 20 * HOUR_MS, night=night, settled=True
    )
    assert again.quiet


def test_a_night_before_the_repair_denies_nothing(ledger: Ledger) -> None:
    ledger.reconcile(feeder(), now_ms=NOW_MS)
    number = only_order(ledger)
    step(ledger, number, Action.DONE)
    earlier = DarkHours(NOW_MS - 14 * HOUR_MS, NOW_MS - HOUR_MS)
    ledger.reconcile(feeder(), now_ms=NOW_MS + HOUR_MS, night=earlier)
    assert ledger.work_order(number).order.state is S.DONE


def test_silence_neither_proves_nor_denies_a_repair(ledger: Ledger) -> None:
    ledger.reconcile([finding(7, "lamp/L7")], now_ms=NOW_MS)
    number = only_order(ledger)
    step(ledger, number, Action.DONE)
    night = DarkHours(NOW_MS + 4 * HOUR_MS, NOW_MS + 18 * HOUR_MS)
    ledger.reconcile(
        [finding(7, "lamp/L7")],
        now_ms=NOW_MS + 19 * HOUR_MS,
        night=night,
        states={"d7": LuminaireState.UNKNOWN},
    )
    assert ledger.work_order(number).order.state is S.DONE
    assert not ledger.work_order(number).light_decides


def test_an_order_whose_fault_comes_back_is_reopened(ledger: Ledger) -> None:
    ledger.reconcile([finding(7, "x")], now_ms=NOW_MS)
    ledger.reconcile([finding(7, "x", end_ms=NOW_MS)], now_ms=NOW_MS + HOUR_MS)
    result = ledger.reconcile([finding(7, "x", start_ms=NOW_MS + 2)], now_ms=NOW_MS + 9 * HOUR_MS)
    assert result.reopened == ("x",)
    order = ledger.work_order(only_order(ledger)).order
    assert (order.state, order.times_reopened, order.verification) == (S.REOPENED, 1, None)


def test_single_orders_become_part_of_the_feeders_order(ledger: Ledger) -> None:
    ledger.reconcile([finding(1, "a"), finding(2, "b")], now_ms=NOW_MS)
    result = ledger.reconcile(feeder(), now_ms=NOW_MS + HOUR_MS)
    assert (result.merged, result.orders_closed) == (("a", "b"), (1, 2))
    assert ledger.work_order(1).order.duplicate_of == only_order(ledger)
    assert ledger.incident(1).incident.state is IncidentState.MERGED
    # Once the feeder is mended, a lamp that stays dark is a matter of its own again.
    fixed = feeder(end_ms=NOW_MS + 2 * HOUR_MS)
    result = ledger.reconcile([*fixed, finding(2, "b")], now_ms=NOW_MS + 20 * HOUR_MS)
    assert result.reopened == ("b",)
    assert ledger.work_order(2).order.state is S.REOPENED


def test_a_finding_later_data_takes_back_closes_an_order_nobody_needs(ledger: Ledger) -> None:
    ledger.reconcile([finding(7, "x")], now_ms=NOW_MS)
    result = ledger.reconcile([], now_ms=NOW_MS + HOUR_MS, complete_since_ms=0)
    assert result.withdrawn == ("x",)
    order = ledger.work_order(1).order
    assert (order.state, order.rejection) == (S.REJECTED, "not_a_fault")
    assert ledger.findings() == []
    assert len(ledger.findings(withdrawn=True)) == 1


def test_what_was_no_fault_is_no_repair_proved_by_light(ledger: Ledger) -> None:
    ledger.reconcile([finding(7, "x")], now_ms=NOW_MS)
    taken_back = [replace(finding(7, "x", end_ms=NOW_MS + HOUR_MS), withdrawn=True)]
    result = ledger.reconcile(taken_back, now_ms=NOW_MS + HOUR_MS, settled=True)
    assert (result.withdrawn, result.cleared, result.orders_verified) == (("x",), (), ())
    order = ledger.work_order(1).order
    assert (order.state, order.rejection) == (S.REJECTED, "not_a_fault")
    assert ledger.findings() == []
    assert ledger.reconcile(taken_back, now_ms=NOW_MS + 2 * HOUR_MS, settled=True).quiet
    back = ledger.reconcile([finding(7, "x")], now_ms=NOW_MS + 3 * HOUR_MS)
    assert back.orders_reopened == (1,)


def test_what_a_crew_mended_and_was_no_fault_is_proved_by_no_light(ledger: Ledger) -> None:
    ledger.reconcile([finding(7, "x")], now_ms=NOW_MS)
    step(ledger, 1, Action.START, now_ms=NOW_MS + 1)
    step(ledger, 1, Action.DONE, now_ms=NOW_MS + 2)
    taken_back = [replace(finding(7, "x", end_ms=NOW_MS + HOUR_MS), withdrawn=True)]
    ledger.reconcile(taken_back, now_ms=NOW_MS + HOUR_MS, settled=True)
    detail = ledger.work_order(1)
    assert (detail.order.state, detail.order.verification) == (S.VERIFIED, "crew")
    assert truth_columns([detail])["fault_id"] == []


def test_nobody_hears_of_what_was_taken_back_before_it_was_told(ledger: Ledger) -> None:
    taken_back = [replace(finding(7, "x", end_ms=NOW_MS), withdrawn=True)]
    assert ledger.reconcile(taken_back, now_ms=NOW_MS).quiet
    assert ledger.incidents() == []


def test_an_order_of_which_a_part_was_no_fault_is_proved_by_the_rest(ledger: Ledger) -> None:
    ledger.reconcile([finding(7, "x"), finding(8, "x")], now_ms=NOW_MS)
    result = ledger.reconcile(
        [
            finding(7, "x", end_ms=NOW_MS + HOUR_MS),
            replace(finding(8, "x", end_ms=NOW_MS + HOUR_MS), withdrawn=True),
        ],
        now_ms=NOW_MS + HOUR_MS,
    )
    assert result.orders_verified == (1,)
    detail = ledger.work_order(1)
    assert [m.device_id for m in detail.members] == ["d7"]


def test_an_order_joined_by_hand_is_closed_when_none_of_it_was_a_fault(ledger: Ledger) -> None:
    found = [finding(7, "x"), finding(8, "y")]
    ledger.reconcile(found, now_ms=NOW_MS)
    ledger.merge(1, [2], actor="kim", now_ms=NOW_MS)
    taken_back = [replace(f, end_ms=NOW_MS + HOUR_MS, withdrawn=True) for f in found]
    ledger.reconcile(taken_back, now_ms=NOW_MS + HOUR_MS)
    assert ledger.work_order(1).order.state is S.REJECTED


def test_an_order_rejected_as_intended_stays_so_when_the_lamp_goes_dark_again(
    ledger: Ledger,
) -> None:
    ledger.reconcile([finding(7, "x")], now_ms=NOW_MS)
    step(ledger, 1, Action.REJECT, rejection=Rejection.INTENTIONAL)
    ledger.reconcile([finding(7, "x", end_ms=NOW_MS)], now_ms=NOW_MS + HOUR_MS)
    ledger.reconcile([finding(7, "x", start_ms=NOW_MS + 9)], now_ms=NOW_MS + 30 * HOUR_MS)
    assert ledger.work_order(1).order.state is S.REJECTED


def test_the_fifth_in_a_row_makes_the_four_beside_it_urgent(ledger: Ledger) -> None:
    singles = [finding(i, f"lamp/L{i}") for i in range(10, 14)]
    ledger.reconcile(singles, now_ms=NOW_MS)
    assert {o.priority for o in ledger.work_orders().items} == {"skyndsam"}
    ledger.reconcile([*singles, finding(14, "lamp/L14")], now_ms=NOW_MS + HOUR_MS)
    orders = ledger.work_orders().items
    assert {o.priority for o in orders} == {"akut"}
    assert "5 out in a row" in orders[0].why
    assert [h.action for h in ledger.work_order(orders[0].id).history][-1] == "reprioritise"


def test_five_scattered_lamps_on_one_feeder_are_five_ordinary_orders(ledger: Ledger) -> None:
    scattered = (1, 4, 7, 11, 14)
    ledger.reconcile([finding(i, f"lamp/{i}") for i in scattered], now_ms=NOW_MS)
    orders = ledger.work_orders().items
    assert len(orders) == len(scattered)
    assert {o.priority for o in orders} & {"akut", "skyndsam"} == set()
    # One order for all of them, as lamps: still no five in a row and no five side by side.
    ledger.reconcile([finding(i, f"lamp/{i}", end_ms=NOW_MS) for i in scattered], now_ms=NOW_MS)
    one = [
        finding(i, "F0/lamps", cause_kind=CauseKind.FEEDER, cause_id="F0", start_ms=NOW_MS + 1)
        for i in scattered
    ]
    ledger.reconcile(one, now_ms=NOW_MS + HOUR_MS)
    (order,) = ledger.work_orders(OrderFilter(open=True)).items
    assert (order.members, order.priority != "akut") == (5, True), order.why


def test_sensor_faults_go_to_the_sensor_crew_and_are_never_urgent(ledger: Ledger) -> None:
    stuck = [finding(i, f"s{i}", kind=FindingKind.SENSOR_STUCK) for i in range(1, 9)]
    ledger.reconcile(stuck, now_ms=NOW_MS)
    assert {(o.crew, o.priority) for o in ledger.work_orders().items} == {
        (Crew.SENSOR, "vid_tillfalle")
    }


def test_findings_of_simulated_devices_open_no_real_order(ledger: Ledger) -> None:
    result = ledger.reconcile([finding(1, "x", simulated=True)], now_ms=NOW_MS)
    assert (result.suppressed, result.quiet) == (1, True)
    assert ledger.work_orders().items == ()
    ledger.allow_simulated = True
    ledger.reconcile([finding(1, "x", simulated=True)], now_ms=NOW_MS)
    assert ledger.work_orders().items[0].simulated


def test_planned_work_raises_nothing_and_is_checked_after(ledger: Ledger) -> None:
    ledger.plan_work(
        cause_kind="feeder",
        cause_id="F0",
        from_ms=NOW_MS - 12 * HOUR_MS,
        until_ms=NOW_MS + HOUR_MS,
        reason="cable works",
        owner="E.ON",
    )
    assert ledger.reconcile(feeder(), now_ms=NOW_MS).suppressed == 19
    assert ledger.luminaire_states()["d1"].state is LuminaireState.PLANNED
    result = ledger.reconcile(feeder(), now_ms=NOW_MS + HOUR_MS)
    assert len(result.orders_created) == 1
    assert ledger.planned_work()[0].checked_ms == NOW_MS + HOUR_MS


def test_planned_work_on_nothing_is_refused(ledger: Ledger) -> None:
    with pytest.raises(BadInputError, match="no asset"):
        ledger.plan_work(
            cause_kind="feeder", cause_id="F9", from_ms=0, until_ms=1, reason="r", owner="o"
        )


@pytest.mark.slow
def test_five_hundred_luminaires_on_one_cabinet_are_one_order_and_one_alert(
    ledger_url: str,
) -> None:
    with open_ledger(ledger_url) as ledger:
        ledger.put_assets(street(500, cabinet="C9"), now_ms=NOW_MS)
        dark = [
            finding(
                i,
                "cabinet/C9",
                kind=FindingKind.SUPPLY_LOSS,
                cause_kind=CauseKind.CABINET,
                cause_id="C9",
            )
            for i in range(1, 501)
        ]
        ledger.reconcile(dark, now_ms=NOW_MS)
        assert [o.members for o in ledger.work_orders().items] == [500]
        assert [m.kind for m in ledger.matters()] == ["work_order.opened"]


def test_states_keep_what_was_last_known_through_silence(ledger: Ledger) -> None:
    ledger.reconcile([], now_ms=NOW_MS, states={"d1": LuminaireState.OK})
    ledger.reconcile([], now_ms=NOW_MS + HOUR_MS, states={"d1": LuminaireState.UNKNOWN})
    status = ledger.luminaire_states()["d1"]
    assert (status.state, status.since_ms) == (LuminaireState.UNKNOWN, NOW_MS + HOUR_MS)
    assert (status.last_known, status.observed_ms) == (LuminaireState.OK, NOW_MS)
    assert ledger.luminaire_states()["d2"].reason == "never_judged"


def test_pages_that_follow_the_stream_see_every_change_in_order(ledger: Ledger) -> None:
    ledger.reconcile([finding(7, "x")], now_ms=NOW_MS)
    at = ledger.stream_position()
    step(ledger, 1, Action.START)
    (news,) = ledger.stream(after=at)
    assert (news.kind, news.subject, news.content["state"]) == ("work_order", "1", "started")
    assert ledger.stream(after=at, areas=["Dalhem"]) == []
    assert ledger.stream(after=news.id + 100) == []
