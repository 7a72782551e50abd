"""The weather and the light of the sky over the city, minute by minute.

Clouds drift: a place sees what another place upwind saw before, so neighbours share every cloud.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from firmware_sim.scenario import Scenario
from firmware_sim.streams import generator, smooth_noise
from firmware_sim.sun import clear_sky_lx, moonlight_lx, sun_position
from firmware_sim.swedish_calendar import utc_offset_ms

__all__ = ["DAY_MS", "MARGIN_MS", "SkyTable", "cloud_light", "leaf_cover", "sky_table", "snow_day"]

Floats = NDArray[np.float64]
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
LANES = 8
LANE_M = 1_800.0
WIND_M_PER_S = 7.0
MARGIN_MS = 4 * HOUR_MS


@dataclass(frozen=True)
class SkyTable:
    """The city's sky at every full minute of some days and a margin on either side.

    Attributes
    ----------
    time_ms : float64 (m,)
        Full minutes [ms, UTC], from `start_ms - MARGIN_MS` to `stop_ms + MARGIN_MS`.
    elevation_deg, azimuth_deg : float64 (m,)
        Of the sun.
    clear_lx : float64 (m,)
        Under a clear sky, with the moon.
    cover : float64 (m,)
        How far the sky is overcast, 0..1.
    thick : float64 (m,)
        log of what a whole cover leaves of the light.
    rain, snow : float64 (m,)
        1 while it rains, while snow lies on the ground.
    glow_lx : float64 (m,)
        Light of the city that comes back from the sky.
    leaf : float64 (m,)
        How far the trees are in leaf, 0..1.
    local_minute : int64 (m,)
        Minute of the day on the wall clock.
    offset_ms : int64 (m,)
        Wall clock minus UTC.
    """

    start_ms: int
    stop_ms: int
    time_ms: Floats
    elevation_deg: Floats
    azimuth_deg: Floats
    clear_lx: Floats
    cover: Floats
    thick: Floats
    rain: Floats
    snow: Floats
    glow_lx: Floats
    leaf: Floats
    local_minute: NDArray[np.int64]
    offset_ms: NDArray[np.int64]

    @property
    def first_day(self) -> int:
        """Days since 1970 of the first day."""
        return self.start_ms // DAY_MS

    @property
    def days(self) -> int:
        """Number of whole days."""
        return (self.stop_ms - self.start_ms) // DAY_MS


def snow_day(scenario: Scenario, day: int) -> tuple[bool, bool]:
    """Whether snow lies on a day (days since 1970), and whether it fell that day.

    Snow comes in spells of four days; only from November to March.
    """
    if scenario.weather.snow_days <= 0:
        return False, False
    month = datetime.fromtimestamp(day * 86_400, UTC).month
    if month not in (11, 12, 1, 2, 3):
        return False, False
    spell, at = divmod(day, 4)
    lies = bool(generator(scenario.seed, "snow", spell).random() < scenario.weather.snow_days)
    return lies, lies and at == 0


def leaf_cover(time_ms: Floats) -> Floats:
    """How far the trees are in leaf, 0..1: out in May, down by early November."""
    day = np.mod(time_ms / DAY_MS, 365.2425)
    out = 1 / (1 + np.exp(-(day - 128) / 5))
    fall = 1 / (1 + np.exp(-(day - 297) / 6))
    return out * (1 - fall)


def sky_table(scenario: Scenario, first_day: int, days: int) -> SkyTable:
    """Compute the sky of some days (from midnight UTC of `first_day`, in days since 1970).

    Every value depends on its own minute alone, so that any cut into windows gives the same sky.
    """
    start_ms, stop_ms = first_day * DAY_MS, (first_day + days) * DAY_MS
    utc = np.arange(start_ms - MARGIN_MS, stop_ms + MARGIN_MS + 2 * MINUTE_MS, MINUTE_MS)
    time_ms = utc.astype(np.float64)
    elevation, azimuth = sun_position(time_ms, scenario.city.lat, scenario.city.lon)
    clear_lx = clear_sky_lx(elevation) + moonlight_lx(time_ms, scenario.city.lat, scenario.city.lon)
    weather = scenario.weather
    slow = 0.8 * smooth_noise(scenario.seed, ("cover",), time_ms, 9 * HOUR_MS)[0]
    slow += 0.6 * smooth_noise(scenario.seed, ("spell",), time_ms, 60 * HOUR_MS)[0]
    # A sky is mostly clear or mostly grey; the cloudiness shifts which.
    cover = 1 / (1 + np.exp(-2.6 * (slow + 3.0 * (weather.cloudiness - 0.5))))
    thick = -1.6 + 0.35 * smooth_noise(scenario.seed, ("thick",), time_ms, 5 * HOUR_MS)[0]
    wet = smooth_noise(scenario.seed, ("rain",), time_ms, 2.5 * HOUR_MS)[0]
    limit = 2.6 - 3.4 * weather.rain if weather.rain else 99.0
    rain = (wet + 1.2 * cover > limit).astype(np.float64)
    day_of = utc // DAY_MS
    lying = {int(day): float(snow_day(scenario, int(day))[0]) for day in np.unique(day_of)}
    snow = np.array([lying[int(day)] for day in np.unique(day_of)])[day_of - day_of[0]]
    glow = 0.012 * (1 + 9 * cover) * (1 + 4 * snow)
    offset_ms = utc_offset_ms(utc, scenario.city.timezone)
    return SkyTable(
        start_ms, stop_ms, time_ms, elevation, azimuth, clear_lx, cover, thick, rain, snow, glow,
        leaf_cover(time_ms), (utc + offset_ms) // MINUTE_MS % 1440, offset_ms,
    )  # fmt: skip


def cloud_light(
    scenario: Scenario, table: SkyTable, lat: float, lon: float
) -> tuple[Floats, Floats]:
    """What the clouds over one place leave of the light: (all of it, only the slow part).

    Returns
    -------
    light, smooth : float64 (minutes,)
        Factors in 0..1 or a little above (bright edges of broken clouds).
    """
    heading = np.deg2rad(240.0)
    north = (lat - scenario.city.lat) * 111_320.0
    east = (lon - scenario.city.lon) * 111_320.0 * np.cos(np.deg2rad(scenario.city.lat))
    along = north * np.cos(heading) + east * np.sin(heading)
    across = -north * np.sin(heading) + east * np.cos(heading)
    lane = across / LANE_M
    low = int(np.floor(lane))
    f = lane - low
    seen_ms = table.time_ms - along / WIND_M_PER_S * 1000
    pieces = [
        0.8 * smooth_noise(scenario.seed, ("cloud", (low + k) % LANES), seen_ms, 14 * MINUTE_MS)[0]
        + 0.6 * smooth_noise(scenario.seed, ("puff", (low + k) % LANES), seen_ms, 5 * MINUTE_MS)[0]
        for k in (0, 1)
    ]
    broken = (pieces[0] * (1 - f) + pieces[1] * f) / np.sqrt((1 - f) ** 2 + f**2)
    cover = table.cover
    smooth = np.exp(table.thick * cover * cover)
    light = smooth * np.exp(1.3 * cover * (1 - cover) * broken)
    return light, smooth
