"""The score as one HTML page: tables, and a picture of every miss, wrong name and false order."""

from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_sim.light import programme_levels
from firmware_sim.score import DAY_MS, OPEN_MS, Fault, Order, Run, Score
from firmware_sim.sun import sun_position
from firmware_sim.swedish_calendar import utc_offset_ms
from firmware_sim.tables import number, read_rows, texts, trace

__all__ = ["Street", "read_street", "write_report"]

Floats = NDArray[np.float64]
WIDTH, HEIGHT, LEFT, BOTTOM = 860, 190, 46, 22
LOWEST_LX, HIGHEST_LX = 0.05, 100_000.0
CIVIL_DARK_DEG = -6.0
SLOW = {"depreciation": 45, "sensor_drift": 45}  # days a picture shows; others 14
STYLE = """
:root { color-scheme: light dark; --ink: #1b2330; --paper: #fdfdfb;
 --line: #c9ced6; --lamp: #b45309;
 --expected: #0f766e; --night: #dfe5f1; --mark: #b91c1c }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --paper: #12161d; --line: #3a4250;
 --lamp: #fbbf24; --expected: #2dd4bf; --night: #1d2636; --mark: #f87171 } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);
 max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: .6rem 0 1.4rem }
th, td { border-bottom: 1px solid var(--line);
 padding: .2rem .7rem; text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
figure { margin: 0 0 1.6rem } figcaption { margin-bottom: .3rem }
svg { max-width: 100%; height: auto }
.bounds { opacity: .7; font-size: .85em } text { fill: var(--ink); font-size: 11px }
"""


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


def path_of(x: Floats, y: Floats, *, gap: float) -> str:
    """An SVG path that lifts its pen over gaps."""
    parts: list[str] = []
    last = -np.inf
    for px, py in zip(x.tolist(), y.tolist(), strict=True):
        if np.isfinite(py):
            parts.append(f"{'M' if px - last > gap else 'L'}{px:.1f} {py:.1f}")
            last = px
    return "".join(parts)


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
    readings: Path,
    device: str,
    marks: dict[str, int],
    timezone: str,
    days: int = 14,
) -> str:
    """Lux of a device around some moments, with the expected level, the nights and the marks."""
    start = min(marks.values()) - 3 * DAY_MS
    # A lone mark is the beginning of something that may take its time to show.
    last = max(marks.values()) if len(marks) > 1 else start + days * DAY_MS
    stop = min(last, start + days * DAY_MS) + 3 * DAY_MS
    time_ms, lux = trace(readings, device, start, stop)
    scale = (WIDTH - LEFT) / (stop - start)
    lat, lon = street.place.get(device, (np.nan, np.nan)) if street else (np.nan, np.nan)
    if not np.isfinite(lat + lon):
        lat, lon = 56.05, 12.69
    grid = np.arange(start, stop, 600_000, dtype=np.float64)
    elevation, _ = sun_position(grid, lat, lon)
    parts = [
        (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" '
            f'aria-label="{escape(device)}">'
        )
    ]
    dark = elevation < CIVIL_DARK_DEG
    edges = np.flatnonzero(np.diff(np.r_[0, dark.astype(np.int8), 0]))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        x, width = LEFT + (grid[begin] - start) * scale, (end - begin) * 600_000 * scale
        parts.append(
            f'<rect x="{x:.1f}" y="4" width="{width:.1f}" height="{HEIGHT - BOTTOM}" '
            f'fill="var(--night)"/>'
        )
    for lx in (0.1, 1, 10, 100, 1000, 10_000):
        level = float(height_of(np.array([lx]))[0])
        parts.append(f'<text x="{LEFT - 4}" y="{level + 4:.1f}" text-anchor="end">{lx:g}</text>')
        parts.append(
            f'<path d="M{LEFT} {level:.1f}H{WIDTH}" stroke="var(--line)" stroke-width=".5"/>'
        )
    if street is not None:
        y = height_of(expectation(street, device, grid, elevation, timezone))
        drawn = path_of(LEFT + (grid - start) * scale, y, gap=700_000 * scale)
        parts.append(
            f'<path d="{drawn}" fill="none" stroke="var(--expected)" stroke-dasharray="4 3"/>'
        )
    x = LEFT + (time_ms - start) * scale
    drawn = path_of(x, height_of(lux), gap=4_000_000 * scale)
    parts.append(f'<path d="{drawn}" fill="none" stroke="var(--lamp)"/>')
    for name, moment in marks.items():
        if start <= moment < stop:
            x0 = LEFT + (moment - start) * scale
            parts.append(f'<path d="M{x0:.1f} 4V{HEIGHT - BOTTOM + 4}" stroke="var(--mark)"/>')
            parts.append(f'<text x="{x0 + 3:.1f}" y="14">{escape(name)}</text>')
    every = 1 if stop - start < 20 * DAY_MS else 4
    for day in range(-(-start // DAY_MS), (stop - DAY_MS // 2) // DAY_MS + 1, every):
        x0 = LEFT + (day * DAY_MS - start) * scale
        label = f"{datetime.fromtimestamp(day * 86_400, UTC):%d %b}"
        parts.append(f'<text x="{x0:.1f}" y="{HEIGHT - 4}">{label}</text>')
    return "".join(parts) + "</svg>"


def moment_text(time_ms: int) -> str:
    """A moment for people, in UTC."""
    return (
        "open"
        if time_ms >= OPEN_MS
        else f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    )


def share_text(found: dict[str, Any]) -> str:
    """A share with its bounds."""
    if found["value"] is None:
        return "–"
    low, high = found["low"], found["high"]
    bounds = f"{low:.2f}–{high:.2f}, n = {found['n']}" if "n" in found else f"{low:.3g}–{high:.3g}"
    return f'{found["value"]:.3g} <span class="bounds">({bounds})</span>'


def kinds_table(facts: dict[str, Any]) -> str:
    """One row a kind."""
    rows = []
    for name, kind in facts["kinds"].items():
        if kind["faults"] or kind["orders"]:
            shown = [
                "–" if kind[k] is None else f"{kind[k]:.2f}"
                for k in ("f1", "nights_median", "nights_p90")
            ]
            cells = [
                share_text(kind["precision"]), share_text(kind["recall"]), *shown,
                share_text(kind["by_first_noon"]), share_text(kind["by_second_noon"]),
            ]  # fmt: skip
            rows.append(
                f"<tr><td>{escape(name)}</td>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>"
            )
    head = (
        "kind", "precision", "recall", "F1", "nights, median", "p90", "by first noon",
        "by second noon",
    )  # fmt: skip
    return (
        "<table><tr>"
        + "".join(f"<th>{h}</th>" for h in head)
        + "</tr>"
        + "".join(rows)
        + "</table>"
    )


def summary_table(facts: dict[str, Any]) -> str:
    """The whole in some rows."""
    rows = {
        "macro-F1": "–" if facts["macro_f1"] is None else f"{facts['macro_f1']:.3f}",
        "lamp-nights": f"{facts['lamp_nights']:,.0f}",
        "faults, orders": f"{facts['faults']}, {facts['orders']}",
        "false orders per 1,000 lamp-nights": share_text(facts["false_per_1000_lamp_nights"]),
        "false orders per 1,000 lamp-years": share_text(facts["false_per_1000_lamp_years"]),
        "orders on any fault": share_text(facts["any_fault_precision"]),
        "faults found under any name": share_text(facts["any_fault_recall"]),
        "right crew": share_text(facts["right_crew"]),
        "grouped faults with exactly one order": share_text(facts["grouped_with_one_order"]),
        "broken counters with an order": share_text(facts["counter_faults_with_an_order"]),
    }
    return (
        "<table>"
        + "".join(f"<tr><td>{k}</td><td>{v}</td></tr>" for k, v in rows.items())
        + "</table>"
    )


def urgent_table(facts: dict[str, Any]) -> str:
    """How soon urgent orders went out, by cause and by what could be seen."""
    if not facts["urgent"]:
        return "<p>Nothing urgent in truth.</p>"

    def minutes(value: float | None) -> str:
        return "not found" if value is None else f"{value:.0f}"

    rows = "".join(
        f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{g['n']}</td>"
        f"<td>{minutes(g['median_minutes'])}</td><td>{minutes(g['p95_minutes'])}</td>"
        f"<td>{g['bound_minutes']:.0f}</td><td>{'yes' if g['met'] else 'no'}</td>"
        f"<td>{share_text(g['within_bound'])}</td><td>{share_text(g['exactly_one_order'])}</td></tr>"
        for name, g in facts["urgent"].items()
    )
    head = ("group", "n", "median, min", "p95, min", "bound", "met", "within", "exactly one order")
    return f"<table><tr>{''.join(f'<th>{h}</th>' for h in head)}</tr>{rows}</table>"


def wrong_kind_table(facts: dict[str, Any]) -> str:
    """Which kind was taken for which."""
    if not facts["wrong_kind"]:
        return "<p>None.</p>"
    rows = "".join(
        f"<tr><td>{escape(w['truth'])}</td><td>{escape(w['named'])}</td><td>{w['orders']}</td></tr>"
        for w in facts["wrong_kind"]
    )
    return f"<table><tr><th>in truth</th><th>named</th><th>orders</th></tr>{rows}</table>"


def miss_figure(run: Run, fault: Fault, street: Street | None, timezone: str) -> str:
    """A fault that nobody found."""
    device = min(fault.spans)
    start, end = fault.spans[device]
    caption = (
        f"{escape(fault.kind)} on {escape(device)}"
        f"{f' and {len(fault.spans) - 1} more' if fault.grouped else ''}, "
        f"{moment_text(start)} to {moment_text(end)} ({escape(run.name)})"
    )
    marks = {"begins": max(start, run.start_ms)} | ({"ends": end} if end < OPEN_MS else {})
    return figure(run, device, caption, marks, street, timezone, SLOW.get(fault.kind, 14))


def false_figure(run: Run, order: Order, street: Street | None, timezone: str) -> str:
    """An order for nothing."""
    device = min(order.spans)
    caption = (
        f"{escape(order.kind)} on {escape(device)}"
        f"{f' and {len(order.spans) - 1} more' if len(order.spans) > 1 else ''}, "
        f"raised {moment_text(order.raised_ms)} ({escape(run.name)}). "
        f"{escape(' '.join(order.notes[:1]))}"
    )
    marks = {"judged from": order.spans[device][0], "raised": order.raised_ms}
    return figure(run, device, caption, marks, street, timezone)


def misnamed_figure(
    run: Run, fault: Fault, order: Order, street: Street | None, timezone: str
) -> str:
    """A fault that was found under another name alone."""
    device = min(fault.spans.keys() & order.spans.keys())
    caption = (
        f"{escape(fault.kind)} on {escape(device)}, {moment_text(fault.spans[device][0])} to "
        f"{moment_text(fault.spans[device][1])}, named {escape(order.kinds[device])} "
        f"({escape(run.name)}). {escape(' '.join(order.notes[:1]))}"
    )
    marks = {"begins": max(fault.spans[device][0], run.start_ms), "raised": order.raised_ms}
    return figure(run, device, caption, marks, street, timezone, SLOW.get(fault.kind, 14))


def figure(
    run: Run,
    device: str,
    caption: str,
    marks: dict[str, int],
    street: Street | None,
    timezone: str,
    days: int = 14,
) -> str:
    """A picture with its caption; the caption alone without readings."""
    drawn = ""
    if run.readings is not None:
        drawn = picture(street, run.readings, device, marks, timezone, days)
    return f"<figure><figcaption>{caption}</figcaption>{drawn}</figure>"


def shown_of(count: int, limit: int) -> str:
    """What is said where not all are drawn."""
    return f"<p>The first {limit} are drawn.</p>" if count > limit else ""


def write_report(
    path: Path,
    score: Score,
    facts: dict[str, Any],
    streets: dict[str, Street],
    *,
    timezone: str = "Europe/Stockholm",
    limit: int = 200,
) -> None:
    """Write the page.

    Parameters
    ----------
    facts : dict
        `as_facts(score)`.
    streets : dict of str to Street
        By run name; pictures show the expected level where it is known.
    limit : int
        At most so many pictures of each sort.
    """
    misses = [miss_figure(r, f, streets.get(r.name), timezone) for r, f in score.missed[:limit]]
    false = [
        false_figure(r, o, streets.get(r.name), timezone) for r, o in score.false_orders[:limit]
    ]
    misnamed = [
        misnamed_figure(r, f, o, streets.get(r.name), timezone)
        for r, f, o in score.misnamed[:limit]
    ]
    key = (
        "<p>Solid: measured illuminance [lx], sentinels left out. "
        "Dashed: nominal level where the programme says lit. "
        "Shaded: sun below −6°. Bounds are exact 95 % bounds.</p>"
    )
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Score</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f"<h1>Score</h1>{key}{summary_table(facts)}<h2>Kinds</h2>{kinds_table(facts)}"
        f"<h2>Urgent</h2>{urgent_table(facts)}"
        f"<h2>Wrong kind</h2>{wrong_kind_table(facts)}"
        f"<h2>Missed ({len(score.missed)})</h2>{shown_of(len(score.missed), limit)}"
        f"{''.join(misses) or '<p>None.</p>'}"
        f"<h2>Found under another name alone ({len(score.misnamed)})</h2>"
        f"{shown_of(len(score.misnamed), limit)}{''.join(misnamed) or '<p>None.</p>'}"
        f"<h2>False orders ({len(score.false_orders)})</h2>"
        f"{shown_of(len(score.false_orders), limit)}{''.join(false) or '<p>None.</p>'}"
        f"</body></html>\n"
    )
    path.write_text(page, encoding="utf-8")
