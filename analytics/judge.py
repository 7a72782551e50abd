"""One night being judged: who is concerned so far, and how a verdict becomes a finding."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from analytics.cause import Section, Whole, incident_key
from analytics.company import clock_beside, matter_beside
from analytics.confidence import confidence_of
from analytics.device_events import Reports
from analytics.findings import SENSOR_CREW, CauseKind, FindingKind
from analytics.grid import HOUR_MS, SLOT_MS, SLOTS, Bools, Floats, Ints, Times, any_slot
from analytics.hysteresis import count_night
from analytics.levels import Levels
from analytics.memory import KIND_AT, KINDS, Episode, Memory
from analytics.nights import Night
from analytics.outage import Darkness
from analytics.rules import Rules
from analytics.street import Street
from analytics.sun import CIVIL_DARK_DEG, sun_elevation

__all__ = ["Judge", "NameOf"]

NameOf = Callable[[CauseKind, int], str]
ALONE = (CauseKind.LUMINAIRE, CauseKind.SENSOR)
# Under these names members of something bigger go out before it is seen.
JOINS_H = {FindingKind.SWITCHING_ERROR: 240}  # a wrong clock shows in one lamp after another
GONE = (FindingKind.SUPPLY_LOSS, FindingKind.LAMP_FAILURE, FindingKind.COMMUNICATION_FAILURE)


@dataclass(slots=True)
class Judge:
    """One night's verdicts, kind by kind; a finding takes its luminaire, later kinds leave it.

    Attributes
    ----------
    memory : Memory
        After the night before; changed in place.
    night : Night
    levels : Levels
    darkness : Darkness
    street, whole, rules
    reports : Reports
        The devices' own fault reports.
    planned : bool (n,)
        Under planned work or switched off on purpose.
    name_of : callable
        Name of a cause, for incident keys.
    number : int
        The night's number.
    end_ms, now_ms : int
        Noon at which the window ended; the round.
    class_lx : float32 (n,), optional
        Average that each luminaire's lighting class asks for [lx].
    gateways_heard : callable, optional
        Gives when each gateway last spoke itself [ms, UTC]; 0 where it did not.
    taken : bool (n,)
        With a finding that later kinds leave alone, or planned work.
    suspect : bool (n,)
        From which nothing is learned tonight.
    held, doubt : bool (n,)
        About whose light the weather leaves nothing, or little, to say.
    spared : bool (n,)
        Of those held, who changed before the weather came, or as no weather does: their sensors are
        judged.
    waits : bool (n,)
        Dark with most of their feeder for the last hours only.
    asleep : bool (n,)
        Fed only while their feeder is switched on.
    unheard : bool (n,)
        Of those, silent while their feeder should have fed them.
    deaf : bool
        Most of the city stopped at once: it is we who do not hear.
    """

    memory: Memory
    night: Night
    levels: Levels
    darkness: Darkness
    street: Street
    whole: Whole
    rules: Rules
    reports: Reports
    planned: Bools
    name_of: NameOf
    number: int
    end_ms: int
    now_ms: int
    class_lx: Floats | None
    gateways_heard: Callable[[], Times] | None = None
    taken: Bools = field(init=False)
    suspect: Bools = field(init=False)
    held: Bools = field(init=False)
    doubt: Bools = field(init=False)
    spared: Bools = field(init=False)
    waits: Bools = field(init=False)
    asleep: Bools = field(init=False)
    unheard: Bools = field(init=False)
    deaf: bool = field(init=False)

    def __post_init__(self) -> None:
        self.taken = self.planned.copy()
        self.suspect = self.planned.copy()
        self.held = np.zeros(self.street.n, dtype=bool)
        self.doubt = np.zeros(self.street.n, dtype=bool)
        self.spared = np.zeros(self.street.n, dtype=bool)
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
            # A feeder that burns by day is no measure of when the others are switched off.
            off_ms = np.minimum(np.quantile(night.last_seen_ms[heard], 0.9), self.dawn_ms())
            out |= heard & (night.last_seen_ms < off_ms - 3 * HOUR_MS)
        return out

    def dawn_ms(self) -> Times:
        """When the darkness of the window ends, at each luminaire's place."""
        time_ms = self.start_ms + SLOT_MS * np.arange(1, SLOTS + 1, dtype=np.int64)
        ends = [
            time_ms[sun_elevation(time_ms / 1000, lat, lon) < CIVIL_DARK_DEG].max(
                initial=self.start_ms
            )
            for lat, lon in self.street.cells
        ]
        return np.array(ends, dtype=np.int64)[self.street.cell]

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
        planned = self.planned
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
            incident = self.incident_on(row) or self.beside(np.array([row]), kind, start)
            name = self.name_of(cause_kind, cause)
            incident = incident or incident_key(kind, cause_kind, name, start)
        else:
            cause_kind, cause, start = section.cause_kind, section.cause, section.start_ms
            incident = self.incident_of(section, kind)
        numbers = {name: float(values[row]) for name, values in evidence.items()}
        numbers = {name: value for name, value in numbers.items() if np.isfinite(value)}
        self.memory.open[row, KIND_AT[kind]] = Episode(
            row,
            kind,
            start,
            self.now_ms,
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
            and e.kind in (kind, *GONE)
            and (
                (e.cause_kind == section.cause_kind and e.cause_kind not in ALONE)
                or e.start_ms >= section.start_ms - JOINS_H.get(kind, 48) * HOUR_MS
            )
        ]
        grouped = [e for e in out if e.cause_kind not in ALONE]
        if grouped or out:
            return min(grouped or out, key=lambda e: (e.raised_ms, e.incident)).incident
        beside = self.beside(section.rows, kind, section.start_ms)
        name = self.name_of(section.cause_kind, section.cause)
        return beside or incident_key(kind, section.cause_kind, name, section.start_ms)

    def beside(self, rows: Ints, kind: FindingKind, start_ms: int) -> str:
        """Incident of something bigger beside these that began with them; empty where none is."""
        if kind is FindingKind.SWITCHING_ERROR:
            return clock_beside(self.memory, self.street, rows)
        if kind not in GONE:
            return ""
        return matter_beside(self.memory, self.street, rows, kind, start_ms, self.start_ms)

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
        return blind & self.reports.stands(kind, self.end_ms), blind
