"""A simulated city behind a network server, live, through `ljusvakt run` into the store."""

import json
from pathlib import Path

import pytest
from contracts.data_folder import Row, counts_after, rows_in
from contracts.ljusvakt_process import Process, run_to_end, with_own_broker

from firmware_sim.scenario import load_scenario
from firmware_sim.world import City, build_city
from ingest.reading import Quantity

pytestmark = [pytest.mark.live, pytest.mark.slow]

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


def ljusvakt(*arguments: object) -> str:
    done = run_to_end(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def by_device(rows: list[Row], quantity: Quantity) -> dict[str, list[float]]:
    """The values of a quantity."""
    found: dict[str, list[float]] = {}
    for name, device, _, value in rows:
        if name == quantity.value:
            found.setdefault(device, []).append(value)
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
    environment = with_own_broker(folder, mqtt_port=free_port, enrol=enrol)
    with Process("run", environment) as program:
        program.wait_for('"ready"')
        told = ljusvakt(
            "simulate", path, "--broker", f"mqtt://127.0.0.1:{free_port}", "--speed", 2400,
            "--seconds", 8, "--json",
        )  # fmt: skip
        published = json.loads(told.splitlines()[-1])["published"]
        balance = counts_after(folder, published)
        assert program.stop() == 0
    rows = rows_in(folder)
    told_of = {quantity: by_device(rows, quantity) for quantity in Quantity}

    assert published > 500
    assert (balance.quarantined, balance.refused) == (0, 0)
    lamps = {d for f in city.feeders for d, has in zip(f.device_ids, f.has_lux, strict=True) if has}
    controllers = {d for f in city.feeders if f.has_status for d in f.device_ids}
    assert lamps
    assert controllers
    assert told_of[Quantity.ILLUMINANCE].keys() == lamps
    assert controllers <= told_of[Quantity.LAMP_STATUS].keys()
    assert controllers <= told_of[Quantity.DIMMING].keys()
    # With a meter, controllers tell their watts and energy; light sensors tell their battery.
    metered = {d for f in city.feeders if f.has_power for d in f.device_ids}
    sensors = {d for f in city.feeders if not f.controller for d in f.device_ids}
    assert metered
    assert sensors
    energy = told_of[Quantity.ENERGY]
    assert told_of[Quantity.POWER].keys() == energy.keys() == metered
    assert told_of[Quantity.BATTERY_VOLTAGE].keys() == sensors
    assert all(min(energy[d]) > 50 for d in metered)
    failed = {
        device
        for device, states in told_of[Quantity.LAMP_STATUS].items()
        if sum(int(state) & 1 for state in states) > 5
    }
    assert failed == {row[2] for row in city.truth_rows() if row[1] == "lamp_failure"}
