"""The fast source: an asyncio protocol on the `mqtt5` codec, for brokers that speak MQTT 5.

Packets are read out of large chunks, and acknowledgements go out in one write a commit. Where the
broker refuses MQTT 5 it goes on in 3.1.1 with paho.

References
----------
MQTT Version 5.0, OASIS Standard, 7 March 2019; clauses are cited where they matter.
"""

import asyncio
import contextlib
import ssl
import struct
from typing import Any, Final

import mqtt5
import numpy as np

from ingest.sources import Deliver, Message
from ingest.sources.paho import PahoLink
from ingest.sources.session import FEW, GATHER_S, Ended, Link, MqttSource
from ingest.sources.tls import trouble

__all__ = ["Mqtt5Link", "Mqtt5Source"]

PUBLISH: Final = 3  # packet types, 2.1.2
CONNACK: Final = 2
PUBACK: Final = 0x40_02_0000  # 3.4: type, two bytes left, packet id; no reason = success
PUBLISH_QOS0: Final = 0x30
LONGEST_PACKET: Final = 1 << 26  # far above every broker's limit; more is a broken stream

# Reason codes by number (2.4): the codec's enumerations can be compared, but not hashed.
OTHER_VERSION: Final = (129, 130, 132)  # malformed packet, protocol error, unsupported version
REFUSED: Final = (133, 134, 135, 138, 140)  # client id, credentials, authorisation, ban, method
TAKEN_OVER: Final = 142
FAILURE: Final = 0x80


class Mqtt5Source(MqttSource):
    """MQTT messages by the `mqtt5` codec; by paho where the broker has only 3.1.1."""

    def _make_link(self, protocol: str, deliver: Deliver) -> Link:
        if protocol == "5":
            return Mqtt5Link(self, deliver)
        return PahoLink(self, protocol, deliver)


class Mqtt5Link(asyncio.Protocol):
    """One connection."""

    def __init__(self, source: MqttSource, deliver: Deliver) -> None:
        self.source = source
        self.settings = source.settings
        self.deliver = deliver
        self.base = source.base
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.closed = asyncio.Event()
        self.ended = Ended()
        self.up = False
        self.session_present = False
        self.keepalive_s = float(self.settings.keepalive_s)
        self.rest = b""
        self.last_read_s = 0.0
        self.last_write_s = 0.0
        self.resting: asyncio.TimerHandle | None = None
        self.clogged = False

    # ------------------------------------------------------------------ the life of a connection

    async def run(self) -> Ended:
        """From CONNECT to the end."""
        settings = self.settings
        try:
            async with asyncio.timeout(settings.connack_timeout_s):
                await self.loop.create_connection(
                    lambda: self, settings.host, settings.port, ssl=self.source.tls
                )
        except TimeoutError:
            return Ended("cannot connect: no answer")
        except OSError as error:
            return Ended(f"cannot connect: {trouble(error, settings)}")
        began_s = self.loop.time()
        try:
            while not self.closed.is_set():
                now_s = self.loop.time()
                if not self.up and now_s - began_s > settings.connack_timeout_s:
                    return self._silent()
                self._keep_alive(now_s)
                wait_s = min(1.0, self.keepalive_s / 4) if self.up else 0.25
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.closed.wait(), wait_s)
        finally:
            if self.resting is not None:
                self.resting.cancel()
            if self.transport is not None:
                self.transport.abort()
        return self.ended

    def _silent(self) -> Ended:
        if self.ended.connected:
            return Ended("the broker did not answer SUBSCRIBE", connected=True)
        return Ended("the broker did not answer CONNECT", other_version=True)

    def _keep_alive(self, now_s: float) -> None:
        """Ask the broker for a sign of life, and miss it when it does not come (3.1.2.10)."""
        if not self.up:
            return
        if now_s - self.last_write_s >= self.keepalive_s / 2:
            self._write(mqtt5.PingReqPacket().write())
        # While we do not read we cannot hear the answer.
        if self.source.reading and now_s - self.last_read_s > 1.5 * self.keepalive_s:
            self._end(f"no sign of life for {now_s - self.last_read_s:.0f} s")

    def _end(self, why: str, **facts: bool) -> None:
        if not self.ended.why:
            self.ended = Ended(why, **{"connected": self.ended.connected, **facts})
        self.closed.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send CONNECT."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP and TLS are
        self.transport = transport
        self.last_read_s = self.loop.time()
        settings = self.settings
        self._write(
            mqtt5.ConnectPacket(
                settings.client_id,
                username=settings.username,
                password=None if settings.password is None else settings.password.encode(),
                clean_start=False,
                keep_alive=settings.keepalive_s,
                session_expiry_interval=settings.session_expiry_s,
                receive_max=settings.receive_max,
            ).write()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end is gone."""
        self._end(
            f"the connection was lost: {trouble(exc, self.settings)}"
            if exc
            else "the broker closed the connection",
            # Brokers without MQTT 5 may just hang up on it.
            other_version=not self.ended.connected and not isinstance(exc, ssl.SSLError),
        )

    def pause_writing(self) -> None:
        """The socket does not take what we send."""
        self.clogged = True

    def resume_writing(self) -> None:
        """It does again."""
        self.clogged = False

    def _write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.last_write_s = self.loop.time()
            self.transport.write(data)

    # ------------------------------------------------------------------ reading

    def data_received(self, data: bytes) -> None:
        """Take the packets out of a chunk and hand the messages over at once."""
        if self.rest:
            data = self.rest + data
        messages: list[Message] = []
        try:
            used = self._read_packets(data, messages)
        except (ValueError, struct.error) as error:
            used = len(data)
            self._end(
                f"the broker sent what is no MQTT 5: {error}",
                other_version=not self.ended.connected,
            )
        self.rest = data[used:] if used < len(data) else b""
        if messages:
            self.deliver(messages)
        now_s = self.loop.time()
        if len(messages) < FEW and now_s - self.last_read_s < GATHER_S:
            self._rest_a_while()
        self.last_read_s = now_s

    def _read_packets(self, data: bytes, messages: list[Message]) -> int:
        """Append the messages of all whole packets; how many bytes these were."""
        view = memoryview(data)
        base = self.base
        read = mqtt5.read
        end = len(data)
        at = 0
        while at < end:
            try:
                packet, size = read(view[at:])
            except IndexError:
                break  # the rest comes with the next chunk
            except BaseException as error:
                # The codec's own panic on text that is not UTF-8 is no Exception.
                if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                    raise
                packet, size = None, self._poison(view[at:], messages, error)
            if type(packet) is mqtt5.PublishPacket:
                messages.append(
                    (
                        packet.topic,
                        packet.payload,
                        1 if packet.packet_id else 0,
                        packet.retain,
                        base + (packet.packet_id or 0),
                    )
                )
            elif packet is not None:
                self._control(packet)
            at += size
        return at

    def _poison(self, view: memoryview, messages: list[Message], error: BaseException) -> int:
        """A PUBLISH the codec cannot read still goes to quarantine, and gets acknowledged.

        Returns
        -------
        int
            Its size.

        Raises
        ------
        ValueError
            If it is no PUBLISH: then nothing that follows can be trusted.
        """
        if view[0] >> 4 != PUBLISH:
            raise ValueError(str(error)) from error
        left, header = _variable_integer(view, 1)
        body = bytes(view[header : header + left])
        (name_size,) = struct.unpack_from(">H", body)
        at = 2 + name_size
        packet_id = 0
        if view[0] & 0b110:
            (packet_id,) = struct.unpack_from(">H", body, at)
            at += 2
        properties, at = _variable_integer(memoryview(body), at)
        retain = bool(view[0] & 1)
        messages.append(
            (
                "\N{REPLACEMENT CHARACTER}",
                body[at + properties :],
                1 if packet_id else 0,
                retain,
                self.base + packet_id,
            )
        )
        return header + left

    def _control(self, packet: Any) -> None:
        match packet:
            case mqtt5.ConnAckPacket():
                self._connected(packet)
            case mqtt5.SubAckPacket():
                self._subscribed(packet)
            case mqtt5.DisconnectPacket():
                self._end(
                    f"the broker disconnected us: {_words(packet.reason_code)}",
                    taken_over=int(packet.reason_code) == TAKEN_OVER,
                )
            case _:
                pass  # PINGRESP: that it came is all it says

    def _connected(self, packet: mqtt5.ConnAckPacket) -> None:
        reason = int(packet.reason_code)
        if reason:
            self._end(
                f"the broker refused us: {_words(packet.reason_code)}",
                other_version=reason in OTHER_VERSION,
                misconfigured=reason in REFUSED,
            )
            return
        self.ended = Ended(connected=True)
        self.session_present = packet.session_present
        if packet.server_keep_alive:
            self.keepalive_s = float(packet.server_keep_alive)
        self._write(
            mqtt5.SubscribePacket(
                1,
                [
                    mqtt5.TopicFilter(
                        one,
                        max_qos=mqtt5.QoS.AT_LEAST_ONCE,
                        no_local=True,  # our own receipts would come back
                        retain_as_published=True,
                        retain_handling=mqtt5.RetainHandling.SEND_IF_SUBSCRIPTION_NOT_EXISTS,
                    )
                    for one in self.settings.filters
                ],
            ).write()
        )

    def _subscribed(self, packet: mqtt5.SubAckPacket) -> None:
        refused = [
            one
            for one, reason in zip(self.settings.filters, packet.reason_codes, strict=False)
            if int(reason) >= FAILURE
        ]
        if refused:
            self._end(
                f"the broker refused to let us subscribe to {', '.join(refused)}",
                misconfigured=True,
            )
            return
        self.up = True
        self.source.accepted("5", session_present=self.session_present)

    def _rest_a_while(self) -> None:
        if self.resting is None and self.transport is not None and self.source.reading:
            self.transport.pause_reading()
            self.resting = self.loop.call_later(GATHER_S, self._read_on)

    def _read_on(self) -> None:
        self.resting = None
        if self.transport is not None and self.source.reading and not self.transport.is_closing():
            self.transport.resume_reading()

    # ------------------------------------------------------------------ what the source asks

    def ack(self, packet_ids: list[int]) -> None:
        """Acknowledge messages, all in one write."""
        if packet_ids:
            self._write((np.array(packet_ids, ">u4") + PUBACK).astype(">u4").tobytes())

    def watch(self, *, reading: bool) -> None:
        """Read the socket, or do not."""
        if self.transport is None or self.transport.is_closing():
            return
        if reading:
            self.last_read_s = self.loop.time()
            if self.resting is None:
                self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send a message at QoS 0, unless the socket is clogged."""
        if not self.up or self.clogged:
            return False
        self._write(mqtt5.PublishPacket(topic, payload).write())
        return True

    def cut(self) -> None:
        """End it as a broken network would."""
        if self.transport is not None:
            self.transport.abort()

    async def goodbye(self) -> None:
        """DISCONNECT; the session stays as long as was agreed (3.14.2.2.2)."""
        if self.transport is None:
            self.closed.set()
            return
        self._write(mqtt5.DisconnectPacket().write())
        self.transport.close()  # sends what is buffered first
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.closed.wait(), 2.0)
        self.closed.set()


def _variable_integer(view: memoryview, at: int) -> tuple[int, int]:
    """A Variable Byte Integer (1.5.5), and where it ends."""
    value = shift = 0
    while True:
        if at >= len(view) or shift > 21:
            raise ValueError("a length is cut off")
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _words(reason: mqtt5.ConnAckReasonCode | mqtt5.DisconnectReasonCode) -> str:
    return reason.name.lower().replace("_", " ")
