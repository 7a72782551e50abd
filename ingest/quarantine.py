"""Messages nobody could read, tried again after a decoder was mended."""

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from ingest.batch import Batch
from ingest.devices import Registry
from ingest.errors import MalformedPayloadError, RefusedContentError
from ingest.intake import Intake
from ingest.journal import Journal, JournalReader, QuarantinedMessage
from ingest.liveness import Liveness
from ingest.plausibility import Clocks, judge
from ingest.settings import CollectorSettings
from ingest.wire import decode

__all__ = ["Readmitted", "readmit"]


@dataclass(frozen=True, slots=True)
class Readmitted:
    """What became of quarantined messages that were tried again.

    Attributes
    ----------
    messages, readings : int
        How many left the quarantine, and the readings and fault reports they held.
    left : dict of str to int
        Those that still cannot be read, by reason.
    """

    messages: int
    readings: int
    left: dict[str, int]


def readmit(
    journal: Journal,
    registry: Registry,
    *,
    now_ms: Callable[[], int],
    search: str = "",
    limit: int = 1_000_000,
) -> Readmitted:
    """Read quarantined messages again, and journal those that can be read now.

    Each keeps the receive time it first had. A message leaves the quarantine in the commit that
    takes its readings; one that still cannot be read stays as it is.

    Parameters
    ----------
    journal : Journal
    registry : Registry
        Which devices exist.
    now_ms : callable
        The clock [ms, UTC].
    search : str
        Only messages with this in topic, reason or detail.
    limit : int
        Only so many, the newest first.

    Raises
    ------
    JournalError
        If the journal refuses; what was readmitted before stays so.
    """
    settings = CollectorSettings(receipts_s=0)
    intake = Intake(journal, registry, settings, Liveness(since_ms=now_ms()))
    messages = readings = 0
    left: Counter[str] = Counter()
    with closing(JournalReader(journal.path)) as reader:
        for page in reader.quarantine_pages(search, limit):
            readable = [message for message in page if _readable(message, registry)]
            left.update(message.reason for message in page if message not in readable)
            if readable:
                readings += journal.call(_take_back, intake, readable)
                messages += len(readable)
    return Readmitted(messages, readings, dict(left))


def _readable(message: QuarantinedMessage, registry: Registry) -> bool:
    """Whether it would be kept now, tried on clocks of its own."""
    try:
        decoded = decode(message.topic, message.payload, registry)
        judge(decoded, received_ms=message.received_ms, registry=registry, clocks=Clocks())
    except (MalformedPayloadError, RefusedContentError):
        return False
    return True


def _take_back(journal: Journal, intake: Intake, messages: list[QuarantinedMessage]) -> int:
    batch = Batch()
    for message in reversed(messages):  # in the order they came
        intake.take(batch, message.topic, message.payload, message.received_ms, again=True)
    readings = batch.counts["received"]
    for message in messages:
        batch.release(message.id, message.readings)
    journal.commit(batch)
    return readings
