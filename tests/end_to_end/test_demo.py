"""The demo, from nothing to work orders, and through a kill."""

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from contracts.ljusvakt_process import run_to_end
from contracts.waiting import eventually
from end_to_end.demo_process import SMALL, DemoProcess, running_with, seeded_causes

pytestmark = [pytest.mark.slow, pytest.mark.live]

WITHIN_S = 200.0


def causes(orders: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return sorted((order["cause_kind"], order["cause_id"]) for order in orders)


def test_every_seeded_fault_gets_its_one_work_order_and_nothing_else_any(
    told_demo: Path, tmp_path: Path, free_port: int, mosquitto: Path
) -> None:
    folder = shutil.copytree(told_demo, tmp_path / "demo åäö")
    with DemoProcess(folder, free_port, *SMALL) as demo:
        demo.wait_for_event("ready", within_s=WITHIN_S)
        assert mosquitto.name in running_with(str(folder / "broker"))[0]
        expected = sorted(seeded_causes(demo))
        eventually(lambda: set(expected) <= set(causes(demo.orders())))
        assert causes(demo.orders()) == expected
        health = demo.get("/api/v1/health")
        counts = health["ingest"]
        parts = ("stored", "in_journal", "duplicate", "quarantined", "refused")
        assert counts["received"] == sum(counts[p] for p in parts)
        assert counts["quarantined"] == 0
        assert health["simulated_time"] is True
        assert demo.stop(within_s=5) == 0
    assert running_with(str(folder)) == []


@pytest.mark.usefixtures("mosquitto")
def test_killed_in_the_middle_of_history_it_ends_in_the_same_state(
    tmp_path: Path, free_port: int
) -> None:
    folder = tmp_path / "demo"
    with DemoProcess(folder, free_port, *SMALL) as demo:
        demo.wait_for_event("history", within_s=WITHIN_S, at_least=0.4)
        demo.kill()
    eventually(lambda: not running_with(str(folder)), within_s=10)  # its broker ends with it
    with DemoProcess(folder, free_port, *SMALL) as demo:
        demo.wait_for_event("ready", within_s=WITHIN_S)
        assert causes(demo.orders()) == sorted(seeded_causes(demo))
        orders = demo.orders()
        demo.kill()
    with DemoProcess(folder, free_port, *SMALL) as demo:
        demo.wait_for_event("ready", within_s=WITHIN_S)
        assert not [e for e in demo.events if e["event"] == "history"], "history was told again"
        assert {o["id"] for o in demo.orders()} == {o["id"] for o in orders}
        assert demo.stop(within_s=5) == 0


def test_a_fault_set_in_from_outside_becomes_a_work_order_while_one_watches(
    told_demo: Path, tmp_path: Path, free_port: int
) -> None:
    folder = shutil.copytree(told_demo, tmp_path / "demo")
    with DemoProcess(folder, free_port, *SMALL, "--speed", "600") as demo:
        demo.wait_for_event("ready", within_s=WITHIN_S)
        before = causes(demo.orders())
        whole = {cause for _, cause in before}
        feeder = next(
            asset["feeder"]
            for asset in demo.get("/api/v1/assets?limit=200")["items"]
            if asset["kind"] == "luminaire" and asset["feeder"] not in whole
        )
        done = run_to_end(
            "simulate", "--into-demo", "--data", folder, "--fault", "feeder_out", "--feeder", feeder
        )
        assert done.returncode == 0, done.stderr
        # Ten hours of the night pass in a minute: the feeder is dark or silent within them.
        eventually(lambda: ("feeder", feeder) in causes(demo.orders()), within_s=120)
        assert demo.stop(within_s=5) == 0


def test_a_busy_port_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_to_end("demo", "--data", tmp_path / "d", "--port", port)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"port {port}" in done.stderr


def test_a_broken_config_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    config = tmp_path / "broken.toml"
    config.write_text("[http]\nprot = 8000\n", encoding="utf-8")
    done = run_to_end("demo", "--data", tmp_path / "d", "--config", config)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "broken.toml:2: http.prot: no such setting" in done.stderr


def test_fresh_never_deletes_a_folder_that_is_no_demo(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    done = run_to_end("demo", "--fresh", "--data", tmp_path, "--port", free_port)
    assert done.returncode == 2
    assert "no demo" in done.stderr
    assert (tmp_path / "thesis.txt").exists()


def test_the_doctor_finds_a_folder_well_and_says_so_to_programs(tmp_path: Path) -> None:
    done = run_to_end("doctor", "--data", tmp_path / "d", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {check["name"] for check in json.loads(done.stdout)} >= {"broker", "journal", "balance"}
