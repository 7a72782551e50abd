"""Work orders by the API: pages of them, steps, versions, keys, photos."""

import io
from collections.abc import Callable

import pytest
from contracts.seeded_city import NOW_MS
from fastapi.testclient import TestClient
from PIL import Image

from api.services import Services

Acting = Callable[..., TestClient]
URL = "/api/v1/work-orders"
STEP = f"{URL}/3/transitions"


def test_the_most_urgent_come_first_with_their_evidence(acting: Acting) -> None:
    items = acting("operator").get(URL, params={"open": True}).json()["items"]
    assert [item["urgency"] for item in items] == sorted(item["urgency"] for item in items)
    feeder = next(item for item in items if item["kind"] == "supply_loss")
    assert feeder["cause_kind"] == "feeder"
    assert feeder["cause_id"] == "F-22"
    assert len(feeder["members"]) == feeder["member_count"] == 12
    assert "lost their supply" in feeder["evidence"]
    assert feeder["state"] == "new"
    assert feeder["opened_at"].endswith("Z")


@pytest.mark.parametrize("limit", [1, 2, 5, 6])
def test_pages_of_any_length_give_every_order_once(limit: int, acting: Acting) -> None:
    one = acting("operator")
    whole = [o["id"] for o in one.get(URL).json()["items"]]
    seen: list[int] = []
    cursor: str | None = None
    while True:
        params = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        answer = one.get(URL, params=params)
        seen += [o["id"] for o in answer.json()["items"]]
        cursor = answer.json()["next"]
        if cursor is None:
            assert "link" not in answer.headers
            break
        assert 'rel="next"' in answer.headers["link"]
    assert seen == whole
    assert len(whole) == 6


def test_a_cursor_that_was_tampered_with_or_belongs_elsewhere_is_refused(acting: Acting) -> None:
    one = acting("operator", "planner")
    cursor = one.get(URL, params={"limit": 2}).json()["next"]
    assert one.get(URL, params={"limit": 2, "cursor": cursor[:-2] + "xx"}).status_code == 422
    assert one.get("/api/v1/assets", params={"cursor": cursor}).status_code == 422
    assert one.get(URL, params={"open": True, "cursor": cursor}).status_code == 422


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "1e9", "x", "9" * 400])
def test_a_limit_out_of_range_is_refused(limit: str, acting: Acting) -> None:
    assert acting("operator").get(URL, params={"limit": limit}).status_code == 422


@pytest.mark.parametrize(
    "value", ["' OR 1=1--", "id;drop table work_orders", '") |> drop()', "\u202e", "%00"]
)
@pytest.mark.parametrize("name", ["cause_id", "site", "priority", "assignee", "kind", "cursor"])
def test_what_stands_in_a_filter_stays_a_value(name: str, value: str, acting: Acting) -> None:
    answer = acting("operator").get(URL, params={name: value})
    assert answer.status_code in {200, 422}
    if answer.status_code == 200:
        assert answer.json()["items"] == []


def test_an_order_is_taken_started_and_done(acting: Acting, services: Services) -> None:
    one = acting("crew")
    version = one.get(f"{URL}/3").headers["etag"]
    for action, state in (("assign", "assigned"), ("start", "started"), ("done", "done")):
        answer = one.post(STEP, json={"action": action}, headers={"If-Match": version})
        assert (answer.status_code, answer.json()["state"]) == (200, state)
        version = answer.headers["etag"]
    history = [s.action for s in services.ledger.work_order(3).history]
    assert history == ["create", "assign", "start", "done"]


def test_who_has_not_said_what_they_saw_is_asked_and_who_saw_the_old_is_told(
    acting: Acting,
) -> None:
    one = acting("crew")
    assert one.post(STEP, json={"action": "assign"}).status_code == 428
    seen = {"If-Match": '"1"'}
    assert one.post(STEP, json={"action": "assign"}, headers=seen).status_code == 200
    assert one.post(STEP, json={"action": "start"}, headers=seen).status_code == 412


def test_two_crews_take_one_order_and_one_is_told(acting: Acting) -> None:
    codes = [
        acting("crew", areas=("Söder",)).post(
            STEP, json={"action": "assign"}, headers={"If-Match": '"1"'}
        ).status_code
        for _ in range(2)
    ]  # fmt: skip
    assert codes == [200, 412]


def test_the_same_request_sent_twice_has_one_effect(acting: Acting, services: Services) -> None:
    one = acting("crew")
    headers = {"If-Match": '"1"', "Idempotency-Key": "outbox-0001"}
    first, again = (one.post(STEP, json={"action": "start"}, headers=headers) for _ in range(2))
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert len(services.ledger.work_order(3).history) == 2
    other = one.post(STEP, json={"action": "done"}, headers=headers)
    assert other.status_code == 422


def test_one_key_used_by_two_is_two_requests(acting: Acting) -> None:
    headers = {"If-Match": "*", "Idempotency-Key": "outbox-0001"}
    assert acting("crew").post(STEP, json={"action": "start"}, headers=headers).status_code == 200
    note = {"action": "note", "note": "x"}
    assert acting("operator").post(STEP, json=note, headers=headers).status_code == 200


def test_a_step_that_is_not_possible_says_what_is(acting: Acting) -> None:
    answer = acting("crew").post(STEP, json={"action": "resume"}, headers={"If-Match": "*"})
    assert answer.status_code == 409
    assert "start" in answer.json()["remedy"]


@pytest.mark.parametrize(
    "body",
    [
        {"action": "assign", "state": "done"},
        {"action": "assign", "version": 9},
        {"action": "assign", "area": "Söder"},
        {"action": "fly"},
        {"action": 1},
        {"action": "note", "note": ["x"]},
        {"action": "duplicate", "duplicate_of": "4"},
        [],
        None,
    ],
)
def test_nothing_beyond_the_description_is_taken(body: object, acting: Acting) -> None:
    answer = acting("crew").post(STEP, json=body, headers={"If-Match": "*"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_crew_cannot_hand_its_work_to_somebody_else(acting: Acting) -> None:
    one = acting("crew")
    answer = one.post(STEP, json={"action": "assign", "assignee": "bo"}, headers={"If-Match": "*"})
    assert answer.json()["assignee"] == "crew"
    boss = acting("operator")
    answer = boss.post(STEP, json={"action": "assign", "assignee": "bo"}, headers={"If-Match": "*"})
    assert answer.json()["assignee"] == "bo"


def test_orders_are_opened_merged_and_split_by_hand(acting: Acting) -> None:
    one = acting("operator")
    made = one.post(
        URL,
        json={"device_ids": ["hbg-f-12-01", "hbg-f-12-02"], "kind": "lamp_failure", "note": "x"},
        headers={"Idempotency-Key": "by-hand-01"},
    )
    assert made.status_code == 201
    where = made.headers["location"]
    split = one.post(f"{where}/split", json={"device_ids": ["hbg-f-12-02"]})
    assert split.status_code == 201
    assert split.json()["members"] == ["hbg-f-12-02"]
    merged = one.post(f"{where}/merge", json={"others": [split.json()["id"]]})
    assert merged.status_code == 200
    assert one.get(split.headers["location"]).json()["state"] == "duplicate"


def test_who_pays_is_said_with_the_version_seen(acting: Acting) -> None:
    one = acting("operator")
    body = {"budget_account": "trygghet_drift", "cost": 1250.5}
    assert one.patch(f"{URL}/3", json=body).status_code == 428
    assert one.patch(f"{URL}/3", json=body, headers={"If-Match": '"9"'}).status_code == 412
    answer = one.patch(f"{URL}/3", json=body, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.json()["budget_account"]) == (200, "trygghet_drift")


def photo() -> bytes:
    out = io.BytesIO()
    picture = Image.new("RGB", (64, 48), "orange")
    exif = Image.Exif()
    exif[0x010F] = "Camera of Anna"
    picture.save(out, "JPEG", exif=exif)
    return out.getvalue()


def test_a_photo_comes_back_without_where_and_by_whom_it_was_taken(acting: Acting) -> None:
    one = acting("crew")
    made = one.post(f"{URL}/3/photos", files={"photo": ("x.jpg", photo(), "image/jpeg")})
    assert made.status_code == 201
    content = one.get(made.json()["href"])
    assert content.headers["content-type"] == "image/jpeg"
    assert b"Camera of Anna" not in content.content
    assert acting("crew", areas=("Dalhem",)).get(made.json()["href"]).status_code == 404
    assert one.get(f"{URL}/4/photos/{made.json()['id']}").status_code == 404


@pytest.mark.parametrize("content", [b"", b"<svg onload=alert(1)>", b"\xff\xd8\xff" + b"x" * 50])
def test_what_is_no_picture_is_refused(content: bytes, acting: Acting) -> None:
    files = {"photo": ("../../x.jpg", content, "image/jpeg")}
    assert acting("crew").post(f"{URL}/3/photos", files=files).status_code == 422


def test_planned_work_covers_and_ends(acting: Acting) -> None:
    one = acting("operator")
    body = {"cause_kind": "feeder", "cause_id": "F-12", "start": "2026-11-22T20:00:00Z",
            "end": "2026-11-23T04:00:00Z", "reason": "kabelbyte"}  # fmt: skip
    made = one.post("/api/v1/planned-work", json=body)
    assert made.status_code == 201
    assert one.get("/api/v1/planned-work").json()["items"][0]["owner"] == "operator"
    ended = one.post(f"/api/v1/planned-work/{made.json()['id']}/end")
    assert ended.json()["end"] < "2026-11-23T04:00:00Z"
    swapped = {**body, "start": body["end"], "end": body["start"]}
    assert one.post("/api/v1/planned-work", json=swapped).status_code == 422


def test_what_was_done_to_a_device_is_written_down_once(acting: Acting, services: Services) -> None:
    one = acting("crew")
    body = {"device_id": "hbg-f-11-04", "action": "lamp_swap", "time": "2026-11-22T19:00:00+01:00"}
    for _ in range(2):
        assert one.post("/api/v1/maintenance", json=body).status_code == 201
    assert len(services.ledger.maintenance(device_id="hbg-f-11-04")) == 1
    assert NOW_MS > 0


def test_where_an_order_stands_is_told_to_a_decimetre(acting: Acting) -> None:
    orders = acting("operator").get("/api/v1/work-orders").json()["items"]
    places = [(order["lat"], order["lon"]) for order in orders if order["member_count"] > 1]

    assert places
    assert places == [(round(lat, 6), round(lon, 6)) for lat, lon in places]
