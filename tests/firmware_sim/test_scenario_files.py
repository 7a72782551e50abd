"""Scenario files: what is wrong is named with file, line, key and remedy."""

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim import scenario as module
from firmware_sim.errors import ScenarioError
from firmware_sim.scenario import (
    FAULT_KINDS,
    GROUP_KINDS,
    Scenario,
    bundled_scenarios,
    load_scenario,
    parse_scenario,
)

DOCS = Path(__file__).parents[2] / "docs" / "scenarios.md"


@pytest.mark.parametrize("name", ["demo", "easy", "realistic", "hard", "nuisances"])
def test_every_bundled_scenario_can_be_used(name: str) -> None:
    assert load_scenario(name).scenario.name == name


@pytest.mark.parametrize(
    ("text", "line", "key", "words"),
    [
        ("[city]\nluminaires = 'many'\n", 2, "city.luminaires", "Expected `int`"),
        ("[city]\n\nlamps = 3\n", 3, "city.lamps", "unknown field"),
        ("[cities]\nluminaires = 3\n", 1, "cities", "unknown field"),
        ("[faults]\nlamp_failure = 1.5\n", 2, "faults.lamp_failure", "<= 1"),
        ("[scenario]\nstart = 2026-13-01\n", 2, "", "not valid TOML"),
        ("[scenario]\nname = 'two words'\n", 2, "scenario.name", "matching regex"),
        (
            "[[fault]]\nkind = 'lamp_failure'\n\n[[fault]]\nkind = 'feeder_fire'\n",
            5,
            "fault[1].kind",
            "Invalid enum value",
        ),
        ("[devices]\ninterval_s = [700]\n", 2, "devices.interval_s", "does not divide a day"),
        ("[faults]\nlamp_failure = 0.7\nmisaimed = 0.7\n", 1, "faults", "add up to 1.40"),
        (
            "[[fault]]\nkind = 'misaimed'\nat_day = 3.0\nuntil_day = 2.0\n",
            4,
            "fault[0].until_day",
            "not after at_day",
        ),
        ("[city]\nlat = nan\n", 2, "city.lat", "Expected `float`"),
        ("[[fault]]\nkind = 'misaimed'\nat_day = inf\n", 3, "fault[0].at_day", "no number"),
        ("[city]\ntimezone = 'Mars/Olympus'\n", 2, "city.timezone", "no time zone"),
        ("[city]\ntimezone = '../etc'\n", 2, "city.timezone", "no time zone"),
        ("[scenario]\nstart = '2026-10-01T00:00:00Z'\n", 2, "scenario.start", "Invalid RFC3339"),
        (
            "[devices]\nown_light_low = 0.9\nown_light_high = 0.5\n",
            2,
            "devices.own_light_low",
            "above own_light_high",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, line: int, key: str, words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text, file="mine.toml")

    error = caught.value
    assert (error.file, error.line, error.key) == ("mine.toml", line, key)
    assert str(error).startswith(f"mine.toml:{line}: ")
    assert words in error.message
    assert error.remedy


@settings(deadline=None)
@given(
    st.text()
    | st.builds(
        "[{}]\n{} = {}\n".format,
        st.sampled_from(["city", "devices", "fault", "x"]),
        st.sampled_from(["lat", "interval_s", "kind", "timezone", "y"]),
        st.sampled_from(["1", "-1", "nan", "[]", "{}", "''", "inf", "[0]", "1e400"]),
    )
)
def test_no_text_does_worse_than_an_error_of_ours(text: str) -> None:
    try:
        parsed = parse_scenario(text)
    except ScenarioError as error:
        remedy = error.remedy
    else:
        remedy = "none needed"
        assert -90 <= parsed.city.lat <= 90

    assert remedy


def test_a_missing_file_names_what_could_be_meant() -> None:
    with pytest.raises(ScenarioError, match=r"nowhere\.toml.*realistic"):
        load_scenario("nowhere.toml")


def test_an_empty_file_is_a_whole_scenario() -> None:
    assert parse_scenario("") == Scenario()


def test_a_changed_scenario_keeps_all_else() -> None:
    changed = load_scenario("demo").changed(days=2, luminaires=30, seed=9)

    assert (changed.scenario.days, changed.city.luminaires, changed.seed) == (2, 30, 9)
    assert changed.fault == load_scenario("demo").fault
    assert changed.stop_ms - changed.start_ms == 2 * 86_400_000


def documented_rows() -> dict[str, str]:
    """Default of every key that docs/scenarios.md lists, by `table.key`."""
    rows: dict[str, str] = {}
    table = ""
    for line in DOCS.read_text("utf-8").splitlines():
        if heading := re.match(r"## `\[+([a-z]+)\]+`", line):
            table = heading[1]
        elif table and (row := re.match(r"\| `([a-z_0-9]+)` \| ([^|]*) \|", line)):
            rows[f"{table}.{row[1]}"] = row[2].strip().strip("`")
    return rows


def shown(value: object) -> str:
    if value is None or value is msgspec.NODEFAULT:
        return "–"
    if isinstance(value, tuple):
        return str(list(value))
    return str(value)


def test_the_reference_lists_every_key_with_its_default() -> None:
    expected: dict[str, str] = {}
    for table in msgspec.structs.fields(Scenario):
        kind = module.PlacedFault if table.name == "fault" else type(table.default)
        for field in msgspec.structs.fields(kind):
            expected[f"{table.name}.{field.name}"] = shown(field.default)

    assert documented_rows() == expected


def test_the_reference_names_every_kind_of_fault() -> None:
    text = DOCS.read_text("utf-8")

    assert [kind for kind in (*FAULT_KINDS, *GROUP_KINDS) if f"`{kind}`" not in text] == []


def test_bundled_scenarios_are_found_by_name() -> None:
    assert set(bundled_scenarios()) == {
        "demo", "easy", "realistic", "hard", "nuisances", "outages",
    }  # fmt: skip
