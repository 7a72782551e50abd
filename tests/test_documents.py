"""What the pages say is there, is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMED_COMMAND = r"`(?:\.venv/bin/)?ljusvakt ([a-z][a-z-]+)"
LJUSVAKT = Path(sys.executable).with_name("ljusvakt")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?://|mailto:|#)([^)#\s]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_file_that_the_architecture_names_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:ingest|analytics|api|firmware_sim|tests|docs)/[\w/.-]*)`", text))
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_command_that_a_page_names_exists() -> None:
    helped = subprocess.run([LJUSVAKT, "--help"], capture_output=True, text=True, check=True).stdout
    commands = set(re.findall(r"^  ([a-z][a-z-]+)  ", helped, flags=re.MULTILINE))
    assert {"demo", "run", "decode", "replay", "backtest"} <= commands
    wrong = [
        f"{page.name}: ljusvakt {command}"
        for page in PAGES
        for command in re.findall(NAMED_COMMAND, page.read_text("utf-8"))
        if command not in commands
    ]
    assert wrong == []


def test_decisions_are_numbered_one_by_one() -> None:
    numbers = [int(p.name[:4]) for p in sorted((ROOT / "docs/decisions").glob("*.md"))]
    assert numbers == list(range(len(numbers)))


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(
        re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    )
    named = {
        target
        for page in PAGES
        for target in re.findall(r"`make ([a-z][a-z-]*)", page.read_text("utf-8"))
    }
    assert named - targets == set()
