"""Which of several replicas runs the rounds and sends the alerts."""

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from api.ledger.base import Database

__all__ = ["Leader"]

LEADER_LOCK = 7_203_310


class Leader:
    """A candidate; at most one leads at any moment.

    On PostgreSQL the leader holds an advisory lock on a connection of its own. Should the process
    or its connection die, the server lets go of the lock and another candidate leads from its next
    question on; what was begun is taken up from the ledger, so nothing is lost. An SQLite ledger
    is used by one process, which leads.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self._connection: Connection | None = None

    def leads(self) -> bool:
        """Whether this replica leads now; asks the server each time, never blocks."""
        if self._db.dialect != "postgresql":
            return True
        if self._connection is not None:
            try:
                self._connection.exec_driver_sql("SELECT 1")
            except DBAPIError:
                self._connection.invalidate()
                self._connection.close()
                self._connection = None
            else:
                return True
        try:
            connection = self._db.writer.connect().execution_options(isolation_level="AUTOCOMMIT")
        except DBAPIError:
            return False
        taken = connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({LEADER_LOCK})").scalar()
        if not taken:
            connection.close()
            return False
        self._connection = connection
        return True

    def resign(self) -> None:
        """Let another lead."""
        if self._connection is not None:
            self._connection.exec_driver_sql(f"SELECT pg_advisory_unlock({LEADER_LOCK})")
            self._connection.close()
            self._connection = None
