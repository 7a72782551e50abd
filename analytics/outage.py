"""Luminaires that are dark when they should be lit."""

from dataclasses import dataclass

import numpy as np

from analytics.findings import FindingKind
from analytics.grid import Bools, any_slot
from analytics.levels import Levels
from analytics.memory import GOOD_WORD, KIND_AT, Memory
from analytics.nights import Night
from analytics.rules import Rules

__all__ = ["Darkness", "judge_darkness"]

BRIEF_H = 3.0
TOLD_SHARE = 0.8  # of the dark readings at the night's end, in which light was asked for
LEAST_LX = 0.3
HALF_A_NIGHT = 0.6  # of its slots: less may be all reduced light, where the registry is doubted
SURELY_BLACK = 0.1
STILL_TURNED = 0.15  # of C, log
DAYLIGHT_NIGHTS = 10  # without daylight for so long what it said is forgotten
TURNED_FOR_SURE = 0.6  # of C, log: a season of leaves moves it by no more
SENSOR_KINDS = [
    KIND_AT[kind]
    for kind in (
        FindingKind.SENSOR_STUCK,
        FindingKind.SENSOR_BLIND,
        FindingKind.SENSOR_DRIFT,
        FindingKind.MISAIMED,
    )
]


@dataclass(slots=True)
class Darkness:
    """What one night says about each luminaire's light.

    Attributes
    ----------
    out : bool (n,)
        Looks like a lamp that is out.
    dead : bool (n,)
        Dark enough to be part of a section without supply; peers are not asked, they may be gone.
    lit : bool (n,)
        Seen burning as it should: ends a finding.
    brief : bool (n,)
        Out only for the last hours before dawn: a clock may be the reason.
    known : bool (n,)
        Whether the night says anything.
    sensor_side : bool (n,)
        The sensor answers daylight otherwise than before: not the lamp.
    """

    out: Bools
    dead: Bools
    lit: Bools
    brief: Bools
    known: Bools
    sensor_side: Bools

    def blame_sensor(self, rows: Bools) -> None:
        """These lamps burn, whatever their sensors say."""
        self.out &= ~rows
        self.dead &= ~rows
        self.sensor_side |= rows


def judge_darkness(
    night: Night, levels: Levels, memory: Memory, rules: Rules, always: Bools
) -> Darkness:
    """Judge one night; NaN and unknown levels give neither out nor lit.

    A lamp is out when three quarters of the known night are dark and its level is below 40 % of
    its own, or when the night ended in two hours of darkness (a lamp that died in mid-night), or
    less where the lamp said so, its controller went on asking for light, or nothing ever switches
    it off.
    Watts, where a controller sends them, must agree, and suffice alone when three quarters of the
    night took no power.

    Parameters
    ----------
    night : Night
    levels : Levels
    memory : Memory
    rules : Rules
    always : bool (n,)
        Lit round the clock.
    """
    n_known = night.n_known
    with np.errstate(invalid="ignore"):
        share = night.n_dark / np.maximum(n_known, 1)
        level = np.exp(levels.own)
        raw = np.exp(levels.raw)
        weak = np.isnan(levels.own)
        # A sensor that was turned sees another sky the next morning; a lamp that failed does not
        # change it.
        by_sensor = any_slot(memory.raised[:, SENSOR_KINDS])
        turned = (np.abs(levels.response_step) > 0.25) & (np.abs(levels.response) > 0.15)
        turned |= (np.abs(levels.response) > TURNED_FOR_SURE) | by_sensor
        moved = np.fmin(levels.response_step, levels.response)
        # Who was blamed stays blamed while it is dark: C of some nights ago slides into the fault,
        # and on short days it is not seen at all.
        lately = np.isfinite(memory.responses[:, -DAYLIGHT_NIGHTS:]).any(axis=1) | always
        still = np.where(
            np.isfinite(levels.response), np.abs(levels.response) >= STILL_TURNED, lately
        )
        turned |= memory.sensor_blamed & still
        sensor_side = ((moved < -0.20) & (moved < 0.45 * levels.raw)) | by_sensor
        enough = (n_known >= 6) & np.isfinite(memory.own_lx)
        # With the reference still open or no full slots, the dark count itself is the level.
        mostly = (share > rules.dark_share) & ((level < rules.dark_level) | weak)
        # While the reference is only the registry's word, half of it is no darkness yet.
        brightest = night.lux_high / np.maximum(memory.own_lx, LEAST_LX)
        black = (level < memory.word) & ~(brightest > rules.dark_level)
        whole = (n_known >= HALF_A_NIGHT * night.n_lit) | (level < SURELY_BLACK)
        black &= whole | (memory.word == GOOD_WORD)
        mostly &= memory.frozen | black | (weak & (memory.heard_nights > 3) & (share > 0.95))
        # A tunnel whose lamps burn at night only, whatever the registry says, is dark every day.
        before = ~(night.dark_before > 0.2) & ~(always & (night.lead > 0))
        ended = (night.tail_h >= rules.tail_h) & (night.n_tail >= 4) & before
        ended &= night.tail_level < rules.dark_level
        ended &= memory.frozen | (share < 0.8)
        # A lamp that said so itself needs less time. Watts do not help: a lamp that was switched
        # off too early takes none either.
        said = (night.n_failed >= 2) & (night.n_failed >= 0.2 * night.n_status)
        brief_dark = (night.tail_level < rules.dark_level) & (night.n_tail >= 2) & before
        ended |= brief_dark & said & (night.tail_h >= rules.sure_tail_h)
        # What is asked to burn was not switched off; what came back once may cycle.
        told = (night.n_told >= 2) & (night.n_told >= TOLD_SHARE * night.n_tail)
        told |= always
        ended |= brief_dark & told & (night.rises == 0) & memory.frozen
        by_watts = night.power_dark > 0.75
        has_watts = np.isfinite(night.power_dark)
        out = enough & ~sensor_side & ~turned & (mostly | ended)
        out &= ~has_watts | (night.power_dark > 0.3) | (ended & (night.power_last < 0.06))
        unpowered_long = (
            night.power_dark * np.minimum(night.n_power, night.n_lit) >= 6 * rules.tail_h
        )
        # The last readings took no power though light was asked for.
        out |= (night.power_last < 0.06) & unpowered_long & before & (share > 0)
        out |= by_watts
        dead = enough & ~sensor_side & (((share > 0.75) & (~(raw >= 0.55))) | ended)
        # A registry whose levels are wrong is no outage: lamps without supply are black.
        dead &= memory.frozen | ended | ~(raw >= 0.25)
        dead |= by_watts
        lit = enough & (share < 0.1) & ((level > 0.7) | (weak & (night.n_full < 6)))
        lit &= ~has_watts | (night.power_dark < 0.1)
        lit |= has_watts & (night.n_lux == 0) & (night.power_dark < 0.05)
    brief = ended & ~mostly & ~by_watts & (night.tail_h < BRIEF_H)
    return Darkness(out, dead, lit, brief, enough | has_watts, sensor_side | turned)
