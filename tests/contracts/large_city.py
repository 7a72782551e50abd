"""A whole city in a ledger: 33,000 luminaires with states, 20,000 work orders behind incidents."""

from typing import Any

import numpy as np
from contracts.lamp_street import street
from sqlalchemy import insert, text

from api.ledger import Ledger
from api.ledger.models import (
    AssetRow,
    EvidenceRow,
    IncidentRow,
    MemberRow,
    StatusRow,
    StepRow,
    WorkOrderRow,
)

__all__ = ["AREAS", "COUNTERS", "LUMINAIRES", "OPEN", "ORDERS", "fill_city"]

LUMINAIRES, ORDERS, OPEN, COUNTERS = 33_000, 20_000, 8_000, 40
AREAS = tuple(f"Område {n:02d}" for n in range(20))
DAY_MS = 86_400_000


def fill_city(ledger: Ledger, now_ms: int, *, seed: int = 20) -> None:
    """Put the city in, as rounds and crews would have left it at this moment.

    Luminaire number `i` is `d<i>`; orders are about a luminaire each, the first 8,000 are open.
    """
    rng = np.random.default_rng(seed)
    size = LUMINAIRES // len(AREAS)
    stands = [
        asset
        for i, area in enumerate(AREAS)
        for asset in street(size, area=area, first=1 + i * size, cabinet=f"C{i}")
    ]
    ledger.put_assets(stands, now_ms=now_ms - 400 * DAY_MS)
    about = rng.permutation(LUMINAIRES)[:ORDERS] + 1
    since = now_ms - rng.integers(0, 300 * DAY_MS, ORDERS)
    rank, due = rng.integers(0, 4, ORDERS), now_ms + rng.integers(-30, 30, ORDERS) * DAY_MS
    incidents, evidence, orders, members, steps = ([] for _ in range(5))
    for i in range(ORDERS):
        number, is_open, start_ms = i + 1, i < OPEN, int(since[i])
        device, luminaire = f"d{about[i]}", f"L{about[i]}"
        cause: dict[str, Any] = {
            "kind": "lamp_failure",
            "cause_kind": "luminaire",
            "cause_id": luminaire,
            "simulated": False,
        }
        area = stands[about[i] - 1].area
        site = stands[about[i] - 1].site
        end_ms = None if is_open else start_ms + 5 * DAY_MS
        incidents.append(
            cause
            | {"id": number, "key": f"lamp/{about[i]}", "state": "open" if is_open else "cleared"}
            | {"severity": "major", "confidence": 0.97, "start_ms": start_ms, "end_ms": end_ms}
            | {"raised_ms": start_ms, "updated_ms": start_ms, "members": 1, "confirmed": True}
            | {"area": area, "site": site, "note": "0.1 lx while 12 lx are usual"}
        )
        evidence.append(
            cause
            | {"incident_id": number, "incident_key": f"lamp/{about[i]}", "device_id": device}
            | {"luminaire_id": luminaire, "start_ms": start_ms, "end_ms": end_ms}
            | {"raised_ms": start_ms, "severity": "major", "confidence": 0.97}
            | {"withdrawn": False, "note": "", "evidence": {"illuminance_lx": 0.1}}
        )
        orders.append(
            cause
            | {"id": number, "incident_id": number, "state": "new" if is_open else "verified"}
            | {"is_open": is_open, "version": 1, "crew": "lamp", "members": 1, "area": area}
            | {"title": f"lamp failure: luminaire {luminaire}", "from_findings": True}
            | {"note": "0.1 lx while 12 lx are usual", "site": site, "owner": ""}
            | {"lat": stands[about[i] - 1].lat, "lon": stands[about[i] - 1].lon}
            | {"assignee": "kim" if i % 7 == 0 else "", "budget_account": "drift_ordinarie"}
            | {"priority": "planerad", "rank": int(rank[i]), "rule_id": "hbg-planerad"}
            | {"why": "hbg-planerad: lamp failure", "detected_ms": start_ms, "times_reopened": 0}
            | {"created_ms": start_ms, "updated_ms": start_ms, "due_ms": int(due[i])}
        )
        members.append(
            {"order_id": number, "device_id": device, "luminaire_id": luminaire}
            | {"kind": "lamp_failure", "start_ms": start_ms, "end_ms": end_ms, "by_hand": False}
        )
        steps.append(
            {"order_id": number, "version": 1, "state": "new", "action": "create", "note": ""}
            | {"actor": "ljusvakt", "at_ms": start_ms, "details": {}}
        )
    faulty = {int(n) for n in about[:OPEN]}
    states = [
        {
            "device_id": f"d{n}",
            "state": "faulty" if n in faulty else "ok",
            "since_ms": now_ms - DAY_MS,
            "observed_ms": now_ms,
            "reason": "lamp_failure" if n in faulty else "",
        }
        for n in range(1, LUMINAIRES + 1)
    ]
    counters = [
        dict.fromkeys(("dimming", "gateway", "location_category", "lighting_class"), "")
        | dict.fromkeys(("owner", "segment", "feeder", "cabinet", "place_kind"), "")
        | {"device_id": f"counter-{n}", "luminaire_id": f"counter-{n}", "kind": "counter"}
        | {"site": f"Plats {n}", "area": AREAS[n % len(AREAS)], "lat": 56.05, "lon": 12.7}
        for n in range(COUNTERS)
    ]
    with ledger.database.write() as session:
        for table, rows in (
            (AssetRow, counters),
            (IncidentRow, incidents),
            (EvidenceRow, evidence),
            (WorkOrderRow, orders),
            (MemberRow, members),
            (StepRow, steps),
            (StatusRow, states),
        ):
            session.execute(insert(table), rows)
        if ledger.database.dialect == "postgresql":
            # Numbers were given; the sequences behind them must follow.
            for table in ("incidents", "work_orders"):
                session.execute(
                    text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {ORDERS})")
                )
        session.execute(text("ANALYZE"))
