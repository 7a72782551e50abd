"""The command works where nothing but ASCII is promised."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def ljusvakt(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    """The command as a terminal in locale C starts it."""
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    return subprocess.run(
        [sys.executable, "-m", "api.cli", *map(str, arguments)],
        env={"PATH": os.environ["PATH"], **plain},
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_in_the_plainest_locale_words_are_still_written(tmp_path: Path) -> None:
    file = tmp_path / "räkning i Söder.csv"
    file.write_text("plats;tid;antal\nGångtunneln;2026-03-01 10:00;7\n", encoding="utf-8")
    told = ljusvakt("activity", "--counts", file)
    assert (told.returncode, told.stderr) == (0, b"")
    assert "Gångtunneln" in told.stdout.decode("utf-8")
    programs = ljusvakt("activity", "--counts", file, "--json")
    assert "Gångtunneln" in json.dumps(json.loads(programs.stdout), ensure_ascii=False)
    missing = ljusvakt("activity", "--counts", tmp_path / "nå.csv")
    assert missing.returncode == 2
    assert missing.stderr.count(b"\n") == 1
