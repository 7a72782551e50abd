"""Communication failures: devices without a reading for a day, the whole gateway's together."""

import numpy as np

from analytics.cause import Section, dark_rows, gateways_down, together, unnamed_gateways
from analytics.findings import CauseKind, FindingKind
from analytics.grid import HOUR_MS, Bools
from analytics.judge import Judge
from analytics.silence import silent_devices

__all__ = ["settle_silence"]


def settle_silence(judge: Judge) -> None:
    """Devices without a reading for a day, the whole gateway's together."""
    memory = judge.memory
    silent = silent_devices(memory, memory.last_seen_ms, judge.street, judge.rules, judge.end_ms)
    # Whose supply came back today has a day to speak again.
    silent &= ~judge.is_open(FindingKind.SUPPLY_LOSS) & (memory.closed_night < judge.number)
    if judge.deaf:
        silent[:] = False
    sections = gateways(judge)
    for section in sections:
        silent[section.rows] = True
    sections += stopped_together(judge, silent, sections)
    heard = judge.night.n_heard >= 2
    always = np.ones(judge.street.n, dtype=bool)
    onset = memory.last_seen_ms
    hours = ((judge.end_ms - memory.last_seen_ms) / HOUR_MS).astype(np.float32)
    judge.settle(
        FindingKind.COMMUNICATION_FAILURE,
        silent & ~heard,
        always,
        heard,
        onset,
        sections=sections,
        evidence={"silent_h": hours},
    )


def stopped_together(judge: Judge, silent: Bools, known: list[Section]) -> list[Section]:
    """Devices of one feeder, or behind one gateway, that stopped in the same moment: one matter.

    Radios fail one at a time; two that stop within the hour side by side have one cause, whichever
    it is.
    """
    street, seen = judge.street, judge.memory.last_seen_ms
    left = silent & ~judge.is_open(FindingKind.COMMUNICATION_FAILURE)
    for section in known:
        left[section.rows] = False
    found: list[Section] = []
    for kind, of in ((CauseKind.FEEDER, street.feeder), (CauseKind.GATEWAY, street.gateway)):
        for group in np.unique(of[left & (of >= 0)]):
            rows = np.flatnonzero(left & (of == group)).astype(np.int32)
            rows = rows[together(seen[rows], 2)] if len(rows) > 1 else rows[:0]
            if len(rows):
                left[rows] = False
                found.append(Section(rows, kind, int(group), int(np.median(seen[rows]))))
    return found


def gateways(judge: Judge) -> list[Section]:
    """Gateways behind which nearly everybody fell silent."""
    memory = judge.memory
    silent = (memory.last_seen_ms > 0) & (
        judge.end_ms - memory.last_seen_ms >= judge.rules.gateway_silent_h * HOUR_MS - 600_000
    )
    silent &= ~judge.is_open(FindingKind.SUPPLY_LOSS)
    if judge.deaf:
        silent[:] = False
    heard = memory.last_seen_ms > 0
    found = gateways_down(silent, memory.last_seen_ms, heard, judge.street, judge.whole)
    found += unnamed_gateways(silent & heard, memory.last_seen_ms, judge.street)
    return found + gateways_never_heard(judge) + rows_never_heard(judge)


def gateways_never_heard(judge: Judge) -> list[Section]:
    """Gateways of the registry behind which nobody ever spoke, while most of the city does.

    A single luminaire that never spoke is not yet there; a whole gateway full of them is down.
    """
    memory = judge.memory
    never = memory.last_seen_ms == 0
    if memory.nights_judged < 2 or never.mean() > 0.5:
        return []
    start = judge.start_ms - int(memory.nights_judged) * 24 * HOUR_MS
    since = np.full(judge.street.n, start, dtype=np.int64)
    return [
        s
        for s in gateways_down(never, since, ~judge.planned, judge.street, judge.whole)
        if len(s.rows) >= 8
    ]


def rows_never_heard(judge: Judge) -> list[Section]:
    """Five and more in a row that never spoke, on a cable on which others do.

    A fault older than the first reading, or devices that were never fitted: the crew that fits
    them finds out, and once.
    """
    memory, street = judge.memory, judge.street
    never = (memory.last_seen_ms == 0) & ~judge.planned & ~judge.is_open(FindingKind.SUPPLY_LOSS)
    if memory.nights_judged < 2 or never.mean() > 0.5 or not never.any():
        return []
    start = judge.start_ms - int(memory.nights_judged) * 24 * HOUR_MS
    return [
        Section(rows, CauseKind.SEGMENT, int(street.segment[rows[0]]), start)
        for rows in dark_rows(never, street, judge.whole, judge.rules.row)
        if street.segment[rows[0]] >= 0
        and (memory.last_seen_ms[street.line == street.line[rows[0]]] > 0).any()
    ]
