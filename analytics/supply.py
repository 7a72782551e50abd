"""Loss of supply: sections, feeders and cabinets that went together, not their gateway."""

import numpy as np

from analytics.cause import Section, dead_sections, share_of_feeder
from analytics.coincidence import one_matter, same_moment
from analytics.findings import FindingKind
from analytics.grid import HOUR_MS, SLOT_MS, SLOTS, Bools, Ints, Times, any_slot
from analytics.judge import Judge
from analytics.memory import KIND_AT
from analytics.silence import expected_slots, silent_tonight

__all__ = ["settle_supply"]

BLACK = 0.2  # of its own level: without supply the neighbours are dark as well
WITNESSES = 3
LONG_GAP = 18  # slots: three hours, more than losses make
GATEWAYS_SHARE = 0.8  # of a section behind gateways that are down


def settle_supply(judge: Judge) -> None:
    """Sections, feeders and cabinets that went together."""
    memory, street = judge.memory, judge.street
    known_now = judge.night.n_known > 0
    # Who speaks again by noon has its supply back, however little it said before.
    stopped = not_heard_lately(judge)
    silent = silent_tonight(judge.night, street) & (memory.heard_nights > 1)
    silent = (silent | (judge.night.n_heard > 0)) & stopped & street.mains
    heard_once = (memory.heard_nights > 1) & (memory.last_seen_ms > 0)
    silent = np.where(judge.asleep, judge.unheard & heard_once, silent)
    silent |= never_heard_feeders(judge)
    if judge.deaf:
        silent[:] = False
    stands = judge.reports.stands(FindingKind.SUPPLY_LOSS, judge.end_ms)
    # Most of a feeder dark for the last hours before dawn, and still talking: its clock may be
    # wrong as well as its supply. The next night tells; a last gasp, or silence, tells at once.
    brief = judge.darkness.brief & ~judge.is_open(FindingKind.SUPPLY_LOSS)
    judge.waits = brief & (share_of_feeder(brief, judge.onset(), known_now, street) > 0.3)
    waits = judge.waits & (judge.night.last_gasp == 0)
    dead = (judge.darkness.dead & ~waits) | silent | stands
    dark_onset = judge.onset()
    first_ms = judge.end_ms - (memory.nights_judged + 1) * 24 * HOUR_MS
    onset = np.where(silent, np.maximum(memory.last_seen_ms, first_ms), dark_onset)
    stuck = judge.is_open(FindingKind.SENSOR_STUCK)
    usable = ~judge.planned & ~stuck
    # Who was dark from dusk on may have gone at any time since the morning.
    by_day = ~silent & (onset == judge.start_ms)
    latest = np.where(by_day, judge.start_ms + 10 * HOUR_MS, onset)
    earliest = np.where(by_day, judge.start_ms - 12 * HOUR_MS, onset)
    # Where no light was asked for before the darkness, it began anywhere since it was last lit.
    lit = judge.night.last_lit_ms
    unasked = ~silent & (lit > 0) & (onset - lit > HOUR_MS)
    earliest = np.where(unasked, lit + SLOT_MS, earliest)
    found = dead_sections(
        dead,
        latest,
        usable,
        street,
        judge.whole,
        judge.rules,
        earliest=earliest,
        unheard=silent,
    )
    found = one_matter(found, street)
    found = [s for s in found if not gateway_explains(judge, s, silent)]
    found = with_unregistered(judge, found, dead & usable, silent, latest, earliest)
    flag = np.zeros(street.n, dtype=bool)
    for section in found:
        flag[section.rows] = True
    # A member of an open section that is still dead stays in it.
    was = memory.raised[:, KIND_AT[FindingKind.SUPPLY_LOSS]]
    flag |= was & dead & ~left_over(judge, was, dead)
    known = judge.darkness.known | silent
    clear = (judge.darkness.lit & ~dead) | (was & ~flag & dead)
    evidence = {"dark_readings": judge.night.n_dark.astype(np.float32)}
    for row in np.flatnonzero(flag):
        fold_into_section(judge, int(row), found)
    judge.settle(
        FindingKind.SUPPLY_LOSS, flag, known, clear, onset, sections=found, evidence=evidence
    )


def with_unregistered(
    judge: Judge, found: list[Section], dead: Bools, silent: Bools, latest: Times, earliest: Times
) -> list[Section]:
    """Sections and what went with them, or by itself, though the registry knows of no link."""
    left = dead.copy()
    for section in found:
        left[section.rows] = False
    left &= ~any_slot(judge.memory.raised) & (latest > judge.start_ms - 14 * HOUR_MS)
    with np.errstate(invalid="ignore"):
        black = (np.exp(judge.levels.raw) < BLACK) | (judge.night.tail_level < BLACK)
    # Where a gateway is known its own silence is told from a loss of supply.
    quiet = left & silent & (judge.street.gateway < 0)
    extra = same_moment(left & ~silent & black, quiet, latest, earliest, judge.street)
    return one_matter([*found, *extra], judge.street)


def never_heard_feeders(judge: Judge) -> Bools:
    """Mains-fed luminaires of feeders that never spoke, after two nights of the others."""
    memory, street = judge.memory, judge.street
    never = memory.last_seen_ms == 0
    out = np.zeros(street.n, dtype=bool)
    on_feeder = street.feeder >= 0
    if memory.nights_judged < 2 or never.mean() > 0.5 or not (never & on_feeder).any():
        return out
    size = len(judge.whole.feeder)
    silent = np.bincount(street.feeder[never & on_feeder], minlength=size)
    members = np.bincount(street.feeder[on_feeder], minlength=size)
    dead = (silent == members) & (members >= judge.rules.section)
    found: Bools = never & street.mains & on_feeder & dead[np.maximum(street.feeder, 0)]
    return found


def left_over(judge: Judge, was: Bools, dead: Bools) -> Bools:
    """Members still dead though most of their section is back: they have their own fault."""
    back: dict[str, list[int]] = {}
    for row in np.flatnonzero(was):
        episode = judge.memory.open.get((int(row), KIND_AT[FindingKind.SUPPLY_LOSS]))
        if episode is not None:
            back.setdefault(episode.incident, []).append(int(row))
    out = np.zeros(judge.street.n, dtype=bool)
    for members in back.values():
        rows = np.array(members)
        if dead[rows].sum() <= 2 and len(rows) >= 3:
            out[rows[dead[rows]]] = True
    return out


def not_heard_lately(judge: Judge) -> Bools:
    """Devices that have said nothing for the last hour, or six of their intervals."""
    quiet_ms = np.maximum(6000 * np.nan_to_num(judge.street.interval_s, nan=600), HOUR_MS)
    return judge.end_ms - judge.memory.last_seen_ms > quiet_ms


def gateway_explains(judge: Judge, section: Section, silent: Bools) -> bool:
    """Whether a silent section fell silent with everybody else behind its gateways."""
    rows = section.rows
    if silent[rows].mean() <= 0.95:
        return False
    of = judge.street.gateway[rows]
    if of[0] < 0:
        return others_stopped_too(judge, section, silent)
    explained = [g for g in np.unique(of[of >= 0]) if one_gateway_explains(judge, section, int(g))]
    return bool(np.isin(of, explained).mean() > GATEWAYS_SHARE)


def one_gateway_explains(judge: Judge, section: Section, gateway: int) -> bool:
    """Whether everybody else behind this gateway is silent as well."""
    rows = section.rows
    if judge.gateways_heard is not None:
        # What it says itself is worth more than who else is silent.
        spoke_ms = int(judge.gateways_heard()[gateway])
        if spoke_ms > section.start_ms + HOUR_MS:
            return False
    members = judge.whole.gateway[gateway]
    others = np.setdiff1d(members[members >= 0], rows)
    seen = judge.memory.last_seen_ms
    others = others[seen[others] > 0]
    # Who is switched off by day can only testify by having spoken later.
    later = seen[others] > section.start_ms + HOUR_MS // 4
    others = others[~judge.asleep[others] | judge.unheard[others] | later]
    # Who has a battery would go on speaking through a gateway that works, whatever the supply.
    free = others[~judge.street.mains[others]]
    others = free if len(free) >= WITNESSES else others
    if not len(others):
        # Nobody else could tell: without a last gasp the gateway is as likely, and costs less.
        return not bool((judge.night.last_gasp[rows] > 0).any())
    # Who has not spoken since the section stopped, or began to again with half of the gap behind
    # it: a gateway that comes back hands over one device after another.
    wait_ms = 1000 * np.maximum(np.nan_to_num(judge.street.interval_s, nan=600), 600)
    since_ms = section.start_ms + np.maximum(wait_ms[others], wait_ms[rows].max())
    gone = (judge.end_ms - seen[others] > HOUR_MS) | (seen[others] <= since_ms)
    gone |= missed_as_much(judge, section, others)
    gone = np.where(judge.asleep[others], judge.unheard[others], gone)
    if judge.asleep[rows].mean() > 0.5:
        # The others may have come back by day, which a switched feeder cannot: what they missed
        # of the night is compared.
        missing = judge.night.n_lit - judge.night.n_known
        much = 0.7 * np.median(missing[rows])
        gone |= (judge.night.n_lux[others] > 0) & (missing[others] >= much)
    return bool(gone.mean() > 0.5)


def missed_as_much(judge: Judge, section: Section, others: Ints) -> Bools:
    """Others that were unheard for most of the time that the section has been, though not now."""
    slots = (judge.end_ms - section.start_ms) / SLOT_MS
    if not LONG_GAP <= slots <= SLOTS:
        return np.zeros(len(others), dtype=bool)
    share = judge.night.n_heard / np.minimum(expected_slots(judge.street, 24.0), SLOTS)
    more = share[others] - np.median(share[section.rows])
    found: Bools = more < 0.5 * slots / SLOTS
    return found


def others_stopped_too(judge: Judge, section: Section, silent: Bools) -> bool:
    """Whether, where no gateway is known, devices on other feeders stopped at that moment."""
    rows, street, seen = section.rows, judge.street, judge.memory.last_seen_ms
    if (judge.night.last_gasp[rows] > 0).any():
        return False
    same_feeder = (street.feeder >= 0) & np.isin(street.feeder, street.feeder[rows])
    apart = (street.gateway < 0) & ~same_feeder & (seen > 0)
    apart[rows] = False
    with_it = apart & silent & (np.abs(seen - int(np.median(seen[rows]))) < HOUR_MS // 2)
    return int(with_it.sum()) >= 3


def fold_into_section(judge: Judge, row: int, found: list[Section]) -> None:
    """A lone order that is already out on a member becomes the section's."""
    for kind in (FindingKind.LAMP_FAILURE, FindingKind.COMMUNICATION_FAILURE):
        if (row, KIND_AT[kind]) in judge.memory.open:
            section = next((s for s in found if row in s.rows), None)
            if section is None:
                continue
            episode = judge.memory.open[row, KIND_AT[kind]]
            if episode.start_ms < section.start_ms - 24 * HOUR_MS:
                continue
            episode.end_ms = judge.end_ms
            episode.note = "turned out to be a loss of supply"
