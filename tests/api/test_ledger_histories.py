"""Random histories of work orders break no invariant (check_orders).

`LJUSVAKT_HISTORIES=10000 pytest --hypothesis-seed=1` runs as many, with that seed.
"""

import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from contracts.lamp_street import HOUR_MS, NOW_MS, finding, street
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Row, text

from api.errors import BadInputError, ConflictError, NotFoundError
from api.findings import NamedFinding
from api.ledger import DarkHours, Ledger, open_ledger
from api.ledger.repeats import RememberedAnswer
from api.operations.states import LuminaireState
from api.operations.work_orders import (
    LEGAL,
    STEPS,
    Action,
    Rejection,
    Verification,
    WaitingFor,
    WorkOrderState,
)

if TYPE_CHECKING:
    from contracts.postgres_server import PostgresServer

HISTORIES = int(os.environ.get("LJUSVAKT_HISTORIES", "0"))
LENGTH = int(os.environ.get("LJUSVAKT_HISTORY_STEPS", "20"))
LAMPS = 6
WHAT_MUST_HAPPEN = {
    "rounds",
    "steps taken",
    "steps refused",
    "requests repeated",
    "merges",
    "splits",
}
LEGAL_WORDS = {s.value: {t.value for t in following} for s, following in LEGAL.items()}


def check_orders(
    history: Iterable[tuple[int, int, str, str | None]], legal: dict[str, set[str]]
) -> list[tuple[object, ...]]:
    """What is wrong with a history of (order, version, state, idempotency key) in commit order."""
    wrong: list[tuple[object, ...]] = []
    last: dict[int, tuple[int, str]] = {}
    keys: dict[str, tuple[int, int]] = {}
    for order, version, state, key in history:
        before = last.get(order)
        if before is None:
            if version != 1 or state != "new":
                wrong.append(("start", order))
        elif version != before[0] + 1 or state not in legal[before[1]]:
            wrong.append(("step", order, version, before, state))
        if key is not None and keys.setdefault(key, (order, version)) != (order, version):
            wrong.append(("twice", key))
        last[order] = (version, state)
    return wrong


def test_the_checker_finds_what_is_wrong() -> None:
    legal = LEGAL_WORDS
    good = [(1, 1, "new", "a"), (1, 2, "started", "b"), (1, 3, "done", None)]
    assert check_orders(good, legal) == []
    assert check_orders(good[1:], legal)[0][0] == "start"
    assert check_orders([good[0], good[2]], legal)[0][0] == "step"
    assert check_orders([good[0], (1, 2, "verified", None), (1, 3, "started", None)], legal)
    assert check_orders([good[0], (1, 2, "started", "a")], legal) == [("twice", "a")]


class History(RuleBasedStateMachine):
    """Crews, rounds and repeated requests act on one street in any order."""

    keys = Bundle("keys")
    fresh: ClassVar[Callable[[], Ledger]]
    ran: ClassVar[Counter[str]]

    @initialize(lamps=st.sets(st.integers(1, LAMPS), min_size=1), feeder=st.booleans())
    def begin(self, lamps: set[int], feeder: bool) -> None:
        self.ran["histories"] += 1
        self.ledger = self.fresh()
        self.now_ms = NOW_MS
        self.dark: dict[int, int] = {}  # lamp -> since
        self.number = 0
        self.answers: dict[str, tuple[int, int]] = {}
        # Orders to act on, from the first step on: most histories would have none otherwise.
        self.go_dark(lamps)
        self.judge(set(), feeder, set(), False)

    def order(self, number: int) -> int:
        """One of the orders there are; 7 is the one after the last, which is not there."""
        with self.ledger.database.reader.connect() as connection:
            there = connection.execute(text("SELECT count(*) FROM work_orders")).scalar_one()
        return 1 + int(there) if number == 7 else 1 + number % int(there)

    def findings(self, *, feeder: bool) -> list[NamedFinding]:
        if feeder and len(self.dark) >= 3:
            return [finding(i, "feeder/F0", start_ms=since) for i, since in self.dark.items()]
        return [finding(i, f"lamp/{i}", start_ms=since) for i, since in self.dark.items()]

    @rule(lamps=st.sets(st.integers(1, LAMPS), min_size=1))
    def go_dark(self, lamps: set[int]) -> None:
        for lamp in lamps:
            self.dark.setdefault(lamp, self.now_ms - 1000 * lamp)

    @rule(
        mended=st.sets(st.integers(1, LAMPS)),
        feeder=st.booleans(),
        silent=st.sets(st.integers(1, LAMPS)),
        complete=st.booleans(),
    )
    def judge(self, mended: set[int], feeder: bool, silent: set[int], complete: bool) -> None:
        self.now_ms += 24 * HOUR_MS
        night = DarkHours(self.now_ms - 20 * HOUR_MS, self.now_ms - 6 * HOUR_MS)
        reported = self.reported()
        over = [
            finding(i, key, start_ms=self.dark[i], end_ms=self.now_ms - 7 * HOUR_MS)
            for i in mended & self.dark.keys()
            for key in (f"lamp/{i}", "feeder/F0")
            if (key, i) in reported
        ]
        for lamp in mended:
            self.dark.pop(lamp, None)
        found = [*over, *self.findings(feeder=feeder)]
        states = {
            f"d{i}": LuminaireState.UNKNOWN
            if i in silent
            else (LuminaireState.FAULTY if i in self.dark else LuminaireState.OK)
            for i in range(1, LAMPS + 1)
        }
        arguments = {
            "night": night,
            "states": states,
            "settled": True,
            "complete_since_ms": 0 if complete else None,
        }
        self.ledger.reconcile(found, now_ms=self.now_ms, **arguments)  # type: ignore[arg-type]
        self.ran["rounds"] += 1
        again = self.ledger.reconcile(found, now_ms=self.now_ms + 1, **arguments)  # type: ignore[arg-type]
        assert again.quiet, "the same round again changed something"

    def reported(self) -> set[tuple[str, int]]:
        return {(e.incident, int(e.device_id[1:])) for e in self.ledger.findings(open=True)}

    @rule(
        target=keys,
        order=st.integers(0, 7),
        path=st.lists(st.integers(0, 99), min_size=1, max_size=4),
        other=st.integers(0, 7),
    )
    def go_on(self, order: int, path: list[int], other: int) -> str:
        """Some steps one after the other, each of which the order's state allows."""
        order, other = self.order(order), self.order(other)
        key = ""
        for pick in path:
            state = self.state(order)
            allowed = (
                sorted(STEPS[state].keys() - {Action.REPRIORITISE}) if state else [Action.NOTE]
            )
            key = self.take(order, allowed[pick % len(allowed)], other)
        return key

    @rule(
        target=keys,
        order=st.integers(0, 7),
        action=st.sampled_from([a for a in Action if a is not Action.CREATE]),
        stale=st.booleans(),
        other=st.integers(0, 7),
    )
    def act(self, order: int, action: Action, stale: bool, other: int) -> str:
        """Any step whatever, also by somebody who has not seen the last one."""
        return self.take(self.order(order), action, self.order(other), stale=stale)

    def state(self, order: int) -> WorkOrderState | None:
        try:
            return self.ledger.work_order(order).order.state
        except NotFoundError:
            return None

    def take(self, order: int, action: Action, other: int, *, stale: bool = False) -> str:
        """One step under a key of its own; the key."""
        self.number += 1
        self.now_ms += 60_000
        key = f"key-{self.number}"
        try:
            version = self.ledger.work_order(order).order.version
            with self.ledger.once("kim", key, now_ms=self.now_ms) as turn:
                assert turn.before is None
                taken = self.ledger.transition(
                    order,
                    action,
                    version=version - stale,
                    actor="kim",
                    now_ms=self.now_ms,
                    assignee="kim",
                    waiting_for=WaitingFor.MATERIAL,
                    rejection=Rejection.NOT_A_FAULT,
                    duplicate_of=other if action is Action.DUPLICATE else None,
                    verification=Verification.CREW,
                    note=key,
                )
                turn.answer = RememberedAnswer(str(order), 200, str(taken.version))
        except (ConflictError, NotFoundError, BadInputError):
            self.ran["steps refused"] += 1
            return key
        self.ran["steps taken"] += 1
        assert not stale, "an old version was taken"
        self.answers[key] = (order, version + 1)
        return key

    @rule(key=keys)
    def repeat(self, key: str) -> None:
        self.ran["requests repeated"] += 1
        answer = self.answers.get(key)
        with self.ledger.once("kim", key, now_ms=self.now_ms) as turn:
            before = turn.before
        if answer is None:
            assert before is None, "a refused request was kept"
        else:
            assert before == RememberedAnswer(str(answer[0]), 200, str(answer[1]))

    @rule(into=st.integers(0, 7), others=st.sets(st.integers(0, 7), max_size=2))
    def merge(self, into: int, others: set[int]) -> None:
        self.now_ms += 60_000
        with suppress(ConflictError, NotFoundError, BadInputError):
            numbers = sorted({self.order(other) for other in others})
            self.ledger.merge(self.order(into), numbers, actor="kim", now_ms=self.now_ms)
            self.ran["merges"] += 1

    @rule(order=st.integers(0, 7), lamps=st.sets(st.integers(1, LAMPS), max_size=2))
    def split(self, order: int, lamps: set[int]) -> None:
        self.now_ms += 60_000
        with suppress(ConflictError, NotFoundError, BadInputError):
            devices = [f"d{i}" for i in sorted(lamps)]
            self.ledger.split(self.order(order), devices, actor="kim", now_ms=self.now_ms)
            self.ran["splits"] += 1

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "ledger"):
            return
        orders, history, waiting, unmet = recorded(self.ledger)
        assert check_orders(history, LEGAL_WORDS) == []
        self.ran["times checked"] += 1
        last = {order: (version, state) for order, version, state, _ in history}
        assert last == {o.id: (o.version, o.state) for o in orders}
        assert waiting == sorted(o.id for o in orders if o.state == "waiting")
        of = [o.incident_id for o in orders if o.incident_id is not None]
        assert len(of) == len(set(of)), "an incident with two orders"
        assert not unmet, "an open incident without an order"
        joined = {o.id: o.duplicate_of for o in orders if o.state == "duplicate"}
        for order in joined:
            assert ends(order, joined), "orders that are duplicates of each other"


Step = tuple[int, int, str, str | None]


def recorded(ledger: Ledger) -> tuple[list[Row[Any]], list[Step], list[int], list[int]]:
    """Orders, steps in commit order, orders with a pause that lasts, open incidents without one.

    Asked of the database itself, which costs a tenth of what the ledger's answers do.
    """
    with ledger.database.reader.connect() as connection:

        def rows(asked: str) -> list[Row[Any]]:
            return list(connection.execute(text(asked)))

        orders = rows("SELECT id, version, state, incident_id, duplicate_of FROM work_orders")
        steps = rows("SELECT order_id, version, state, note FROM work_order_history ORDER BY id")
        lasting = rows("SELECT order_id FROM work_order_pauses WHERE until_ms IS NULL")
        unmet = rows(
            "SELECT i.id FROM incidents i LEFT JOIN work_orders o ON o.incident_id = i.id"
            " WHERE i.state = 'open' AND o.id IS NULL"
        )
    history = [(n, v, state, note if note[:4] == "key-" else None) for n, v, state, note in steps]
    return orders, history, sorted(n for (n,) in lasting), [n for (n,) in unmet]


def ends(order: int, joined: dict[int, int | None]) -> bool:
    """Whether following what it is a duplicate of leads to an order that is none."""
    at: int | None = order
    for _ in joined:
        at = joined.get(at) if at is not None else None
    return at not in joined


@pytest.fixture
def fresh_sqlite() -> Iterator[Callable[[], Ledger]]:
    """A street without a history, at once: the file is written over with what it was."""
    quick = Path("/dev/shm")  # noqa: S108 - memory where there is such a folder
    folder = Path(tempfile.mkdtemp(dir=quick if quick.is_dir() else None))
    with open_ledger(folder / "ops.db") as ledger, closing(sqlite3.connect(":memory:")) as kept:
        ledger.put_assets(street(LAMPS), now_ms=NOW_MS)
        with closing(sqlite3.connect(folder / "ops.db")) as now:
            now.backup(kept)

        def fresh() -> Ledger:
            with closing(ledger.database.writer.raw_connection()) as connection:
                kept.backup(connection.driver_connection)
            return ledger

        yield fresh
    shutil.rmtree(folder)


@pytest.fixture
def fresh_postgres(postgres: "PostgresServer") -> Iterator[Callable[[], Ledger]]:
    """The same on PostgreSQL."""
    with open_ledger(postgres.emptied()) as ledger:

        def fresh() -> Ledger:
            postgres.emptied()
            ledger.put_assets(street(LAMPS), now_ms=NOW_MS)
            return ledger

        yield fresh


@pytest.mark.slow
def test_random_histories_break_no_invariant(fresh_sqlite: Callable[[], Ledger]) -> None:
    histories = HISTORIES or 60
    ran = run_histories(fresh_sqlite, histories)
    assert ran["histories"] >= histories
    assert ran["times checked"] > 5 * histories
    assert ran["steps taken"] > histories
    assert set(ran) >= WHAT_MUST_HAPPEN


@pytest.mark.slow
@pytest.mark.live
def test_random_histories_break_no_invariant_on_postgresql(
    fresh_postgres: Callable[[], Ledger],
) -> None:
    histories = HISTORIES or 10
    ran = run_histories(fresh_postgres, histories)
    assert ran["histories"] >= histories
    assert ran["times checked"] > 5 * histories
    assert ran["steps taken"] > histories


def run_histories(fresh_ledger: Callable[[], Ledger], histories: int) -> Counter[str]:
    """Let so many run, each checked after every step; how often what happened in them."""

    class Here(History):
        fresh = staticmethod(fresh_ledger)
        ran: ClassVar[Counter[str]] = Counter()

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=histories,
            stateful_step_count=LENGTH,
            deadline=None,
            derandomize=not HISTORIES,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(dict(Here.ran))
    return Here.ran
