"""A small street whose light follows the sun, for tests that need to know every lamp.

Levels are what a reader can check: 20 lx under each lamp, a fifth of it from the neighbours, a
tenth of the sky. Noise is 2 %, from a fixed seed.
"""

from dataclasses import dataclass, field

import numpy as np

from analytics.grid import DAY_MS, window_start
from analytics.sun import sun_elevation
from api.assets import Asset, AssetKind, Supply, Switching
from ingest.reading import Quantity
from ingest.stores import Columns, StoredEvent
from ingest.stores.memory import MemoryStore

FIRST_NIGHT = 20_720  # 2026-09-24
LAT, LON = 56.05, 12.69
OWN_LX, BORROWED_LX = 16.0, 2.0
SKY_DEG = np.array([-18, -12, -6, 0, 5, 15, 35, 60], dtype=float)
SKY_LOG = np.log(np.array([6e-4, 8e-3, 3, 500, 5e3, 2e4, 6e4, 1e5]))


@dataclass
class Street:
    """Lamps in rows; `lit[lamp, slot]` and `sensor[lamp, slot]` are what a test changes."""

    feeders: int = 2
    lamps: int = 6
    nights: int = 3
    interval_s: int = 600
    first_night: int = FIRST_NIGHT
    supply: Supply = Supply.BATTERY
    seed: int = 1
    sky_share: float = 0.1
    events: list[StoredEvent] = field(default_factory=list)

    def __post_init__(self):
        self.start_ms = window_start(self.first_night)
        step = self.interval_s * 1000
        self.time_ms = np.arange(self.start_ms, self.start_ms + self.nights * DAY_MS, step)
        self.n = self.feeders * self.lamps
        self.elevation = sun_elevation(self.time_ms / 1000, LAT, LON)
        shape = (self.n, len(self.time_ms))
        self.lit = np.broadcast_to(self.elevation < -5, shape).astype(float).copy()
        self.gain = np.ones(shape)
        self.stray_lx = np.zeros(shape)
        self.heard = np.ones(shape, dtype=bool)
        self.held = np.full(shape, np.nan)
        self.assets = [
            Asset(
                f"L{f}-{i:02d}",
                f"L{f}-{i:02d}",
                kind=AssetKind.LUMINAIRE,
                site="Dalhem",
                segment=f"S{f}",
                segment_order=i,
                feeder=f"F{f}",
                cabinet=f"C{f}",
                gateway=f"G{f}",
                lat=LAT,
                lon=LON,
                nominal_illuminance_lx=20.0,
                switching=Switching.ASTRO,
                supply=self.supply,
                max_illuminance_lx=120_000.0,
                resolution_lx=0.1,
                interval_s=float(self.interval_s),
            )
            for f in range(self.feeders)
            for i in range(self.lamps)
        ]

    def at(self, day, hour=0.0):
        """Column of a moment: days and hours after the first noon."""
        return int((day * 24 + hour) * 3600 / self.interval_s)

    def moment(self, day, hour=0.0):
        """The same as a time [ms]."""
        return int(self.start_ms + (day * 24 + hour) * 3_600_000)

    def lux(self):
        """What the sensors say, NaN where silent."""
        rng = np.random.default_rng(self.seed)
        light = self.lit * OWN_LX
        for f in range(self.feeders):
            rows = slice(f * self.lamps, (f + 1) * self.lamps)
            of_feeder = self.lit[rows]
            light[rows][1:] += BORROWED_LX * of_feeder[:-1]
            light[rows][:-1] += BORROWED_LX * of_feeder[1:]
        sky = self.sky_share * np.exp(np.interp(self.elevation, SKY_DEG, SKY_LOG))
        noise = 1 + 0.02 * rng.standard_normal(light.shape)
        lux = self.gain * (light + sky + self.stray_lx) * noise
        lux = np.where(np.isfinite(self.held), self.held, lux)
        return np.where(self.heard, np.round(lux, 1), np.nan)

    def store(self):
        """Everything in a store, received at once."""
        lux = self.lux()
        device, slot = np.nonzero(np.isfinite(lux))
        time_ms = self.time_ms[slot]
        store = MemoryStore()
        store.add(
            Quantity.ILLUMINANCE,
            Columns(
                device.astype(np.int32),
                time_ms,
                lux[device, slot],
                time_ms + 1000,
                np.zeros(len(time_ms), np.uint8),
                [a.device_id for a in self.assets],
            ),
        )
        store.add_events(self.events)
        return store

    def report(self, lamp, day, hour, event, active):
        """A fault report by one luminaire."""
        t = self.moment(day, hour)
        self.events.append(StoredEvent(self.assets[lamp].device_id, t, t + 1000, event, active, ""))
