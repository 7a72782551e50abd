"""The list of work orders with a whole city in the ledger, as multiples of an empty question.

Run with `make bench`. 33,000 luminaires, 20,000 orders of which 8,000 are open, SQLite on this
machine's disk; a writer brings in a round every second meanwhile.
"""

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from contracts.lamp_street import NOW_MS, finding, street
from sqlalchemy import insert, text

from analytics.findings import CauseKind, FindingKind
from api.ledger import Ledger, OrderFilter, open_ledger
from api.ledger.models import WorkOrderRow
from api.operations.states import LuminaireState

LUMINAIRES, ORDERS, OPEN = 33_000, 20_000, 8_000
TURNS = 200


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    where: Path = tmp_path_factory.mktemp("city") / "ops.db"
    with open_ledger(where) as ledger:
        areas = ("Söder", "Dalhem", "Högaborg", "Eneborg", "Planteringen")
        size = LUMINAIRES // len(areas)
        for i, area in enumerate(areas):
            ledger.put_assets(street(size, area=area, first=1 + i * size), now_ms=NOW_MS)
        fill(ledger, areas)
        yield ledger


def fill(ledger: Ledger, areas: tuple[str, ...]) -> None:
    rng = np.random.default_rng(20)
    rows = [
        {
            "state": "new" if i < OPEN else "verified",
            "is_open": i < OPEN,
            "version": 1,
            "crew": "lamp",
            "kind": "lamp_failure",
            "cause_kind": "luminaire",
            "cause_id": f"L{int(rng.integers(1, LUMINAIRES))}",
            "title": f"lamp failure: luminaire {i}",
            "note": "0.1 lx while 12 lx are usual",
            "members": 1,
            "from_findings": True,
            "simulated": False,
            "area": areas[int(rng.integers(0, len(areas)))],
            "site": "",
            "assignee": "kim" if i % 7 == 0 else "",
            "budget_account": "drift_ordinarie",
            "priority": "planerad",
            "rank": int(rng.integers(0, 4)),
            "rule_id": "hbg-planerad",
            "why": "hbg-planerad: lamp failure",
            "detected_ms": NOW_MS - int(rng.integers(0, 10**10)),
            "created_ms": NOW_MS,
            "updated_ms": NOW_MS,
            "due_ms": NOW_MS + int(rng.integers(0, 10**9)),
            "owner": "",
            "times_reopened": 0,
        }
        for i in range(ORDERS)
    ]
    with ledger.database.write() as session:
        session.execute(insert(WorkOrderRow), rows)
        session.execute(text("ANALYZE"))


def times_ms(call: Callable[[], object]) -> tuple[np.ndarray, np.ndarray]:
    """Wall and processor time of each call [ms]; the second does not mind what else runs here."""
    wall, own = np.empty(TURNS), np.empty(TURNS)
    for i in range(TURNS):
        start, used = time.perf_counter(), time.thread_time()
        call()
        own[i] = (time.thread_time() - used) * 1000
        wall[i] = (time.perf_counter() - start) * 1000
    return wall, own


def test_lists_of_work_orders(city: Ledger) -> None:
    stop = threading.Event()

    def rounds() -> None:
        number = 0
        while not stop.wait(1.0):
            number += 1
            dark = [finding(i, f"lamp/{i}") for i in range(number * 5, number * 5 + 5)]
            city.reconcile(dark, now_ms=NOW_MS + number)

    writer = threading.Thread(target=rounds)
    writer.start()

    def empty() -> None:
        with city.database.read() as session:
            session.execute(text("SELECT 1"))

    try:
        page = city.work_orders(OrderFilter(open=True))
        ways: dict[str, Callable[[], object]] = {
            "an empty question": empty,
            "the first page of open orders": lambda: city.work_orders(OrderFilter(open=True)),
            "the second page": lambda: city.work_orders(OrderFilter(open=True), after=page.next),
            "one area's open orders": lambda: city.work_orders(
                OrderFilter(open=True, areas=("Dalhem",))
            ),
            "my open orders": lambda: city.work_orders(OrderFilter(open=True, assignee="kim")),
            "all orders": city.work_orders,
            "counts by state": city.count_work_orders,
        }
        nothing = 0.0
        for name, call in ways.items():
            taken, own = times_ms(call)
            median = statistics.median(own)
            nothing = nothing or median
            print(
                f"{name}: wall median {statistics.median(taken):.2f} ms, p99 "
                f"{np.percentile(taken, 99):.2f} ms; processor median {median:.2f} ms, p99 "
                f"{np.percentile(own, 99):.2f} ms, {median / nothing:.1f} x an empty question "
                f"(n = {TURNS})"
            )
    finally:
        stop.set()
        writer.join()


def test_rounds(city: Ledger) -> None:
    states = {f"d{i}": LuminaireState.OK for i in range(1, LUMINAIRES + 1)}
    start = time.perf_counter()
    city.reconcile([], now_ms=NOW_MS + 10**7, states=states)
    first = time.perf_counter() - start
    start = time.perf_counter()
    city.reconcile([], now_ms=NOW_MS + 10**7 + 600_000, states=states)
    again = time.perf_counter() - start
    dark = [
        finding(
            i,
            "cabinet/C1",
            kind=FindingKind.SUPPLY_LOSS,
            cause_kind=CauseKind.CABINET,
            cause_id="C1",
        )
        for i in range(20_000, 20_500)
    ]
    start = time.perf_counter()
    result = city.reconcile(dark, now_ms=NOW_MS + 10**7 + 1_200_000, states=states)
    cabinet = time.perf_counter() - start
    print(
        f"states of {LUMINAIRES} luminaires: first {first:.2f} s, unchanged {again:.2f} s; "
        f"500 out on one cabinet: {cabinet:.2f} s, {len(result.orders_created)} order"
    )
    assert len(result.orders_created) == 1
