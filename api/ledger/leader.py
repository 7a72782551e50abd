"""Which of several replicas runs the rounds and sends the alerts."""

from contextlib import suppress
from threading import Lock

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from api.ledger.base import Database
from api.ledger.models import FactRow

__all__ = ["Leader", "claim_rounds"]

LEADER_LOCK = 7_203_310
CLAIM_LOCK = 7_203_312
HOME = "rounds_home"


def claim_rounds(database: Database, home: str, *, adopt: bool = False) -> bool:
    """Whether rounds that are kept in this folder may be run over this ledger.

    What rounds remember of each luminaire lies in their folder, not in the ledger; over another
    folder they would take up none of it, and faults that are found over weeks would never end.

    Parameters
    ----------
    home : str
        Name of the folder. The first that asks is the one from then on.
    adopt : bool
        Whether this folder is to be the one from now on.
    """
    with database.write() as session:
        database.lock(session, CLAIM_LOCK)
        row = session.get(FactRow, HOME)
        if row is None:
            session.add(FactRow(name=HOME, value=home))
        elif adopt:
            row.value = home
        else:
            return row.value == home
    return True


class Leader:
    """A candidate; at most one leads at any moment.

    On PostgreSQL the leader holds an advisory lock on a connection of its own. Should the process
    or its connection die, the server lets go of the lock and another candidate leads from its next
    question on; what was begun is taken up from the ledger, so nothing is lost. An SQLite ledger
    is used by one process, which leads.

    Parameters
    ----------
    database : Database

    Attributes
    ----------
    term : int
        How often this candidate has come to lead: where it has changed, another may have led.
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self._connection: Connection | None = None
        self._asking = Lock()  # rounds and alerts ask from threads of their own
        self.term = 0

    def leads(self) -> bool:
        """Whether this replica leads now; asks the server each time, never blocks."""
        if self._db.dialect != "postgresql":
            return True
        with self._asking:
            return self._holds() or self._takes()

    def _holds(self) -> bool:
        if self._connection is not None:
            try:
                self._connection.exec_driver_sql("SELECT 1")
            except DBAPIError:
                self._connection.invalidate()
                self._connection.close()
                self._connection = None
            else:
                return True
        return False

    def _takes(self) -> bool:
        try:
            connection = self._db.writer.connect().execution_options(isolation_level="AUTOCOMMIT")
        except DBAPIError:
            return False
        question = f"SELECT pg_try_advisory_lock({LEADER_LOCK})"
        try:
            taken = connection.exec_driver_sql(question).scalar()
        except DBAPIError:
            taken = False
        if not taken:
            connection.close()
            return False
        self._connection = connection
        self.term += 1
        return True

    def resign(self) -> None:
        """Let another lead."""
        with self._asking:
            if self._connection is None:
                return
            # Whoever has lost the connection has lost the lock with it.
            with suppress(DBAPIError):
                self._connection.exec_driver_sql(f"SELECT pg_advisory_unlock({LEADER_LOCK})")
            self._connection.close()
            self._connection = None
