"""Messages to a broker at QoS 1: paced, in order or not, every one acknowledged before the end."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import aiomqtt

from firmware_sim.errors import PublishError
from firmware_sim.recording import Recorded, RecordingWriter

__all__ = ["BrokerAddress", "Counts", "paced", "publish_messages", "record_messages"]

IN_FLIGHT = 200
PATIENCE_S = 60.0


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

    def client(self, identifier: str, *, in_flight: int = IN_FLIGHT) -> aiomqtt.Client:
        """A connection that was not opened yet."""
        client = aiomqtt.Client(
            self.host,
            self.port,
            identifier=identifier,
            username=self.username,
            password=self.password,
            max_inflight_messages=in_flight,
            max_queued_outgoing_messages=0,
            tls_params=aiomqtt.TLSParameters() if self.tls else None,
        )
        # aiomqtt warns from ten calls on; ours wait for their PUBACK on purpose.
        client.pending_calls_threshold = 2 * in_flight
        return client


@dataclass
class Counts:
    """What was sent and acknowledged."""

    sent: int = 0
    acknowledged: int = 0
    bytes: int = 0
    reconnects: int = 0
    seconds: float = 0.0


async def paced(messages: Iterable[Recorded], speed: float | None) -> AsyncIterator[Recorded]:
    """Messages at the pace they were received, so many times faster; at once without a speed."""
    started, first = time.monotonic(), None
    for message in messages:
        if speed is not None:
            first = message.received_ms if first is None else first
            due = started + (message.received_ms - first) / 1000 / speed
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
        yield message


async def publish_messages(
    messages: AsyncIterator[Recorded],
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
        If the broker cannot be reached for a minute.
    """
    counts, started = Counts(), time.monotonic()
    queue: asyncio.Queue[Recorded | None] = asyncio.Queue(2 * IN_FLIGHT)
    unfinished: list[Recorded] = []

    async def fill() -> None:
        async for message in messages:
            await queue.put(message)
        await queue.put(None)

    filling = asyncio.create_task(fill())
    done, acknowledged = False, 0
    last_contact = time.monotonic()
    try:
        while not done:
            broken: BaseException | None = None
            try:
                async with address.client(identifier) as client:
                    done = await drain(client, queue, unfinished, counts, on_progress)
            except* aiomqtt.MqttError as group:
                broken = group.exceptions[0]
            if broken is None or counts.acknowledged > acknowledged:
                acknowledged, last_contact = counts.acknowledged, time.monotonic()
            elif not acknowledged or time.monotonic() - last_contact > PATIENCE_S:
                raise PublishError(
                    f"broker {address.host}:{address.port} cannot be reached: {broken}.",
                    remedy="Is it running, and is the address right?",
                )
            if broken is not None:
                counts.reconnects += 1
                await asyncio.sleep(1)
        await filling
    finally:
        filling.cancel()
        with suppress(asyncio.CancelledError):
            await filling
    counts.seconds = time.monotonic() - started
    return counts


async def drain(
    client: aiomqtt.Client,
    queue: "asyncio.Queue[Recorded | None]",
    unfinished: list[Recorded],
    counts: Counts,
    on_progress: Callable[[Counts], None],
) -> bool:
    """Send until the end of the queue; what failed goes back into `unfinished`."""
    window = asyncio.Semaphore(IN_FLIGHT)

    async def send(message: Recorded) -> None:
        try:
            await client.publish(
                message.topic, message.payload, qos=1, retain=message.retain, timeout=30
            )
            counts.acknowledged += 1
            on_progress(counts)
        except BaseException:
            unfinished.append(message)
            raise
        finally:
            window.release()

    async with asyncio.TaskGroup() as tasks:
        while True:
            message = unfinished.pop(0) if unfinished else await queue.get()
            if message is None:
                break
            await window.acquire()
            counts.sent += 1
            counts.bytes += len(message.payload)
            tasks.create_task(send(message))
    return True


async def record_messages(
    address: BrokerAddress,
    topics: list[str],
    writer: RecordingWriter,
    *,
    seconds: float | None = None,
    limit: int | None = None,
    on_message: Callable[[int], None] = lambda count: None,
) -> int:
    """Write what a broker carries until the time or the number is reached, or until cancelled."""
    async with address.client(f"ljusvakt-record-{random.randrange(10**9)}") as client:  # noqa: S311 - a name
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
    return writer.count
