"""How the program listens."""

import asyncio
import socket
from pathlib import Path

import pytest
from contracts.waiting import until

from api.bootstrap import bind, open_platform
from api.clock import Clock
from api.settings import BrokerSettings, Settings


@pytest.mark.anyio
async def test_answers_over_a_kept_connection_do_not_wait_for_an_acknowledgement() -> None:
    delays: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        delays.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listener = bind("127.0.0.1", 0)
    async with await asyncio.start_server(accepted, sock=listener):
        _, writer = await asyncio.open_connection(*listener.getsockname())
        assert await delays == 1
        writer.close()
        await writer.wait_closed()


@pytest.mark.anyio
async def test_health_says_why_the_collector_is_not_connected(
    tmp_path: Path, free_port: int
) -> None:
    nobody = BrokerSettings(url=f"mqtt://127.0.0.1:{free_port}")
    settings = Settings(data_dir=tmp_path, broker=nobody)
    async with open_platform(settings, clock=Clock()) as platform:
        assert platform.collector is not None
        assert platform.services is not None
        assert platform.services.health()["collector"].detail == "not connected"
        running = asyncio.create_task(platform.collector.run())
        source = platform.collector.source
        await until(lambda: source.status.last_error)
        part = platform.services.health()["collector"]
        assert not part.ok
        assert part.detail.startswith("not connected: cannot connect: ")
        await platform.collector.stop()
        await running
