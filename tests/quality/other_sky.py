"""Daylight, moon and weather of the second city, minute by minute, from published formulas."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

MINUTES = 1440

# Seidelmann (ed.), Explanatory Supplement to the Astronomical Almanac, 1992, section 9.3:
# log10 of illuminance [lx] on the ground under a clear sky, polynomials in altitude / 90 degrees.
SUNLIGHT = (
    (-18.0, (13.84, 262.72, 1447.42, 2797.93)),
    (-12.0, (2.70, 12.17, -431.69, -1899.83)),
    (-5.0, (2.88, 21.81, -258.11, -858.36)),
    (-0.8, (2.88, 22.26, -207.64, 1034.30)),
    (5.0, (3.05, 13.28, -45.98, 64.33)),
    (20.0, (3.74, 3.97, -4.07, 1.47)),
)
MOONLIGHT = (
    (-0.8, (-2.79, 24.27, -252.95, 1321.29)),
    (5.0, (-2.58, 12.58, -42.58, 59.06)),
    (20.0, (-1.95, 4.06, -4.24, 1.56)),
)


def smooth_noise(rng, n, scale, rows=None):
    """Gaussian noise of unit size that changes over `scale` samples; (n,) or (rows, n)."""
    knots = int(n / scale) + 3
    at = np.arange(n) / scale + rng.random()
    low = at.astype(int)
    part = at - low
    z = rng.standard_normal((rows or 1, knots))
    y = (z[:, low] * (1 - part) + z[:, low + 1] * part) / np.sqrt(part**2 + (1 - part) ** 2)
    return y if rows else y[0]


def sun_position(unix_s, lat, lon):
    """Altitude with refraction and azimuth [degrees] after Spencer (1971) and Bennett (1982)."""
    day = unix_s / 86400.0
    year = np.array(day.astype("int64").astype("datetime64[D]").astype("datetime64[Y]"))
    g = 2 * np.pi * (day - year.astype("datetime64[D]").astype("int64")) / 365.25
    dec = (
        0.006918 - 0.399912 * np.cos(g) + 0.070257 * np.sin(g) - 0.006758 * np.cos(2 * g)
        + 0.000907 * np.sin(2 * g) - 0.002697 * np.cos(3 * g) + 0.00148 * np.sin(3 * g)
    )  # fmt: skip
    equation_min = 229.18 * (
        0.000075 + 0.001868 * np.cos(g) - 0.032077 * np.sin(g)
        - 0.014615 * np.cos(2 * g) - 0.040849 * np.sin(2 * g)
    )  # fmt: skip
    hour = np.radians(((day % 1) * 1440 + equation_min) / 4 + lon - 180)
    phi = np.radians(lat)
    altitude = np.arcsin(np.sin(phi) * np.sin(dec) + np.cos(phi) * np.cos(dec) * np.cos(hour))
    azimuth = np.arctan2(np.sin(hour), np.cos(hour) * np.sin(phi) - np.tan(dec) * np.cos(phi))
    a = np.degrees(altitude)
    seen = np.maximum(a, -1.0)
    refraction = np.where(a > -1.0, 1 / np.tan(np.radians(seen + 7.31 / (seen + 4.4))) / 60, 0.0)
    return a + refraction, np.degrees(azimuth) + 180


def moon_light(unix_s, lat, lon):
    """Illuminance of the moon [lx] under a clear sky; position good to about two degrees."""
    d = unix_s / 86400.0 - 10957.5
    anomaly = np.radians(134.963 + 13.064993 * d)
    node = np.radians(93.272 + 13.229350 * d)
    longitude = np.radians(218.316 + 13.176396 * d) + np.radians(6.289) * np.sin(anomaly)
    latitude = np.radians(5.128) * np.sin(node)
    tilt = np.radians(23.44)
    right = np.arctan2(np.sin(longitude) * np.cos(tilt), np.cos(longitude))
    dec = np.arcsin(
        np.sin(latitude) * np.cos(tilt) + np.cos(latitude) * np.sin(tilt) * np.sin(longitude)
    )
    hour = np.radians(280.4606 + 360.9856473 * d + lon) - right
    phi = np.radians(lat)
    up = np.degrees(np.arcsin(
        np.sin(phi) * np.sin(dec) + np.cos(phi) * np.cos(dec) * np.cos(hour)
    ))  # fmt: skip
    sun = np.radians(280.460 + 0.9856474 * d)
    elongation = np.arccos(np.clip(np.cos(latitude) * np.cos(longitude - sun), -1, 1))
    phase = 180 - np.degrees(elongation)
    return ground_light(up, MOONLIGHT) * 10 ** (-8.68e-3 * phase - 2.2e-9 * phase**4)


def ground_light(altitude, table):
    """Illuminance [lx] for an altitude [degrees] from one of the tables above; 0 below them."""
    x = altitude / 90
    log = np.full(altitude.shape, -9.0)
    for above, (a, b, c, d) in table:
        log = np.where(altitude >= above, a + x * (b + x * (c + x * d)), log)
    return 10.0**log


@dataclass(frozen=True)
class Sky:
    """What is above the city, by the minute; arrays (minutes,) with a margin on both ends."""

    margin: int
    altitude: np.ndarray
    azimuth: np.ndarray
    diffuse: np.ndarray
    beam: np.ndarray
    night: np.ndarray
    snow_ground: np.ndarray
    snowfall: np.ndarray
    wet: np.ndarray
    fog: np.ndarray
    warmth_c: np.ndarray

    def over(self, values, lag):
        """The city-wide series as one place has it: the weather moves with the wind."""
        stop = values.size - 2 * self.margin
        return values[self.margin - lag : self.margin - lag + stop]


# Regimes: share of the time at cloudiness 0 and 1, mean hours, clear share of the beam,
# brightness of the diffuse sky against a clear one, its unrest, and minutes of that unrest.
REGIMES = {
    "clear": (0.5, 0.05, 14, 0.97, 1.0, 0.03, 60),
    "broken": (0.3, 0.25, 7, 0.5, 1.5, 0.25, 9),
    "overcast": (0.15, 0.45, 12, 0.0, 1.3, 0.25, 70),
    "rain": (0.05, 0.25, 5, 0.0, 0.6, 0.35, 35),
}


def weather(rng, n, cloudiness):
    """Semi-Markov weather: beam share, diffuse factor, rain, all (n,) by the minute."""
    names = list(REGIMES)
    share = np.array([(1 - cloudiness) * REGIMES[r][0] + cloudiness * REGIMES[r][1] for r in names])
    hours = np.array([REGIMES[r][2] for r in names])
    visits = share / hours / (share / hours).sum()
    regime = np.zeros(n, dtype=int)
    at = 0
    while at < n:
        which = int(rng.choice(len(names), p=visits))
        stay = int(60 * rng.gamma(2.0, hours[which] / 2)) + 30
        regime[at : at + stay] = which
        at += stay
    beam, diffuse = np.zeros(n), np.zeros(n)
    for k, name in enumerate(names):
        _, _, _, clear, bright, unrest, scale = REGIMES[name]
        texture = smooth_noise(rng, n, scale) + 0.5 * smooth_noise(rng, n, scale / 3)
        here = regime == k
        cover = 1 / (1 + np.exp(-4 * (texture + np.log(max(clear, 1e-6) / max(1 - clear, 1e-6)))))
        beam[here] = np.where(clear > 0, cover, 0.0)[here]
        diffuse[here] = (bright * np.exp(unrest * texture))[here]
    ease = np.ones(11) / 11  # a front takes some minutes to pass
    return np.convolve(beam, ease, "same"), np.convolve(diffuse, ease, "same"), regime == 3


def build_sky(rng, start, days, lat, lon, *, cloudiness, snow, glow_lx, margin=90):
    """The sky over `days` from `start`; `snow` holds (day, centimetres, days lying)."""
    n = days * MINUTES + 2 * margin
    unix_s = start.timestamp() + 60.0 * (np.arange(n) - margin)
    altitude, azimuth = sun_position(unix_s, lat, lon)
    sunlight = ground_light(altitude, SUNLIGHT)
    beam, diffuse, rain = weather(rng, n, cloudiness)
    # Share of the beam in clear global light: none below 1 degree, about 0.8 with a high sun.
    direct = np.clip(0.82 * (1 - np.exp(-(altitude - 1) / 9)), 0, None)
    ground, falls = np.zeros(n), np.zeros(n)
    minute = np.arange(n) - margin
    for day, cm, lying in snow:
        since = minute - day * MINUTES
        falls[(since >= 0) & (since < cm * 45)] = 1.0
        ground = np.maximum(
            ground, np.where(since >= 0, np.clip(1.3 - since / MINUTES / lying, 0, 1), 0)
        )
    falls = np.where(falls > 0, falls, 0)
    diffuse = np.where(falls > 0, 0.5, diffuse)
    beam = np.where(falls > 0, 0.0, beam)
    fog = np.clip(smooth_noise(rng, n, 500) - 2.2, 0, 1) * (altitude < 8)
    cover = 1 - beam
    # Town light comes back from clouds, and more so from snow (Kyba 2011, Jechow 2019).
    glow = glow_lx * (1 + 8 * cover) * (1 + 3 * ground)
    moon = moon_light(unix_s, lat, lon) * np.clip(1 - 0.9 * cover, 0.02, 1)
    season = np.cos(2 * np.pi * (unix_s / 86400 / 365.25 - 0.55))
    return Sky(
        margin, altitude, azimuth, sunlight * (1 - direct) * diffuse, sunlight * direct * beam,
        moon + glow, ground, falls, np.maximum(rain, falls) * 1.0, fog,
        7 + 9 * season + 3 * np.sin(2 * np.pi * (unix_s / 86400 - 0.4)),
    )  # fmt: skip


def local_minute(start, days, tz):
    """Minute of the day on the wall clock, and weekday, for each minute from `start`."""
    zone = ZoneInfo(tz)
    offsets = [
        int((start + timedelta(hours=h)).astimezone(zone).utcoffset().total_seconds() // 60)
        for h in range(days * 24)
    ]
    base = int(start.astimezone(UTC).timestamp() // 60)
    wall = base + np.arange(days * MINUTES) + np.repeat(offsets, 60)
    return wall % MINUTES, (wall // MINUTES + 3) % 7


def midnight(date):
    """The start of a date in UTC."""
    return datetime.fromisoformat(date).replace(tzinfo=UTC)
