"""One light over some days: what it measured, what was expected of it, the nights, some moments."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware_sim.light import programme_levels
from firmware_sim.sun import sun_position
from firmware_sim.swedish_calendar import utc_offset_ms
from firmware_sim.tables import Trace, number, read_rows, texts

__all__ = ["PAPER", "Street", "picture", "read_street"]

Floats = NDArray[np.float64]
DAY_MS = 86_400_000
WIDTH, HEIGHT, LEFT, BOTTOM = 860, 190, 46, 22
LOWEST_LX, HIGHEST_LX = 0.05, 100_000.0
CIVIL_DARK_DEG = -6.0
GRID_MS = 600_000
SOMEWHERE = (56.05, 12.69)  # Helsingborg, where a device's place is not known


@dataclass(frozen=True)
class Street:
    """What pictures need of the assets."""

    nominal_lx: dict[str, float]
    dimming: dict[str, str]
    always: frozenset[str]
    place: dict[str, tuple[float, float]]


def read_street(assets: Path) -> Street:
    """Read the assets table."""
    table = read_rows(assets, ["device_id"])
    devices = texts(table, "device_id")
    lats, lons = texts(table, "lat"), texts(table, "lon")
    return Street(
        {
            d: number(v)
            for d, v in zip(devices, texts(table, "nominal_illuminance_lx"), strict=True)
        },
        dict(zip(devices, texts(table, "dimming"), strict=True)),
        frozenset(
            d for d, s in zip(devices, texts(table, "switching"), strict=True) if s == "always"
        ),
        {d: (number(a), number(b)) for d, a, b in zip(devices, lats, lons, strict=True)},
    )


def height_of(lux: Floats) -> Floats:
    """Vertical place of an illuminance on the logarithmic axis."""
    share = np.log(np.clip(lux, LOWEST_LX, HIGHEST_LX) / LOWEST_LX) / np.log(HIGHEST_LX / LOWEST_LX)
    height: Floats = (HEIGHT - BOTTOM) * (1 - share) + 4
    return height


def axis() -> str:
    """The levels, drawn once a page and shown in every picture."""
    parts: list[str] = []
    for lx in (0.1, 1, 10, 100, 1000, 10_000):
        level = float(height_of(np.array([lx]))[0])
        parts.append(f'<text x="{LEFT - 4}" y="{level + 4:.1f}" text-anchor="end">{lx:g}</text>')
        parts.append(
            f'<path d="M{LEFT} {level:.1f}H{WIDTH}" stroke="var(--line)" stroke-width=".5"/>'
        )
    return "".join(parts)


PAPER = f'<svg class="axis" aria-hidden="true"><defs><g id="axis">{axis()}</g></defs></svg>'
"""Stands once in a page, before its pictures."""


def path_of(x: Floats, y: Floats, *, gap: float) -> str:
    """An SVG path that lifts its pen over gaps.

    Short, for a page may hold a thousand: places in half pixels, written as steps from the one
    before, and nothing within a level line.
    """
    seen = np.isfinite(y)
    x, y = np.round(2 * x[seen]) / 2, np.round(2 * y[seen]) / 2
    lifted = np.diff(x, prepend=-np.inf) > gap
    level = np.zeros(len(x), bool)
    level[1:-1] = (y[1:-1] == y[:-2]) & (y[1:-1] == y[2:]) & ~lifted[1:-1] & ~lifted[2:]
    x, y, lifted = x[~level], y[~level], lifted[~level]
    # Half pixels are exact in binary, so steps do not add up to an error.
    steps = zip(np.diff(x, prepend=0.0), np.diff(y, prepend=0.0), strict=True)
    return "".join(
        f"M{x[i]:g} {y[i]:g}" if lifted[i] else f"l{dx:g} {dy:g}"
        for i, (dx, dy) in enumerate(steps)
    )


def expectation(
    street: Street, device: str, time_ms: Floats, elevation: Floats, timezone: str
) -> Floats:
    """Nominal level where the programme says lit; NaN by day and where nominal is not known."""
    try:
        programme, _ = programme_levels(street.dimming.get(device, ""))
    except ValueError:
        programme = np.ones(1440)
    utc = time_ms.astype(np.int64)
    minute = (utc + utc_offset_ms(utc, timezone)) // 60_000 % 1440
    level = street.nominal_lx.get(device, float("nan")) * programme[minute]
    lit = (elevation < CIVIL_DARK_DEG) | (device in street.always)
    return np.where(lit, level, np.nan)


def picture(
    street: Street | None,
    seen: Trace | None,
    device: str,
    marks: Mapping[str, int],
    timezone: str,
    *,
    days: int,
    until_ms: int,
) -> str:
    """Lux of a device around some moments, with the expected level, the nights and the marks.

    Parameters
    ----------
    street : Street or None
        Expected levels and places, where they are known.
    seen : Trace or None
        What the device measured; None where it measured nothing.
    marks : mapping of str to int
        Moments [ms, UTC] by what is said of them.
    timezone : str
        Of the dimming programme.
    days : int
        How many at most.
    until_ms : int
        End of the run: nothing was measured later.
    """
    start = min(marks.values()) - 3 * DAY_MS
    # A lone mark is the beginning of something that may take its time to show.
    last = max(marks.values()) if len(marks) > 1 else start + days * DAY_MS
    stop = min(min(last, start + days * DAY_MS) + 3 * DAY_MS, max(until_ms, start + 4 * DAY_MS))
    scale = (WIDTH - LEFT) / (stop - start)
    place = street.place.get(device, SOMEWHERE) if street else SOMEWHERE
    lat, lon = place if np.isfinite(sum(place)) else SOMEWHERE
    grid = np.arange(start, stop, GRID_MS, dtype=np.float64)
    elevation, _ = sun_position(grid, lat, lon)
    wanted, measured = "", ""
    if street is not None:
        y = height_of(expectation(street, device, grid, elevation, timezone))
        drawn = path_of(LEFT + (grid - start) * scale, y, gap=GRID_MS * 1.2 * scale + 0.5)
        wanted = f'<path d="{drawn}" fill="none" stroke="var(--expected)" stroke-dasharray="4 3"/>'
    if seen is not None:
        time_ms, lux = seen
        within = (time_ms >= start) & (time_ms < stop)
        x = LEFT + (time_ms[within] - start) * scale
        drawn = path_of(x, height_of(lux[within]), gap=4_000_000 * scale)
        measured = f'<path d="{drawn}" fill="none" stroke="var(--lamp)"/>'
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" '
        f'aria-label="{escape(device)}">'
        f"{nights(elevation < CIVIL_DARK_DEG, GRID_MS * scale)}"
        f'<use href="#axis"/>{wanted}{measured}'
        f"{moments(marks, start, stop, scale)}{dates(start, stop, scale)}</svg>"
    )


def nights(dark: NDArray[np.bool_], step: float) -> str:
    """Where the sun is low, shaded."""
    edges = np.flatnonzero(np.diff(np.r_[0, dark.astype(np.int8), 0]))
    drawn = "".join(
        f"M{LEFT + begin * step:.1f} 4h{(end - begin) * step:.1f}v{HEIGHT - BOTTOM}"
        f"h-{(end - begin) * step:.1f}z"
        for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    )
    return f'<path d="{drawn}" fill="var(--night)"/>'


def moments(marks: Mapping[str, int], start: int, stop: int, scale: float) -> str:
    """The moments that matter, with their words; one below the other where they would meet."""
    parts: list[str] = []
    for row, (name, moment) in enumerate(sorted(marks.items(), key=lambda mark: mark[1])):
        if not start <= moment < stop:
            continue
        x = LEFT + (moment - start) * scale
        # A word that would run out of the paper stands to the left of its line.
        side = f'x="{x - 3:.1f}" text-anchor="end"' if x > WIDTH - 90 else f'x="{x + 3:.1f}"'
        parts.append(f'<path d="M{x:.1f} 4V{HEIGHT - BOTTOM + 4}" stroke="var(--mark)"/>')
        parts.append(f'<text {side} y="{14 + 13 * row}">{escape(name)}</text>')
    return "".join(parts)


def dates(start: int, stop: int, scale: float) -> str:
    """Days below the picture, in UTC."""
    every = 1 if stop - start < 16 * DAY_MS else 2 if stop - start < 24 * DAY_MS else 5
    days = range(-(-start // DAY_MS), int(stop - 45 / scale) // DAY_MS + 1, every)
    return "".join(
        f'<text x="{LEFT + (day * DAY_MS - start) * scale:.1f}" y="{HEIGHT - 4}">'
        f"{datetime.fromtimestamp(day * 86_400, UTC):%d %b}</text>"
        for day in days
    )
