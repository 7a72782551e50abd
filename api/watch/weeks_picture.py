"""Some weeks, night by night: a slow change shows in no single one."""

from datetime import timedelta

import numpy as np

from analytics.burning import DARK_BELOW
from analytics.grid import DAY_MS
from api.watch.expected_light import Trace, Wanted
from api.watch.picture_canvas import (
    BOTTOM,
    HEIGHT,
    LEFT,
    TOP,
    Frame,
    Key,
    date_text,
    dot_mark,
    label,
    legend,
    level_line,
    nothing_seen,
    onset,
    own_dot,
    own_line,
    peers_line,
    peers_mark,
    remark,
    tick,
)

__all__ = ["weeks_picture"]

MOST_SHARE = 1.4
USUAL_NIGHTS = 7


def weeks_picture(
    own: Trace, beside: Trace | None, wanted: Wanted, began_ms: int, frame: Frame
) -> list[str]:
    """Draw some weeks of one light, as shares of what is usual for it.

    Parameters
    ----------
    own : Trace
        What its sensor saw.
    beside : Trace or None
        What its neighbours saw; None where it has none.
    wanted : Wanted
    began_ms : int
        When the change began.
    frame : Frame

    Returns
    -------
    list of str
        SVG elements.
    """
    shares = shares_by_night(own, wanted)
    axes = [*percents(frame.words), *dates(frame)]
    if not shares:
        return [*axes, nothing_seen(frame.words)]
    theirs = shares_by_night(beside, wanted) if beside is not None else []
    points = places(shares, frame)
    left = 100 * float(np.median([share for _, share in shares[-3:]]))
    return [
        *axes,
        *([peers_line(places(theirs, frame))] if theirs else []),
        own_line(points),
        *(own_dot(f"{x:.1f}", f"{y:.1f}") for x, y in points),
        remark(frame.words["left"].format(share=f"{left:.0f}")),
        *onset(began_ms, frame),
        *legend(keys(frame.words, peers=beside is not None)),
    ]


def shares_by_night(trace: Trace, wanted: Wanted) -> list[tuple[float, float]]:
    """Each night's level as a share of the first week's; empty where there is no share to tell."""
    levels = levels_by_night(trace, wanted)
    if len(levels) < 2:
        return []
    usual = float(np.median([level for _, level in levels[:USUAL_NIGHTS]]))
    if usual <= 0:
        return []  # dark from the first: nothing to compare with
    return [(midnight_ms, level / usual) for midnight_ms, level in levels]


def levels_by_night(trace: Trace, wanted: Wanted) -> list[tuple[float, float]]:
    """Median of each night's readings at the level that was expected, scaled to full light."""
    time_ms, value = trace
    slot = wanted.slot(time_ms)
    with np.errstate(invalid="ignore"):
        level = wanted.low_lx[slot] / (DARK_BELOW * wanted.own_lx)
    use = wanted.lit[slot] & wanted.night[slot] & (level > 0)
    number = (time_ms[use] - DAY_MS // 2) // DAY_MS
    full = value[use] / level[use]
    return [
        (float((n + 1) * DAY_MS), float(np.median(full[number == n])))
        for n in np.unique(number)
        if (number == n).sum() >= 6
    ]


def places(shares: list[tuple[float, float]], frame: Frame) -> list[tuple[float, float]]:
    """Where each night stands in the picture."""
    return [(frame.x(midnight_ms), y_of_share(share)) for midnight_ms, share in shares]


def y_of_share(share: float) -> float:
    """Where a share of the normal level stands from the top."""
    return TOP + (1 - min(max(share / MOST_SHARE, 0.0), 1.0)) * (HEIGHT - TOP - BOTTOM)


def percents(words: dict[str, str]) -> list[str]:
    """Shares on the left."""
    out: list[str] = []
    for percent in range(0, int(100 * MOST_SHARE) + 1, 20):
        width = "1.4" if percent == 100 else "0.6"
        out += level_line(y_of_share(percent / 100), f"{percent}", width)
    out.append(label(LEFT + 4, y_of_share(1.0) - 4, words["usual"], colour="#5a6275"))
    return out


def dates(frame: Frame) -> list[str]:
    """Every fifth date below the picture."""
    out: list[str] = []
    moment = frame.local(frame.start_ms).replace(hour=0, minute=0, second=0, microsecond=0)
    moment += timedelta(days=1)
    while (time_ms := moment.timestamp() * 1000) < frame.stop_ms:
        out += tick(frame.x(time_ms), date_text(moment))
        moment = (moment + timedelta(days=5)).replace(tzinfo=frame.zone)
    return out


def keys(words: dict[str, str], *, peers: bool) -> list[Key]:
    """What is explained below the picture."""
    return [
        Key(0, dot_mark, words["nightly"]),
        *([Key(330, peers_mark, words["peers"])] if peers else []),
    ]
