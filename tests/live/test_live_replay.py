"""Recorded uplinks of real devices, through a real broker, rest in the store once each."""

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from contracts.data_folder import counts_after, rows_in
from contracts.ljusvakt_process import Process, run_to_end, with_own_broker

from ingest.reading import Quantity

pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.data,
    pytest.mark.usefixtures("mosquitto"),
]

HOUR_S = 3600


def replay(file: Path, mqtt_port: int, *arguments: str) -> int:
    """Messages the broker has taken."""
    broker = f"mqtt://127.0.0.1:{mqtt_port}"
    done = run_to_end("replay", file, "--broker", broker, "--speed", "max", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    acknowledged: int = json.loads(done.stdout.splitlines()[-1])["acknowledged"]
    return acknowledged


def frames_of(rows: list[dict[str, Any]]) -> int:
    """Frames by the rule, in a plain loop: device, counter and bytes again within an hour."""
    heard: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    for row in rows:
        key = (row["deveui"], row["fcnt"], row["payload_b64"])
        heard[key].append(row["utc_time"].timestamp())
    return sum(
        1 + sum(later - earlier > HOUR_S for earlier, later in pairwise(sorted(times)))
        for times in heard.values()
    )


def test_13332_uplinks_rest_once_each_also_when_replayed_twice_and_shuffled(
    tmp_path: Path, data_dir: Path, free_port: int
) -> None:
    file = data_dir / "lorawan" / "elsys_ems_tourperret_first_half.parquet"
    folder, other = tmp_path / "in order", tmp_path / "shuffled"
    with Process("run", with_own_broker(folder, mqtt_port=free_port)) as program:
        program.wait_for('"ready"')
        sent = replay(file, free_port)
        assert sent == 13_332
        once = counts_after(folder, sent)
        rows_once = rows_in(folder)
        sent += replay(file, free_port, "--shuffle", "--seed", "3")
        twice = counts_after(folder, sent)
        assert program.stop() == 0
    assert once.balanced
    assert once.quarantined == once.refused == 0
    uplinks = pq.read_table(file).to_pylist()
    heard_again = 13_332 - frames_of(uplinks)
    assert heard_again > 1_900
    assert once.other["frames_again"] == heard_again
    # Temperature is ELSYS type 01 and comes first where there is one.
    warm = frames_of([row for row in uplinks if row["payload_b64"].startswith("AQ")])
    assert sum(row[0] == Quantity.TEMPERATURE for row in rows_once) == warm > 10_000
    assert len(rows_once) == len(set(rows_once)) == once.received - once.duplicate
    assert twice.balanced
    assert twice.received == 2 * once.received
    assert twice.received - twice.duplicate == len(rows_once)
    assert sorted(rows_in(folder)) == sorted(rows_once)

    with Process("run", with_own_broker(other, mqtt_port=free_port)) as program:
        program.wait_for('"ready"')
        sent = replay(file, free_port, "--shuffle", "--duplicate", "1", "--seed", "5")
        assert sent == 2 * 13_332
        shuffled = counts_after(other, sent)
        assert program.stop() == 0
    assert shuffled.balanced
    assert shuffled.received == 2 * once.received
    assert sorted(rows_in(other)) == sorted(rows_once)


def test_captured_network_server_messages_rest_or_say_why_they_cannot(
    tmp_path: Path, data_dir: Path, free_port: int
) -> None:
    samples = data_dir / "payload_samples"
    folder = tmp_path / "data"
    with Process("run", with_own_broker(folder, mqtt_port=free_port)) as program:
        program.wait_for('"ready"')
        names = (
            "helium_elsys_ems_300_captured.ndjson",
            "chirpstack_v3_nas_lcu_captured.json",
            "chirpstack_v3_wyres_300_captured.ndjson",
        )
        sent = sum(replay(samples / name, free_port) for name in names)
        counts = counts_after(folder, sent)
        assert program.stop() == 0
    assert counts.balanced
    devices = {device for _, device, _, _ in rows_in(folder)}
    assert "70B3D5B020073208" in devices, "the luminaire controller"
    assert any(device.startswith("A81758FFFE") for device in devices), "the ELSYS sensors"
    # The Wyres node speaks a format of its own that no codec here claims to know.
    assert counts.rejected == {"unknown_codec": counts.quarantined}
