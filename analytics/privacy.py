"""Small counts that must not lead to a person: suppression that survives simple arithmetic.

Withholding small cells alone is no protection: a total minus the other cells gives them back. So
further cells are withheld, and what is published is rounded.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analytics.arrays import floats, is_whole
from analytics.errors import BadArgumentError, ShapeMismatchError

__all__ = ["PLANNER_K", "PUBLIC_K", "ROUND_TO", "Suppressed", "below", "publish", "suppress"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

PLANNER_K = 5
PUBLIC_K = 10
ROUND_TO = 5


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A table that may leave the house.

    Attributes
    ----------
    cells : float64 (n_rows, n_columns)
        Rounded; NaN where withheld or never counted.
    row_totals, column_totals : float64
        Rounded from the true totals, so they need not add up; NaN where withheld.
    total : float
    withheld : bool (n_rows, n_columns)
    """

    cells: Floats
    row_totals: Floats
    column_totals: Floats
    total: float
    withheld: Bools


def suppress(basis: npt.ArrayLike, *, k: int = PUBLIC_K, base: int = ROUND_TO) -> Suppressed:
    """Withhold and round a table of persons, its totals included.

    Parameters
    ----------
    basis : float (n_rows, n_columns)
        Persons behind every cell (a mean times its hours, not the mean); NaN where nothing was
        counted, which is published as not known and counts for nothing in the totals.
    k : int
        Cells of fewer persons are withheld, empty ones too: that nobody came is a fact about
        somebody's absence.
    base : int
        Published values are rounded to multiples of it.

    Returns
    -------
    Suppressed

    Raises
    ------
    ShapeMismatchError, BadArgumentError
    """
    table = floats("basis", basis)
    if table.ndim != 2:
        raise ShapeMismatchError(f"basis must be a table, not {table.shape}")
    if not (is_whole(k) and is_whole(base)) or k < 1 or base < 1:
        raise BadArgumentError(f"k and base must be whole and 1 or more, not {k!r} and {base!r}")
    if np.isinf(table).any() or (table < 0).any():
        raise BadArgumentError("basis must be 0 or more, or NaN where nothing was counted")
    counted = np.isfinite(table)
    with_margins = extended(np.where(counted, table, 0.0))
    # A cell that was never counted is known to be outside: it can neither hide nor be hidden.
    open_cells = np.ones(with_margins.shape, dtype=np.bool_)
    open_cells[:-1, :-1] = counted
    withheld = open_cells & (with_margins < k)
    withhold_until_stable(with_margins, withheld, open_cells, k)
    shown = np.where(withheld | ~open_cells, np.nan, np.floor(with_margins / base + 0.5) * base)
    return Suppressed(
        cells=shown[:-1, :-1],
        row_totals=shown[:-1, -1],
        column_totals=shown[-1, :-1],
        total=float(shown[-1, -1]),
        withheld=withheld[:-1, :-1],
    )


def extended(table: Floats) -> Floats:
    """The table with its totals as a last row and a last column."""
    rows = np.concatenate([table, table.sum(axis=0, keepdims=True)])
    return np.concatenate([rows, rows.sum(axis=1, keepdims=True)], axis=1)


def withhold_until_stable(table: Floats, withheld: Bools, open_cells: Bools, k: int) -> None:
    """Withhold more, in place, until no row or column gives a withheld cell away.

    A line gives one away when it withholds exactly one cell, or several that together are fewer
    than k persons. The smallest published cell of the line goes with it, so that the least is
    lost; of equals the first.
    """
    changed = True
    while changed:
        changed = False
        for axis in (0, 1):
            lines = zip(
                np.moveaxis(table, axis, 0),
                np.moveaxis(withheld, axis, 0),
                np.moveaxis(open_cells, axis, 0),
                strict=True,
            )
            for values, hidden, usable in lines:
                n = int(hidden.sum())
                if n == 0 or (n > 1 and values[hidden].sum() >= k):
                    continue
                published = np.flatnonzero(usable & ~hidden)
                if len(published):
                    hidden[published[np.argmin(values[published])]] = True
                    changed = True


def publish(
    mean: npt.ArrayLike, hours: npt.ArrayLike, *, k: int = PUBLIC_K, base: int = ROUND_TO
) -> tuple[Floats, Bools]:
    """Hourly means that may leave the house.

    Parameters
    ----------
    mean : float (n_rows, n_columns)
        People an hour.
    hours : float (n_rows, n_columns)
        Hours behind each mean.

    Returns
    -------
    (float64, bool)
        Means from the rounded persons, NaN where withheld; and what is withheld.
    """
    m, n = floats("mean", mean), floats("hours", hours)
    if m.shape != n.shape:
        raise ShapeMismatchError(f"mean is {m.shape}, but hours is {n.shape}")
    found = suppress(np.where(n > 0, m * n, np.nan), k=k, base=base)
    return found.cells / np.where(n > 0, n, 1.0), found.withheld


def below(basis: npt.ArrayLike, k: int = PLANNER_K) -> Bools:
    """Cells a planner sees as "<5": fewer than k persons behind them."""
    persons = floats("basis", basis)
    return np.asarray(np.isfinite(persons) & (persons < k))
