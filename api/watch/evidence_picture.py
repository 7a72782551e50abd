"""The picture of a work order: what its first luminaire's light did, in five seconds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from api.assets import Asset
from api.clock import Clock
from api.ledger import Ledger
from api.watch.finding_picture import finding_picture
from api.watch.window_readings import ReadingSource

__all__ = ["EvidencePicture"]

PEERS = 12


@dataclass(frozen=True)
class EvidencePicture:
    """Draws the finding that a work order rests on most.

    Parameters
    ----------
    ledger : Ledger
    store : ReadingSource
    clock : Clock
    tz : str
        Zone of the hours on the axis.
    assets : callable
        What stands in the street.
    """

    ledger: Ledger
    store: ReadingSource
    clock: Clock
    tz: str
    assets: Callable[[], Sequence[Asset]]

    def __call__(self, order_id: int, language: str) -> str | None:
        """An SVG, or None where no finding stands behind the order."""
        found = [e for e in self.ledger.work_order(order_id).evidence if not e.withdrawn]
        if not found:
            return None
        best = max(found, key=lambda e: (e.confidence, -e.start_ms))
        assets = self.assets()
        asset = next((a for a in assets if a.device_id == best.device_id), None)
        if asset is None:
            return None
        out = {e.device_id for e in found}
        peers = [
            other
            for other in assets
            if asset.feeder and other.feeder == asset.feeder and other.device_id not in out
        ]
        return finding_picture(
            best,
            self.store,
            asset,
            peers=peers[:PEERS],
            now_ms=self.clock.now_ms(),
            language=language,
            tz=self.tz,
        )
