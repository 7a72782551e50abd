"""Every route has one policy, and every policy holds."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient

from api.app import create_app
from api.auth import Needs, Role
from api.services import Services

PUBLIC_PATHS = {
    "/healthz", "/readyz", "/docs", "/login", "/welcome", "/sw.js", "/manifest.webmanifest",
    "/favicon.ico", "/oidc/start", "/oidc/callback", "/logout",
    "/api/v1/interventions/published", "/api/v1/interventions/published/{intervention_id}/page",
    "/api/v1/footfall/public", "/api/v1/exports/calendar/{token}.ics",
    "/open311/v2/discovery.{form}", "/open311/v2/services.{form}",
    "/open311/v2/services/{code}.{form}", "/open311/v2/requests.{form}",
    "/open311/v2/requests/{number}.{form}", "/open311/v2/servicerequestupdates.{form}",
}  # fmt: skip
# What FastAPI itself answers: the description of the API, which is no secret.
OWN = {"/openapi.json"}
CREW_MAY = {Role.CREW}


def policies_of(dependant: Dependant) -> Iterator[Needs]:
    """Every policy among a route's dependencies, however deep."""
    for part in dependant.dependencies:
        if isinstance(part.call, Needs):
            yield part.call
        yield from policies_of(part)


def routes_of(app: FastAPI) -> list[tuple[str, set[str], list[Needs]]]:
    """Path, methods and policies of every route."""
    return [
        (str(route.path_format), set(route.methods or ()), list(policies_of(route.dependant)))
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, APIRoute)
    ]


def test_every_route_has_exactly_one_policy(services: Services) -> None:
    without = {
        path: len(policies)
        for path, _, policies in routes_of(create_app(services))
        if len(policies) != 1
    }
    assert without == {}


def test_no_operation_of_the_document_is_missed_by_the_walk(services: Services) -> None:
    app = create_app(services)
    walked = {(path, m) for path, methods, _ in routes_of(app) for m in methods}
    documented = {
        (path, method.upper()) for path, item in app.openapi()["paths"].items() for method in item
    }
    assert documented
    assert documented <= walked


def test_only_these_routes_are_open_to_all(services: Services) -> None:
    public = {
        path
        for path, _, policies in routes_of(create_app(services))
        if any(Role.PUBLIC in p.roles for p in policies)
    }
    assert public <= PUBLIC_PATHS


def sample_of(path: str) -> str:
    """A path with something in each of its places."""
    fill = {"order_id": "4", "incident_id": "1", "photo_id": "1", "form": "json", "lang": "sv"}
    for part in path.split("{")[1:]:
        name = part.split("}")[0]
        bare = name.split(":")[0]
        path = path.replace(f"{{{name}}}", fill.get(bare, "1"))
    return path


def requests_of(app: FastAPI) -> Iterator[tuple[str, str, Needs]]:
    """One request for each method of each route."""
    for path, methods, policies in routes_of(app):
        for method in sorted(methods - {"HEAD", "OPTIONS"}):
            yield method, sample_of(path), policies[0]


def test_who_is_not_known_gets_no_further_than_the_door(
    services: Services, client: TestClient
) -> None:
    let_in = [
        (method, path)
        for method, path, policy in requests_of(create_app(services))
        if Role.PUBLIC not in policy.roles
        and client.request(method, path).status_code not in {401, 303}
    ]
    assert let_in == []


@pytest.mark.parametrize("role", ["crew", "planner", "tester", "operator", "partner"])
def test_a_role_is_refused_where_the_policy_does_not_name_it(
    role: str, services: Services, acting: Callable[..., TestClient]
) -> None:
    one = acting(role)
    let_in = [
        (method, path)
        for method, path, policy in requests_of(create_app(services))
        if Role.PUBLIC not in policy.roles
        and Role(role) not in policy.roles
        and one.request(method, path).status_code != 403
    ]
    assert let_in == []


def test_a_crew_of_one_area_sees_nothing_of_another_on_any_route(
    services: Services, acting: Callable[..., TestClient]
) -> None:
    order = services.ledger.work_order(4).order
    assert order.area == "Drottninghög"
    own, other = acting("crew", areas=("Drottninghög",)), acting("crew", areas=("Söder",))
    telling: list[tuple[str, str]] = []
    for method, path, policy in requests_of(create_app(services)):
        if Role.CREW not in policy.roles or method != "GET" or "events" in path:
            continue
        answer = other.get(path)
        assert answer.status_code < 500, path
        if answer.status_code == 200 and any(
            secret in answer.text for secret in ("hbg-f-21", "Regementsvägen", "HBG-F-21")
        ):
            telling.append((method, path))
    assert telling == []
    assert own.get("/api/v1/work-orders/4").status_code == 200
    assert "Regementsvägen" in own.get("/crew").text


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v1/work-orders/4", None),
        ("GET", "/orders/4", None),
        ("GET", "/api/v1/work-orders/4/picture", None),
        ("POST", "/api/v1/work-orders/4/transitions", {"action": "start"}),
        ("GET", "/api/v1/incidents/4", None),
        ("GET", "/api/v1/assets/hbg-f-21-05", None),
        ("GET", "/api/v1/readings?device_id=hbg-f-21-05", None),
        ("POST", "/api/v1/maintenance", {"device_id": "hbg-f-21-05", "action": "cleaned"}),
    ],
)
def test_what_lies_in_another_area_does_not_exist(
    method: str, path: str, body: Any, acting: Callable[..., TestClient]
) -> None:
    other = acting("crew", areas=("Söder",))
    answer = other.request(method, path, json=body, headers={"If-Match": "*"})
    assert answer.status_code == 404


def test_an_administrator_may_do_what_staff_may(acting: Callable[..., TestClient]) -> None:
    admin = acting("admin")
    for path in ("/api/v1/users", "/api/v1/work-orders", "/metrics", "/crew", "/places"):
        assert admin.get(path).status_code == 200, path


@pytest.mark.parametrize("path", ["/api/v1/readings", "/api/v1/exports/readings.csv"])
def test_counts_of_people_are_not_a_crew_s_to_see(
    path: str, acting: Callable[..., TestClient]
) -> None:
    for quantity in ("people_count", "people_in", "people_out"):
        assert acting("crew").get(path, params={"quantity": quantity}).status_code == 403
        assert acting("planner").get(path, params={"quantity": quantity}).status_code == 200
    assert acting("crew").get(path, params={"quantity": "illuminance_lx"}).status_code == 200
