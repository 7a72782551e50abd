"""Nights that a crew can read: what was measured, and what must be said about it."""

import json
from pathlib import Path

import pytest

from analytics.rules import Rules
from api.watch.backtest import run_backtest
from api.watch.feed import read_feed

GOLDEN = Path(__file__).parents[1] / "golden"
NIGHTS = sorted(
    p.parent for p in GOLDEN.glob("*/expected.json") if (p.parent / "feed.jsonl").exists()
)


@pytest.mark.parametrize("folder", NIGHTS, ids=lambda p: p.name)
def test_a_golden_night_is_judged_as_it_was(folder):
    expected = json.loads((folder / "expected.json").read_text())
    feed = read_feed(None, readings=folder / "feed.jsonl", assets=folder / "assets.csv")
    by_incident = {}
    for f in run_backtest(feed, Rules()).findings:
        by_incident.setdefault(f.incident, []).append(f)
    said = [
        {
            "kind": members[0].kind.value,
            "luminaires": sorted(f.luminaire_id for f in members),
            "cause": f"{members[0].cause_kind.value} {members[0].cause_id}",
        }
        for members in by_incident.values()
    ]
    assert said == expected["findings"]


def test_there_are_golden_nights():
    assert len(NIGHTS) >= 4
