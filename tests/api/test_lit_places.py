"""What the ledger knows of the light at a counted place, and what an evaluation does with it."""

from dataclasses import replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from contracts.counted_city import add_squares, day_before_now
from contracts.lamp_street import finding
from contracts.seeded_city import NOW_MS

from analytics.findings import FindingKind
from api.assets import Asset, AssetKind
from api.ledger import open_ledger
from api.ledger.views import OrderFilter
from api.operations.work_orders import Action
from api.planning.lit_places import failed_light, lighting_words, luminaires_of, repair_words

DAY_MS = 86_400_000
ZONE = ZoneInfo("Europe/Stockholm")
HERE = (56.05, 12.66)
URL = "/api/v1/interventions"


def lamps(n=4, site="Torg 1"):
    return [
        Asset(f"d{i}", f"L{i}", site=site, segment="Torggatan", lat=56.05, lon=12.66, area="Söder")
        for i in range(1, n + 1)
    ]


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(f"sqlite:///{tmp_path / 'ops.db'}") as made:
        made.put_assets(lamps(), now_ms=NOW_MS - 400 * DAY_MS)
        yield made


def light(ledger, *, start_days=70, **more):
    start = date.fromisoformat(day_before_now(start_days))
    return failed_light(
        ledger, ledger.assets(), ("Torg 1",), start=start, stop=start + timedelta(days=56),
        zone=ZONE, now_ms=NOW_MS, position=HERE, **more,
    )  # fmt: skip


def failed(ledger, number, *, from_days, to_days=None, kind=FindingKind.LAMP_FAILURE, **more):
    end_ms = None if to_days is None else NOW_MS - to_days * DAY_MS
    one = finding(number, f"m{number}", kind=kind, start_ms=NOW_MS - from_days * DAY_MS,
                  end_ms=end_ms, **more)  # fmt: skip
    ledger.reconcile([replace(one, raised_ms=one.start_ms)], now_ms=one.start_ms)


def test_light_that_works_all_through_has_failed_never(ledger):
    found = light(ledger)
    assert (found.before, found.after, found.luminaires) == (0, 0, 4)
    assert "100\u00a0% av de mörka timmarna före" in lighting_words(found)["sv"]


def test_one_lamp_of_four_out_for_the_whole_follow_up_is_a_quarter(ledger):
    failed(ledger, 1, from_days=70)
    found = light(ledger)
    assert found.before == pytest.approx(0, abs=0.005)
    assert found.after == pytest.approx(0.25, abs=0.005)


def test_silence_and_planned_work_count_as_light_that_is_not_known(ledger):
    failed(ledger, 1, from_days=126, to_days=70, kind=FindingKind.COMMUNICATION_FAILURE)
    ledger.plan_work(
        cause_kind="segment", cause_id="Torggatan", from_ms=NOW_MS - 70 * DAY_MS,
        until_ms=NOW_MS - 42 * DAY_MS, reason="kabel", owner="E-nät",
    )  # fmt: skip
    found = light(ledger)
    assert found.before == pytest.approx(0.25, abs=0.005)
    assert 0.4 < found.after < 0.6


def test_dirt_and_light_by_day_take_no_light_away(ledger):
    failed(ledger, 1, from_days=100, kind=FindingKind.DEPRECIATION)
    failed(ledger, 2, from_days=100, kind=FindingKind.LAMP_UNEXPECTED_ON)
    assert light(ledger).shares == (0, 0)


def test_what_the_ledger_did_not_know_yet_is_not_called_good(tmp_path):
    with open_ledger(f"sqlite:///{tmp_path / 'new.db'}") as young:
        young.put_assets(lamps(), now_ms=NOW_MS - 60 * DAY_MS)
        found = light(young)
        assert found.before is None
        assert found.after == 0
        assert "inte känt av de mörka timmarna före" in lighting_words(found)["sv"]
        assert lighting_words(light(young, start_days=300)) == {}


def test_luminaires_are_found_by_name_by_segment_and_by_distance():
    counter = Asset("c", "c", AssetKind.COUNTER, site="Torg 1", lat=56.05, lon=12.66)
    named = lamps(2)
    other = [Asset("x", "X", site="Gatan", segment="Torggatan")]
    assert luminaires_of([counter, *named, *other], {"Torg 1"}) == [*named, *other]
    near = Asset("n", "N", site="Gatan", lat=56.0502, lon=12.66)
    far = Asset("f", "F", site="Gatan", lat=56.06, lon=12.66)
    assert luminaires_of([counter, near, far], {"Torg 1"}) == [near]


def test_repair_time_stands_in_for_care_and_says_so(ledger):
    failed(ledger, 1, from_days=90)
    order = ledger.work_orders(OrderFilter(site="Torg 1")).items[0]
    start = date.fromisoformat(day_before_now(70))
    when = {"start": start, "stop": start + timedelta(days=56), "zone": ZONE}
    assert repair_words(ledger, ledger.assets(), ("Torg 1",), **when) == {}
    for action, days in ((Action.ASSIGN, 89), (Action.START, 88), (Action.DONE, 87)):
        order = ledger.transition(order.id, action, version=None, actor="lag", assignee="lag",
                                  now_ms=NOW_MS - days * DAY_MS)  # fmt: skip
    found = repair_words(ledger, ledger.assets(), ("Torg 1",), **when)
    assert found["median_days_after"] is None
    assert found["median_days_before"] == pytest.approx(
        (order.done_ms - order.detected_ms) / DAY_MS
    )
    assert found["sv"].startswith("närmevärde: tid till reparation")


def test_an_evaluation_refuses_where_the_ledger_knows_that_the_light_failed(services, acting):
    add_squares(services, risen=1.6)
    services.ledger.put_assets(lamps(), now_ms=NOW_MS - 400 * DAY_MS)
    planner = acting("planner")
    body = {"title": "Nytt ljus", "kind": "lighting", "sites": ["Torg 1"],
            "start": day_before_now(70), "band": "day", "factors": [4]}  # fmt: skip
    made = planner.post(URL, json=body).json()
    good = planner.get(f"{URL}/{made['id']}/result").json()
    assert good["result"]["refused"] is None
    assert good["measured"]["lighting"]["failed_after"] == 0
    failed(services.ledger, 1, from_days=70, simulated=True)
    bad = planner.get(f"{URL}/{made['id']}/result").json()
    assert bad["result"]["refused"] == "lighting_failed"
    assert bad["lighting_failed"]["after"] == pytest.approx(0.25, abs=0.01)
    asked = {"sites": ["Torg 1"], "start": day_before_now(70)}
    path = "/api/v1/footfall/evaluations"
    assert planner.post(path, json=asked).json()["result"]["refused"] == "lighting_failed"
    own_word = {**asked, "lighting_failed_after": 0.02}
    assert planner.post(path, json=own_word).json()["result"]["refused"] is None
    planner.post(f"{URL}/{made['id']}/result")
    factors = planner.get(f"{URL}/{made['id']}/pack").json()["factors"]
    said = {f["number"]: f["measured"] for f in factors}
    assert "4 armaturer lyste som de ska" in said[4]
    assert said[2] == "ej mätt av sensor"
    assert said[3] == "ej mätt av sensor"
