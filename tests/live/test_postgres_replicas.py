"""Several replicas on one PostgreSQL: one takes the order, one leads, none says it twice."""

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from contracts.lamp_street import HOUR_MS, NOW_MS, finding, street
from contracts.ljusvakt_process import bare_environment, run_to_end
from contracts.together import together

from api.errors import ConflictError
from api.ledger import Ledger, open_ledger
from api.ledger.leader import claim_rounds
from api.ledger.repeats import RememberedAnswer
from api.notify import Dispatcher
from api.operations.alerts import Channel, Message
from api.operations.work_orders import Action, WorkOrderState

if TYPE_CHECKING:
    from contracts.postgres_server import PostgresServer

pytestmark = pytest.mark.live


@pytest.fixture
def replicas(postgres: "PostgresServer") -> Iterator[tuple[Ledger, Ledger]]:
    url = postgres.fresh()
    with open_ledger(url) as a, open_ledger(url) as b:
        a.put_assets(street(20), now_ms=NOW_MS)
        yield a, b


def test_two_crews_take_one_order_one_wins_and_one_is_told(
    replicas: tuple[Ledger, Ledger],
) -> None:
    a, b = replicas
    for number in range(1, 11):
        a.reconcile([finding(number, f"lamp/{number}")], now_ms=NOW_MS)

        def take(ledger: Ledger, who: str, order: int = number) -> object:
            return ledger.transition(order, Action.START, version=1, actor=who, now_ms=NOW_MS)

        results = together(lambda: take(a, "kim"), lambda: take(b, "li"))
        assert sum(isinstance(r, ConflictError) for r in results) == 1
        detail = a.work_order(number)
        assert detail.order.state is WorkOrderState.STARTED
        assert [h.action for h in detail.history] == ["create", "start"]


def test_one_key_sent_to_two_replicas_has_one_effect(replicas: tuple[Ledger, Ledger]) -> None:
    a, b = replicas
    for number in range(1, 11):
        a.reconcile([finding(number, f"lamp/{number}")], now_ms=NOW_MS)

        def take(ledger: Ledger, order: int = number) -> object:
            with ledger.once("kim", f"k{order}", now_ms=NOW_MS) as turn:
                if turn.before is not None:
                    return turn.before
                taken = ledger.transition(
                    order, Action.START, version=1, actor="kim", now_ms=NOW_MS
                )
                turn.answer = RememberedAnswer("d", 200, str(taken.version))
                return turn.answer

        results = together(lambda: take(a), lambda: take(b))
        assert results == [RememberedAnswer("d", 200, "2")] * 2
        assert [h.version for h in a.work_order(number).history] == [1, 2]


def test_two_replicas_that_judge_at_once_make_one_order(replicas: tuple[Ledger, Ledger]) -> None:
    a, b = replicas
    found = [finding(i, f"lamp/{i}") for i in range(1, 11)]
    results = together(*[lambda x=x: x.reconcile(found, now_ms=NOW_MS) for x in (a, b)])
    assert sorted(r.quiet for r in results) == [False, True]  # type: ignore[attr-defined]
    assert len(a.work_orders().items) == 10


class Recorder:
    """Counts what it is asked to send."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        with self._lock:
            for matter in message.matters:
                self.sent[matter.key] += 1


def test_each_matter_is_told_once_however_many_replicas_send(
    replicas: tuple[Ledger, Ledger],
) -> None:
    a, b = replicas
    a.put_recipient("kim", channel=Channel.EMAIL, address="kim@example.org")
    recorder = Recorder()
    senders = [
        Dispatcher(ledger, {Channel.EMAIL: recorder}, name=name)
        for ledger, name in ((a, "a"), (b, "b"), (a, "c"), (b, "d"))
    ]
    for turn in range(5):
        found = [finding(turn * 3 + i, f"lamp/{turn * 3 + i}") for i in range(1, 4)]
        a.reconcile(found, now_ms=NOW_MS + turn)
        calls = [lambda s=s, t=turn: s.run_once(now_ms=NOW_MS + t * HOUR_MS) for s in senders]
        assert not any(isinstance(r, Exception) for r in together(*calls))
    assert len(recorder.sent) == 15 + reprioritised(a)
    assert set(recorder.sent.values()) == {1}


def reprioritised(ledger: Ledger) -> int:
    return sum(m.kind == "work_order.urgent" for m in ledger.matters())


def test_one_leads_and_when_it_is_lost_another_does(
    postgres: "PostgresServer", replicas: tuple[Ledger, Ledger]
) -> None:
    first, second = (ledger.leader() for ledger in replicas)
    assert first.leads()
    assert first.leads()
    assert not second.leads()
    first.resign()
    assert second.leads()
    assert not first.leads()
    postgres.kill_sessions()
    # Both connections are gone, and with them the lock; whoever asks first has it.
    assert first.leads()
    assert not second.leads()
    assert replicas[0].work_orders().items == ()
    first.resign()
    second.resign()


def test_the_stream_is_read_in_commit_order_without_gaps(replicas: tuple[Ledger, Ledger]) -> None:
    a, b = replicas
    a.reconcile([finding(i, f"lamp/{i}") for i in range(1, 9)], now_ms=NOW_MS)
    start = a.stream_position()
    seen: list[int] = []
    stop = threading.Event()

    def follow() -> None:
        at = start
        while True:
            last_look = stop.is_set()
            for event in b.stream(after=at):
                seen.append(event.id)
                at = event.id
            if last_look:
                return

    reader = threading.Thread(target=follow)
    reader.start()

    def act(ledger: Ledger, numbers: range) -> None:
        for number in numbers:
            ledger.transition(number, Action.START, version=1, actor="k", now_ms=NOW_MS)
            ledger.transition(number, Action.DONE, version=2, actor="k", now_ms=NOW_MS)

    together(lambda: act(a, range(1, 5)), lambda: act(b, range(5, 9)))
    stop.set()
    reader.join()
    assert seen == [event.id for event in a.stream(after=start)]
    assert len(seen) == 16


def test_replicas_that_start_together_make_one_schema(postgres: "PostgresServer") -> None:
    url = postgres.fresh(migrated=False)
    opened = together(*[lambda: open_ledger(url)] * 3)
    for ledger in opened:
        assert isinstance(ledger, Ledger), ledger
        ledger.close()


def test_rounds_are_kept_in_one_folder_until_another_adopts_them(
    replicas: tuple[Ledger, Ledger],
) -> None:
    a, b = (ledger.database for ledger in replicas)
    first = together(*[lambda d=d, n=n: claim_rounds(d, n) for d, n in ((a, "x"), (b, "y"))])
    assert sorted(map(bool, first)) == [False, True]
    kept, other = ("x", "y") if first[0] else ("y", "x")
    assert claim_rounds(b, kept)
    assert not claim_rounds(a, other)
    assert claim_rounds(a, other, adopt=True)
    assert not claim_rounds(b, kept)


def test_a_replica_without_the_folder_says_so_and_does_not_start(
    postgres: "PostgresServer", tmp_path: Path
) -> None:
    url = postgres.fresh()
    with open_ledger(url) as ledger:
        claim_rounds(ledger.database, "the folder of another machine")
    environment = bare_environment(LEDGER__URL=url, DATA_DIR=str(tmp_path / "data"))
    ended = run_to_end("rounds", environment=environment)
    assert ended.returncode == 2
    assert "kept in another data folder" in ended.stderr
    assert "--adopt" in ended.stderr
