"""A real PostgreSQL for the length of a test run: its own folder, a Unix socket, no network."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

from api.ledger import open_ledger

__all__ = ["PostgresServer", "postgres_server"]

# A test server may forget everything in a power cut.
FAST = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"


class PostgresServer:
    """A running server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = count(1)
        self._template = ""
        self._shared = ""

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}"

    def fresh(self, *, migrated: bool = True) -> str:
        """Address of a new database, with the schema in it unless told otherwise."""
        return self.url(self.create(self._template_name() if migrated else ""))

    def emptied(self) -> str:
        """Address of one database that is shared: with the schema, and nothing in it."""
        if not self._shared:
            self._shared = self.url(self.create(self._template_name()))
        with psycopg.connect(
            host=str(self.folder), user="postgres", dbname=self._shared_name(), autocommit=True
        ) as connection:
            tables = connection.execute(
                "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables"
                " WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
            ).fetchone()
            assert tables is not None
            # As a replica no trigger fires: the audit log guards itself against this very thing.
            connection.execute("SET session_replication_role = replica")
            connection.execute(f"TRUNCATE {tables[0]} RESTART IDENTITY CASCADE")
        return self._shared

    def _shared_name(self) -> str:
        return self._shared.partition("@/")[2].partition("?")[0]

    def _template_name(self) -> str:
        if not self._template:
            self._template = self.create("")
            open_ledger(self.url(self._template)).close()
        return self._template

    def create(self, template: str) -> str:
        name = f"t{next(self._numbers)}"
        with psycopg.connect(host=str(self.folder), user="postgres", autocommit=True) as connection:
            connection.execute(
                f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else "")
            )
        return name

    def kill_sessions(self) -> None:
        """End every other connection, as a failing network or server would."""
        with psycopg.connect(host=str(self.folder), user="postgres", autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )


@contextmanager
def postgres_server(programs: Path) -> Generator[PostgresServer]:
    """Run a server from Debian's binaries; PostgreSQL refuses root, so root becomes `postgres`."""
    # /tmp itself: a Unix socket's path has at most about 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="lvpg-", dir="/tmp"))
    as_user: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    data = folder / "data"

    def run(*command: str) -> None:
        subprocess.run([*as_user, *command], check=True, capture_output=True, cwd=folder)

    try:
        run(
            str(programs / "initdb"),
            *("-D", str(data), "-U", "postgres", "-A", "trust"),
            *("--no-sync", "-E", "UTF8", "--no-locale"),
        )
        options = f"-c listen_addresses='' -k {folder} {FAST} -c max_connections=200"
        log = str(folder / "log")
        run(str(programs / "pg_ctl"), "-D", str(data), "-w", "-l", log, "-o", options, "start")
        try:
            yield PostgresServer(folder)
        finally:
            run(str(programs / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
