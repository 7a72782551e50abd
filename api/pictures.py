"""A finding in one picture that a crew understands in five seconds.

The light under the luminaire on a log scale, what was expected of it, the nights, what its
neighbours saw, and the moment it began. Plain SVG: no script, no font and no image from elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from analytics.grid import DAY_MS, SLOT_MS
from analytics.sun import CIVIL_DARK_DEG, sun_elevation
from api.assets import Asset
from api.findings import NamedFinding
from api.window_readings import ReadingSource
from api.street_plan import HELSINGBORG
from ingest.reading import Quantity

__all__ = ["finding_picture"]

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 34, 42
LOWEST_LX, HIGHEST_LX = 0.1, 100_000.0
BEFORE_DAYS, AFTER_DAYS = 2.0, 1.5

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
    frame = frame_of(finding, now_ms)
    columns = readings.columns(Quantity.ILLUMINANCE, start_ms=frame.start_ms, stop_ms=frame.stop_ms)
    place = {name: i for i, name in enumerate(columns.device_ids)}
    own = columns.device == place.get(finding.device_id, -1)
    others = [place[p.device_id] for p in peers if p.device_id in place]
    others = [i for i in others if columns.device_ids[i] != finding.device_id]
    title = f"{words[finding.kind.value]}: {finding.luminaire_id}"
    zone = ZoneInfo(tz)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-labelledby="t d" font-family="system-ui, sans-serif" font-size="12">'
        ),
        f'<title id="t">{escape(title)}</title>',
        f'<desc id="d">{escape(finding.note)}</desc>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        *nights(frame, asset, words),
        *scale(words),
        *days(frame, zone),
        *band(asset, finding, words, frame),
    ]
    if others:
        parts += peer_line(columns.time_ms, columns.value, np.isin(columns.device, others), frame)
    if own.any():
        parts += own_dots(columns.time_ms[own], columns.value[own], frame)
    else:
        parts.append(label(WIDTH / 2, HEIGHT / 2, words["nothing"], anchor="middle"))
    parts += onset(finding, frame, words, zone)
    parts += legend(words, peers=bool(others))
    parts.append(f'<text x="{LEFT}" y="20" font-size="15" font-weight="600">{escape(title)}</text>')
    return "\n".join([*parts, "</svg>"])


def frame_of(finding: NamedFinding, now_ms: int | None) -> Frame:
    """Two days before it began to a day and a half after, or to now."""
    start = finding.start_ms - int(BEFORE_DAYS * DAY_MS)
    stop = finding.start_ms + int(AFTER_DAYS * DAY_MS)
    if now_ms is not None:
        stop = max(min(stop, now_ms), start + DAY_MS)
    return Frame(start, stop)


def label(x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#333333") -> str:
    """A word."""
    where = f'x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"'
    return f'<text {where} fill="{colour}">{escape(text)}</text>'


def nights(frame: Frame, asset: Asset, words: dict[str, str]) -> list[str]:
    """Nights in grey, where the sun is below civil twilight."""
    lat = asset.lat if asset.lat is not None else HELSINGBORG[0]
    lon = asset.lon if asset.lon is not None else HELSINGBORG[1]
    time_ms = np.arange(frame.start_ms, frame.stop_ms, SLOT_MS)
    dark = sun_elevation(time_ms / 1000, lat, lon) < CIVIL_DARK_DEG
    edges = np.flatnonzero(np.diff(np.r_[0, dark.astype(np.int8), 0]))
    out: list[str] = []
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        x0 = frame.x(float(time_ms[a]))
        x1 = frame.x(float(time_ms[min(int(b), len(time_ms) - 1)]))
        out.append(
            f'<rect x="{x0:.1f}" y="{TOP}" width="{max(x1 - x0, 0):.1f}" '
            f'height="{HEIGHT - TOP - BOTTOM}" fill="#e3e6ee"/>'
        )
        if x1 - x0 > 40:
            out.append(
                label((x0 + x1) / 2, TOP + 13, words["night"], anchor="middle", colour="#5a6275")
            )
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
            text = f"{moment:%d/%m}" if moment.hour == 0 else f"{moment:%H}"
            out.append(label(x, HEIGHT - BOTTOM + 17, text, anchor="middle"))
        # Wall clock: twelve hours further, whatever daylight saving does.
        moment = (moment + timedelta(hours=12)).replace(tzinfo=zone)
    return out


def band(asset: Asset, finding: NamedFinding, words: dict[str, str], frame: Frame) -> list[str]:
    """The level that was expected, half to double: below it the luminaire counts as dark."""
    del words, frame
    own = finding.evidence.get("own_lx") or asset.nominal_illuminance_lx
    if not own:
        return []
    top, bottom = y_of(1.4 * own), y_of(0.5 * own)
    size = f'width="{WIDTH - LEFT - RIGHT}" height="{bottom - top:.1f}"'
    colour = 'fill="#ffd24d" fill-opacity="0.45"'
    return [f'<rect x="{LEFT}" y="{top:.1f}" {size} {colour}/>']


def own_dots(
    time_ms: npt.NDArray[np.int64], value: npt.NDArray[np.float64], frame: Frame
) -> list[str]:
    """What the luminaire's sensor measured; gaps stay gaps."""
    order = np.argsort(time_ms)
    time_ms, value = time_ms[order], value[order]
    breaks = np.flatnonzero(np.diff(time_ms) > 3 * SLOT_MS) + 1
    out: list[str] = []
    for part in np.split(np.arange(len(time_ms)), breaks):
        points = " ".join(
            f"{frame.x(float(time_ms[i])):.1f},{y_of(float(value[i])):.1f}" for i in part
        )
        out.append(f'<polyline points="{points}" fill="none" stroke="#0b4f9e" stroke-width="1.6"/>')
    return out


def peer_line(
    time_ms: npt.NDArray[np.int64],
    value: npt.NDArray[np.float64],
    chosen: npt.NDArray[np.bool_],
    frame: Frame,
) -> list[str]:
    """Median of the others, in half hours."""
    step = 3 * SLOT_MS
    slot = (time_ms[chosen] - frame.start_ms) // step
    lux = value[chosen]
    points: list[str] = []
    for s in np.unique(slot):
        middle = float(np.median(lux[slot == s]))
        points.append(f"{frame.x(frame.start_ms + (s + 0.5) * step):.1f},{y_of(middle):.1f}")
    look = 'fill="none" stroke="#6b7280" stroke-width="1.2" stroke-dasharray="4 3"'
    return [f'<polyline points="{" ".join(points)}" {look}/>']


def onset(finding: NamedFinding, frame: Frame, words: dict[str, str], zone: ZoneInfo) -> list[str]:
    """The moment it began."""
    if not frame.start_ms <= finding.start_ms < frame.stop_ms:
        return []
    x = frame.x(finding.start_ms)
    local = datetime.fromtimestamp(finding.start_ms / 1000, tz=UTC).astimezone(zone)
    return [
        f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#c01818" stroke-width="2"/>',
        label(
            x + 5, HEIGHT - BOTTOM - 6, f"{words['onset']} {local:%d/%m %H:%M}", colour="#c01818"
        ),
    ]


def legend(words: dict[str, str], *, peers: bool) -> list[str]:
    """What the lines mean."""
    y = HEIGHT - 8
    out = [
        f'<path d="M{LEFT} {y - 4}h18" stroke="#0b4f9e" stroke-width="2"/>',
        label(LEFT + 23, y, words["own"]),
        f'<rect x="{LEFT + 100}" y="{y - 9}" width="18" height="10" fill="#ffd24d"/>',
        label(LEFT + 123, y, words["normal"]),
    ]
    if peers:
        out += [
            f'<path d="M{LEFT + 230} {y - 4}h18" stroke="#6b7280" stroke-dasharray="4 3"/>',
            label(LEFT + 253, y, words["peers"]),
        ]
    return out
