"""Other people's words: NGSI-LD, GeoJSON, iCal, CSV, Open311."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from contracts.lamp_street import HOUR_MS, NOW_MS, finding, street
from hypothesis import example, given
from hypothesis import strategies as st
from icalendar import Calendar

from api.assets import Asset
from api.errors import BadInputError
from api.interop import csv_export, geojson, ical, ngsi_ld, open311
from api.ledger import Ledger, open_ledger
from api.operations.states import LuminaireState, LuminaireStatus
from api.operations.work_orders import Action, BudgetAccount
from api.tables import csv_text

ASSET = Asset(
    "HBG-1",
    "HBG 12345",
    feeder="C-17",
    cabinet="K3",
    segment="S1",
    lat=56.05,
    lon=12.69,
    location_category="tunnel",
)


def status(state: LuminaireState, *, last: LuminaireState | None = None) -> LuminaireStatus:
    return LuminaireStatus("HBG-1", state, NOW_MS, NOW_MS - HOUR_MS, last or state)


def test_a_broken_lamp_is_a_defective_streetlight() -> None:
    entity = ngsi_ld.streetlight(ASSET, status(LuminaireState.FAULTY), kinds=["lamp_failure"])
    assert entity is not None
    assert entity["id"] == "urn:ngsi-ld:Streetlight:HBG%2012345"
    assert entity["location"]["value"]["coordinates"] == [12.69, 56.05]
    assert entity["status"]["value"] == "defectiveLamp"
    assert entity["faultClass"]["value"] == "lamp_failure"
    assert entity["refStreetlightControlCabinet"]["object"].endswith(":K3")


def test_silence_keeps_the_last_known_status_with_its_old_time_and_says_so() -> None:
    silent = status(LuminaireState.UNKNOWN, last=LuminaireState.OK)
    entity = ngsi_ld.streetlight(ASSET, silent)
    assert entity is not None
    assert (entity["status"]["value"], entity["truth"]["value"]) == ("ok", "unknown")
    assert entity["status"]["observedAt"] == ngsi_ld.stamp(NOW_MS - HOUR_MS)


def test_planned_darkness_is_ok_and_off() -> None:
    entity = ngsi_ld.streetlight(ASSET, status(LuminaireState.PLANNED), lit=True)
    assert entity is not None
    words = {n: entity[n]["value"] for n in ("status", "powerState", "truth")}
    assert words == {"status": "ok", "powerState": "off", "truth": "planned"}


def test_what_cannot_be_placed_or_told_is_left_out() -> None:
    nowhere = Asset("x", "x")
    assert ngsi_ld.streetlight(nowhere, status(LuminaireState.OK)) is None
    assert ngsi_ld.crowd_flow_observed("p", start_ms=0, stop_ms=HOUR_MS, people_count=None) is None


def schema_errors(entity: dict[str, Any], schema_path: Path) -> list[str]:
    jsonschema = pytest.importorskip("jsonschema")
    referencing = pytest.importorskip("referencing")
    schema = json.loads(schema_path.read_text(encoding="utf-8"))
    # The common parts live at another address and are not part of the samples: they allow anything.
    anything = referencing.Resource.from_contents(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "definitions": {
                name: {} for name in ("GSMA-Commons", "Location-Commons", "PhysicalObject-Commons")
            },
        }
    )
    registry = referencing.Registry(retrieve=lambda _uri: anything)
    validator = jsonschema.Draft202012Validator(schema, registry=registry)
    return [error.message for error in validator.iter_errors(entity)]


@pytest.mark.data
@pytest.mark.parametrize("state", list(LuminaireState))
def test_streetlights_pass_the_models_own_schema(data_dir: Path, state: LuminaireState) -> None:
    schema = data_dir / "payload_samples" / "sdm_Streetlight_schema.json"
    entity = ngsi_ld.streetlight(ASSET, status(state), kinds=["lamp_failure"], lit=False)
    assert entity is not None
    plain = ngsi_ld.key_values(entity)
    assert schema_errors(plain, schema) == []
    assert schema_errors(plain | {"status": "unknown"}, schema), "the schema judges nothing"


@pytest.mark.data
def test_crowd_flows_pass_the_models_own_schema(data_dir: Path) -> None:
    schema = data_dir / "payload_samples" / "sdm_CrowdFlowObserved_schema.json"
    entity = ngsi_ld.crowd_flow_observed(
        "Söder",
        start_ms=NOW_MS,
        stop_ms=NOW_MS + HOUR_MS,
        people_count=42,
        people_in=20,
        people_out=22,
        lat=56.0,
        lon=12.7,
    )
    assert entity is not None
    plain = ngsi_ld.key_values(entity)
    assert schema_errors(plain, schema) == []
    assert schema_errors(plain | {"peopleCount": "many"}, schema), "the schema judges nothing"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path / "ops.db") as opened:
        opened.put_assets(street(20), now_ms=NOW_MS)
        opened.reconcile([finding(i, "row") for i in range(10, 15)], now_ms=NOW_MS)
        yield opened


def test_due_work_is_a_calendar_with_an_alarm_for_what_is_urgent(ledger: Ledger) -> None:
    (order,) = ledger.work_orders().items
    text = ical.calendar_of([order], name="Kim; Söder", base_url="https://l.example", now_ms=NOW_MS)
    (event,) = Calendar.from_ical(text).walk("VEVENT")
    assert order.due_ms is not None
    assert event.decoded("dtend").timestamp() * 1000 == order.due_ms
    assert str(event["summary"]) == "lamp failure: 5 luminaires, luminaire L10"
    assert str(event["url"]).endswith(f"/work-orders/{order.id}")
    assert len(event.walk("VALARM")) == 1
    again = ical.calendar_of([order], name="Kim", base_url="", now_ms=NOW_MS + 1)
    assert Calendar.from_ical(again).walk("VEVENT")[0]["uid"] == event["uid"]


def test_geojson_puts_longitude_first(ledger: Ledger) -> None:
    found = geojson.luminaires(ledger.assets(), ledger.luminaire_states())
    assert len(found["features"]) == 20
    one = next(f for f in found["features"] if f["id"] == "d10")
    assert one["geometry"]["coordinates"] == [12.7, 56.0327]
    assert one["properties"]["state"] == "faulty"
    (order,) = geojson.work_orders(ledger.work_orders().items)["features"]
    assert order["properties"]["priority"] == "akut"


def test_c09_no_cell_of_text_is_taken_for_a_formula(ledger: Ledger) -> None:
    for evil in ("=1+1", "+1", "-1", "@x", "\tx", "\rx"):
        ledger.put_assets([Asset("evil", "evil", site=evil, lat=-3.2, lon=1.0)], now_ms=NOW_MS)
        text = csv_text(csv_export.asset_columns([ledger.asset("evil")]))
        assert f"'{evil}" in text
        assert ",-3.2," in text


def test_proved_orders_are_truth_and_rejected_ones_are_not(ledger: Ledger) -> None:
    over = [finding(i, "row", end_ms=NOW_MS + HOUR_MS) for i in range(10, 15)]
    ledger.reconcile([*over, finding(3, "other")], now_ms=NOW_MS + 2 * HOUR_MS)
    ledger.reconcile([], now_ms=NOW_MS + 3 * HOUR_MS, complete_since_ms=0)
    columns = csv_export.truth_columns(ledger.closed_details())
    assert columns["device_id"] == ["d10", "d11", "d12", "d13", "d14"]
    assert set(columns["incident"]) == {"wo-1"}
    assert set(columns["end"]) == {NOW_MS + HOUR_MS}
    assert set(columns["kind"]) == {"lamp_failure"}


def test_the_situation_map_is_due_on_monday_and_thursday_at_seven() -> None:
    zone = ZoneInfo("Europe/Stockholm")

    def due(text: str, step: int = 0) -> str:
        now = int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)
        at = csv_export.situation_slot_ms(now, zone=zone, days=(0, 3), hour=7, step=step) / 1000
        return datetime.fromtimestamp(at, zone).isoformat()[:16]

    assert due("2026-11-23T06:59") == "2026-11-19T07:00"
    assert due("2026-11-23T07:00") == "2026-11-23T07:00"
    assert due("2026-11-25T12:00") == "2026-11-23T07:00"
    assert due("2026-10-26T07:00") == "2026-10-26T07:00"
    assert due("2026-11-23T06:59", 1) == "2026-11-23T07:00"
    assert due("2026-11-23T07:00", 1) == "2026-11-26T07:00"


@given(
    now_ms=st.integers(1_700_000_000_000, 1_900_000_000_000),
    days=st.sets(st.integers(0, 6), min_size=1),
    hour=st.integers(0, 23),
)
def test_whatever_the_clock_every_slot_is_passed_once(
    now_ms: int, days: set[int], hour: int
) -> None:
    """Daylight saving skips and repeats hours: still one slot for each of the days."""
    zone = ZoneInfo("Europe/Stockholm")
    last, following = (
        csv_export.situation_slot_ms(now_ms, zone=zone, days=days, hour=hour, step=step)
        for step in (0, 1)
    )
    assert last <= now_ms < following
    assert following == csv_export.situation_slot_ms(following, zone=zone, days=days, hour=hour)
    between = (following - last) / 86_400_000
    assert 0.9 < between < 7.1
    if len(days) == 7:
        assert between < 1.1


def test_the_situation_map_has_a_row_a_place(ledger: Ledger) -> None:
    columns = csv_export.situation(
        ledger.assets(), ledger.luminaire_states(), quiet_hours={"Söder 1": 40}, cut_off_ms=NOW_MS
    )
    row = dict(
        zip(
            columns,
            next(r for r in zip(*columns.values(), strict=True) if r[1] == "Söder 1"),
            strict=True,
        )
    )
    assert (row["luminaires"], row["unlit"], row["low_activity_hours"]) == (10, 5, 40)
    features = geojson.situation_map(columns)["features"]
    assert len(features) == 3


def test_open311_speaks_xml_and_json_alike(ledger: Ledger) -> None:
    made = ledger.report(
        service_code="lamp_out",
        luminaire_id="L10",
        description="mörkt <b>& trist</b>\x00\ud800",
        now_ms=NOW_MS,
    )
    ledger.transition(1, Action.START, version=1, actor="kim", now_ms=NOW_MS)
    item = open311.request_item(ledger.service_request(made.id), extended=True)
    assert item["service_request_id"] == "1"
    assert item["agency_responsible"] == "drift"
    assert item["extended_attributes"] == {"open311:extended_status": "IN_PROGRESS"}
    xml = open311.to_xml("service_requests", [item])
    root = ET.fromstring(xml)  # noqa: S314 - our own text
    assert root.tag == "service_requests"
    assert root.findtext("request/description") == "mörkt <b>& trist</b>"
    assert root.findtext("request/status") == "open"
    services = ET.fromstring(open311.to_xml("services", open311.services()))  # noqa: S314
    assert len(services.findall("service")) == len(open311.services())
    discovery = open311.discovery(
        "https://l.example", contact="drift", changed="2026-11-23T00:00:00Z"
    )
    found = ET.fromstring(open311.to_xml("discovery", discovery))  # noqa: S314
    assert found.findtext("endpoints/endpoint/formats/format") == "application/json"


def test_open311_reads_a_form_and_keeps_nobodys_name() -> None:
    report = open311.parse_report(
        {
            "service_code": "lamp_out",
            "lat": "56.05",
            "long": "12.69",
            "description": "dark",
            "email": "someone@example.org",
            "phone": "070",
            "first_name": "Some",
        }
    )
    assert report == open311.IncomingReport(
        service_code="lamp_out",
        description="dark",
        lat=56.05,
        lon=12.69,
        address="",
        luminaire_id=None,
        reference=None,
    )


@given(
    form=st.dictionaries(
        st.sampled_from(
            ["service_code", "lat", "long", "address_string", "description", "attribute[luminaire]"]
        ),
        st.one_of(st.text(max_size=30), st.sampled_from(["lamp_out", "1", "nan", "1e999", "-91"])),
    )
)
@example(form={"service_code": "lamp_out", "lat": "1", "long": "1", "description": "\x00<&>\ud800"})
def test_what_a_form_may_say_is_on_earth_and_can_be_written(form: dict[str, str]) -> None:
    """Any other form is refused by the one error that says so."""
    try:
        report = open311.parse_report(form)
    except BadInputError:
        return
    assert report.lat is None or -90 <= report.lat <= 90
    assert report.lon is None or -180 <= report.lon <= 180
    xml = open311.to_xml("errors", open311.error_items([(400, report.description)]))
    read = ET.fromstring(xml).findtext("error/description")  # noqa: S314 - our own text
    # Every reader of XML makes one kind of line end of all.
    assert read == report.description.replace("\r\n", "\n").replace("\r", "\n")


def test_times_without_a_zone_are_refused() -> None:
    assert open311.moment_ms("2026-11-23T12:00:00+01:00") == 1_795_431_600_000
    for text in ("2026-11-23T12:00:00", "yesterday", ""):
        with pytest.raises(BadInputError):
            open311.moment_ms(text)


def test_what_work_cost_is_summed_by_account_and_unpriced_is_not_nothing(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "costs.db", allow_simulated=True) as ledger:
        ledger.put_assets(street(), now_ms=NOW_MS)
        given = [finding(i, f"x{i}", simulated=i == 3) for i in range(1, 5)]
        ledger.reconcile(given, now_ms=NOW_MS)
        accounts = (BudgetAccount.SAFETY_OPERATION, *[BudgetAccount.ORDINARY_OPERATION] * 3)
        for order, account in zip(ledger.orders_since(), accounts, strict=True):
            ledger.set_budget(
                order.id,
                account,
                cost=None if order.id == 1 else 1250.5,
                version=1,
                actor="k",
                now_ms=NOW_MS,
            )
        assert csv_export.cost_columns(ledger.orders_since()) == {
            "budget_account": ["drift_ordinarie", "trygghet_drift"],
            "area": ["Söder", "Söder"],
            "orders": [2, 1],
            "priced": [2, 0],
            "cost": [2501.0, None],
        }
