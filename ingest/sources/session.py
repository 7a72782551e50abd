"""What every MQTT source needs: waits between attempts, and the connection's state."""

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ingest.errors import SettingsError
from ingest.log import Log
from ingest.settings import MqttSettings
from ingest.sources import Deliver, SourceStatus
from ingest.sources.tls import tls_context

__all__ = ["FEW", "GATHER_S", "GENERATION", "Backoff", "Ended", "Link", "MqttSource"]

log = Log("ingest.source")

QUICK_LOSS_S = 5.0
QUICK_LOSSES = 5

GATHER_S = 0.002
FEW = 16
"""A busy broker writes about one message a packet, and waking up for each costs more than reading
it. So when fewer than FEW messages come within GATHER_S, reading rests for as long and the next
chunk holds what came meanwhile; a quiet connection is read at once."""

GENERATION = 1 << 16
"""A token is generation (which connection) times this plus the packet id."""


@dataclass(slots=True)
class Backoff:
    """Waits that double up to a cap, each drawn from 0 to its whole length ("full jitter").

    After a broker's restart ten thousand clients then come back spread out, not together.
    """

    first_s: float = 1.0
    cap_s: float = 60.0
    draw: Callable[[float, float], float] = field(default=random.uniform)
    attempt: int = 0

    def next_s(self) -> float:
        """The wait before the next attempt [s]."""
        longest = min(self.cap_s, self.first_s * 2.0 ** min(self.attempt, 32))
        self.attempt += 1
        return self.draw(0.0, longest)

    def reset(self) -> None:
        """An attempt has succeeded."""
        self.attempt = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """How one connection ended.

    Attributes
    ----------
    why : str
        In words; empty for a goodbye that was asked for.
    connected : bool
        Whether the broker had accepted us.
    other_version : bool
        Whether to ask in the other protocol version at once.
    taken_over : bool
        Whether another client with our id threw us out.
    misconfigured : bool
        Whether trying again soon is pointless: credentials or subscriptions were refused.
    """

    why: str = ""
    connected: bool = False
    other_version: bool = False
    taken_over: bool = False
    misconfigured: bool = False


class Link(Protocol):
    """One connection."""

    async def run(self) -> Ended:
        """From CONNECT to the end."""
        ...

    def ack(self, packet_ids: list[int]) -> None:
        """Acknowledge messages, in this order."""
        ...

    def watch(self, *, reading: bool) -> None:
        """Read the socket, or do not."""
        ...

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send a message at QoS 0."""
        ...

    def cut(self) -> None:
        """End it as a broken network would."""
        ...

    async def goodbye(self) -> None:
        """DISCONNECT, without touching the session, after all that waits to be sent."""
        ...


class MqttSource(ABC):
    """Connects again and again; how a connection is made and read is the subclass's business.

    Parameters
    ----------
    settings : MqttSettings
    backoff : Backoff, optional
        The waits between attempts.

    Attributes
    ----------
    subscribed : asyncio.Event
        Set once the broker has accepted our subscriptions for the first time: what is sent from
        then on is kept for us, connected or not.
    """

    def __init__(self, settings: MqttSettings, *, backoff: Backoff | None = None) -> None:
        self.settings = settings
        self.subscribed = asyncio.Event()
        self._backoff = backoff or Backoff(cap_s=settings.reconnect_max_s)
        self.tls = tls_context(settings.tls) if settings.tls else None
        self._status = SourceStatus()
        self._generation = 0
        self._stopping = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()
        self._quick_losses = 0
        self._link: Link | None = None

    @abstractmethod
    def _make_link(self, protocol: str, deliver: Deliver) -> Link:
        """A connection that is still to be made."""

    def _protocols(self) -> tuple[str, ...]:
        """The versions to try, the preferred one first."""
        chosen = self.settings.protocol
        return ("5", "3.1.1") if chosen == "auto" else (chosen,)

    @property
    def base(self) -> int:
        """What the tokens of the present connection are above."""
        return self._generation * GENERATION

    @property
    def reading(self) -> bool:
        """Whether it is not paused."""
        return self._reading.is_set()

    def ack(self, tokens: Sequence[int]) -> None:
        """These messages are durable; tokens of a dead connection are ignored."""
        if self._link is not None:
            low, high = self.base, self.base + GENERATION
            # Packet id 0 is a message of QoS 0.
            self._link.ack([token - low for token in tokens if low < token < high])

    def pause(self) -> None:
        """Read no more until `resume`."""
        self._reading.clear()
        if self._link is not None:
            self._link.watch(reading=False)

    def resume(self) -> None:
        """Read again."""
        self._reading.set()
        if self._link is not None:
            self._link.watch(reading=True)

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send a message at QoS 0."""
        return self._link is not None and self._link.publish(topic, payload)

    async def stop(self) -> None:
        """Say goodbye and let `run` return."""
        self._stopping.set()
        if self._link is not None:
            await self._link.goodbye()

    @property
    def status(self) -> SourceStatus:
        """How it stands."""
        return self._status

    def _note(self, **changes: bool | int | str) -> None:
        self._status = replace(self._status, **changes)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - names and types are the fields'

    async def run(self, deliver: Deliver) -> None:
        """Connect and deliver, again and again, until `stop`."""
        protocols = self._protocols()
        which = 0
        while not self._stopping.is_set():
            # A new connection would bring the unacknowledged messages again, on top of those that
            # made us pause.
            if not await self._unless_stopping(self._reading.wait()):
                break
            self._generation += 1
            began_s = time.monotonic()
            ended = await self._one_connection(protocols[which], deliver)
            if self._stopping.is_set():
                break
            self._note(last_error=ended.why)
            log.warning(
                "mqtt connection ended",
                why=ended.why,
                was_connected=ended.connected,
                protocol=protocols[which],
                client_id=self.settings.client_id,
            )
            if ended.connected:
                self._backoff.reset()
            if ended.other_version and len(protocols) > 1:
                which = (which + 1) % len(protocols)
                if self._backoff.attempt == 0:
                    self._backoff.attempt = 1
                    continue  # the first fallback does not wait
            wait_s = self._wait_after(ended, time.monotonic() - began_s)
            await self._unless_stopping(asyncio.sleep(wait_s))

    async def _one_connection(self, protocol: str, deliver: Deliver) -> Ended:
        if self.settings.tls is not None:
            # Certificates and lists of revoked ones are renewed while we run.
            try:
                self.tls = await asyncio.to_thread(tls_context, self.settings.tls)
            except SettingsError as error:
                return Ended(f"cannot connect: {error}")
            if self._stopping.is_set():
                return Ended()
        self._link = self._make_link(protocol, deliver)
        try:
            return await self._link.run()
        finally:
            self._link = None
            self._note(connected=False)

    def _wait_after(self, ended: Ended, lasted_s: float) -> float:
        """How long to wait before the next attempt [s]."""
        if ended.connected and lasted_s < QUICK_LOSS_S and not ended.misconfigured:
            self._quick_losses += 1
        else:
            self._quick_losses = 0
        # MQTT 3.1.1 does not say why it closes a connection; being thrown out again and again just
        # after connecting is what a second client with our id looks like.
        if ended.taken_over or self._quick_losses >= QUICK_LOSSES:
            self._note(taken_over=self._status.taken_over + 1)
            log.error(
                "another client uses our client id",
                event_kind="security",
                client_id=self.settings.client_id,
                certain=ended.taken_over,
            )
            return self._backoff.draw(0.5, 1.0) * self.settings.takeover_wait_s
        if ended.misconfigured:
            return self._backoff.cap_s
        return self._backoff.next_s()

    async def _unless_stopping(self, waited: Coroutine[Any, Any, object]) -> bool:
        """Wait for something; False when we were told to stop first."""
        task = asyncio.ensure_future(waited)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return not self._stopping.is_set()
        finally:
            for one in (task, stopping):
                one.cancel()
            await asyncio.gather(task, stopping, return_exceptions=True)

    def accepted(self, protocol: str, *, session_present: bool) -> None:
        """The broker has accepted us and our subscriptions, says the link."""
        again = self._status.connections > 0
        lost = again and not session_present
        self.subscribed.set()
        self._note(
            connected=True,
            session_present=session_present,
            protocol=protocol,
            receive_max=self.settings.receive_max if protocol == "5" else 0,
            connections=self._status.connections + 1,
            sessions_lost=self._status.sessions_lost + lost,
            last_error="",
        )
        tell = log.warning if lost else log.info
        tell(
            "mqtt connected",
            protocol=protocol,
            session_present=session_present,
            session_lost=lost,
            client_id=self.settings.client_id,
        )
