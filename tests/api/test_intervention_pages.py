"""Interventions by the pages: recorded, planned, noted with files, frozen, published."""

import pytest
from contracts.counted_city import add_squares, day_before_now

from api.errors import BadInputError
from api.interventions import FACTORS
from api.routes.intervention_pages import kronor

NEW = "/planning/interventions/new"
PDF = b"%PDF-1.7\n%%EOF\n"


@pytest.fixture
def city(services, acting):
    """A planner in the city with ten counted squares; the first rose by 60 % ten weeks ago."""
    add_squares(services, risen=1.6)
    return acting("planner")


def form(**more):
    """A filled form for a new intervention."""
    return {"title": "Nytt ljus", "kind": "lighting", "sites": ["Torg 1"], "band": "day",
            "start": day_before_now(70), "factors": ["2", "4"], "budget_sek": "1 500 000,50",
            "budget_account": "investering", **more}  # fmt: skip


def test_an_intervention_lives_from_the_first_form_to_the_published_page(city, client):
    made = city.post(NEW, data=form())
    assert made.status_code == 303, made.text
    here = made.headers["location"]
    page = city.get(here, params={"lang": "sv"}).text
    assert "1 500 000 kr" in page.replace("\u00a0", " ")
    assert "platsbesök före, alla åtta faktorer" in page
    note = {"action": "note", "phase": "before", "kind": "inspection", "day": "2026-08-01",
            "text": "Mörkt under bron.", "remark-3": "häcken skymmer",
            **{f"score-{f.number}": "2" for f in FACTORS}}  # fmt: skip
    files = [("files", ("protokoll.pdf", PDF, "application/pdf"))]
    assert city.post(here, data=note, files=files).status_code == 303
    assert city.post(here, data={"action": "freeze"}).status_code == 303
    assert city.post(here, data={"action": "publish"}).status_code == 303
    page = city.get(here, params={"lang": "en"}).text
    assert "protokoll.pdf" in page
    assert "Footfall (day 05–18) rose by" in page
    assert "Freeze the result" not in page
    number = here.rsplit("/", 1)[1]
    assert client.get(f"/api/v1/interventions/published/{number}/page").status_code == 200
    city.post(here, data={"action": "withdraw"})
    assert client.get(f"/api/v1/interventions/published/{number}/page").status_code == 404


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"action": "note", "phase": "before", "kind": "dialogue", "day": "2026-08-01"}, "tom"),
        ({"action": "note", "phase": "before", "kind": "dialogue", "day": "i går",
          "text": "x"}, "day"),
        ({"action": "note", "phase": "before", "kind": "inspection", "day": "2026-08-01",
          "score-1": "9"}, "1"),
        ({"action": "plan"}, "plan"),
        ({"action": "dansa"}, "form"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_on_the_page(city, data, said):
    here = city.post(NEW, data=form()).headers["location"]
    found = city.post(here, data=data)
    assert found.status_code == 422
    assert 'role="alert"' in found.text
    assert city.get(here.replace("planning", "api/v1") + "/notes").json()["items"] == []
    assert said


def test_a_file_that_is_refused_leaves_no_half_of_a_note(city):
    here = city.post(NEW, data=form()).headers["location"]
    note = {"action": "note", "phase": "after", "kind": "survey", "day": "2026-08-01", "text": "x"}
    files = [("files", ("a.pdf", PDF, "application/pdf")), ("files", ("b.exe", b"MZ", "x/y"))]
    assert city.post(here, data=note, files=files).status_code == 422
    assert city.get(here.replace("planning", "api/v1") + "/notes").json()["items"] == []


@pytest.mark.parametrize(
    "wrong",
    [{"title": ""}, {"start": "snart"}, {"sites": []}, {"budget_sek": "många"},
     {"end": "2020-01-01"}, {"kind": "kamera"}],
)  # fmt: skip
def test_a_form_that_is_wrong_is_given_back_with_the_reason(city, wrong):
    found = city.post(NEW, data=form(**wrong))
    assert found.status_code == 422
    assert 'role="alert"' in found.text


def test_amounts_are_read_as_swedes_write_them():
    assert kronor("1\u00a0200 000,50") == 1_200_000.5
    assert kronor(" ") is None
    with pytest.raises(BadInputError):
        kronor("12 mkr")


def test_the_planning_page_answers_as_the_api_does(city):
    asked = {"site": "Torg 1", "start": day_before_now(70), "band": "day", "lang": "en"}
    page = city.get("/planning", params=asked).text
    wanted = {"sites": ["Torg 1"], "start": asked["start"], "band": "day"}
    found = city.post("/api/v1/footfall/evaluations", json=wanted).json()["result"]
    assert f"rose by {found['percent']:.0f}%" in page
    assert city.get("/planning", params=asked | {"start": "1950-01-01"}).status_code == 200
