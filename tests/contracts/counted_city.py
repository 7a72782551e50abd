"""The small city with ten counted squares and sixty weeks of hourly passages."""

from datetime import UTC, datetime

import numpy as np
from contracts.seeded_city import NOW_MS

from api.assets import Asset, AssetKind
from api.services import Services
from ingest.reading import Flag, Quantity
from ingest.stores import Columns

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
SQUARES = tuple(f"Torg {n}" for n in range(1, 11))
DAYS = 420


def squares() -> list[Asset]:
    """Ten counters half a kilometre apart, hourly."""
    return [
        Asset(f"square-{n}", f"square-{n}", AssetKind.COUNTER, site=site, lat=56.05,
              lon=12.65 + 0.01 * n, interval_s=3600, area="Söder")
        for n, site in enumerate(SQUARES, start=1)
    ]  # fmt: skip


def add_squares(services: Services, *, risen: float = 1.0, risen_days: int = 70) -> None:
    """Put counters and counts into the city; the first square rises for the last days."""
    services.ledger.put_assets(squares(), now_ms=NOW_MS - DAY_MS)
    rng = np.random.default_rng(7)
    stop_ms = NOW_MS // DAY_MS * DAY_MS
    end_ms = stop_ms - HOUR_MS * np.arange(DAYS * 24)[::-1]
    hour = (end_ms // HOUR_MS - 1) % 24
    day = np.arange(DAYS * 24) // 24
    shape = 0.05 + np.exp(-(((hour - 13) / 4.5) ** 2))
    weather = np.exp(0.15 * rng.standard_normal(DAYS))[day]
    for n in range(1, 11):
        drift = np.exp(np.cumsum(0.004 * rng.standard_normal(DAYS)))[day]
        mean = 60 * n * shape * weather * drift
        if n == 1:
            mean = np.where(day >= DAYS - risen_days, mean * risen, mean)
        services.store.add(
            Quantity.PEOPLE_COUNT,
            Columns(
                device=np.zeros(len(end_ms), dtype=np.int32),
                time_ms=end_ms.astype(np.int64),
                value=rng.poisson(mean).astype(np.float64),
                received_ms=end_ms.astype(np.int64),
                flags=np.full(len(end_ms), int(Flag.SIMULATED), dtype=np.uint8),
                device_ids=[f"square-{n}"],
            ),
        )


def day_before_now(days: int) -> str:
    """A date some days before the city's now."""
    return str(datetime.fromtimestamp(NOW_MS / 1000 - 86_400 * days, UTC).date())
