"""Lamps that are out."""

import numpy as np

from analytics.cause import Section, dark_rows
from analytics.findings import CauseKind, FindingKind
from analytics.grid import HOUR_MS, Bools
from analytics.judge import Judge

__all__ = ["settle_lamp_failure"]

SAME = 4  # equal readings by day, and as many by night


def settle_lamp_failure(judge: Judge) -> None:
    """Lamps that are out."""
    memory, night = judge.memory, judge.night
    stands = judge.reports.stands(FindingKind.LAMP_FAILURE, judge.end_ms)
    no_light = memory.lux_nights == 0
    failing = (night.n_failed >= 2) & (night.n_failed >= 0.5 * night.n_status)
    by_report = no_light & (stands | failing) & ~(night.power_dark < 0.5)
    with np.errstate(invalid="ignore"):
        black = (np.exp(judge.levels.own) < 0.10) & (np.abs(judge.levels.response) < 0.2)
    # Weather takes no watts.
    passes = ~judge.held | (night.power_dark > 0.3) | (night.power_last < 0.06) | black
    passes &= ~unmoved(judge) & ~just_mended(judge)
    flag = (judge.darkness.out & passes & ~judge.taken & ~judge.waits) | (by_report & ~judge.taken)
    known = (judge.darkness.known & passes) | no_light
    clear = judge.darkness.lit | (no_light & ~stands & ~failing)
    onset = judge.onset()
    reported = judge.reports.onset_ms(FindingKind.LAMP_FAILURE)
    onset = np.where(by_report & (reported > 0), reported, onset)
    share = (night.n_dark / np.maximum(night.n_known, 1)).astype(np.float32)
    # An afternoon before the darkness is no witness of what came with it.
    after = np.isfinite(night.response_am) | (onset <= judge.start_ms)
    nothing = np.float32(np.nan)
    evidence = {
        "dark_share": share,
        "level": np.exp(judge.levels.own),
        "daylight": np.where(after, np.exp(judge.levels.response), nothing),
        "power": night.power_last,
        "rough": np.where(judge.doubt, np.float32(1), nothing),
    }
    # Three and more that failed side by side on the same night are one matter, whatever it is.
    new = flag & ~judge.is_open(FindingKind.LAMP_FAILURE) & (onset >= judge.start_ms - 24 * HOUR_MS)
    rows = dark_rows(new, judge.street, judge.whole, 3)
    rows += dark_rows(flag, judge.street, judge.whole, judge.rules.row)
    grouped = [
        Section(r, CauseKind.SEGMENT, int(judge.street.segment[r[0]]), int(onset[r].min()))
        for r in rows
        if judge.street.segment[r[0]] >= 0
    ]
    # In the first nights neither daylight nor its own level tells a lamp from snow, which comes
    # to several at once.
    unsure = ~memory.frozen & ~judge.street.tunnel & np.isnan(judge.levels.response)
    unsure &= flag & ~(night.power_dark > 0.3) & ~by_report
    unsure &= unsure.sum() >= 3
    waits = (in_company(judge, flag) | unsure) & ~judge.is_open(FindingKind.LAMP_FAILURE)
    need = np.where(waits, 2, 1)
    for section in grouped:
        need[section.rows] = 1
    judge.settle(
        FindingKind.LAMP_FAILURE,
        flag,
        known,
        clear,
        onset,
        need=need.astype(np.int32),
        sections=grouped,
        evidence=evidence,
    )


def unmoved(judge: Judge) -> Bools:
    """Sensors that gave one and the same value through darkness and day: no light is so steady."""
    night = judge.night
    same = (night.equal_day >= SAME) & (night.equal_night >= SAME)
    return same & ~judge.street.tunnel


def just_mended(judge: Judge) -> Bools:
    """Luminaires that were worked on in this window: its darkness is that of before."""
    mended: Bools = judge.memory.learn_from > judge.number
    return mended


def in_company(judge: Judge, flag: Bools) -> Bools:
    """Lone failures that may be part of something bigger, and wait one round for it.

    Both cable neighbours seen lit prove that it is not; two or more of the nearest four dark,
    silent or unknown say that it may be.
    """
    left, right = judge.street.left, judge.street.right
    lit = np.append(judge.darkness.lit, False)
    lost = np.append((flag | judge.darkness.dead | ~judge.darkness.known), False)
    proved = lit[left] & lit[right]
    two_left = np.where(left >= 0, np.append(left, -1)[left], -1)
    two_right = np.where(right >= 0, np.append(right, -1)[right], -1)
    nearest = np.stack([left, right, two_left, two_right])
    company: Bools = flag & ~proved & (np.count_nonzero(lost[nearest], axis=0) >= 2)
    return company
