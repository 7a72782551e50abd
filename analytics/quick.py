"""What cannot wait for noon: a feeder out, five in a row out, a tunnel fully dark."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from analytics.burning import DARK_BELOW, LEAST_LIT_LX
from analytics.cause import Section, Whole, dead_sections
from analytics.coincidence import one_matter
from analytics.dimming import Expectation
from analytics.findings import CauseKind, FindingKind
from analytics.grid import SLOT_MS, Bools, Floats, Ints, Times, any_slot
from analytics.memory import KIND_AT, Memory
from analytics.rules import Rules
from analytics.street import Street

__all__ = ["AT_ONCE_MS", "TOLD_MS", "quick_look"]

MINUTE_MS = 60_000
CLOCK_OFF_MS = 110 * MINUTE_MS  # clocks are seldom wrong by more, but for time zones
WHOLE_FEEDER = 0.8
WAIT_AT_MOST_MS = 40 * MINUTE_MS
HANDED_OVER_MS = 60 * MINUTE_MS
UNASKED_MS = 60 * MINUTE_MS
TOLD_MS = 15 * MINUTE_MS  # a device that restarts speaks again within that
# So many of one cabinet or feeder at once lost it for good, or all would be back by now.
AT_ONCE, AT_ONCE_SHARE = 20, 0.8
AT_ONCE_MS, AT_ONCE_SPAN_MS, ECHO_MS = 20_000, 2 * MINUTE_MS, 10_000


@dataclass(frozen=True, slots=True)
class DarkNow:
    """Who is dark at this moment of the night.

    Attributes
    ----------
    dark : bool (n,)
    since_ms, earliest_ms : int64 (n,)
        First dark reading, and the earliest moment at which it can have begun; 0 where not dark.
    fresh : bool (n,)
        Heard of lately.
    seen, bright : bool (n, s)
        Readings of the last six hours in which light was asked for, and those that were lit.
    first_ms : int
        Start of their first slot.
    """

    dark: Bools
    since_ms: Times
    earliest_ms: Times
    fresh: Bools
    seen: Bools
    bright: Bools
    first_ms: int

    def lit_after(self, rows: Ints, moment_ms: int) -> Bools:
        """Whether the first reading of each some minutes after a moment was lit: bool (rows,)."""
        column = max((moment_ms - self.first_ms) // SLOT_MS + 2, 0)
        seen, bright = self.seen[rows, column:], self.bright[rows, column:]
        if not seen.shape[1]:
            return np.zeros(len(rows), dtype=bool)
        found: Bools = bright[np.arange(len(rows)), np.argmax(seen, axis=1)]
        return found


def quick_look(
    lux: Floats,
    seen_ms: Times,
    *,
    memory: Memory,
    street: Street,
    whole: Whole,
    rules: Rules,
    expected: Sequence[Expectation],
    group: Ints,
    start_ms: int,
    now_ms: int,
    planned: Bools,
    told_ms: Times,
    resumed_ms: Times,
    taken_back: Bools | None = None,
    gateways_heard: Callable[[], Times] | None = None,
) -> list[Section]:
    """Sections that went dark or silent in the open window.

    Parameters
    ----------
    lux : float32 (n, 144)
        The open window so far.
    seen_ms : int64 (n,)
        When anything was last heard of each device in this window; 0 where nothing was.
    memory, street, whole, rules, expected, group
        As for the noon round.
    start_ms, now_ms : int
    planned : bool (n,)
    told_ms : int64 (n,)
        When each device last said itself that its supply is going (a last gasp, a fault report); 0
        where it did not.
    resumed_ms : int64 (n,)
        When each was first heard again after hours without a word; 0 where it was not away.
    taken_back : bool (n,), optional
        Of which a loss of supply was told in the last weeks that noon did not bear out.
    gateways_heard : callable, optional
        Gives when each gateway last spoke itself, int64 (g,); asked only where it would tell a
        silent feeder from its gateway.

    Returns
    -------
    list of Section
    """
    now_slot = min((now_ms - start_ms) // SLOT_MS, lux.shape[1])
    if now_slot <= 0:
        return []
    now = dark_now(lux, expected, group, int(now_slot), memory, start_ms)
    dark, since, fresh = now.dark, now.since_ms, now.fresh
    long_dark = dark & fresh & (now_ms - since >= rules.quick_dark_min * MINUTE_MS)
    quiet, hushed, stopped = silent_now(seen_ms, memory, street, rules, now_ms)
    gasped = last_word_was_loss(told_ms, stopped)
    patience_ms = np.where(gone_at_once(told_ms, stopped, whole), AT_ONCE_MS, TOLD_MS)
    told = gasped & (now_ms - told_ms >= patience_ms)
    # A switched feeder is silent by day; at night its silence counts after an hour of burning.
    lit: Bools = np.stack([e.lit[max(now_slot - 7, 0) : now_slot].all() for e in expected])
    burning = lit[group] & (now_slot >= 7)
    asleep = street.mains & street.feeder_switched & ~burning
    silent = (quiet & street.mains & ~asleep) | told
    dead = long_dark | silent
    by_silence = silent | ((hushed | gasped) & ~dark)
    hours_ms = dark_hours(expected, group, start_ms)
    # A switched feeder was silent all day as it should be: it is missed from dusk on.
    switched = street.mains & street.feeder_switched & ~gasped
    missed = np.where(switched, np.maximum(stopped, hours_ms[0]), stopped)
    onset = np.where(by_silence, missed, since)
    earliest = np.where(by_silence, missed, now.earliest_ms)
    # Luminaires with no word either way do not count against a feeder.
    known = (dark | fresh | silent) & ~planned
    found = one_matter(
        dead_sections(dead, onset, known, street, whole, rules, earliest=earliest), street
    )
    # Where some of a cabinet are dead for sure, those who missed their turn are dead with them.
    with_them = (hushed & street.mains & ~asleep) | gasped
    with_them &= beside(found, street) & ~planned
    if (with_them & ~dead).any():
        wider = dead_sections(
            dead | with_them, onset, known | with_them, street, whole, rules, earliest=earliest
        )
        wider = one_matter(wider, street)
        found = [s for s in wider if dead[s.rows].sum() >= 3]
    last_alive = np.where(gasped & (stopped > 0), 1, stopped)
    found = [s for s in found if not waits(s, onset, last_alive, street, whole, now_ms)]
    # What keeps talking has its supply, or a battery: the clock of the feeder may be to blame.
    talks = fresh & ~silent & ~gasped
    suspect = clock_suspect(memory, taken_back)
    found = [s for s in found if not may_be_clock(s, talks, now, suspect, hours_ms, street, whole)]
    found += dark_tunnels(dead, known, onset, street, found)
    mute = silent | with_them
    # A gateway that has just come back hands over one device after another.
    back_ms = np.where(now_ms - resumed_ms < HANDED_OVER_MS, 1, stopped)
    return [
        s
        for s in found
        if proven(s, told)
        or not others_silent(s, mute, back_ms, street, whole)
        or (gateways_heard is not None and gateways_spoke(s, gateways_heard(), street))
    ]


def beside(found: Sequence[Section], street: Street) -> Bools:
    """Luminaires on the feeders and cabinets of these sections."""
    near = np.zeros(street.n, dtype=bool)
    for section in found:
        for of in (street.feeder, street.cabinet):
            near |= (of >= 0) & np.isin(of, of[section.rows])
    return near


def waits(
    section: Section, onset_ms: Times, alive_ms: Times, street: Street, whole: Whole, now_ms: int
) -> bool:
    """Whether the cabinet may yet prove to be the cause: half of its others have not spoken since.

    `alive_ms` is when each was last heard alive: 0 where never, 1 where its last word was that its
    supply is going. Nobody waits longer than forty minutes after it began.
    """
    rows = section.rows
    cabinets = np.unique(street.cabinet[rows])
    if section.cause_kind is CauseKind.CABINET or len(cabinets) != 1 or cabinets[0] < 0:
        return False
    if now_ms - section.start_ms >= WAIT_AT_MOST_MS:
        return False
    members = whole.cabinet[cabinets[0]]
    others = np.setdiff1d(members[members >= 0], rows)
    others = others[alive_ms[others] > 0]
    spoke = alive_ms[others] > int(onset_ms[rows].max())
    return bool(len(others)) and bool(spoke.mean() < 0.5)


def dark_hours(expected: Sequence[Expectation], group: Ints, start_ms: int) -> tuple[Times, Times]:
    """When each luminaire's hours of light begin and end in this window: int64 (n,) each."""
    lit = np.stack([e.lit for e in expected])
    last = lit.shape[1] - np.argmax(lit[:, ::-1], axis=1)
    ends = np.where(lit.any(axis=1), last, 0)
    begins = np.argmax(lit, axis=1)
    return start_ms + begins[group] * SLOT_MS, start_ms + ends[group] * SLOT_MS


def clock_suspect(memory: Memory, taken_back: Bools | None) -> Bools:
    """Luminaires that switched wrongly of late, or seemed without supply and were not."""
    k = KIND_AT[FindingKind.SWITCHING_ERROR]
    found: Bools = (memory.hits[:, k] > 0) | memory.raised[:, k]
    return found if taken_back is None else found | taken_back


def may_be_clock(
    section: Section,
    talks: Bools,
    now: DarkNow,
    suspect: Bools,
    hours_ms: tuple[Times, Times],
    street: Street,
    whole: Whole,
) -> bool:
    """Whether whole feeders that are dark but talk may have been switched off too early, or late.

    In the last hours before dawn a wrong clock looks the same, it is day before a crew comes, and
    noon tells them apart; so at dusk where the feeder switched wrongly the night before. Part of a
    feeder has no clock of its own: others that were lit when it went say that it is a part. One
    silent device among many that talk is a broken radio.
    """
    rows = section.rows
    begins, ends = hours_ms[0][rows], hours_ms[1][rows]
    if street.tunnel[rows].any() or (street.feeder[rows] < 0).any():
        return False
    if talks[rows].mean() < WHOLE_FEEDER:
        return False
    members = whole.feeder[np.unique(street.feeder[rows])]
    members = members[members >= 0]
    members = members[talks[members]]
    near_dawn = section.start_ms >= int(np.median(ends)) - CLOCK_OFF_MS
    at_dusk = section.start_ms <= int(np.median(begins)) + CLOCK_OFF_MS
    of_late = bool(suspect[rows].mean() > 0.5)
    if near_dawn and of_late:
        return True  # what the others show may be the morning's light
    if now.lit_after(members, section.start_ms).mean() > 1 - WHOLE_FEEDER:
        return False
    return near_dawn or (at_dusk and of_late)


def last_word_was_loss(told_ms: Times, seen_ms: Times) -> Bools:
    """Devices that said their supply was going and have not spoken since."""
    found: Bools = (told_ms > 0) & (seen_ms <= told_ms + SLOT_MS)
    return found


def gone_at_once(told_ms: Times, seen_ms: Times, whole: Whole) -> Bools:
    """Luminaires of a cabinet or feeder that said nearly all at once that their supply goes.

    At least twenty of it and four fifths, within two minutes, and none of these has spoken since:
    one that restarts after a dip says so within seconds.
    """
    found = np.zeros(len(told_ms), dtype=bool)
    last_word = (told_ms > 0) & (seen_ms <= told_ms + ECHO_MS)
    for group in (whole.cabinet, whole.feeder):
        for padded in group:
            members = padded[padded >= 0]
            gone = members[last_word[members]]
            if len(gone) < max(AT_ONCE, AT_ONCE_SHARE * len(members)):
                continue
            if np.ptp(told_ms[gone]) <= AT_ONCE_SPAN_MS:
                found[gone] = True
    return found


def proven(section: Section, told: Bools) -> bool:
    """Whether enough of a section said so that no gateway can be to blame."""
    said = int(told[section.rows].sum())
    return said >= 2 and said >= 0.3 * len(section.rows)


def dark_now(
    lux: Floats,
    expected: Sequence[Expectation],
    group: Ints,
    now_slot: int,
    memory: Memory,
    start_ms: int,
) -> DarkNow:
    """Luminaires that are dark now, and since when.

    At least two readings in a row must be dark. A lamp that was never lit tonight counts only forty
    minutes into the night: that long a photocell may take.
    """
    lit = np.stack([e.lit for e in expected])[:, :now_slot]
    level = np.stack([e.level for e in expected])[:, :now_slot]
    low = max(now_slot - 36, 0)  # six hours back are enough to see a darkness begin
    x = lux[:, low:now_slot]
    wanted = lit[group][:, low:]
    seen = wanted & np.isfinite(x)
    own = np.maximum(memory.own_lx, LEAST_LIT_LX)[:, None]
    with np.errstate(invalid="ignore"):
        dark = seen & (x < DARK_BELOW * own * level[group][:, low:])
    bright = seen & ~dark
    width = x.shape[1]
    index = np.arange(width)
    last_bright = np.where(bright.any(axis=1), width - 1 - np.argmax(bright[:, ::-1], axis=1), -1)
    run = dark & (index > last_bright[:, None])
    count = np.count_nonzero(run, axis=1)
    first = np.argmax(run, axis=1)
    since = np.where(count > 0, start_ms + (low + first) * SLOT_MS, 0).astype(np.int64)
    never_lit = last_bright < 0
    # Who was dark the night before, and has not been seen lit since, went then.
    since = np.where(
        (count > 0) & never_lit & (memory.dark_since_ms > 0), memory.dark_since_ms, since
    )
    # Where no light was asked for before the darkness, it began anywhere since it was last lit.
    lit_ms = start_ms + (low + last_bright.astype(np.int64) + 1) * SLOT_MS
    earliest = np.where(~never_lit & (since - lit_ms > UNASKED_MS), lit_ms, since)
    patient = np.where(never_lit & (count < 4), False, count >= 2)
    fresh = any_slot(seen[:, -min(4, width) :])
    dark_for_sure = patient & np.isfinite(memory.own_lx)
    first_ms = start_ms + low * SLOT_MS
    return DarkNow(dark_for_sure, since, earliest, fresh, seen, bright, first_ms)


def silent_now(
    seen_ms: Times, memory: Memory, street: Street, rules: Rules, now_ms: int
) -> tuple[Bools, Bools, Times]:
    """Devices that were heard within a day and then stopped; nobody when most of the city did.

    Returns
    -------
    stopped : bool (n,)
        Long enough to say so.
    hushed : bool (n,)
        Those that missed their turn at least twice.
    seen_ms : int64 (n,)
        When each was last heard.
    """
    seen = np.maximum(seen_ms, memory.last_seen_ms)
    interval_ms = 1000 * np.maximum(np.nan_to_num(street.interval_s, nan=600), 600)
    limit = np.maximum(rules.quick_silent_min * MINUTE_MS, 4 * interval_ms)
    quiet = now_ms - seen
    lately = (seen > 0) & (quiet < 86_400_000)
    stopped = lately & (quiet >= limit)
    # When most of the city stops at once, it is we who do not hear. Switched feeders stop each
    # morning, and are not asked.
    asked = lately & ~(street.mains & street.feeder_switched)
    hushed = lately & (quiet >= 2.5 * interval_ms)
    if (asked & hushed).sum() > 0.5 * max(int(asked.sum()), 1) and street.n >= 8:
        stopped[:] = False
        hushed[:] = False
    return stopped, hushed, seen.astype(np.int64)


def others_silent(
    section: Section, silent: Bools, seen_ms: Times, street: Street, whole: Whole
) -> bool:
    """Whether the gateway, not the feeder, explains a silent section.

    Who has not spoken since the section stopped does not speak for the gateway, however long it
    may be silent by its own interval; who has not spoken at all of late speaks neither for it nor
    against it. The section itself stopped up to an interval after it was last heard.
    """
    rows = section.rows
    wait_ms = 1000 * np.maximum(np.nan_to_num(street.interval_s, nan=600), 600)
    since_ms = section.start_ms + np.maximum(wait_ms, wait_ms[rows].max())
    witness = seen_ms > 0
    quiet = seen_ms <= since_ms
    if silent[rows].mean() < 0.5:
        return False
    gateways = np.unique(street.gateway[rows])
    if gateways[0] < 0:
        rest = np.setdiff1d(np.flatnonzero(witness), rows)
        return bool(quiet[rest].mean() > 0.5) if len(rest) else True
    members = whole.gateway[gateways]
    others = np.setdiff1d(members[members >= 0], rows)
    others = others[witness[others]]
    # With nobody else behind the gateway only time can tell; noon will.
    return bool(quiet[others].mean() > 0.5) if len(others) else True


def gateways_spoke(section: Section, heard_ms: Times, street: Street) -> bool:
    """Whether all gateways of a section have spoken themselves since it stopped for good."""
    gateways = np.unique(street.gateway[section.rows])
    wait_ms = 1000 * max(float(np.nanmax(street.interval_s[section.rows])), 600)
    return bool(gateways[0] >= 0 and (heard_ms[gateways] > section.start_ms + wait_ms).all())


def dark_tunnels(
    dead: Bools, known: Bools, onset: Times, street: Street, found: Sequence[Section]
) -> list[Section]:
    """Tunnels in which every luminaire that is heard of is dark."""
    taken = {int(r) for s in found for r in s.rows}
    out: list[Section] = []
    places = np.unique(street.place[street.tunnel & dead & (street.place >= 0)])
    for place in places:
        inside = np.flatnonzero(street.tunnel & (street.place == place) & known)
        rows = inside[dead[inside]]
        if len(rows) < 2 or len(rows) < len(inside) or taken & {int(r) for r in rows}:
            continue
        segment, feeder = int(street.segment[rows[0]]), int(street.feeder[rows[0]])
        one_segment = segment >= 0 and np.all(street.segment[rows] == segment)
        kind = CauseKind.SEGMENT if one_segment else CauseKind.FEEDER
        cause = segment if one_segment else feeder
        if cause >= 0:
            out.append(Section(rows.astype(np.int32), kind, cause, int(np.median(onset[rows]))))
    return out
