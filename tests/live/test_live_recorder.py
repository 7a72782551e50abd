"""`ljusvakt record` as a process that ends in every way a process can end."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from contracts.ljusvakt_process import Process, bare_environment, run_to_end
from contracts.mosquitto_server import MosquittoServer

from firmware_sim.errors import TableError
from firmware_sim.fleet import Outgoing
from firmware_sim.publishing import BrokerAddress, publish_messages
from firmware_sim.replayed import read_messages

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.anyio]
BURST = [("test/recorder", b"%d" % k, False) for k in range(300)]


def recorder(port: int, out: Path) -> Process:
    where = ("--broker", f"mqtt://127.0.0.1:{port}", "--out", str(out))
    return Process("record", bare_environment(), *where, "--topics", "test/recorder")


async def until_heard(address: BrokerAddress, out: Path) -> None:
    """Send one message again and again, retained by nobody, until the recorder writes."""
    give_up_s = time.monotonic() + 30
    while not whole(out):
        assert time.monotonic() < give_up_s
        await send(address, [("test/recorder", b"hello", False)])
        await asyncio.sleep(0.2)


def whole(out: Path) -> list[bytes]:
    """What can be read of a recording that may still be written."""
    try:
        return [m.payload for m in read_messages(out)]
    except TableError:
        return []


async def send(address: BrokerAddress, messages: list[Outgoing]) -> None:
    async def pieces() -> AsyncIterator[list[Outgoing]]:
        yield messages

    await publish_messages(pieces(), address)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("feed.jsonl", signal.SIGKILL),
        ("feed.jsonl.gz", signal.SIGKILL),
        ("feed.jsonl.gz", signal.SIGTERM),
        ("feed.jsonl", signal.SIGINT),
    ],
)
async def test_a_burst_before_a_quiet_second_is_kept_however_the_recorder_ends(
    mosquitto: Path, tmp_path: Path, free_port: int, name: str, how: signal.Signals
) -> None:
    out = tmp_path / name
    address = BrokerAddress("127.0.0.1", free_port)
    config = f"listener {free_port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
    with (
        MosquittoServer(mosquitto, tmp_path / "broker", free_port, config),
        recorder(free_port, out) as program,
    ):
        await until_heard(address, out)
        await send(address, BURST)
        if how == signal.SIGKILL:
            time.sleep(2)  # noqa: ASYNC251 - quiet is what this is about
        else:
            time.sleep(0.1)  # noqa: ASYNC251 - what was sent is on its way
        program.process.send_signal(how)
        code = program.process.wait(20)
    found = [payload for payload in whole(out) if payload != b"hello"]

    assert code == (-signal.SIGKILL if how == signal.SIGKILL else 0)
    if how == signal.SIGKILL:
        assert found == [payload for _, payload, _ in BURST]
    else:
        assert found == [payload for _, payload, _ in BURST][: len(found)]
        assert found


def test_a_broker_that_cannot_be_reached_is_said(tmp_path: Path, free_port: int) -> None:
    broker = f"mqtt://127.0.0.1:{free_port}"
    done = run_to_end("record", "--broker", broker, "--out", tmp_path / "a")

    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr
