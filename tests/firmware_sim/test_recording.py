"""Messages in files: recordings, captures and tables."""

import base64
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from firmware_sim.devices.native import encode_readings
from firmware_sim.errors import PublishError, TableError
from firmware_sim.load import damaged
from firmware_sim.publishing import BrokerAddress
from firmware_sim.recording import Recorded, RecordingWriter, moment_ms, shifted
from firmware_sim.replayed import read_messages
from firmware_sim.streams import generator

NOON_MS = 1_790_000_000_000


@pytest.mark.parametrize("name", ["feed.jsonl", "feed.jsonl.gz"])
def test_a_recording_is_read_as_it_was_written(tmp_path: Path, name: str) -> None:
    messages = [
        Recorded("ljusvakt/v1/g/L-1/readings", b"\x00\xff", NOON_MS, 1, retain=True),
        Recorded("a/å", b"", NOON_MS + 1, 0),
    ]
    with RecordingWriter(tmp_path / name) as writer:
        for message in messages:
            writer.add(message)

    assert read_messages(tmp_path / name) == messages
    assert writer.count == 2


def test_messages_come_in_the_order_they_were_received(tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    lines = [Recorded("t", b"x", ms).line() for ms in (3, 1, 2)]
    path.write_text("\n".join(lines), "utf-8")

    assert [m.received_ms for m in read_messages(path)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1}', "1: neither"),
        ('{"topic": "t", "payload": "", "received_ms": 1}\n{broken', "2: not JSON"),
        ("[1]", "1: neither"),
    ],
)
def test_a_line_that_is_no_message_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "feed.jsonl"
    path.write_text(text, "utf-8")

    with pytest.raises(TableError, match=words):
        read_messages(path)


def test_a_broken_archive_is_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}' * 100)[:-20])

    with pytest.raises(TableError, match="cannot be read"):
        read_messages(path)


def test_readings_of_an_hour_become_one_message(tmp_path: Path) -> None:
    table = pa.table(
        {
            "device_id": ["L-1", "L-1", "L-2", "L-1"],
            "time": pa.array(
                [NOON_MS, NOON_MS + 600_000, NOON_MS, NOON_MS + 7_200_000],
                pa.timestamp("ms", "UTC"),
            ),
            "illuminance_lx": pa.array([20.1, None, 3.0, 20.3], pa.float32()),
            "power_w": pa.array([None, None, 31.0, None], pa.float32()),
        }
    )
    pq.write_table(table, tmp_path / "readings.parquet")
    messages = read_messages(tmp_path / "readings.parquet")
    contents = {(m.topic, m.received_ms): json.loads(m.payload) for m in messages}

    assert len(messages) == 3
    first = contents["ljusvakt/v1/replay/L-1/readings", NOON_MS + 600_000]
    assert first["q"] == {"illuminance_lx": [20.1, None]}
    assert contents["ljusvakt/v1/replay/L-2/readings", NOON_MS]["q"] == {
        "illuminance_lx": [3.0], "power_w": [31.0],
    }  # fmt: skip


def test_events_of_a_table_become_fault_reports(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text(
        "device_id,time,event,active,info\n"
        "L-1,2026-09-21T14:13:20Z,lamp_failure,true,\n"
        "L-1,2026-09-21T15:13:20Z,lamp_failure,false,DALI\n",
        "utf-8",
    )
    reports = [json.loads(m.payload)["e"][0] for m in read_messages(path)]

    assert reports == [
        {"event": "lamp_failure", "active": True},
        {"event": "lamp_failure", "active": False, "info": "DALI"},
    ]


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n", "utf-8")

    with pytest.raises(TableError, match="no table of readings"):
        read_messages(tmp_path / "x.csv")


def test_lorawan_frames_are_wrapped_with_their_own_time(tmp_path: Path) -> None:
    table = pa.table(
        {
            "deveui": ["A81758FFFE04B1C1"],
            "fcnt": [71],
            "fport": [5],
            "payload_b64": [base64.b64encode(b"\x04\x00\x10").decode()],
            "utc_time": pa.array([NOON_MS], pa.timestamp("ms")),
        }
    )
    pq.write_table(table, tmp_path / "frames.parquet")
    (message,) = read_messages(tmp_path / "frames.parquet")
    content = json.loads(message.payload)

    assert message.topic == "application/ljusvakt/device/a81758fffe04b1c1/event/up"
    assert (content["fCnt"], content["fPort"], content["data"]) == (71, 5, "BAAQ")
    assert moment_ms(content["time"]) == message.received_ms == NOON_MS


@pytest.mark.data
def test_every_captured_message_of_a_network_server_is_read(data_dir: Path) -> None:
    files = sorted((data_dir / "payload_samples").glob("*"))
    captures = [p for p in files if p.name.startswith(("chirpstack", "helium", "ttn"))]
    counts = {p.name: len(read_messages(p)) for p in captures}

    assert counts["chirpstack_v3_wyres_300_captured.ndjson"] == 300
    assert counts["helium_elsys_ems_300_captured.ndjson"] == 300
    assert len(counts) == 15
    assert all(n == 1 for name, n in counts.items() if "300" not in name)


@pytest.mark.data
def test_the_captured_events_go_to_their_own_topics(data_dir: Path) -> None:
    folder = data_dir / "payload_samples"
    ends = {
        name: read_messages(folder / f"chirpstack_v4_{name}.json")[0].topic.rsplit("/", 1)[1]
        for name in ("ack", "integration", "join", "location", "log", "status", "txack", "up")
    }

    assert ends == {name: name for name in ends}


def test_shifting_moves_every_time_of_a_message() -> None:
    native = Recorded("t", encode_readings([NOON_MS], {"power_w": [1.0]}), NOON_MS)
    envelope = Recorded(
        "t",
        b'{"time":"2026-09-21T14:13:20.5Z","rxInfo":[{"time":"2026-09-21T14:13:20Z"}]}',
        NOON_MS,
    )

    assert json.loads(shifted(native, 1000).payload)["t0"] == NOON_MS + 1000
    moved = json.loads(shifted(envelope, 60_000).payload)
    assert moved["time"] == "2026-09-21T14:14:20.500Z"
    assert moved["rxInfo"][0]["time"] == "2026-09-21T14:14:20.000Z"
    assert shifted(native, 1000).received_ms == NOON_MS + 1000


def test_bytes_that_are_no_json_are_shifted_unchanged() -> None:
    assert shifted(Recorded("t", b"\xff\x00", 5), 10) == Recorded("t", b"\xff\x00", 15)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2022-07-18T09:34:15.775023242+00:00", 1_658_136_855_775),
        ("2026-09-21T14:13:20Z", NOON_MS),
        ("2026-09-21T16:13:20.000+02:00", NOON_MS),
    ],
)
def test_times_of_network_servers_are_read_to_the_millisecond(text: str, expected: int) -> None:
    assert moment_ms(text) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://localhost", BrokerAddress("localhost", 1883)),
        ("localhost:1884", BrokerAddress("localhost", 1884)),
        ("mqtts://a%40b:p%3A@host", BrokerAddress("host", 8883, "a@b", "p:", tls=True)),
    ],
)
def test_broker_addresses(url: str, expected: BrokerAddress) -> None:
    assert BrokerAddress.parse(url) == expected


@pytest.mark.parametrize("url", ["http://host", "mqtt://", "mqtt://host:port", "mqtt://host:99999"])
def test_what_is_no_broker_address_is_said(url: str) -> None:
    with pytest.raises(PublishError, match="no broker address"):
        BrokerAddress.parse(url)


def test_damaged_messages_differ_from_what_was_sent() -> None:
    payload = encode_readings([NOON_MS], {"illuminance_lx": [20.0]})
    rng = generator(1, "damage")
    broken = [damaged(payload, rng) for _ in range(100)]

    assert all(message != payload for message in broken)
    assert len(set(broken)) > 50


@pytest.mark.parametrize("name", ["cut.jsonl", "cut.jsonl.gz"])
def test_a_recorder_that_was_killed_leaves_what_came_before(tmp_path: Path, name: str) -> None:
    with RecordingWriter(tmp_path / name) as writer:
        for k in range(400):
            writer.add(Recorded(f"a/{k}", bytes([k % 256] * 40), 1_790_000_000_000 + k))
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:-20])
    found = read_messages(tmp_path / name)

    assert 0 < len(found) < 400
    assert [m.topic for m in found] == [f"a/{k}" for k in range(len(found))]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"topic": "a", "payload": "e&J0", "received_ms": 1}'),
        ("a.jsonl", '{"topic": "a", "payload": "eyJ0", "received_ms": "x"}'),
        ("a.jsonl", '{"deviceInfo": {}}'),
        ("a.csv", "device_id,time,illuminance_lx\nL-1,yesterday,3\n"),
        ("a.csv", "device_id,time,illuminance_lx\nL-1,,3\n"),
    ],
)
def test_what_cannot_be_replayed_is_an_error_of_ours(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)

    with pytest.raises(TableError, match=name):
        read_messages(tmp_path / name)


def values_of(path: Path) -> dict[str, dict[str, list[float | None]]]:
    """Columns of each device in what a table becomes."""
    found = [(m.topic.split("/")[3], json.loads(m.payload)["q"]) for m in read_messages(path)]
    return dict(found)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_a_swedish_spreadsheet_is_replayed_as_it_is(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "avläsning.csv"
    path.write_text(
        "device_id;time;illuminance_lx;power_w;anm\n"
        "L-1;2026-10-11 20:00;12,75;31,2;\n"
        "L-2;2026-10-11T22:00:00+02:00;;0,5;\n".replace("anm", "energy_kwh"),
        encoding=encoding,
    )
    messages = read_messages(path)

    assert values_of(path) == {
        "L-1": {"illuminance_lx": [12.75], "power_w": [31.2]},
        "L-2": {"power_w": [0.5]},
    }
    assert {json.loads(m.payload)["t0"] for m in messages} == {moment_ms("2026-10-11T20:00:00Z")}


def test_readings_as_json_lines_are_replayed(tmp_path: Path) -> None:
    path = tmp_path / "readings.jsonl"
    path.write_text(
        '{"device_id": "L-1", "time": "2026-10-11T20:00:00Z", "illuminance_lx": 3.5}\n'
        '{"device_id": "L-2", "time": "2026-10-11T20:00:00Z", "power_w": 2}\n',
        encoding="utf-8",
    )

    assert values_of(path) == {"L-1": {"illuminance_lx": [3.5]}, "L-2": {"power_w": [2]}}


@pytest.mark.parametrize("text", ["dark", "1;5", "12.3.4"])
def test_a_value_that_is_no_number_is_an_error_of_ours(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"device_id\ttime\tilluminance_lx\nL-1\t2026-10-11T20:00:00Z\t{text}\n")

    with pytest.raises(TableError, match=r"a\.csv"):
        read_messages(path)
