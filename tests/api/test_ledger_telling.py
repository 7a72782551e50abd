"""Who is told, when, and exactly once."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from contracts.lamp_street import HOUR_MS, NOW_MS, finding, street
from hypothesis import given
from hypothesis import strategies as st

from analytics.findings import FindingKind
from api.errors import BadInputError, ConflictError
from api.ledger import Ledger, open_ledger
from api.notify import DeliveryError, Dispatcher
from api.notify.messages import subject_of
from api.operations.alerts import (
    MAX_ATTEMPTS,
    Channel,
    DeliveryState,
    Message,
    Rules,
    bundles,
    parse_rules,
    stored_rules,
    tell_at_ms,
)
from api.operations.work_orders import Action

MINUTE_MS = 60_000


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with open_ledger(ledger_url) as opened:
        opened.put_assets(street(40), now_ms=NOW_MS)
        yield opened


class Post:
    """A channel that keeps what it sends, and fails while told to."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.error: DeliveryError | None = None

    def send(self, message: Message) -> None:
        if self.error is not None:
            raise self.error
        self.messages.append(message)

    @property
    def keys(self) -> list[list[str]]:
        return [[m.key for m in message.matters] for message in self.messages]


def kim(ledger: Ledger, **rules: object) -> tuple[Post, Dispatcher]:
    ledger.put_recipient(
        "kim", channel=Channel.EMAIL, address="kim@example.org", rules=parse_rules(rules)
    )
    post = Post()
    return post, Dispatcher(ledger, {Channel.EMAIL: post}, name="one")


def five_in_a_row(ledger: Ledger, *, now_ms: int = NOW_MS) -> None:
    ledger.reconcile(
        [finding(i, "row/S1") for i in range(10, 15)],
        now_ms=now_ms,
    )


def test_one_matter_is_told_once_whatever_is_run_again(ledger: Ledger) -> None:
    post, dispatcher = kim(ledger)
    five_in_a_row(ledger)
    for turn in range(3):
        dispatcher.run_once(now_ms=NOW_MS + turn * HOUR_MS)
        five_in_a_row(ledger, now_ms=NOW_MS + turn * HOUR_MS)
    assert post.keys == [["work_order:1:opened"]]
    (delivery,) = ledger.deliveries()
    assert (delivery.state, delivery.recipient) == (DeliveryState.SENT, "kim")


def test_a_crash_between_sending_and_knowing_it_repeats_the_same_message(ledger: Ledger) -> None:
    kim(ledger)
    five_in_a_row(ledger)
    ledger.plan_alerts(now_ms=NOW_MS)
    (first,) = ledger.claim_messages("dies", now_ms=NOW_MS)
    assert ledger.claim_messages("lives", now_ms=NOW_MS + MINUTE_MS) == []
    assert ledger.begin_attempt(first, "dies", now_ms=NOW_MS + MINUTE_MS)
    (again,) = ledger.claim_messages("lives", now_ms=NOW_MS + 7 * MINUTE_MS)
    assert (again.id, again.matters) == (first.id, first.matters)
    assert (first.may_have_arrived, again.may_have_arrived) == (False, True)
    assert subject_of(again).startswith("(kanske igen) ")
    assert ledger.begin_attempt(again, "lives", now_ms=NOW_MS + 7 * MINUTE_MS)
    ledger.message_sent(again, now_ms=NOW_MS)
    assert ledger.claim_messages("lives", now_ms=NOW_MS + HOUR_MS) == []


def test_who_lost_the_claim_while_others_were_slow_does_not_send(ledger: Ledger) -> None:
    kim(ledger)
    five_in_a_row(ledger)
    ledger.plan_alerts(now_ms=NOW_MS)
    (held,) = ledger.claim_messages("slow", now_ms=NOW_MS)
    assert not ledger.begin_attempt(held, "slow", now_ms=NOW_MS + 6 * MINUTE_MS)
    assert not ledger.begin_attempt(held, "other", now_ms=NOW_MS)
    (taken,) = ledger.claim_messages("other", now_ms=NOW_MS + 6 * MINUTE_MS)
    assert not ledger.begin_attempt(held, "slow", now_ms=NOW_MS + 6 * MINUTE_MS)
    assert ledger.begin_attempt(taken, "other", now_ms=NOW_MS + 6 * MINUTE_MS)


def test_a_message_that_kills_its_sender_is_given_up(ledger: Ledger) -> None:
    kim(ledger)
    five_in_a_row(ledger)
    ledger.plan_alerts(now_ms=NOW_MS)
    for turn in range(MAX_ATTEMPTS):
        at_ms = NOW_MS + turn * 6 * MINUTE_MS
        (message,) = ledger.claim_messages("mortal", now_ms=at_ms)
        assert ledger.begin_attempt(message, "mortal", now_ms=at_ms)
    later_ms = NOW_MS + HOUR_MS
    assert ledger.claim_messages("mortal", now_ms=later_ms) == []
    (dead,) = ledger.deliveries(state=DeliveryState.DEAD)
    assert dead.interrupted == MAX_ATTEMPTS


def test_rules_choose_by_area_crew_kind_and_urgency(ledger: Ledger) -> None:
    wanted = {
        "urgent": Rules(max_rank=0),
        "dalhem": Rules(areas=frozenset({"Dalhem"})),
        "sensors": Rules(crews=frozenset({"sensor"})),
        "all": Rules(),
    }
    for name, rules in wanted.items():
        ledger.put_recipient(name, channel=Channel.EMAIL, address=name, rules=rules)
    five_in_a_row(ledger)
    ledger.reconcile([finding(30, "s", kind=FindingKind.SENSOR_STUCK)], now_ms=NOW_MS)
    ledger.plan_alerts(now_ms=NOW_MS)
    told = sorted((d.recipient, d.matter_id) for d in ledger.deliveries())
    assert told == [("all", 1), ("all", 2), ("sensors", 2), ("urgent", 1)]


def stockholm(text: str) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Stockholm"))
    return int(moment.timestamp() * 1000)


@pytest.mark.parametrize(
    ("now", "rank", "expected"),
    [
        ("2026-11-18T23:00", 1, "2026-11-19T06:30"),
        ("2026-11-19T05:00", 1, "2026-11-19T06:30"),
        ("2026-11-19T06:30", 1, "2026-11-19T06:30"),
        ("2026-11-18T21:59", 1, "2026-11-18T21:59"),
        ("2026-11-18T23:00", 0, "2026-11-18T23:00"),
        # The night the clocks go forward is an hour shorter; half past six is half past six.
        ("2026-03-28T23:00", 1, "2026-03-29T06:30"),
    ],
)
def test_quiet_hours_pass_midnight_and_urgent_matters_break_them(
    now: str, rank: int, expected: str
) -> None:
    rules = parse_rules({"quiet_from": "22:00", "quiet_until": "06:30"})
    assert tell_at_ms(rules, rank, stockholm(now)) == stockholm(expected)


def test_what_is_over_before_the_quiet_hours_end_is_told_to_nobody(ledger: Ledger) -> None:
    post, dispatcher = kim(ledger, quiet_from="00:00", quiet_until="23:59")
    found = [finding(7, "x")]
    ledger.reconcile(found, now_ms=NOW_MS)
    dispatcher.run_once(now_ms=NOW_MS)
    ledger.reconcile([finding(7, "x", end_ms=NOW_MS)], now_ms=NOW_MS + 1)
    dispatcher.run_once(now_ms=NOW_MS + 24 * HOUR_MS)
    assert post.messages == []
    assert {d.state for d in ledger.deliveries()} == {DeliveryState.LAPSED}


def test_a_digest_gathers_and_a_second_one_does_not_repeat(ledger: Ledger) -> None:
    post, dispatcher = kim(ledger, digest_minutes=60)
    ledger.reconcile([finding(i, f"x{i}") for i in (1, 5, 9)], now_ms=NOW_MS)
    dispatcher.run_once(now_ms=NOW_MS)
    assert post.messages == []
    dispatcher.run_once(now_ms=NOW_MS + HOUR_MS)
    dispatcher.run_once(now_ms=NOW_MS + 2 * HOUR_MS)
    assert [len(keys) for keys in post.keys] == [3]


def test_a_storm_becomes_a_few_messages_and_loses_nothing(ledger: Ledger) -> None:
    post, dispatcher = kim(ledger, storm_max=3)
    ledger.reconcile(
        [finding(i, f"x{i}", kind=FindingKind.CYCLING_FAILURE) for i in range(1, 31)],
        now_ms=NOW_MS,
    )
    dispatcher.run_once(now_ms=NOW_MS)
    assert [len(keys) for keys in post.keys] == [1, 1, 28]
    assert len({key for keys in post.keys for key in keys}) == 30


@given(
    storm=st.integers(1, 5),
    lately=st.integers(0, 8),
    digest=st.sampled_from([0, 30]),
    ranks=st.lists(st.integers(0, 2), max_size=20),
)
def test_bundling_loses_nothing_repeats_nothing_and_keeps_the_limit(
    storm: int, lately: int, digest: int, ranks: list[int]
) -> None:
    rules = Rules(storm_max=storm, digest_minutes=digest)
    found = bundles(rules, list(enumerate(ranks)), sent_lately=lately)
    assert sorted(n for bundle in found for n in bundle) == list(range(len(ranks)))
    assert len(found) <= max(storm - lately, 0) + 1


def test_an_unanswered_urgent_matter_climbs_the_ladder(ledger: Ledger) -> None:
    post, dispatcher = kim(ledger)
    for role in ("operator", "admin"):
        ledger.put_recipient(
            role, channel=Channel.EMAIL, address=role, rules=Rules(escalation_role=role)
        )
    five_in_a_row(ledger)
    for minutes in (0, 29, 30, 31, 59, 60, 90):
        dispatcher.run_once(now_ms=NOW_MS + minutes * MINUTE_MS)
    told = [(m.recipient.name, m.escalation) for m in post.messages]
    assert told == [("kim", 0), ("operator", 1), ("admin", 2)]


@pytest.mark.parametrize("answer", ["acknowledge", "start"])
def test_an_answer_stops_the_ladder(ledger: Ledger, answer: str) -> None:
    post, dispatcher = kim(ledger, escalation_role="operator")
    five_in_a_row(ledger)
    dispatcher.run_once(now_ms=NOW_MS)
    if answer == "acknowledge":
        matter = ledger.matters()[0]
        ledger.acknowledge(matter.id, actor="kim", now_ms=NOW_MS)
    else:
        ledger.transition(1, Action.START, version=1, actor="kim", now_ms=NOW_MS)
    dispatcher.run_once(now_ms=NOW_MS + 3 * HOUR_MS)
    assert post.messages == []


def test_c19_a_receiver_that_is_down_is_tried_again_and_then_given_up(ledger: Ledger) -> None:
    post, dispatcher = kim(ledger)
    five_in_a_row(ledger)
    post.error = DeliveryError("down")
    now_ms, waits = NOW_MS, []
    while True:
        dispatcher.run_once(now_ms=now_ms)
        (delivery,) = ledger.deliveries()
        if delivery.state is DeliveryState.DEAD:
            break
        waits.append((delivery.not_before_ms - now_ms) // 1000)
        now_ms = delivery.not_before_ms
    assert waits == [30, 60, 120, 240, 480, 960, 1920]
    assert delivery.attempts == MAX_ATTEMPTS
    post.error = None
    ledger.retry_delivery(delivery.id, now_ms=now_ms)
    dispatcher.run_once(now_ms=now_ms)
    assert len(post.messages) == 1
    with pytest.raises(ConflictError):
        ledger.retry_delivery(delivery.id, now_ms=now_ms)


def test_c19_gone_is_gone_and_a_wish_to_wait_is_respected(ledger: Ledger) -> None:
    post, dispatcher = kim(ledger)
    five_in_a_row(ledger)
    post.error = DeliveryError("slow down", retry_after_ms=600_000)
    dispatcher.run_once(now_ms=NOW_MS)
    assert ledger.deliveries()[0].not_before_ms == NOW_MS + 600_000
    post.error = DeliveryError("gone", for_good=True)
    dispatcher.run_once(now_ms=NOW_MS + 600_000)
    assert ledger.deliveries(state=DeliveryState.DEAD)[0].error == "gone"


def test_rules_are_kept_as_they_were_given_and_nonsense_is_refused() -> None:
    rules = parse_rules({"areas": ["Söder"], "quiet_from": "22:00", "quiet_until": "06:00"})
    assert parse_rules(stored_rules(rules)) == rules
    for bad in ({"colour": 1}, {"quiet_from": "25:00"}, {"storm_max": 0}, {"timezone": "Mars/X"}):
        with pytest.raises(BadInputError):
            parse_rules(bad)


def test_a_matter_of_the_platform_itself_is_told_once(ledger: Ledger) -> None:
    post, dispatcher = kim(ledger)
    for _ in range(2):
        ledger.raise_matter(
            key="backlog:2026-11-18", kind="platform.backlog", title="store away", now_ms=NOW_MS
        )
        dispatcher.run_once(now_ms=NOW_MS)
    assert post.keys == [["backlog:2026-11-18"]]
