"""Rules that hold for every route: problems, headers, sizes, names, formats."""

import json
from collections.abc import Callable

import pytest
from contracts.seeded_city import TOKEN, client_over
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from api.i18n import LANGUAGES, Words, catalogue, choose_language
from api.problems import allowed_methods
from api.routes.places import colour_of, luminance, wants_light_text
from api.services import Health, Services

Acting = Callable[..., TestClient]
PROBLEM = "application/problem+json"


def test_every_error_is_a_problem(client: TestClient, acting: Acting) -> None:
    one = acting("operator")
    answers = [
        client.get("/api/v1/nothing"),
        client.get("/api/v1/assets"),
        one.get("/api/v1/users"),
        one.get("/api/v1/assets/none"),
        one.delete("/api/v1/assets"),
        one.get("/api/v1/assets", params={"kind": "x"}),
        one.post("/api/v1/work-orders", content=b"{", headers={"Content-Type": "application/json"}),
    ]
    assert [a.status_code for a in answers] == [404, 401, 403, 404, 405, 422, 422]
    for answer in answers:
        assert answer.headers["content-type"] == PROBLEM
        body = answer.json()
        assert (body["type"], body["status"]) == ("about:blank", answer.status_code)
        assert body["title"]


def test_405_names_the_methods_of_every_route_on_the_path(acting: Acting) -> None:
    answer = acting("admin").put("/api/v1/users/anna")
    assert answer.headers["allow"] == "GET, PATCH"


def test_a_static_path_allows_reading(client: TestClient) -> None:
    scope = {"type": "http", "method": "DELETE", "path": "/static/app.css", "headers": []}
    assert allowed_methods(client.app, scope) == ["GET", "HEAD"]  # type: ignore[arg-type]


def test_a_person_gets_a_page_where_a_program_gets_a_problem(client: TestClient) -> None:
    page = client.get("/nothing", headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert "Till översikten" in page.text
    assert client.get("/nothing").headers["content-type"] == PROBLEM


def test_an_error_inside_says_nothing_about_the_inside(services: Services, acting: Acting) -> None:
    def broken() -> dict[str, Health]:
        raise RuntimeError("password=secret")

    services.health = broken
    answer = acting("operator").get("/api/v1/health")
    assert (answer.status_code, answer.headers["content-type"]) == (500, PROBLEM)
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("error", "status"),
    [(OSError(28, "No space left on device"), 507), (OSError(5, "Input/output error"), 503)],
)
def test_a_full_disk_is_told_apart(
    error: OSError, status: int, services: Services, acting: Acting
) -> None:
    def broken() -> dict[str, Health]:
        raise error

    services.health = broken
    assert acting("operator").get("/api/v1/health").status_code == status


def test_a_body_over_the_limit_is_refused_declared_or_not(
    services: Services, acting: Acting
) -> None:
    one = acting("operator")
    big = b"x" * (services.settings.http.max_body_mb * 1_000_000 + 1)
    declared = one.post("/api/v1/work-orders", content=big)
    chunked = one.post("/api/v1/work-orders", content=iter([big]))
    assert [declared.status_code, chunked.status_code] == [413, 413]
    assert [declared.headers["content-type"], chunked.headers["content-type"]] == [PROBLEM, PROBLEM]


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30])
def test_a_length_that_is_none_is_refused(length: str, client: TestClient) -> None:
    answer = client.post("/login", content=b"", headers={"Content-Length": length})
    assert answer.status_code in {400, 413}


@pytest.mark.parametrize("path", ["/login", "/healthz", "/static/app.css", "/nothing"])
def test_every_answer_carries_what_keeps_a_browser_safe(path: str, client: TestClient) -> None:
    headers = client.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "'unsafe-eval'" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_personal_pages_are_kept_by_nobody_and_files_for_ever(
    client: TestClient, demo: TestClient
) -> None:
    assert demo.get("/").headers["cache-control"] == "no-store"
    assert demo.get("/api/v1/work-orders").headers["cache-control"] == "no-store"
    assert "immutable" in client.get("/static/app.css?v=1").headers["cache-control"]


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/..%2f..%2fapp.py", "/static/%2e%2e/app.py",
     "/static//etc/passwd",
     "/static/%00", "/places/..%2f..%2fetc", "/api/v1/exports/assets.../x"],
)  # fmt: skip
def test_no_path_leads_out(path: str, demo: TestClient) -> None:
    answer = demo.get(path)
    assert answer.status_code in {404, 422}
    assert "create_app" not in answer.text


def test_liveness_readiness_and_balance(services: Services, acting: Acting) -> None:
    one = acting("operator")
    assert one.get("/healthz").json() == {"status": "ok"}
    assert one.get("/readyz").status_code == 200
    health = one.get("/api/v1/health").json()
    counts = health["ingest"]
    assert counts["received"] == sum(
        counts[k] for k in ("stored", "in_journal", "duplicate", "quarantined", "refused")
    )
    assert (health["status"], health["simulated_time"]) == ("ok", True)
    services.health = lambda: {"ledger": Health(ok=False, detail="gone", needed=True)}
    assert one.get("/readyz").json()["parts"] == ["ledger"]
    assert one.get("/healthz").status_code == 200
    assert one.get("/api/v1/health").json()["status"] == "degraded"


def test_metrics_are_prometheus_text_with_the_balance(acting: Acting) -> None:
    one = acting("operator")
    one.get("/api/v1/areas")
    text = one.get("/metrics").text
    found = {s.name: s for f in text_string_to_metric_families(text) for s in f.samples}
    assert found["ljusvakt_ingest_received_total"].value == 120_000
    assert found["ljusvakt_ingest_in_journal"].value == 500
    assert 'ljusvakt_ingest_rejected_total{reason="range"} 8.0' in text
    assert 'ljusvakt_luminaires{state="faulty"} 20.0' in text
    assert 'route="/api/v1/areas",status="200"' in text


def test_the_docs_page_shows_every_operation_and_loads_nothing_from_elsewhere(
    client: TestClient,
) -> None:
    text = client.get("/docs").text
    for path in client.get("/openapi.json").json()["paths"]:
        assert f"<code>{path}</code>" in text
    assert "//cdn" not in text
    assert 'src="http' not in text


def test_exports_leave_in_every_format(acting: Acting) -> None:
    import io

    import pyarrow.parquet as pq

    one = acting("operator")
    geo = one.get("/api/v1/exports/assets.geojson").json()
    assert len(geo["features"]) == 66
    table = pq.read_table(io.BytesIO(one.get("/api/v1/exports/work-orders.parquet").content))
    assert table.num_rows == 6
    csv_lines = one.get("/api/v1/exports/findings.csv").text.splitlines()
    assert len(csv_lines) == 22
    entities = one.get("/api/v1/exports/assets.jsonld").json()
    assert {e["type"] for e in entities} == {"Streetlight"}
    flow = one.get("/api/v1/exports/crowd-flow.jsonld", params={"options": "keyValues"}).json()
    assert len(flow) > 0
    assert min(e["peopleCount"] for e in flow) >= 0
    assert one.get("/api/v1/exports/assets.exe").status_code == 422


def test_a_formula_in_a_name_does_not_run_in_a_spreadsheet(
    acting: Acting, services: Services
) -> None:
    one = acting("operator")
    one.post("/api/v1/work-orders",
             json={"device_ids": ["hbg-f-12-01"], "kind": "lamp_failure", "note": "x"})  # fmt: skip
    body = {"action": "assign", "assignee": "=cmd|'/c calc'!A1"}
    one.post("/api/v1/work-orders/7/transitions", json=body, headers={"If-Match": "*"})
    text = one.get("/api/v1/exports/work-orders.csv").text
    assert "'=cmd" in text
    assert ",=cmd" not in text
    assert "\r\nSet-Cookie" not in text
    assert services.ledger.work_order(7).order.assignee.startswith("=cmd")


def test_open311_speaks_json_and_xml_and_wants_a_key_to_report(
    services: Services, client: TestClient
) -> None:
    assert client.get("/open311/v2/services.json").json()[0]["service_code"]
    xml = client.get("/open311/v2/discovery.xml")
    assert xml.headers["content-type"].startswith("text/xml")
    assert xml.text.startswith("<?xml")
    form = {"service_code": "lamp_out", "lat": "56.0449", "long": "12.69575",
            "attribute[reference]": "case-17",
            "description": "Trasig <b>lampa</b> & mörkt"}  # fmt: skip
    assert client.post("/open311/v2/requests.json", data=form).status_code == 403
    key = services.ledger.create_key("portal", roles=["partner"], now_ms=1).secret
    made = client.post("/open311/v2/requests.json", data={**form, "api_key": key})
    assert made.status_code == 201
    number = made.json()[0]["service_request_id"]
    again = client.post("/open311/v2/requests.json", data={**form, "api_key": key})
    assert again.json()[0]["service_request_id"] == number
    shown = client.get(f"/open311/v2/requests/{number}.xml").text
    assert "&lt;b&gt;lampa" in shown
    assert "<agency_responsible>drift</agency_responsible>" in shown
    missing = client.post("/open311/v2/requests.xml", data={"api_key": key})
    assert missing.status_code == 400
    assert "<code>400</code>" in missing.text


def test_users_and_keys_are_made_and_nothing_secret_comes_back(acting: Acting) -> None:
    one = acting("admin")
    body = {"name": "karin", "roles": ["crew"], "areas": ["Söder"]}
    made = one.post("/api/v1/users", json=body)
    assert made.status_code == 201
    assert one.post("/api/v1/users", json=body).status_code == 409
    link = one.post("/api/v1/users/karin/link").json()
    assert link["path"].startswith("/welcome?token=")
    key = one.post("/api/v1/keys", json={"name": "robot", "roles": ["operator"]}).json()
    assert key["key"].startswith(f"lv_{key['id']}_")
    listed = one.get("/api/v1/keys").text
    assert key["key"].split("_", 2)[2] not in listed
    assert one.delete(f"/api/v1/keys/{key['id']}").status_code == 204
    audit = one.get("/api/v1/audit").json()["items"]
    assert [e["action"] for e in audit[:4]] == [
        "key_revoked", "key_created", "link_made", "user_created",
    ]  # fmt: skip
    assert link["path"].split("=")[1] not in json.dumps(audit)


def test_the_audit_log_has_no_way_to_change_it(acting: Acting) -> None:
    one = acting("admin")
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert one.request(method, "/api/v1/audit").status_code == 405
    assert one.delete("/api/v1/audit/1").status_code == 404


@pytest.mark.parametrize(
    "address",
    ["http://example.com/x", "https://127.0.0.1/x", "https://[::1]/", "https://169.254.169.254/",
     "https://user@example.com/", "file:///etc/passwd", "https://2130706433/"],
)  # fmt: skip
def test_a_webhook_that_leads_inside_is_refused_when_it_is_saved(
    address: str, acting: Acting
) -> None:
    body = {"channel": "webhook", "address": address}
    assert acting("admin").put("/api/v1/alert-recipients/x", json=body).status_code == 422


def test_a_recipients_secret_is_shown_when_it_is_set_only(acting: Acting) -> None:
    one = acting("admin")
    body = {"channel": "email", "address": "drift@helsingborg.example"}
    made = one.put("/api/v1/alert-recipients/drift", json=body)
    assert made.status_code == 200
    assert made.json()["secret"] not in one.get("/api/v1/alert-recipients").text


def test_a_calendar_address_belongs_to_a_user_and_shows_due_work(
    services: Services, client: TestClient
) -> None:
    services.ledger.create_user("anna", roles=["crew"], areas=["Söder"], now_ms=1)
    token = services.ledger.calendar_token("anna")
    text = client.get(f"/api/v1/exports/calendar/{token}.ics").text
    assert text.startswith("BEGIN:VCALENDAR")
    assert "F-11-04" in text
    assert "Regementsv" not in text
    assert client.get("/api/v1/exports/calendar/none.ics").status_code == 404


# -- languages and colours ---------------------------------------------------------------------


def test_no_text_is_missing_in_either_language() -> None:
    for language in LANGUAGES:
        texts = catalogue(language)._catalog  # type: ignore[attr-defined]
        assert len(texts) > 200
        assert [key for key, text in texts.items() if not text] == []
    swedish, english = (set(catalogue(lang)._catalog) for lang in ("sv", "en"))  # type: ignore[attr-defined]
    assert swedish == english


def test_the_catalogues_hold_what_the_source_says() -> None:
    import subprocess
    import sys
    from pathlib import Path

    tool = Path(__file__).parents[2] / "tools" / "i18n.py"
    found = subprocess.run(
        [sys.executable, tool, "--check"], check=False, capture_output=True, text=True
    )
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize(
    ("wishes", "accept", "language"),
    [
        ((None, None), "", "sv"),
        ((None, None), "en-GB,en;q=0.9", "en"),
        ((None, None), "de,en;q=0.8,sv;q=0.9", "sv"),
        ((None, None), "en;q=x, sv;q=0", "sv"),
        (("en", "sv"), "sv", "en"),
        (("xx", None), "de", "sv"),
    ],
)
def test_the_language_is_the_first_wish_we_speak(
    wishes: tuple[str | None, ...], accept: str, language: str
) -> None:
    assert choose_language(*wishes, accept=accept) == language


def test_times_and_numbers_are_written_as_each_language_does(services: Services) -> None:
    swedish, english = Words("sv", services.zone), Words("en", services.zone)
    assert swedish.number(12345.5, 1) == "12\u202f345,5"
    assert english.number(12345.5, 1) == "12,345.5"
    assert swedish.moment(services.clock.now_ms()).startswith("sön 22 nov. 21:2")
    assert english.span(3 * 86_400_000) == "3 days"
    assert swedish.span(3 * 86_400_000) == "3 dagar"


def test_numbers_on_the_heat_map_can_be_read_on_every_shade() -> None:
    for step in range(101):
        colour = colour_of(step / 100)
        paper = luminance(colour)
        ink = 1.0 if wants_light_text(colour) else 0.0
        contrast = (max(paper, ink) + 0.05) / (min(paper, ink) + 0.05)
        assert contrast >= 4.5, colour


def test_the_map_is_sent_in_columns_of_one_length(demo: TestClient) -> None:
    found = demo.get("/api/v1/map").json()
    columns = found["luminaires"]
    assert {len(values) for values in columns.values()} == {66}
    assert {s["id"] for s in found["segments"]} >= {"Drottninggatan", "Regementsvägen"}
    assert [label["text"] for label in found["labels"]] == [
        "Dalhem", "Drottninghög", "Fredriksdal", "Högaborg", "Söder",
    ]  # fmt: skip
    box = demo.get("/api/v1/map", params={"bbox": "12.69,56.04,12.70,56.05"}).json()
    assert 0 < len(box["luminaires"]["id"]) < 66


def test_vendored_files_are_what_their_makers_published() -> None:
    import hashlib
    import tomllib
    from pathlib import Path

    vendor = Path(__file__).parents[2] / "api" / "static" / "vendor"
    libraries = {
        f"{library['name']}-{library['version']}": library
        for library in tomllib.loads((vendor / "VENDOR.toml").read_text())["library"]
    }
    assert libraries.keys() == {folder.name for folder in vendor.iterdir() if folder.is_dir()}
    for name, library in libraries.items():
        folder = vendor / name
        assert len((folder / library["license_file"]).read_text()) > 500
        for file, digest in library["files"].items():
            content = (folder / Path(file).name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == digest


def test_the_demo_token_is_never_shown(demo_services: Services) -> None:
    browser = client_over(demo_services)
    for path in ("/", "/docs", "/openapi.json"):
        assert TOKEN not in browser.get(path).text
