"""What each device has delivered by its own numbering: repeats known, gaps counted, receipts given.

A device numbers its rows (boot, seq). The rows seen of one boot are kept as runs of numbers with
the span of times they covered: a message is a repeat when its numbers lie in one run and its times
in that run's span. Times are compared as well, because a device that restarts without a new boot
number begins its numbers again, and its new readings must not be taken for old ones.
"""

from collections.abc import Iterable
from collections.abc import Sequence as Rows
from dataclasses import dataclass, field
from itertools import compress, pairwise

import msgspec

from ingest.reading import Sequence

__all__ = ["MAX_RUNS", "Delivered", "Numbered", "Receipt", "Receipts", "Run", "Seen", "seen_of"]

MAX_RUNS = 64
"""So many runs of one boot are kept; then the oldest hole is given up and the receipt moves on."""
MAX_BOOTS = 4
"""So many boots of one device are kept."""


class Run(msgspec.Struct, gc=False):
    """Numbers `first .. last` of one boot were seen, with times `from_ms .. to_ms`."""

    first: int
    last: int
    from_ms: int
    to_ms: int


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """Every row of this boot up to and with `seq` is in the journal."""

    boot: int
    seq: int


class Seen(msgspec.Struct, frozen=True, gc=False):
    """One message's place in its device's numbering, as the journal keeps it."""

    device_id: str
    boot: int
    first: int
    count: int
    from_ms: int
    to_ms: int


@dataclass(slots=True)
class Numbered:
    """Places of many messages in their devices' numbering, as columns: no object for each."""

    device_id: list[str] = field(default_factory=list[str])
    boot: list[int] = field(default_factory=list[int])
    first: list[int] = field(default_factory=list[int])
    count: list[int] = field(default_factory=list[int])
    from_ms: list[int] = field(default_factory=list[int])
    to_ms: list[int] = field(default_factory=list[int])

    def __len__(self) -> int:
        return len(self.device_id)

    def __getitem__(self, at: int) -> Seen:
        return Seen(
            self.device_id[at],
            self.boot[at],
            self.first[at],
            self.count[at],
            self.from_ms[at],
            self.to_ms[at],
        )

    def rows(self) -> "zip[tuple[str, int, int, int, int, int]]":
        """The fields of each, in the order of `Seen`."""
        return zip(
            self.device_id,
            self.boot,
            self.first,
            self.count,
            self.from_ms,
            self.to_ms,
            strict=True,
        )

    def append(self, seen: Seen) -> None:
        """One more."""
        self.device_id.append(seen.device_id)
        self.boot.append(seen.boot)
        self.first.append(seen.first)
        self.count.append(seen.count)
        self.from_ms.append(seen.from_ms)
        self.to_ms.append(seen.to_ms)

    def extend(self, others: "Numbered") -> None:
        """Those of others, after these."""
        self.device_id += others.device_id
        self.boot += others.boot
        self.first += others.first
        self.count += others.count
        self.from_ms += others.from_ms
        self.to_ms += others.to_ms

    def chosen(self, keep: Rows[bool]) -> "Numbered":
        """Those to keep."""
        return Numbered(
            list(compress(self.device_id, keep)),
            list(compress(self.boot, keep)),
            list(compress(self.first, keep)),
            list(compress(self.count, keep)),
            list(compress(self.from_ms, keep)),
            list(compress(self.to_ms, keep)),
        )


class Delivered(msgspec.Struct, gc=False):
    """The rows seen of one device and boot.

    Attributes
    ----------
    runs : list of Run
        In order, neither touching nor overlapping.
    changed : bool
        Whether its row in the journal is old.
    """

    runs: list[Run] = []
    changed: bool = False

    def repeats(self, seen: Seen) -> bool:
        """Whether all rows of a message were seen before."""
        last = seen.first + seen.count - 1
        for run in self.runs:
            if run.first <= seen.first and last <= run.last:
                return run.from_ms <= seen.from_ms and seen.to_ms <= run.to_ms
        return False

    def restarted(self, seen: Seen) -> bool:
        """Whether the numbers began again: not above what was seen, but later than all of it.

        So it is after 2**32 - 1, and when a device restarts without a new boot number.
        """
        if not self.runs or seen.first + seen.count - 1 > self.runs[-1].last:
            return False
        return seen.from_ms > max(run.to_ms for run in self.runs)

    def add(self, seen: Seen) -> int:
        """Take a message in.

        Returns
        -------
        int
            How many rows are newly missing (above 0) or were missing and are found (below 0).
        """
        before = self.missing
        last = seen.first + seen.count - 1
        runs = self.runs
        merged = Run(seen.first, last, seen.from_ms, seen.to_ms)
        apart: list[Run] = []
        for run in runs:
            if run.last + 1 < merged.first or merged.last + 1 < run.first:
                apart.append(run)
            else:
                merged = Run(
                    min(run.first, merged.first),
                    max(run.last, merged.last),
                    min(run.from_ms, merged.from_ms),
                    max(run.to_ms, merged.to_ms),
                )
        apart.append(merged)
        apart.sort(key=lambda run: run.first)
        self.runs = apart
        change = self.missing - before
        while len(apart) > MAX_RUNS:
            # Given up: the rows stay counted as missing, and the receipt goes past them.
            oldest, second = apart[0], apart.pop(1)
            oldest.last = second.last
            oldest.from_ms = min(oldest.from_ms, second.from_ms)
            oldest.to_ms = max(oldest.to_ms, second.to_ms)
        return change

    @property
    def missing(self) -> int:
        """Rows between the first and the last seen that were not."""
        runs = self.runs
        return sum(b.first - a.last - 1 for a, b in pairwise(runs)) if len(runs) > 1 else 0


@dataclass(slots=True)
class Receipts:
    """What every device has delivered.

    Lives in the journal's thread. A change is first made here and then committed; the journal reads
    it back when it opens. `dropped` are boots whose rows in the journal are to go.
    """

    _devices: dict[str, dict[int, Delivered]] = field(
        default_factory=dict[str, dict[int, Delivered]]
    )
    dropped: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])

    def __len__(self) -> int:
        return len(self._devices)

    def repeats(self, seen: Seen) -> bool:
        """Whether a message came before, by its numbers and times."""
        boots = self._devices.get(seen.device_id)
        delivered = boots.get(seen.boot) if boots else None
        return delivered is not None and delivered.repeats(seen)

    def add(self, seen: Seen) -> int:
        """Take a message in; the change in missing rows, as `Delivered.add`."""
        boots = self._devices.get(seen.device_id)
        if boots is None:
            boots = self._devices[seen.device_id] = {}
        delivered = boots.get(seen.boot)
        if delivered is None:
            delivered = boots[seen.boot] = Delivered()
            while len(boots) > MAX_BOOTS:
                oldest = next(iter(boots))
                del boots[oldest]
                self.dropped.add((seen.device_id, oldest))
        elif delivered.restarted(seen):
            delivered.runs = []
        delivered.changed = True
        return delivered.add(seen)

    def note(self, seen: Seen) -> int | None:
        """Take a message in unless it came before: None for a repeat, else as `add`."""
        boots = self._devices.get(seen.device_id)
        delivered = boots.get(seen.boot) if boots else None
        if delivered is not None and delivered.runs:
            newest = delivered.runs[-1]
            # Nearly every message continues the newest run.
            if seen.first == newest.last + 1:
                newest.last += seen.count
                newest.from_ms = min(seen.from_ms, newest.from_ms)
                newest.to_ms = max(seen.to_ms, newest.to_ms)
                delivered.changed = True
                return 0
            if delivered.repeats(seen):
                return None
        return self.add(seen)

    def note_all(self, messages: "Numbered") -> list[int | None]:
        """Take messages in, in order; for each the same as `note`."""
        devices = self._devices
        told: list[int | None] = []
        for at, (device_id, boot, first, count, from_ms, to_ms) in enumerate(messages.rows()):
            boots = devices.get(device_id)
            delivered = boots.get(boot) if boots else None
            if delivered is not None and delivered.runs:
                newest = delivered.runs[-1]
                # The step of `note` that nearly every message takes, without an object for each.
                if first == newest.last + 1:
                    newest.last += count
                    # Without `min` and `max`: these calls were a third of this loop.
                    if from_ms < newest.from_ms:  # noqa: PLR1730 - see above
                        newest.from_ms = from_ms
                    if to_ms > newest.to_ms:  # noqa: PLR1730 - see above
                        newest.to_ms = to_ms
                    delivered.changed = True
                    told.append(0)
                    continue
            told.append(self.note(messages[at]))
        return told

    def fold(self) -> list[tuple[str, int, Delivered]]:
        """What changed since the last call: device, boot and rows seen."""
        changed: list[tuple[str, int, Delivered]] = []
        for device_id, boots in self._devices.items():
            for boot, delivered in boots.items():
                if delivered.changed:
                    changed.append((device_id, boot, delivered))
        return changed

    def receipt(self, device_id: str, boot: int) -> Receipt | None:
        """The receipt to give a device: the end of the lowest run of this boot.

        Numbers below the first that ever came were before our time and are not asked for.
        """
        delivered = self._devices.get(device_id, {}).get(boot)
        if delivered is None or not delivered.runs:
            return None
        return Receipt(boot, delivered.runs[0].last)

    def restore(self, device_id: str, boot: int, runs: Iterable[Run]) -> None:
        """Put back what the journal had kept."""
        self._devices.setdefault(device_id, {})[boot] = Delivered(list(runs))

    def delivered(self, device_id: str, boot: int) -> Delivered | None:
        """The rows seen of one device and boot."""
        return self._devices.get(device_id, {}).get(boot)


def seen_of(sequence: Sequence, times: list[int]) -> Seen:
    """The place of a message in its device's numbering, with the span of its own times."""
    if len(times) == 1:
        low = high = times[0]
    elif times:
        low, high = min(times), max(times)
    else:
        low = high = 0
    return Seen(sequence.device_id, sequence.boot, sequence.first, sequence.count, low, high)
