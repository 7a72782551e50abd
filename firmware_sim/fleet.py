"""Many devices' messages over one connection at QoS 1, in batches, so that the broker is the limit.

MQTT 3.1.1, because every broker speaks it and it leaves the window to the sender: a broker of
MQTT 5 may allow twenty messages in flight. Written here are the few packets a sender needs;
docs/decisions/0008-a-fleet-writes-its-own-packets.md says why.

References
----------
MQTT Version 3.1.1, OASIS Standard, 29 October 2014; clauses are cited where they matter.
"""

import asyncio
import itertools
import struct
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from ssl import SSLContext

from firmware_sim.errors import PublishError

__all__ = ["WINDOW", "Fleet", "Outgoing", "fleet"]

# Wide enough that a broker has work while it holds its receipts: one that gathers small packets
# (RFC 896) sends them when our kernel acknowledges the first, up to forty milliseconds later.
WINDOW = 4_000
KEEPALIVE_S = 30
CONNECT_TIMEOUT_S = 10.0
RECEIPT_TIMEOUT_S = 30.0
WRITE_BUFFER = 1 << 20
FLUSH_BYTES = 1 << 16

CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9  # packet types, 2.2.1
PUBLISH_QOS1, PUBLISH_RETAINED = b"\x32", b"\x33"  # 3.3.1
PUBACK_HEADER = 0x4002  # 3.4: always four bytes, the packet id last
PINGREQ, DISCONNECT = b"\xc0\x00", b"\xe0\x00"
REFUSALS = {  # 3.2.2.3
    1: "it does not speak MQTT 3.1.1",
    2: "the client id is not allowed",
    3: "the server is unavailable",
    4: "bad user name or password",
    5: "not authorised",
}
U16 = struct.Struct(">H")
TWO_U16 = struct.Struct(">HH")

Outgoing = tuple[str, bytes, bool]
"""A message on its way: topic, payload, whether it is retained."""


def variable_length(size: int) -> bytes:
    """Remaining length (2.2.3)."""
    if size < 128:
        return bytes((size,))
    out = bytearray()
    while size > 127:
        out.append(size & 127 | 128)
        size >>= 7
    out.append(size)
    return bytes(out)


def text(value: str) -> bytes:
    """A string with its length before it (1.5.3)."""
    raw = value.encode()
    return U16.pack(len(raw)) + raw


def connect_packet(identifier: str, username: str | None, password: str | None) -> bytes:
    """CONNECT with a clean session (3.1)."""
    flags = 0x02 | (0x80 if username is not None else 0) | (0x40 if password is not None else 0)
    body = text("MQTT") + bytes((4, flags)) + U16.pack(KEEPALIVE_S) + text(identifier)
    body += text(username) if username is not None else b""
    body += text(password) if password is not None else b""
    return b"\x10" + variable_length(len(body)) + body


def subscribe_packet(filters: Sequence[str]) -> bytes:
    """SUBSCRIBE at QoS 0 (3.8)."""
    body = U16.pack(1) + b"".join(text(one) + b"\x00" for one in filters)
    return b"\x82" + variable_length(len(body)) + body


def publish_packet(message: Outgoing, packet_id: int) -> bytes:
    """PUBLISH at QoS 1 (3.3)."""
    where, payload, retain = message
    topic = where.encode()
    rest = variable_length(len(topic) + len(payload) + 4)
    return b"".join(
        (
            PUBLISH_RETAINED if retain else PUBLISH_QOS1, rest, U16.pack(len(topic)), topic,
            U16.pack(packet_id), payload,
        )
    )  # fmt: skip


class Fleet(asyncio.Protocol):
    """One connection with a window of messages that wait for their PUBACK.

    Messages are kept until then: what `unfinished` returns after the connection broke is to be
    sent on the next one, so that each arrives at least once.

    Parameters
    ----------
    window : int
        Messages in flight, at most 65,535.
    on_acknowledged : callable
        Called with how many messages the broker has just acknowledged.
    on_message : callable
        Called with topic and payload of what comes in for the filters of `fleet`.
    on_lost : callable
        Called when the connection is lost.
    """

    def __init__(
        self,
        window: int = WINDOW,
        on_acknowledged: Callable[[int], None] = lambda count: None,
        on_message: Callable[[str, bytes], None] = lambda topic, payload: None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.window = window
        self.lost: Exception | None = None
        self._on_acknowledged, self._on_message = on_acknowledged, on_message
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, Outgoing] = {}
        self._ids = itertools.cycle(range(1, 65_536))
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._rest = b""
        self._clogged = False
        self._moved = asyncio.Event()
        self._answered: asyncio.Future[None] = self._loop.create_future()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._read_s = self._wrote_s = self._loop.time()

    # ------------------------------------------------------------------ sending

    @property
    def in_flight(self) -> int:
        """Messages that wait for their PUBACK."""
        return len(self._waiting)

    def unfinished(self) -> list[Outgoing]:
        """What was not acknowledged, in the order it was sent."""
        return list(self._waiting.values())

    def send(self, message: Outgoing) -> None:
        """Put a message on its way; `room` says when the next one may follow."""
        packet_id = next(self._ids)
        while packet_id in self._waiting:
            packet_id = next(self._ids)
        self._waiting[packet_id] = message
        packet = publish_packet(message, packet_id)
        if not self._out:
            self._loop.call_soon(self.flush)
        self._out.append(packet)
        self._out_bytes += len(packet)
        if self._out_bytes > FLUSH_BYTES:
            self.flush()

    def send_many(self, messages: Iterator[Outgoing]) -> int:
        """Send as many as there is room for, in one write; how many that were."""
        if not self.has_room:
            return 0
        self.flush()
        waiting, ids, packets = self._waiting, self._ids, list[bytes]()
        for message in itertools.islice(messages, self.window - len(waiting)):
            packet_id = next(ids)
            while packet_id in waiting:
                packet_id = next(ids)
            waiting[packet_id] = message
            packets.append(publish_packet(message, packet_id))
        if packets:
            self._write(b"".join(packets))
        return len(packets)

    def flush(self) -> None:
        """Write what was put on its way."""
        if self._out:
            data = b"".join(self._out)
            self._out.clear()
            self._out_bytes = 0
            self._write(data)

    @property
    def has_room(self) -> bool:
        """Whether a message may be sent at once."""
        return len(self._waiting) < self.window and not self._clogged and self.lost is None

    async def room(self) -> None:
        """Return when a message may be sent.

        Raises
        ------
        ConnectionError
            If the connection is lost.
        """
        if not self.has_room:
            # Half of the window at a time: few large writes rather than many small ones.
            await self._until(lambda: len(self._waiting) <= self.window // 2 and not self._clogged)

    async def settled(self) -> None:
        """Return when every message was acknowledged.

        Raises
        ------
        ConnectionError
            If the connection is lost before.
        """
        await self._until(lambda: not self._waiting)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while self.lost is None and not condition():
            self.flush()
            self._moved.clear()
            await self._moved.wait()
        if self.lost is not None:
            raise ConnectionError(str(self.lost)) from self.lost

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._wrote_s = self._loop.time()
            self._transport.write(data)

    # ------------------------------------------------------------------ the life of a connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP and TLS are
        transport.set_write_buffer_limits(WRITE_BUFFER)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end is gone."""
        if not self._closed.done():
            self._closed.set_result(None)
        self.end(exc or ConnectionError("the broker closed the connection"))

    def end(self, why: Exception) -> None:
        """Break off; whoever waits hears why."""
        if self.lost is None:
            self.lost = why
            self._on_lost()
        if not self._answered.done():
            self._answered.set_exception(ConnectionError(str(why)))
            self._answered.exception()  # nobody may be waiting for it any more
        self._moved.set()
        if self._transport is not None:
            self._transport.abort()

    def pause_writing(self) -> None:
        """The broker does not take what we send."""
        self._clogged = True

    def resume_writing(self) -> None:
        """It does again."""
        self._clogged = False
        self._moved.set()

    async def open(
        self, identifier: str, username: str | None, password: str | None, filters: Sequence[str]
    ) -> None:
        """CONNECT and SUBSCRIBE, and wait for their answers."""
        self._write(connect_packet(identifier, username, password))
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await self._answered
            if filters:
                self._answered = self._loop.create_future()
                self._write(subscribe_packet(filters))
                await self._answered

    async def keep_alive(self) -> None:
        """Ping while nothing is sent, and notice a broker that has fallen silent (3.1.2.10)."""
        while self.lost is None:
            await asyncio.sleep(KEEPALIVE_S / 4)
            now_s = self._loop.time()
            if now_s - self._wrote_s > KEEPALIVE_S / 2:
                self._write(PINGREQ)
            if now_s - self._read_s > (RECEIPT_TIMEOUT_S if self._waiting else 2 * KEEPALIVE_S):
                self.end(
                    ConnectionError(f"no word from the broker for {now_s - self._read_s:.0f} s")
                )

    async def close(self) -> None:
        """DISCONNECT, after what is still to be written."""
        if self._transport is not None and self.lost is None:
            self.flush()
            self._write(DISCONNECT)
            self._transport.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed, 2.0)

    # ------------------------------------------------------------------ reading

    def data_received(self, data: bytes) -> None:
        """Take the packets out of a chunk; a chunk of receipts alone is taken at once."""
        self._read_s = self._loop.time()
        data = self._rest + data if self._rest else data
        whole = len(data) & ~3
        receipts = list(TWO_U16.iter_unpack(data[:whole]))
        waiting, before = self._waiting, len(self._waiting)
        for header, packet_id in receipts:
            if header != PUBACK_HEADER:
                self._rest = self._read_packets(data)
                break
            waiting.pop(packet_id, None)
        else:
            self._rest = data[whole:]
        if done := before - len(waiting):
            self._on_acknowledged(done)
            self._moved.set()

    def _read_packets(self, data: bytes) -> bytes:
        """Take packets of any kind; returns the beginning of one that is not whole."""
        at = 0
        while at + 2 <= len(data):
            size, shift, head = 0, 0, at + 1
            while head < len(data):
                size |= (data[head] & 127) << shift
                shift, head = shift + 7, head + 1
                if data[head - 1] < 128:
                    break
            else:
                break
            if head + size > len(data):
                break
            self._packet(data[at], data[head : head + size])
            at = head + size
        return data[at:]

    def _packet(self, first: int, body: bytes) -> None:
        match first >> 4:
            case kind if kind == PUBACK:
                self._waiting.pop(U16.unpack(body)[0], None)
            case kind if kind == PUBLISH:
                (size,) = U16.unpack_from(body)
                self._on_message(body[2 : 2 + size].decode(errors="replace"), body[2 + size :])
            case kind if kind == CONNACK and body[1]:
                why = REFUSALS.get(body[1], f"reason {body[1]}")
                self._answered.set_exception(PublishError(f"the broker refused us: {why}."))
            case kind if kind in {CONNACK, SUBACK} and not self._answered.done():
                self._answered.set_result(None)
            case _:
                pass  # PINGRESP: that it came is all it says


@asynccontextmanager
async def fleet(
    host: str,
    port: int,
    identifier: str,
    *,
    username: str | None = None,
    password: str | None = None,
    tls: SSLContext | None = None,
    window: int = WINDOW,
    filters: Sequence[str] = (),
    unfinished: Iterable[Outgoing] = (),
    on_acknowledged: Callable[[int], None] = lambda count: None,
    on_message: Callable[[str, bytes], None] = lambda topic, payload: None,
    on_lost: Callable[[], None] = lambda: None,
) -> AsyncGenerator[Fleet]:
    """A connection that is open, with what an earlier one did not finish on its way again.

    Raises
    ------
    ConnectionError
        If the broker cannot be reached, does not answer or goes away.
    PublishError
        If it refuses us.
    """
    loop = asyncio.get_running_loop()
    link = Fleet(window, on_acknowledged, on_message, on_lost)
    beating: asyncio.Task[None] | None = None
    try:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await loop.create_connection(lambda: link, host, port, ssl=tls)
            await link.open(identifier, username, password, filters)
        except TimeoutError as error:
            raise ConnectionError("no answer") from error
        except OSError as error:
            raise ConnectionError(str(error)) from error
        beating = asyncio.create_task(link.keep_alive())
        for message in unfinished:
            link.send(message)
        yield link
        await link.close()
    finally:
        if beating is not None:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating
        if link.lost is None:
            link.end(ConnectionError("closed"))
