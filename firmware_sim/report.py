"""The score as one HTML page: tables, and a picture of every miss, wrong name and false order."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from firmware_sim.report_picture import PAPER, Street, picture
from firmware_sim.score import OPEN_MS, Fault, Order, Run, Score
from firmware_sim.tables import Trace, traces

__all__ = ["write_report"]

SLOW = {"depreciation": 45, "sensor_drift": 45}  # days a picture shows; others 14
UNFOLDED = 20  # so many pictures of a sort stand open
READ_AT_ONCE = 64  # devices whose readings are held while they are drawn
KEY = (
    "Solid: measured illuminance [lx], sentinels left out. "
    "Dashed: nominal level where the programme says lit. "
    "Shaded: sun below −6°. Bounds are exact 95 % bounds."
)
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
th:first-child, td:first-child { text-align: left; white-space: normal }
.wide { overflow-x: auto }
details { border-top: 1px solid var(--line) }
summary { cursor: pointer; padding: .6rem 0; font-weight: 600 }
figure { margin: 0 0 1.6rem; overflow-x: auto;
 content-visibility: auto; contain-intrinsic-size: auto 14rem }
figcaption { margin-bottom: .3rem; overflow-wrap: anywhere }
svg { width: 100%; min-width: 38rem; max-width: 54rem; height: auto }
svg.axis { position: absolute; width: 0; min-width: 0; height: 0 }
.bounds { opacity: .7; font-size: .85em } text { fill: var(--ink); font-size: 11px }
"""


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
    if "n" in found:
        bounds = f"{low:.2f}–{high:.2f}, n = {found['n']}"
    else:
        bounds = f"{rate_text(low)}–{rate_text(high)}"
    return f'{rate_text(found["value"])} <span class="bounds">({bounds})</span>'


def rate_text(value: float) -> str:
    """Three figures, and no powers of ten."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def table(rows: str, head: Iterable[str] = ()) -> str:
    """A table that scrolls by itself where it is wider than the screen."""
    names = "".join(f"<th>{name}</th>" for name in head)
    top = f"<tr>{names}</tr>" if names else ""
    return f'<div class="wide" tabindex="0"><table>{top}{rows}</table></div>'


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
    return table("".join(rows), head)


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
    return table("".join(f"<tr><td>{k}</td><td>{v}</td></tr>" for k, v in rows.items()))


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
    return table(rows, head)


def wrong_kind_table(facts: dict[str, Any]) -> str:
    """Which kind was taken for which."""
    if not facts["wrong_kind"]:
        return "<p>None.</p>"
    rows = "".join(
        f"<tr><td>{escape(w['truth'])}</td><td>{escape(w['named'])}</td><td>{w['orders']}</td></tr>"
        for w in facts["wrong_kind"]
    )
    return table(rows, ("in truth", "named", "orders"))


@dataclass(frozen=True)
class Figure:
    """One picture of the page, before it is drawn."""

    group: str
    run: Run
    device: str
    caption: str
    marks: dict[str, int]
    days: int = 14


def miss_figure(run: Run, fault: Fault) -> Figure:
    """A fault that nobody found."""
    device = min(fault.spans)
    start, end = fault.spans[device]
    caption = (
        f"{fault.kind} on {device}{f' and {len(fault.spans) - 1} more' if fault.grouped else ''}, "
        f"{moment_text(start)} to {moment_text(end)} ({run.name})"
    )
    marks = {"begins": max(start, run.start_ms)} | ({"ends": end} if end < OPEN_MS else {})
    return Figure(fault.kind, run, device, caption, marks, SLOW.get(fault.kind, 14))


def false_figure(run: Run, order: Order) -> Figure:
    """An order for nothing."""
    device = min(order.spans)
    others = f" and {len(order.spans) - 1} more" if len(order.spans) > 1 else ""
    caption = (
        f"{order.kind} on {device}{others}, raised {moment_text(order.raised_ms)} ({run.name}). "
        f"{' '.join(order.notes[:1])}"
    )
    marks = {"judged from": order.spans[device][0], "raised": order.raised_ms}
    return Figure(order.kind, run, device, caption, marks)


def misnamed_figure(run: Run, fault: Fault, order: Order) -> Figure:
    """A fault that was found under another name alone."""
    device = min(fault.spans.keys() & order.spans.keys())
    start, end = fault.spans[device]
    caption = (
        f"{fault.kind} on {device}, {moment_text(start)} to {moment_text(end)}, "
        f"named {order.kinds[device]} ({run.name}). {' '.join(order.notes[:1])}"
    )
    marks = {"begins": max(start, run.start_ms), "raised": order.raised_ms}
    group = f"{fault.kind}, named {order.kinds[device]}"
    return Figure(group, run, device, caption, marks, SLOW.get(fault.kind, 14))


def section(
    title: str, figures: Iterable[Figure], streets: dict[str, Street], timezone: str
) -> Iterator[str]:
    """A heading and its pictures, those of a kind folded together, in pieces as they are drawn."""
    groups: dict[str, list[Figure]] = {}
    for figure in figures:
        groups.setdefault(figure.group, []).append(figure)
    total = sum(map(len, groups.values()))
    yield f"<h2>{title} ({total})</h2>"
    if not total:
        yield "<p>None.</p>"
    for name, group in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        unfolded = " open" if total <= UNFOLDED else ""
        yield f"<details{unfolded}><summary>{escape(name)} ({len(group)})</summary>"
        for first in range(0, len(group), READ_AT_ONCE):
            part = group[first : first + READ_AT_ONCE]
            seen = seen_in(part)
            for figure in part:
                yield drawn(figure, seen, streets.get(figure.run.name), timezone)
        yield "</details>"


def seen_in(figures: list[Figure]) -> dict[tuple[str, str], Trace]:
    """What the devices of some pictures measured, by run and device."""
    asked: dict[str, set[str]] = {}
    runs = {figure.run.name: figure.run for figure in figures}
    for figure in figures:
        asked.setdefault(figure.run.name, set()).add(figure.device)
    return {
        (name, device): seen
        for name, devices in asked.items()
        if (readings := runs[name].readings) is not None
        for device, seen in traces(readings, devices).items()
    }


def drawn(
    figure: Figure, seen: dict[tuple[str, str], Trace], street: Street | None, timezone: str
) -> str:
    """A picture with its caption; the caption alone without readings."""
    svg = ""
    if figure.run.readings is not None:
        own = seen.get((figure.run.name, figure.device))
        svg = picture(
            street,
            own,
            figure.device,
            figure.marks,
            timezone,
            days=figure.days,
            until_ms=figure.run.stop_ms,
        )
    return f"<figure><figcaption>{escape(figure.caption)}</figcaption>{svg}</figure>\n"


def write_report(
    path: Path,
    score: Score,
    facts: dict[str, Any],
    streets: dict[str, Street],
    *,
    timezone: str = "Europe/Stockholm",
) -> None:
    """Write the page: every miss, every wrong name and every false order has its picture.

    One file that needs nothing beside it. Pictures of a kind are folded together and drawn by the
    browser when they come into sight, so that a page of thousands opens at once.

    Parameters
    ----------
    facts : dict
        `as_facts(score)`.
    streets : dict of str to Street
        By run name; pictures show the expected level where it is known.
    """
    misses = (miss_figure(run, fault) for run, fault in score.missed)
    misnamed = (misnamed_figure(run, fault, order) for run, fault, order in score.misnamed)
    false = (false_figure(run, order) for run, order in score.false_orders)
    with path.open("w", encoding="utf-8") as page:
        page.write(
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Score</title>'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<style>{STYLE}</style></head><body>{PAPER}"
            f"<h1>Score</h1><p>{KEY}</p>{summary_table(facts)}<h2>Kinds</h2>{kinds_table(facts)}"
            f"<h2>Urgent</h2>{urgent_table(facts)}"
            f"<h2>Wrong kind</h2>{wrong_kind_table(facts)}\n"
        )
        for title, figures in (
            ("Missed", misses),
            ("Found under another name alone", misnamed),
            ("False orders", false),
        ):
            page.writelines(section(title, figures, streets, timezone))
        page.write("</body></html>\n")
