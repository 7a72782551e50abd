"""`docs/operators-ingest.md` and `docs/faults.md` promise nothing without a test."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["operators-ingest.md", "faults.md"])
def test_every_promise_names_a_test_that_exists(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    written = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("*.py"))
    assert len(named) > 10
    assert named - set(re.findall(r"def (test_\w+)", written)) == set()


def test_every_setting_of_mosquitto_it_explains_is_in_both_configurations() -> None:
    text = (ROOT / "docs" / "operators-ingest.md").read_text(encoding="utf-8")
    deployed = (ROOT / "deploy" / "mosquitto" / "mosquitto.conf").read_text(encoding="utf-8")
    table = text.split("## Mosquitto")[1].split("Memory:")[0]
    explained = re.findall(r"`([a-z_]+(?: [\w]+)?)`", "\n".join(
        line.split("|")[1] for line in table.splitlines() if line.startswith("| `")
    ))  # fmt: skip
    assert len(explained) > 6
    assert [one for one in explained if one not in deployed] == []


def test_every_fault_of_the_three_lists_has_its_row() -> None:
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([ABD]\d+) \|", text, re.MULTILINE)
    wanted = [f"{group}{n}" for group, most in (("A", 17), ("B", 8), ("D", 15))
              for n in range(1, most + 1)]  # fmt: skip
    assert rows == wanted
