"""Alembic's entry: runs on the connection it is handed, inside that connection's transaction."""

from importlib import import_module

from alembic import context

from api.ledger.base import Base

import_module("api.ledger.models")  # declares the tables
import_module("api.ledger.interventions")  # declares the planners' tables
import_module("api.ledger.note_files")


def run() -> None:
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        transaction_per_migration=False,
        # The caller has begun, and ends it: a killed migration leaves nothing behind.
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
