"""A device as the network sees it: it numbers its rows, keeps them, and sends them again."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from firmware_sim.devices.native import encode_events, encode_readings, topic

__all__ = ["Message", "Node", "Row"]

SEQ_MODULUS = 2**32
ROWS_PER_MESSAGE = 200
UNSET_BEFORE_MS = 1_577_836_800_000  # 2020-01-01: an older time is a clock that was never set


@dataclass(frozen=True, slots=True)
class Message:
    """What goes out: topic and bytes."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Row:
    """One entry of the ring buffer: readings of one moment, or one fault report.

    `time_ms` is by the device's clock. Nobody but the simulator sees when it was measured, by the
    sun, when it is received, and how often the device had started by then.
    """

    time_ms: int
    values: Mapping[str, float | int | None] | None
    event: tuple[str, bool | None, str] | None = None
    measured_ms: int = 0
    received_ms: int = 0
    starts: int = 0


@dataclass
class Node:
    """State of one device.

    Attributes
    ----------
    boot : int
        Counts its restarts.
    starts : int, optional
        How often it had started when it last sent; not known before.
    next_seq : int
        Number of the next row, modulo 2^32.
    kept : deque of (int, Row)
        Rows sent and not yet acknowledged; the oldest fall out when the buffer is full.
    sent_s : float
        When something was last sent, on the caller's real clock; resends count from it.
    """

    group: str
    device_id: str
    boot: int = 1
    next_seq: int = 0
    capacity: int = 512
    simulated: bool = True
    kept: deque[tuple[int, Row]] = field(default_factory=deque)
    sent_s: float = 0.0
    dropped: int = 0
    starts: int | None = None

    def send(self, rows: Sequence[Row]) -> list[Message]:
        """Number new rows, keep them, and put them into messages; a start that they show first."""
        latest = max((row.starts for row in rows), default=0)
        if self.starts is not None and latest > self.starts:
            self.restart()
        self.starts = max(latest, self.starts or 0)
        numbered: list[tuple[int, Row]] = []
        for row in rows:
            numbered.append((self.next_seq, row))
            self.next_seq = (self.next_seq + 1) % SEQ_MODULUS
        self.kept.extend(numbered)
        while len(self.kept) > self.capacity:
            self.kept.popleft()
            self.dropped += 1
        return self.pack(numbered)

    def resend(self) -> list[Message]:
        """Everything above the receipt once more."""
        return self.pack(list(self.kept))

    def acknowledge(self, boot: int, seq: int) -> None:
        """Forget what is durable; a receipt of another boot says nothing about this one."""
        if boot != self.boot:
            return
        # Serial numbers wrap: within half of the range, "not after" means at or before.
        while self.kept and (seq - self.kept[0][0]) % SEQ_MODULUS < SEQ_MODULUS // 2:
            self.kept.popleft()

    def restart(self) -> None:
        """Power came back: a new boot, numbers from 0, the buffer (kept in flash) numbered anew."""
        rows = [row for _, row in self.kept]
        self.kept.clear()
        self.boot += 1
        self.next_seq = 0
        for row in rows:
            self.kept.append((self.next_seq, row))
            self.next_seq += 1

    def pack(self, numbered: list[tuple[int, Row]]) -> list[Message]:
        """Runs of rows with following numbers, the same columns and a clock in the same era."""
        messages: list[Message] = []
        run: list[tuple[int, Row]] = []
        for seq, row in numbered:
            if run and not self.fits(run, seq, row):
                messages.append(self.message(run))
                run = []
            run.append((seq, row))
        if run:
            messages.append(self.message(run))
        return messages

    @staticmethod
    def fits(run: list[tuple[int, Row]], seq: int, row: Row) -> bool:
        """Whether a row may stand in the same message as the ones before it."""
        last_seq, last = run[-1]
        if row.values is None or last.values is None:
            return False
        return (
            seq == last_seq + 1
            and len(run) < ROWS_PER_MESSAGE
            and row.values.keys() == last.values.keys()
            and (row.time_ms < UNSET_BEFORE_MS) == (last.time_ms < UNSET_BEFORE_MS)
        )

    def message(self, run: list[tuple[int, Row]]) -> Message:
        """One message of a run."""
        seq, first = run[0]
        if first.event is not None:
            name, active, info = first.event
            payload = encode_events(
                first.time_ms, name, active=active, info=info, boot=self.boot, seq=seq,
                simulated=self.simulated,
            )  # fmt: skip
            return Message(topic(self.group, self.device_id, "events"), payload)
        names = list(first.values or {})
        columns = {name: [(row.values or {}).get(name) for _, row in run] for name in names}
        payload = encode_readings(
            [row.time_ms for _, row in run], columns, boot=self.boot, seq=seq,
            simulated=self.simulated,
        )  # fmt: skip
        return Message(topic(self.group, self.device_id, "readings"), payload)
