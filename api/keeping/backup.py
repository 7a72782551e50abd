"""A copy of everything the program keeps, taken while it runs; and back again, checked.

The journal is copied first, then the archive: what is sealed in between is in both and becomes one
when it is read. The manifest is written last; without it there is no backup.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from api.datadir import DataDir
from api.errors import BadInputError, LjusvaktError
from ingest.journal import JournalReader
from ingest.reading import Quantity
from ingest.stores.merging import DAY_MS
from ingest.stores.parquet import ParquetStore

__all__ = ["MANIFEST", "back_up", "contents_of", "restore"]

MANIFEST = "manifest.json"
VERSION = 1
_FOLDERS = ("archive", "features", "attachments")
_FILES = ("registry.json",)
_LEDGER = "ops.db"
_FOREVER_MS = 2**53

Told = Callable[[str], None]


def back_up(data: Path, out: Path, *, now_ms: int, told: Told = lambda _: None) -> dict[str, Any]:
    """Copy a data folder, whether a program works in it or not.

    Parameters
    ----------
    data : Path
    out : Path
        A folder that does not exist yet, or is empty.
    now_ms : int
        Noted as the moment of the backup [ms, UTC].
    told : callable
        What is being copied.

    Returns
    -------
    dict
        The manifest: files with their SHA-256, and per quantity how many readings they hold and a
        checksum of them.

    Raises
    ------
    BadInputError
        If there is nothing to copy, or `out` is not empty.
    """
    if not data.is_dir():
        raise BadInputError(f"there is no data folder {data}", remedy="Name it with --data.")
    if out.exists() and any(out.iterdir()):
        raise BadInputError(f"{out} is not empty", remedy="Name a new folder for the backup.")
    out.mkdir(parents=True, exist_ok=True)
    journal = data / "journal.db"
    if journal.exists():
        told("journal")
        _copy_database(journal, out / "journal.db")
    for folder in _FOLDERS:
        told(folder)
        _copy_tree(data / folder, out / folder)
    if (data / _LEDGER).exists():
        told("ledger")
        _copy_database(data / _LEDGER, out / _LEDGER)
    for name in _FILES:
        if (data / name).exists():
            _copy_file(data / name, out / name)
    told("checksums")
    manifest: dict[str, Any] = {
        "version": VERSION,
        "taken_ms": now_ms,
        "files": _checksums(out),
        "contents": contents_of(out),
    }
    # Reading the copy may have left the database's own side files.
    manifest["files"] = {name: mark for name, mark in manifest["files"].items() if _kept(name)}
    _write_durably(out / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())
    return manifest


def restore(backup: Path, data: Path, *, told: Told = lambda _: None) -> dict[str, Any]:
    """Put a backup into an empty data folder and check that it holds what was noted.

    A folder in which a restore did not finish, however it ended, is used by nobody until it is
    restored again, from the beginning.

    Raises
    ------
    BadInputError
        If it is no backup, is damaged, or the data folder is in use or not empty.
    LjusvaktError
        If there is no room, or what was restored is not what was backed up.
    """
    manifest = _manifest(backup)
    told("checking the backup")
    _check_files(backup, manifest["files"])
    with DataDir(data, restoring=True) as folder:
        _make_empty(folder)
        try:
            _write_durably(folder.unfinished, b"")
            for name in sorted(manifest["files"]):
                _copy_file(backup / name, data / name)
        except OSError as error:
            raise LjusvaktError(
                f"{data} cannot take the backup: {error.strerror}",
                remedy="Make room there, then restore again.",
            ) from error
        told("checking what was restored")
        _check_files(data, manifest["files"])
        for database in ("journal.db", _LEDGER):
            if (data / database).exists():
                _check_integrity(data / database)
        if contents_of(data) != manifest["contents"]:
            raise LjusvaktError(
                f"the readings in {data} are not those of the backup",
                remedy="Do not use it; restore again from another copy.",
            )
        folder.unfinished.unlink()
    return manifest


def _make_empty(folder: DataDir) -> None:
    """Clear away what an unfinished restore left; anything else is somebody's data."""
    kept = [path for path in folder.path.iterdir() if path.name != ".lock"]
    if kept and not folder.unfinished.exists():
        names = sorted(path.name for path in kept)
        raise BadInputError(
            f"{folder.path} is not empty: {', '.join(names[:5])}",
            remedy="Restore into a new folder, or move the old data away.",
        )
    # The mark goes last: cut off in between, the rest is still known as unfinished.
    for path in sorted(kept, key=lambda path: path == folder.unfinished):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def contents_of(data: Path) -> dict[str, dict[str, int]]:
    """Per quantity, and for the fault reports, how many there are and a CRC-32 of all of them.

    Archive and journal together, as a reader would see them.
    """
    with contextlib.ExitStack() as stack:
        reader: JournalReader | None = None
        if (data / "journal.db").exists():
            reader = JournalReader(data / "journal.db")
            stack.callback(reader.close)
        store = ParquetStore(data / "archive", tail=reader)
        in_tail = reader.quantity_days() if reader is not None else {}
        found: dict[str, dict[str, int]] = {}
        for quantity in Quantity:
            days = set(store.days(quantity)) | {d for q, d in in_tail if q == quantity}
            if days:
                found[quantity.value] = _mark_of(store, quantity, sorted(days))
        if events := store.events(start_ms=-_FOREVER_MS, stop_ms=_FOREVER_MS):
            crc = zlib.crc32(repr(events).encode())
            found["events"] = {"rows": len(events), "crc": crc}
        return found


def _mark_of(store: ParquetStore, quantity: Quantity, days: list[int]) -> dict[str, int]:
    rows, crc = 0, 0
    for day in days:
        columns = store.columns(quantity, start_ms=day * DAY_MS, stop_ms=(day + 1) * DAY_MS)
        rows += len(columns)
        crc = zlib.crc32("\n".join(columns.device_ids).encode(), crc)
        for column in (columns.device, columns.time_ms, columns.value, columns.received_ms):
            crc = zlib.crc32(column.tobytes(), crc)
        crc = zlib.crc32(columns.flags.tobytes(), crc)
    return {"rows": rows, "crc": crc}


def _copy_database(source: Path, target: Path) -> None:
    """A consistent copy of a SQLite file that others write."""
    try:
        with contextlib.closing(
            sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)
        ) as db:
            db.execute("VACUUM INTO ?", (str(target),))
        handle = os.open(target, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except sqlite3.Error as error:
        raise LjusvaktError(
            f"{source} cannot be copied to {target.parent}: {error}",
            remedy="Look whether there is room; `ljusvakt doctor` checks what is copied.",
        ) from error


def _copy_tree(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            # Retention may take a day away while we look.
            with contextlib.suppress(FileNotFoundError):
                _copy_file(path, target / name)


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as read, target.open("wb") as written:
        shutil.copyfileobj(read, written, 1 << 20)
        written.flush()
        os.fsync(written.fileno())


def _write_durably(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.part")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _kept(name: str) -> bool:
    return not name.endswith(("-wal", "-shm"))


def _checksums(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): _sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(backup: Path) -> dict[str, Any]:
    path = backup / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        files: dict[str, str] = manifest["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(
            f"{backup} is no finished backup: {path.name} is missing or damaged",
            remedy="Name a folder that `ljusvakt backup` has finished.",
        ) from error
    if manifest.get("version", 0) > VERSION:
        raise BadInputError(f"{backup} was made by a newer Ljusvakt", remedy="Update this one.")
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in files):
        raise BadInputError(f"{path} names files outside the backup", remedy="Do not use it.")
    return manifest


def _check_files(folder: Path, files: dict[str, str]) -> None:
    for name, mark in files.items():
        path = folder / name
        if not path.is_file() or _sha256(path) != mark:
            raise BadInputError(
                f"{path} is missing or not what was backed up", remedy="Use another copy."
            )


def _check_integrity(database: Path) -> None:
    with contextlib.closing(
        sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
    ) as db:
        (said,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    if said != "ok":
        raise LjusvaktError(f"{database} is damaged: {said}", remedy="Use another copy.")
