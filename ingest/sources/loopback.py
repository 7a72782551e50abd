"""Messages handed over within the process: for the import of history, and for tests."""

import asyncio
from collections import deque
from collections.abc import Sequence

from ingest.sources import Deliver, Message, SourceStatus

__all__ = ["LoopbackSource"]


class LoopbackSource:
    """A source and its broker in one: `send` returns when the message is durable.

    Parameters
    ----------
    window : int
        How many messages may be unacknowledged; `send` waits for room.
    """

    def __init__(self, *, window: int = 5000) -> None:
        self._window = window
        self._next = 1
        self._waiting: deque[Message] = deque()
        self._unacked: dict[int, asyncio.Future[None]] = {}
        self._delivered: dict[int, Message] = {}
        self._deliver: Deliver | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._reading = True
        self._stopping = asyncio.Event()
        self._ended = False
        self.published: list[tuple[str, bytes]] = []

    # ------------------------------------------------------------------ the sender's side

    async def put(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Hand a message over; returns when there is room, not when it is durable."""
        await self._put(topic, payload, qos, retain=retain)

    async def send(self, topic: str, payload: bytes) -> None:
        """Hand a message over and wait until it is durable."""
        await (await self._put(topic, payload, 1, retain=False))

    async def _put(
        self, topic: str, payload: bytes, qos: int, *, retain: bool
    ) -> asyncio.Future[None]:
        while len(self._unacked) >= self._window:
            self._room.clear()
            await self._room.wait()
        durable = asyncio.get_running_loop().create_future()
        if not qos:
            durable.set_result(None)  # nobody is told what becomes of it
            self._waiting.append((topic, payload, qos, retain, 0))
            self._pass_on()
            return durable
        token = self._next
        self._next += 1
        self._unacked[token] = durable
        self._waiting.append((topic, payload, qos, retain, token))
        self._pass_on()
        return durable

    async def drained(self) -> None:
        """Return when every message handed over is durable."""
        while self._unacked:
            await asyncio.wait(list(self._unacked.values()))

    def end(self) -> None:
        """Nothing more will come: `run` returns when all is durable."""
        self._ended = True
        self._finish()

    def redeliver(self) -> int:
        """Deliver what is not acknowledged again, as a broker does on a new connection."""
        again = list(self._delivered.values())
        if self._deliver is not None and again:
            self._deliver(again)
        return len(again)

    # ------------------------------------------------------------------ the source's side

    async def run(self, deliver: Deliver) -> None:
        """Deliver until `stop`, or until all is durable after `end`."""
        self._deliver = deliver
        self._pass_on()
        self._finish()
        await self._stopping.wait()
        self._deliver = None

    def _pass_on(self) -> None:
        if self._deliver is not None and self._reading and self._waiting:
            messages = list(self._waiting)
            self._waiting.clear()
            self._delivered.update((message[4], message) for message in messages if message[2])
            self._deliver(messages)

    def _finish(self) -> None:
        if self._ended and not self._unacked:
            self._stopping.set()

    def ack(self, tokens: Sequence[int]) -> None:
        """These messages are durable."""
        for token in tokens:
            self._delivered.pop(token, None)
            durable = self._unacked.pop(token, None)
            if durable is not None and not durable.done():
                durable.set_result(None)
        if len(self._unacked) < self._window:
            self._room.set()
        self._finish()

    def pause(self) -> None:
        """Deliver no more until `resume`."""
        self._reading = False

    def resume(self) -> None:
        """Deliver again."""
        self._reading = True
        self._pass_on()

    def publish(self, topic: str, payload: bytes) -> bool:
        """Keep a message for whoever looks into `published`."""
        self.published.append((topic, payload))
        return True

    async def stop(self) -> None:
        """Let `run` return."""
        self._stopping.set()

    @property
    def status(self) -> SourceStatus:
        """Connected while it runs."""
        return SourceStatus(
            connected=self._deliver is not None,
            session_present=True,
            protocol="loopback",
            receive_max=self._window,
        )
