"""A finding in one picture that a crew understands in five seconds.

The light under the luminaire on a log scale, what was expected of it, the nights, what its
neighbours saw, and the moment it began. Plain SVG: no script, no font and no image from elsewhere.
"""

from collections.abc import Sequence
from html import escape
from zoneinfo import ZoneInfo

from analytics.findings import FindingKind
from analytics.grid import DAY_MS
from api.assets import Asset
from api.findings import NamedFinding
from api.watch.expected_light import expected_light, seen_by
from api.watch.night_picture import night_picture
from api.watch.picture_canvas import HEIGHT, LEFT, WIDTH, WORDS, Frame, nothing_seen
from api.watch.weeks_picture import weeks_picture
from api.watch.window_readings import ReadingSource

__all__ = ["finding_picture"]

BEFORE_DAYS, AFTER_DAYS = 2.0, 1.5
SLOW_DAYS = 35
SLOW = frozenset({FindingKind.DEPRECIATION, FindingKind.SENSOR_DRIFT})


def finding_picture(
    finding: NamedFinding,
    readings: ReadingSource,
    asset: Asset,
    *,
    peers: Sequence[Asset] = (),
    now_ms: int | None = None,
    language: str = "sv",
    tz: str = "Europe/Stockholm",
) -> str:
    """Draw a finding.

    Parameters
    ----------
    finding : NamedFinding
    readings : ReadingSource
    asset : Asset
        The luminaire.
    peers : sequence of Asset
        Others on the same feeder; their median is drawn.
    now_ms : int, optional
        Nothing later is drawn.
    language : str
        `sv` or `en`; others are shown in English.
    tz : str
        Zone of the hours on the axis.

    Returns
    -------
    str
        An SVG element with a title and a description for those who do not see it.
    """
    words = WORDS.get(language, WORDS["en"])
    frame = Frame(*window(finding, now_ms), ZoneInfo(tz), words)
    others = [p.device_id for p in peers if p.device_id != finding.device_id]
    own = seen_by(readings, [finding.device_id], frame)
    beside = seen_by(readings, others, frame) if others else None
    wanted = expected_light(own, asset, finding.start_ms, frame)
    if not len(own[0]):
        drawn = [nothing_seen(words)]
    elif finding.kind in SLOW:
        drawn = weeks_picture(own, beside, wanted, finding.start_ms, frame)
    else:
        drawn = night_picture(own, beside, wanted, finding, frame)
    return on_paper(drawn, f"{words[finding.kind.value]}: {finding.luminaire_id}", finding.note)


def window(finding: NamedFinding, now_ms: int | None) -> tuple[int, int]:
    """From when to when it is drawn: weeks for what is slow, else some days around its start."""
    if finding.kind in SLOW:
        stop_ms = finding.start_ms + DAY_MS if now_ms is None else now_ms
        return stop_ms - SLOW_DAYS * DAY_MS, stop_ms
    start_ms = finding.start_ms - int(BEFORE_DAYS * DAY_MS)
    stop_ms = finding.start_ms + int(AFTER_DAYS * DAY_MS)
    if now_ms is not None:
        stop_ms = max(min(stop_ms, now_ms), start_ms + DAY_MS)
    return start_ms, stop_ms


def on_paper(drawn: Sequence[str], title: str, note: str) -> str:
    """A whole SVG element."""
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
                'role="img" aria-labelledby="t d" font-family="system-ui, sans-serif" '
                'font-size="12">'
            ),
            f'<title id="t">{escape(title)}</title>',
            f'<desc id="d">{escape(note)}</desc>',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            *drawn,
            f'<text x="{LEFT}" y="20" font-size="15" font-weight="600">{escape(title)}</text>',
            "</svg>",
        ]
    )
