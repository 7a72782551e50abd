"""A simulated city behind a network server, live, through `ljusvakt run` into the store."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from firmware_sim.scenario import load_scenario
from firmware_sim.world import City, build_city
from ingest.journal import JournalReader
from ingest.reading import Quantity
from ingest.stores.parquet import ParquetStore

pytestmark = [pytest.mark.live, pytest.mark.slow]

LJUSVAKT = Path(sys.executable).with_name("ljusvakt")
SCENARIO = """
[scenario]
name = "radio"
seed = 3
start = 2026-10-01
days = 3
[city]
luminaires = 42
tunnels = 1
counters = 1
[devices]
lorawan = 1.0
network_server = "{server}"
power = 0.5
status = 0.5
[nuisances]
event_miss = 0.0
event_false_per_month = 0.0
[[fault]]
kind = "lamp_failure"
feeder = {feeder}
at_day = 0.05
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def ljusvakt(*arguments: object) -> str:
    done = subprocess.run(
        [LJUSVAKT, *map(str, arguments)], check=True, timeout=120, capture_output=True, text=True
    )
    return done.stdout


@contextmanager
def running(folder: Path, *, mqtt_port: int, enrol: bool) -> Generator[None]:
    """`ljusvakt run` with a broker of its own."""
    config = folder.with_suffix(".toml")
    config.write_text(
        f"[broker]\nport = {mqtt_port}\n[rounds]\nenrol = {str(enrol).lower()}\n"
        f"[http]\nport = {free_port()}\n",
        encoding="utf-8",
    )
    process = subprocess.Popen(
        [LJUSVAKT, "run", "--config", config, "--data", folder, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("LJUSVAKT_")},
    )
    assert process.stdout is not None
    try:
        assert any('"ready"' in line for line in process.stdout)
        yield
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def settle(folder: Path, messages: int) -> dict[str, int]:
    """The balance as soon as so many messages have been read."""
    end = time.monotonic() + 60
    reader = JournalReader(folder / "journal.db")
    try:
        while (counts := reader.counters()).other.get("messages", 0) < messages:
            assert time.monotonic() < end, f"{counts} and not {messages} messages"
            time.sleep(0.2)
        return {"quarantined": counts.quarantined, "refused": counts.refused}
    finally:
        reader.close()


def stored(folder: Path) -> dict[Quantity, dict[str, set[tuple[int, float]]]]:
    """Time and value by quantity and device."""
    reader = JournalReader(folder / "journal.db")
    store = ParquetStore(folder / "archive", tail=reader)
    found: dict[Quantity, dict[str, set[tuple[int, float]]]] = {}
    try:
        for quantity in Quantity:
            columns = store.columns(quantity, start_ms=0, stop_ms=2**52)
            rows = zip(
                columns.device.tolist(), columns.time_ms.tolist(), columns.value.tolist(),
                strict=True,
            )  # fmt: skip
            for device, time_ms, value in rows:
                name = columns.device_ids[device]
                found.setdefault(quantity, {}).setdefault(name, set()).add((time_ms, value))
    finally:
        reader.close()
    return found


def city_of(folder: Path, server: str) -> tuple[Path, City]:
    """A scenario file whose failing lamp has a controller with a light sensor, and its city."""
    path = folder / "radio.toml"
    for feeder in range(3):
        path.write_text(SCENARIO.format(server=server, feeder=feeder), encoding="utf-8")
        city = build_city(load_scenario(str(path)))
        failing = city.feeders[feeder]
        if failing.has_status and failing.has_lux[0]:
            return path, city
    raise AssertionError("no street feeder of this seed has status and light")


@pytest.mark.parametrize(("server", "enrol"), [("chirpstack_v4", False), ("things_stack_v3", True)])
def test_a_live_city_on_lorawan_rests_in_the_store(
    tmp_path: Path, free_port: int, server: str, *, enrol: bool
) -> None:
    path, city = city_of(tmp_path, server)
    folder = tmp_path / "data"
    if not enrol:
        feed = tmp_path / "feed"
        ljusvakt("simulate", path, "--out", feed, "--processes", 1)
        ljusvakt("import", "assets", feed / "assets.csv", "--data", folder, "--apply")
    with running(folder, mqtt_port=free_port, enrol=enrol):
        told = ljusvakt(
            "simulate", path, "--broker", f"mqtt://127.0.0.1:{free_port}", "--speed", 2400,
            "--seconds", 8, "--json",
        )  # fmt: skip
        published = json.loads(told.splitlines()[-1])["published"]
        balance = settle(folder, published)
    rows = stored(folder)

    assert published > 500
    assert balance == {"quarantined": 0, "refused": 0}
    lamps = {d for f in city.feeders for d, has in zip(f.device_ids, f.has_lux, strict=True) if has}
    controllers = {d for f in city.feeders if f.has_status for d in f.device_ids}
    assert lamps
    assert controllers
    assert set(rows[Quantity.ILLUMINANCE]) == lamps
    assert controllers <= set(rows[Quantity.LAMP_STATUS])
    assert controllers <= set(rows[Quantity.DIMMING])
    # With a meter, controllers tell their watts and energy; light sensors tell their battery.
    metered = {d for f in city.feeders if f.has_power for d in f.device_ids}
    sensors = {d for f in city.feeders if not f.controller for d in f.device_ids}
    assert set(rows.get(Quantity.POWER, {})) == set(rows.get(Quantity.ENERGY, {})) == metered
    assert set(rows.get(Quantity.BATTERY_VOLTAGE, {})) == sensors
    energy = rows.get(Quantity.ENERGY, {})
    assert all(min(kwh for _, kwh in energy[d]) > 50 for d in metered)
    failed = {
        device
        for device, told in rows[Quantity.LAMP_STATUS].items()
        if sum(int(value) & 1 for _, value in told) > 5
    }
    assert failed == {row[2] for row in city.truth_rows() if row[1] == "lamp_failure"}
