"""Devices that publish and write down what they were told, and the collector they publish to."""

import asyncio
import contextlib
import errno
import json
import resource
import signal
import struct
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import aiomqtt
from contracts.waiting import until
from faults import collector_process
from faults.collector_process import clock_of
from faults.history import RIGHT, Key, archived, archived_rows, check_readings

from ingest.journal import JournalReader, check_journal

BORN_MS = 1_790_000_000_000
QUANTITY = "illuminance_lx"
STOPS_WITHIN_S = 10
SETTLED = RIGHT | {"waiting": 0, "stopped late": 0, "out of balance": 0}


class Devices:
    """Publish numbered readings at QoS 1, each again until the broker has confirmed it."""

    def __init__(self, port: int, *, groups: tuple[str, ...] = ("g1",), per_second: float = 400):
        self.port = port
        self.groups = groups
        self.per_second = per_second
        self.sent: dict[Key, float] = {}
        self.acknowledged: set[Key] = set()
        self.next = 0
        self.going = True

    async def run(self) -> None:
        """Until `stop`; a lost broker is waited for."""
        todo: asyncio.Queue[tuple[Key, str, bytes]] = asyncio.Queue()
        making = asyncio.create_task(self._make(todo))
        while self.going or not todo.empty():
            # A lost connection comes from within the group, or from leaving the client.
            with contextlib.suppress(aiomqtt.MqttError, ExceptionGroup):
                async with (
                    aiomqtt.Client("127.0.0.1", self.port) as client,
                    asyncio.TaskGroup() as group,
                ):
                    for _ in range(15):
                        group.create_task(self._publish(client, todo))
            await asyncio.sleep(0.02)
        await making

    async def _make(self, todo: asyncio.Queue[tuple[Key, str, bytes]]) -> None:
        while self.going:
            number, self.next = self.next, self.next + 1
            group = self.groups[number % len(self.groups)]
            device = f"{group}-d{number % 7}"
            key = (device, QUANTITY, BORN_MS + number)
            body = {"boot": 1, "seq": number // 7, "t": key[2], "v": float(number % 1000)}
            self.sent[key] = body["v"]
            topic = f"ljusvakt/v1/{group}/{device}/{QUANTITY}"
            todo.put_nowait((key, topic, json.dumps(body).encode()))
            await asyncio.sleep(1 / self.per_second)

    async def _publish(
        self, client: aiomqtt.Client, todo: asyncio.Queue[tuple[Key, str, bytes]]
    ) -> None:
        while self.going or not todo.empty():
            try:
                one = await asyncio.wait_for(todo.get(), 0.1)
            except TimeoutError:
                continue
            key, topic, body = one
            try:
                await client.publish(topic, body, qos=1, timeout=5)
            except BaseException:
                todo.put_nowait(one)
                raise
            self.acknowledged.add(key)

    def stop(self) -> None:
        self.going = False


@asynccontextmanager
async def publishing(devices: Devices) -> AsyncGenerator[Devices]:
    with closed_sockets_forgiven():
        task = asyncio.create_task(devices.run())
        try:
            yield devices
        finally:
            devices.stop()
            await asyncio.wait_for(task, 60)


@contextlib.contextmanager
def closed_sockets_forgiven() -> Generator[None]:
    """aiomqtt may ask the loop to watch a socket that was closed a moment before.

    That is the publishers' client and no fault of what is tested: it connects again.
    """
    loop = asyncio.get_running_loop()
    others = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno == errno.EBADF:
            return
        if others is not None:
            others(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
    try:
        yield
    finally:
        loop.set_exception_handler(others)


class EndedError(Exception):
    """The collector's process ended, or not as it should have."""


class CollectorProcess:
    """A collector that can be killed."""

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        kind: str = "mqtt5",
        client_id: str = "collector-0",
        filters: tuple[str, ...] = ("ljusvakt/v1/+/+/+",),
    ) -> None:
        self.folder = folder
        self.command = [
            sys.executable,
            collector_process.__file__,
            str(folder),
            str(port),
            kind,
            client_id,
            *filters,
        ]
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.clock = clock_of(folder)

    def start(self, environment: dict[str, str] | None = None) -> None:
        (self.folder / "ready").unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=environment)

    async def ready(self) -> None:
        await until(lambda: self._alive() and (self.folder / "ready").exists(), 30)

    def log(self) -> str:
        """What it has said of itself, whichever process it was."""
        return (self.folder / "log").read_text()

    def _alive(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise EndedError(self.log()[-3000:])
        return True

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> float:
        """As systemd would; how long it took [s]."""
        assert self.process is not None
        began_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        if code := self.process.wait(20):
            raise EndedError(f"exit code {code}\n" + self.log()[-3000:])
        self.process = None
        return time.monotonic() - began_s

    @contextlib.contextmanager
    def disk_full(self, at_bytes: int = 4096) -> Generator[None]:
        """No file can grow beyond a few bytes for a while; the kernel says EFBIG."""
        assert self.process is not None
        was = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (at_bytes, -1))
        try:
            yield
        finally:
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, was)

    def step_clock(self, by_ms: int) -> None:
        (off,) = struct.unpack("<q", self.clock[:8])
        self.clock[:8] = struct.pack("<q", off + by_ms)

    def reader(self) -> JournalReader:
        return JournalReader(self.folder / "journal.db")

    async def empties(self, *, at_least: int = 0, within_s: float = 60) -> None:
        """Return when so much has come and all of it rests in the store.

        What the store holds is counted, not the count of what was stored: killed between the two,
        the collector hands the same over once more and counts it as a duplicate.
        """

        await until(
            lambda: (
                self._alive()
                and self.waiting() == 0
                and archived_rows(self.folder / "archive") >= at_least
            ),
            within_s,
        )

    def waiting(self) -> int:
        """How many readings and fault reports are in the journal."""
        reader = self.reader()
        try:
            return reader.counters().in_journal
        finally:
            reader.close()

    def out_of_balance(self) -> list[str]:
        """What `ljusvakt doctor` would say of the journal, damage and counts that do not add up."""
        return check_journal(self.folder / "journal.db")


class Told(Protocol):
    """Whoever wrote down what was sent, and what of it was confirmed."""

    sent: dict[Key, float]
    acknowledged: set[Key]


async def settle(
    devices: Told, *collectors: CollectorProcess, within_s: float = 60
) -> dict[str, int]:
    """Let everything come to rest and stop the collectors; how much is wrong, `SETTLED` if nothing.

    Besides what `check_readings` says of the readings: how many still wait in the journals, how
    many collectors took longer to stop than they may, and how many complaints `doctor` would have.
    """
    told = len(devices.acknowledged)
    with contextlib.suppress(TimeoutError):  # what is missing then is counted below
        await until(
            lambda: sum(archived_rows(one.folder / "archive") for one in collectors) >= told,
            within_s,
        )
        for one in collectors:
            await one.empties(within_s=within_s)
    left = sum(one.waiting() for one in collectors)
    took_s = [one.stop() for one in collectors]
    wrong = check_readings(devices.sent, devices.acknowledged, rows(collectors))
    complaints = [text for one in collectors for text in one.out_of_balance()]
    print(f"{told} readings acknowledged; wrong: {wrong}; {complaints}")
    return wrong | {
        "waiting": left,
        "stopped late": sum(s > STOPS_WITHIN_S for s in took_s),
        "out of balance": len(complaints),
    }


def rows(collectors: tuple[CollectorProcess, ...]) -> list[tuple[Key, float]]:
    return [row for one in collectors for row in archived(one.folder / "archive")]
