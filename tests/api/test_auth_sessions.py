"""Signing in, staying in, getting out: sessions, keys, forgery, limits."""

from collections.abc import Callable
from functools import partial

import pytest
from contracts.seeded_city import NOW_MS, TOKEN, client_over
from contracts.together import together
from fastapi.testclient import TestClient

from api.app import create_app
from api.auth import Access, first_link
from api.services import Services

PAGE = {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1"}
PASSWORD = "fyra sura korvar i rad"  # noqa: S105 - a user of the tests only


@pytest.fixture
def anna(services: Services) -> None:
    services.ledger.create_user(
        "anna", roles=["crew"], areas=["Söder"], password=PASSWORD, now_ms=NOW_MS
    )


def signed_in(client: TestClient, *, password: str = PASSWORD, next_: str = "/crew") -> int:
    form = {"user": "anna", "password": password, "next": next_}
    return client.post("/login", data=form, headers=PAGE).status_code


def csrf_of(client: TestClient, path: str = "/orders/3") -> str:
    text = client.get(path).text
    return text.split('name="csrf" value="')[1].split('"')[0]


@pytest.mark.usefixtures("anna")
def test_the_right_password_opens_a_session_and_the_cookie_is_kept_from_scripts(
    client: TestClient,
) -> None:
    form = {"user": "anna", "password": PASSWORD, "next": "/crew"}
    answer = client.post("/login", data=form, headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/crew")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert client.get("/crew").status_code == 200


def test_behind_https_the_cookie_belongs_to_this_host_alone(services: Services) -> None:
    http = services.settings.http.model_copy(update={"public_url": "https://ljus.example"})
    services.settings = services.settings.model_copy(update={"http": http})
    services.ledger.create_user("anna", roles=["crew"], password=PASSWORD, now_ms=NOW_MS)
    client = TestClient(create_app(services), base_url="https://ljus.example")
    page = {"Sec-Fetch-Site": "same-origin", "Origin": "https://ljus.example"}
    answer = client.post(
        "/login", data={"user": "anna", "password": PASSWORD}, headers=page, follow_redirects=False
    )
    assert answer.headers["set-cookie"].startswith("__Host-ljusvakt=")
    assert "Secure" in answer.headers["set-cookie"]
    assert "max-age" in answer.headers["strict-transport-security"]


@pytest.mark.usefixtures("anna")
def test_a_session_lasts_as_long_as_the_settings_say_in_browser_and_ledger(
    services: Services,
) -> None:
    access = services.settings.access.model_copy(update={"session_hours": 2})
    services.settings = services.settings.model_copy(update={"access": access})
    client = client_over(services)
    form = {"user": "anna", "password": PASSWORD, "next": "/crew"}
    answer = client.post("/login", data=form, headers=PAGE)
    assert "Max-Age=7200" in answer.headers["set-cookie"]
    token = client.cookies["ljusvakt"]
    now_ms = services.clock.now_ms()
    found = services.ledger.session_of(token, now_ms=now_ms)
    assert found is not None
    assert found.expires_ms - found.created_ms == 2 * 3_600_000
    assert services.ledger.session_of(token, now_ms=now_ms + 2 * 3_600_000) is None


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(client: TestClient) -> None:
    texts = [
        client.post("/login", data={"user": user, "password": "x" * 14}, headers=PAGE)
        for user in ("anna", "nobody")
    ]
    assert [t.status_code for t in texts] == [401, 401]
    said = [t.text.split('role="alert">')[1].split("<")[0] for t in texts]
    assert said[0] == said[1] == "Namnet och lösenordet hör inte ihop."


@pytest.mark.usefixtures("anna")
def test_sign_in_gives_a_new_session_whatever_cookie_came_before(client: TestClient) -> None:
    client.cookies.set("ljusvakt", "chosen-by-somebody-else")
    assert signed_in(client) == 303
    assert client.cookies.get("ljusvakt", domain="127.0.0.1") != "chosen-by-somebody-else"


@pytest.mark.usefixtures("anna")
def test_signing_out_ends_the_session_and_clears_what_the_browser_kept(client: TestClient) -> None:
    signed_in(client)
    token = client.cookies["ljusvakt"]
    answer = client.post("/logout", data={"csrf": csrf_of(client)}, headers=PAGE)
    assert answer.status_code == 303
    assert answer.headers["clear-site-data"] == '"cache", "storage"'
    client.cookies.set("ljusvakt", token)
    assert client.get("/api/v1/work-orders").status_code == 401


@pytest.mark.usefixtures("anna")
def test_a_role_taken_away_is_gone_at_the_next_request(
    client: TestClient, services: Services
) -> None:
    signed_in(client)
    assert client.get("/crew").status_code == 200
    services.ledger.change_user("anna", roles=["planner"])
    assert client.get("/api/v1/me").status_code == 401


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://evil.127.0.0.1"},
        {"Origin": "null"},
    ],
)
def test_a_form_of_another_site_changes_nothing(
    headers: dict[str, str], client: TestClient, services: Services
) -> None:
    signed_in(client)
    form = {"csrf": csrf_of(client), "action": "assign", "version": "1",
            "idempotency_key": "12345678"}  # fmt: skip
    assert client.post("/orders/3", data=form, headers=headers).status_code == 403
    assert services.ledger.work_order(3).order.version == 1


@pytest.mark.usefixtures("anna")
def test_a_form_without_the_pages_token_changes_nothing(
    client: TestClient, services: Services
) -> None:
    signed_in(client)
    form = {"csrf": "wrong", "action": "assign", "version": "1", "idempotency_key": "12345678"}
    assert client.post("/orders/3", data=form, headers=PAGE).status_code == 403
    body = {"action": "assign"}
    api = "/api/v1/work-orders/3/transitions"
    assert client.post(api, json=body, headers={**PAGE, "If-Match": "*"}).status_code == 403
    assert services.ledger.work_order(3).order.version == 1


@pytest.mark.usefixtures("anna")
def test_json_sent_as_text_is_not_read(client: TestClient) -> None:
    signed_in(client)
    headers = {
        **PAGE,
        "If-Match": "*",
        "Content-Type": "text/plain",
        "X-CSRF-Token": csrf_of(client),
    }
    answer = client.post(
        "/api/v1/work-orders/3/transitions", content=b'{"action":"assign"}', headers=headers
    )
    assert answer.status_code in {415, 422}


def test_another_sites_sign_in_form_is_refused(client: TestClient) -> None:
    answer = client.post("/login", data={"user": "anna", "password": PASSWORD})
    assert answer.status_code == 403


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil.example"])
def test_after_sign_in_one_stays_on_our_pages(target: str, client: TestClient) -> None:
    form = {"user": "anna", "password": PASSWORD, "next": target}
    assert client.post("/login", data=form, headers=PAGE).headers["location"] == "/"


@pytest.mark.usefixtures("anna")
def test_guessing_passwords_is_stopped_at_once(client: TestClient) -> None:
    form = {"user": "anna", "password": "wrong wrong wrong"}
    codes = [client.post("/login", data=form, headers=PAGE).status_code for _ in range(12)]
    assert codes[:10] == [401] * 10
    assert codes[10:] == [429, 429]


def test_a_flood_of_sign_ins_does_not_queue(client: TestClient, services: Services) -> None:
    for n in range(6):
        services.ledger.create_user(f"u{n}", roles=["crew"], password=PASSWORD, now_ms=NOW_MS)

    def sign_in(name: str) -> int:
        form = {"user": name, "password": PASSWORD}
        return client.post("/login", data=form, headers=PAGE).status_code

    codes = together(*[partial(sign_in, f"u{n}") for n in range(6)])
    assert set(codes) <= {303, 429}
    assert 303 in codes


def test_a_one_time_link_lets_somebody_choose_a_password_once(
    client: TestClient, services: Services
) -> None:
    services.ledger.create_user("första", roles=["admin"], now_ms=NOW_MS)
    token = services.ledger.sign_in_link("första", now_ms=NOW_MS)
    assert "Välj ett lösenord" in client.get(f"/welcome?token={token}").text
    short = client.post("/welcome", data={"token": token, "password": "kort"}, headers=PAGE)
    assert short.status_code == 422
    form = {"token": token, "password": PASSWORD}
    assert client.post("/welcome", data=form, headers=PAGE).status_code == 303
    assert client.get("/api/v1/me").json()["roles"] == ["admin"]
    again = TestClient(client.app, base_url="http://127.0.0.1", follow_redirects=False)
    assert again.post("/welcome", data=form, headers=PAGE).status_code == 410


def test_the_first_start_makes_an_administrator_without_any_password(
    services: Services, client: TestClient
) -> None:
    link = first_link(services.ledger, now_ms=NOW_MS)
    assert link is not None
    admin = services.ledger.user("admin")
    assert (admin.roles, admin.has_password) == ({"admin"}, False)
    for password in ("", "admin", "password", "changeme"):
        form = {"user": "admin", "password": password}
        assert client.post("/login", data=form, headers=PAGE).status_code in {401, 422}
    again = first_link(services.ledger, now_ms=NOW_MS)
    assert again not in {None, link}
    assert client.get(link).status_code == 200
    form = {"token": str(again).split("=")[1], "password": PASSWORD}
    assert client.post("/welcome", data=form, headers=PAGE).status_code == 303
    assert first_link(services.ledger, now_ms=NOW_MS) is None


# -- keys --------------------------------------------------------------------------------------


def test_a_key_opens_what_its_roles_open_until_it_is_revoked(
    services: Services, client: TestClient
) -> None:
    made = services.ledger.create_key("robot", roles=["operator"], now_ms=NOW_MS)
    header = {"Authorization": f"Bearer {made.secret}"}
    assert client.get("/api/v1/work-orders", headers=header).status_code == 200
    assert client.get("/api/v1/users", headers=header).status_code == 403
    services.ledger.revoke_key(made.key.public_id, now_ms=NOW_MS)
    assert client.get("/api/v1/work-orders", headers=header).status_code == 401


def test_an_expired_key_is_none(services: Services, client: TestClient) -> None:
    made = services.ledger.create_key(
        "old", roles=["operator"], now_ms=NOW_MS - 10, expires_ms=NOW_MS - 5
    )
    header = {"Authorization": f"Bearer {made.secret}"}
    assert client.get("/api/v1/work-orders", headers=header).status_code == 401


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Basic YTpi", "Bearer lv_x_y", "Bearer " + "a" * 5000, "Bearer å"],
)
def test_what_is_no_key_is_refused_and_told_how(header: str, client: TestClient) -> None:
    answer = client.get("/api/v1/work-orders", headers=[(b"authorization", header.encode())])
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_key_in_the_address_is_refused(services: Services, client: TestClient) -> None:
    made = services.ledger.create_key("robot", roles=["operator"], now_ms=NOW_MS)
    answer = client.get("/api/v1/work-orders", params={"api_key": made.secret})
    assert answer.status_code == 400
    assert made.secret not in answer.text


# -- the demo's door ---------------------------------------------------------------------------


def test_the_demos_first_page_opens_by_itself_and_its_api_follows(
    demo_services: Services,
) -> None:
    browser = client_over(demo_services)
    assert browser.get("/").status_code == 200
    assert browser.get("/api/v1/map").status_code == 200


def test_the_demos_api_wants_its_token(demo_services: Services, demo: TestClient) -> None:
    assert client_over(demo_services).get("/api/v1/work-orders").status_code == 401
    for path in ("/api/v1/work-orders", "/api/v1/users", "/metrics", "/api/v1/footfall"):
        assert demo.get(path).status_code == 200, path


def test_from_another_machine_the_demos_door_is_shut(demo_services: Services) -> None:
    far = client_over(demo_services, host="192.0.2.7")
    assert far.get("/").status_code == 303
    far.headers["Authorization"] = f"Bearer {TOKEN}"
    assert far.get("/api/v1/work-orders").status_code == 401


def test_a_name_that_points_here_from_outside_gets_nothing(demo_services: Services) -> None:
    answer = client_over(demo_services).get("/", headers={"Host": "evil.example"})
    assert answer.status_code == 421


def test_a_form_in_the_demo_needs_the_pages_token_too(demo_services: Services) -> None:
    browser = client_over(demo_services)
    page = browser.get("/orders/3").text
    csrf = page.split('name="csrf" value="')[1].split('"')[0]
    form = {"action": "assign", "version": "1", "idempotency_key": "12345678"}
    assert browser.post("/orders/3", data=form, headers=PAGE).status_code == 403
    good = browser.post("/orders/3", data={**form, "csrf": csrf}, headers=PAGE)
    assert good.status_code == 303


# -- limits ------------------------------------------------------------------------------------


def test_too_many_requests_are_told_when_to_come_back(
    services: Services, acting: Callable[..., TestClient]
) -> None:
    services.requests_per_minute = 5
    one = acting("operator")
    answers = [one.get("/api/v1/areas") for _ in range(7)]
    assert [a.status_code for a in answers] == [200] * 5 + [429] * 2
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert acting("operator").get("/api/v1/areas").status_code == 200


def test_limits_are_the_apps_own(services: Services) -> None:
    one, two = create_app(services), create_app(services)
    assert isinstance(one.state.access, Access)
    assert one.state.access is not two.state.access
