"""Every command that a page tells somebody to type, held against the parser of the program."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from api.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if "decisions" not in page.parts and page.name != "CHANGELOG.md"
)
FENCED = re.compile(r"^```[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`((?:\.venv/bin/)?ljusvakt [a-z][^`]*)`")


def is_program(word: str) -> bool:
    return Path(word).name == "ljusvakt"


def typed(line: str) -> list[list[str]]:
    """The commands of one line of a shell, as words."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("&|;"):
            commands.append([])
        else:
            commands[-1].append(word)
    return commands


def in_fences(page: Path) -> list[str]:
    """What follows `ljusvakt` in the page's fenced blocks."""
    lines = [
        line.removeprefix("$ ")
        for block in FENCED.findall(page.read_text("utf-8"))
        for line in block.replace("\\\n", " ").splitlines()
        if re.match(r"(\$ )?\S*(ljusvakt|python3?|pip) ", line)
    ]
    commands = [words for line in lines for words in typed(line) if words]
    return [shlex.join(words[1:]) for words in commands if is_program(words[0])]


def in_sentences(page: Path) -> list[str]:
    """What follows `ljusvakt` in the page's sentences and tables."""
    text = FENCED.sub("", page.read_text("utf-8"))
    return [command.partition("ljusvakt ")[2] for command in INLINE.findall(text)]


def named(words: list[str]) -> tuple[Any, list[str]]:
    """The command that these words name, and the words that are left for it."""
    command: Any = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command, words


def commands_of(command: Any, name: str = "") -> list[str]:
    """The names of all commands below this one."""
    below = getattr(command, "commands", {})
    found = [n for part, one in below.items() for n in commands_of(one, f"{name} {part}".strip())]
    return found or [name]


TO_COPY = sorted({(page.name, words) for page in PAGES for words in in_fences(page)})
SENTENCES = sorted({(page.name, words) for page in PAGES for words in in_sentences(page)})


def test_the_pages_are_read() -> None:
    assert {page for page, _ in TO_COPY} >= {
        "README.md", "operators.md", "planners.md", "testers.md",
    }  # fmt: skip
    assert typed("python3 -m venv .venv && .venv/bin/ljusvakt demo --port 8090  # by hand") == [
        ["python3", "-m", "venv", ".venv"],
        [".venv/bin/ljusvakt", "demo", "--port", "8090"],
    ]


@pytest.mark.parametrize(("page", "words"), TO_COPY)
def test_a_command_to_copy_is_one_that_the_program_takes(page: str, words: str) -> None:
    command, rest = named(shlex.split(words))
    assert not hasattr(command, "commands"), f"{page}: {words!r} names no command"
    # Raises what the terminal would say: no such option, not a number, something is missing.
    context = command.make_context(command.name, rest)
    assert context.params.keys() == {one.name for one in command.params if one.expose_value}
    assert context.args == []


@pytest.mark.parametrize(("page", "words"), SENTENCES)
def test_a_command_in_a_sentence_is_there_with_its_options(page: str, words: str) -> None:
    command, rest = named(words.split())
    assert command.name != "ljusvakt", f"{page}: {words!r} names no command"
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    assert {word for word in rest if word.startswith("--")} - options == set()
    if hasattr(command, "commands"):
        assert rest == [], f"{page}: {words!r} names no command"


def test_every_command_is_named_on_some_page() -> None:
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    missing = [
        name
        for name in commands_of(typer.main.get_command(app))
        if not re.search(rf"ljusvakt {name}\b", text)
    ]
    assert missing == []
