"""Messages to a broker at QoS 1: paced, in order or not, every one acknowledged before the end."""

import asyncio
import math
import random
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import aiomqtt

from firmware_sim.errors import PublishError
from firmware_sim.fleet import Fleet, Outgoing, fleet
from firmware_sim.recording import Recorded, RecordingWriter

__all__ = [
    "BrokerAddress",
    "Counts",
    "computed",
    "end_if_cancelled",
    "paced",
    "publish_messages",
    "record_messages",
    "say_hello",
]

IN_FLIGHT = 200
PATIENCE_S = 60.0
FLUSH_S = 0.25


@dataclass(frozen=True)
class BrokerAddress:
    """Where a broker listens, from `mqtt://user:password@host:port`."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: bool = False

    @staticmethod
    def parse(url: str) -> "BrokerAddress":
        """Read an address.

        Raises
        ------
        PublishError
            If it is none.
        """
        parts = urlsplit(url if "//" in url else f"mqtt://{url}")
        problem = PublishError(
            f"{url!r} is no broker address.", remedy="Write mqtt://host:1883 or mqtts://host:8883."
        )
        try:
            port = parts.port
        except ValueError as error:
            raise problem from error
        if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
            raise problem
        tls = parts.scheme == "mqtts"
        return BrokerAddress(
            parts.hostname,
            port or (8883 if tls else 1883),
            unquote(parts.username) if parts.username else None,
            unquote(parts.password) if parts.password else None,
            tls,
        )

    def client(
        self, identifier: str, *, in_flight: int = IN_FLIGHT, keepalive: int = 60
    ) -> aiomqtt.Client:
        """A connection that was not opened yet."""
        client = aiomqtt.Client(
            self.host,
            self.port,
            identifier=identifier,
            username=self.username,
            password=self.password,
            max_inflight_messages=in_flight,
            max_queued_outgoing_messages=0,
            keepalive=keepalive,
            tls_params=aiomqtt.TLSParameters() if self.tls else None,
        )
        # aiomqtt warns from ten calls on; ours wait for their PUBACK on purpose.
        client.pending_calls_threshold = 2 * in_flight
        return client

    def fleet(
        self,
        identifier: str,
        *,
        unfinished: Iterable[Outgoing] = (),
        on_acknowledged: Callable[[int], None] = lambda count: None,
        on_message: Callable[[str, bytes], None] = lambda topic, payload: None,
        on_lost: Callable[[], None] = lambda: None,
        filters: Sequence[str] = (),
    ) -> AbstractAsyncContextManager[Fleet]:
        """A connection for many messages; see `firmware_sim.fleet`."""
        return fleet(
            self.host, self.port, identifier, username=self.username, password=self.password,
            tls=ssl.create_default_context() if self.tls else None, filters=filters,
            unfinished=unfinished, on_acknowledged=on_acknowledged, on_message=on_message,
            on_lost=on_lost,
        )  # fmt: skip


def end_if_cancelled() -> None:
    """End this task if somebody wants it to end.

    Before Python 3.12, `asyncio.wait_for` forgets a cancellation that comes together with what it
    waits for, as one does that comes while gateways connect: they would then never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


@dataclass
class Counts:
    """What was sent and acknowledged."""

    sent: int = 0
    acknowledged: int = 0
    bytes: int = 0
    reconnects: int = 0
    seconds: float = 0.0


async def paced(messages: Iterable[Recorded], speed: float | None) -> AsyncIterator[list[Outgoing]]:
    """Messages at the pace they were received, so many times faster; at once without a speed."""
    started, first = time.monotonic(), None
    for message in messages:
        if speed is not None:
            first = message.received_ms if first is None else first
            due = started + (message.received_ms - first) / 1000 / speed
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
        yield [(message.topic, message.payload, message.retain)]


async def computed(
    pieces: Iterator[list[Outgoing]], *, seconds: float | None = None
) -> AsyncIterator[list[Outgoing]]:
    """Messages that take time to compute: a thread computes them while others are sent.

    After `seconds` no more are begun.
    """
    loop, stop = asyncio.get_running_loop(), threading.Event()
    # Deep enough that the broker stays busy while some hundred luminaires' day is computed.
    ready: asyncio.Queue[list[Outgoing] | None] = asyncio.Queue(128)

    def compute() -> None:
        try:
            for piece in pieces:
                if stop.is_set():
                    return
                asyncio.run_coroutine_threadsafe(ready.put(piece), loop).result()
        finally:
            if not stop.is_set():
                asyncio.run_coroutine_threadsafe(ready.put(None), loop).result()

    end_s = math.inf if seconds is None else time.monotonic() + seconds
    computing = asyncio.create_task(asyncio.to_thread(compute))
    try:
        while (piece := await ready.get()) is not None and time.monotonic() < end_s:
            yield piece
    finally:
        stop.set()
        while not computing.done():
            with suppress(asyncio.QueueEmpty):
                ready.get_nowait()  # a thread that waits for room goes on, and sees that it is over
            await asyncio.wait([computing], timeout=0.02)
        computing.result()


async def publish_messages(
    pieces: AsyncIterator[list[Outgoing]],
    address: BrokerAddress,
    *,
    identifier: str = "ljusvakt-replay",
    on_progress: Callable[[Counts], None] = lambda counts: None,
) -> Counts:
    """Publish messages at QoS 1 and return when each was acknowledged.

    A connection that breaks is opened again, and what was not acknowledged is sent again.

    Raises
    ------
    PublishError
        If the broker refuses us, or cannot be reached for a minute.
    """
    counts, started = Counts(), time.monotonic()
    rest = Rest()
    unfinished: list[Outgoing] = []
    broken_s: float | None = None
    connected = False

    def acknowledged(count: int) -> None:
        nonlocal broken_s
        counts.acknowledged += count
        broken_s = None
        on_progress(counts)

    while True:
        try:
            async with address.fleet(
                own_name(identifier), unfinished=unfinished, on_acknowledged=acknowledged
            ) as link:
                connected = True
                try:
                    await drain(link, pieces, rest, counts)
                finally:
                    unfinished = link.unfinished()
                break
        except ConnectionError as error:
            broken_s = broken_s or time.monotonic()
            if not connected or time.monotonic() - broken_s > PATIENCE_S:
                raise unreachable(address, error) from error
        counts.reconnects += 1
        await asyncio.sleep(1)
    counts.seconds = time.monotonic() - started
    return counts


async def say_hello(address: BrokerAddress) -> None:
    """Connect once, so that a wrong address or password is told before anything is waited for.

    Raises
    ------
    PublishError
        If the broker cannot be reached or refuses us.
    """
    try:
        async with address.fleet(own_name("ljusvakt-hello")):
            pass
    except ConnectionError as error:
        raise unreachable(address, error) from error


def unreachable(address: BrokerAddress, error: Exception, more: str = "") -> PublishError:
    """What is said of a broker that does not answer."""
    return PublishError(
        f"broker {address.host}:{address.port} cannot be reached: {error}{more}.",
        remedy="Is it running, and is the address right?",
    )


def own_name(identifier: str) -> str:
    """A client id that no other start of the simulator bears: a broker drops one of two equals."""
    return f"{identifier}-{random.randrange(10**9)}"  # noqa: S311 - a name


@dataclass
class Rest:
    """What is still to be sent of the piece at hand; it outlasts a connection."""

    messages: Iterator[Outgoing] = field(default_factory=lambda: iter(()))


async def drain(
    link: Fleet, pieces: AsyncIterator[list[Outgoing]], rest: Rest, counts: Counts
) -> None:
    """Send until the end of the messages, and wait for the last receipt."""
    while True:
        counts.sent += link.send_many(rest.messages)
        if not link.has_room:
            await link.room()
            continue
        piece = await anext(pieces, None)
        if piece is None:
            break
        rest.messages = iter(piece)
        counts.bytes += sum(len(message[1]) for message in piece)
    await link.settled()


async def record_messages(
    address: BrokerAddress,
    topics: list[str],
    writer: RecordingWriter,
    *,
    seconds: float | None = None,
    limit: int | None = None,
    on_message: Callable[[int], None] = lambda count: None,
) -> int:
    """Write what a broker carries until the time or the number is reached, or until cancelled.

    What has been heard for `FLUSH_S` is in the file, whether or not more comes.

    Raises
    ------
    PublishError
        If the broker cannot be reached, or goes away.
    """
    flushing = asyncio.create_task(flush_often(writer))
    try:
        async with address.client(own_name("ljusvakt-record")) as client:
            for wanted in topics:
                await client.subscribe(wanted, qos=1)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    async for message in client.messages:
                        writer.add(
                            Recorded(
                                message.topic.value,
                                message.payload,
                                time.time_ns() // 1_000_000,
                                message.qos,
                                bool(message.retain),
                            )
                        )
                        on_message(writer.count)
                        if limit is not None and writer.count >= limit:
                            break
    except aiomqtt.MqttError as error:
        raise unreachable(address, error, f"; {writer.count} messages were written") from error
    finally:
        flushing.cancel()
        with suppress(asyncio.CancelledError):
            await flushing
        writer.flush()
    return writer.count


async def flush_often(writer: RecordingWriter) -> None:
    """Let nothing wait in memory for long."""
    while True:
        await asyncio.sleep(FLUSH_S)
        writer.flush()
