"""Messages that have come and are not in the journal yet; when many wait, devices take turns."""

from collections import deque
from collections.abc import Sequence

from ingest.sources import Message

__all__ = ["CROWD", "Inbox"]

CROWD = 4
"""So many batches that wait are a crowd: then one batch is taken, not all of it."""


class Inbox:
    """Keeps messages in the order they came, and says in which order to acknowledge them.

    While few wait, all of them are taken. In a crowd each device has one message taken before any
    device has its second, so that who sends far too much waits for its own messages only. Messages
    of one device keep their order.

    Parameters
    ----------
    batch_messages : int
        So many are taken out of a crowd.
    """

    def __init__(self, batch_messages: int) -> None:
        self._most = batch_messages
        self._came: list[Message] = []
        self._came_ms: list[int] = []
        self._queued = 0
        self._queues: dict[str, deque[tuple[Message, int]]] = {}
        self._turns: deque[str] = deque()  # whoever has a queue, once; the next one first
        self._unacknowledged: deque[int] = deque()
        self._done: set[int] = set()

    def __len__(self) -> int:
        return self._queued + len(self._came)

    def add(self, messages: Sequence[Message], received_ms: int) -> None:
        """These have come."""
        self._came += messages
        self._came_ms += [received_ms] * len(messages)

    def take(self) -> tuple[list[Message], list[int]]:
        """The next messages, and when they came [ms, UTC]."""
        crowded = len(self) > CROWD * self._most
        came, came_ms = self._came, self._came_ms
        self._came, self._came_ms = [], []
        if crowded or self._unacknowledged:
            # Whatever is handled first, acknowledgements go out in the order of arrival.
            self._unacknowledged += [message[4] for message in came if message[2]]
        if not crowded and not self._queued:
            return came, came_ms
        self._queue_up(came, came_ms)
        return self._in_turn(self._most if crowded else self._queued)

    def _queue_up(self, messages: list[Message], received_ms: list[int]) -> None:
        queues = self._queues
        for pair in zip(messages, received_ms, strict=True):
            # Native topics and those of network servers name the device within four levels.
            device = "/".join(pair[0][0].split("/", 4)[:4])
            queue = queues.get(device)
            if queue is None:
                queues[device] = deque((pair,))
                self._turns.append(device)
            else:
                queue.append(pair)
        self._queued += len(messages)

    def _in_turn(self, n: int) -> tuple[list[Message], list[int]]:
        queues, turns = self._queues, self._turns
        messages: list[Message] = []
        received_ms: list[int] = []
        for _ in range(n):
            device = turns.popleft()
            queue = queues[device]
            message, at_ms = queue.popleft()
            messages.append(message)
            received_ms.append(at_ms)
            if queue:
                turns.append(device)
            else:
                del queues[device]
        self._queued -= n
        return messages, received_ms

    def committed(self, messages: Sequence[Message]) -> list[int]:
        """What was taken is durable: the tokens to acknowledge now.

        In the order of arrival (MQTT 5.0, MQTT-4.6.0-2), so what came before these and still waits
        holds theirs back.
        """
        waiting = self._unacknowledged
        if not waiting:
            return [message[4] for message in messages]
        done = self._done
        done.update([message[4] for message in messages if message[2]])
        ready: list[int] = []
        while waiting and waiting[0] in done:
            ready.append(waiting.popleft())
        done.difference_update(ready)
        return ready
