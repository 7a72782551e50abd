"""Interventions: planned before, frozen after, followed up by people, published if so decided."""

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest
from contracts.counted_city import add_squares, day_before_now
from contracts.seeded_city import NOW_MS

from analytics.before_after import effect
from api.interventions import FACTORS, Intervention, InterventionKind, Status, pack_requirements
from api.ledger.views import WorkOrder
from api.operations.work_orders import WorkOrderState
from api.planning.safety_walks import walk_points_of
from api.reports.yearly import yearly_csv, yearly_page, yearly_report

URL = "/api/v1/interventions"


@pytest.fixture
def city(services, acting):
    """A planner in the city with ten counted squares; the first rose by 60 % ten weeks ago."""
    add_squares(services, risen=1.6)
    return acting("planner")


def wanted(**more):
    return {
        "title": "Nytt ljus på Torg 1",
        "kind": "lighting",
        "sites": ["Torg 1"],
        "start": day_before_now(70),
        "band": "day",
        "hypothesis": "Fler stannar på torget.",
        "factors": [4, 2],
        **more,
    }


def recorded(city, **more):
    found = city.post(URL, json=wanted(**more))
    assert found.status_code == 201, found.text
    return found.json()


def test_an_intervention_is_recorded_and_read_again(city):
    made = recorded(city)
    assert made["factors"] == [2, 4]
    assert made["status"] == "running"
    assert city.get(f"{URL}/{made['id']}").json() == made
    assert city.get(URL).json()["items"] == [made]


def test_the_plan_is_made_before_the_start_and_says_what_can_be_found(city):
    late = recorded(city)
    assert city.post(f"{URL}/{late['id']}/plan").status_code == 409
    early = recorded(city, start=day_before_now(-30))
    plan = city.post(f"{URL}/{early['id']}/plan").json()["plan"]
    fall, rise = plan["minimum_detectable_percent"]
    assert fall < 0 < rise
    assert plan["n_controls"] == 9
    assert "Minsta förändring" in plan["sentence"]["sv"]


def test_a_change_of_place_takes_the_plan_back_and_a_stale_one_is_refused(city):
    made = recorded(city, start=day_before_now(-30))
    planned = city.post(f"{URL}/{made['id']}/plan").json()
    body = wanted(start=day_before_now(-30), title="Annat namn", version=planned["version"])
    renamed = city.put(f"{URL}/{made['id']}", json=body).json()
    assert renamed["plan"] is not None
    assert city.put(f"{URL}/{made['id']}", json=body).status_code in {409, 412}
    body |= {"version": renamed["version"], "sites": ["Torg 2"]}
    assert city.put(f"{URL}/{made['id']}", json=body).json()["plan"] is None


def test_the_result_is_frozen_with_its_data_and_can_be_computed_again(city):
    made = recorded(city)
    before = city.get(f"{URL}/{made['id']}/result").json()
    assert before["frozen"] is False
    frozen = city.post(f"{URL}/{made['id']}/result").json()
    result = frozen["result"]["result"]
    assert result["verdict"] == "increase"
    assert frozen["result_sha256"] == frozen["result"]["data_sha256"]
    data = city.get(f"{URL}/{made['id']}/data").json()
    counts = np.array(data["counts"], dtype=float)
    row = (date.fromisoformat(made["start"]) - date.fromisoformat(data["first_day"])).days
    again = effect(counts[: row + 56], data["sites"].index("Torg 1"), row)
    assert again.log_ratio == pytest.approx(result["log_ratio"], abs=1e-4)
    assert city.post(f"{URL}/{made['id']}/result").status_code == 409
    body = wanted(version=frozen["version"], sites=["Torg 2"])
    assert city.put(f"{URL}/{made['id']}", json=body).status_code == 409
    assert city.get(f"{URL}/{made['id']}/result").json()["frozen"] is True


def test_a_follow_up_that_still_runs_is_not_frozen(city):
    made = recorded(city, start=day_before_now(20))
    assert city.post(f"{URL}/{made['id']}/result").status_code == 409


def test_only_a_frozen_result_is_published_and_without_counts(city, client):
    made = recorded(city)
    path = f"{URL}/{made['id']}/publication"
    assert city.post(path, json={"published": True}).status_code == 409
    city.post(f"{URL}/{made['id']}/result")
    assert client.get(f"{URL}/published").json()["items"] == []
    assert city.post(path, json={"published": True}).json()["published_at"]
    shown = client.get(f"{URL}/published").json()["items"][0]
    assert shown["verdict"] == "increase"
    assert isinstance(shown["percent"], int)
    assert "controls" not in shown
    page = client.get(f"{URL}/published/{made['id']}/page")
    assert page.status_code == 200
    assert "Nytt ljus på Torg 1" in page.text
    city.post(path, json={"published": False})
    assert client.get(f"{URL}/published/{made['id']}/page").status_code == 404


def test_a_project_above_a_million_needs_what_people_say(city):
    made = recorded(city, budget_sek=1_500_000.0)
    pack = city.get(f"{URL}/{made['id']}/pack").json()
    assert pack["required"] is True
    assert pack["complete"] is False
    assert {r["done"] for r in pack["requirements"]} == {False}
    for phase in ("before", "after"):
        notes = f"{URL}/{made['id']}/notes"
        day = "2026-05-01"
        dialogue = {"phase": phase, "kind": "dialogue", "day": day, "text": "Det är mörkt."}
        assert city.post(notes, json=dialogue).status_code == 201
        scores = {str(f.number): 2 if phase == "before" else 4 for f in FACTORS}
        inspection = {"phase": phase, "kind": "inspection", "day": day, "scores": scores,
                      "remarks": {"3": "häcken skymmer"}}  # fmt: skip
        assert city.post(notes, json=inspection).status_code == 201
    city.post(f"{URL}/{made['id']}/result")
    pack = city.get(f"{URL}/{made['id']}/pack").json()
    left = {r["key"] for r in pack["requirements"] if not r["done"]}
    assert left == {"evaluation_plan", "maintenance_plan", "yearly_operating_cost"}
    page = city.get(f"{URL}/{made['id']}/page", params={"lang": "sv"}).text
    assert "häcken skymmer" in page
    assert "driftkostnad per år" in page


def test_factors_no_sensor_measures_are_not_guessed(city):
    made = recorded(city)
    city.post(f"{URL}/{made['id']}/result")
    factors = city.get(f"{URL}/{made['id']}/pack").json()["factors"]
    measured = {f["number"]: f["measured"] for f in factors}
    assert measured[2].startswith("gångflöde")
    assert [measured[n] for n in (3, 5, 6, 7, 8)] == ["ej mätt av sensor"] * 5
    assert all(f["before"] is None for f in factors)


def test_a_small_project_needs_no_pack(acting):
    city = acting("planner")
    made = recorded(city, budget_sek=900_000.0)
    assert city.get(f"{URL}/{made['id']}/pack").json()["requirements"] == []


@pytest.mark.parametrize(
    "more",
    [
        {"kind": "camera"}, {"factors": [9]}, {"sites": []}, {"end": "2020-01-01"},
        {"start": "nyss"}, {"budget_sek": -1.0}, {"created_by": "x"}, {"title": ""},
        {"budget_account": "min egen"}, {"title": "a\x07b"}, {"band": "99-100"}, {"band": "kväll"},
    ],
)  # fmt: skip
def test_what_is_no_intervention_is_refused(acting, more):
    assert acting("planner").post(URL, json=wanted(**more)).status_code == 422


def test_crews_and_strangers_may_not_record_interventions(acting, client):
    assert acting("crew").post(URL, json=wanted()).status_code == 403
    assert client.post(URL, json=wanted()).status_code == 401
    assert acting("partner").get(URL).status_code == 403


def test_a_safety_walk_is_imported_and_matched_with_luminaires(services, city):
    lamp = next(a for a in services.ledger.assets() if a.device_id.startswith("hbg-f-11"))
    text = f"lat;lon;notering\r\n{lamp.lat};{lamp.lon};Mörkt här\r\n56,2;12,9;Klotter\r\n"
    for _ in range(2):
        found = city.post(
            f"{URL}/safety-walks",
            data={"walk": "Dalhem hösten", "day": "2026-10-01"},
            files={"file": ("vandring.csv", text.encode("cp1252"), "text/csv")},
        )
        assert found.status_code == 201, found.text
        assert found.json() == {"walk": "Dalhem hösten", "points": 2, "matched": 1}
    points = city.get(f"{URL}/safety-walks").json()["items"]
    assert [p["device_id"] for p in points] == [lamp.device_id, ""]
    assert points[0]["text"] == "Mörkt här"


def test_a_walk_with_identifiers_or_impossible_positions_is_refused():
    from api.errors import BadInputError

    for text in ("lat,lon,text,imei\n56,12,x,1\n", "lat,lon,text\n156,12,x\n", "lat,lon\n56,12\n"):
        with pytest.raises(BadInputError):
            walk_points_of(text.encode(), walk="w", day=date(2026, 1, 1), assets=[])


def test_the_year_is_reported_with_repairs_where_it_matters(services, city):
    made = recorded(city)
    city.post(f"{URL}/{made['id']}/result")
    year = int(day_before_now(0)[:4])
    page = city.get(f"{URL}/yearly-report", params={"year": year})
    assert "Nytt ljus på Torg 1" in page.text
    assert "ökade med" in page.text
    table = city.get(f"{URL}/yearly-report", params={"year": year, "as_csv": True}).text
    assert "intervention,Nytt ljus på Torg 1,verdict,increase" in table.splitlines()
    assert "prioriterade områden" in page.text


def order(services, number, *, area, site, detected_day, days, cost=None):
    """A real order of the ledger, moved to another place and time."""
    one = services.ledger.work_orders(limit=1).items[0]
    start = NOW_MS - 200 * 86_400_000 + detected_day * 86_400_000
    values = {f: getattr(one, f) for f in WorkOrder.__dataclass_fields__}
    values |= {"id": number, "simulated": False, "area": area, "site": site, "cost": cost,
               "detected_ms": start, "state": WorkOrderState.VERIFIED,
               "done_ms": None if days is None else start + int(days * 86_400_000)}  # fmt: skip
    return WorkOrder(**values)


def test_repair_times_are_told_apart_and_repeated_faults_found(services):
    orders = [
        order(services, 1, area="Dalhem", site="Tunneln", detected_day=0, days=1, cost=100.0),
        order(services, 2, area="Dalhem", site="Tunneln", detected_day=40, days=2, cost=300.0),
        order(services, 3, area="Dalhem", site="Tunneln", detected_day=80, days=3),
        order(services, 4, area="Raus", site="Gatan", detected_day=10, days=10),
        order(services, 5, area="Raus", site="Gatan", detected_day=11, days=None),
        order(services, 6, area="Raus", site="Gatan", detected_day=110, days=4),
    ]
    year = int(day_before_now(190)[:4])
    report = yearly_report(year, [], orders, services.ledger.policy, zone=services.zone)
    assert report.repair["prioritised"].median_days == 2
    assert report.repair["others"].orders == 3
    assert report.repair["others"].mended == 2
    assert report.repeated == [("Tunneln", 3, 400.0)]
    assert "Tunneln" in yearly_page(report, "sv")
    assert "repeated,Tunneln,faults,3" in yearly_csv(report).splitlines()


def test_the_year_is_the_citys_own(services):
    turn_ms = int(datetime(2026, 1, 1, tzinfo=services.zone).timestamp() * 1000)
    one = order(services, 1, area="Raus", site="Gatan", detected_day=0, days=1)
    new_year = [replace(one, detected_ms=turn_ms + 60_000), replace(one, detected_ms=turn_ms - 1)]

    def orders_in(year):
        policy = services.ledger.policy
        return yearly_report(year, [], new_year, policy, zone=services.zone).repair["others"].orders

    assert turn_ms < datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000
    assert (orders_in(2025), orders_in(2026)) == (1, 1)


def test_simulated_answers_say_so_wherever_they_are_shown(city, client):
    made = recorded(city)
    city.post(f"{URL}/{made['id']}/result")
    city.post(f"{URL}/{made['id']}/publication", json={"published": True})
    year = int(day_before_now(0)[:4])
    for page in (
        city.get(f"{URL}/{made['id']}/page"),
        client.get(f"{URL}/published/{made['id']}/page"),
        city.get(f"{URL}/yearly-report", params={"year": year}),
    ):
        assert "SIMULERADE DATA" in page.text


def test_where_it_stands_follows_from_its_days():
    one = Intervention(
        1, 1, "t", InterventionKind.LIGHTING, ("A",), "", date(2026, 5, 1), date(2026, 6, 1),
        False, "", "", (), 2e6, "investering", "", None, (), (), (), None, None, None, None, "",
        None, "x", 0,
    )  # fmt: skip
    assert one.status(date(2026, 4, 30)) is Status.PLANNED
    assert one.status(date(2026, 5, 1)) is Status.RUNNING
    assert one.status(date(2026, 6, 1)) is Status.ENDED
    assert len(pack_requirements(one, [])) == 8


def test_a_place_with_an_intervention_of_its_own_is_no_comparison_place(city):
    made = recorded(city)
    before = city.get(f"{URL}/{made['id']}/result").json()["result"]
    assert "Torg 5" in before["controls"]
    recorded(city, sites=["Torg 5"], start=day_before_now(60))
    recorded(city, sites=["Torg 6"], start=day_before_now(900))
    after = city.get(f"{URL}/{made['id']}/result").json()["result"]
    assert "Torg 5" not in after["controls"]
    assert "Torg 6" in after["controls"]
    assert {"site": "Torg 5", "reason": "itself_treated"} in after["excluded"]
    asked = {"sites": ["Torg 2"], "start": day_before_now(70)}
    found = city.post("/api/v1/footfall/evaluations", json=asked).json()["result"]
    assert not {"Torg 1", "Torg 5"} & {*found["controls"]}
