"""What every source of messages promises; `SourceContract` is run over each of them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import pytest
from contracts.waiting import until

from ingest.sources import Message, Source

TOPIC = "ljusvakt/v1/g1/d1/illuminance_lx"


class SourceBench(Protocol):
    """A source of one kind, with the means to send it something."""

    def new_source(self) -> Source:
        """Another source on the same session, as after a restart."""
        ...

    async def send(self, topic: str, payloads: Sequence[bytes], *, qos: int = 1) -> None:
        """Hand messages to whatever the source listens to."""
        ...

    async def reconnect(self, source: Source) -> None:
        """Make the source lose its connection and have a new one."""
        ...

    def listening(self) -> AbstractAsyncContextManager[list[tuple[str, bytes]]]:
        """A list that fills with the receipts a source publishes while this is open."""
        ...


class Inbox:
    """Takes messages over."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.came = asyncio.Event()

    def deliver(self, messages: Sequence[Message]) -> None:
        self.messages += messages
        self.came.set()

    @property
    def payloads(self) -> list[bytes]:
        return [message[1] for message in self.messages]

    @property
    def tokens(self) -> list[int]:
        return [message[4] for message in self.messages]

    async def until(self, enough: Callable[[], bool], within_s: float = 10.0) -> None:
        async with asyncio.timeout(within_s):
            while not enough():
                self.came.clear()
                await self.came.wait()


@asynccontextmanager
async def running(source: Source) -> AsyncGenerator[Inbox]:
    inbox = Inbox()
    task = asyncio.create_task(source.run(inbox.deliver))
    await until(lambda: source.status.connected)
    try:
        yield inbox
    finally:
        await source.stop()
        await asyncio.wait_for(task, 10)


def numbers(start: int, stop: int) -> list[bytes]:
    return [b"%d" % i for i in range(start, stop)]


@pytest.mark.anyio
class SourceContract:
    """Inherit, give a fixture `bench`, and say what this kind of source cannot do.

    Attributes
    ----------
    tokens_end_with_the_connection : bool
        False where there is no connection that can die: an old token is still the message's own.
    does_not_hear_itself : bool
        False where what it publishes comes back to it, so that the collector must ignore it.
    """

    tokens_end_with_the_connection = True
    does_not_hear_itself = True

    async def test_messages_arrive_in_order_with_their_topic_and_quality(
        self, bench: SourceBench
    ) -> None:
        async with running(bench.new_source()) as inbox:
            await bench.send(TOPIC, numbers(0, 300))
            await inbox.until(lambda: len(inbox.messages) == 300)
            assert inbox.payloads == numbers(0, 300)
            assert {message[0] for message in inbox.messages} == {TOPIC}
            assert {message[2:4] for message in inbox.messages} == {(1, False)}
            assert len(set(inbox.tokens)) == 300

    async def test_a_message_of_quality_0_says_so(self, bench: SourceBench) -> None:
        async with running(bench.new_source()) as inbox:
            await bench.send(TOPIC, [b"fast"], qos=0)
            await inbox.until(lambda: len(inbox.messages) == 1)
            assert inbox.messages[0][:4] == (TOPIC, b"fast", 0, False)

    async def test_what_is_not_acknowledged_comes_again_and_what_is_does_not(
        self, bench: SourceBench
    ) -> None:
        source = bench.new_source()
        async with running(source) as inbox:
            await bench.send(TOPIC, numbers(0, 10))
            await inbox.until(lambda: len(inbox.messages) == 10)
            source.ack(inbox.tokens[:7])
            await asyncio.sleep(0.1)
            await bench.reconnect(source)
            await inbox.until(lambda: len(inbox.messages) >= 13)
            assert inbox.payloads[10:] == numbers(7, 10)

    async def test_a_token_acknowledges_nothing_once_its_connection_is_dead(
        self, bench: SourceBench
    ) -> None:
        source = bench.new_source()
        async with running(source) as inbox:
            await bench.send(TOPIC, numbers(0, 3))
            await inbox.until(lambda: len(inbox.messages) == 3)
            await bench.reconnect(source)
            await inbox.until(lambda: len(inbox.messages) == 6)
            source.ack([9999, *inbox.tokens[:3]])
            await asyncio.sleep(0.1)
            await bench.reconnect(source)
            await bench.send(TOPIC, [b"last"])
            await inbox.until(lambda: b"last" in inbox.payloads)
            again = numbers(0, 3) if self.tokens_end_with_the_connection else []
            assert inbox.payloads[6:] == [*again, b"last"]

    async def test_paused_it_delivers_nothing_and_resumed_it_goes_on(
        self, bench: SourceBench
    ) -> None:
        source = bench.new_source()
        async with running(source) as inbox:
            source.pause()
            await bench.send(TOPIC, numbers(0, 20))
            await asyncio.sleep(0.3)
            assert inbox.messages == []
            source.resume()
            await inbox.until(lambda: len(inbox.messages) == 20)
            assert inbox.payloads == numbers(0, 20)

    async def test_what_it_publishes_goes_out_and_comes_back_only_where_it_hears_itself(
        self, bench: SourceBench
    ) -> None:
        source = bench.new_source()
        receipt = b'{"boot":1,"seq":2}'
        async with bench.listening() as heard, running(source) as inbox:
            assert source.publish("ljusvakt/v1/g1/d1/ack", receipt)
            await until(lambda: heard)
            # What the broker took first it passes on first.
            await bench.send(TOPIC, [b"after it"])
            await inbox.until(lambda: b"after it" in inbox.payloads)
            assert heard == [("ljusvakt/v1/g1/d1/ack", receipt)]
            back = [] if self.does_not_hear_itself else [receipt]
            assert inbox.payloads == [*back, b"after it"]

    async def test_stopped_it_ends_soon_and_is_not_connected(self, bench: SourceBench) -> None:
        source = bench.new_source()
        task = asyncio.create_task(source.run(lambda _: None))
        await until(lambda: source.status.connected)
        await source.stop()
        await asyncio.wait_for(task, 5)
        assert not source.status.connected


class SessionContract(SourceContract):
    """For sources whose broker keeps a session: those of MQTT."""

    async def test_what_comes_while_nobody_listens_is_kept(self, bench: SourceBench) -> None:
        async with running(bench.new_source()):
            pass
        await bench.send(TOPIC, numbers(0, 50))
        source = bench.new_source()
        async with running(source) as inbox:
            await inbox.until(lambda: len(inbox.messages) == 50)
            assert inbox.payloads == numbers(0, 50)
            assert source.status.session_present
