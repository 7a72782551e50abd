"""People x darkness: how many are expected to pass in light below what the place should have."""

import numpy as np
import numpy.typing as npt

from analytics.grid import Bools, Floats, Ints

__all__ = ["dark_passages", "nearest_profile"]


def dark_passages(
    passages: npt.NDArray[np.float64],
    dark_hours: npt.NDArray[np.float64],
    place: Ints,
    short: Floats,
) -> Floats:
    """Expected passages per night in the light of luminaires that give too little.

    Parameters
    ----------
    passages : float64 (n_places, 24)
        Expected passages by local hour; NaN where no profile is known.
    dark_hours : float64 (24,)
        Share of each local hour that is dark.
    place : int32 (n,)
        Place of each luminaire; -1 where not known.
    short : float32 (n,)
        Share of its light that each luminaire lacks, 0..1; NaN counts as 0, silence is not
        darkness.

    Returns
    -------
    float32 (n,)
        Passages per night; NaN where the place has no profile.
    """
    by_place = np.where(
        np.isnan(passages).all(axis=1), np.nan, np.nansum(passages * dark_hours, axis=1)
    )
    known = place >= 0
    out = np.where(known, by_place[np.maximum(place, 0)] if len(by_place) else np.nan, np.nan)
    return (out * np.clip(np.nan_to_num(short), 0, 1)).astype(np.float32)


def nearest_profile(
    passages: npt.NDArray[np.float64],
    x_m: npt.NDArray[np.float64],
    y_m: npt.NDArray[np.float64],
    category: Ints,
) -> tuple[npt.NDArray[np.float64], Bools]:
    """Give places without a counter the profile of the nearest similar place that has one.

    Parameters
    ----------
    passages : float64 (n_places, 24)
        A row of NaN where there is no counter.
    x_m, y_m : float64 (n_places,)
        Where the place is, on a plane [m].
    category : int32 (n_places,)
        Kind of place; only places of the same kind are similar.

    Returns
    -------
    float64 (n_places, 24)
        A row of NaN where no similar place has a counter.
    bool (n_places,)
        Where the profile is borrowed: whoever shows it must say so.
    """
    counted = np.isfinite(passages).any(axis=1)
    out, borrowed = passages.copy(), np.zeros(len(passages), dtype=bool)
    if not counted.any():
        return out, borrowed
    have = np.flatnonzero(counted)
    distance = np.hypot(x_m[:, None] - x_m[have], y_m[:, None] - y_m[have])
    distance = np.where(category[:, None] == category[have], distance, np.inf)
    nearest = np.argmin(distance, axis=1)
    reached = np.isfinite(distance[np.arange(len(passages)), nearest])
    borrowed = ~counted & reached
    out[borrowed] = passages[have[nearest[borrowed]]]
    return out, borrowed
