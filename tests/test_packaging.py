"""The package is what it says: its names are its own, its lock is whole, it names no machine."""

import re
import subprocess
import tomllib
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
OURS = ("ingest", "analytics", "api", "firmware_sim")


def locked(name: str) -> set[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return {
        canonicalize_name(m[1])
        for m in re.finditer(r"^([A-Za-z0-9._-]+)(?:\[.*\])?==", text, re.MULTILINE)
    }


def required(lines: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in lines}


def tracked() -> list[Path]:
    try:
        done = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_nobody_else_installs_our_package_names() -> None:
    owners = packages_distributions()
    # An editable install owns its packages by a path and is not listed.
    strangers = {name: set(owners.get(name, ())) - {"ljusvakt"} for name in OURS}
    assert strangers == {name: set() for name in OURS}
    assert "deploy" not in owners


def test_the_lock_holds_everything_the_project_asks_for() -> None:
    core = required(PROJECT["project"]["dependencies"])
    extras = PROJECT["project"]["optional-dependencies"].values()
    assert core | {n for e in extras for n in required(e)} <= locked("requirements.lock")


def test_the_development_lock_holds_the_tools_and_the_whole_lock() -> None:
    groups = PROJECT["dependency-groups"].values()
    tools = {n for group in groups for n in required([r for r in group if isinstance(r, str)])}
    assert tools | locked("requirements.lock") <= locked("requirements-dev.lock")


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_every_locked_package_has_hashes_and_no_index_is_named(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    entries = [e for e in re.split(r"\n(?=[A-Za-z0-9])", text) if "==" in e and e[0] != "#"]
    assert [e.split()[0] for e in entries if "--hash=sha256:" not in e] == []
    assert re.search(r"https?://|--index-url|--find-links|file:", text) is None


def test_the_version_is_written_once() -> None:
    assert version("ljusvakt") == PROJECT["project"]["version"]


def test_the_floor_of_numpy_still_serves_python_3_11() -> None:
    numpy = next(Requirement(r) for r in PROJECT["project"]["dependencies"] if "numpy" in r)
    assert numpy.specifier.contains("2.4.6")


def test_no_file_of_the_project_names_a_place_on_somebody_s_machine() -> None:
    home = re.compile(
        r"(/home/[a-z]\w*/|/Users/\w+/|/root/\.|" + re.escape(str(ROOT.parent)) + "/)"
    )
    found = []
    for path in tracked():
        if "vendor" in path.parts or path.stat().st_size > 2_000_000:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if match := home.search(text):
            found.append(f"{path.relative_to(ROOT)}: {match[0]}")
    assert found == []


def test_test_files_have_names_of_their_own() -> None:
    # `--import-mode=importlib` without packages: two files of one name would hide one another.
    names = [p.name for p in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(n for n in set(names) if names.count(n) > 1) == []
