"""What `deploy/` says fits the program and the tools that read it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import absent
from prometheus_client import generate_latest

from api.metrics import Metrics
from api.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


def test_compose_keeps_to_the_compose_schema() -> None:
    done = subprocess.run(
        [
            Path(sys.executable).with_name("check-jsonschema"),
            "--builtin-schema",
            "vendor.compose-spec",
            DEPLOY / "compose.yaml",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_variable_in_compose_is_a_setting_of_ours(compose: dict[str, Any]) -> None:
    known = set()
    for key, field in Settings.model_fields.items():
        fields = getattr(field.annotation, "model_fields", None)
        known |= (
            {f"LJUSVAKT_{key}__{k}".upper() for k in fields}
            if fields
            else {f"LJUSVAKT_{key}".upper()}
        )
    used = {
        name.removesuffix("_FILE") if name.removesuffix("_FILE") in known else name
        for name in compose["services"]["ljusvakt"]["environment"]
    }
    assert used - known == set()


def test_every_file_that_compose_mounts_from_the_project_is_there(compose: dict[str, Any]) -> None:
    missing = []
    for service in compose["services"].values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("./") and not source.startswith("./secrets/"):
                missing += [source] if not (DEPLOY / source).exists() else []
    assert missing == []


def test_every_secret_that_compose_mounts_is_made_by_the_script(compose: dict[str, Any]) -> None:
    script = (DEPLOY / "secrets.sh").read_text(encoding="utf-8")
    names = {Path(s["file"]).name for s in compose["secrets"].values()} | {"mosquitto-passwords"}
    assert {name for name in names if name not in script} == set()


def test_services_are_hardened_and_pinned(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "healthcheck" in service, name
        assert re.search(r":\d+\.\d+", service["image"]), f"{name} is not pinned"


def test_the_unit_file_has_no_key_that_systemd_does_not_know() -> None:
    if not Path("/usr/bin/systemd-analyze").exists():
        pytest.skip("systemd-analyze was not found")
    done = subprocess.run(
        ["/usr/bin/systemd-analyze", "verify", DEPLOY / "systemd/ljusvakt.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    # The program is not installed where the unit expects it: that one line is right to be there.
    said = [line for line in done.stderr.splitlines() if "is not executable" not in line]
    assert said == []


def test_the_alert_rules_do_what_their_own_tests_say() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        absent("promtool")
    for verb, name in (("check", "ljusvakt.rules.yaml"), ("test", "ljusvakt.rules.test.yaml")):
        done = subprocess.run(
            [str(promtool), verb, "rules", name],
            cwd=DEPLOY / "prometheus",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_in_the_alert_rules_is_one_of_ours() -> None:
    parts = ("received", "stored", "in_journal", "duplicate", "quarantined", "refused")
    metrics = Metrics(lambda: dict.fromkeys(parts, 1), dict)
    text = generate_latest(metrics.registry).decode()
    rules = (DEPLOY / "prometheus/ljusvakt.rules.yaml").read_text(encoding="utf-8")
    named = set(re.findall(r"\bljusvakt_\w+", rules))
    assert named
    assert {name for name in named if f"\n{name} " not in f"\n{text}"} == set()
