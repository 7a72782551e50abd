"""The paper a finding is drawn on: its days, its axes, its words, and what the lines mean."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import TypeAlias
from zoneinfo import ZoneInfo

__all__ = [
    "BOTTOM",
    "HEIGHT",
    "LEFT",
    "RIGHT",
    "TOP",
    "WIDTH",
    "WORDS",
    "Frame",
    "Key",
    "date_text",
    "dot_mark",
    "label",
    "legend",
    "level_line",
    "nothing_seen",
    "onset",
    "own_dot",
    "own_line",
    "own_mark",
    "patch_mark",
    "peers_line",
    "peers_mark",
    "remark",
    "tick",
]

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 34, 42
OWN, PEERS, WRONG = "#0b4f9e", "#6b7280", "#c01818"

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
    """The window of time that is drawn, and how its days and words are written.

    Attributes
    ----------
    start_ms, stop_ms : int
    zone : ZoneInfo
        Of the hours and dates on the axis.
    words : dict
        One language of `WORDS`.
    """

    start_ms: int
    stop_ms: int
    zone: ZoneInfo
    words: dict[str, str]

    def x(self, time_ms: float) -> float:
        """Where a moment stands from the left."""
        share = (time_ms - self.start_ms) / (self.stop_ms - self.start_ms)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def local(self, time_ms: float) -> datetime:
        """A moment as the clock on the wall shows it."""
        return datetime.fromtimestamp(time_ms / 1000, tz=UTC).astimezone(self.zone)


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


def remark(text: str) -> str:
    """What is wrong, in one line at the top."""
    return label(WIDTH - RIGHT, 20, text, anchor="end", colour=WRONG, size=15)


def nothing_seen(words: dict[str, str]) -> str:
    """Said where there is nothing to draw."""
    return label(WIDTH / 2, HEIGHT / 2, words["nothing"], anchor="middle")


def level_line(y: float, text: str, width: str = "0.6") -> list[str]:
    """One level across the picture, named on the left."""
    line = f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#cfd4de" stroke-width="{width}"/>'
    return [line, label(LEFT - 6, y + 4, text, anchor="end")]


def tick(x: float, text: str) -> list[str]:
    """One moment named below the picture."""
    return [
        f'<path d="M{x:.1f} {HEIGHT - BOTTOM}v5" stroke="#333333"/>',
        label(x, HEIGHT - BOTTOM + 17, text, anchor="middle"),
    ]


def date_text(moment: datetime) -> str:
    """Day and month, as Swedes and others read it."""
    return f"{moment.day}/{moment.month}"


def onset(start_ms: int, frame: Frame) -> list[str]:
    """The moment it began."""
    if not frame.start_ms <= start_ms < frame.stop_ms:
        return []
    x = frame.x(start_ms)
    local = frame.local(start_ms)
    text = f"{frame.words['onset']} {date_text(local)} {local:%H:%M}"
    right = x > WIDTH - 160
    where, anchor = (x - 5, "end") if right else (x + 5, "start")
    return [
        f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="{WRONG}" stroke-width="2"/>',
        label(where, HEIGHT - BOTTOM - 6, text, anchor=anchor, colour=WRONG),
    ]


def own_line(points: Sequence[tuple[float, float]]) -> str:
    """What the luminaire's own sensor measured."""
    return _line(points, f'stroke="{OWN}" stroke-width="1.6"')


def peers_line(points: Sequence[tuple[float, float]]) -> str:
    """What the neighbours measured."""
    return _line(points, f'stroke="{PEERS}" stroke-width="1.2" stroke-dasharray="4 3"')


def _line(points: Sequence[tuple[float, float]], look: str) -> str:
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{places}" fill="none" {look}/>'


def own_dot(x: str, y: str) -> str:
    """One level that was measured."""
    return f'<circle cx="{x}" cy="{y}" r="2.6" fill="{OWN}"/>'


Mark: TypeAlias = Callable[[int, int], str]


def own_mark(x: int, y: int) -> str:
    """The legend's piece of `own_line`."""
    return f'<path d="M{x} {y - 4}h18" stroke="{OWN}" stroke-width="2"/>'


def peers_mark(x: int, y: int) -> str:
    """The legend's piece of `peers_line`."""
    return f'<path d="M{x} {y - 4}h18" stroke="{PEERS}" stroke-dasharray="4 3"/>'


def dot_mark(x: int, y: int) -> str:
    """The legend's `own_dot`."""
    return own_dot(f"{x + 9}", f"{y - 4}")


def patch_mark(colour: str) -> Mark:
    """The legend's piece of an area."""
    return lambda x, y: f'<rect x="{x}" y="{y - 9}" width="18" height="10" fill="{colour}"/>'


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of the legend: how far from the left of the drawing, its mark, its word."""

    left: int
    mark: Mark
    text: str


def legend(keys: Sequence[Key]) -> list[str]:
    """What the lines mean, below the dates."""
    y = HEIGHT - 8
    return [
        drawn
        for key in keys
        for drawn in (key.mark(LEFT + key.left, y), label(LEFT + key.left + 23, y, key.text))
    ]
