"""Keeps the city's own case system in step, for as long as this process leads."""

import socket
from collections.abc import Callable
from os import getpid

import structlog

from api.alerting import again_and_again
from api.clock import Clock
from api.errors import BadInputError
from api.interop.case_system import CaseClient, CaseSync, CaseSystemSettings
from api.ledger import Ledger
from api.notify import Outgoing
from api.settings import CaseSettings

__all__ = ["CaseOffice"]

LOOK_EVERY_S = 60.0


class CaseOffice:
    """The loop that tells the case system of our orders and asks how they stand there.

    Parameters
    ----------
    ledger : Ledger
    settings : CaseSettings
        With an address.
    clock : Clock
    may_send : callable
        Whether this process is the one that does; asked before each turn.

    Raises
    ------
    BadInputError
        If the settings say where, but not by which key and service.
    """

    def __init__(
        self, ledger: Ledger, settings: CaseSettings, clock: Clock, *, may_send: Callable[[], bool]
    ) -> None:
        if not settings.service_code or not settings.api_key.get_secret_value():
            raise BadInputError(
                "case_system.url is set, but not case_system.api_key and .service_code",
                remedy="Set both, or leave case_system.url empty.",
            )
        self._clock = clock
        self._may_send = may_send
        client = CaseClient(
            CaseSystemSettings(
                settings.name,
                settings.url,
                settings.api_key.get_secret_value(),
                settings.service_code,
                settings.jurisdiction_id,
            ),
            Outgoing(allow=frozenset(settings.allow)),
        )
        self._sync = CaseSync(ledger, client, name=f"{socket.gethostname()}:{getpid()}")
        self._log = structlog.get_logger("cases")

    async def run(self) -> None:
        """Keep in step, for ever."""
        await again_and_again(
            self.turn, every_s=LOOK_EVERY_S, trouble="the case system could not be told"
        )

    def turn(self) -> None:
        """Tell and ask once."""
        if not self._may_send():
            return
        done = self._sync.run_once(now_ms=self._clock.now_ms())
        if done.told or done.failed or done.closed:
            self._log.info("cases", told=done.told, failed=done.failed, closed=done.closed)
