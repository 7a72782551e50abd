"""Where messages come from; every source keeps the promises of `tests/contracts/source.py`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Deliver", "Message", "Source", "SourceStatus"]

Message = tuple[str, bytes, int, bool, int]
"""Topic, payload, quality of service, whether retained, and the token to acknowledge it by.

A plain tuple: millions of them pass. A topic that was not UTF-8 is U+FFFD alone.
"""

Deliver = Callable[[Sequence[Message]], None]
"""Takes messages over, in the order they came; must neither raise nor wait."""


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How a source stands.

    Attributes
    ----------
    connected : bool
        Subscribed and receiving.
    session_present : bool
        Whether the broker had kept our session when we last connected.
    protocol : str
        "5", "3.1.1" or "" before the first connection.
    receive_max : int
        Unacknowledged messages the broker may send; 0 = the broker alone decides.
    connections : int
        How often it has connected.
    sessions_lost : int
        How often it connected again and the broker had forgotten our session: messages may have
        been lost there.
    last_error : str
        Why the last connection ended or failed; empty when nothing did.
    taken_over : int
        How often another client with our id has thrown us out.
    """

    connected: bool = False
    session_present: bool = False
    protocol: str = ""
    receive_max: int = 0
    connections: int = 0
    sessions_lost: int = 0
    last_error: str = ""
    taken_over: int = 0


class Source(Protocol):
    """Something that delivers messages and is told when they are durable.

    All methods are called in the event loop's thread.
    """

    async def run(self, deliver: Deliver) -> None:
        """Connect and deliver, again and again, until `stop`."""
        ...

    def ack(self, tokens: Sequence[int]) -> None:
        """These messages are durable.

        Given in the order of arrival. Tokens of a dead connection are ignored: the broker sends
        their messages again.
        """
        ...

    def pause(self) -> None:
        """Read no more until `resume`; the broker holds what comes."""
        ...

    def resume(self) -> None:
        """Read again."""
        ...

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send a message at QoS 0; False when there is no connection to send it on."""
        ...

    async def stop(self) -> None:
        """Send the acknowledgements that are due, say goodbye, and let `run` return."""
        ...

    @property
    def status(self) -> SourceStatus:
        """How it stands."""
        ...
