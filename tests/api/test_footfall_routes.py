"""Footfall over HTTP: who may ask, what is answered, what may leave the house."""

import pytest
from contracts.counted_city import SQUARES, add_squares, day_before_now
from contracts.seeded_city import NOW_MS

from api.ledger.views import Maintenance


@pytest.fixture
def city(services, acting):
    """A planner in the city with ten counted squares."""
    add_squares(services, risen=1.6)
    return acting("planner")


def test_places_are_listed_with_their_counters(city):
    found = city.get("/api/v1/footfall").json()
    assert {place["site"] for place in found["items"]} >= {*SQUARES}
    first = next(p for p in found["items"] if p["site"] == "Torg 1")
    assert first == {"site": "Torg 1", "counters": ["square-1"], "lat": 56.05, "lon": 12.66}


def test_a_heat_map_shows_seven_days_of_twenty_four_hours(city):
    found = city.get("/api/v1/footfall/heat-map", params={"site": "Torg 2"}).json()
    assert [len(row) for row in found["mean"]] == [24] * 7
    assert found["simulated"] is True
    assert max(found["mean"][0]) > 50
    # Readings are stamped at the end of their hour and at local time: midday is the busy time.
    assert found["mean"][2].index(max(found["mean"][2])) in range(12, 17)


def test_low_activity_of_one_place_and_of_all(city):
    one = city.get("/api/v1/footfall/low-activity/site", params={"site": "Torg 1"}).json()
    assert len(one["p_low"]) == 168
    assert one["states"]["insufficient"] == 0
    assert one["dark_and_empty"]
    every = city.get("/api/v1/footfall/low-activity").json()
    assert {s["site"] for s in every["sites"]} >= {*SQUARES}


def test_hours_come_as_csv_in_utc(city):
    found = city.get(
        "/api/v1/footfall/hours",
        params={"site": "Torg 3", "first": day_before_now(3), "last": day_before_now(2)},
    )
    lines = found.text.splitlines()
    assert lines[0] == "site,time,count"
    assert len(lines) == 49
    assert lines[1].split(",")[1].endswith("Z")


def test_two_periods_are_compared(city):
    found = city.get(
        "/api/v1/footfall/comparison",
        params={"site": "Torg 2", "first_a": day_before_now(120), "last_a": day_before_now(65),
                "first_b": day_before_now(60), "last_b": day_before_now(5)},
    ).json()  # fmt: skip
    assert len(found["ratio"]) == 168
    assert found["n_changed"] <= 17


def test_an_evaluation_finds_the_rise_and_prints_its_page(city):
    wanted = {"sites": ["Torg 1"], "start": day_before_now(70), "band": "day", "near": []}
    found = city.post("/api/v1/footfall/evaluations", json=wanted).json()
    assert found["result"]["verdict"] == "increase"
    assert found["simulated"] is True
    page = city.post("/api/v1/footfall/evaluations/report", json=wanted, params={"lang": "sv"})
    assert page.headers["content-type"].startswith("text/html")
    assert "SIMULERADE DATA" in page.text


def test_after_dark_needs_a_year_on_either_side(city):
    found = city.get(
        "/api/v1/footfall/after-dark", params={"site": "Torg 1", "start": day_before_now(30)}
    ).json()
    assert found["refused"] in {"followup_too_short", "history_too_short"}


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ({"sites": [], "start": "2026-05-01"}, 422),
        ({"sites": ["Torg 1"], "start": "i går"}, 422),
        ({"sites": ["Torg 1"], "start": "1926-05-01"}, 422),
        ({"sites": ["Torg 1"], "start": "2026-05-01", "extra": 1}, 422),
        ({"sites": ["Torg 1"], "start": "2026-05-01", "before_days": "364"}, 422),
        ({"sites": ["Ingenstans"], "start": day_before_now(70)}, 422),
        ({"sites": ["Torg 1"], "start": "2199-05-01"}, 404),
    ],
)
def test_what_cannot_be_evaluated_is_a_problem(city, wanted, status):
    found = city.post("/api/v1/footfall/evaluations", json=wanted)
    assert found.status_code == status
    assert found.headers["content-type"].startswith("application/problem+json")


def test_places_that_do_not_exist_are_not_found(city):
    for path in ("heat-map", "low-activity/site"):
        found = city.get(f"/api/v1/footfall/{path}", params={"site": "' OR 1=1--"})
        assert found.status_code == 404


@pytest.mark.parametrize("role", ["crew", "partner"])
def test_when_a_place_stands_empty_is_for_planners_alone(services, acting, client, role):
    add_squares(services)
    for path in ("", "/low-activity", "/heat-map?site=Torg+1", "/low-activity/site?site=Torg+1"):
        assert acting(role).get(f"/api/v1/footfall{path}").status_code == 403
        assert client.get(f"/api/v1/footfall{path}").status_code == 401


def test_everybody_may_see_a_month_with_small_counts_withheld(services, client):
    add_squares(services)
    found = client.get("/api/v1/footfall/public", params={"site": "Torg 1", "month": "2026-09"})
    assert found.status_code == 200
    said = found.json()
    shown = [v for row in said["persons"] for v in row if v is not None]
    assert shown
    assert all(v >= 10 and v % 5 == 0 for v in shown)
    open_month = client.get(
        "/api/v1/footfall/public", params={"site": "Torg 1", "month": day_before_now(0)[:7]}
    )
    assert open_month.status_code == 422
    free = client.get("/api/v1/footfall/public", params={"site": "Torg 1", "month": "2026-09-03"})
    assert free.status_code == 422


def test_a_swapped_counter_is_known_from_the_maintenance_log(services, city):
    at_ms = NOW_MS - 90 * 86_400_000
    services.ledger.add_maintenance(
        [Maintenance("square-1", at_ms, "sensor_swap"), Maintenance("square-4", at_ms, "cleaned"),
         Maintenance("square-5", at_ms, "sensor_swap")]
    )  # fmt: skip
    wanted = {"start": day_before_now(70), "band": "day", "near": []}
    url = "/api/v1/footfall/evaluations"
    mine = city.post(url, json={"sites": ["Torg 1"], **wanted}).json()
    assert mine["result"]["refused"] == "device_changed"
    other = city.post(url, json={"sites": ["Torg 2"], **wanted}).json()["result"]
    left_out = {e["site"] for e in other["excluded"] if e["reason"] == "device_changed"}
    assert left_out == {"Torg 1", "Torg 5"}


def test_lighting_that_failed_is_no_test_of_lighting(city):
    wanted = {"sites": ["Torg 1"], "start": day_before_now(70), "band": "day", "near": [],
              "lighting_failed_after": 0.2}  # fmt: skip
    found = city.post("/api/v1/footfall/evaluations", json=wanted).json()
    assert found["result"]["refused"] == "lighting_failed"
