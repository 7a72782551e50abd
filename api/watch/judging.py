"""One round, from the store to the ledger."""

from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import structlog

from analytics.rules import Rules
from analytics.sun import sun_elevation
from api.ledger import Ledger
from api.ledger.rounds import DarkHours
from api.operations.states import LuminaireState
from api.watch.feature_store import FeatureStore
from api.watch.maintenance_log import Maintenance
from api.watch.night_round import NightRound, RoundResult
from api.watch.people import Passages, counted_by_site, passages_by_site
from api.watch.rounds import DAY_MS, Due, RoundKind
from api.watch.window_readings import ReadingSource
from ingest.journal import Journal, JournalReader

__all__ = ["Judge", "dark_hours"]

DARK_BELOW_DEG = -6.0  # end of civil twilight; -12 is never reached in 42 nights a year at 56 N
STEP_MS = 600_000


def dark_hours(noon_ms: int, *, lat: float, lon: float) -> DarkHours | None:
    """The dark hours of the night that ends at this noon; None where it never gets dark."""
    at_ms = np.arange(noon_ms - DAY_MS, noon_ms, STEP_MS, dtype=np.int64)
    dark = np.flatnonzero(sun_elevation(at_ms / 1000, lat, lon) < DARK_BELOW_DEG)
    if not len(dark):
        return None
    return DarkHours(int(at_ms[dark[0]]), int(at_ms[dark[-1]]) + STEP_MS)


@dataclass
class Judge:
    """Judges the street as it stands in the ledger and brings what it finds there.

    Parameters
    ----------
    ledger : Ledger
    store : ReadingSource
    features : FeatureStore
    rules : Rules
    tz : str
        Zone of the dimming programmes.
    lat, lon : float
        For the dark hours that prove or deny a repair [degrees].
    journal, reader : Journal and JournalReader, optional
        Where late data marks its days; without them nothing is judged again.
    """

    ledger: Ledger
    store: ReadingSource
    features: FeatureStore
    rules: Rules
    tz: str
    lat: float
    lon: float
    journal: Journal | None = None
    reader: JournalReader | None = None
    told: Callable[[RoundResult], None] = lambda _: None

    def __post_init__(self) -> None:
        self._street: tuple[int, list[Maintenance]] | None = None
        self._round: NightRound | None = None
        self._counted: tuple[int, dict[str, Passages]] = (-1, {})
        self._log = structlog.get_logger("rounds")

    def __call__(self, due: Due) -> None:
        """Run one round; the same round again changes nothing that is still true."""
        night_round = self._current()
        dirty = self._dirty_days(night_round)
        noon = due.kind is RoundKind.NOON
        if noon or not night_round.passages:
            night_round.passages = self._passages(due.at_ms)
        judge = night_round.noon_round if noon else night_round.light_round
        result = judge(self.store, due.at_ms)
        changes = self.ledger.reconcile(
            result.findings,
            now_ms=due.at_ms,
            states=self._by_device(night_round, result),
            night=dark_hours(due.at_ms, lat=self.lat, lon=self.lon) if noon else None,
            settled=noon,
            exposure=result.exposure,
        )
        if noon:
            self._clean(dirty)
        if changes.opened or changes.cleared or changes.orders_created or noon:
            self._log.info(
                "round",
                kind=due.kind.value,
                at_ms=due.at_ms,
                opened=len(changes.opened),
                cleared=len(changes.cleared),
                orders=len(changes.orders_created),
            )
        self.told(result)

    def _passages(self, now_ms: int) -> dict[str, Passages]:
        """Who passes where: counted over the last four weeks, once a day."""
        if self._counted[0] != now_ms // DAY_MS:
            assets = self.ledger.assets()
            counted = counted_by_site(self.store, assets, zone=ZoneInfo(self.tz), now_ms=now_ms)
            self._counted = now_ms // DAY_MS, passages_by_site(counted, assets)
        return self._counted[1]

    def forget(self) -> None:
        """Take up the memory from the folder again: another process may have judged since."""
        self._round = None

    def _current(self) -> NightRound:
        """The round over today's street: built anew when assets or maintenance changed."""
        log = [Maintenance(m.device_id, m.time_ms, m.action) for m in self.ledger.maintenance()]
        street = (self.ledger.registry_version(), log)
        if self._round is None or street != self._street:
            self._round = NightRound(
                self.ledger.assets(),
                rules=self.rules,
                features=self.features,
                maintenance=log,
                tz=self.tz,
            )
            self._street = street
        return self._round

    def _dirty_days(self, night_round: NightRound) -> list[tuple[str, int, int]]:
        """Have nights that late data touched judged again: day D is part of nights D-1 and D."""
        if self.reader is None:
            return []
        dirty = self.reader.dirty_days()
        night_round.mark_dirty({day - back for _, day, _ in dirty for back in (0, 1)})
        return dirty

    def _clean(self, dirty: list[tuple[str, int, int]]) -> None:
        if self.journal is not None:
            for quantity, day, since in dirty:
                self.journal.clean(quantity, day, seen_since=since)

    @staticmethod
    def _by_device(night_round: NightRound, result: RoundResult) -> dict[str, LuminaireState]:
        return {
            asset.device_id: LuminaireState(result.states[asset.luminaire_id])
            for asset in night_round.plan.assets
            if asset.luminaire_id in result.states
        }
