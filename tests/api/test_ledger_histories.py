"""Random histories of work orders break no invariant (check_orders)."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

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

from api.errors import BadInputError, ConflictError, NotFoundError
from api.findings import NamedFinding
from api.ledger import DarkHours, Ledger, open_ledger
from api.ledger.repeats import RememberedAnswer
from api.operations.incidents import IncidentState
from api.operations.states import LuminaireState
from api.operations.work_orders import LEGAL, Action, Rejection, Verification, WaitingFor

LONG = os.environ.get("LJUSVAKT_LONG") == "1"
LAMPS = 6


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
    legal = {s.value: {t.value for t in following} for s, following in LEGAL.items()}
    good = [(1, 1, "new", "a"), (1, 2, "started", "b"), (1, 3, "done", None)]
    assert check_orders(good, legal) == []
    assert check_orders(good[1:], legal)[0][0] == "start"
    assert check_orders([good[0], good[2]], legal)[0][0] == "step"
    assert check_orders([good[0], (1, 2, "verified", None), (1, 3, "started", None)], legal)
    assert check_orders([good[0], (1, 2, "started", "a")], legal) == [("twice", "a")]


class History(RuleBasedStateMachine):
    """Crews, rounds and repeated requests act on one street in any order."""

    keys = Bundle("keys")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.ledger: Ledger = open_ledger(Path(self.folder.name) / "ops.db")
        self.ledger.database.writer.dispose()
        self.ledger.put_assets(street(LAMPS), now_ms=NOW_MS)
        self.now_ms = NOW_MS
        self.dark: dict[int, int] = {}  # lamp -> since
        self.number = 0
        self.answers: dict[str, tuple[int, int]] = {}

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
        over = [
            finding(i, key, start_ms=self.dark[i], end_ms=self.now_ms - 7 * HOUR_MS)
            for i in mended & self.dark.keys()
            for key in (f"lamp/{i}", "feeder/F0")
            if (key, i) in self.reported()
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
        again = self.ledger.reconcile(found, now_ms=self.now_ms + 1, **arguments)  # type: ignore[arg-type]
        assert again.quiet, "the same round again changed something"

    def reported(self) -> set[tuple[str, int]]:
        return {(e.incident, int(e.device_id[1:])) for e in self.ledger.findings(open=True)}

    @rule(
        target=keys,
        order=st.integers(1, 8),
        action=st.sampled_from([a for a in Action if a is not Action.CREATE]),
        stale=st.booleans(),
        other=st.integers(1, 8),
    )
    def act(self, order: int, action: Action, stale: bool, other: int) -> str:
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
                    duplicate_of=other,
                    verification=Verification.CREW,
                    note=key,
                )
                turn.answer = RememberedAnswer(str(order), 200, str(taken.version))
        except (ConflictError, NotFoundError, BadInputError):
            return key
        assert not stale, "an old version was taken"
        self.answers[key] = (order, version + 1)
        return key

    @rule(key=keys)
    def repeat(self, key: str) -> None:
        answer = self.answers.get(key)
        with self.ledger.once("kim", key, now_ms=self.now_ms) as turn:
            before = turn.before
        if answer is None:
            assert before is None, "a refused request was kept"
        else:
            assert before == RememberedAnswer(str(answer[0]), 200, str(answer[1]))

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "ledger"):
            return
        legal = {s.value: {t.value for t in following} for s, following in LEGAL.items()}
        orders = self.ledger.work_orders(limit=1000).items
        history: list[tuple[int, int, str, str | None]] = []
        for order in orders:
            detail = self.ledger.work_order(order.id)
            history += [
                (order.id, h.version, h.state.value, h.note if h.note.startswith("key-") else None)
                for h in detail.history
            ]
            assert detail.history[-1].version == order.version
            assert detail.history[-1].state is order.state
            running = [p for p in detail.pauses if p.until_ms is None]
            assert len(running) == (order.state.value == "waiting")
        assert check_orders(history, legal) == []
        of = [o.incident_id for o in orders if o.incident_id is not None]
        assert len(of) == len(set(of)), "an incident with two orders"
        open_ones = self.ledger.incidents(states=[IncidentState.OPEN])
        assert {i.id for i in open_ones} <= set(of), "an open incident without an order"

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()


@pytest.mark.slow
def test_random_histories_break_no_invariant() -> None:
    run_state_machine_as_test(
        History,
        settings=settings(
            max_examples=10_000 if LONG else 25,
            stateful_step_count=12,
            deadline=None,
            derandomize=not LONG,
            suppress_health_check=list(HealthCheck),
        ),
    )
