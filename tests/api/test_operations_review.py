"""Looking back: what-if, ranking, repeat faults, quality."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from contracts.lamp_street import HOUR_MS, NOW_MS, finding, street

from api.ledger import Ledger, open_ledger
from api.operations.ranking import ranked, repeat_faults
from api.operations.sla import load_policy
from api.operations.what_if import changed, try_policy
from api.operations.work_orders import Action, Rejection

DAY_MS = 24 * HOUR_MS


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path / "ops.db") as opened:
        opened.put_assets(street(40, area="Pålsjö"), now_ms=NOW_MS)
        yield opened


def test_a_policy_is_tried_on_what_happened(ledger: Ledger) -> None:
    """Three in a row and two singles; everything is mended after four days."""
    row = [finding(i, f"x{i}") for i in (10, 11, 12)]
    singles = [finding(i, f"x{i}") for i in (1, 30)]
    ledger.reconcile([*row, *singles], now_ms=NOW_MS)
    for number in range(1, 6):
        ledger.transition(number, Action.DONE, version=1, actor="k", now_ms=NOW_MS + 6 * DAY_MS)
    cases = ledger.cases(now_ms=NOW_MS + 7 * DAY_MS)
    val, hbg = (try_policy(load_policy(name), cases) for name in ("vallentuna", "helsingborg"))
    assert val.by_priority == {"akut": 0, "skyndsam": 3, "planerad": 2}
    assert (val.late_repaired, val.timed_repaired) == (3, 5)
    assert hbg.by_priority["skyndsam"] == 3
    # Helsingborg's first action was due the next working day for the row, in ten for the rest.
    assert (hbg.late_first_action, hbg.timed_first_action) == (3, 5)
    assert changed(val, val) == []
    assert [n for n, _, _ in changed(val, try_policy(load_policy("kungsbacka"), cases))] == [
        1, 2, 3, 4, 5,
    ]  # fmt: skip


def test_crews_see_urgency_first_then_people_in_the_dark_then_the_way(ledger: Ledger) -> None:
    ledger.reconcile(
        [finding(1, "a"), finding(20, "b"), finding(39, "c")],
        now_ms=NOW_MS,
        exposure={finding(20, "b").device_id: 120.0},
    )
    near_last = (56.03 + 39 * 0.00027, 12.7)
    order = [
        (o.cause_id, None if d is None else round(d))
        for o, d in ranked(ledger.work_orders().items, near=near_last)
    ]
    assert order == [("L20", 570), ("L39", 0), ("L1", 1141)]
    assert ranked(ledger.work_orders().items)[0][0].cause_id == "L20"


def test_a_place_with_three_faults_in_ninety_days_keeps_failing(ledger: Ledger) -> None:
    for turn, day in enumerate((0, 40, 89, 200)):
        at = NOW_MS + day * DAY_MS
        key = f"turn{turn}"
        ledger.reconcile([finding(11, key, start_ms=at)], now_ms=at)
        order = ledger.work_orders().items
        assert order
        ledger.reconcile([finding(11, key, start_ms=at, end_ms=at + 1)], now_ms=at + 2)
    orders = ledger.orders_since()
    for o, at in zip(orders, (0, 40, 89, 200), strict=True):
        assert o.created_ms == NOW_MS + at * DAY_MS
    dated = [replace(o, detected_ms=o.created_ms) for o in orders]
    (found,) = repeat_faults(dated)
    assert (found.site, found.faults, found.order_ids) == ("Pålsjö 1", 3, (1, 2, 3))
    assert repeat_faults(dated[1:]) == []


def test_rejections_feed_the_quality_figures(ledger: Ledger) -> None:
    ledger.reconcile([finding(i, f"x{i}") for i in (1, 5, 9, 13)], now_ms=NOW_MS)
    ledger.transition(
        1,
        Action.REJECT,
        version=1,
        actor="k",
        now_ms=NOW_MS,
        rejection=Rejection.NOT_A_FAULT,
    )
    over = [finding(i, f"x{i}", end_ms=NOW_MS) for i in (5, 9, 13)]
    ledger.reconcile(over, now_ms=NOW_MS + HOUR_MS)
    figures = ledger.quality()
    assert (figures.orders, figures.verified, figures.by_proof) == (4, 3, {"light": 3})
    assert figures.wrong_share == 0.25
    assert ledger.equity() == {
        "prioritised": (0, None),
        "rest": (3, pytest.approx(2 * HOUR_MS / DAY_MS)),
    }
