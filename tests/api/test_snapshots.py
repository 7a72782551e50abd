"""What is kept between requests is never older than what it was made from."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from contracts.seeded_city import NOW_MS
from fastapi.testclient import TestClient

from api.assets import Asset
from api.operations.states import LuminaireState
from api.routes import city_map
from api.services import Services
from api.snapshots import Snapshots


def test_a_value_is_made_once_for_each_version() -> None:
    kept: Snapshots[int] = Snapshots()
    made: list[int] = []

    def make() -> int:
        made.append(len(made))
        return made[-1]

    assert [kept.get("a", version, make) for version in (1, 1, 2, 2, 1)] == [0, 0, 1, 1, 2]


def test_the_name_unused_for_longest_is_forgotten() -> None:
    kept: Snapshots[str] = Snapshots(most=2)
    for name in "abac":
        kept.get(name, 1, lambda name=name: name)
    made = [name for name in "acb" if kept.get(name, 1, lambda: "anew") == "anew"]
    assert made == ["b"]


def test_who_asks_meanwhile_waits_and_does_not_make_it_again() -> None:
    kept: Snapshots[int] = Snapshots()
    making, go_on, made = threading.Event(), threading.Event(), []

    def make() -> int:
        making.set()
        assert go_on.wait(10)
        made.append(1)
        return len(made)

    threads = [threading.Thread(target=kept.get, args=("a", 1, make)) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert making.wait(10)
    go_on.set()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_who_asks_for_another_does_not_wait() -> None:
    kept: Snapshots[str] = Snapshots(most=2)
    making, go_on = threading.Event(), threading.Event()

    def slowly() -> str:
        making.set()
        assert go_on.wait(10)
        return "slow"

    thread = threading.Thread(target=kept.get, args=("slow", 1, slowly))
    thread.start()
    assert making.wait(10)
    assert kept.get("quick", 1, lambda: "quick") == "quick"
    go_on.set()
    thread.join()
    assert kept.get("slow", 1, lambda: "again") == "slow"


def test_what_could_not_be_made_is_tried_again() -> None:
    kept: Snapshots[int] = Snapshots()
    with pytest.raises(ZeroDivisionError):
        kept.get("a", 1, lambda: 1 // 0)
    assert kept.get("a", 1, lambda: 2) == 2


def test_a_round_and_a_new_luminaire_show_at_once(services: Services) -> None:
    device = next(iter(services.states()))
    states = {device: LuminaireState.PLANNED}
    assert services.states()[device].state is not LuminaireState.PLANNED
    services.ledger.reconcile([], now_ms=NOW_MS, states=states)
    assert services.states()[device].state is LuminaireState.PLANNED
    services.ledger.put_assets([Asset("new-1", "NEW-1")], now_ms=NOW_MS)
    assert services.states()["new-1"].reason == "never_judged"
    assert "new-1" in {asset.device_id for asset in services.assets()}


def test_what_was_taken_back_is_not_kept(services: Services) -> None:
    known = len(services.assets())
    with services.ledger.once("kim", "key-1", now_ms=NOW_MS):
        services.ledger.put_assets([Asset("new-1", "NEW-1")], now_ms=NOW_MS)
        assert len(services.assets()) == known + 1
        # Without an answer nothing was done.
    services.ledger.put_assets([Asset("new-2", "NEW-2")], now_ms=NOW_MS)
    found = {asset.device_id for asset in services.assets()}
    assert "new-2" in found
    assert "new-1" not in found


def test_the_map_shows_an_order_as_soon_as_it_stands(demo: TestClient) -> None:
    before = demo.get("/api/v1/map").json()["luminaires"]
    free = before["id"][before["order"].index(None)]
    made = demo.post("/api/v1/work-orders", json={"kind": "lamp_failure", "device_ids": [free]})
    after = demo.get("/api/v1/map").json()["luminaires"]
    assert after["order"][after["id"].index(free)] == made.json()["id"]


def test_the_map_is_the_same_packed_and_not(demo: TestClient) -> None:
    plain = demo.get("/api/v1/map", headers={"Accept-Encoding": "identity"})
    packed = demo.get("/api/v1/map", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.json() == plain.json()


def test_each_area_has_a_map_of_its_own(acting: Callable[..., TestClient]) -> None:
    shown = {
        area: set(acting("crew", areas=(area,)).get("/api/v1/map").json()["luminaires"]["id"])
        for area in ("Söder", "Dalhem")
    }
    assert all(shown.values())
    assert not shown["Söder"] & shown["Dalhem"]


def test_in_a_crowd_whatever_is_wrong_is_shown_and_the_rest_evenly() -> None:
    stands = [Asset(f"d{n:05}", f"L{n}") for n in range(3 * city_map.MOST_ON_MAP)]
    wrong = [replace(asset) for asset in stands[::100]]
    shown = city_map.thinned(stands, wrong)
    assert len(shown) == city_map.MOST_ON_MAP
    assert {asset.device_id for asset in wrong} <= {asset.device_id for asset in shown}
    thirds = [sum(asset in part for asset in shown) for part in map(set, halves(stands))]
    assert max(thirds) - min(thirds) <= 2
    assert city_map.thinned(stands[:9], wrong) == stands[:9]


def halves(stands: list[Asset]) -> list[list[Asset]]:
    middle = len(stands) // 2
    return [stands[:middle], stands[middle:]]
