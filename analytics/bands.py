"""Daily counts inside a band of local clock hours: day, evening, night, dark, any hours."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from analytics.arrays import floats
from analytics.errors import BadArgumentError, ShapeMismatchError
from analytics.ridge_gaps import MIN_VALID_SHARE, mean_present

__all__ = ["BANDS", "band_series", "contrast_series", "masked_band_series"]

Floats = npt.NDArray[np.float64]

# Local clock hours [start, stop); a band whose stop is not after its start runs over midnight and
# belongs to the date on which it began.
BANDS: Mapping[str, tuple[int, int]] = {
    "day": (5, 18),
    "evening": (18, 24),
    "night": (0, 5),
    "purple_flag": (17, 5),
    "all_day": (0, 24),
}


def band_series(hourly: npt.ArrayLike, start_hour: int, stop_hour: int) -> Floats:
    """Daily counts inside a band of local clock hours.

    Parameters
    ----------
    hourly : float (n_days, 24, n_sites)
        NaN where missing.
    start_hour, stop_hour : int
        `[start, stop)` in 0..24; a band with `stop <= start` runs over midnight and its early
        hours count for the date on which it began.

    Returns
    -------
    float64 (n_days, n_sites)
        Mean of the hours present times the band's length; NaN where less than three quarters of
        the band's hours are present. A gap is never filled with 0.
    """
    H = checked_hours(hourly)
    if not (0 <= start_hour < 24 and 0 < stop_hour <= 24):
        raise BadArgumentError(f"no band of hours: {start_hour}-{stop_hour}")
    if stop_hour > start_hour:
        return scaled_sum(H[:, start_hour:stop_hour])
    following = np.full_like(H[:, :stop_hour], np.nan)
    following[:-1] = H[1:, :stop_hour]
    return scaled_sum(np.concatenate([H[:, start_hour:], following], axis=1))


def masked_band_series(hourly: npt.ArrayLike, hours: npt.NDArray[np.bool_]) -> Floats:
    """Daily counts inside hours that differ from date to date (the dark ones, say).

    Parameters
    ----------
    hourly : float (n_days, 24, n_sites)
    hours : bool (n_days, 24)
        Which hours belong to the band. A day without any is missing.

    Returns
    -------
    float64 (n_days, n_sites)
        As `band_series`; scaled to that day's number of hours in the band.
    """
    H = checked_hours(hourly)
    if hours.shape != H.shape[:2]:
        raise ShapeMismatchError(f"hours is {hours.shape}, but hourly has days {H.shape[:2]}")
    inside = np.where(hours[:, :, None], H, np.nan)
    wanted = hours.sum(axis=1)[:, None]
    present = np.isfinite(inside).sum(axis=1)
    enough = (present >= MIN_VALID_SHARE * wanted) & (wanted > 0)
    return np.where(enough, mean_present(inside, axis=1) * wanted, np.nan)


def scaled_sum(hours: Floats) -> Floats:
    """Sum over axis 1, scaled to all of it where three quarters are present, else NaN."""
    n = hours.shape[1]
    present = np.isfinite(hours).sum(axis=1)
    return np.where(present >= MIN_VALID_SHARE * n, mean_present(hours, axis=1) * n, np.nan)


def checked_hours(hourly: npt.ArrayLike) -> Floats:
    """`hourly` as float64 (n_days, 24, n_sites), or an error."""
    H = floats("hourly", hourly)
    if H.ndim != 3 or H.shape[1] != 24:
        raise ShapeMismatchError(f"hourly counts must be (n_days, 24, n_sites), not {H.shape}")
    return H


def contrast_series(
    hourly: npt.ArrayLike, evening: tuple[int, int] = (18, 24), day: tuple[int, int] = (8, 16)
) -> Floats:
    """Evening relative to day, as a series that `effect` takes: 1000 (evening + 1) / (day + 1).

    What moves a place at all hours alike (a shop that opens, a counter that counts low) leaves
    with the ratio; what is left is the third difference, evening against day.
    """
    ratio = np.log1p(band_series(hourly, *evening)) - np.log1p(band_series(hourly, *day))
    return np.asarray(1000 * np.exp(ratio))
