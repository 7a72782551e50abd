"""The log tells what happened, on one line, and no secret."""

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from api.log import set_up_log


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    set_up_log("json")
    yield out
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_of_ours_and_one_of_a_library_have_one_form(lines: io.StringIO) -> None:
    structlog.get_logger("collector").info("connected", broker="127.0.0.1")
    logging.getLogger("paho").warning("slow")
    ours, theirs = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert (ours["event"], ours["broker"], ours["level"]) == ("connected", "127.0.0.1", "info")
    assert (theirs["event"], theirs["logger"]) == ("slow", "paho")


def test_a_secret_is_not_logged(lines: io.StringIO) -> None:
    structlog.get_logger().info("signing in", password="hemligt", api_key="lv_1")  # noqa: S106
    assert "hemligt" not in lines.getvalue()
    assert "lv_1" not in lines.getvalue()


def test_a_line_break_in_what_somebody_wrote_makes_no_second_line(lines: io.StringIO) -> None:
    structlog.get_logger().info("comment", text="a\r\nSet-Cookie: b=1\u2028x")
    assert len(lines.getvalue().splitlines()) == 1


def test_the_work_goes_on_when_nobody_reads_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    set_up_log("json")
    try:
        structlog.get_logger().info("still here")
        worked_on = True
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        structlog.reset_defaults()
    assert worked_on
