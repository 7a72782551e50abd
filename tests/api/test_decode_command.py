"""`ljusvakt decode`: one payload, read or explained."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from api.cli import main
from ingest.wire.codecs import FAMILIES


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Decode = Callable[..., Done]


@pytest.fixture
def decode(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Decode:
    def run(*arguments: str, stdin: str = "") -> Done:
        monkeypatch.setattr(sys, "argv", ["ljusvakt", "decode", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return Done(int(left.value.code or 0), said.out, said.err)

    return run


ALERT = ("--codec", "nas", "--port", "61")


def test_hexadecimal_is_read_as_people_write_it(decode: Decode) -> None:
    ways = [("83200202",), ("83 20 02 02",), ("0x83200202",), ("83", "20", "02", "02"),
            ("0x83 0x20 0X02 0x02",), ("83:20:02:02",)]  # fmt: skip
    said = [decode(*ALERT, "--json", *way) for way in ways]
    assert [done.returncode for done in said] == [0] * len(ways)
    assert len({done.stdout for done in said}) == 1
    assert json.loads(said[0].stdout) == {
        "codec": "nas",
        "readings": [
            {
                "device_id": "device",
                "time": None,
                "quantity": "lamp_status",
                "value": 1.0,
                "unit": "",
                "flags": [],
            }
        ],
        "events": [
            {"device_id": "device", "time": None, "event": "control_gear_failure",
             "active": False, "info": "DALI 1"},
            {"device_id": "device", "time": None, "event": "lamp_failure",
             "active": True, "info": "DALI 1"},
        ],
        "skipped": 0,
    }  # fmt: skip
    assert decode(*ALERT, "--json", "-", stdin="83200202\n").stdout == said[0].stdout


def test_people_get_a_line_for_each_reading_and_fault(decode: Decode) -> None:
    done = decode("--codec", "milesight", "--device", "VS351", "20ce00f1536501070002001d000800")
    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[:3] for line in lines] == [
        ["people_in", "7", "2023-11-14T22:13:20.000Z"],
        ["people_out", "2", "2023-11-14T22:13:20.000Z"],
        ["people_in_total", "29", "2023-11-14T22:13:20.000Z"],
        ["people_out_total", "8", "2023-11-14T22:13:20.000Z"],
    ]
    assert "starts" in decode(*ALERT, "83200202").stdout
    assert "not known: 1" in decode("--codec", "elsys", "04ffff").stdout
    assert "no readings" in decode("--codec", "nas", "--port", "50", "0d78").stdout


def test_what_cannot_be_read_is_one_line_that_names_the_bytes(decode: Decode) -> None:
    for arguments, complaint in [
        (("--codec", "nas", "--port", "62", "aabb"), "aabb"),
        (("--codec", "elsys", "01ff"), "01ff"),
        (("--codec", "elsys", "0205", "04"), "020504"),
        (("--codec", "elsys", "02ff"), "02ff"),
        (("--codec", "milesight", "--device", "CT101", "039710270000"), "039710270000"),
        (("--codec", "esperanto", "00"), "esperanto"),
        (("--codec", "elsys", "0g"), "hexadecimal"),
        (("--codec", "elsys", "012"), "hexadecimal"),
        (("--codec", "elsys"), "no payload"),
        (("00",), "--codec"),
        (("--codec", "json_v1", "{}"), "--topic"),
    ]:
        done = decode(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert complaint in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_an_envelope_is_read_as_the_collector_reads_it(decode: Decode) -> None:
    topic = ("--topic", "ljusvakt/v1/g/lamp-1/illuminance_lx")
    done = decode("--codec", "json_v1", *topic, "--json", '{"t":1790000000000,"v":21.4}')
    [reading] = json.loads(done.stdout)["readings"]
    assert (reading["device_id"], reading["value"]) == ("lamp-1", 21.4)
    assert reading["time"] == "2026-09-21T14:13:20.000Z"
    for codec, text, complaint in [
        ("json_v1", '{"t":1,"v":-5}', "impossible"),
        ("json_v1", '{"v":1,"mac":"0A:1B:2C:3D:4E:5F"}', "'mac'"),
        ("ttn_v3", '{"v":1}', "json_v1"),
    ]:
        done = decode("--codec", codec, *topic, text)
        assert done.returncode == 2
        assert complaint in done.stderr


def test_the_codecs_are_listed(decode: Decode) -> None:
    listed = json.loads(decode("--list", "--json").stdout)
    assert list(listed["codecs"]) == list(FAMILIES)
    assert decode("--list").stdout.splitlines()[0].startswith("nas ")
