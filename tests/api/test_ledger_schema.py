"""The schema goes up and down on both databases, whole or not at all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from api.errors import BadInputError
from api.ledger import open_ledger
from api.ledger.base import Base, Database
from api.ledger.schema import current, downgrade, head, upgrade


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.live)])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of its own: these tests take the schema down."""
    if request.param == "sqlite":
        return str(tmp_path / "ops.db")
    address: str = request.getfixturevalue("postgres").fresh(migrated=False)
    return address


def tables(database: Database) -> set[str]:
    return set(inspect(database.writer).get_table_names()) - {"alembic_version"}


def test_the_schema_goes_up_down_and_up_again(ledger_url: str) -> None:
    database = Database(ledger_url)
    upgrade(database)
    whole = tables(database)
    assert {"work_orders", "findings", "audit", "alert_deliveries"} <= whole
    downgrade(database, "base")
    assert tables(database) == set()
    upgrade(database)
    assert tables(database) == whole
    with database.writer.connect() as connection:
        assert current(connection) == head()
    database.close()


def test_the_migrations_make_what_the_tables_say(ledger_url: str) -> None:
    database = Database(ledger_url)
    upgrade(database)
    with database.writer.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []
    database.close()


def test_a_schema_from_the_future_is_left_alone(ledger_url: str) -> None:
    open_ledger(ledger_url).close()
    database = Database(ledger_url)
    with database.writer.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(BadInputError, match="9999"):
        open_ledger(ledger_url)
    database.close()


def test_the_audit_log_is_only_added_to(ledger_url: str) -> None:
    with open_ledger(ledger_url) as ledger:
        ledger.audit(actor="a", action="x", subject="y", now_ms=1)
        for sql in ("UPDATE audit SET actor = 'b'", "DELETE FROM audit"):
            with pytest.raises(DBAPIError), ledger.database.write() as session:
                session.execute(text(sql))
        assert [e.actor for e in ledger.audit_entries()] == ["a"]


KILLED = """
import os, signal, sys
from alembic import op
from api.ledger.base import Database
from api.ledger.schema import upgrade
real, calls = op.create_table, [0]
def create_table(*args, **kwargs):
    made = real(*args, **kwargs)
    calls[0] += 1
    if calls[0] == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return made
op.create_table = create_table
upgrade(Database(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 12, 20])
def test_b07_a_killed_migration_leaves_the_old_schema(tmp_path: Path, after: int) -> None:
    where = tmp_path / "ops.db"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(where), str(after)],
        check=False,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == -signal.SIGKILL
    database = Database(where)
    assert inspect(database.writer).get_table_names() == []
    database.close()
    with open_ledger(where) as ledger:
        assert ledger.work_orders().items == ()


def test_a_ledger_lives_in_sqlite_or_postgresql_only() -> None:
    with pytest.raises(BadInputError, match="mysql"):
        open_ledger("mysql://host/name")
    with pytest.raises(BadInputError, match="cannot be read"):
        open_ledger("://")
