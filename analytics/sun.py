"""Where the sun stands: elevation from time and place."""

import numpy as np
import numpy.typing as npt

__all__ = ["CIVIL_DARK_DEG", "sun_elevation"]

CIVIL_DARK_DEG = (
    -6.0
)  # night is defined by the end of civil twilight: June has no other night at 56 N


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
