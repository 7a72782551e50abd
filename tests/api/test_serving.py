"""How the program listens."""

import asyncio
import socket

import pytest

from api.bootstrap import bind


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
