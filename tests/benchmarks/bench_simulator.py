"""How fast the simulator writes files and history, as ratios within this run."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from firmware_sim.feed import write_feed
from firmware_sim.scenario import load_scenario
from firmware_sim.world import build_city

NIGHTS, LUMINAIRES = 20, 600


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


@pytest.mark.slow
def test_files_and_history_against_a_plain_copy(capsys: pytest.CaptureFixture[str]) -> None:
    scenario = load_scenario("realistic").changed(luminaires=LUMINAIRES, days=NIGHTS)
    devices = msgspec.structs.replace(scenario.devices, interval_s=(600,))
    scenario = msgspec.structs.replace(scenario, devices=devices)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one = seconds(lambda: write_feed(scenario, folder / "one", processes=1))
        two = seconds(lambda: write_feed(scenario, folder / "two", processes=2))
        source, copy = folder / "one" / "readings.parquet", folder / "copy.parquet"
        copied = seconds(lambda: pq.write_table(pq.read_table(source), copy, compression="zstd"))
        readings = pq.read_metadata(source).num_rows
    city = build_city(scenario)
    messages = 0

    def history() -> None:
        nonlocal messages
        messages = sum(1 for _ in history(city, scenario.start_ms, scenario.stop_ms))

    told = seconds(history)
    with capsys.disabled():
        print(
            f"\n{readings:,} readings: one process {one:.1f} s ({readings / one:,.0f}/s), "
            f"two {two:.1f} s ({one / two:.2f} times), plain copy of the file {copied:.1f} s "
            f"({one / copied:.1f} times as fast), history as {messages:,} messages {told:.1f} s"
        )

    assert readings > 0.95 * LUMINAIRES * NIGHTS * 144
    assert messages > 0
