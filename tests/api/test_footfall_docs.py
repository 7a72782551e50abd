"""What the footfall pages say is what the code has."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from analytics.activity import State
from analytics.before_after import Refusal, Verdict, effect
from analytics.controls import Exclusion
from api.planning.counts import SiteQuality
from api.planning.evaluation import effect_json
from api.reports.evaluation import EXCLUSIONS_SV, REFUSALS, VERDICTS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def page():
    return (DOCS / "footfall.md").read_text(encoding="utf-8")


def test_every_refusal_state_and_verdict_is_explained(page):
    for code in Refusal:
        assert f"`{code}`" in page
    for state in State:
        assert f"| {state.name.lower()} |" in page
    for verdict in Verdict:
        assert verdict.replace("_", " ") in page


def test_every_key_of_the_json_is_listed(page):
    counts = np.random.default_rng(0).poisson(100, (120, 7)).astype(float)
    plain = effect_json(effect(counts, 0, 84), list("abcdefg"), date(2026, 5, 1))
    for key in plain:
        assert f"`{key}" in page, key


def test_both_languages_have_words_for_everything():
    for lang in ("sv", "en"):
        assert {*REFUSALS[lang]} == {*Refusal}
        assert {*VERDICTS[lang]} == {*Verdict}
    assert {*EXCLUSIONS_SV} == {*Exclusion}


def test_the_quality_of_a_site_begins_with_nothing_found():
    assert SiteQuality().dead == 0
    assert SiteQuality().shift_day is None
