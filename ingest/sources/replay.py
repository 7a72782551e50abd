"""Recorded messages as a source, without a broker: for import and for tests.

A recording is JSON Lines: `topic`, `payload` in base64, and optionally `qos` and `retain`.
"""

import asyncio
import base64
import binascii
import gzip
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from ingest.errors import SettingsError
from ingest.sources import Deliver, SourceStatus
from ingest.sources.loopback import LoopbackSource

__all__ = ["RecordedMessage", "ReplaySource", "read_recording"]

CHUNK = 500


class RecordedMessage(msgspec.Struct, frozen=True):
    """One message of a recording."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


def read_recording(path: Path) -> Iterator[RecordedMessage]:
    """The messages of a recording (`.jsonl` or `.jsonl.gz`), in its order.

    Raises
    ------
    SettingsError
        If the file cannot be read or a line is no message; names the line.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _message(path, number, line)
    except OSError as error:
        raise SettingsError(f"the recording {path} cannot be read: {error}") from error


def _message(path: Path, number: int, line: bytes) -> RecordedMessage:
    try:
        found = msgspec.json.decode(line, type=_Line)
        payload = base64.b64decode(found.payload, validate=True)
    except (msgspec.MsgspecError, binascii.Error, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}, line {number}, is no recorded message: {error}") from error
    return RecordedMessage(found.topic, payload, found.qos, found.retain)


class _Line(msgspec.Struct):
    topic: str
    payload: str
    qos: int = 1
    retain: bool = False


class ReplaySource:
    """Delivers recorded messages once, as fast as they are taken, and comes to its end.

    Parameters
    ----------
    messages : iterable of RecordedMessage
        Read only as fast as there is room in the window, so a recording may be longer than memory.
    window : int
        How many may be unacknowledged.
    """

    def __init__(self, messages: Iterable[RecordedMessage], *, window: int = 5000) -> None:
        self._messages = iter(messages)
        self._loop = LoopbackSource(window=window)

    async def run(self, deliver: Deliver) -> None:
        """Deliver all; returns when all of them are durable."""
        feeding = asyncio.create_task(self._feed())
        reading = asyncio.create_task(self._loop.run(deliver))
        try:
            await asyncio.wait({feeding, reading}, return_when=asyncio.FIRST_COMPLETED)
            if feeding.done():
                feeding.result()  # a line that is no message
            await reading
        finally:
            for task in (feeding, reading):
                task.cancel()
            await asyncio.gather(feeding, reading, return_exceptions=True)

    async def _feed(self) -> None:
        while chunk := list(islice(self._messages, CHUNK)):
            for one in chunk:
                await self._loop.put(one.topic, one.payload, qos=one.qos, retain=one.retain)
        self._loop.end()

    def ack(self, tokens: Sequence[int]) -> None:
        """These messages are durable."""
        self._loop.ack(tokens)

    def pause(self) -> None:
        """Deliver no more until `resume`."""
        self._loop.pause()

    def resume(self) -> None:
        """Deliver again."""
        self._loop.resume()

    def publish(self, topic: str, payload: bytes) -> bool:
        """Nobody listens to a recording."""
        return False

    async def stop(self) -> None:
        """Let `run` return."""
        await self._loop.stop()

    @property
    def status(self) -> SourceStatus:
        """Connected while it runs."""
        return self._loop.status
