"""Every route that makes or changes something does it once under one Idempotency-Key."""

import asyncio
import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from contracts.seeded_city import NOW_MS, client_over
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import func, select, table

from api.app import create_app
from api.auth import SAFE
from api.routes.repeats import REPLAYED, Repeatable
from api.services import Services

Acting = Callable[..., TestClient]
# Routes without a key of this kind, each with the reason.
OTHERWISE = {
    "/login": "opens a session: its answer is a cookie, which is kept nowhere",
    "/welcome": "the one-time link is its key",
    "/logout": "again does nothing",
    "/log-reports": "talqRequestId is its key",
    "/api/v1/footfall/evaluations": "computes and changes nothing",
    "/api/v1/footfall/evaluations/report": "computes and changes nothing",
}


def changing(app: FastAPI) -> dict[str, APIRoute]:
    """Every route that answers to more than reading, by method and path."""
    found: dict[str, APIRoute] = {}
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIRoute):
            for method in set(route.methods or ()) - SAFE:
                found[f"{method} {route.path_format}"] = route.original_route
    return found


def test_every_route_that_changes_something_may_be_asked_again(services: Services) -> None:
    routes = changing(create_app(services))
    assert len(routes) > 30
    without = {name for name, route in routes.items() if not isinstance(route, Repeatable)}
    assert without == {f"POST {path}" for path in OTHERWISE}


def test_the_description_names_the_header_on_each(services: Services) -> None:
    paths = create_app(services).openapi()["paths"]
    without = {
        f"{method.upper()} {path}"
        for path, item in paths.items()
        for method, operation in item.items()
        if method.upper() not in SAFE
        and "idempotency-key" not in {p["name"].lower() for p in operation.get("parameters", ())}
    }
    assert without <= {f"POST {path}" for path in OTHERWISE}


def picture(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(out, "PNG")
    return out.getvalue()


WINDOW = {"cause_kind": "feeder", "cause_id": "F-11", "start": "2026-11-23T08:00:00Z",
          "end": "2026-11-23T10:00:00Z", "reason": "cable"}  # fmt: skip
PERSON = {"name": "Ny Person", "roles": ["crew"]}
HOOK = {"channel": "email", "address": "a@example.org"}
CHANGE = {
    "title": "Nya lampor", "sites": ["Drottninggatan"], "kind": "lighting",
    "start": "2026-11-01", "band": "evening",
}  # fmt: skip
# Method, path, what is asked, and what is asked another time under the same key.
REQUESTS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("POST", "/api/v1/work-orders",
     {"json": {"device_ids": ["hbg-f-12-01"], "kind": "lamp_failure"}},
     {"json": {"device_ids": ["hbg-f-12-02"], "kind": "lamp_failure"}}),
    ("POST", "/api/v1/work-orders/3/transitions", {"json": {"action": "start"}},
     {"json": {"action": "assign"}}),
    ("PATCH", "/api/v1/work-orders/3", {"json": {"budget_account": "investering"}},
     {"json": {"budget_account": "trygghet_drift"}}),
    ("POST", "/api/v1/work-orders/3/merge", {"json": {"others": [4]}}, {"json": {"others": [5]}}),
    ("POST", "/api/v1/work-orders/6/split", {"json": {"device_ids": ["hbg-f-22-01"]}},
     {"json": {"device_ids": ["hbg-f-22-02"]}}),
    ("POST", "/api/v1/work-orders/3/photos", {"files": {"photo": ("a.png", picture("red"))}},
     {"files": {"photo": ("a.png", picture("blue"))}}),
    ("POST", "/api/v1/planned-work", {"json": WINDOW}, {"json": WINDOW | {"reason": "other"}}),
    ("POST", "/api/v1/maintenance", {"json": {"device_id": "hbg-f-12-01", "action": "cleaned"}},
     {"json": {"device_id": "hbg-f-12-02", "action": "cleaned"}}),
    ("POST", "/api/v1/users", {"json": PERSON}, {"json": PERSON | {"name": "Li"}}),
    ("POST", "/api/v1/keys", {"json": PERSON}, {"json": PERSON | {"name": "Li"}}),
    ("PUT", "/api/v1/alert-recipients/jour", {"json": HOOK},
     {"json": HOOK | {"address": "b@example.org"}}),
    ("POST", "/open311/v2/requests.json",
     {"data": {"service_code": "lamp_out", "lat": "56.044", "long": "12.695"}},
     {"data": {"service_code": "danger", "lat": "56.044", "long": "12.695"}}),
    ("POST", "/orders/3",
     {"data": {"action": "start", "version": "1", "idempotency_key": "from-a-form"}},
     {"data": {"action": "assign", "version": "1", "idempotency_key": "from-a-form"}}),
    ("POST", "/api/v1/interventions", {"json": CHANGE}, {"json": CHANGE | {"title": "Andra"}}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "asked", "other"), REQUESTS, ids=lambda v: str(v)[:50])
def test_the_same_request_has_one_effect_and_another_under_its_key_none(
    method: str, path: str, asked: dict[str, Any], other: dict[str, Any],
    acting: Acting, services: Services,
) -> None:  # fmt: skip
    one = acting("admin", "operator", "planner")
    headers = {"Idempotency-Key": "!", "If-Match": "*", "Accept": "application/json"}
    first = one.request(method, path, headers=headers, **asked)
    assert first.status_code in {200, 201}, first.text
    before = rows(services)
    again = one.request(method, path, headers=headers, **asked)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers[REPLAYED] == "true"
    assert {n: again.headers.get(n) for n in ("etag", "location", "content-type")} == {
        n: first.headers.get(n) for n in ("etag", "location", "content-type")
    }
    refused = one.request(method, path, headers=headers, **other)
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    assert "another request" in refused.json()["title"]
    assert rows(services) == before


def rows(services: Services) -> dict[str, int]:
    """How much the ledger holds of everything."""
    tables = ("work_orders", "work_order_history", "attachments", "planned_work", "maintenance",
              "users", "api_keys", "alert_recipients", "service_requests", "interventions", "audit",
              "alert_matters", "idempotency")  # fmt: skip
    with services.ledger.database.read() as session:
        return {t: session.scalar(select(func.count()).select_from(table(t))) or 0 for t in tables}


def test_what_is_shown_once_stands_nowhere_in_clear(services: Services, acting: Acting) -> None:
    one = acting("admin")
    headers = {"Idempotency-Key": "k"}
    key = one.post("/api/v1/keys", json=PERSON, headers=headers).json()["key"]
    one.post("/api/v1/users", json=PERSON)
    link = one.post("/api/v1/users/Ny Person/link", headers=headers | {"Idempotency-Key": "l"})
    token = link.json()["path"].partition("token=")[2]
    assert one.post("/api/v1/keys", json=PERSON, headers=headers).json()["key"] == key
    services.ledger.close()
    assert services.ledger.database.path is not None
    everything = b"".join(
        p.read_bytes() for p in services.ledger.database.path.parent.glob("ops.db*")
    )
    for secret in (key, key.split("_", 2)[2], token):
        assert secret.encode() not in everything


def test_a_page_that_says_no_has_changed_nothing(acting: Acting, services: Services) -> None:
    form = {"action": "resume", "version": "1", "idempotency_key": "k"}
    crew = acting("crew")
    before = rows(services)
    photo = {"photo": ("a.png", picture("red"))}
    answer = crew.post("/orders/3", data=form, files=photo)
    assert answer.status_code == 409
    assert rows(services) == before


def test_a_refusal_is_not_remembered(acting: Acting) -> None:
    one = acting("operator")
    headers = {"Idempotency-Key": "k", "If-Match": '"7"'}
    url, step = "/api/v1/work-orders/3/transitions", {"action": "start"}
    assert one.post(url, json=step, headers=headers).status_code == 412
    assert one.post(url, json=step, headers=headers | {"If-Match": '"1"'}).status_code == 200


@pytest.mark.parametrize("key", ["", "a b", "å", "x" * 256])
def test_what_is_no_key_is_refused(key: str, acting: Acting) -> None:
    answer = acting("admin").post(
        "/api/v1/users", json=PERSON, headers={b"Idempotency-Key": key.encode()}
    )
    assert answer.status_code == 422


@pytest.mark.parametrize("key", ["1", "~" * 255, 'a"b\\c'])
def test_a_key_is_any_visible_text(key: str, acting: Acting) -> None:
    answer = acting("admin").post("/api/v1/users", json=PERSON, headers={"Idempotency-Key": key})
    assert answer.status_code == 201


def test_whoever_may_no_longer_is_not_given_the_old_answer(
    acting: Acting, services: Services
) -> None:
    one, headers = acting("admin"), {"Idempotency-Key": "k"}
    assert one.post("/api/v1/users", json=PERSON, headers=headers).status_code == 201
    mine = services.ledger.keys()[0].public_id
    services.ledger.revoke_key(mine, now_ms=NOW_MS)
    assert one.post("/api/v1/users", json=PERSON, headers=headers).status_code == 401


def test_another_program_s_secret_does_not_open_the_answer(
    acting: Acting, services: Services
) -> None:
    one, headers = acting("admin"), {"Idempotency-Key": "k"}
    assert one.post("/api/v1/users", json=PERSON, headers=headers).status_code == 201
    other = client_over(replace(services, secret=b"another"))
    other.headers["Authorization"] = one.headers["Authorization"]
    assert other.post("/api/v1/users", json=PERSON, headers=headers).status_code == 409
    assert len(services.ledger.users()) == 1


@pytest.mark.anyio
async def test_requests_that_come_at_once_have_one_effect(
    services: Services, acting: Acting
) -> None:
    """More of them than the server has threads."""
    headers = {"Authorization": acting("admin").headers["Authorization"], "Idempotency-Key": "k"}
    before = rows(services)
    transport = httpx2.ASGITransport(create_app(services))
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://127.0.0.1", timeout=60
    ) as one:
        answers = await asyncio.gather(
            *(one.post("/api/v1/keys", json=PERSON, headers=headers) for _ in range(60))
        )
    assert {(a.status_code, a.text) for a in answers} == {(201, answers[0].text)}
    after = rows(services)
    assert (after["api_keys"] - before["api_keys"], after["audit"] - before["audit"]) == (1, 1)
