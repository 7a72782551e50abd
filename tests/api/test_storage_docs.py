import re
from pathlib import Path

import typer.main

from api.cli import app
from ingest.stores.lines import event_line, parse_event, parse_reading, reading_lines

GUIDE = (Path(__file__).parents[2] / "docs" / "operators-storage.md").read_text(encoding="utf-8")


def test_the_guides_lines_are_the_lines_we_write() -> None:
    block = re.search(r"### What is written\n```\n(.*?)```", GUIDE, re.DOTALL)
    lines = block[1].splitlines()
    assert len(lines) == 3
    for line in lines:
        if line.startswith("events,"):
            assert event_line(parse_event(line)) == line
        else:
            assert reading_lines(*parse_reading(line)) == [line]


def test_every_command_of_the_guide_exists_with_its_options() -> None:
    group = typer.main.get_command(app)
    named = re.findall(r"^\| `ljusvakt ([a-z-]+)([^`]*)`", GUIDE, re.MULTILINE)
    assert len(named) == 7
    for name, rest in named:
        command = group.commands[name]
        for word in re.findall(r"--[a-z]+", rest):
            assert any(word in option.opts for option in command.params), (name, word)
        if name == "quarantine":
            assert set(command.commands) == {"list", "show", "replay"}
        else:
            options = {word for option in command.params for word in option.opts}
            assert {"--data", "--config", "--json"} <= options
