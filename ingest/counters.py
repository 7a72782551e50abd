"""What came in and what became of it, as one balance."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Counters"]


@dataclass(frozen=True, slots=True)
class Counters:
    """The counts of ingest at one moment, in readings unless said otherwise.

    A message nobody could read counts as one reading, a fault report as one.

    Attributes
    ----------
    received, stored, duplicate, quarantined, refused : int
        Since the journal was made; `refused` is content that must not be kept.
    in_journal : int
        Counted from the entries themselves, not from a running sum, so that the balance is a check.
    skipped : int
        Values that said "not known"; they are no readings.
    rejected : dict of str to int
        Messages by reason of quarantine or refusal.
    other : dict of str to int
        Everything else that is counted, by name: `messages`, `qos0`, `retained_ignored`,
        `sequence_missing`, `sequence_filled`, `quarantine_dropped`, ...
    """

    received: int = 0
    stored: int = 0
    in_journal: int = 0
    duplicate: int = 0
    quarantined: int = 0
    refused: int = 0
    skipped: int = 0
    rejected: dict[str, int] = field(default_factory=dict[str, int])
    other: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def balance(self) -> int:
        """Readings received that are in none of the other counts; 0 when all is right."""
        accounted = self.stored + self.in_journal + self.duplicate + self.quarantined + self.refused
        return self.received - accounted

    @property
    def balanced(self) -> bool:
        """Whether every reading received is accounted for."""
        return self.balance == 0

    @classmethod
    def of(cls, counts: Mapping[str, int], in_journal: int) -> "Counters":
        """From the journal's own names.

        Parameters
        ----------
        counts : mapping of str to int
            Rejections by reason are called `rejected.<reason>`.
        in_journal : int
        """
        main = ("received", "stored", "duplicate", "quarantined", "refused", "skipped")
        return cls(
            in_journal=in_journal,
            rejected={
                name.removeprefix("rejected."): n
                for name, n in sorted(counts.items())
                if name.startswith("rejected.")
            },
            other={
                name: n
                for name, n in sorted(counts.items())
                if name not in main and not name.startswith("rejected.")
            },
            **{name: counts.get(name, 0) for name in main},
        )
