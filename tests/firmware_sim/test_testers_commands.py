"""The testers' commands: what they write, and one clear line when they cannot."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.cli import app
from api.errors import BadInputError, LjusvaktError


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_simulate_writes_a_folder_and_says_what_is_in_it(tmp_path: Path) -> None:
    result = run(
        "simulate", "easy", "--out", str(tmp_path / "feed"), "--lamps", "30", "--days", "2",
        "--processes", "1", "--json",
    )  # fmt: skip
    facts = json.loads(result.stdout)

    assert result.exit_code == 0
    assert facts["readings"] > 15_000
    assert (tmp_path / "feed" / "truth.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["simulate", "easy"], "nowhere to send"),
        (["simulate", "no-such-scenario", "--out", "x"], "cannot be read"),
        (["simulate", "easy", "--out", "x", "--format", "xlsx"], "--format"),
        (["simulate", "easy", "--out", "x", "--start", "tomorrow"], "YYYY-MM-DD"),
        (["simulate", "easy", "--broker", "http://x", "--speed", "1"], "no broker address"),
        (["simulate", "easy", "--broker", "mqtt://x", "--speed", "fast"], "--speed"),
        (["simulate", "easy", "--broker", "mqtt://x", "--speed", "nan"], "--speed"),
        (["simulate", "--devices", "10"], "needs a broker"),
        (["simulate", "--devices", "10", "--broker", "mqtt://x", "--corrupt", "2"], "--corrupt"),
        (["simulate", "--devices", "10", "--broker", "mqtt://x", "--rate", "0"], "--rate"),
        (["simulate", "--into-demo"], "one place"),
        (["simulate", "--into-demo", "--device", "a", "--feeder", "b"], "one place"),
        (["replay", "nowhere.jsonl", "--broker", "mqtt://x"], "cannot be read"),
        (["replay", "x", "--broker", "mqtt://x", "--shift-to", "noon"], "--shift-to"),
        (["replay", "x", "--broker", "mqtt://x", "--duplicate", "-1"], "--duplicate"),
        (
            ["record", "--broker", "mqtt://x", "--out", "/no/such/folder/x.jsonl"],
            "cannot be written",
        ),
        (["score", "--findings", "nowhere.csv"], "no truth"),
        (["score", "--findings", "nowhere.csv", "--truth", "nowhere.csv"], "cannot be read"),
    ],
)
def test_bad_input_is_one_clear_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*words)

    assert isinstance(result.exception, BadInputError)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)


def test_a_wrong_scenario_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[city]\nlamps = 3\n", "utf-8")
    result = run("simulate", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "feed"))

    assert isinstance(result.exception, BadInputError)
    assert "mine.toml:2: city.lamps" in str(result.exception)
    assert not (tmp_path / "feed").exists()


def test_a_fault_without_a_demo_says_how_to_start_one(tmp_path: Path) -> None:
    result = run("simulate", "--into-demo", "--device", "L-1", "--data", str(tmp_path))

    assert isinstance(result.exception, BadInputError)
    assert "ljusvakt demo" in str(result.exception)


def test_a_broker_that_is_not_there_is_a_failure_not_bad_input(tmp_path: Path) -> None:
    line = '{"topic": "t", "payload": "", "received_ms": 1}\n'
    (tmp_path / "feed.jsonl").write_text(line, "utf-8")
    result = run("replay", str(tmp_path / "feed.jsonl"), "--broker", "mqtt://127.0.0.1:1")

    assert isinstance(result.exception, LjusvaktError)
    assert not isinstance(result.exception, BadInputError)
    assert "cannot be reached" in str(result.exception)


def test_a_load_that_nobody_took_is_a_failure(free_port: int) -> None:
    broker = f"mqtt://127.0.0.1:{free_port}"
    load = ["simulate", "--devices", "3", "--rate", "5", "--seconds", "0.3", "--broker", broker]

    assert isinstance(CliRunner().invoke(app, load).exception, LjusvaktError)
    assert isinstance(CliRunner().invoke(app, [*load, "--rate", "nan"]).exception, BadInputError)


@pytest.mark.parametrize("speed", ["1", "60", "3600", "max"])
def test_a_city_for_a_broker_that_is_not_there_is_a_failure_at_any_speed(
    free_port: int, speed: str
) -> None:
    broker = f"mqtt://127.0.0.1:{free_port}"
    result = run("simulate", "demo", "--lamps", "20", "--speed", speed, "--broker", broker)

    assert isinstance(result.exception, LjusvaktError)
    assert "cannot be reached" in str(result.exception)
