"""The journal's file: its tables, how it is opened, and who may write it."""

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Final

from ingest.errors import JournalError, JournalFullError
from ingest.reading import Flag

__all__ = [
    "COUNT_EVENTS",
    "IN_JOURNAL",
    "PAGE_SIZE",
    "SCHEMA",
    "SCHEMA_VERSION",
    "connect",
    "take_writer_lock",
    "told",
]

SCHEMA_VERSION: Final = 2
PAGE_SIZE: Final = 8192

COUNT_EVENTS: Final = f"SELECT count(*) FROM event WHERE flags & {int(Flag.WITHDRAWN)} = 0"  # noqa: S608 - fixed text
"""Fault reports; what takes one back is none."""
IN_JOURNAL: Final = f"SELECT (SELECT coalesce(sum(n), 0) FROM entry) + ({COUNT_EVENTS})"  # noqa: S608 - fixed text
"""Readings and fault reports."""

SCHEMA: Final = """
CREATE TABLE device(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE entry(id INTEGER PRIMARY KEY AUTOINCREMENT, quantity TEXT NOT NULL,
                   day INTEGER NOT NULL, n INTEGER NOT NULL, t_min INTEGER NOT NULL,
                   t_max INTEGER NOT NULL, b BLOB NOT NULL);
CREATE INDEX entry_qd ON entry(quantity, day, n);
CREATE TABLE event(id INTEGER PRIMARY KEY AUTOINCREMENT, device INTEGER NOT NULL,
                   time_ms INTEGER NOT NULL, received_ms INTEGER NOT NULL, event TEXT NOT NULL,
                   active INTEGER, info TEXT, flags INTEGER NOT NULL);
CREATE TABLE quarantine(id INTEGER PRIMARY KEY AUTOINCREMENT, received_ms INTEGER NOT NULL,
                        topic TEXT, reason TEXT NOT NULL, detail TEXT NOT NULL,
                        readings INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE TABLE dirty(quantity TEXT, day INTEGER, since INTEGER NOT NULL, PRIMARY KEY(quantity, day));
CREATE TABLE counter(name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE frame(id INTEGER PRIMARY KEY, key BLOB NOT NULL, first_ms INTEGER NOT NULL,
                   last_ms INTEGER NOT NULL, at_ms INTEGER);
CREATE INDEX frame_key ON frame(key);
CREATE TABLE sequence(device INTEGER NOT NULL, boot INTEGER NOT NULL, seen INTEGER NOT NULL,
                      runs BLOB NOT NULL, PRIMARY KEY(device, boot)) WITHOUT ROWID;
CREATE TABLE sequence_log(id INTEGER PRIMARY KEY, b BLOB NOT NULL);
CREATE TABLE meta(k TEXT PRIMARY KEY, v TEXT);
"""


def told(path: Path, error: BaseException) -> BaseException:
    """The journal's own error for one of SQLite's."""
    if not isinstance(error, sqlite3.Error):
        return error
    if getattr(error, "sqlite_errorname", "").startswith("SQLITE_FULL"):
        return JournalFullError(f"the disk of {path} is full: {error}; make room, nothing is lost")
    return JournalError(f"the journal {path} could not be written: {error}; nothing is lost")


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection without transactions of its own."""
    if read_only:
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=10.0,
        )
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)


def take_writer_lock(path: Path) -> int:
    """Be the only writer, or say who is."""
    lock = path.with_name(path.name + ".writer")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise JournalError(
            f"the journal {path} cannot be written: {error.strerror}; its folder must be writable"
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(fd, 32).decode("ascii", "replace").strip()
        os.close(fd)
        raise JournalError(
            f"process {holder or '?'} writes the journal {path}; a journal has one writer: "
            "stop that process or choose another data folder"
        ) from error
    # The pid is a courtesy to whoever comes second; a full disk must not keep us from reading.
    with contextlib.suppress(OSError):
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd
