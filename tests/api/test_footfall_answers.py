"""Planners' answers: activity, heat maps, evaluations, and the page they print."""

from datetime import date, timedelta
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from api.errors import BadInputError
from api.planning.activity import activity_answer, activity_json, heat_map, low_spans
from api.planning.counts import Counts
from api.planning.evaluation import EvaluationPlan, evaluate, evaluation_json
from api.planning.public_counts import public_table
from api.reports.evaluation import evaluation_page, evaluation_text

STOCKHOLM = ZoneInfo("Europe/Stockholm")
START = date(2026, 3, 2)


def city(seed=0, n_days=420, n_sites=10, rise=1.0, simulated=False):
    """Hourly counts; evenings at the first place rise for the last eight weeks."""
    rng = np.random.default_rng(seed)
    shape = 0.05 + np.exp(-(((np.arange(24) - 13) / 4.5) ** 2))
    weather = np.exp(0.15 * rng.standard_normal(n_days))[:, None, None]
    drift = np.exp(np.cumsum(0.004 * rng.standard_normal((n_days, n_sites)), axis=0))[:, None]
    mean = 300 * shape[None, :, None] * weather * drift
    mean[-56:, 18:, 0] *= rise
    hours = rng.poisson(mean).astype(float)
    return Counts(
        sites=[f"Torg {n}" for n in range(n_sites)],
        first_day=START - timedelta(days=n_days - 56),
        hours=hours,
        days=hours.sum(axis=1),
        zone=STOCKHOLM,
        step_s=3600,
        simulated=simulated,
    )


def plan(**more):
    return EvaluationPlan(**{"sites": ("Torg 0",), "start": START, **more})


def test_an_evening_rise_is_the_headline_and_all_bands_stand_beside_it():
    found = evaluate(city(rise=1.7), plan())
    assert found.headline == "evening"
    assert [b.band for b in found.bands] == ["evening", "night", "day"]
    assert found.main.effect.verdict == "increase"
    assert found.contrast.effect.low < np.log(1.7) < found.contrast.effect.high
    assert found.main.p_holm == pytest.approx(3 * found.main.effect.p_value)


def test_dark_hours_are_a_band_where_the_place_is_known():
    found = evaluate(city(), plan(position=(56.05, 12.69), band="dark"))
    assert [b.band for b in found.bands] == ["dark", "night", "day", "evening"]
    with pytest.raises(BadInputError, match="place"):
        evaluate(city(), plan(band="dark"))


def test_a_band_may_be_any_hours():
    found = evaluate(city(), plan(band="17-5"))
    assert (found.main.band, found.main.hours) == ("17-5", "17-5")
    for band in ("25-3", "x", "5-5", "18"):
        with pytest.raises(BadInputError):
            evaluate(city(), plan(band=band))


def test_hours_that_have_a_name_are_judged_once():
    by_hours = evaluate(city(), plan(band="18-24"))
    by_name = evaluate(city(), plan(band="evening"))
    assert [b.hours for b in by_hours.bands] == [b.hours for b in by_name.bands]
    assert by_hours.main.p_holm == by_name.main.p_holm


def test_neighbours_are_tested_and_the_way_back_is_told():
    found = evaluate(
        city(rise=2.0), plan(near=("Torg 1",), start=START - timedelta(days=70), stop=START)
    )
    assert {*found.spill_over} == {"Torg 1"}
    assert found.off is not None
    assert found.off.refused is None
    assert 1 not in found.main.effect.controls


def test_daily_counts_have_one_band_only():
    counts = city()
    daily = Counts(counts.sites, counts.first_day, None, counts.days, STOCKHOLM, 86_400)
    found = evaluate(daily, plan())
    assert [b.band for b in found.bands] == ["all_day"]
    assert found.contrast is None
    with pytest.raises(BadInputError, match="daily"):
        evaluate(daily, plan(band="18-24"))
    with pytest.raises(BadInputError, match="no hours"):
        heat_map(daily, "Torg 0")


def test_dates_and_places_that_are_not_there_are_named():
    with pytest.raises(BadInputError, match="outside the counts"):
        evaluate(city(), plan(start=date(2031, 1, 1)))
    with pytest.raises(BadInputError, match="There are"):
        evaluate(city(), plan(sites=("Gränd",)))
    with pytest.raises(BadInputError, match="no site"):
        evaluate(city(), plan(sites=()))
    with pytest.raises(BadInputError, match="after"):
        evaluate(city(), plan(stop=START))


def test_the_fingerprint_is_of_the_data_and_the_days_are_those_used():
    one, again, other = (
        evaluate(city(), plan()),
        evaluate(city(), plan()),
        evaluate(city(1), plan()),
    )
    assert one.data_sha256 == again.data_sha256 != other.data_sha256
    said = evaluation_json(one)
    assert said["result"]["before"] == {"first_day": str(START - timedelta(days=364)), "days": 364}
    assert said["result"]["after"]["last_day"] == str(START + timedelta(days=55))


def test_refusals_are_answers_too():
    said = evaluation_json(evaluate(city(n_sites=5), plan()))
    assert said["result"]["refused"] == "too_few_controls"
    assert said["result"]["percent"] is None
    assert said["result"]["verdict"] is None


class Outline(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self):
        super().__init__()
        self.tags, self.links, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in {"src", "href"}]

    def handle_data(self, data):
        self.text.append(data)


def outline(html):
    parser = Outline()
    parser.feed(html)
    return parser


@pytest.mark.parametrize("lang", ["sv", "en"])
def test_the_page_is_whole_in_itself_and_says_what_it_rests_on(lang):
    found = evaluate(city(rise=1.7, simulated=True), plan(near=("Torg 3",)))
    seen = outline(evaluation_page(found, lang))
    text = " ".join(seen.text)
    assert seen.links == []
    assert "script" not in seen.tags
    assert seen.tags.count("svg") == 2
    assert found.data_sha256 in text
    assert "Ferman & Pinto" in text
    assert ("SIMULERADE" if lang == "sv" else "SIMULATED") in text
    assert ("ökade med" if lang == "sv" else "rose by") in text
    assert "Torg 3" in text


@pytest.mark.parametrize("lang", ["sv", "en"])
def test_no_difference_is_told_with_what_could_have_been_found(lang):
    text = evaluation_text(evaluate(city(2), plan(band="day")), lang)
    assert ("kunde ha upptäckts" if lang == "sv" else "could have been found") in text


@pytest.mark.parametrize("lang", ["sv", "en"])
def test_a_refused_page_gives_the_reason_in_words(lang):
    seen = outline(evaluation_page(evaluate(city(n_sites=5), plan()), lang))
    text = " ".join(seen.text)
    assert ("färre än fem" if lang == "sv" else "fewer than five") in text
    assert "svg" not in seen.tags


def test_names_of_places_are_text_on_the_page():
    counts = city()
    named = Counts(
        ["<script>alert(1)</script>", *counts.sites[1:]], counts.first_day, counts.hours,
        counts.days, STOCKHOLM, 3600,
    )  # fmt: skip
    seen = outline(evaluation_page(evaluate(named, plan(sites=(named.sites[0],))), "sv"))
    assert "script" not in seen.tags


def test_activity_speaks_of_the_last_eight_weeks():
    counts = city()
    counts.hours[:, 1:5] = 0.0
    said = activity_json(activity_answer(counts, country="SE", position=(56.05, 12.69)))
    site = said["sites"][0]
    assert said["window"] == {"first_day": "2026-03-02", "last_day": "2026-04-26"}
    assert len(site["p_low"]) == len(site["state"]) == 168
    assert site["states"]["certain"] >= 28
    assert (np.array(site["state"]).reshape(7, 24)[:, 1:5] == "certain").all()
    weeks = site["dark_and_empty"]
    assert weeks[0]["week"] == "2026-W10"
    assert all(0 < w["dark_and_empty_hours"] <= w["dark_hours"] for w in weeks)
    with pytest.raises(BadInputError):
        activity_answer(counts, weeks=3)
    with pytest.raises(BadInputError):
        activity_answer(counts, until=date(2001, 1, 1))


def test_low_hours_are_said_as_people_say_them():
    low = np.zeros((7, 24), dtype=bool)
    low[:5, 2:5] = True
    low[6, 23] = True
    assert low_spans(low.reshape(-1)) == [
        {"days": ["Mon", "Tue", "Wed", "Thu", "Fri"], "from": 2, "to": 5},
        {"days": ["Sun"], "from": 23, "to": 24},
    ]
    assert low_spans(np.array([True] + [False] * 6)) == [{"days": ["Mon"], "from": 0, "to": 24}]


def test_a_heat_map_is_the_mean_of_each_hour_of_the_week():
    counts = city()
    counts.hours[:] = 7.0
    counts.hours[-1, 3, 0] = np.nan
    found = heat_map(counts, "Torg 0", first=counts.last_day - timedelta(days=13))
    assert found["mean"][0] == [7.0] * 24
    assert found["weeks"][6][3] == 1
    assert found["weeks"][6][4] == 2
    with pytest.raises(BadInputError):
        heat_map(counts, "Torg 0", first=date(2030, 1, 1))


def test_nothing_small_leaves_the_house():
    counts = city(n_days=60)
    counts.hours[:, 0:5, 0] = 0.0
    counts.hours[10, 2, 0] = 3.0
    said = public_table(counts, "Torg 0", "2026-03")
    night = [row[0] for row in said["persons"]]
    assert night == [None] * 7
    shown = [v for row in said["persons"] for v in row if v is not None]
    assert max(shown) > 0
    assert {v % 5 for v in shown} == {0}
    assert said["withheld"] >= 7
