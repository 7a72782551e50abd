"""Pages of administrators: people, keys, the log, inventories shown before they are written."""

import re
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import get_args

import pytest
from contracts.seeded_city import NOW_MS, client_over, seeded_services
from fastapi.testclient import TestClient

from api.i18n import Words
from api.ledger.views import AuditAction
from api.problems import TITLES
from api.routes.admin import action_texts
from api.routes.error_words import EXPLAINED
from api.services import Services

Acting = Callable[..., TestClient]
PASSWORD = "fyra sura korvar i rad"  # noqa: S105 - a user of the tests only
PAGE = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
INVENTORY = (
    "device_id;stolpnummer;belysningscentral;lat;lon\n"
    "hbg-f-11-01;HBG-F-11-01;C9;56,0440;12,6950\n"
    "ny-1;NY-1;C9;56,0500;12,7000\n"
    ";utan;C9;56,05;12,70\n"
)


@pytest.fixture
def admin(services: Services) -> TestClient:
    """A signed-in administrator's browser."""
    services.ledger.create_user("ada", roles=["admin"], password=PASSWORD, now_ms=NOW_MS)
    client = client_over(services)
    client.headers.update(PAGE)
    assert client.post("/login", data={"user": "ada", "password": PASSWORD}).status_code == 303
    return client


def hidden(text: str) -> dict[str, str]:
    """The page's token, and a key of its own for each form."""
    csrf = re.findall(r'name="csrf" value="([^"]+)"', text)[0]
    key = re.findall(r'name="idempotency_key" value="([^"]+)"', text)[-1]
    return {"csrf": csrf, "idempotency_key": key}


def test_a_person_is_added_gets_a_link_and_chooses_a_password(
    admin: TestClient, services: Services
) -> None:
    form = hidden(admin.get("/admin/users").text)
    new = form | {"name": "Nils Ö", "roles": ["crew", "planner"], "areas": "Söder, Dalhem",
                  "language": "sv"}  # fmt: skip
    made = admin.post("/admin/users", data=new)
    assert made.status_code == 303
    again = admin.post("/admin/users", data=new)  # a double click
    assert again.headers["location"] == made.headers["location"]
    person = services.ledger.user("Nils Ö")
    assert sorted(person.roles) == ["crew", "planner"]
    assert sorted(person.areas) == ["Dalhem", "Söder"]
    page = admin.get(made.headers["location"]).text
    shown = admin.post(made.headers["location"], data=hidden(page) | {"action": "link"}).text
    token = re.findall(r"/welcome\?token=([\w-]+)", shown)[0]
    assert token not in admin.get(made.headers["location"]).text
    assert services.ledger.redeem_link(token, now_ms=services.clock.now_ms()) is not None


def test_a_name_that_is_taken_or_no_role_is_said_on_the_page(admin: TestClient) -> None:
    form = hidden(admin.get("/admin/users").text) | {"language": "sv"}
    taken = admin.post("/admin/users", data=form | {"name": "ada", "roles": ["crew"]})
    assert taken.status_code == 409
    assert "ada" in taken.text.split('role="alert"')[1]
    nothing = admin.post("/admin/users", data=form | {"name": "bo"})
    assert nothing.status_code == 422
    assert 'value="bo"' in nothing.text


def test_fewer_rights_are_saved_and_one_cannot_lock_oneself_out(
    admin: TestClient, services: Services
) -> None:
    services.ledger.create_user("bo", roles=["operator"], now_ms=NOW_MS)
    form = hidden(admin.get("/admin/users/bo").text)
    saved = form | {"action": "change", "roles": ["crew"], "areas": "", "language": "en"}
    assert admin.post("/admin/users/bo", data=saved).status_code == 303
    person = services.ledger.user("bo")
    assert (sorted(person.roles), person.active, person.language) == (["crew"], False, "en")
    own = hidden(admin.get("/admin/users/ada").text)
    refused = admin.post("/admin/users/ada", data=own | saved | own)
    assert refused.status_code == 409
    assert services.ledger.user("ada").active


def test_a_key_is_shown_once_works_and_is_revoked(admin: TestClient, services: Services) -> None:
    form = hidden(admin.get("/admin/keys").text)
    made = admin.post("/admin/keys", data=form | {"name": "karta", "roles": ["partner"]})
    (secret,) = re.findall(r"lv_[0-9a-f]{12}_[\w-]+", made.text)
    assert secret not in admin.get("/admin/keys").text
    program = client_over(services)
    program.headers["Authorization"] = f"Bearer {secret}"
    assert program.get("/api/v1/health").status_code == 200
    page = admin.get("/admin/keys").text
    revoke = hidden(page) | {"revoke": secret.split("_")[1]}
    assert admin.post("/admin/keys", data=revoke).status_code == 303
    assert program.get("/api/v1/health").status_code == 401


def test_the_log_says_who_did_what_page_by_page(admin: TestClient, services: Services) -> None:
    for n in range(60):
        services.ledger.audit(actor="<b>x", action="key_created", subject=f"k{n}", now_ms=NOW_MS)
    first = admin.get("/admin/audit").text
    assert "&lt;b&gt;x" in first
    assert "gjorde en nyckel" in first
    (more,) = re.findall(r'rel="next" href="([^"]+)"', first)
    second = admin.get(more.replace("&amp;", "&")).text
    assert ">k0<" in second
    assert ">k59<" not in second


def test_every_action_that_can_be_in_the_log_has_words() -> None:
    assert set(action_texts(Words("sv", UTC))) == set(get_args(AuditAction))


def test_an_inventory_is_shown_and_then_written_as_it_was_shown(
    admin: TestClient, services: Services
) -> None:
    before = len(services.ledger.assets())
    form = hidden(admin.get("/admin/assets").text)
    files = {"file": ("lista.csv", INVENTORY.encode("cp1252"), "text/csv")}
    shown = admin.post("/admin/assets", data=form, files=files)
    assert shown.status_code == 200
    assert "no device_id" in shown.text
    assert len(services.ledger.assets()) == before
    fields = {
        name: re.findall(rf'name="{name}" value="([^"]+)"', shown.text)[0].replace("&#34;", '"')
        for name in ("digest", "etag")
    }
    write = hidden(shown.text) | fields
    done = admin.post("/admin/assets", data=write)
    assert done.status_code == 200
    assert len(services.ledger.assets()) == before + 1
    assert services.ledger.asset("hbg-f-11-01").cabinet == "C9"
    later = write | {"idempotency_key": "another"}
    assert admin.post("/admin/assets", data=later).status_code == 410


def test_only_administrators_come_in(services: Services, acting: Acting) -> None:
    for path in ("/admin/users", "/admin/keys", "/admin/audit"):
        assert acting("operator").get(path).status_code == 403
    assert acting("operator").get("/admin").headers["location"] == "/admin/assets"
    assert acting("crew").get("/admin/assets").status_code == 403


# -- the same by HTTP --------------------------------------------------------------------------


def upload(text: str = INVENTORY, name: str = "lista.csv") -> dict[str, tuple[str, bytes]]:
    return {"file": (name, text.encode())}


URL = "/api/v1/asset-imports"


def test_a_difference_is_applied_by_its_etag_and_by_no_other(
    services: Services, acting: Acting
) -> None:
    one = acting("operator")
    looked = one.post(URL, files=upload())
    said = looked.json()
    assert (said["applied"], said["read"], said["added"], said["same"]) == (False, 2, 1, 0)
    assert said["rejected"] == [{"line": 4, "device_id": "", "reason": "no device_id"}]
    assert said["changed"][0]["fields"]["cabinet"] == ["C1", "C9"]
    apply = {"apply": "true"}
    assert one.post(URL, files=upload(), data=apply).status_code == 428
    seen = {"If-Match": looked.headers["etag"]}
    other = upload(INVENTORY.replace("NY-1", "NY-2"))
    assert one.post(URL, files=other, data=apply, headers=seen).status_code == 412
    done = one.post(URL, files=upload(), data=apply, headers=seen)
    assert (done.status_code, done.json()["applied"]) == (200, True)
    # The same again would change nothing, and its ETag is another.
    assert one.post(URL, files=upload(), data=apply, headers=seen).status_code == 412
    assert one.post(URL, files=upload()).json()["same"] == 2
    registry = services.settings.data_dir / "registry.json"
    assert "ny-1" in registry.read_text(encoding="utf-8")


def test_what_changed_meanwhile_is_told(services: Services, acting: Acting) -> None:
    one = acting("operator")
    seen = {"If-Match": one.post(URL, files=upload()).headers["etag"]}
    services.ledger.set_segment_order("Drottninggatan", ["HBG-F-11-02"], now_ms=NOW_MS)
    late = one.post(URL, files=upload(), data={"apply": "true"}, headers=seen)
    assert late.status_code == 412
    assert one.post(URL, files=upload(), data={"apply": "true"}, headers={"If-Match": "*"}).json()[
        "applied"
    ]


def test_what_is_no_inventory_is_refused_without_our_paths(acting: Acting) -> None:
    one = acting("operator")
    for text, name in (("a;b\n1;2\n", "x.csv"), ("{", "x.geojson"), ("x", "x.exe"), ("", "")):
        answer = one.post(URL, files={"file": (name or "f", text.encode())})
        assert answer.status_code == 422, answer.text
        assert "/tmp" not in answer.text  # noqa: S108 - nothing is written there
        assert answer.headers["content-type"] == "application/problem+json"
    bad = one.post(URL, files=upload(), data={"map": "device_id"})
    assert bad.status_code == 422
    assert acting("planner").post(URL, files=upload()).status_code == 403


@pytest.mark.data
@pytest.mark.slow
def test_a_real_inventory_goes_the_same_way(
    data_dir: Path, services: Services, acting: Acting
) -> None:
    path = data_dir / "lamps" / "norway_lillehammer.parquet"
    one, before = acting("operator"), len(services.ledger.assets())
    files = {"file": (path.name, path.read_bytes())}
    form = {"where": "type=Lysarmatur", "map": "segment=vegkategori+vegnummer+hovedparsell"}
    looked = one.post(URL, files=files, data=form)
    said = looked.json()
    assert (said["read"], said["skipped"], said["rejected"]) == (2477, 1546, [])
    assert (said["added"], said["not_known"]["rated_power_w"]) == (2477, 656)
    seen = {"If-Match": looked.headers["etag"]}
    done = one.post(URL, files=files, data=form | {"apply": "true"}, headers=seen)
    assert done.json()["added"] == 2477
    assert len(services.ledger.assets()) == before + 2477
    assert one.post(URL, files=files, data=form).json()["same"] == 2477


@pytest.mark.parametrize(
    ("address", "status"), [("/orders/999", 404), ("/admin/users/nobody", 404), ("/nowhere", 404)]
)
def test_an_error_page_speaks_one_language(admin: TestClient, address: str, status: int) -> None:
    answers = {lang: admin.get(address, params={"lang": lang}) for lang in ("sv", "en")}

    assert [a.status_code for a in answers.values()] == [status, status]
    assert "<h1>Finns inte</h1>" in answers["sv"].text
    assert "Det finns inget på den här adressen" in answers["sv"].text
    assert "Not found" not in answers["sv"].text
    assert "<h1>Not found</h1>" in answers["en"].text


def test_an_address_that_cannot_be_so_is_told_in_the_reader_s_language(admin: TestClient) -> None:
    page = admin.get("/planning", params={"start": "i går", "band": "x", "lang": "sv"})

    assert page.status_code == 422
    assert "Uppgifterna går inte att använda" in page.text
    assert "Något i adressen eller formuläret kan inte vara så." in page.text


def test_every_title_of_an_error_that_is_explained_is_one_that_is_used() -> None:
    assert set(EXPLAINED) <= set(TITLES.values())


def test_a_list_of_people_with_nobody_in_it_says_so(tmp_path: Path) -> None:
    """The demo's door is open before anybody has an account."""
    services = seeded_services(tmp_path, demo=True)
    page = client_over(services).get("/admin/users", params={"lang": "sv"}, headers=PAGE).text
    services.ledger.close()

    assert "Ingen ännu." in page
