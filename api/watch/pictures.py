"""A finding in one picture that a crew understands in five seconds.

The light under the luminaire on a log scale, what was expected of it, the nights, what its
neighbours saw, and the moment it began. Plain SVG: no script, no font and no image from elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from typing import TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from analytics.clocks import clock_shift, true_ms
from analytics.dimming import expectation, parse_programme
from analytics.findings import FindingKind
from analytics.grid import DAY_MS, SLOT_MS, SLOTS, night_of, window_start
from analytics.nights import DARK_BELOW
from analytics.sun import sun_elevation
from api.assets import Asset, AssetKind, Switching
from api.findings import NamedFinding
from api.street.street_plan import HELSINGBORG
from api.watch.window_readings import ReadingSource
from ingest.reading import Quantity

__all__ = ["finding_picture"]

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 34, 42
LOWEST_LX, HIGHEST_LX = 0.1, 100_000.0
BEFORE_DAYS, AFTER_DAYS = 2.0, 1.5
SLOW_DAYS = 35
MOST_SHARE = 1.4
SLOW = frozenset({FindingKind.DEPRECIATION, FindingKind.SENSOR_DRIFT})
LESS_LIGHT = frozenset(
    {
        FindingKind.LAMP_FAILURE,
        FindingKind.SUPPLY_LOSS,
        FindingKind.DIMMING_FAILURE,
        FindingKind.SENSOR_BLIND,
        FindingKind.MISAIMED,
    }
)
Trace: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]

WORDS = {
    "sv": {
        "lamp_failure": "Armaturen är släckt",
        "dimming_failure": "Ljuset har fallit i ett steg",
        "depreciation": "Ljuset avtar",
        "cycling_failure": "Ljuset slår av och på",
        "lamp_unexpected_on": "Lyser på dagen",
        "switching_error": "Tänds sent eller släcks tidigt",
        "supply_loss": "Matningen är borta",
        "sensor_stuck": "Givaren har fastnat",
        "sensor_blind": "Givaren är skymd",
        "sensor_drift": "Givaren driver",
        "misaimed": "Givaren har vridits",
        "communication_failure": "Enheten är tyst",
        "lux": "lux (logaritmisk)",
        "normal": "väntat ljus",
        "peers": "grannarnas median",
        "own": "uppmätt",
        "night": "natt",
        "onset": "började",
        "nothing": "Inga mätvärden i fönstret",
        "now": "nu {seen} lx, väntat {wanted} lx",
        "missing": "ljus som saknas",
        "nightly": "nattnivå, procent av den egna normala",
        "usual": "normalt",
        "left": "{share} % kvar",
    },
    "en": {
        "lamp_failure": "The luminaire is out",
        "dimming_failure": "The light fell in one step",
        "depreciation": "The light is fading",
        "cycling_failure": "Goes out and comes back",
        "lamp_unexpected_on": "Burns by day",
        "switching_error": "On late or off early",
        "supply_loss": "Supply is lost",
        "sensor_stuck": "The sensor is stuck",
        "sensor_blind": "The sensor is blind",
        "sensor_drift": "The sensor drifts",
        "misaimed": "The sensor has been turned",
        "communication_failure": "The device is silent",
        "lux": "lux (logarithmic)",
        "normal": "expected light",
        "peers": "median of neighbours",
        "own": "measured",
        "night": "night",
        "onset": "began",
        "nothing": "No readings in this window",
        "now": "now {seen} lx, expected {wanted} lx",
        "missing": "missing light",
        "nightly": "night level, per cent of its own normal",
        "usual": "normal",
        "left": "{share}% left",
    },
}


@dataclass(frozen=True, slots=True)
class Frame:
    """The window of time that is drawn."""

    start_ms: int
    stop_ms: int

    def x(self, time_ms: float) -> float:
        """Where a moment stands from the left."""
        share = (time_ms - self.start_ms) / (self.stop_ms - self.start_ms)
        return LEFT + share * (WIDTH - LEFT - RIGHT)


def y_of(lux: float) -> float:
    """Where a level stands from the top."""
    held = min(max(lux, LOWEST_LX), HIGHEST_LX)
    share = np.log(held / LOWEST_LX) / np.log(HIGHEST_LX / LOWEST_LX)
    return float(TOP + (1 - share) * (HEIGHT - TOP - BOTTOM))


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
    zone = ZoneInfo(tz)
    others = [p for p in peers if p.device_id != finding.device_id]
    if finding.kind in SLOW:
        stop_ms = finding.start_ms + DAY_MS if now_ms is None else now_ms
        frame = Frame(stop_ms - SLOW_DAYS * DAY_MS, stop_ms)
    else:
        frame = frame_of(finding, now_ms)
    own = seen_by(readings, [finding.device_id], frame)
    beside = seen_by(readings, [p.device_id for p in others], frame) if others else None
    wanted = expected_light(own, asset, finding, frame, zone)
    title = f"{words[finding.kind.value]}: {finding.luminaire_id}"
    if not len(own[0]):
        drawn = [label(WIDTH / 2, HEIGHT / 2, words["nothing"], anchor="middle")]
    elif finding.kind in SLOW:
        drawn = nightly(own, beside, wanted, frame, finding, words, zone)
    else:
        drawn = hourly(own, beside, wanted, frame, finding, words, zone)
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
                'role="img" aria-labelledby="t d" font-family="system-ui, sans-serif" '
                'font-size="12">'
            ),
            f'<title id="t">{escape(title)}</title>',
            f'<desc id="d">{escape(finding.note)}</desc>',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            *drawn,
            f'<text x="{LEFT}" y="20" font-size="15" font-weight="600">{escape(title)}</text>',
            "</svg>",
        ]
    )


def seen_by(readings: ReadingSource, devices: Sequence[str], frame: Frame) -> Trace:
    """What some devices saw, by time, their clocks put right."""
    found = readings.columns(
        Quantity.ILLUMINANCE, start_ms=frame.start_ms, stop_ms=frame.stop_ms, devices=devices
    )
    shift = clock_shift(found.device, found.time_ms, found.received_ms, n=len(found.device_ids))
    time_ms = true_ms(found.device, found.time_ms, found.received_ms, shift)
    order = np.argsort(time_ms, kind="stable")
    return time_ms[order], found.value[order]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was expected in each slot of the frame.

    Attributes
    ----------
    time_ms : int64 (m,)
        Where each slot begins.
    night, lit : bool (m,)
    low_lx, high_lx : float64 (m,)
        Half of the least that is right, and a little more than the most; NaN by day.
    own_lx : float
        The luminaire's own full level; NaN where not known.
    """

    time_ms: npt.NDArray[np.int64]
    night: npt.NDArray[np.bool_]
    lit: npt.NDArray[np.bool_]
    low_lx: npt.NDArray[np.float64]
    high_lx: npt.NDArray[np.float64]
    own_lx: float


def expected_light(
    own: Trace, asset: Asset, finding: NamedFinding, frame: Frame, zone: ZoneInfo
) -> Wanted:
    """The luminaire's own level before it began, by its dimming programme and the sun."""
    lat = asset.lat if asset.lat is not None else HELSINGBORG[0]
    lon = asset.lon if asset.lon is not None else HELSINGBORG[1]
    always = asset.kind is AssetKind.TUNNEL or asset.switching is Switching.ALWAYS
    programme = parse_programme(asset.dimming or "")
    first = night_of(frame.start_ms)
    time_ms = np.arange(window_start(first), frame.stop_ms, SLOT_MS)
    time_ms = time_ms[0] + np.arange(-(-len(time_ms) // SLOTS) * SLOTS) * SLOT_MS
    sun = sun_elevation(time_ms / 1000, lat, lon).astype(np.float32)
    local = local_minutes(time_ms, zone)
    days = [
        expectation(sun[i : i + SLOTS], local[i : i + SLOTS], programme, always=always)
        for i in range(0, len(time_ms), SLOTS)
    ]
    night, lit, full, motion, share = (
        np.concatenate([getattr(day, name) for day in days])
        for name in ("night", "lit", "full", "motion", "level")
    )
    slot = np.clip((own[0] - time_ms[0]) // SLOT_MS, 0, len(time_ms) - 1)
    before = full[slot] & (own[0] < finding.start_ms)
    if before.sum() >= 6:
        level = float(np.median(own[1][before]))
    else:
        level = float(asset.nominal_illuminance_lx or np.nan)
    most = np.where(motion, 1.0, share)
    return Wanted(
        time_ms,
        night,
        lit,
        np.where(lit, DARK_BELOW * level * share, np.nan),
        np.where(lit, 1.4 * level * most, np.nan),
        level,
    )


def local_minutes(time_ms: npt.NDArray[np.int64], zone: ZoneInfo) -> npt.NDArray[np.float64]:
    """Local minutes after midnight, daylight saving resolved."""
    moments = (datetime.fromtimestamp(t / 1000, tz=UTC).astimezone(zone) for t in time_ms.tolist())
    return np.array([m.hour * 60 + m.minute for m in moments], dtype=np.float64)


def hourly(
    own: Trace,
    beside: Trace | None,
    wanted: Wanted,
    frame: Frame,
    finding: NamedFinding,
    words: dict[str, str],
    zone: ZoneInfo,
) -> list[str]:
    """Some days, reading by reading."""
    return [
        *nights(wanted, frame, words),
        *scale(words),
        *days(frame, zone),
        *band(wanted, frame),
        *gap(own, wanted, frame, finding),
        *(peer_line(*beside, frame) if beside is not None and len(beside[0]) else []),
        *own_dots(*own, frame),
        *onset(finding, frame, words, zone),
        *headline(own, wanted, finding, words),
        *legend(words, peers=beside is not None),
    ]


def nightly(
    own: Trace,
    beside: Trace | None,
    wanted: Wanted,
    frame: Frame,
    finding: NamedFinding,
    words: dict[str, str],
    zone: ZoneInfo,
) -> list[str]:
    """Some weeks, night by night: a slow change shows in no single one."""
    mine = levels_by_night(own, wanted)
    out = [*percents(words), *weeks(frame, zone)]
    if len(mine) < 2:
        return [*out, label(WIDTH / 2, HEIGHT / 2, words["nothing"], anchor="middle")]
    base = float(np.median([v for _, v in mine[:7]]))
    if beside is not None:
        theirs = levels_by_night(beside, wanted)
        if len(theirs) >= 2:
            usual = float(np.median([v for _, v in theirs[:7]]))
            points = " ".join(f"{frame.x(t):.1f},{y_of_share(v / usual):.1f}" for t, v in theirs)
            look = 'fill="none" stroke="#6b7280" stroke-width="1.2" stroke-dasharray="4 3"'
            out.append(f'<polyline points="{points}" {look}/>')
    shares = [(t, v / base) for t, v in mine]
    points = " ".join(f"{frame.x(t):.1f},{y_of_share(v):.1f}" for t, v in shares)
    out.append(f'<polyline points="{points}" fill="none" stroke="#0b4f9e" stroke-width="1.6"/>')
    out += [
        f'<circle cx="{frame.x(t):.1f}" cy="{y_of_share(v):.1f}" r="2.6" fill="#0b4f9e"/>'
        for t, v in shares
    ]
    now = float(np.median([v for _, v in shares[-3:]]))
    said = words["left"].format(share=f"{100 * now:.0f}")
    out.append(label(WIDTH - RIGHT, 20, said, anchor="end", colour="#c01818", size=15))
    return [*out, *onset(finding, frame, words, zone), *slow_legend(words, beside is not None)]


def levels_by_night(trace: Trace, wanted: Wanted) -> list[tuple[float, float]]:
    """Median of each night's readings at the level that was expected, scaled to full light."""
    time_ms, value = trace
    slot = np.clip((time_ms - wanted.time_ms[0]) // SLOT_MS, 0, len(wanted.time_ms) - 1)
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


def frame_of(finding: NamedFinding, now_ms: int | None) -> Frame:
    """Two days before it began to a day and a half after, or to now."""
    start = finding.start_ms - int(BEFORE_DAYS * DAY_MS)
    stop = finding.start_ms + int(AFTER_DAYS * DAY_MS)
    if now_ms is not None:
        stop = max(min(stop, now_ms), start + DAY_MS)
    return Frame(start, stop)


def label(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    colour: str = "#333333",
    size: int | None = None,
) -> str:
    """A word."""
    where = f'x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"'
    big = f' font-size="{size}" font-weight="600"' if size else ""
    return f'<text {where} fill="{colour}"{big}>{escape(text)}</text>'


def runs(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where it is true, as half-open ranges."""
    edges = np.flatnonzero(np.diff(np.r_[0, mask.astype(np.int8), 0]))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def nights(wanted: Wanted, frame: Frame, words: dict[str, str]) -> list[str]:
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
            out.append(label(x0 + 6, TOP + 14, words["night"], colour="#5a6275"))
    return out


def scale(words: dict[str, str]) -> list[str]:
    """Levels on the left, a factor of ten apart."""
    out: list[str] = []
    for power in range(-1, 6):
        y = y_of(10.0**power)
        text = f"{10.0**power:g}" if power < 4 else f"{10 ** (power - 3)}k"
        out.append(
            f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#cfd4de" stroke-width="0.6"/>'
        )
        out.append(label(LEFT - 6, y + 4, text, anchor="end"))
    out.append(
        f'<text x="14" y="{HEIGHT / 2:.0f}" transform="rotate(-90 14 {HEIGHT / 2:.0f})" '
        f'text-anchor="middle" fill="#333333">{escape(words["lux"])}</text>'
    )
    return out


def days(frame: Frame, zone: ZoneInfo) -> list[str]:
    """Local midnights and middays below the picture."""
    out: list[str] = []
    moment = datetime.fromtimestamp(frame.start_ms / 1000, tz=UTC).astimezone(zone)
    moment = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    while (time_ms := moment.timestamp() * 1000) < frame.stop_ms:
        if time_ms >= frame.start_ms:
            x = frame.x(time_ms)
            out.append(f'<path d="M{x:.1f} {HEIGHT - BOTTOM}v5" stroke="#333333"/>')
            text = date_text(moment) if moment.hour == 0 else f"{moment:%H}:00"
            out.append(label(x, HEIGHT - BOTTOM + 17, text, anchor="middle"))
        # Wall clock: twelve hours further, whatever daylight saving does.
        moment = (moment + timedelta(hours=12)).replace(tzinfo=zone)
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
    slot = np.clip((time_ms - wanted.time_ms[0]) // SLOT_MS, 0, len(wanted.time_ms) - 1)
    floor = wanted.low_lx[slot]
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
    slot = np.clip((time_ms - wanted.time_ms[0]) // SLOT_MS, 0, len(wanted.time_ms) - 1)
    since = wanted.lit[slot] & wanted.night[slot] & (time_ms >= finding.start_ms)
    if finding.kind not in LESS_LIGHT or since.sum() < 2 or not np.isfinite(wanted.own_lx):
        return []
    seen = float(np.median(value[since][-12:]))
    comma = words is WORDS["sv"]
    text = words["now"].format(seen=lux_text(seen, comma), wanted=lux_text(wanted.own_lx, comma))
    return [label(WIDTH - RIGHT, 20, text, anchor="end", colour="#c01818", size=15)]


def lux_text(lux: float, comma: bool) -> str:
    """A level as people say it."""
    text = f"{lux:.0f}" if lux >= 10 else f"{lux:.1f}"
    return text.replace(".", ",") if comma else text


def y_of_share(share: float) -> float:
    """Where a share of the normal level stands from the top."""
    return TOP + (1 - min(max(share / MOST_SHARE, 0.0), 1.0)) * (HEIGHT - TOP - BOTTOM)


def percents(words: dict[str, str]) -> list[str]:
    """Shares on the left."""
    out: list[str] = []
    for percent in range(0, int(100 * MOST_SHARE) + 1, 20):
        y = y_of_share(percent / 100)
        width = "1.4" if percent == 100 else "0.6"
        out.append(
            f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#cfd4de" stroke-width="{width}"/>'
        )
        out.append(label(LEFT - 6, y + 4, f"{percent}", anchor="end"))
    out.append(label(LEFT + 4, y_of_share(1.0) - 4, words["usual"], colour="#5a6275"))
    return out


def weeks(frame: Frame, zone: ZoneInfo) -> list[str]:
    """Every fifth date below the picture."""
    out: list[str] = []
    moment = datetime.fromtimestamp(frame.start_ms / 1000, tz=UTC).astimezone(zone)
    moment = moment.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    while (time_ms := moment.timestamp() * 1000) < frame.stop_ms:
        x = frame.x(time_ms)
        out.append(f'<path d="M{x:.1f} {HEIGHT - BOTTOM}v5" stroke="#333333"/>')
        out.append(label(x, HEIGHT - BOTTOM + 17, date_text(moment), anchor="middle"))
        moment = (moment + timedelta(days=5)).replace(tzinfo=zone)
    return out


def date_text(moment: datetime) -> str:
    """Day and month, as Swedes and others read it."""
    return f"{moment.day}/{moment.month}"


def slow_legend(words: dict[str, str], peers: bool) -> list[str]:
    """What the lines mean, night by night."""
    y = HEIGHT - 8
    out = [
        f'<circle cx="{LEFT + 9}" cy="{y - 4}" r="2.6" fill="#0b4f9e"/>',
        label(LEFT + 23, y, words["nightly"]),
    ]
    if peers:
        out += [
            f'<path d="M{LEFT + 330} {y - 4}h18" stroke="#6b7280" stroke-dasharray="4 3"/>',
            label(LEFT + 353, y, words["peers"]),
        ]
    return out


def own_dots(
    time_ms: npt.NDArray[np.int64], value: npt.NDArray[np.float64], frame: Frame
) -> list[str]:
    """What the luminaire's sensor measured; gaps stay gaps."""
    breaks = np.flatnonzero(np.diff(time_ms) > 3 * SLOT_MS) + 1
    out: list[str] = []
    for part in np.split(np.arange(len(time_ms)), breaks):
        points = " ".join(
            f"{frame.x(float(time_ms[i])):.1f},{y_of(float(value[i])):.1f}" for i in part
        )
        out.append(f'<polyline points="{points}" fill="none" stroke="#0b4f9e" stroke-width="1.6"/>')
    return out


def peer_line(
    time_ms: npt.NDArray[np.int64], value: npt.NDArray[np.float64], frame: Frame
) -> list[str]:
    """Median of the others, in half hours."""
    step = 3 * SLOT_MS
    slot = (time_ms - frame.start_ms) // step
    points: list[str] = []
    for s in np.unique(slot):
        middle = float(np.median(value[slot == s]))
        points.append(f"{frame.x(frame.start_ms + (s + 0.5) * step):.1f},{y_of(middle):.1f}")
    look = 'fill="none" stroke="#6b7280" stroke-width="1.2" stroke-dasharray="4 3"'
    return [f'<polyline points="{" ".join(points)}" {look}/>']


def onset(finding: NamedFinding, frame: Frame, words: dict[str, str], zone: ZoneInfo) -> list[str]:
    """The moment it began."""
    if not frame.start_ms <= finding.start_ms < frame.stop_ms:
        return []
    x = frame.x(finding.start_ms)
    local = datetime.fromtimestamp(finding.start_ms / 1000, tz=UTC).astimezone(zone)
    text = f"{words['onset']} {date_text(local)} {local:%H:%M}"
    right = x > WIDTH - 160
    where, anchor = (x - 5, "end") if right else (x + 5, "start")
    return [
        f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#c01818" stroke-width="2"/>',
        label(where, HEIGHT - BOTTOM - 6, text, anchor=anchor, colour="#c01818"),
    ]


def legend(words: dict[str, str], *, peers: bool) -> list[str]:
    """What the lines mean."""
    y = HEIGHT - 8
    out = [
        f'<path d="M{LEFT} {y - 4}h18" stroke="#0b4f9e" stroke-width="2"/>',
        label(LEFT + 23, y, words["own"]),
        f'<rect x="{LEFT + 100}" y="{y - 9}" width="18" height="10" fill="#ffd24d"/>',
        label(LEFT + 123, y, words["normal"]),
        f'<rect x="{LEFT + 225}" y="{y - 9}" width="18" height="10" fill="#f2c4c4"/>',
        label(LEFT + 248, y, words["missing"]),
    ]
    if peers:
        out += [
            f'<path d="M{LEFT + 365} {y - 4}h18" stroke="#6b7280" stroke-dasharray="4 3"/>',
            label(LEFT + 388, y, words["peers"]),
        ]
    return out
