"""How long the API's lists take in a large city, as ratios to an answer that does nothing."""

import time
from pathlib import Path

import numpy as np
from contracts.seeded_city import DAY_MS, NOW_MS, seeded_services
from fastapi.testclient import TestClient
from sqlalchemy import insert

from api.app import create_app
from api.assets import Asset
from api.ledger.models import WorkOrderRow

LUMINAIRES, ORDERS, ROUNDS = 33_000, 20_000, 200


def orders() -> list[dict[str, object]]:
    """Twenty thousand orders, a twentieth of them open."""
    rng = np.random.default_rng(7)
    ranks = rng.integers(0, 4, ORDERS)
    due = NOW_MS + rng.integers(-30, 30, ORDERS) * DAY_MS
    return [
        {
            "state": "new" if n % 20 == 0 else "verified",
            "is_open": n % 20 == 0,
            "version": 1,
            "crew": "lamp",
            "kind": "lamp_failure",
            "cause_kind": "luminaire",
            "cause_id": f"L-{n}",
            "title": f"lamp failure: luminaire L-{n}",
            "note": "Dark in 98 % of the night's readings.",
            "members": 1,
            "from_findings": False,
            "simulated": True,
            "area": f"A{n % 20}",
            "site": "",
            "assignee": "",
            "budget_account": "drift_ordinarie",
            "priority": "planerad",
            "rank": int(ranks[n]),
            "rule_id": "",
            "why": "",
            "detected_ms": NOW_MS,
            "created_ms": NOW_MS,
            "updated_ms": NOW_MS,
            "due_ms": int(due[n]),
            "owner": "",
            "times_reopened": 0,
        }
        for n in range(ORDERS)
    ]


def times_of(client: TestClient, path: str, rounds: int) -> np.ndarray:
    """Milliseconds of each answer."""
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        assert client.get(path).status_code == 200
        found.append((time.perf_counter() - began) * 1000)
    return np.array(found)


def test_lists_of_a_large_city(tmp_path: Path) -> None:
    services = seeded_services(tmp_path)
    services.requests_per_minute = 10**9
    stands = [
        Asset(f"x-{n}", f"X-{n}", lat=56 + n / 1e6, lon=12.7 + n / 1e6, area=f"A{n % 20}")
        for n in range(LUMINAIRES)
    ]
    services.ledger.put_assets(stands, now_ms=NOW_MS)
    with services.ledger.database.write() as session:
        session.execute(insert(WorkOrderRow), orders())
    key = services.ledger.create_key("bench", roles=["operator"], now_ms=NOW_MS).secret
    client = TestClient(create_app(services), base_url="http://127.0.0.1")
    client.headers["Authorization"] = f"Bearer {key}"
    empty = times_of(client, "/healthz", ROUNDS)
    print(f"\n{LUMINAIRES} luminaires, {ORDERS} orders; n = {ROUNDS}, ratios to /healthz")
    for path, rounds in (
        ("/api/v1/work-orders?open=true&limit=50", ROUNDS),
        ("/api/v1/work-orders?limit=100", ROUNDS),
        ("/", 10),
        ("/api/v1/map", 10),
    ):
        took = times_of(client, path, rounds)
        ratios = [np.quantile(took, q) / np.quantile(empty, 0.5) for q in (0.5, 0.99)]
        worst = f"({np.quantile(took, 0.99):.0f} ms)"
        print(f"{path:42} median {ratios[0]:7.1f}  p99 {ratios[1]:7.1f}  {worst}")
    services.ledger.close()
