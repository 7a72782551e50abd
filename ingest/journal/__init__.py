"""The journal: what was acknowledged is on this disk before it is acknowledged."""

from ingest.journal.reader import JournalEntry, JournalReader, QuarantinedMessage, check_journal
from ingest.journal.writer import Journal

__all__ = ["Journal", "JournalEntry", "JournalReader", "QuarantinedMessage", "check_journal"]
