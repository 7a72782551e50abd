"""The list of work orders with a whole city in the ledger, as multiples of an empty question.

What is timed is first compared with what plain SQL says, and counted again afterwards.
Run with `make bench`. 33,000 luminaires, 20,000 orders of which 8,000 are open, SQLite on this
machine's disk and PostgreSQL; a writer brings in a round every second meanwhile.
"""

import statistics
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from contracts.lamp_street import finding
from contracts.large_city import AREAS, LUMINAIRES, OPEN, ORDERS, fill_city
from contracts.postgres_server import PostgresServer
from sqlalchemy import text

from analytics.findings import CauseKind, FindingKind
from api.ledger import Ledger, OrderFilter, Page, WorkOrder, open_ledger
from api.operations.states import LuminaireState
from api.operations.work_orders import WorkOrderState

NOW_MS = time.time_ns() // 1_000_000
TURNS = 200


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def city(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ledger]:
    if request.param == "sqlite":
        where = str(tmp_path_factory.mktemp("city") / "ops.db")
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        where = server.fresh()
    with open_ledger(where) as ledger:
        fill_city(ledger, NOW_MS)
        print(f"\n{request.param}: {LUMINAIRES} luminaires, {ORDERS} orders, {OPEN} open")
        yield ledger


def times_ms(call: Callable[[], object]) -> tuple[np.ndarray, np.ndarray]:
    """Wall and processor time of each call [ms]; the second does not mind what else runs here."""
    wall, own = np.empty(TURNS), np.empty(TURNS)
    for i in range(TURNS):
        start, used = time.perf_counter(), time.thread_time()
        call()
        own[i] = (time.thread_time() - used) * 1000
        wall[i] = (time.perf_counter() - start) * 1000
    return wall, own


def listed(city: Ledger, where: str, *, skip: int = 0) -> list[int]:
    """Numbers of the orders that stand on a page, by SQL alone."""
    asked = (
        f"SELECT id FROM work_orders WHERE {where} "  # noqa: S608 - written below
        f"ORDER BY rank, due_ms, id LIMIT 100 OFFSET {skip}"
    )
    with city.database.read() as session:
        return [number for (number,) in session.execute(text(asked))]


def numbers(page: Page[WorkOrder]) -> list[int]:
    return [order.id for order in page.items]


def test_the_lists_that_are_timed_are_right(city: Ledger) -> None:
    first = city.work_orders(OrderFilter(open=True))
    second = city.work_orders(OrderFilter(open=True), after=first.next)
    area = city.work_orders(OrderFilter(open=True, areas=AREAS[3:4]))
    mine = city.work_orders(OrderFilter(open=True, assignee="kim"))
    assert numbers(first) == listed(city, "is_open")
    assert numbers(second) == listed(city, "is_open", skip=100)
    assert numbers(area) == listed(city, f"is_open AND area = '{AREAS[3]}'")
    assert numbers(mine) == listed(city, "is_open AND assignee = 'kim'")
    assert numbers(city.work_orders()) == listed(city, "1 = 1")
    assert all(len(page.items) == 100 for page in (first, second, area, mine))
    new, done = WorkOrderState.NEW, WorkOrderState.VERIFIED
    assert city.count_work_orders() == {new: OPEN, done: ORDERS - OPEN}
    assert city.count_work_orders(OrderFilter(open=True)) == {new: OPEN}


def test_lists_of_work_orders(city: Ledger) -> None:
    stop = threading.Event()
    created: list[int] = []

    def rounds() -> None:
        number = 0
        while not stop.wait(1.0):
            number += 1
            first = number * 5
            dark = [finding(i, f"new/{i}") for i in range(first, first + 5)]
            created.extend(city.reconcile(dark, now_ms=NOW_MS + number).orders_created)

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
                OrderFilter(open=True, areas=AREAS[3:4])
            ),
            "my open orders": lambda: city.work_orders(OrderFilter(open=True, assignee="kim")),
            "all orders": city.work_orders,
            "counts by state": city.count_work_orders,
            "open ones by state": lambda: city.count_work_orders(OrderFilter(open=True)),
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
    assert len(set(created)) == len(created) > 0
    assert sum(city.count_work_orders().values()) == ORDERS + len(created)


def test_rounds(city: Ledger) -> None:
    states = {f"d{i}": LuminaireState.OK for i in range(1, LUMINAIRES + 1)}
    start = time.perf_counter()
    city.reconcile([], now_ms=NOW_MS + 10**7, states=states)
    first = time.perf_counter() - start
    start = time.perf_counter()
    unchanged = city.reconcile([], now_ms=NOW_MS + 10**7 + 600_000, states=states)
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
    assert unchanged.quiet
    (number,) = result.orders_created
    assert city.work_order(number).order.members == 500
