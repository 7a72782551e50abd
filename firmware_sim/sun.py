"""Where the sun and the moon stand, and how much light they give on the ground.

References
----------
Solar position: The Astronomical Almanac, low-precision formulas (about 0.01 degrees).
Twilight levels: AMS Glossary of Meteorology, civil, nautical and astronomical twilight.
Moonlight: Krisciunas & Schaefer (1991), doi 10.1086/132921.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["clear_sky_lx", "moonlight_lx", "sun_position"]

Floats = NDArray[np.float64]

J2000_DAYS = 10957.5  # days from 1970-01-01T00 to 2000-01-01T12
# Sun elevation [degrees] and clear-sky horizontal illuminance [lx]; log-linear between.
ELEVATION_DEG = np.array([-18.0, -12.0, -6.0, -3.0, 0.0, 5.0, 10.0, 20.0, 35.0, 60.0, 90.0])
CLEAR_LX = np.array([6e-4, 8e-3, 2.7, 60.0, 480.0, 3.5e3, 9.0e3, 2.5e4, 5.5e4, 9.6e4, 1.1e5])
NIGHT_AIR_LX = 6e-4


def horizontal(
    days: Floats, right_ascension: Floats, declination: Floats, lat: float, lon: float
) -> tuple[Floats, Floats]:
    """Elevation and azimuth (from north, clockwise) in degrees of a point on the sky."""
    hour_angle = np.deg2rad(280.46062 + 360.98564737 * days + lon) - right_ascension
    phi = np.deg2rad(lat)
    sin_el = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(
        hour_angle
    )
    elevation = np.rad2deg(np.arcsin(np.clip(sin_el, -1, 1)))
    azimuth = np.rad2deg(
        np.arctan2(
            -np.cos(declination) * np.sin(hour_angle),
            np.sin(declination) * np.cos(phi)
            - np.cos(declination) * np.cos(hour_angle) * np.sin(phi),
        )
    )
    return elevation, np.mod(azimuth, 360)


def ecliptic_to_equator(longitude: Floats, latitude: Floats) -> tuple[Floats, Floats]:
    """Right ascension and declination [rad] of an ecliptic position [rad]."""
    tilt = np.deg2rad(23.439)
    ra = np.arctan2(
        np.sin(longitude) * np.cos(tilt) - np.tan(latitude) * np.sin(tilt), np.cos(longitude)
    )
    dec = np.arcsin(
        np.sin(latitude) * np.cos(tilt) + np.cos(latitude) * np.sin(tilt) * np.sin(longitude)
    )
    return ra, dec


def sun_longitude(days: Floats) -> Floats:
    """Ecliptic longitude of the sun [rad]."""
    anomaly = np.deg2rad(357.528 + 0.9856003 * days)
    longitude: Floats = np.deg2rad(
        280.460 + 0.9856474 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly)
    )
    return longitude


def sun_position(time_ms: Floats, lat: float, lon: float) -> tuple[Floats, Floats]:
    """Elevation and azimuth of the sun in degrees.

    Parameters
    ----------
    time_ms : float64 (s,)
        [ms, UTC]
    lat, lon : float
        Degrees.
    """
    days = time_ms / 86_400_000 - J2000_DAYS
    longitude = sun_longitude(days)
    ra, dec = ecliptic_to_equator(longitude, np.zeros_like(longitude))
    return horizontal(days, ra, dec, lat, lon)


def clear_sky_lx(elevation_deg: Floats) -> Floats:
    """Illuminance on a horizontal surface under a clear sky without a moon [lx]."""
    log_lx = np.interp(elevation_deg, ELEVATION_DEG, np.log(CLEAR_LX))
    light: Floats = np.exp(log_lx)
    return np.maximum(light, NIGHT_AIR_LX)


def moonlight_lx(time_ms: Floats, lat: float, lon: float) -> Floats:
    """Illuminance by the moon on a horizontal surface under a clear sky [lx].

    The largest periodic terms of the moon's longitude and latitude only: some tenths of a degree.
    """
    days = time_ms / 86_400_000 - J2000_DAYS
    mean = np.deg2rad(218.316 + 13.176396 * days)
    anomaly = np.deg2rad(134.963 + 13.064993 * days)
    node = np.deg2rad(93.272 + 13.229350 * days)
    longitude = mean + np.deg2rad(6.289) * np.sin(anomaly)
    latitude = np.deg2rad(5.128) * np.sin(node)
    ra, dec = ecliptic_to_equator(longitude, latitude)
    altitude, _ = horizontal(days, ra, dec, lat, lon)
    elongation = np.arccos(
        np.clip(np.cos(latitude) * np.cos(longitude - sun_longitude(days)), -1, 1)
    )
    phase_deg = 180 - np.rad2deg(elongation)
    full: Floats = 0.25 * 10 ** (-0.4 * (0.026 * phase_deg + 4e-9 * phase_deg**4))
    return np.where(altitude > 0, full * np.sin(np.deg2rad(np.maximum(altitude, 0))), 0.0)
