"""Where the sun stands: elevation from time and place."""

import numpy as np
import numpy.typing as npt

__all__ = [
    "CIVIL_DARK_DEG",
    "LAMP_OUTSHINES_DEG",
    "clear_sky_log_lux",
    "degrees_a_minute",
    "sun_elevation",
]

CIVIL_DARK_DEG = (
    -6.0
)  # night is defined by the end of civil twilight: June has no other night at 56 N
LAMP_OUTSHINES_DEG = -4.0  # above it a reading may be the sky's
SKY_DEG = (-18.0, -12.0, -6.0, 0.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0)
SKY_LOG_LUX = np.log(
    (0.0006, 0.008, 3.0, 500.0, 1500.0, 4200.0, 10e3, 28e3, 48e3, 75e3, 96e3, 110e3)
)
SLOWEST = (
    0.03  # sine of a quarter of an hour's turn, halved: slower it is only at the turning point
)


def sun_elevation(
    time_s: npt.NDArray[np.float64], lat_deg: float, lon_deg: float
) -> npt.NDArray[np.float64]:
    """Elevation of the sun's centre above the horizon, without refraction.

    Parameters
    ----------
    time_s : float64 (n,)
        Unix time [s].
    lat_deg, lon_deg : float
        North and east positive [degrees].

    Returns
    -------
    float64 (n,)
        [degrees]; within 0.02 degrees in this century.

    References
    ----------
    The Astronomical Almanac, low precision formulas for the sun (section C).
    """
    n = time_s / 86400.0 - 10957.5
    g = np.deg2rad(357.528 + 0.9856003 * n)
    ecliptic = np.deg2rad(280.460 + 0.9856474 * n + 1.915 * np.sin(g) + 0.020 * np.sin(2 * g))
    tilt = np.deg2rad(23.439)
    ascension = np.arctan2(np.cos(tilt) * np.sin(ecliptic), np.cos(ecliptic))
    declination = np.arcsin(np.sin(tilt) * np.sin(ecliptic))
    hour = np.deg2rad(280.46062 + 360.98564737 * n + lon_deg) - ascension
    phi = np.deg2rad(lat_deg)
    height = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour)
    degrees: npt.NDArray[np.float64] = np.rad2deg(np.arcsin(np.clip(height, -1.0, 1.0)))
    return degrees


def clear_sky_log_lux(elevation_deg: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Log of a clear sky's light on the ground [lx], from astronomical twilight up.

    By day only its course matters: readings some minutes apart are compared by it.

    References
    ----------
    AMS Glossary, civil, nautical and astronomical twilight, and sunset; handbook values above the
    horizon.
    """
    return np.interp(elevation_deg, SKY_DEG, SKY_LOG_LUX).astype(np.float32)


def degrees_a_minute(
    night: int, lat_deg: npt.NDArray[np.float64], at_deg: float = -4.0
) -> npt.NDArray[np.float64]:
    """How fast the sun sinks past an elevation on a night: slowly in June, and far north.

    Parameters
    ----------
    night : int
        Days since 1970.
    lat_deg : float64 (n,)
        [degrees]
    at_deg : float
        Where the sun does not come so low, the rate of its lowest quarter of an hour is meant.

    Returns
    -------
    float64 (n,)
        [degrees a minute]; 0.25 times the cosine of the latitude at most.
    """
    season = np.deg2rad(280.460 + 0.9856474 * (night - 10957.0))
    declination = np.arcsin(np.sin(np.deg2rad(23.439)) * np.sin(season))
    phi, h = np.deg2rad(lat_deg), np.deg2rad(at_deg)
    flat = np.cos(phi) * np.cos(declination)
    hour = (np.sin(h) - np.sin(phi) * np.sin(declination)) / flat
    steep = np.sqrt(np.clip(1 - hour**2, SLOWEST**2, 1))
    rate: npt.NDArray[np.float64] = 0.25 * flat * steep / np.cos(h)
    return rate
