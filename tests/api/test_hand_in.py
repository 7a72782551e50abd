"""What comes by another way than the broker is as durable as what comes by it."""

import threading
from pathlib import Path

import pytest

from api.hand_in import HandIn
from ingest.devices import Registry
from ingest.errors import JournalFullError
from ingest.journal import Journal

NOW_MS = 1_790_000_000_000
TOPIC = "ljusvakt/v1/g/d/power_w"
MESSAGE = (TOPIC, b'{"boot":1,"seq":0,"t":%d,"v":12}' % NOW_MS, NOW_MS)


def opened(folder: Path) -> Journal:
    return Journal(
        folder / "journal.db", quota_bytes=10**8, now_ms=lambda: NOW_MS, min_free_bytes=0
    )


def hand_in_to(journal: Journal, insist_s: float) -> HandIn:
    everyone = Registry(enrol=True)
    return HandIn(journal, registry=lambda: everyone, now_ms=lambda: NOW_MS, insist_s=insist_s)


def test_a_numbered_message_refused_by_a_full_journal_is_kept_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened(tmp_path)
    refused = threading.Event()
    why_full = journal._why_full

    def told(more_bytes: int) -> str:
        why = why_full(more_bytes)
        if why:
            refused.set()
        return why

    monkeypatch.setattr(journal, "_why_full", told)
    journal.quota_bytes = 0
    hand_in = hand_in_to(journal, 30)
    handing = threading.Thread(target=hand_in.put, args=([MESSAGE],))
    handing.start()
    assert refused.wait(10)
    journal.quota_bytes = 10**8
    handing.join(10)
    assert not handing.is_alive()
    counters = journal.counters()
    assert (counters.received, counters.in_journal, counters.duplicate) == (1, 1, 0)
    journal.close()


def test_a_journal_that_stays_full_is_told_and_handing_in_again_counts_once(
    tmp_path: Path,
) -> None:
    journal = opened(tmp_path)
    journal.quota_bytes = 0
    hand_in = hand_in_to(journal, 0.05)
    with pytest.raises(JournalFullError, match="quota"):
        hand_in.put([MESSAGE])
    assert journal.counters().received == 0
    journal.quota_bytes = 10**8
    hand_in.put([MESSAGE])
    counters = journal.counters()
    assert (counters.in_journal, counters.duplicate) == (1, 1)
    assert counters.balanced
    journal.close()


def test_numbered_messages_leave_nothing_behind_in_memory(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    hand_in = hand_in_to(journal, 1)
    hand_in.put([MESSAGE, (TOPIC, b'{"boot":1,"seq":1,"t":%d,"v":1}' % (NOW_MS + 1), NOW_MS)])
    assert not hand_in._intake.due
    journal.close()
