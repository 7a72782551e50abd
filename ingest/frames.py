"""LoRaWAN frames that were heard before: the same device, frame counter and bytes within an hour.

Network servers hand a frame over again when it was repeated by radio, and recorded feeds may come
twice and in any order. The copies of a frame are those that a chain of steps of at most an hour
joins, by the network server's time. Their reading stands at the time of the earliest copy, so what
is kept in the end does not depend on the order in which the copies came: a copy that is earlier
than the one kept takes its place, and the reading at the later time is withdrawn.
"""

import hashlib
import sqlite3
from dataclasses import dataclass, field

from ingest.reading import Frame

__all__ = ["Frames", "Heard", "Verdict"]

HOUR_MS = 3_600_000


@dataclass(slots=True)
class Heard:
    """Copies of one frame.

    Attributes
    ----------
    first_ms, last_ms : int
        Network times of the earliest and the latest copy [ms, UTC].
    at_ms : int or None
        Time of the first reading as kept [ms, UTC]; None for a frame without readings.
    id : int
        Row in the journal; 0 before the first commit.
    """

    first_ms: int
    last_ms: int
    at_ms: int | None
    id: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with one copy of a frame.

    Attributes
    ----------
    repeat : bool
        An earlier copy (or this very one) is kept: count, do not keep.
    withdraw_at : tuple of int
        First reading times of later copies that were kept: what stands there goes.
    """

    repeat: bool
    withdraw_at: tuple[int, ...] = ()


@dataclass(slots=True)
class Frames:
    """The frames heard lately; the last `keep` of them, by the order in which they came.

    Lives in the journal's thread. A verdict changes what is held here; `write` puts the changes
    into the transaction that commits the readings, `written` forgets them once it is durable.
    """

    db: sqlite3.Connection
    keep: int
    _pending: dict[bytes, list[Heard]] = field(default_factory=dict[bytes, list[Heard]])
    _gone: list[int] = field(default_factory=list[int])

    def _known(self, key: bytes) -> list[Heard]:
        pending = self._pending.get(key)
        if pending is not None:
            return pending
        return [
            Heard(first_ms, last_ms, at_ms, number)
            for number, first_ms, last_ms, at_ms in self.db.execute(
                "SELECT id, first_ms, last_ms, at_ms FROM frame WHERE key = ?", (key,)
            )
        ]

    def hear(self, frame: Frame, network_ms: int, at_ms: int | None) -> Verdict:
        """Take one copy in.

        Parameters
        ----------
        frame : Frame
        network_ms : int
            When the network server heard this copy [ms, UTC].
        at_ms : int or None
            Time of its first reading [ms, UTC].
        """
        key = _key(frame)
        known = self._known(key)
        near = [
            heard
            for heard in known
            if heard.first_ms - HOUR_MS <= network_ms <= heard.last_ms + HOUR_MS
        ]
        if not near:
            self._pending[key] = [*known, Heard(network_ms, network_ms, at_ms)]
            return Verdict(repeat=False)
        earliest = min(near, key=lambda heard: heard.first_ms)
        repeat = earliest.first_ms <= network_ms
        at = earliest.at_ms if repeat else at_ms
        later = [heard.at_ms for heard in near if heard is not earliest or not repeat]
        merged = Heard(
            min(earliest.first_ms, network_ms),
            max(network_ms, *(heard.last_ms for heard in near)),
            at,
            earliest.id,
        )
        self._gone += [heard.id for heard in near if heard is not earliest and heard.id]
        self._pending[key] = [merged, *(heard for heard in known if heard not in near)]
        return Verdict(repeat, tuple({ms for ms in later if ms is not None and ms != at}))

    @property
    def pending(self) -> bool:
        """Whether something was heard that is not durable yet."""
        return bool(self._pending)

    def write(self) -> None:
        """Put the changes into the running transaction."""
        new = list[tuple[bytes, int, int, int | None]]()
        changed = list[tuple[int, int, int | None, int]]()
        for key, copies in self._pending.items():
            for heard in copies:
                if heard.id:
                    changed.append((heard.first_ms, heard.last_ms, heard.at_ms, heard.id))
                else:
                    new.append((key, heard.first_ms, heard.last_ms, heard.at_ms))
        if self._gone:
            self.db.executemany("DELETE FROM frame WHERE id = ?", [(one,) for one in self._gone])
        if changed:
            self.db.executemany(
                "UPDATE frame SET first_ms = ?, last_ms = ?, at_ms = ? WHERE id = ?", changed
            )
        if new:
            self.db.executemany(
                "INSERT INTO frame(key, first_ms, last_ms, at_ms) VALUES (?, ?, ?, ?)", new
            )
            self.db.execute(
                "DELETE FROM frame WHERE id <= (SELECT max(id) FROM frame) - ?", (self.keep,)
            )

    def written(self) -> None:
        """The transaction is durable."""
        self._pending.clear()
        self._gone.clear()


def _key(frame: Frame) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{frame.device_id}\0{frame.frame_counter}\0".encode())
    digest.update(frame.payload)
    return digest.digest()
