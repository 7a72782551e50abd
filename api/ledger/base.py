"""The ledger's ground: table base, times, and engines for SQLite and PostgreSQL."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import quote

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Engine,
    Integer,
    MetaData,
    String,
    Text,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import ArgumentError, OperationalError, StatementError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from api.errors import BadInputError

__all__ = [
    "Base",
    "BigId",
    "CleanJson",
    "CleanName",
    "CleanText",
    "Database",
    "Document",
    "UtcDateTime",
    "ledger_url",
    "row_of",
]

# Every constraint has a name, or a batch migration on SQLite could not drop it.
NAMES = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
LOCK_WAIT_S = 30


class Base(DeclarativeBase):
    """Parent of every table of the ledger, those of `api.ledger.interventions` too."""

    metadata = MetaData(naming_convention=NAMES)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment with its zone. SQLite keeps no zone, so UTC is written and UTC is read."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; a moment without a zone is refused, because nobody knows when it is."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no zone")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Back with its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# NUL (PostgreSQL) and lone surrogates (both) cannot be written, so they are left out.
UNWRITABLE = re.compile("[\x00\ud800-\udfff]")


class CleanText(TypeDecorator[str]):
    """Text of any length, without what no database can hold."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Clean."""
        return None if value is None else UNWRITABLE.sub("", value)


class CleanName(TypeDecorator[str]):
    """Text of limited length; longer is refused alike on both databases."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Clean, or refuse."""
        if value is None:
            return None
        limit = getattr(self.impl, "length", None)
        if limit is not None and len(value) > limit:
            raise BadInputError(f"{value[:20]!r}... is longer than {limit} characters.")
        return UNWRITABLE.sub("", value)


class CleanJson(TypeDecorator[Any]):
    """A JSON document whose texts are clean."""

    impl = JSON().with_variant(JSONB(), "postgresql")
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Clean."""
        return clean(value)


Document = CleanJson


def clean(value: Any) -> Any:
    """A document with every text in it clean."""
    if isinstance(value, str):
        return UNWRITABLE.sub("", value)
    if isinstance(value, dict):
        return {clean(k): clean(v) for k, v in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in cast("list[Any]", value)]
    return value


# SQLite numbers rows by itself only where the key is INTEGER to the letter.
BigId = BigInteger().with_variant(Integer, "sqlite")


R = TypeVar("R", bound=Base)


def row_of(session: Session, table: type[R], number: int) -> R | None:
    """The row of this number; None where there is none, or where none can be."""
    return session.get(table, number) if abs(number) < 2**62 else None


def ledger_url(where: str | Path) -> str:
    """Database address of a file path, or of an address as it stands.

    Raises
    ------
    BadInputError
        If an address names another database than SQLite or PostgreSQL.
    """
    text = str(where)
    if "://" not in text:
        return f"sqlite:///{Path(text).absolute()}"
    if text.startswith("postgres://"):
        text = "postgresql://" + text.removeprefix("postgres://")
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise BadInputError(f"ledger address {text!r} cannot be read") from error
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in {"sqlite", "postgresql"}:
        raise BadInputError(
            f"the ledger cannot live in {url.get_backend_name()!r}.",
            remedy="Give a file path or postgresql://user@host/name.",
        )
    return url.render_as_string(hide_password=False)


class Database:
    """One ledger database: who writes waits in line, who reads does not.

    Parameters
    ----------
    where : str or Path
        File of an SQLite ledger, or an address (`postgresql://user@host/name`).

    Attributes
    ----------
    dialect : str
        "sqlite" or "postgresql".
    """

    def __init__(self, where: str | Path) -> None:
        self.url = ledger_url(where)
        parsed = make_url(self.url)
        self.dialect = parsed.get_backend_name()
        self.path = Path(parsed.database) if self.dialect == "sqlite" and parsed.database else None
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.writer = sqlite_engine(self.url, begin="BEGIN IMMEDIATE", pool_size=1)
            with self.writer.connect() as connection:
                connection.exec_driver_sql("SELECT 1")  # the file exists before anyone reads it
            # mode=ro: a read can never turn into a write by mistake.
            self.reader = sqlite_engine(
                f"sqlite:///file:{quote(str(self.path))}?mode=ro&uri=true", begin="BEGIN"
            )
        else:
            self.writer = self.reader = postgres_engine(self.url)
        self._joined: ContextVar[Session | None] = ContextVar("joined", default=None)

    @contextmanager
    def joined(self, session: Session) -> Generator[None]:
        """Make all that this thread asks meanwhile part of one transaction."""
        before = self._joined.set(session)
        try:
            yield
        finally:
            self._joined.reset(before)

    @property
    def undecided(self) -> bool:
        """Whether this thread sees what is not committed yet, and may never be."""
        return self._joined.get() is not None

    @contextmanager
    def write(self) -> Generator[Session]:
        """A transaction that may write; committed at the end, rolled back on any error."""
        outer = self._joined.get()
        if outer is not None:
            # What was read before may have been changed by others until its row was locked.
            outer.expire_all()
            with unwrapped(), outer.begin_nested():
                yield outer
            return
        with unwrapped(), Session(self.writer, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Generator[Session]:
        """A transaction that sees one moment and writes nothing."""
        outer = self._joined.get()
        if outer is not None:
            outer.expire_all()
            with unwrapped():
                yield outer
            return
        with unwrapped(), Session(self.reader, expire_on_commit=False) as session:
            yield session

    def lock(self, session: Session, number: int) -> None:
        """Hold back others with the same number until this transaction ends.

        SQLite needs none: its writers already stand in line.
        """
        if self.dialect == "postgresql":
            session.connection().exec_driver_sql(f"SELECT pg_advisory_xact_lock({int(number)})")

    def close(self) -> None:
        """Let go of every connection."""
        self.writer.dispose()
        self.reader.dispose()


@contextmanager
def unwrapped() -> Generator[None]:
    """Let our own refusals through as they are: SQLAlchemy wraps what a column's type raises."""
    try:
        yield
    except StatementError as error:
        if isinstance(error.orig, BadInputError):
            raise error.orig from error
        raise


def sqlite_engine(url: str, *, begin: str, pool_size: int = 8) -> Engine:
    """An engine whose transactions are ours: the driver's own would commit DDL at once.

    On Python 3.11 and 3.12 the driver commits before a CREATE TABLE, so a killed migration would
    stay half done; with our own BEGIN a rollback takes the table away again.
    """
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=LOCK_WAIT_S,
        connect_args={"timeout": LOCK_WAIT_S, "check_same_thread": False},
    )

    def on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA busy_timeout = {LOCK_WAIT_S * 1000}")
        if begin == "BEGIN IMMEDIATE":
            connection.execute("PRAGMA journal_mode = WAL")
            # FULL: an order taken by a crew outlives a power cut.
            connection.execute("PRAGMA synchronous = FULL")

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    return engine


def postgres_engine(url: str) -> Engine:
    """An engine for PostgreSQL by psycopg.

    Raises
    ------
    BadInputError
        If psycopg is not installed.
    """
    try:
        return create_engine(url, pool_size=8, max_overflow=8, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise BadInputError(
            "a PostgreSQL ledger needs psycopg.", remedy="Install ljusvakt[postgres]."
        ) from error


def reachable(database: Database) -> bool:
    """Whether the database answers."""
    try:
        with database.reader.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
    except OperationalError:
        return False
    return True
