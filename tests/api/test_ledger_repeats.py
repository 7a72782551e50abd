"""What is done under a key is done once, whole or not at all, on both databases."""

from collections.abc import Iterator

import pytest
from contracts.lamp_street import NOW_MS, finding, street
from contracts.together import together

from api.errors import ConflictError
from api.ledger import Ledger, open_ledger
from api.ledger.repeats import KEPT_MS, RememberedAnswer
from api.operations.work_orders import Action

ANSWER = RememberedAnswer("asked", 201, "made")


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with open_ledger(ledger_url) as opened:
        opened.put_assets(street(3), now_ms=NOW_MS)
        opened.reconcile([finding(1, "lamp/1")], now_ms=NOW_MS)
        yield opened


def order_of(ledger: Ledger) -> int:
    return ledger.work_orders().items[0].id


def start(ledger: Ledger) -> None:
    ledger.transition(order_of(ledger), Action.START, version=1, actor="kim", now_ms=NOW_MS)


def actions(ledger: Ledger) -> list[str]:
    return [h.action for h in ledger.work_order(order_of(ledger)).history]


def test_the_first_answer_stands_and_each_has_keys_of_its_own(ledger: Ledger) -> None:
    with ledger.once("kim", "k", now_ms=NOW_MS) as turn:
        turn.answer = ANSWER
    with ledger.once("kim", "k", now_ms=NOW_MS) as turn:
        assert turn.before == ANSWER
    with ledger.once("li", "k", now_ms=NOW_MS) as turn:
        assert turn.before is None
    with ledger.once("kim", "k", now_ms=NOW_MS + KEPT_MS + 1) as turn:
        assert turn.before is None


def test_what_was_done_is_seen_inside_and_is_kept_with_the_answer(ledger: Ledger) -> None:
    with ledger.once("kim", "k", now_ms=NOW_MS) as turn:
        start(ledger)
        ledger.audit(actor="kim", action="x", subject="y", now_ms=NOW_MS)
        assert actions(ledger) == ["create", "start"]
        turn.answer = ANSWER
    assert actions(ledger) == ["create", "start"]
    assert len(ledger.audit_entries()) == 1


def test_an_error_takes_everything_back_and_the_request_may_come_again(ledger: Ledger) -> None:
    def fails() -> None:
        with ledger.once("kim", "k", now_ms=NOW_MS) as turn:
            start(ledger)
            turn.answer = ANSWER
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert actions(ledger) == ["create"]
    with ledger.once("kim", "k", now_ms=NOW_MS) as turn:
        assert turn.before is None


def test_without_an_answer_nothing_was_done(ledger: Ledger) -> None:
    with ledger.once("kim", "k", now_ms=NOW_MS):
        start(ledger)
    assert actions(ledger) == ["create"]


def test_a_refused_step_inside_leaves_the_others(ledger: Ledger) -> None:
    with ledger.once("kim", "k", now_ms=NOW_MS) as turn:
        start(ledger)
        with pytest.raises(ConflictError):
            ledger.transition(
                order_of(ledger), Action.RESUME, version=2, actor="kim", now_ms=NOW_MS
            )
        turn.answer = ANSWER
    assert actions(ledger) == ["create", "start"]


def test_twenty_at_once_under_one_key_have_one_effect(ledger: Ledger) -> None:
    order = order_of(ledger)

    def ask() -> object:
        with ledger.once("kim", "k", now_ms=NOW_MS) as turn:
            if turn.before is None:
                ledger.transition(
                    order, Action.NOTE, version=None, actor="k", now_ms=NOW_MS, note="x"
                )
                turn.answer = ANSWER
            return turn.before or turn.answer

    assert together(*[ask] * 20) == [ANSWER] * 20
    assert actions(ledger) == ["create", "note"]
