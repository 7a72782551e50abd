"""The situation map of each slot of the week is made once, and says no more than it may."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from contracts.lamp_street import NOW_MS, finding, street
from contracts.together import together
from contracts.waiting import eventually
from fastapi.testclient import TestClient

from api.assets import Asset, AssetKind
from api.clock import Clock
from api.ledger import Ledger, open_ledger
from api.operations.states import LuminaireState
from api.settings import Settings, SituationSettings
from api.situation import SituationMaps, low_activity_hours, situation_health
from ingest.reading import Quantity
from ingest.stores import Columns
from ingest.stores.memory import MemoryStore

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
ZONE = ZoneInfo("Europe/Stockholm")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp() * 1000)


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with open_ledger(ledger_url) as opened:
        opened.put_assets(street(6), now_ms=NOW_MS)
        dark = {"d1": LuminaireState.FAULTY}
        opened.reconcile([finding(1, "lamp/1")], now_ms=NOW_MS, states=dark)
        yield opened


def maps(
    ledger: Ledger, folder: Path, clock: Clock, leads: Callable[[], bool] = lambda: True
) -> SituationMaps:
    return SituationMaps(
        ledger, MemoryStore(), Settings(data_dir=folder), clock, folder=folder, may_make=leads
    )


def test_a_slot_has_one_map_however_often_it_is_due(ledger: Ledger, tmp_path: Path) -> None:
    monday = at("2026-11-23T07:00")
    clock = Clock(start_ms=monday + 60_000, speed=1.0, held=True)
    one = maps(ledger, tmp_path, clock)
    assert one.turn()
    assert one.turn()
    assert maps(ledger, tmp_path, clock).turn()  # after a restart
    (made,) = ledger.situation_maps()
    assert (made.slot_ms, made.made_ms) == (monday, monday + 60_000)
    assert sum(made.columns["unlit"]) == 1
    assert sorted(p.name for p in tmp_path.glob("lage-*")) == [
        "lage-2026-11-23-0700.csv",
        "lage-2026-11-23-0700.geojson",
    ]


def test_replicas_that_make_one_at_once_make_one(ledger: Ledger, tmp_path: Path) -> None:
    clock = Clock(start_ms=at("2026-11-23T07:00"), speed=1.0, held=True)
    assert together(*[maps(ledger, tmp_path, clock).turn for _ in range(6)]) == [True] * 6
    assert len(ledger.situation_maps()) == 1
    assert sum(e.kind == "situation_map" for e in ledger.stream(after=0)) == 1


def test_who_does_not_lead_makes_none(ledger: Ledger, tmp_path: Path) -> None:
    clock = Clock(start_ms=at("2026-11-23T07:00"), speed=1.0, held=True)
    assert not maps(ledger, tmp_path, clock, leads=lambda: False).turn()
    assert ledger.situation_maps() == []


def test_a_slot_in_which_nothing_ran_is_made_up_for_and_says_so(
    ledger: Ledger, tmp_path: Path
) -> None:
    monday, now_ms = at("2026-11-23T07:00"), at("2026-11-24T09:30")
    settings = Settings(data_dir=tmp_path)
    assert not situation_health(ledger, settings, now_ms).ok
    assert situation_health(ledger, settings, monday + 60_000).ok
    maps(ledger, tmp_path, Clock(start_ms=now_ms, speed=1.0, held=True)).turn()
    (made,) = ledger.situation_maps()
    assert (made.slot_ms, made.made_ms) == (monday, now_ms)
    assert set(made.columns["made"]) == {now_ms}
    assert situation_health(ledger, settings, now_ms).ok


def test_without_weekdays_none_is_due(ledger: Ledger, tmp_path: Path) -> None:
    never = Settings(data_dir=tmp_path, situation=SituationSettings(weekdays=[]))
    assert situation_health(ledger, never, NOW_MS).ok


@pytest.mark.anyio
async def test_at_its_hour_the_next_map_is_made(ledger: Ledger, tmp_path: Path) -> None:
    """Four days in a few seconds: from Monday's map to Thursday's."""
    clock = Clock(start_ms=at("2026-11-23T07:00"), speed=100_000.0)
    running = asyncio.ensure_future(maps(ledger, tmp_path, clock).run())
    try:
        await asyncio.to_thread(eventually, lambda: len(ledger.situation_maps()) > 1)
    finally:
        running.cancel()
    thursday, monday = ledger.situation_maps()[-2:]
    assert thursday.slot_ms == at("2026-11-26T07:00")
    assert monday.slot_ms == at("2026-11-23T07:00")


def counted(by_hour: list[float]) -> tuple[MemoryStore, list[Asset]]:
    """A counter that counts the same every day, for twelve weeks up to Monday 2026-11-23."""
    stop = datetime(2026, 11, 23, tzinfo=UTC)
    first = int(stop.timestamp() * 1000) - 84 * DAY_MS
    times = first + HOUR_MS * np.arange(1, 84 * 24 + 1)
    values = np.array(
        [by_hour[datetime.fromtimestamp(t / 1000 - 1800, ZONE).hour] for t in times.tolist()]
    )
    store = MemoryStore()
    store.add(
        Quantity.PEOPLE_COUNT,
        Columns(
            np.zeros(len(times), dtype=np.int32),
            times.astype(np.int64),
            values,
            times.astype(np.int64),
            np.zeros(len(times), dtype=np.uint8),
            ["c"],
        ),
    )
    return store, [Asset("c", "c", AssetKind.COUNTER, site="Torget", interval_s=3600)]


def test_hours_in_which_few_pass_are_told_in_fives(tmp_path: Path) -> None:
    store, assets = counted([2.0] * 6 + [200.0] * 18)
    found = low_activity_hours(store, assets, Settings(data_dir=tmp_path), at("2026-11-23T07:00"))
    assert found == {"Torget": 40}  # 42 hours of the week


def test_where_too_few_stand_behind_it_nothing_is_told(tmp_path: Path) -> None:
    """Nobody at night: to say for how many hours would say that whoever came was alone."""
    store, assets = counted([0.0] * 6 + [200.0] * 18)
    assert (
        low_activity_hours(store, assets, Settings(data_dir=tmp_path), at("2026-11-23T07:00")) == {}
    )


@pytest.mark.parametrize("days", [3, 10, 26, 80, 120])
def test_counters_that_fell_silent_do_not_stop_the_map(tmp_path: Path, days: int) -> None:
    store, assets = counted([2.0] * 6 + [200.0] * 18)
    now_ms = at("2026-11-23T07:00") + days * DAY_MS
    found = low_activity_hours(store, assets, Settings(data_dir=tmp_path), now_ms)

    assert found in ({}, {"Torget": 40})


def test_maps_are_listed_made_by_hand_and_kept_as_they_were(
    acting: Callable[..., TestClient],
) -> None:
    one = acting("operator")
    assert one.get("/api/v1/situation-maps").json()["items"] == []
    made = one.post("/api/v1/situation-maps").json()
    assert made["places"] > 0
    assert [m["id"] for m in one.get("/api/v1/situation-maps").json()["items"]] == [made["id"]]
    for form, kind in (("csv", "text/csv"), ("geojson", "application/geo+json")):
        got = one.get(f"/api/v1/situation-maps/{made['id']}.{form}")
        assert got.headers["content-type"].startswith(kind)
        assert got.content == one.get(f"/api/v1/exports/situation.{form}").content
    assert one.get("/api/v1/situation-maps/1.csv").status_code == 404
    assert acting("planner").post("/api/v1/situation-maps").status_code == 403
    assert acting("crew").get("/api/v1/situation-maps").status_code == 403
