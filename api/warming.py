"""Answers made before they are asked for, so that nobody waits for what everybody will ask."""

import asyncio
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from api.auth import Principal, Role
from api.errors import LjusvaktError
from api.routes.pages import figures_of
from api.routes.places import counted_places
from api.services import Services
from ingest.errors import IngestError

__all__ = ["keep_warm"]

EVERY_S = 5.0
WHOLE_CITY = Principal("ljusvakt", "ljusvakt", frozenset({Role.OPERATOR}))


async def keep_warm(services: Services) -> None:
    """Make what the first page shows of the whole city whenever it has changed, until cancelled.

    A round changes the state of luminaires in whichever process it is run, so the ledger is asked
    whether there is anything new. Who comes before that makes it for himself.
    """
    while True:
        # What is away now is told by the answer that needs it; here it is only tried again.
        with suppress(SQLAlchemyError, LjusvaktError, IngestError, OSError):
            await run_in_threadpool(warm, services)
        await asyncio.sleep(EVERY_S)


def warm(services: Services) -> None:
    """Once."""
    figures_of(services, WHOLE_CITY)
    counted_places(services, WHOLE_CITY)
