"""The ledger: what stands in the street, what is wrong, who mends it, and who was told."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import BoundedSemaphore
from types import TracebackType
from typing import Self

from argon2 import PasswordHasher

from api.ledger.access import Access
from api.ledger.base import Database
from api.ledger.leader import Leader
from api.ledger.matters import Matters
from api.ledger.orders import Orders
from api.ledger.repeats import Repeats
from api.ledger.requests import Requests
from api.ledger.reviewing import Reviewing
from api.ledger.schema import upgrade
from api.ledger.situations import Situations
from api.ledger.street import Street
from api.ledger.telling import Telling
from api.operations.sla import Policy, load_policy

__all__ = ["Ledger", "open_ledger"]


class Ledger(Street, Matters, Orders, Requests, Telling, Reviewing, Situations, Access, Repeats):
    """One ledger; safe to use from several threads.

    Parameters
    ----------
    database : Database
        With the schema of this version: see `open_ledger`.
    policy : Policy
        How urgent, and by when.
    allow_simulated : bool
        Whether findings of simulated devices become incidents and work orders (the demo).
    """

    def __init__(
        self, database: Database, *, policy: Policy, allow_simulated: bool = False
    ) -> None:
        self._db = database
        self.policy = policy
        self.allow_simulated = allow_simulated
        self._known_assets = None
        self._hasher = PasswordHasher()
        # Each check takes 64 MiB: more than two at a time is somebody trying to exhaust us.
        self._hashing = BoundedSemaphore(2)
        # For what need not be written before an answer is given.
        self._afterwards = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._noting = set()

    @property
    def database(self) -> Database:
        """For the other parts of `api.ledger`."""
        return self._db

    def leader(self) -> Leader:
        """A candidate for running rounds and sending alerts; see `Leader.leads`."""
        return Leader(self._db)

    def close(self) -> None:
        """Let go of every connection."""
        self._afterwards.shutdown()
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_ledger(
    where: str | Path, *, policy: Policy | None = None, allow_simulated: bool = False
) -> Ledger:
    """Open a ledger, bringing its schema to this version's.

    Parameters
    ----------
    where : str or Path
        A file (SQLite), or postgresql://user@host/name.
    policy : Policy, optional
        Without it, Helsingborg's.
    allow_simulated : bool
        Whether findings of simulated devices become work orders.

    Raises
    ------
    BadInputError
        If the address cannot be used, or the schema is newer than this program.
    """
    database = Database(where)
    try:
        upgrade(database)
    except BaseException:
        database.close()
        raise
    return Ledger(database, policy=policy or load_policy(), allow_simulated=allow_simulated)
