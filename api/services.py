"""What the routes use; `api.bootstrap` puts it together, nothing here opens anything."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import httpx2
from fastapi import Depends, Request

from api.assets import Asset
from api.clock import Clock
from api.hand_in import TakesDecoded
from api.i18n import Words
from api.ledger import Ledger
from api.operations.states import LuminaireStatus
from api.settings import Settings
from api.snapshots import Snapshots
from ingest.stores import SeriesStore

__all__ = ["Health", "ServiceDep", "Services", "services_of"]


@dataclass(frozen=True, slots=True)
class Health:
    """How one part of the program is.

    Attributes
    ----------
    ok : bool
        Whether it does what it should.
    detail : str
        What is wrong, and since when; may be empty.
    needed : bool
        Whether nothing can be answered without it (`/readyz` says 503 then).
    """

    ok: bool
    detail: str = ""
    needed: bool = False


@dataclass
class Services:
    """Everything a route may use.

    Attributes
    ----------
    settings : Settings
    clock : Clock
        The one clock; sessions and locks count by it too, so that tests can move it.
    ledger : Ledger
    store : SeriesStore
        Readings.
    counters : callable
        The balance of ingest: `received, stored, in_journal, duplicate, quarantined, refused` and
        whatever else is counted; a value may be a mapping from reason to number.
    health : callable
        Name of each part and how it is.
    stale : callable
        Whether the last round is so long ago that states, findings and orders may hold no more:
        the last good ones are still given, and answers say so.
    picture : callable or None
        Work order id and language to an SVG that shows in five seconds why we believe so; None
        where nothing is known to draw.
    hand_in : TakesDecoded or None
        Takes what comes by HTTP (TALQ) into the journal. None where no collector runs in this
        process.
    answers : Snapshots
        What routes have made and may give again, under a version of their own.
    demo_token : str
        Opens every role on loopback while the demo runs; empty otherwise.
    secret : bytes
        Signs cursors. Replicas behind one address must share it.
    """

    settings: Settings
    clock: Clock
    ledger: Ledger
    store: SeriesStore
    counters: Callable[[], Mapping[str, object]] = dict
    health: Callable[[], Mapping[str, Health]] = dict
    stale: Callable[[], bool] = bool
    picture: Callable[[int, str], str | None] | None = None
    hand_in: TakesDecoded | None = None
    demo_token: str = ""
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    # Stands in for the network in tests of the organisation's sign-in.
    oidc_transport: httpx2.BaseTransport | None = None
    # Requests a minute for one principal on one route; sign-ins are limited far lower.
    requests_per_minute: int = 1200
    streams_per_principal: int = 8
    max_streams: int = 200
    # What many ask for and few change: kept until the ledger or the hour says otherwise.
    _assets: Snapshots[Sequence[Asset]] = field(default_factory=Snapshots, init=False, repr=False)
    _states: Snapshots[Mapping[str, LuminaireStatus]] = field(
        default_factory=Snapshots, init=False, repr=False
    )
    answers: Snapshots[Any] = field(
        default_factory=lambda: Snapshots(most=64), init=False, repr=False
    )
    # Set when the server stops, so that streams end by themselves.
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def assets(self) -> Sequence[Asset]:
        """What stands in the street, read again only when the registry has changed."""
        if self.ledger.database.undecided:
            return self.ledger.assets()
        version = self.ledger.registry_version()
        return self._assets.get("", version, lambda: tuple(self.ledger.assets()))

    def states(self) -> Mapping[str, LuminaireStatus]:
        """How each luminaire is, read again only when a round or the registry has changed it."""
        if self.ledger.database.undecided:
            return self.ledger.luminaire_states()
        return self._states.get("", self.ledger.street_version(), self.ledger.luminaire_states)

    @property
    def zone(self) -> ZoneInfo:
        """The city's local time."""
        return ZoneInfo(self.settings.timezone)

    def work(self) -> Mapping[str, Mapping[str, int]]:
        """How many luminaires and open work orders are in which state."""
        luminaires = Counter(s.state.value for s in self.states().values())
        orders = {s.value: n for s, n in self.ledger.count_work_orders().items()}
        return {"luminaires": luminaires, "work_orders": orders}

    def words(self, language: str) -> Words:
        """Texts, times and numbers in a language, in local time."""
        return Words(language, self.zone)


def services_of(request: Request) -> Services:
    """The services of the app that answers."""
    found: Services = request.app.state.services
    return found


ServiceDep = Annotated[Services, Depends(services_of)]
