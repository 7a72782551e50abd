"""The thresholds of the detectors, with the reason for each."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["RANGES", "Rules"]


@dataclass(frozen=True, slots=True)
class Rules:
    """Every number a city may want to move; the defaults are what the quality page measures.

    Levels are natural logs of ratios: -0.22 is a fifth less, -0.69 is half.

    Attributes
    ----------
    dark_share : float
        Share of the known night that must be dark.
    dark_level : float
        Own level below which a luminaire is out.
    tail_h : float
        Darkness up to the end of the night that proves a failure in mid-night [h].
    sure_tail_h : float
        The same where watts or status bits agree [h].
    level_loss : float
        Fall that is looked into (log).
    slow_loss : float
        Fall over fourteen nights, corrected by daylight, that is depreciation (log).
    surplus_low, surplus_high : float
        A lamp that burns by day adds its own light: no less, and no more.
    power_by_day : float
        Share of rated power by day that is a lamp burning.
    weather_share : float
        Share of luminaires newly low in one night that is weather.
    silent_h : float
        Silence of one device that is a communication failure [h]: a day, and the time a device may
        need to hand over what it kept.
    gateway_silent_h : float
        Silence of everything behind a gateway that is the gateway's failure [h].
    equal_readings : int
        Equal readings in a row that are a stuck sensor.
    section : int
        Adjacent luminaires dead together that are a loss of supply.
    row : int
        Luminaires out in a row that are an urgent matter of their own.
    quick_dark_min : float
        Darkness of a section that a light round reports [min].
    quick_silent_min : float
        Silence of a mains-fed section that a light round reports [min].
    """

    dark_share: float = 0.75
    dark_level: float = 0.40
    tail_h: float = 2.0
    sure_tail_h: float = 1.0
    level_loss: float = 0.16
    slow_loss: float = 0.11
    surplus_low: float = 0.60
    surplus_high: float = 1.15
    power_by_day: float = 0.25
    weather_share: float = 0.04
    silent_h: float = 30.0
    gateway_silent_h: float = 24.0
    equal_readings: int = 60
    section: int = 4
    row: int = 5
    quick_dark_min: float = 25.0
    quick_silent_min: float = 55.0


RANGES: Mapping[str, tuple[float, float]] = {
    # Least and most that makes sense; what lies outside is a slip of the pen or another unit.
    "dark_share": (0.5, 1.0),
    "dark_level": (0.05, 0.8),
    "tail_h": (0.5, 12.0),
    "sure_tail_h": (0.25, 12.0),
    "level_loss": (0.02, 2.0),
    "slow_loss": (0.02, 2.0),
    "surplus_low": (0.1, 1.0),
    "surplus_high": (1.0, 3.0),
    "power_by_day": (0.05, 1.0),
    "weather_share": (0.005, 1.0),
    "silent_h": (1.0, 720.0),
    "gateway_silent_h": (1.0, 720.0),
    "equal_readings": (20, 10_000),
    "section": (3, 50),
    "row": (3, 50),
    "quick_dark_min": (10.0, 240.0),
    "quick_silent_min": (15.0, 480.0),
}
