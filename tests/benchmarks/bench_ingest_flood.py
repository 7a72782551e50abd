"""How long others wait while one device floods, through a real Mosquitto.

Forty devices send five messages a second each; what is measured is the time from their publishing
until they are in the journal, on disk, and until they are acknowledged, which is done in the order
of arrival, the flood's included. One collector runs throughout, beside it in turn: nobody, a device
that sends 1,000 a second, nobody again, a device that sends as fast as the broker confirms.
Devices, flood and collector are processes of their own.

"Nobody again" is the control: a machine whose disk stalls, or that has other things to do, shows it
there, where there is no flood. Only ratios within a round mean much, and only many rounds.
"""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from benchmarks.bench_ingest import ready, result, start
from benchmarks.flood_witnesses import DEVICES
from contracts.mosquitto_server import MosquittoServer

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(480)]

PER_SECOND = 5
SECONDS = 5.0
SETTLE_S = 1.0
DRAIN_S = 4.0  # what a flood without limit leaves with the broker comes after it
ROUNDS = int(os.environ.get("LJUSVAKT_BENCH_FLOOD_ROUNDS", "10"))
FLOODS = {"nobody": None, "1,000 a second": 1000, "nobody again": None, "as fast as it goes": 0}
USUAL = "nobody"


def segment(port: int, per_second: int | None) -> tuple[float, float]:
    """Flood for a while, or do not; from when to when it counts [ms, UTC]."""
    flood = None
    if per_second is not None:
        flood = start("ingest_load.py", "flood", port, per_second, 60)
        ready(flood)
    time.sleep(SETTLE_S)
    began_ms = time.time_ns() / 1e6
    time.sleep(SECONDS)
    ended_ms = time.time_ns() / 1e6
    if flood is not None:
        flood.kill()
        flood.communicate()
    if per_second == 0:
        time.sleep(DRAIN_S)
    return began_ms, ended_ms


def test_others_while_one_device_floods(mosquitto: Path, tmp_path: Path, free_port: int) -> None:
    segments: dict[str, list[tuple[float, float]]] = {name: [] for name in FLOODS}
    with MosquittoServer(mosquitto, tmp_path / "mosquitto", free_port):
        collector = start("flood_witnesses.py", "collect", free_port, tmp_path)
        ready(collector)
        witnesses = start("flood_witnesses.py", "send", free_port, DEVICES * PER_SECOND)
        ready(witnesses)
        for _ in range(ROUNDS):
            for name, per_second in FLOODS.items():
                segments[name].append(segment(free_port, per_second))
        witnesses.kill()
        witnesses.communicate()
        found = result(collector)
    rows = np.array(found["rows"])
    print(f"\n{DEVICES} devices, {PER_SECOND} messages a second each, {SECONDS:.0f} s x {ROUNDS}")
    usual = np.array([])
    for name, spans in segments.items():
        several: list[tuple[float, float, float]] = []
        for began_ms, ended_ms in spans:
            mine = rows[(rows[:, 0] >= began_ms) & (rows[:, 0] < ended_ms)]
            assert len(mine) > DEVICES * PER_SECOND
            several.append(
                (
                    float(np.median(mine[:, 1])),
                    float(np.percentile(mine[:, 1], 99)),
                    float(np.percentile(mine[:, 2], 99)),
                )
            )
        half, most, told = np.array(several).T
        if name == USUAL:
            usual = most
        ratio = most / usual
        print(
            f"  {name:20} in the journal p50 {np.median(half):6.1f} ms,"
            f" p99 {np.median(most):6.1f} ms ({most.min():.1f}-{most.max():.1f});"
            f" acknowledged p99 {np.median(told):6.1f} ms ({told.min():.1f}-{told.max():.1f});"
            f" p99 {np.median(ratio):.2f} times the usual ({ratio.min():.2f}-{ratio.max():.2f}),"
            f" below twice in {np.count_nonzero(ratio < 2)} of {ROUNDS}"
        )
    print(json.dumps({"flooding messages": found["others"]}))
