"""A server that speaks just enough MQTT 5 to stream messages and to misbehave."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Self

import mqtt5

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve) -> AsyncGenerator[int]:
    """A server on a free port; when it ends, all its connections have."""
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class StreamingServer:
    """Accepts one client after another; use it in `async with`.

    Parameters
    ----------
    stream : sequence of bytes
        Whole packets, sent in large writes as the client's window allows.
    ending : bytes
        Sent after SUBACK instead, then the connection is closed.
    window : int
        Unacknowledged messages at most.
    """

    def __init__(
        self, stream: Sequence[bytes] = (), *, ending: bytes = b"", window: int = 1000
    ) -> None:
        self.stream = stream
        self.ending = ending
        self.window = window
        self.connections = 0
        self.acknowledged = 0
        self.done = asyncio.Event()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._serving = serving(self._serve)
        self.port = await self._serving.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._serving.__aexit__(None, None, None)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await _packet(reader)
        writer.write(mqtt5.ConnAckPacket().write())
        subscribe = await _packet(reader)
        granted, _ = mqtt5.read(subscribe)
        assert isinstance(granted, mqtt5.SubscribePacket)
        codes = [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE] * len(granted.topic_filters)
        writer.write(mqtt5.SubAckPacket(granted.packet_id, codes).write())
        if self.ending:
            writer.write(self.ending)
            await writer.drain()
            return
        sent = acknowledged = 0
        while acknowledged < len(self.stream):
            more = self.stream[sent : acknowledged + self.window]
            if more:
                writer.write(b"".join(more))
                await writer.drain()
                sent += len(more)
            data = await reader.read(1 << 16)
            if not data:
                return
            # Only acknowledgements of four bytes are expected, and a ping now and then.
            acknowledged += data.count(b"\x40\x02")
            self.acknowledged = acknowledged
        self.done.set()


async def _packet(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(2)
    left, shift, extra = head[1] & 0x7F, 7, b""
    while (head + extra)[-1] & 0x80:
        extra += await reader.readexactly(1)
        left |= (extra[-1] & 0x7F) << shift
        shift += 7
    return head + extra + await reader.readexactly(left)
