"""The schema's life: brought up to this version, never past it, never left half-way."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from api.errors import BadInputError
from api.ledger.base import Database

__all__ = ["current", "downgrade", "head", "upgrade"]

SCHEMA_LOCK = 7_203_303


def settings(connection: Connection | None = None) -> Config:
    """Alembic's settings; the scripts travel with the package."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    if connection is not None:
        config.attributes["connection"] = connection
    return config


@cache
def revisions() -> tuple[str, ...]:
    """Every revision this program knows, the newest first: the scripts are read once a process."""
    scripts = ScriptDirectory.from_config(settings())
    return tuple(script.revision for script in scripts.walk_revisions())


def head() -> str:
    """The newest revision this program knows."""
    return revisions()[0]


def current(connection: Connection) -> str | None:
    """The revision the database has."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the schema up; all in one transaction, so a killed migration leaves the old one.

    Raises
    ------
    BadInputError
        If the database has a revision this program does not know.
    """
    with database.writer.begin() as connection:
        if database.dialect == "postgresql":  # two replicas that start together
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})")
        have = current(connection)
        if have is not None and have not in revisions():
            raise BadInputError(
                f"the ledger has schema {have}, which this version does not know.",
                remedy="Use the version that wrote it, or a newer one.",
            )
        if have != head() or revision != "head":
            command.upgrade(settings(connection), revision)


def downgrade(database: Database, revision: str) -> None:
    """Take the schema back; "base" takes all of it away."""
    with database.writer.begin() as connection:
        command.downgrade(settings(connection), revision)
