"""Some days, reading by reading: a light against what was expected of it."""

from datetime import timedelta
from html import escape

import numpy as np
import numpy.typing as npt

from analytics.findings import FindingKind
from analytics.grid import SLOT_MS
from api.findings import NamedFinding
from api.watch.expected_light import Trace, Wanted
from api.watch.picture_canvas import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    WORDS,
    Frame,
    Key,
    date_text,
    label,
    legend,
    level_line,
    onset,
    own_line,
    own_mark,
    patch_mark,
    peers_line,
    peers_mark,
    remark,
    tick,
)

__all__ = ["night_picture"]

LOWEST_LX, HIGHEST_LX = 0.1, 100_000.0
LESS_LIGHT = frozenset(
    {
        FindingKind.LAMP_FAILURE,
        FindingKind.SUPPLY_LOSS,
        FindingKind.DIMMING_FAILURE,
        FindingKind.SENSOR_BLIND,
        FindingKind.MISAIMED,
    }
)


def night_picture(
    own: Trace, beside: Trace | None, wanted: Wanted, finding: NamedFinding, frame: Frame
) -> list[str]:
    """Draw some days of one light.

    Parameters
    ----------
    own : Trace
        What its sensor saw.
    beside : Trace or None
        What its neighbours saw; None where it has none.
    wanted : Wanted
    finding : NamedFinding
    frame : Frame

    Returns
    -------
    list of str
        SVG elements.
    """
    return [
        *nights(wanted, frame),
        *scale(frame.words),
        *days(frame),
        *band(wanted, frame),
        *gap(own, wanted, frame, finding),
        *(median_of_peers(beside, frame) if beside is not None else []),
        *own_lines(own, frame),
        *onset(finding.start_ms, frame),
        *headline(own, wanted, finding, frame.words),
        *legend(keys(frame.words, peers=beside is not None)),
    ]


def y_of(lux: float) -> float:
    """Where a level stands from the top."""
    held = min(max(lux, LOWEST_LX), HIGHEST_LX)
    share = np.log(held / LOWEST_LX) / np.log(HIGHEST_LX / LOWEST_LX)
    return float(TOP + (1 - share) * (HEIGHT - TOP - BOTTOM))


def runs(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where it is true, as half-open ranges."""
    edges = np.flatnonzero(np.diff(np.r_[0, mask.astype(np.int8), 0]))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def nights(wanted: Wanted, frame: Frame) -> list[str]:
    """Nights in grey, where the sun is below civil twilight."""
    out: list[str] = []
    for a, b in runs(wanted.night):
        x0 = max(frame.x(float(wanted.time_ms[a])), LEFT)
        x1 = min(frame.x(float(wanted.time_ms[b - 1] + SLOT_MS)), WIDTH - RIGHT)
        out.append(
            f'<rect x="{x0:.1f}" y="{TOP}" width="{max(x1 - x0, 0):.1f}" '
            f'height="{HEIGHT - TOP - BOTTOM}" fill="#e3e6ee"/>'
        )
        if x1 - x0 > 40:
            out.append(label(x0 + 6, TOP + 14, frame.words["night"], colour="#5a6275"))
    return out


def scale(words: dict[str, str]) -> list[str]:
    """Levels on the left, a factor of ten apart."""
    out: list[str] = []
    for power in range(-1, 6):
        text = f"{10.0**power:g}" if power < 4 else f"{10 ** (power - 3)}k"
        out += level_line(y_of(10.0**power), text)
    out.append(
        f'<text x="14" y="{HEIGHT / 2:.0f}" transform="rotate(-90 14 {HEIGHT / 2:.0f})" '
        f'text-anchor="middle" fill="#333333">{escape(words["lux"])}</text>'
    )
    return out


def days(frame: Frame) -> list[str]:
    """Local midnights and middays below the picture."""
    out: list[str] = []
    moment = frame.local(frame.start_ms).replace(hour=0, minute=0, second=0, microsecond=0)
    while (time_ms := moment.timestamp() * 1000) < frame.stop_ms:
        if time_ms >= frame.start_ms:
            text = date_text(moment) if moment.hour == 0 else f"{moment:%H}:00"
            out += tick(frame.x(time_ms), text)
        # Wall clock: twelve hours further, whatever daylight saving does.
        moment = (moment + timedelta(hours=12)).replace(tzinfo=frame.zone)
    return out


def band(wanted: Wanted, frame: Frame) -> list[str]:
    """The level that was expected: below it the luminaire counts as dark."""
    if not np.isfinite(wanted.own_lx):
        return []
    out: list[str] = []
    for a, b in runs(wanted.lit):
        steps = np.flatnonzero(np.diff(wanted.high_lx[a:b])) + a + 1
        for i, j in zip([a, *steps], [*steps, b], strict=True):
            x0 = max(frame.x(float(wanted.time_ms[i])), LEFT)
            x1 = min(frame.x(float(wanted.time_ms[j - 1] + SLOT_MS)), WIDTH - RIGHT)
            top, bottom = y_of(float(wanted.high_lx[i])), y_of(float(wanted.low_lx[i]))
            size = f'width="{max(x1 - x0, 0):.1f}" height="{bottom - top:.1f}"'
            colour = 'fill="#ffd24d" fill-opacity="0.6"'
            out.append(f'<rect x="{x0:.1f}" y="{top:.1f}" {size} {colour}/>')
    return out


def gap(own: Trace, wanted: Wanted, frame: Frame, finding: NamedFinding) -> list[str]:
    """What is missing, in red, from when it began."""
    time_ms, value = own
    floor = wanted.low_lx[wanted.slot(time_ms)]
    with np.errstate(invalid="ignore"):
        short = (time_ms >= finding.start_ms) & (value < floor)
    if finding.end_ms is not None:
        short &= time_ms < finding.end_ms
    width = max(frame.x(float(SLOT_MS)) - frame.x(0.0), 1.0) + 0.4
    out: list[str] = []
    for i in np.flatnonzero(short):
        top, bottom = y_of(float(floor[i])), y_of(float(value[i]))
        x = frame.x(float(time_ms[i]))
        out.append(f"M{x:.1f} {top:.1f}h{width:.1f}V{bottom:.1f}h-{width:.1f}z")
    return [f'<path d="{"".join(out)}" fill="#c01818" fill-opacity="0.25"/>'] if out else []


def headline(own: Trace, wanted: Wanted, finding: NamedFinding, words: dict[str, str]) -> list[str]:
    """What it gives now against what it should, where that is less."""
    time_ms, value = own
    slot = wanted.slot(time_ms)
    since = wanted.lit[slot] & wanted.night[slot] & (time_ms >= finding.start_ms)
    if finding.kind not in LESS_LIGHT or since.sum() < 2 or not np.isfinite(wanted.own_lx):
        return []
    seen = float(np.median(value[since][-12:]))
    comma = words is WORDS["sv"]
    text = words["now"].format(seen=lux_text(seen, comma), wanted=lux_text(wanted.own_lx, comma))
    return [remark(text)]


def lux_text(lux: float, comma: bool) -> str:
    """A level as people say it."""
    text = f"{lux:.0f}" if lux >= 10 else f"{lux:.1f}"
    return text.replace(".", ",") if comma else text


def own_lines(own: Trace, frame: Frame) -> list[str]:
    """What the luminaire's sensor measured; gaps stay gaps."""
    time_ms, value = own
    breaks = np.flatnonzero(np.diff(time_ms) > 3 * SLOT_MS) + 1
    parts = np.split(np.arange(len(time_ms)), breaks)
    return [
        own_line([(frame.x(float(time_ms[i])), y_of(float(value[i]))) for i in part])
        for part in parts
    ]


def median_of_peers(beside: Trace, frame: Frame) -> list[str]:
    """Median of the others, in half hours."""
    time_ms, value = beside
    if not len(time_ms):
        return []
    step = 3 * SLOT_MS
    slot = (time_ms - frame.start_ms) // step
    middles = [(int(s), float(np.median(value[slot == s]))) for s in np.unique(slot)]
    return [peers_line([(frame.x(frame.start_ms + (s + 0.5) * step), y_of(v)) for s, v in middles])]


def keys(words: dict[str, str], *, peers: bool) -> list[Key]:
    """What is explained below the picture."""
    return [
        Key(0, own_mark, words["own"]),
        Key(100, patch_mark("#ffd24d"), words["normal"]),
        Key(225, patch_mark("#f2c4c4"), words["missing"]),
        *([Key(365, peers_mark, words["peers"])] if peers else []),
    ]
