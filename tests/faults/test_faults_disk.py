"""A journal on a disk that forgets what was not synced, or fails at any one call."""

import errno
import os
import random
from collections import Counter
from pathlib import Path

import pytest
from faults import journal_process
from faults.disk import Call, after_power_cut, calls_of, library, run_on_disk
from faults.journal_process import BORN_MS, ROWS

from ingest.errors import JournalError
from ingest.journal import Journal, JournalReader, check_journal
from ingest.reading import Frame

__all__ = ["library"]

LONG = os.environ.get("LJUSVAKT_LONG") == "1"
pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.timeout(3600 if LONG else 300),
]
SEED = int(os.environ.get("LJUSVAKT_SEED", "20261123"))
SCRIPT = journal_process.__file__
BATCHES = 60
NOTHING: dict[str, list[object]] = {"lost": [], "forgotten": [], "damaged": []}


def wrong_after(folder: Path) -> dict[str, list[object]]:
    """What is wrong when the journal is opened again, as after any restart; `NOTHING` if nothing.

    Batches that were acknowledged and are neither in the journal nor in the store, whole; batches
    that are there while what was seen of their frames is not; and what `doctor` would say.
    """
    told = [int(line) for line in _lines(folder / "acks")]
    stored: dict[int, int] = {}
    for line in _lines(folder / "store"):
        time_ms, _, value = line.partition(" ")
        if value:
            stored[int(time_ms)] = int(value)
    journal = Journal(
        folder / "journal.db", quota_bytes=1 << 30, now_ms=lambda: BORN_MS, min_free_bytes=0
    )
    reader = JournalReader(journal.path)
    try:
        columns = reader.tail("power_w", 0, 2**60)
        pairs = zip(columns.time_ms.tolist(), map(int, columns.value.tolist()), strict=True)
        stored.update(pairs)
        lost = [
            number
            for number in told
            if any(stored.get(BORN_MS + number * 10 + row) != number for row in range(ROWS))
        ]
        kept = sorted(set(told) - set(lost))
        forgotten = [number for number in kept if not _frame_is_known(journal, number)]
    finally:
        reader.close()
        journal.close()
    return {
        "lost": list(lost),
        "forgotten": list(forgotten),
        "damaged": list(check_journal(folder / "journal.db")),
    }


def _frame_is_known(journal: Journal, number: int) -> bool:
    """Whether the frame of a batch, heard again, would be known as a repeat."""
    at_ms = BORN_MS + number * 10
    return journal.call(lambda j: j.frames.hear(Frame("lora", number, b"x"), at_ms, at_ms)).repeat


def _lines(path: Path) -> list[str]:
    # The last line may be torn; lines a power cut has left out are holes of zeros.
    if not path.exists():
        return []
    whole = path.read_bytes().replace(b"\0", b"").decode().rpartition("\n")[0]
    return [line for line in whole.split("\n") if line]


def recorded(library: Path, tmp_path: Path, *, normal: bool = False) -> list[Call]:
    """All calls to the disk of one run that nothing disturbs."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if normal:
        (folder / "synchronous-normal").touch()
    assert run_on_disk(library, folder, SCRIPT, str(BATCHES), log=tmp_path / "log") == 0
    return calls_of(tmp_path / "log")


def calls_to(calls: list[Call], name: str) -> int:
    return sum(call.path.endswith(name) for call in calls)


def wrong_after_power_cuts(calls: list[Call], tmp_path: Path, *, cuts: int) -> Counter[str]:
    """How often what was wrong after the power went at a random call."""
    rng = random.Random(SEED)  # noqa: S311 - where the power goes is no secret
    found: Counter[str] = Counter()
    for cut in range(cuts):
        upto = rng.randrange(len(calls) // 10, len(calls) + 1)
        after = tmp_path / f"after-{cut}"
        after.mkdir()
        left = after_power_cut(calls[:upto], rng, keep=rng.choice([0.0, 0.5, 0.9]))
        # What was told went over the network: all of it counts.
        told = b"".join(c.data for c in calls[:upto] if c.path.endswith("acks"))
        for path, data in left.items():
            (after / Path(path).name).write_bytes(data)
        (after / "acks").write_bytes(told)
        found += Counter({what: len(them) for what, them in wrong_after(after).items()})
    return found


def test_a_power_cut_at_any_moment_loses_nothing_acknowledged(
    library: Path, tmp_path: Path
) -> None:
    calls = recorded(library, tmp_path)
    assert calls_to(calls, "acks") == BATCHES
    assert calls_to(calls, "journal.db") > 20, "checkpoints are among what is cut"
    cuts = 400 if LONG else 60
    assert wrong_after_power_cuts(calls, tmp_path, cuts=cuts) == Counter()


def test_the_disk_finds_a_journal_that_does_not_sync(library: Path, tmp_path: Path) -> None:
    calls = recorded(library, tmp_path, normal=True)
    assert wrong_after_power_cuts(calls, tmp_path, cuts=20)["lost"] > 0


def calls_made(library: Path, folder: Path, tmp_path: Path) -> int:
    folder.mkdir()
    assert run_on_disk(library, folder, SCRIPT, str(BATCHES // 3), log=tmp_path / "log") == 0
    return len(calls_of(tmp_path / "log"))


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
def test_any_one_call_may_fail_and_nothing_is_lost(
    library: Path, tmp_path: Path, *, after: bool
) -> None:
    total = calls_made(library, tmp_path / "clean", tmp_path)
    rng = random.Random(SEED)  # noqa: S311 - which call fails is no secret
    chosen = range(1, total + 1) if LONG else sorted(rng.sample(range(1, total + 1), 8))
    for number in chosen:
        folder = tmp_path / f"fail-{number}"
        folder.mkdir()
        faults = {
            "fail_at": number,
            "fail_for": rng.choice([1, 1, 5]),
            "errno": rng.choice([errno.EIO, errno.ENOSPC]),
        }
        if after:
            faults["fail_after"] = 1
        assert run_on_disk(library, folder, SCRIPT, str(BATCHES // 3), **faults) == 0, faults
        assert len(set(_lines(folder / "acks"))) == BATCHES // 3, faults
        assert wrong_after(folder) == NOTHING, faults


def test_a_disk_that_fails_for_long_stops_the_acknowledgements_only(
    library: Path, tmp_path: Path
) -> None:
    total = calls_made(library, tmp_path / "clean", tmp_path)
    folder = tmp_path / "disk"
    folder.mkdir()
    faults = {"fail_at": total - 30, "fail_for": 10**6, "errno": errno.ENOSPC}
    # The process cannot go on, and tells nobody that it could.
    assert run_on_disk(library, folder, SCRIPT, str(BATCHES), **faults) == 3
    assert 0 < len(_lines(folder / "acks")) < BATCHES
    assert wrong_after(folder) == NOTHING


def test_a_folder_that_cannot_be_written_is_told_and_nothing_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.write_text("no folder at all")
    with pytest.raises(JournalError, match="must be writable"):
        Journal(folder / "journal.db", quota_bytes=1, now_ms=lambda: 0)
