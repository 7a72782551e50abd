"""EN 13201 P classes as data, and how long a luminaire's light still meets its class.

One lux sensor on a column is no grid of EN 13201-4: everything here is indicative, and becomes
comparable only through the calibration factor that commissioning gives.

References
----------
EN 13201-2:2015, table for the P classes, as restated by performanceinlighting.com and bega.com;
the standard itself was not read. In every P class the least illuminance is a fifth of the average.
Uniformity is not an overall ratio there (that is what the C classes ask for): the average may not
exceed 1.5 times the class.
"""

from dataclasses import dataclass

import numpy as np

from analytics.grid import Floats, row_quantiles

__all__ = ["P_CLASSES", "PClass", "meets_class", "nights_until_below"]


@dataclass(frozen=True, slots=True)
class PClass:
    """What a P class asks for.

    Attributes
    ----------
    average_lx : float
        Maintained average illuminance, at least [lx].
    least_lx : float
        Maintained least illuminance, at least [lx].
    glare_percent : float
        Threshold increment, at most (informative) [%].
    """

    average_lx: float
    least_lx: float
    glare_percent: float

    @property
    def most_lx(self) -> float:
        """Average that must not be exceeded, so that the light stays even [lx]."""
        return 1.5 * self.average_lx


P_CLASSES = {
    "P1": PClass(15.0, 3.0, 20.0),
    "P2": PClass(10.0, 2.0, 25.0),
    "P3": PClass(7.5, 1.5, 25.0),
    "P4": PClass(5.0, 1.0, 30.0),
    "P5": PClass(3.0, 0.6, 30.0),
    "P6": PClass(2.0, 0.4, 35.0),
    # P7 asks for no value.
}


@dataclass(frozen=True, slots=True)
class ClassVerdict:
    """Whether a stretch meets its class, indicatively.

    Attributes
    ----------
    average_lx, least_lx : float
        Of the sensors, calibrated [lx]; NaN where none was heard.
    meets_average, meets_least, even : bool or None
        None where nothing is known.
    """

    average_lx: float
    least_lx: float
    meets_average: bool | None
    meets_least: bool | None
    even: bool | None


def meets_class(level_lx: Floats, calibration: Floats, asked: PClass) -> ClassVerdict:
    """Judge the sensors of one segment or passage against its class.

    Parameters
    ----------
    level_lx : float32 (n,)
        Lit level under each luminaire [lx]; NaN where silent.
    calibration : float32 (n,)
        Grid value over sensor value, from commissioning; 1 where not measured.
    asked : PClass
    """
    lux = (level_lx * calibration)[np.isfinite(level_lx)]
    if not len(lux):
        return ClassVerdict(float("nan"), float("nan"), None, None, None)
    average, least = float(lux.mean()), float(lux.min())
    return ClassVerdict(
        average,
        least,
        average >= asked.average_lx,
        least >= asked.least_lx,
        average <= asked.most_lx,
    )


def nights_until_below(level_lx: Floats, limit_lx: float) -> tuple[Floats, Floats, Floats]:
    """Nights until each luminaire's light falls below a limit, with an interval.

    The slope is Theil and Sen's: the median over all pairs of nights, which a few bad nights
    cannot turn.
    The interval comes from the quartiles of the pairwise slopes, widened by the root of the pairs
    that are independent; it is honest for noise, not for what the coming months bring.

    Parameters
    ----------
    level_lx : float32 (n, nights)
        Newest last; NaN where not measured.
    limit_lx : float

    Returns
    -------
    soonest, likely, latest : float32 (n,)
        Nights from the newest one; 0 where already below, infinity where it does not fall, NaN
        with fewer than ten nights.

    References
    ----------
    Sen, P. K. (1968), doi 10.1080/01621459.1968.10480934.
    """
    nights = level_lx.shape[1]
    first, second = np.triu_indices(nights, k=max(nights // 3, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        y = np.log(np.maximum(level_lx, 1e-3))
        slopes = ((y[:, second] - y[:, first]) / (second - first)).astype(np.float32)
        low, middle, high = row_quantiles(slopes, 0.25, 0.5, 0.75)
        count = np.count_nonzero(np.isfinite(level_lx), axis=1)
        reach = 2 * (high - low) / np.sqrt(np.maximum(count, 1))
        (now,) = row_quantiles(y[:, -14:].astype(np.float32), 0.5)
        left = now - np.log(limit_lx)
        enough = count >= 10
        out: list[Floats] = []
        for slope in (middle - reach, middle, middle + reach):
            nights_left = np.where(slope < 0, left / -slope, np.inf)
            nights_left = np.where(left <= 0, 0, nights_left)
            out.append(np.where(enough, nights_left, np.nan).astype(np.float32))
    return out[0], out[1], out[2]
