"""Which local clock hours are dark, and which are light, at a place."""

import numpy as np
import numpy.typing as npt

from analytics.sun import CIVIL_DARK_DEG, sun_elevation

__all__ = ["CIVIL_DARK_DEG", "dark_at_midpoint", "light_and_dark"]

STEP_S = 600  # the sun moves at most 2.5 degrees in ten minutes; ends of the hour are included


def dark_at_midpoint(
    hour_start_s: npt.NDArray[np.int64], lat: float, lon: float
) -> npt.NDArray[np.bool_]:
    """Whether the sun is below -6 degrees in the middle of each hour.

    Parameters
    ----------
    hour_start_s : int64
        Starts of hours [s, UTC], any shape.
    lat, lon : float
        Place [degrees].

    Returns
    -------
    bool, same shape
    """
    return np.asarray(
        sun_elevation(hour_start_s.astype(np.float64) + 1800, lat, lon) < CIVIL_DARK_DEG
    )


def light_and_dark(
    hour_start_s: npt.NDArray[np.int64], lat: float, lon: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Hours with the sun up all through, and hours with it below -6 degrees all through.

    What is neither (twilight) belongs to neither.
    """
    steps = np.arange(0.0, 3600.0 + 1, STEP_S)
    elevation = sun_elevation(hour_start_s.astype(np.float64)[..., None] + steps, lat, lon)
    return (
        np.asarray((elevation > 0).all(axis=-1)),
        np.asarray((elevation < CIVIL_DARK_DEG).all(axis=-1)),
    )
