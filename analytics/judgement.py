"""One night judged after another: from features to findings, causes before single luminaires."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from analytics.cause import Whole
from analytics.cycling import settle_cycling
from analytics.day_and_night import course_of_leaves
from analytics.day_burning import settle_day_burning
from analytics.depreciation import without_stray_light
from analytics.device_events import Reports
from analytics.findings import FindingKind
from analytics.grid import Bools, Floats, Times, any_slot, window_start
from analytics.judge import Judge, NameOf
from analytics.lamp_failure import settle_lamp_failure
from analytics.level_changes import settle_levels
from analytics.levels import Levels, derive_levels
from analytics.memory import KIND_AT, Memory
from analytics.missed_light import not_missed
from analytics.neighbours import without_neighbours
from analytics.nights import Night
from analytics.outage import Darkness, judge_darkness
from analytics.radio import settle_silence
from analytics.reference import learn, weigh_registry
from analytics.repairs import note_maintenance, prove_repairs
from analytics.rules import Rules
from analytics.sensor_faults import settle_stuck
from analytics.street import Street
from analytics.supply import settle_supply
from analytics.switching import settle_switching
from analytics.weather import learn_answers
from analytics.weather_hold import hold_for_weather

__all__ = ["Circumstances", "judge_night"]

SENSOR_LOSS = -0.42  # of the night's level, log

# In this order: causes before single luminaires, and what is sure before what needs light alone.
VERDICTS: tuple[Callable[[Judge], None], ...] = (
    settle_stuck,
    settle_supply,
    settle_silence,
    hold_for_weather,
    settle_day_burning,
    settle_cycling,
    settle_switching,
    settle_lamp_failure,
    settle_levels,
)


@dataclass(slots=True)
class Circumstances:
    """What is known about a night beside its readings.

    Attributes
    ----------
    now_ms : int
        The round.
    planned : bool (n,)
        Under planned work or switched off on purpose.
    reports : Reports
        The devices' own fault reports.
    fresh : dict of action to bool (n,)
        Luminaires on which maintenance was logged in this window.
    name_of : callable
        Name of a cause, for incident keys.
    class_lx : float32 (n,), optional
        Average that each luminaire's lighting class asks for [lx]; NaN where none is known.
    gateways_heard : callable, optional
        Gives when each gateway last spoke itself [ms, UTC]; 0 where it did not.
    """

    now_ms: int
    planned: Bools
    reports: Reports
    name_of: NameOf
    fresh: Mapping[str, Bools] = field(default_factory=dict)
    class_lx: Floats | None = None
    gateways_heard: Callable[[], Times] | None = None


def judge_night(
    memory: Memory,
    night: Night,
    *,
    number: int,
    street: Street,
    whole: Whole,
    rules: Rules,
    about: Circumstances,
) -> None:
    """Judge one night and remember it.

    Parameters
    ----------
    memory : Memory
        After the night before; changed in place.
    night : Night
    number : int
        The night's number (days since 1970 of its first date).
    street, whole, rules, about
    """
    note_maintenance(memory, about.fresh, number)
    levels = derive_levels(night, memory, street)
    weigh_registry(memory, levels.own)
    outdoor = ~street.tunnel & ~any_slot(memory.raised) & (night.n_lux > 0)
    learn_answers(memory, levels.raw, outdoor, rules)
    darkness = judge_darkness(night, levels, memory, rules, street.tunnel)
    darkness.blame_sensor(not_missed(levels.own, night, memory, street))
    # The lamp's own darkness is judged with its neighbours' light as it is; its slower changes
    # without.
    lost = KIND_AT[FindingKind.SUPPLY_LOSS], KIND_AT[FindingKind.LAMP_FAILURE]
    dark_now = darkness.dead | (memory.raised[:, lost].any(axis=1) & ~darkness.lit)
    blind = darkness.sensor_side
    alone = without_neighbours(levels.own, levels.raw, dark_now & ~blind, blind, memory, street)
    push(memory, night, levels, alone, street)
    prove_repairs(memory, number)
    end_ms = window_start(number + 1)
    follow_darkness(memory, night, darkness, window_start(number))

    judge = Judge(
        memory,
        night,
        levels,
        darkness,
        street,
        whole,
        rules,
        reports=about.reports,
        planned=about.planned,
        name_of=about.name_of,
        number=number,
        end_ms=end_ms,
        now_ms=about.now_ms,
        class_lx=about.class_lx,
        gateways_heard=about.gateways_heard,
    )
    for settle in VERDICTS:
        settle(judge)
    with np.errstate(invalid="ignore"):
        # Nothing is learned from a sensor that lost night and day at once.
        elsewhere = darkness.sensor_side & (levels.own < SENSOR_LOSS)
        low = np.where(np.isfinite(levels.own), levels.own < SENSOR_LOSS, memory.sensor_blamed)
    memory.sensor_blamed = darkness.sensor_side & low
    learn(memory, night, levels, judge.suspect | elsewhere, street)
    memory.night = number
    memory.nights_judged += 1


def push(memory: Memory, night: Night, levels: Levels, alone: Floats, street: Street) -> None:
    """Move the look-back windows on by one night."""
    late = (levels.late + (alone - levels.own)).astype(np.float32)
    healthy = ~street.tunnel & ~any_slot(memory.raised) & memory.frozen
    memory.leaves[:-1] = memory.leaves[1:]
    memory.leaves[-1] = course_of_leaves(levels.response, healthy)
    news: list[tuple[Floats, Floats]] = [
        (memory.levels, without_stray_light(alone, late, memory)),
        (memory.late_levels, late),
        (memory.responses, levels.response),
        (memory.surplus, night.surplus),
        (memory.information, np.nan_to_num(night.information)),
        (memory.least_surplus, night.least_surplus),
    ]
    for history, newest in news:
        history[:, :-1] = history[:, 1:]
        history[:, -1] = newest


def follow_darkness(memory: Memory, night: Night, darkness: Darkness, start_ms: int) -> None:
    """Keep, for each luminaire, since when it has been dark without having been seen lit."""
    all_dark = (night.n_dark > 0) & (night.n_dark >= 0.9 * night.n_known)
    begun = np.where(night.dark_since_ms > 0, night.dark_since_ms, 0)
    fresh = memory.dark_since_ms == 0
    since = np.where(all_dark & fresh, start_ms, begun)
    since = np.where(all_dark & ~fresh, memory.dark_since_ms, since)
    heard = night.n_known > 0
    memory.dark_since_ms = np.where(heard, since, memory.dark_since_ms).astype(np.int64)
    memory.last_seen_ms = np.maximum(memory.last_seen_ms, night.last_seen_ms)
    memory.heard_nights += (night.n_heard > 0).astype(np.int32)
    memory.lux_nights += (night.n_lux > 0).astype(np.int32)
