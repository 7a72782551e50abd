"""Charts as SVG text: they print, they scale, and a screen reader is told what they show."""

import math
from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from analytics.before_after import Effect
from analytics.ridge_gaps import REFERENCE_DAYS
from api.reports.page import percent

__all__ = ["band_chart", "gap_chart"]

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 30
INK, SOFT, LINE, BAND = "#1b1f24", "#57606a", "#0b5c8a", "#cfe3ef"


def nice_ticks(low: float, high: float) -> list[float]:
    """A handful of round percentages that span a range."""
    span = max(high - low, 1.0)
    step = 10 ** math.floor(math.log10(span / 4))
    step = next(step * k for k in (1, 2, 5, 10) if span / (step * k) <= 6)
    return [k * step for k in range(math.floor(low / step), math.ceil(high / step) + 1)]


def svg(inner: Sequence[str], height: float, title: str, description: str) -> str:
    """The frame of a chart with its words for those who do not see it."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}" role="img" '
        f'xmlns="http://www.w3.org/2000/svg" font-family="system-ui,sans-serif" font-size="12">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
        f"{''.join(inner)}</svg>"
    )


def text(x: float, y: float, words: str, *, anchor: str = "start", fill: str = SOFT) -> str:
    """A label."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}">{escape(words)}</text>'
    )


def rule(
    x1: float, y1: float, x2: float, y2: float, *, colour: str, width: float = 1.0, dash: str = ""
) -> str:
    """A line."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{width}"{dashed}/>'
    )


def gap_chart(weekly: Sequence[float], one: Effect, lang: str, title: str) -> str:
    """Weekly gap in percent, the start, and the effect with its interval after it.

    Parameters
    ----------
    weekly : sequence of float
        Weekly means of the treated gap [log units]; NaN where missing (the line breaks).
    one : Effect
        Answered.
    """
    # The gap is drawn from the reference level, as the effect is measured from it.
    reference_weeks = REFERENCE_DAYS // 7
    start = one.n_pre // 7
    known = [v for v in weekly[start - reference_weeks : start] if not math.isnan(v)]
    level = float(np.mean(known)) if known else 0.0
    shown = [math.expm1(v - level) * 100 for v in weekly]
    change, low, high = one.percent
    finite = [v for v in [*shown, low, high, 0.0] if not math.isnan(v)]
    ticks = nice_ticks(min(finite), max(finite))
    bottom, top = min(ticks), max(ticks)

    def x(week: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * week / max(len(weekly), 1)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (top - value) / (top - bottom)

    inner = [rule(LEFT, y(t), WIDTH - RIGHT, y(t), colour="#e3e7eb") for t in ticks]
    inner += [text(LEFT - 6, y(t) + 4, percent(t, lang), anchor="end") for t in ticks]
    inner.append(
        f'<rect x="{x(start):.1f}" y="{y(high):.1f}" width="{x(len(weekly)) - x(start):.1f}" '
        f'height="{max(y(low) - y(high), 1):.1f}" fill="{BAND}"/>'
    )
    inner.append(rule(LEFT, y(0), WIDTH - RIGHT, y(0), colour=SOFT))
    inner.append(rule(x(start), y(change), x(len(weekly)), y(change), colour=LINE, width=2))
    inner.append(rule(x(start), TOP, x(start), HEIGHT - BOTTOM, colour=INK, dash="4 3"))
    inner += [
        f'<polyline points="{" ".join(points)}" fill="none" stroke="{INK}" stroke-width="1.4"/>'
        for points in unbroken(shown, x, y)
    ]
    words = "veckor före" if lang == "sv" else "weeks before"
    inner.append(text(LEFT, HEIGHT - 8, f"{start} {words}"))
    words = "veckor efter" if lang == "sv" else "weeks after"
    inner.append(text(WIDTH - RIGHT, HEIGHT - 8, f"{len(weekly) - start} {words}", anchor="end"))
    described = f"{percent(change, lang)} ({percent(low, lang)}, {percent(high, lang)})"
    return svg(inner, HEIGHT, title, described)


def unbroken(
    shown: Sequence[float], x: Callable[[float], float], y: Callable[[float], float]
) -> list[list[str]]:
    """Stretches of known weeks as points; a missing week breaks the line."""
    stretches: list[list[str]] = [[]]
    for week, value in enumerate(shown):
        if math.isnan(value):
            stretches.append([])
        else:
            stretches[-1].append(f"{x(week + 0.5):.1f},{y(value):.1f}")
    return [points for points in stretches if points]


LABEL = 16  # half of the last tick's words


def band_chart(answers: Sequence[tuple[str, Effect]], lang: str, title: str) -> str:
    """Every band's change with its interval, one under the other."""
    ends = [v for _, one in answers for v in one.percent]
    ticks = nice_ticks(min([*ends, 0.0]), max([*ends, 0.0]))
    left, row = 170, 30
    height = TOP + row * len(answers) + BOTTOM

    def x(value: float) -> float:
        return left + (WIDTH - left - LABEL - RIGHT) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    inner = [rule(x(t), TOP, x(t), height - BOTTOM, colour="#e3e7eb") for t in ticks]
    inner += [text(x(t), height - 10, percent(t, lang), anchor="middle") for t in ticks]
    inner.append(rule(x(0), TOP, x(0), height - BOTTOM, colour=SOFT))
    for i, (name, one) in enumerate(answers):
        middle = TOP + row * (i + 0.5)
        change, low, high = one.percent
        inner.append(text(left - 10, middle + 4, name, anchor="end", fill=INK))
        inner.append(rule(x(low), middle, x(high), middle, colour=LINE, width=3))
        inner.append(f'<circle cx="{x(change):.1f}" cy="{middle:.1f}" r="5" fill="{LINE}"/>')
    described = "; ".join(
        f"{name}: {percent(one.percent[0], lang)} ({percent(one.percent[1], lang)}, "
        f"{percent(one.percent[2], lang)})"
        for name, one in answers
    )
    return svg(inner, height, title, described)
