"""The compatible source: paho-mqtt on the asyncio loop, by its public interface.

paho connects, subscribes, acknowledges and keeps alive, and reads every packet that is out of the
ordinary. It spends 22 us of processor time on a message in MQTT 5, half of that on properties that
are not there; so plain messages are taken out of its stream before it sees them.

MQTT 5 first, 3.1.1 where the broker has no other. One `Client` per connection: a client object
keeps message state, so that after a lost session an old packet id could acknowledge a message that
was never stored; a new object keeps nothing, and the broker holds the session.
"""

import asyncio
import contextlib
import socket
import ssl
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.sources import Deliver, Message
from ingest.sources.plain_publish import plain_publishes, rest_is_due
from ingest.sources.read_ahead import ReadAheadContext, ReadAheadSocket
from ingest.sources.session import FEW, GATHER_S, Ended, Link, MqttSource
from ingest.sources.tls import trouble

__all__ = ["PahoLink", "PahoSource"]

UNSUPPORTED_VERSION = 132  # MQTT 5, table 3-1; 3.1.1's code 1 is told as this, too
REFUSED_CREDENTIALS = frozenset({134, 135, 138, 140})
TAKEN_OVER = 142
CHUNKS = 4  # a wake-up may read before others get their turn


class PahoSource(MqttSource):
    """MQTT messages by paho-mqtt, acknowledged by hand."""

    def _make_link(self, protocol: str, deliver: Deliver) -> Link:
        return PahoLink(self, protocol, deliver)


class PahoLink:
    """One connection."""

    def __init__(self, source: MqttSource, protocol: str, deliver: Deliver) -> None:
        self.source = source
        self.settings = source.settings
        self.protocol = protocol
        self.deliver = deliver
        self.base = source.base
        self.loop = asyncio.get_running_loop()
        self.closed = asyncio.Event()
        self.ended = Ended()
        self.up = False
        self.session_present = False
        self.arrived: list[Message] = []
        self.watched: ReadAheadSocket | None = None
        self.failure: OSError | None = None
        self.last_read_s = 0.0
        self.resting: asyncio.TimerHandle | None = None
        self.client = self._make_client()

    def _make_client(self) -> mqtt.Client:
        v5 = self.protocol == "5"
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.settings.client_id,
            # None is paho's way to say that MQTT 5 has its own word for it, on connect().
            clean_session=None if v5 else False,
            protocol=mqtt.MQTTv5 if v5 else mqtt.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = self.settings.connack_timeout_s
        if self.settings.username is not None:
            client.username_pw_set(self.settings.username, self.settings.password)
        client.tls_set_context(ReadAheadContext(self.source.tls))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - it has what paho asks of one
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_register_write
        client.on_socket_unregister_write = self._on_unregister_write
        return client

    async def run(self) -> Ended:
        """From CONNECT to the end."""
        try:
            # DNS, TCP and TLS block in paho.
            await asyncio.to_thread(self._connect)
        except (OSError, ValueError) as error:
            return Ended(f"cannot connect: {trouble(error, self.settings)}")
        began_s = self.loop.time()
        try:
            while not self.closed.is_set():
                self.client.loop_misc()  # keepalive
                if not self.up and self.loop.time() - began_s > self.settings.connack_timeout_s:
                    return self._silent()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.closed.wait(), 1.0 if self.up else 0.25)
        finally:
            self._abandon()
        return self.ended

    def _silent(self) -> Ended:
        if self.session_present or self.ended.connected:
            return Ended("the broker did not answer SUBSCRIBE", connected=True)
        return Ended("the broker did not answer CONNECT", other_version=True)

    def _connect(self) -> None:
        settings = self.settings
        if self.protocol != "5":
            self.client.connect(settings.host, settings.port, settings.keepalive_s)
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = settings.session_expiry_s
        properties.ReceiveMaximum = settings.receive_max
        self.client.connect(
            settings.host,
            settings.port,
            settings.keepalive_s,
            # paho's default cleans the session on the first connect of every process.
            clean_start=False,
            properties=properties,
        )

    def _abandon(self) -> None:
        """Detach the socket before closing it: the client's end calls the callbacks again."""
        self.client.on_socket_close = None
        self.client.on_socket_unregister_write = None
        self.client.on_disconnect = None
        self._unwatch()
        if (sock := self.client.socket()) is not None:
            sock.close()

    # ------------------------------------------------------------------ callbacks

    def _on_connect(
        self,
        _client: mqtt.Client,
        _userdata: Any,
        flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self.ended = Ended(
                f"the broker refused us: {reason}",
                other_version=reason.value == UNSUPPORTED_VERSION,
                misconfigured=reason.value in REFUSED_CREDENTIALS,
            )
            return
        self.ended = Ended(connected=True)
        self.session_present = flags.session_present
        filters = self.settings.filters
        if self.protocol == "5":
            # Without noLocal our own receipts would come back; retained messages are wanted once.
            options = SubscribeOptions(
                qos=1,
                noLocal=True,
                retainAsPublished=True,
                retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB,
            )
            self.client.subscribe([(one, options) for one in filters])
        else:
            self.client.subscribe([(one, 1) for one in filters])

    def _on_subscribe(
        self,
        _client: mqtt.Client,
        _userdata: Any,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        refused = [
            one
            for one, reason in zip(self.settings.filters, reasons, strict=False)
            if reason.is_failure
        ]
        if refused:
            why = f"the broker refused to let us subscribe to {', '.join(refused)}"
            self.ended = Ended(why, connected=True, misconfigured=True)
            self.closed.set()
            return
        self.up = True
        self.source.accepted(self.protocol, session_present=self.session_present)

    def _on_message(self, _client: mqtt.Client, _userdata: Any, m: mqtt.MQTTMessage) -> None:
        # Nothing may be raised here: paho would deliver the same message again for ever.
        try:
            topic = m.topic
        except UnicodeDecodeError:  # decoded on access; goes to quarantine
            topic = "\N{REPLACEMENT CHARACTER}"
        self.arrived.append((topic, bytes(m.payload), m.qos, m.retain, self.base + m.mid))

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _userdata: Any,
        _flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if not self.ended.why:
            # paho says no more of it than that the connection is lost.
            refused = isinstance(self.failure, ssl.SSLError)
            self.ended = Ended(
                f"the connection was lost: {trouble(self.failure, self.settings)}"
                if self.failure
                else str(reason),
                connected=self.ended.connected,
                # Brokers without MQTT 5 may just hang up on it.
                other_version=not self.ended.connected and not refused,
                taken_over=reason.value == TAKEN_OVER,
            )
        self.loop.call_soon_threadsafe(self.closed.set)

    # ------------------------------------------------------------------ the socket

    def _on_socket_open(self, _client: mqtt.Client, _userdata: Any, sock: Any) -> None:
        # Called in the thread that connects.
        self.loop.call_soon_threadsafe(self._start_watching, sock)

    def _start_watching(self, sock: ReadAheadSocket) -> None:
        if sock.fileno() < 0:
            return
        self.watched = sock
        if self.source.reading:
            self.loop.add_reader(sock, self._readable)

    def _on_socket_close(self, _client: mqtt.Client, _userdata: Any, sock: Any) -> None:
        self.failure = sock.failure
        self._unwatch()

    def _unwatch(self) -> None:
        if self.resting is not None:
            self.resting.cancel()
            self.resting = None
        if self.watched is not None and self.watched.fileno() >= 0:
            self.loop.remove_reader(self.watched)
            self.loop.remove_writer(self.watched)
        self.watched = None

    def _on_register_write(self, _client: mqtt.Client, _userdata: Any, sock: Any) -> None:
        self.loop.call_soon_threadsafe(self._watch_writing, sock)

    def _watch_writing(self, sock: ReadAheadSocket) -> None:
        if sock.fileno() >= 0 and self.client.want_write():
            self.loop.add_writer(sock, self._writable)

    def _on_unregister_write(self, _client: mqtt.Client, _userdata: Any, sock: Any) -> None:
        if sock.fileno() >= 0:
            self.loop.remove_writer(sock)

    def _writable(self) -> None:
        self.client.loop_write()
        sock = self.watched
        if sock is None or sock.fileno() < 0:
            return
        try:
            if not sock.flush():  # the client thinks that all is sent
                self.loop.add_writer(sock, self._writable)
            elif not self.client.want_write():
                self.loop.remove_writer(sock)
        except OSError:
            self.loop.remove_writer(sock)  # the next reading tells the client

    def watch(self, *, reading: bool) -> None:
        """Listen to the socket, or do not."""
        if self.watched is None or self.watched.fileno() < 0:
            return
        if not reading:
            self.loop.remove_reader(self.watched)
        elif self.resting is None:
            self.loop.add_reader(self.watched, self._readable)
            self.loop.call_soon(self._readable)  # what was read ahead raises no event

    def _readable(self) -> None:
        """Read what is there, up to a budget, and hand it over at once."""
        if not self.source.reading or self.resting is not None:
            return
        again = self._read_packets()
        few = len(self.arrived) < FEW
        if self.arrived:
            arrived, self.arrived = self.arrived, []
            self.deliver(arrived)
        now_s = self.loop.time()
        if again:
            self.loop.call_soon(self._readable)
        elif few and now_s - self.last_read_s < GATHER_S:
            self._rest_a_while()
        self.last_read_s = now_s

    def _read_packets(self) -> bool:
        """Read what is there, up to a budget; whether there may be more."""
        again = True
        for _ in range(CHUNKS):
            sock = self.watched
            if sock is None:
                return False
            again = sock.fill()
            self._take_packets(sock)
            if not again:
                break
        return again

    def _take_packets(self, sock: ReadAheadSocket) -> None:
        """Take plain messages out of what was read; the client reads everything else."""
        v5 = self.protocol == "5"
        while self.watched is sock:
            if not sock.allowed:
                sock.at = plain_publishes(
                    sock.data, sock.at, properties=v5, base=self.base, messages=self.arrived
                )
                sock.allowed = rest_is_due(sock.data, sock.at)
            if not sock.allowed and not sock.ended and sock.failure is None:
                return
            self.client.loop_read()
            if sock.allowed and sock.at == len(sock.data) and not sock.ended:
                return  # the rest of this packet has not come

    def _rest_a_while(self) -> None:
        """Let more come before reading on, as the fast source does."""
        if self.watched is not None and self.source.reading:
            self.loop.remove_reader(self.watched)
            self.resting = self.loop.call_later(GATHER_S, self._read_on)

    def _read_on(self) -> None:
        self.resting = None
        self.watch(reading=self.source.reading)

    # ------------------------------------------------------------------ what the source asks

    def ack(self, packet_ids: list[int]) -> None:
        """Acknowledge messages of this connection."""
        for packet_id in packet_ids:
            self.client.ack(packet_id, 1)

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send a message at QoS 0."""
        return self.up and self.client.publish(topic, payload).rc == mqtt.MQTT_ERR_SUCCESS

    def cut(self) -> None:
        """End it as a broken network would."""
        if self.watched is not None:
            with contextlib.suppress(OSError):
                self.watched.shutdown(socket.SHUT_RDWR)

    async def goodbye(self) -> None:
        """DISCONNECT, without touching the session, after all that waits to be sent."""
        self.client.disconnect()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.closed.wait(), 2.0)
        self.closed.set()
