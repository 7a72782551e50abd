"""Which sites may be controls of a before/after evaluation, and why the others may not."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from analytics.arrays import is_whole
from analytics.errors import BadArgumentError
from analytics.ridge_gaps import MIN_VALID_SHARE, REFERENCE_DAYS, mean_present, middle, zeroed

__all__ = [
    "MAX_DONORS",
    "MAX_ZERO_SHARE",
    "MIN_CONTROLS",
    "Exclusion",
    "Window",
    "candidate_controls",
    "checked_columns",
    "fit_controls",
    "most_alike",
    "present_share",
    "steps",
    "stuck",
    "without_copies",
    "zero_share",
]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MIN_CONTROLS = 5
MAX_DONORS = 100  # more are not better, only slower: the most correlated are taken
MIN_WEEK_DAYS = 3
MIN_WEEKS_SHARE = 0.85
MAX_ZERO_SHARE = 0.25
IMPLAUSIBLE_LOG = float(np.log(10.0))  # no street does that alone; a counter does


class Exclusion(StrEnum):
    """Why a site is not among the controls."""

    NAMED = "named_by_planner"
    NEARBY = "inside_influence_zone"
    TREATED = "itself_treated"
    DEVICE_CHANGED = "device_changed"
    DATA_GAP = "data_gap"
    SILENT_WEEK = "silent_or_empty_week"
    TOO_MANY_ZEROS = "too_many_zeros"
    STUCK = "same_count_every_day"
    SAME_COUNTS = "same_counts_as_another"
    IMPLAUSIBLE = "changed_tenfold_alone"
    LESS_ALIKE = "less_alike_than_the_hundred_best"


@dataclass(frozen=True, slots=True)
class Window:
    """The rows that are used: whole weeks before and after the start."""

    first: int
    start: int
    stop: int

    @property
    def n_pre(self) -> int:
        """Days before the start."""
        return self.start - self.first

    @property
    def n_post(self) -> int:
        """Days from the start on."""
        return self.stop - self.start


def checked_columns(name: str, columns: Sequence[int], table: Floats) -> tuple[int, ...]:
    """`columns` as plain integers without repeats, or an error."""
    n_sites = table.shape[1]
    if not columns:
        raise BadArgumentError(f"{name} must name at least one column")
    for column in columns:
        if not is_whole(column) or not 0 <= column < n_sites:
            raise BadArgumentError(f"{name} must be in 0..{n_sites - 1}, not {column!r}")
    return tuple(dict.fromkeys(int(column) for column in columns))


def candidate_controls(
    table: Floats,
    sites: tuple[int, ...],
    *,
    controls: Sequence[int] | None,
    exclude: Sequence[int],
    nearby: Sequence[int],
    also_treated: Sequence[int],
    changed: frozenset[int],
) -> tuple[list[int], tuple[tuple[int, Exclusion], ...]]:
    """Columns that may be controls by what is known of them, and those that may not."""
    named = range(table.shape[1]) if controls is None else controls
    if controls is not None and len(controls):
        checked_columns("controls", list(controls), table)
    reasons: dict[int, Exclusion] = {}
    for why, columns in (
        (Exclusion.DEVICE_CHANGED, changed),
        (Exclusion.NAMED, exclude),
        (Exclusion.NEARBY, nearby),
        (Exclusion.TREATED, also_treated),
    ):
        for column in columns:
            checked_columns(why.value, [column], table)
            reasons[int(column)] = why
    wanted = [int(c) for c in dict.fromkeys(named) if c not in sites]
    kept = [c for c in wanted if c not in reasons]
    return kept, tuple((c, reasons[c]) for c in wanted if c in reasons)


def without_copies(
    table: Floats, sites: tuple[int, ...], candidates: list[int], window: Window
) -> tuple[list[int], tuple[tuple[int, Exclusion], ...]]:
    """Candidates whose counts are not those of another site, day for day.

    Two columns alike in every day are one counter under two names. As controls of each other they
    would foretell each other perfectly, and the interval would have no width.
    """
    block = table[window.first : window.stop]
    totals = np.sort(np.add.reduce(zeroed(block[:, [*sites, *candidates]])))
    if not ((totals[1:] == totals[:-1]) & (totals[1:] > 0)).any():
        return candidates, ()  # no two have counted as many in all
    seen = {block[:, site].tobytes() for site in sites if varies(block[:, site])}
    kept: list[int] = []
    copies: list[tuple[int, Exclusion]] = []
    for column in candidates:
        key = block[:, column].tobytes()
        if key in seen:
            copies.append((column, Exclusion.SAME_COUNTS))
            continue
        kept.append(column)
        if varies(block[:, column]):  # two that never move, or are silent, are no copies
            seen.add(key)
    return kept, tuple(copies)


def varies(counts: Floats) -> bool:
    """Whether a series has two different counts."""
    known = counts[np.isfinite(counts)]
    return bool(known.size and (known != known[0]).any())


def present_share(block: Floats) -> Floats:
    """Share of days present per column, 0..1."""
    return np.asarray(np.isfinite(block).sum(axis=0) / len(block))


def zero_share(block: Floats) -> Floats:
    """Share of the present days that count nobody, per column; 1 where nothing is present."""
    present = np.isfinite(block).sum(axis=0)
    return np.where(present > 0, (block == 0).sum(axis=0) / np.maximum(present, 1), 1.0)


def stuck(block: Floats) -> Bools:
    """Columns with one and the same count above 0 on every day present: a counter, no street."""
    known = np.isfinite(block)
    least = np.where(known, block, np.inf).min(axis=0)
    most = np.where(known, block, -np.inf).max(axis=0)
    return np.asarray((least == most) & (least > 0))


def fit_controls(
    table: Floats, candidates: list[int], window: Window
) -> tuple[tuple[int, ...], tuple[tuple[int, Exclusion], ...]]:
    """Candidates whose counters lived through the window, and the reason for each that did not.

    A week is alive with at least three days present and somebody counted; every one of the eight
    weeks before and all weeks after must be, and 85 % of the whole window. In those two periods
    three days in four must be present. One that moved tenfold while the middle one did not is a
    counter that was changed or hacked, not a street.
    """
    if not candidates:
        return (), ()
    block = table[window.first : window.stop, candidates]
    weeks = block.reshape(-1, 7, len(candidates))
    alive = (np.isfinite(weeks).sum(axis=1) >= MIN_WEEK_DAYS) & (zeroed(weeks).sum(axis=1) > 0)
    judged = slice((window.n_pre - REFERENCE_DAYS) // 7, None)
    reference = block[window.n_pre - REFERENCE_DAYS : window.n_pre]
    after = block[window.n_pre :]
    reasons = {
        Exclusion.SILENT_WEEK: ~(alive[judged].all(axis=0) & (alive.mean(0) >= MIN_WEEKS_SHARE)),
        Exclusion.DATA_GAP: np.minimum(present_share(reference), present_share(after))
        < MIN_VALID_SHARE,
        Exclusion.STUCK: stuck(reference) | stuck(after),
        Exclusion.TOO_MANY_ZEROS: zero_share(block[: window.n_pre]) > MAX_ZERO_SHARE,
    }
    fit = ~np.any(list(reasons.values()), axis=0)
    if fit.any():
        moved = np.zeros(len(candidates))
        moved[fit] = steps(np.log1p(block[:, fit]), window.n_pre)
        reasons[Exclusion.IMPLAUSIBLE] = np.abs(moved) > IMPLAUSIBLE_LOG
    masks = np.array(list(reasons.values()))
    first = np.where(masks.any(axis=0), masks.argmax(axis=0), -1).tolist()
    names = list(reasons)
    usable = [column for column, why in zip(candidates, first, strict=True) if why < 0]
    unfit = [(c, names[why]) for c, why in zip(candidates, first, strict=True) if why >= 0]
    return tuple(usable), tuple(unfit)


def most_alike(
    logs: Floats, n_treated: int, usable: tuple[int, ...], n_pre: int
) -> tuple[Floats, tuple[int, ...], tuple[tuple[int, Exclusion], ...]]:
    """The hundred controls that followed the treated sites most closely before the start."""
    own = mean_present(logs[:n_pre, :n_treated], axis=1)
    others = logs[:n_pre, n_treated:]
    both = np.isfinite(own)[:, None] & np.isfinite(others)
    x = np.where(both, own[:, None], np.nan)
    y = np.where(both, others, np.nan)
    x, y = zeroed(x - mean_present(x)), zeroed(y - mean_present(y))
    spread = np.sqrt((x * x).sum(0) * (y * y).sum(0))
    likeness = np.where(spread > 0, (x * y).sum(0) / np.maximum(spread, 1e-300), -2.0)
    best = np.sort(np.argsort(-likeness, kind="stable")[:MAX_DONORS])
    kept = tuple(usable[i] for i in best)
    dropped = tuple((c, Exclusion.LESS_ALIKE) for c in usable if c not in {*kept})
    return logs[:, [*range(n_treated), *(best + n_treated)]], kept, dropped


def steps(logs: Floats, n_pre: int) -> Floats:
    """How far each control moved at the start, less what the middle one did [log units]."""
    moved = mean_present(logs[n_pre:]) - mean_present(logs[n_pre - REFERENCE_DAYS : n_pre])
    return np.asarray(moved - middle(moved))
