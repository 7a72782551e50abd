"""Arguments as float arrays, or an error that names the argument."""

import numpy as np
import numpy.typing as npt

from analytics.errors import BadArgumentError

__all__ = ["floats", "is_whole"]


def floats(name: str, given: object) -> npt.NDArray[np.float64]:
    """`given` as float64, masked values as NaN.

    Raises
    ------
    BadArgumentError
        If it holds what is no number, or rows of unequal length.
    """
    try:
        found = np.asarray(given)
        if found.dtype.kind not in "biufO":
            raise BadArgumentError(f"{name} must be numbers, not {found.dtype}")
        found = found.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        if isinstance(error, BadArgumentError):
            raise
        raise BadArgumentError(f"{name} must be numbers: {error}") from error
    if isinstance(given, np.ma.MaskedArray):  # a mask says missing, and `asarray` forgets it
        found = np.where(np.ma.getmaskarray(given), np.nan, found)
    return found


def is_whole(value: object) -> bool:
    """Whether a value is a whole number; what Python calls true and false are none."""
    if isinstance(value, int | np.integer):
        return not isinstance(value, bool)
    return isinstance(value, float | np.floating) and float(value).is_integer()
