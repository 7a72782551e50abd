"""One night judged after another: from features to findings, causes before single luminaires."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from analytics.cause import (
    Section,
    Whole,
    dark_rows,
    dead_sections,
    gateways_down,
    incident_key,
    share_of_feeder,
    unnamed_gateways,
)
from analytics.coincidence import joined_with_sections, same_moment
from analytics.confidence import confidence_of
from analytics.cycling import judge_cycling
from analytics.day_and_night import course_of_leaves
from analytics.day_burning import judge_day_burning
from analytics.daylight import group_medians
from analytics.depreciation import (
    additive,
    all_night,
    below_own_scatter,
    explained_by_neighbour,
    slow_loss,
    without_stray_light,
)
from analytics.device_events import Reports
from analytics.findings import SENSOR_CREW, CauseKind, FindingKind
from analytics.grid import Bools, Floats, Ints, Times, any_slot, window_start
from analytics.habits import learned_habit
from analytics.hysteresis import count_night
from analytics.levels import Levels, derive_levels, first_nights, spread
from analytics.memory import KIND_AT, KINDS, Episode, Memory, remember
from analytics.neighbours import without_neighbours
from analytics.nights import Night
from analytics.outage import Darkness, judge_darkness
from analytics.rules import Rules
from analytics.sensor_faults import Verdict, judge_stuck, whose_fault
from analytics.silence import silent_devices, silent_tonight
from analytics.street import Street, padded_groups
from analytics.switching import judge_switching, one_clock
from analytics.vegetation import leaves_cost_class
from analytics.weather import learn_answers

__all__ = ["Circumstances", "judge_night"]

K = FindingKind
HOUR_MS = 3_600_000

NameOf = Callable[[CauseKind, int], str]


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
    """

    now_ms: int
    planned: Bools
    reports: Reports
    name_of: NameOf
    fresh: Mapping[str, Bools] = field(default_factory=dict)
    class_lx: Floats | None = None


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
    note_maintenance(memory, about, number)
    levels = derive_levels(night, memory, street)
    outdoor = ~street.tunnel & ~any_slot(memory.raised) & (night.n_lux > 0)
    learn_answers(memory, levels.raw, outdoor, rules)
    darkness = judge_darkness(night, levels, memory, rules)
    # The lamp's own darkness is judged with its neighbours' light as it is; its slower changes
    # without.
    lost = KIND_AT[K.SUPPLY_LOSS], KIND_AT[K.LAMP_FAILURE]
    dark_now = darkness.dead | (memory.raised[:, lost].any(axis=1) & ~darkness.lit)
    blind = darkness.sensor_side
    alone = without_neighbours(levels.own, levels.raw, dark_now & ~blind, blind, memory, street)
    push(memory, night, levels, alone, street)
    end_ms = window_start(number + 1)
    follow_darkness(memory, night, darkness, window_start(number))

    judge = Judge(memory, night, levels, darkness, street, whole, rules, about, number, end_ms)
    judge.stuck()
    judge.supply()
    judge.gateways()
    judge.silence()
    judge.weather()
    judge.day_burning()
    judge.cycling()
    judge.switching()
    judge.lamp_failure()
    judge.level_kinds()
    learn(memory, night, levels, judge.suspect, street)
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


def note_maintenance(memory: Memory, about: Circumstances, number: int) -> None:
    """After a logged swap or cleaning the luminaire is learned anew; until then it has no level."""
    for action in ("sensor_swap", "lamp_swap", "cleaned", "repaired"):
        rows = about.fresh.get(action)
        if rows is None or not rows.any():
            continue
        forget = [
            memory.ref_lux,
            memory.ref_dim,
            memory.ref_late,
            memory.ref_level,
            memory.ref_surplus,
        ]
        if action == "lamp_swap":
            forget.append(memory.ref_power)
        if action in ("sensor_swap", "cleaned"):
            forget += [memory.ref_am, memory.ref_pm]
            memory.share[rows] = np.nan
        for buffer in forget:
            buffer[rows] = np.nan
        for history in (memory.levels, memory.late_levels, memory.responses):
            history[rows] = np.nan
        memory.frozen[rows] = False
        memory.learn_from[rows] = number + 1


@dataclass(slots=True)
class Judge:
    """One night's verdicts, kind by kind; a finding takes its luminaire, later kinds leave it."""

    memory: Memory
    night: Night
    levels: Levels
    darkness: Darkness
    street: Street
    whole: Whole
    rules: Rules
    about: Circumstances
    number: int
    end_ms: int
    taken: Bools = field(init=False)
    suspect: Bools = field(init=False)
    held: Bools = field(init=False)
    doubt: Bools = field(init=False)
    waits: Bools = field(init=False)
    asleep: Bools = field(init=False)
    unheard: Bools = field(init=False)
    deaf: bool = field(init=False)

    def __post_init__(self) -> None:
        self.taken = self.about.planned.copy()
        self.suspect = self.about.planned.copy()
        self.held = np.zeros(self.street.n, dtype=bool)
        self.doubt = np.zeros(self.street.n, dtype=bool)
        self.waits = np.zeros(self.street.n, dtype=bool)
        seen = self.memory.last_seen_ms
        heard_before = seen > self.start_ms - 24 * HOUR_MS
        gone = heard_before & (self.end_ms - seen > 2 * HOUR_MS)
        self.asleep = self.street.mains & self.street.feeder_switched
        self.unheard = self.unheard_at_night()
        # A switched feeder carries nothing by day: it is asked only where there is nobody else, and
        # then about its night.
        asked = heard_before & ~self.asleep
        if asked.sum() < 8:
            asked = heard_before
            gone = np.where(self.asleep, heard_before & self.unheard, gone)
        # When most of the city stops at once, it is we who do not hear.
        many = (gone & asked).sum() > 0.5 * max(int(asked.sum()), 1)
        self.deaf = bool(many) and self.street.n >= 8

    @property
    def start_ms(self) -> int:
        """Noon at which the window began."""
        return self.end_ms - 24 * HOUR_MS

    def unheard_at_night(self) -> Bools:
        """Luminaires of switched feeders that were silent while their feeder should have fed them.

        All night, or from three hours before the others of their kind were switched off; less may
        be a clock that is wrong.
        """
        night = self.night
        out: Bools = self.asleep & (night.n_heard == 0) & (night.n_lit >= 12)
        heard = self.asleep & (night.n_heard > 0)
        if heard.sum() >= 2 * self.rules.section:
            off_ms = np.quantile(night.last_seen_ms[heard], 0.9)
            out |= heard & (night.last_seen_ms < off_ms - 3 * HOUR_MS)
        return out

    def onset(self) -> Times:
        """When a darkness began: where known its first reading, else the start of the night."""
        return np.where(self.memory.dark_since_ms > 0, self.memory.dark_since_ms, self.start_ms)

    def is_open(self, *kinds: FindingKind) -> Bools:
        """Luminaires with an open finding of one of these kinds."""
        return any_slot(self.memory.raised[:, [KIND_AT[k] for k in kinds]])

    def settle(
        self,
        kind: FindingKind,
        flag: Bools,
        known: Bools,
        clear: Bools,
        onset_ms: Times,
        *,
        need: Ints | int | None = None,
        takes: bool = True,
        sections: list[Section] | None = None,
        evidence: Mapping[str, Floats] | None = None,
    ) -> None:
        """Count the night, open and end findings, and take the luminaires concerned."""
        planned = self.about.planned
        before = self.memory.raised[:, KIND_AT[kind]].copy()
        raised, ended = count_night(
            self.memory,
            kind,
            flag & ~planned,
            known & ~planned,
            clear & ~planned,
            onset_ms,
            need=need,
        )
        of_row = {int(r): s for s in sections or [] for r in s.rows}
        for row in raised:
            self.raise_one(int(row), kind, of_row.get(int(row)), evidence or {})
        for row in ended:
            self.end_one(int(row), kind)
        now_open = self.memory.raised[:, KIND_AT[kind]]
        self.suspect |= flag | now_open
        if takes:
            # The night in which a fault ends is still partly the fault's.
            self.taken |= flag | now_open | before

    def raise_one(
        self, row: int, kind: FindingKind, section: Section | None, evidence: Mapping[str, Floats]
    ) -> None:
        """Open a finding; its incident is the section's, or the one already out on it."""
        start = int(self.memory.onset_ms[row, KIND_AT[kind]])
        if section is None:
            cause_kind = CauseKind.SENSOR if kind in SENSOR_CREW else CauseKind.LUMINAIRE
            cause = row
            incident = self.incident_on(row) or incident_key(
                kind, cause_kind, self.about.name_of(cause_kind, cause), start
            )
        else:
            cause_kind, cause, start = section.cause_kind, section.cause, section.start_ms
            incident = self.incident_of(section, kind)
        numbers = {name: float(values[row]) for name, values in evidence.items()}
        numbers = {name: value for name, value in numbers.items() if np.isfinite(value)}
        self.memory.open[row, KIND_AT[kind]] = Episode(
            row,
            kind,
            start,
            self.about.now_ms,
            incident,
            cause_kind,
            cause,
            confidence=confidence_of(kind, cause_kind, numbers),
            evidence=numbers,
        )

    def incident_on(self, row: int) -> str:
        """Incident of an open finding on the luminaire: a kind is revised inside its incident."""
        for k in range(len(KINDS)):
            if (row, k) in self.memory.open:
                return self.memory.open[row, k].incident
        return ""

    def incident_of(self, section: Section, kind: FindingKind) -> str:
        """Incident of a section: the one already out on a member; no second order goes out."""
        members = {int(r) for r in section.rows}
        out = [
            e
            for (row, _), e in self.memory.open.items()
            if row in members
            and (
                e.cause_kind == section.cause_kind or e.start_ms >= section.start_ms - 48 * HOUR_MS
            )
        ]
        grouped = [e for e in out if e.cause_kind not in (CauseKind.LUMINAIRE, CauseKind.SENSOR)]
        if grouped or out:
            return min(grouped or out, key=lambda e: (e.raised_ms, e.incident)).incident
        name = self.about.name_of(section.cause_kind, section.cause)
        return incident_key(kind, section.cause_kind, name, section.start_ms)

    def end_one(self, row: int, kind: FindingKind) -> None:
        """Close a finding at the first light of the night that showed it."""
        episode = self.memory.open.pop((row, KIND_AT[kind]), None)
        if episode is None:
            return
        lit = int(self.night.first_lit_ms[row])
        seen = lit if lit > episode.start_ms else int(self.night.last_seen_ms[row])
        episode.end_ms = max(seen, episode.start_ms + 1)
        self.memory.closed.append(episode)
        self.memory.closed_night[row] = self.number

    # --- kinds, in order -------------------------------------------------------------------------

    def stuck(self) -> None:
        """Sensors that hold one value by day and night."""
        stuck, moving = judge_stuck(self.night, self.memory, self.street, self.rules)
        known = self.night.n_lux > 0
        since = self.night.equal_since_ms
        count = self.night.equal_count.astype(np.float32)
        value = self.night.equal_value
        evidence = {"equal_readings": count, "value_lx": value}
        self.settle(K.SENSOR_STUCK, stuck, known, moving, since, evidence=evidence)

    def supply(self) -> None:
        """Sections, feeders and cabinets that went together."""
        memory, street = self.memory, self.street
        known_now = self.night.n_known > 0
        silent = silent_tonight(self.night, street) & street.mains & (memory.heard_nights > 1)
        silent |= self.fell_silent() & street.mains
        heard_once = (memory.heard_nights > 1) & (memory.last_seen_ms > 0)
        silent = np.where(self.asleep, self.unheard & heard_once, silent)
        silent |= self.never_heard_feeders()
        if self.deaf:
            silent[:] = False
        stands = self.about.reports.stands(K.SUPPLY_LOSS, self.end_ms)
        # Most of a feeder dark for the last hours before dawn, and still talking: its clock may be
        # wrong as well as its supply. The next night tells; a last gasp, or silence, tells at once.
        brief = self.darkness.brief & ~self.is_open(K.SUPPLY_LOSS)
        self.waits = brief & (share_of_feeder(brief, self.onset(), known_now, street) > 0.3)
        waits = self.waits & (self.night.last_gasp == 0)
        dead = (self.darkness.dead & ~waits) | silent | stands
        dark_onset = self.onset()
        first_ms = self.end_ms - (memory.nights_judged + 1) * 24 * HOUR_MS
        onset = np.where(silent, np.maximum(memory.last_seen_ms, first_ms), dark_onset)
        stuck = self.is_open(K.SENSOR_STUCK)
        usable = ~self.about.planned & ~stuck
        # Who was dark from dusk on may have gone at any time since the morning.
        by_day = ~silent & (onset == self.start_ms)
        latest = np.where(by_day, self.start_ms + 10 * HOUR_MS, onset)
        earliest = np.where(by_day, self.start_ms - 12 * HOUR_MS, onset)
        found = dead_sections(
            dead, latest, usable, street, self.whole, self.rules, earliest=earliest
        )
        found = [s for s in found if not self.gateway_explains(s, silent)]
        found = self.with_unregistered(found, dead & usable, silent, latest, earliest)
        flag = np.zeros(street.n, dtype=bool)
        for section in found:
            flag[section.rows] = True
        # A member of an open section that is still dead stays in it.
        was = memory.raised[:, KIND_AT[K.SUPPLY_LOSS]]
        flag |= was & dead & ~self.left_over(was, dead)
        known = self.darkness.known | silent
        clear = (self.darkness.lit & ~dead) | (was & ~flag & dead)
        evidence = {"dark_readings": self.night.n_dark.astype(np.float32)}
        for row in np.flatnonzero(flag):
            self.fold_into_section(int(row), found)
        self.settle(K.SUPPLY_LOSS, flag, known, clear, onset, sections=found, evidence=evidence)

    def with_unregistered(
        self, found: list[Section], dead: Bools, silent: Bools, latest: Times, earliest: Times
    ) -> list[Section]:
        """Sections and what went with them, or by itself, though the registry knows of no link."""
        left = dead.copy()
        for section in found:
            left[section.rows] = False
        left &= ~any_slot(self.memory.raised) & (latest > self.start_ms - 14 * HOUR_MS)
        with np.errstate(invalid="ignore"):
            black = (np.exp(self.levels.raw) < BLACK) | (self.night.tail_level < BLACK)
        # Where a gateway is known its own silence is told from a loss of supply.
        quiet = left & silent & (self.street.gateway < 0)
        extra = same_moment(left & ~silent & black, quiet, latest, earliest, self.street)
        return joined_with_sections(found, extra, self.street)

    def never_heard_feeders(self) -> Bools:
        """Mains-fed luminaires of feeders that never spoke, after two nights of the others."""
        memory, street = self.memory, self.street
        never = memory.last_seen_ms == 0
        out = np.zeros(street.n, dtype=bool)
        if memory.nights_judged < 2 or never.mean() > 0.5 or not never.any():
            return out
        on_feeder = street.feeder >= 0
        size = len(self.whole.feeder)
        silent = np.bincount(street.feeder[never & on_feeder], minlength=size)
        members = np.bincount(street.feeder[on_feeder], minlength=size)
        dead = (silent == members) & (members >= self.rules.section)
        found: Bools = never & street.mains & on_feeder & dead[np.maximum(street.feeder, 0)]
        return found

    def left_over(self, was: Bools, dead: Bools) -> Bools:
        """Members still dead though most of their section is back: they have their own fault."""
        back: dict[str, list[int]] = {}
        for row in np.flatnonzero(was):
            episode = self.memory.open.get((int(row), KIND_AT[K.SUPPLY_LOSS]))
            if episode is not None:
                back.setdefault(episode.incident, []).append(int(row))
        out = np.zeros(self.street.n, dtype=bool)
        for members in back.values():
            rows = np.array(members)
            if dead[rows].sum() <= 2 and len(rows) >= 3:
                out[rows[dead[rows]]] = True
        return out

    def fell_silent(self) -> Bools:
        """Devices that spoke in this window and then stopped for at least an hour."""
        quiet_ms = np.maximum(6000 * np.nan_to_num(self.street.interval_s, nan=600), HOUR_MS)
        return (self.night.n_heard > 0) & (self.end_ms - self.memory.last_seen_ms > quiet_ms)

    def gateway_explains(self, section: Section, silent: Bools) -> bool:
        """Whether everybody else behind the section's gateway is silent as well."""
        rows = section.rows
        if silent[rows].mean() <= 0.95:
            return False
        gateways = np.unique(self.street.gateway[rows])
        if gateways[0] < 0:
            return self.others_stopped_too(section, silent)
        if len(gateways) != 1:
            return False
        members = self.whole.gateway[gateways[0]]
        others = np.setdiff1d(members[members >= 0], rows)
        seen = self.memory.last_seen_ms
        others = others[seen[others] > 0]
        # Who is switched off by day can only testify by having spoken later.
        later = seen[others] > section.start_ms + HOUR_MS // 4
        others = others[~self.asleep[others] | self.unheard[others] | later]
        if not len(others):
            # Nobody else could tell: without a last gasp the gateway is as likely, and costs less.
            return not bool((self.night.last_gasp[rows] > 0).any())
        gone = self.end_ms - self.memory.last_seen_ms[others] > HOUR_MS
        gone = np.where(self.asleep[others], self.unheard[others], gone)
        if self.asleep[rows].mean() > 0.5:
            # The others may have come back by day, which a switched feeder cannot: what they missed
            # of the night is compared.
            missing = self.night.n_lit - self.night.n_known
            much = 0.7 * np.median(missing[rows])
            gone |= (self.night.n_lux[others] > 0) & (missing[others] >= much)
        return bool(gone.mean() > 0.5)

    def others_stopped_too(self, section: Section, silent: Bools) -> bool:
        """Whether, where no gateway is known, devices on other feeders stopped at that moment."""
        rows, street, seen = section.rows, self.street, self.memory.last_seen_ms
        if (self.night.last_gasp[rows] > 0).any():
            return False
        same_feeder = (street.feeder >= 0) & np.isin(street.feeder, street.feeder[rows])
        apart = (street.gateway < 0) & ~same_feeder & (seen > 0)
        apart[rows] = False
        with_it = apart & silent & (np.abs(seen - int(np.median(seen[rows]))) < HOUR_MS // 2)
        return int(with_it.sum()) >= 3

    def fold_into_section(self, row: int, found: list[Section]) -> None:
        """A lone order that is already out on a member becomes the section's."""
        for kind in (K.LAMP_FAILURE, K.COMMUNICATION_FAILURE):
            if (row, KIND_AT[kind]) in self.memory.open:
                section = next((s for s in found if row in s.rows), None)
                if section is None:
                    continue
                episode = self.memory.open[row, KIND_AT[kind]]
                if episode.start_ms < section.start_ms - 24 * HOUR_MS:
                    continue
                episode.end_ms = self.end_ms
                episode.note = "turned out to be a loss of supply"

    def gateways(self) -> None:
        """Gateways behind which nearly everybody fell silent."""
        memory = self.memory
        silent = (memory.last_seen_ms > 0) & (
            self.end_ms - memory.last_seen_ms >= self.rules.gateway_silent_h * HOUR_MS - 600_000
        )
        silent &= ~self.is_open(K.SUPPLY_LOSS)
        if self.deaf:
            silent[:] = False
        heard = memory.last_seen_ms > 0
        found = gateways_down(silent, memory.last_seen_ms, heard, self.street, self.whole)
        found += unnamed_gateways(silent & heard, memory.last_seen_ms, self.street)
        self.gateway_sections = found + self.gateways_never_heard()

    def gateways_never_heard(self) -> list[Section]:
        """Gateways of the registry behind which nobody ever spoke, while most of the city does.

        A single luminaire that never spoke is not yet there; a whole gateway full of them is down.
        """
        memory = self.memory
        never = memory.last_seen_ms == 0
        if memory.nights_judged < 2 or never.mean() > 0.5:
            return []
        start = self.start_ms - int(memory.nights_judged) * 24 * HOUR_MS
        since = np.full(self.street.n, start, dtype=np.int64)
        return [
            s
            for s in gateways_down(never, since, ~self.about.planned, self.street, self.whole)
            if len(s.rows) >= 8
        ]

    def silence(self) -> None:
        """Devices without a reading for a day, the whole gateway's together."""
        memory = self.memory
        silent = silent_devices(memory, memory.last_seen_ms, self.street, self.rules, self.end_ms)
        silent &= ~self.is_open(K.SUPPLY_LOSS)
        if self.deaf:
            silent[:] = False
        for section in self.gateway_sections:
            silent[section.rows] = True
        heard = self.night.n_heard >= 2
        always = np.ones(self.street.n, dtype=bool)
        onset = memory.last_seen_ms
        hours = ((self.end_ms - memory.last_seen_ms) / HOUR_MS).astype(np.float32)
        self.settle(
            K.COMMUNICATION_FAILURE,
            silent & ~heard,
            always,
            heard,
            onset,
            sections=self.gateway_sections,
            evidence={"silent_h": hours},
        )

    def weather(self) -> None:
        """Hold what rests on light alone where the weather may be the reason.

        Many that go low, or end the night dark, at once are snowed on or wet: they are held as
        long as they stay low, six nights at most, and those nights say nothing about their level.
        For three nights the others are in doubt too, unless daylight says that their dome is free.
        Sensors that fell so three times answer the weather (they look down at the road, say): they
        no longer count as a sign of it.
        """
        memory, rules, night = self.memory, self.rules, self.night
        with np.errstate(invalid="ignore"):
            low = (self.levels.own < -0.22) | (self.levels.response_step < -0.25)
            # Snow on the ground sends light up to sensors that look down, by night and by day.
            high = (self.levels.own > 0.30) & ~(self.levels.response_step < 0.1)
            # Snow and rain do not brighten the day, and do not take most of the light and leave it.
            spared = self.levels.response_step > 2 * FREE_DOME
            spared |= (self.levels.response_step > -FREE_DOME) & (self.levels.own < DEEP_LOSS)
        # Before a level is learned the registry's word is no measure of a change; a dark end is.
        low &= memory.frozen
        high &= memory.frozen
        low |= (night.tail_h >= rules.sure_tail_h) & (night.n_tail >= 3)
        low = (low & ~spared) | high
        seen = np.isfinite(self.levels.own) | np.isfinite(self.levels.response)
        outdoor = ~self.street.tunnel & ~self.is_open(K.SUPPLY_LOSS) & (night.n_lux > 0)
        outdoor &= memory.weather_falls < ANSWERS_WEATHER
        new = low & ~memory.was_low & outdoor & ~self.taken
        many = new.sum() > max(rules.weather_share * outdoor.sum(), 5)
        if many:
            memory.hold_until = self.number + 3
            memory.weather_falls[new] += 1
            memory.weather_nights[new] = 1
        memory.was_low = np.where(seen, low, memory.was_low)
        fallen = (memory.weather_nights > 0) & memory.was_low
        fallen &= memory.weather_nights <= LONGEST_WEATHER
        memory.weather_nights = np.where(fallen, memory.weather_nights + 1, 0).astype(np.int32)
        for history in (memory.levels, memory.late_levels, memory.responses):
            history[fallen, -1] = np.nan
        self.held = fallen.copy()
        if memory.hold_until >= self.number:
            with np.errstate(invalid="ignore"):
                free = np.abs(self.levels.response_step) < FREE_DOME
            self.held |= ~self.street.tunnel & ~free
            self.doubt = ~self.street.tunnel

    def lamp_failure(self) -> None:
        """Lamps that are out."""
        memory, night = self.memory, self.night
        stands = self.about.reports.stands(K.LAMP_FAILURE, self.end_ms)
        no_light = memory.lux_nights == 0
        failing = (night.n_failed >= 2) & (night.n_failed >= 0.5 * night.n_status)
        by_report = no_light & (stands | failing) & ~(night.power_dark < 0.5)
        with np.errstate(invalid="ignore"):
            black = (np.exp(self.levels.own) < 0.10) & (np.abs(self.levels.response) < 0.2)
        passes = ~self.held | (night.power_dark > 0.75) | black
        flag = (self.darkness.out & passes & ~self.taken & ~self.waits) | (by_report & ~self.taken)
        known = (self.darkness.known & passes) | no_light
        clear = self.darkness.lit | (no_light & ~stands & ~failing)
        onset = self.onset()
        reported = self.about.reports.onset_ms(K.LAMP_FAILURE)
        onset = np.where(by_report & (reported > 0), reported, onset)
        share = (night.n_dark / np.maximum(night.n_known, 1)).astype(np.float32)
        evidence = {
            "dark_share": share,
            "level": np.exp(self.levels.own),
            "daylight": np.exp(self.levels.response),
        }
        # Three and more that failed side by side on the same night are one matter, whatever it is.
        new = flag & ~self.is_open(K.LAMP_FAILURE) & (onset >= self.start_ms - 24 * HOUR_MS)
        rows = dark_rows(new, self.street, self.whole, 3)
        rows += dark_rows(flag, self.street, self.whole, self.rules.row)
        grouped = [
            Section(r, CauseKind.SEGMENT, int(self.street.segment[r[0]]), int(onset[r].min()))
            for r in rows
            if self.street.segment[r[0]] >= 0
        ]
        # In the first nights neither daylight nor its own level tells a lamp from snow, which comes
        # to several at once.
        unsure = ~memory.frozen & ~self.street.tunnel & np.isnan(self.levels.response)
        unsure &= flag & ~(night.power_dark > 0.3) & ~by_report
        unsure &= unsure.sum() >= 3
        waits = (self.in_company(flag) | unsure) & ~self.is_open(K.LAMP_FAILURE)
        need = np.where(waits, 2, 1)
        for section in grouped:
            need[section.rows] = 1
        self.settle(
            K.LAMP_FAILURE,
            flag,
            known,
            clear,
            onset,
            need=need.astype(np.int32),
            sections=grouped,
            evidence=evidence,
        )

    def in_company(self, flag: Bools) -> Bools:
        """Lone failures that may be part of something bigger, and wait one round for it.

        Both cable neighbours seen lit prove that it is not; two or more of the nearest four dark,
        silent or unknown say that it may be.
        """
        left, right = self.street.left, self.street.right
        lit = np.append(self.darkness.lit, False)
        lost = np.append((flag | self.darkness.dead | ~self.darkness.known), False)
        proved = lit[left] & lit[right]
        two_left = np.where(left >= 0, np.append(left, -1)[left], -1)
        two_right = np.where(right >= 0, np.append(right, -1)[right], -1)
        nearest = np.stack([left, right, two_left, two_right])
        company: Bools = flag & ~proved & (np.count_nonzero(lost[nearest], axis=0) >= 2)
        return company

    def day_burning(self) -> None:
        """Lamps that burn by day."""
        burning, dark, known, ratio = judge_day_burning(
            self.night, self.memory, self.street, self.rules
        )
        watts = np.isfinite(self.night.power_day)
        onset = np.full(self.street.n, self.start_ms, dtype=np.int64)
        told, blind = self.told(K.LAMP_UNEXPECTED_ON, ~watts)
        self.settle(
            K.LAMP_UNEXPECTED_ON,
            (burning | told) & ~self.taken,
            (known & (watts | ~(self.held | self.doubt))) | blind,
            np.where(blind, ~told, dark),
            onset,
            need=np.where(told, 1, np.where(watts, 2, 3)).astype(np.int32),
            takes=False,
            evidence={"by_day": ratio},
        )

    def told(self, kind: FindingKind, unseen: Bools | None = None) -> tuple[Bools, Bools]:
        """Faults that devices without a light sensor report themselves, and who those devices are.

        Parameters
        ----------
        kind : FindingKind
        unseen : bool (n,), optional
            Where nothing else measures this kind; everywhere where not given.
        """
        blind = self.memory.lux_nights == 0
        if unseen is not None:
            blind &= unseen
        return blind & self.about.reports.stands(kind, self.end_ms), blind

    def cycling(self) -> None:
        """Lamps that go out and come back."""
        cycling, steady = judge_cycling(self.night, self.memory, self.street)
        onset = np.full(self.street.n, self.start_ms + 6 * HOUR_MS, dtype=np.int64)
        known = (self.night.n_known >= 10) & ~self.held
        changes = (self.night.falls + self.night.rises).astype(np.float32)
        told, blind = self.told(K.CYCLING_FAILURE)
        self.settle(
            K.CYCLING_FAILURE,
            (cycling | told) & ~self.taken,
            known | blind,
            np.where(blind, ~told, steady),
            onset,
            need=np.where(told, 1, 2).astype(np.int32),
            evidence={"changes": changes},
        )

    def switching(self) -> None:
        """Lamps on late or off early; most of a feeder at once is the feeder's clock."""
        late, right, excess = judge_switching(self.night, self.memory, self.street)
        late &= ~self.taken & self.memory.frozen
        known = (self.night.n_known > 10) & ~self.held
        shared = one_clock(late, known, self.street)
        members = np.unique(self.street.feeder[shared])
        onset = np.full(self.street.n, self.start_ms, dtype=np.int64)
        grouped = [
            Section(
                np.flatnonzero(shared & (self.street.feeder == f)).astype(np.int32),
                CauseKind.FEEDER,
                int(f),
                self.start_ms,
            )
            for f in members
        ]
        need = np.where(shared, 2, 3).astype(np.int32)
        self.settle(
            K.SWITCHING_ERROR,
            late,
            known,
            right,
            onset,
            need=need,
            takes=False,
            sections=grouped,
            evidence={"minutes": excess},
        )

    def level_kinds(self) -> None:
        """Blind, drifting and misaimed sensors, dimming failures and depreciation."""
        memory, rules = self.memory, self.rules
        power = self.night.power_night / first_nights(memory.ref_power)
        verdict = whose_fault(memory, power)
        sigma = np.maximum(np.nan_to_num(spread(memory.ref_level), nan=0.03), 0.015)
        coarse = (0.5 * self.street.resolution_lx / np.maximum(memory.own_lx, 1)).astype(np.float32)
        # While weather comes and goes, more must be lost before it is the lamp's.
        rough = ~self.street.tunnel & (self.number - memory.hold_until <= ROUGH_NIGHTS)
        least = np.where(rough, ROUGH * rules.level_loss, rules.level_loss).astype(np.float32)
        low = below_own_scatter(verdict.change + coarse, sigma, least) & memory.frozen
        known = np.isfinite(memory.levels[:, -1]) & ~self.held & ~self.awaits_daylight(verdict)
        alike = ~additive(memory, self.night) & all_night(memory, verdict.change)
        onset = np.full(self.street.n, self.start_ms - 24 * HOUR_MS, dtype=np.int64)
        evidence = {"level": np.exp(verdict.change), "daylight": np.exp(verdict.response)}
        with np.errstate(invalid="ignore"):
            mild = np.abs(verdict.change) < rules.level_loss / 2
            deep = verdict.change < -0.5
            # Bare trees let more light through, and more daylight.
            bright = 0.19 + LEAVES_ON_LIGHT * self.leaves_fallen()
            high = (verdict.change > bright) & (verdict.response > 0.15) & memory.frozen
            blind = low & verdict.sensor & verdict.step & (verdict.change < -0.42)
            swapped = verdict.step & verdict.sensor & ~blind & (low | high)
            drift = (low | high) & verdict.sensor & ~verdict.step
            neighbour = explained_by_neighbour(verdict.change, self.street)
        soon = np.where(deep, 2, 3).astype(np.int32)
        for kind, flag, need in (
            (K.SENSOR_BLIND, blind, soon),
            (K.SENSOR_DRIFT, drift, soon),
            (K.MISAIMED, low & verdict.misaimed, 2),
        ):
            free = flag & alike & ~self.taken
            self.settle(kind, free, known, mild, onset, need=need, evidence=evidence)
        dimmed = low & verdict.lamp & ~neighbour & alike
        free = ~self.taken & ~self.darkness.out
        # Watts at full light are ten times steadier than lux, and ask nobody's weather.
        with np.errstate(invalid="ignore"):
            usual = spread(memory.ref_power, least=10) / first_nights(memory.ref_power)
            short = (power < SHORT_OF_POWER) & (power < 1 - 4 * usual)
            short &= ~(self.night.power_dark > 0.3)
            short &= ~((self.levels.own > -0.05) & memory.frozen)
        evidence["power"] = power
        told, blind = self.told(K.DIMMING_FAILURE, np.isnan(power))
        self.settle(
            K.DIMMING_FAILURE,
            ((dimmed & verdict.step) | short | told) & free,
            known | np.isfinite(power) | blind,
            np.where(blind, ~told, mild & ~short),
            onset,
            need=np.where(told, 1, 2).astype(np.int32),
            evidence=evidence,
        )
        free = ~self.taken & ~self.darkness.out
        lost, loss = slow_loss(
            memory, verdict, self.street, least * rules.slow_loss / rules.level_loss
        )
        slow = ((dimmed & ~verdict.step) | (lost & ~neighbour & alike)) & free
        evidence["loss"] = np.exp(loss)
        evidence["foliage"] = np.exp(verdict.foliage)
        if self.about.class_lx is not None:
            slow |= leaves_cost_class(memory, verdict, self.about.class_lx) & free
        self.settle(K.DEPRECIATION, slow, known, mild, onset, evidence=evidence)
        self.accept_swaps(swapped & alike & ~self.taken & known, verdict)

    def awaits_daylight(self, verdict: Verdict) -> Bools:
        """Luminaires whose daylight will tell lamp from sensor, and has not been seen since."""
        lately = np.isfinite(self.memory.responses[:, -DAYLIGHT_NIGHTS:]).any(axis=1)
        waiting: Bools = ~self.street.tunnel & np.isnan(verdict.response) & lately
        return waiting

    def leaves_fallen(self) -> float:
        """How far the town's leaves have fallen in the weeks looked back over; 0 in spring."""
        course = self.memory.leaves[np.isfinite(self.memory.leaves)]
        return float(max(course[-1] - course.min(), 0)) if len(course) else 0.0

    def accept_swaps(self, swapped: Bools, verdict: Verdict) -> None:
        """A step of night and day alike that leaves the sensor seeing is another sensor."""
        memory = self.memory
        memory.swap_nights = np.where(swapped, memory.swap_nights + 1, 0).astype(np.int32)
        rows = np.flatnonzero(memory.swap_nights >= 3)
        # Nobody changes a part of the city's sensors at once; snow and rain do.
        together = ((memory.swap_nights > 0) & ~self.street.tunnel).sum()
        if not len(rows) or together > max(3, MOST_SWAPS * self.street.n):
            return
        step = np.exp(verdict.change[rows])
        memory.own_lx[rows] *= step
        memory.own_dim_lx[rows] *= step
        for buffer in (memory.ref_lux, memory.ref_dim, memory.ref_late):
            buffer[rows] *= step[:, None]
        for buffer in (memory.ref_am, memory.ref_pm):
            buffer[rows] += verdict.response[rows, None]
        memory.share[rows] += verdict.response[rows]
        for history in (memory.levels, memory.late_levels, memory.responses):
            history[rows] = np.nan
        memory.swap_nights[rows] = 0

    gateway_sections: list[Section] = field(default_factory=list)


def learn(memory: Memory, night: Night, levels: Levels, suspect: Bools, street: Street) -> None:
    """Learn from a healthy night while the reference is open; never adapt it afterwards."""
    well = ~suspect & (night.n_known > 0)
    nan = np.float32(np.nan)
    with np.errstate(invalid="ignore"):
        # Until its level is known, only what is far below the registry's word is dark.
        level = night.lux_full / memory.own_lx
        dark = (night.n_dark > 0.5 * night.n_known) & (memory.frozen | ~(level > OLDER_FAULT))
    usable = well & ~dark
    remember(memory.ref_lux, np.where(usable & (night.n_full >= 6), night.lux_full, nan))
    remember(memory.ref_dim, np.where(usable & (night.n_dim >= 6), night.lux_dim, nan))
    remember(memory.ref_late, np.where(usable, night.lux_late, nan))
    remember(memory.ref_am, np.where(~suspect, night.response_am, nan))
    remember(memory.ref_pm, np.where(~suspect, night.response_pm, nan))
    remember(memory.ref_power, np.where(usable, night.power_night, nan))
    switched = usable & (night.n_known > 10)
    remember(memory.ref_first, np.where(switched, night.first_deg, nan))
    remember(memory.ref_last, np.where(switched, night.last_deg, nan))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(night.information > 15, night.surplus / night.information, np.nan)
    remember(memory.ref_surplus, np.where(~suspect, np.clip(ratio, -1, 1), nan).astype(np.float32))
    fresh = np.isnan(memory.share)
    memory.share = np.where(fresh, night.share, memory.share).astype(np.float32)
    learn_habit(memory, night)
    settle_reference(memory, street, night.dim_level)
    remember(memory.ref_level, np.where(usable & memory.frozen, levels.own, nan))
    normal = (night.equal_longest <= SLOTS_OF_TWO_DAYS) & (memory.heard_nights <= 10)
    memory.longest_run = np.where(
        normal & (night.n_lux > 0),
        np.maximum(memory.longest_run, night.equal_longest),
        memory.longest_run,
    ).astype(np.int32)
    memory.run_value, memory.run_count = night.equal_value, night.equal_count
    memory.run_day, memory.run_night = night.equal_day, night.equal_night
    memory.run_since_ms = night.equal_since_ms


def learn_habit(memory: Memory, night: Night) -> None:
    """Learn a dimming programme that the registry does not know; then the levels once more."""
    seen = night.n_known > 10
    remember(memory.ref_changes, np.where(seen, night.falls + night.rises, np.nan))
    remember(memory.ref_from, np.where(seen, night.less_from_min, np.nan))
    remember(memory.ref_until, np.where(seen, night.less_until_min, np.nan))
    remember(memory.ref_less, np.where(seen, night.less_level, np.nan))
    unknown = np.isnan(memory.habit_level)
    if not unknown.any():
        return
    found = learned_habit(memory.ref_from, memory.ref_until, memory.ref_less)
    new = unknown & np.isfinite(found.level) & np.isnan(night.dim_level)
    memory.habit_from = np.where(new, found.start_min, memory.habit_from)
    memory.habit_until = np.where(new, found.stop_min, memory.habit_until)
    memory.habit_level = np.where(new, found.level, memory.habit_level)
    again = (memory.ref_lux, memory.ref_dim, memory.ref_late, memory.ref_level, memory.ref_power)
    for buffer in again:
        buffer[new] = np.nan
    for history in (memory.levels, memory.late_levels):
        history[new] = np.nan
    memory.frozen[new] = False


SLOTS_OF_TWO_DAYS = 288
SHORT_OF_POWER = 0.90  # of its own power at full light
ROUGH = 1.4
ROUGH_NIGHTS = 4  # after the last hold
LEAVES_ON_LIGHT = 0.25  # what a street's light gains, of what daylight gains, when leaves fall
DAYLIGHT_NIGHTS = 10  # without daylight for so long nobody waits for it any more
BLACK = 0.2  # of its own level: without supply the neighbours are dark as well
MOST_SWAPS = 0.02  # of the city in one week
ANSWERS_WEATHER = 3
DEEP_LOSS = -0.9
LONGEST_WEATHER = 6  # nights
FREE_DOME = 0.12  # step of C, log, that snow on the dome would exceed
OLDER_FAULT = 0.35  # of the nominal level: a dead lamp between lit ones reads 0.05-0.3 of its own


def settle_reference(memory: Memory, street: Street, dim_level: Floats) -> None:
    """Own level: the registry's while too little was seen, then the median of what was.

    A level below a third of the nominal one is a fault older than the feed: the nominal one stands.
    Between a third and half a wrong registry is much likelier than an old fault.
    """
    open_rows = ~memory.frozen
    seen = first_nights(memory.ref_lux, least=3)
    # Nights so short that full light is never asked for: reduced light over its level, or, with
    # motion, the brightest tenth, which full light is at least.
    from_dim = first_nights(memory.ref_dim, least=3) / np.nan_to_num(dim_level, nan=1.0)
    seen = np.where(np.isfinite(seen), seen, from_dim).astype(np.float32)
    # The registry's nominal values may all be off by the same factor; what peers read corrects
    # them.
    nominal = street.nominal_lx * np.exp(peers_over_nominal(seen, street))
    with np.errstate(invalid="ignore"):
        own = np.where(np.isfinite(seen) & ~(seen < OLDER_FAULT * nominal), seen, nominal)
    own = np.where(np.isfinite(own), own, seen)
    memory.own_lx = np.where(open_rows, own, memory.own_lx).astype(np.float32)
    dim = first_nights(memory.ref_dim, least=3)
    memory.own_dim_lx = np.where(open_rows, dim, memory.own_dim_lx).astype(np.float32)
    learned = np.isfinite(memory.ref_lux).all(axis=1) | np.isfinite(memory.ref_dim).all(axis=1)
    memory.frozen = memory.frozen | learned


def peers_over_nominal(seen: Floats, street: Street) -> Floats:
    """Log of what a luminaire's peers read over their nominal levels; 0 with fewer than four."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.log(seen / street.nominal_lx)
    middle, n = group_medians(ratio[:, None], padded_groups(street.peers))
    return np.where(n >= 4, middle, 0)[:, 0][street.peers].astype(np.float32)
