"""The source within the process keeps the promises of every source."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest
from contracts.source import SourceContract

from ingest.sources import Source
from ingest.sources.loopback import LoopbackSource


class LoopbackBench:
    def __init__(self) -> None:
        self.source = LoopbackSource()

    def new_source(self) -> Source:
        return self.source

    async def send(self, topic: str, payloads: Sequence[bytes], *, qos: int = 1) -> None:
        for payload in payloads:
            await self.source.put(topic, payload, qos=qos)

    async def reconnect(self, source: Source) -> None:
        assert source is self.source
        self.source.redeliver()

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[list[tuple[str, bytes]]]:
        yield self.source.published


class TestLoopbackSource(SourceContract):
    tokens_end_with_the_connection = False

    @pytest.fixture
    def bench(self) -> LoopbackBench:
        return LoopbackBench()


@pytest.mark.anyio
async def test_sending_waits_until_the_message_is_acknowledged() -> None:
    source = LoopbackSource()
    got: list[int] = []
    running = asyncio.create_task(source.run(lambda messages: got.extend(m[4] for m in messages)))
    sending = asyncio.create_task(source.send("t", b"x"))
    await asyncio.sleep(0.02)
    assert not sending.done()
    source.ack(got)
    await asyncio.wait_for(sending, 1)
    source.end()
    await asyncio.wait_for(running, 1)
