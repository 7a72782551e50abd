"""What a fault costs: people in the dark, and the class of the stretch."""

from dataclasses import replace
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from street_of_lamps import LAT, LON, Street

from analytics.findings import CauseKind, FindingKind
from analytics.grid import DAY_MS, window_start
from analytics.rules import Rules
from api.assets import Asset, AssetKind
from api.ledger import open_ledger
from api.operations.ranking import ranked
from api.routes.order_shapes import work_order_detail_out
from api.watch.explain import costs, explain
from api.watch.feature_store import FeatureStore
from api.watch.judging import Judge
from api.watch.night_round import NightRound
from api.watch.people import Passages, counted_by_site, passages_by_site
from api.watch.rounds import Due, RoundKind
from ingest.reading import Quantity
from ingest.stores import Columns
from ingest.stores.memory import MemoryStore

TEN_AN_HOUR = Passages(np.full(24, 10.0))
ZONE = ZoneInfo("Europe/Stockholm")


def noon(street, passages, nights=3):
    engine = NightRound(street.assets, rules=Rules(), features=FeatureStore(), passages=passages)
    store = street.store()
    for night in range(1, nights + 1):
        result = engine.noon_round(store, window_start(street.first_night + night))
    return result


def test_who_passes_in_the_dark_is_counted_where_a_profile_is_known():
    street = Street(nights=3)
    street.lit[2, street.at(1, 8) :] = 0
    result = noon(street, {"Dalhem": TEN_AN_HOUR})
    (finding,) = result.findings
    # Some eleven dark hours in late September, ten people an hour.
    assert set(result.exposure) == {"L0-02"}
    assert 100 <= result.exposure["L0-02"] <= 120
    assert finding.evidence["passages_borrowed"] == 0
    assert "About 110 people a night" in finding.note
    assert "counted there" in finding.note


def test_a_place_without_any_profile_says_nothing_of_people():
    street = Street(nights=3)
    street.lit[2, street.at(1, 8) :] = 0
    result = noon(street, {"Elsewhere": TEN_AN_HOUR})
    assert result.exposure == {}
    assert "people" not in result.findings[0].note


def test_a_stretch_below_its_class_says_so_with_average_and_least():
    street = Street(nights=3)
    street.assets = [replace(a, lighting_class="P2") for a in street.assets]
    street.lit[2, street.at(1, 8) :] = 0
    (finding,) = noon(street, {}).findings
    # Six lamps of some 20 lx on the segment, one of them out.
    assert finding.evidence["class_average_lx"] == 10.0
    assert 15 < finding.evidence["average_lx"] < 18
    assert finding.evidence["least_lx"] == 0
    assert "class P2 asks for 10.0 and 2.0: below its class (indicative" in finding.note
    assert "brighter than 1.5 times its class" in finding.note


def test_a_lamp_that_fades_says_in_how_many_nights_it_is_below_its_class():
    street = Street(nights=40, lamps=8, sky_share=0.05)
    street.assets = [replace(a, lighting_class="P1") for a in street.assets]
    fall = np.exp(-0.012 * np.maximum(street.time_ms - street.moment(12), 0) / DAY_MS)
    street.lit[3] *= fall
    (finding,) = [f for f in noon(street, {}, nights=40).findings if f.device_id == "L0-03"]
    assert finding.kind is FindingKind.DEPRECIATION
    n = finding.evidence
    assert 0 <= n["nights_soonest"] <= n["nights_likely"] <= n["nights_latest"]
    # About 18 lx fall to 15 at some 1 % a night: it is there, or will be in days.
    assert n["nights_likely"] < 20


def test_light_that_is_less_but_still_meets_its_class_leaves_nobody_in_the_dark():
    street = Street(nights=16)
    street.lit[3, street.at(12, 3) :] *= 0.5
    street.assets = [replace(a, lighting_class="P4") for a in street.assets]
    result = noon(street, {"Dalhem": TEN_AN_HOUR}, nights=16)
    (finding,) = [f for f in result.findings if f.kind is FindingKind.DIMMING_FAILURE]
    assert "still meets class P4 (indicative)" in finding.note
    assert finding.evidence.get("passages", 0) == 0


def counters(days, store, now_ms, per_hour):
    """A counter that counted the same number every hour."""
    time_ms = np.arange(now_ms - days * DAY_MS, now_ms, 3_600_000) + 3_600_000
    store.add(
        Quantity.PEOPLE_COUNT,
        Columns(
            np.zeros(len(time_ms), np.int32),
            time_ms,
            np.full(len(time_ms), float(per_hour)),
            time_ms + 1000,
            np.zeros(len(time_ms), np.uint8),
            ["C-1"],
        ),
    )
    return store


def place(name, device, east_m, *, category="street", kind=AssetKind.LUMINAIRE):
    lon = LON + east_m / 111_320 / np.cos(np.deg2rad(LAT))
    return Asset(
        device,
        device,
        site=name,
        kind=kind,
        lat=LAT,
        lon=lon,
        location_category=category,
        interval_s=3600.0 if kind is AssetKind.COUNTER else None,
    )


def test_a_place_without_a_counter_is_taken_as_the_nearest_similar_one():
    now_ms = window_start(20_730)
    assets = [
        place("Torget", "C-1", 0, kind=AssetKind.COUNTER, category="square"),
        place("Torget", "L-1", 0, category="square"),
        place("Lilla torg", "L-2", 900, category="square"),
        place("Parken", "L-3", 50, category="park"),
    ]
    counted = counted_by_site(
        counters(10, MemoryStore(), now_ms, 7), assets, zone=ZONE, now_ms=now_ms
    )
    found = passages_by_site(counted, assets)
    assert {site: p.borrowed for site, p in found.items()} == {"Torget": False, "Lilla torg": True}
    np.testing.assert_allclose(found["Lilla torg"].by_hour, 7)


def test_an_hour_counted_twice_says_nothing_yet():
    now_ms = window_start(20_730)
    assets = [place("Torget", "C-1", 0, kind=AssetKind.COUNTER)]
    store = counters(2, MemoryStore(), now_ms, 7)
    assert counted_by_site(store, assets, zone=ZONE, now_ms=now_ms) == {}


def test_orders_are_ranked_by_who_passes_and_say_how_that_is_known(tmp_path):
    street = Street(feeders=3, nights=3)
    sites = {"F0": "Dalhem", "F1": "Torget", "F2": "Lilla torg"}
    street.assets = [
        replace(
            a,
            site=sites[a.feeder],
            gateway="G",
            location_category="square" if a.feeder != "F0" else "park",
        )
        for a in street.assets
    ]
    for row in (2, 8, 14):  # one lamp at each place
        street.lit[row, street.at(1, 8) :] = 0
    counter = place("Torget", "C-1", 0, kind=AssetKind.COUNTER, category="square")
    store = counters(10, street.store(), street.moment(3), 12)
    with open_ledger(tmp_path / "ops.db") as ledger:
        ledger.put_assets([*street.assets, counter], now_ms=street.moment(0))
        judge = Judge(
            ledger=ledger,
            store=store,
            features=FeatureStore(),
            rules=Rules(),
            tz="Europe/Stockholm",
            lat=LAT,
            lon=LON,
        )
        judge(Due(RoundKind.NOON, street.moment(1)))
        judge(Due(RoundKind.NOON, street.moment(2)))
        judge(Due(RoundKind.NOON, street.moment(3)))
        orders = {o.site: o for o in ledger.work_orders().items}
        assert orders["Torget"].exposure == orders["Lilla torg"].exposure
        assert orders["Torget"].exposure > 100
        assert orders["Dalhem"].exposure is None
        assert [o.site for o, _ in ranked(ledger.work_orders().items)][-1] == "Dalhem"
        (told,) = ledger.work_order(orders["Lilla torg"].id).evidence
        assert told.evidence["passages_borrowed"] == 1
        assert "as at the nearest similar place" in told.note
        said = {
            site: work_order_detail_out(ledger.work_order(order.id), stale=False)
            for site, order in orders.items()
        }
    assert {site: d.passages_source for site, d in said.items()} == {
        "Torget": "own_counter",
        "Lilla torg": "nearest_similar_place",
        "Dalhem": "none",
    }
    assert said["Torget"].passages_per_night == orders["Torget"].exposure
    assert said["Dalhem"].passages_per_night is None


@pytest.mark.parametrize("language", ["sv", "en"])
@pytest.mark.parametrize("kind", list(FindingKind))
def test_every_kind_is_explained_in_both_languages(kind, language):
    for cause in CauseKind:
        text = explain(kind, cause, "X1", {}, language=language)
        assert text
        assert "{" not in text
        assert text.endswith(".")


def test_swedish_has_its_decimal_comma_and_says_what_cannot_be_told_apart():
    said = explain(FindingKind.SENSOR_BLIND, CauseKind.SENSOR, "L1", {"level": 0.5}, language="sv")
    assert "lampa och givare kan inte skiljas åt" in said
    numbers = {
        "class_number": 4.0,
        "class_average_lx": 5.0,
        "class_least_lx": 1.0,
        "average_lx": 4.1,
        "least_lx": 0.3,
        "nights_soonest": 30.0,
        "nights_likely": 90.0,
        "nights_latest": 36_525.0,
        "passages": 120.0,
        "passages_borrowed": 1.0,
    }
    sv, en = costs(numbers, language="sv"), costs(numbers)
    assert "4,1 lx i medel, lägst 0,3 lx; klass P4 kräver 5,0 och 1,0" in sv
    assert "indikativt" in sv
    assert "om 90 nätter (30 till över ett år)" in sv
    assert "närmaste liknande plats" in sv
    assert "in 90 nights (30 to over a year)" in en


def test_leaves_are_named_for_pruning():
    n = {"level": 0.8, "daylight": 0.7, "foliage": 0.8}
    said = {
        language: explain(FindingKind.DEPRECIATION, CauseKind.LUMINAIRE, "L1", n, language=language)
        for language in ("sv", "en")
    }
    assert "trygghetsbeskärning" in said["sv"]
    assert "pruning" in said["en"]
