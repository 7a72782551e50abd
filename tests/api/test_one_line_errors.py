"""What cannot be done is said in one line, and the exit code tells whose fault it is."""

import errno
import sys
from pathlib import Path

import pytest

from api import cli
from api.cli import main
from api.ledger import open_ledger
from firmware_sim.feed import write_feed
from firmware_sim.scenario import load_scenario
from ingest.journal import Journal


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # type: ignore[no-untyped-def]
    monkeypatch.delenv("LJUSVAKT_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["ljusvakt", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0), capsys.readouterr().err

    return run


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("feed")
    write_feed(load_scenario("easy").changed(luminaires=12, days=2), folder, processes=1)
    return folder


@pytest.mark.parametrize("out", ["gone/findings.csv", ".", "findings.doc"])
def test_a_place_for_findings_that_is_none_is_told_before_the_work(said, feed, out) -> None:
    # Without readings the work itself would fail: the place is looked at first.
    code, line = said("backtest", str(feed / "gone"), "--out", out)

    assert code == 2
    assert line.count("\n") == 1
    assert "findings" in line or "'a name without ending'" in line


@pytest.mark.parametrize("option", ["--days", "--lamp-nights", "--horizon"])
@pytest.mark.parametrize("number", ["-2", "0", "nan", "inf"])
def test_a_score_over_no_time_is_refused(said, feed, option, number) -> None:
    code, line = said("score", "--findings", str(feed), option, number)

    assert code == 2
    assert "a number above 0" in line


def test_a_recording_of_no_time_is_refused(said) -> None:
    code, line = said("record", "--broker", "mqtt://127.0.0.1:1", "--out", "r", "--seconds", "-1")

    assert code == 2
    assert "--seconds" in line


def test_a_file_where_the_demo_s_folder_should_be_is_named(said, tmp_path) -> None:
    (tmp_path / "demo").write_text("no folder")
    code, line = said("demo", "--data", "demo", "--no-browser")

    assert code == 2
    assert line.count("\n") == 1
    assert "demo" in line


def test_a_scenario_that_is_no_file_is_told_in_words(said) -> None:
    code, line = said("simulate", "nowhere", "--out", "feed")

    assert code == 2
    assert "nowhere: cannot be read (No such file or directory)" in line


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, 1), (errno.EACCES, 1), (errno.ENOTDIR, 2)]
)
def test_what_the_system_refuses_is_one_line_and_no_traceback(
    said, monkeypatch, number, code
) -> None:
    def full() -> None:
        raise OSError(number, "the system's word", "some/file")

    monkeypatch.setattr(cli, "app", full)

    assert said() == (code, "ljusvakt: some/file: the system's word.\n")


def test_an_import_names_the_columns_in_their_order(said, tmp_path) -> None:
    (tmp_path / "rows.csv").write_text("zeta,alfa,mitt\n1,2,3\n")
    code, line = said("import-readings", "rows.csv", "--data", "data")

    assert code == 2
    assert "it has zeta, alfa, mitt." in line


def test_a_feed_written_anew_in_the_other_form_leaves_no_old_readings(tmp_path) -> None:
    scenario = load_scenario("easy").changed(luminaires=12, days=1)
    for form in ("parquet", "csv", "parquet"):
        write_feed(scenario, tmp_path, processes=1, form=form)
        assert [p.name for p in tmp_path.glob("readings.*")] == [f"readings.{form}"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("users", "link", "nobody"), "no user 'nobody'. `ljusvakt users list` shows them."),
        (("users", "change", "nobody"), "no user 'nobody'. `ljusvakt users list` shows them."),
        (("users", "add", "kim", "--role", "crew"), "there is a user 'kim' already."),
        (("keys", "revoke", "none"), "no key 'none'. `ljusvakt keys list` shows them."),
        (
            ("quarantine", "show", "99"),
            (
                "there is no message 99 in the quarantine. "
                "`ljusvakt quarantine list` gives their numbers."
            ),
        ),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else "",
)
def test_what_is_not_there_or_there_already_is_wrong_input(said, arguments, told) -> None:
    Journal(Path("journal.db"), quota_bytes=10**8, now_ms=lambda: 0, min_free_bytes=0).close()
    with open_ledger(Path("ops.db")) as ledger:
        ledger.create_user("kim", roles=["crew"], now_ms=0)
    assert said(*arguments, "--data", ".") == (2, f"ljusvakt: {told}\n")
