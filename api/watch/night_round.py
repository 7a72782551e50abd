"""The night round: store -> grid -> features -> findings.

The noon round settles the night that has passed; a light round every ten minutes reports what is
urgent or grouped. Both are a function of the readings received by then, and both come to the same
findings.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from analytics.cause import Section, incident_key
from analytics.clocks import EARLY_MS
from analytics.device_events import Reports
from analytics.dimming import Expectation, expectation
from analytics.findings import LAMP_CREW, CauseKind, FindingKind
from analytics.grid import (
    DAY_MS,
    SLOT_MS,
    SLOTS,
    Floats,
    Ints,
    Times,
    night_of,
    window_start,
)
from analytics.judgement import Circumstances, judge_night
from analytics.lighting_class import P_CLASSES
from analytics.memory import Episode, Memory
from analytics.night_reduction import reduce_night
from analytics.nights import Night
from analytics.quick import quick_look
from analytics.rules import Rules
from analytics.street import padded_groups
from analytics.sun import CIVIL_DARK_DEG, sun_elevation
from api.assets import Asset
from api.findings import NamedFinding
from api.street.street_plan import StreetPlan, plan_street
from api.watch.consequences import Consequences
from api.watch.feature_store import FeatureStore
from api.watch.gateway_word import GatewayWords
from api.watch.maintenance_log import Maintenance, MaintenanceLog
from api.watch.open_window import OpenWindow
from api.watch.people import Passages
from api.watch.publish import HISTORY_AFTER_MS, Published, SectionNews
from api.watch.simulated import SimulatedDevices
from api.watch.window_readings import READ, ReadingSource, WindowReader, margin_ms
from ingest.reading import Flag

__all__ = ["NightRound", "RoundResult", "State"]

State = Literal["ok", "faulty", "unknown", "planned"]
CATCH_UP_NIGHTS = 40
EVENT_DAYS = 14
HOUR_MS = 3_600_000
LIGHT_LOOKS_BACK_MS = 6 * HOUR_MS
TAKEN_BACK_MS = 14 * DAY_MS


@dataclass(frozen=True, slots=True)
class RoundResult:
    """The complete picture after a round.

    Attributes
    ----------
    findings : list of NamedFinding
        Reported and open, or ended within the last two months; incident keys stay over rounds and
        re-runs.
    states : dict of str to State
        Of every luminaire, by its id.
    now_ms : int
    nights_judged : int
        Nights that this round reduced from readings.
    exposure : dict of str to float
        Expected passages a night in light below what it should be, by device; empty without counts.
    retired : list of NamedFinding
        Ended so long ago that they leave the picture with this round.
    """

    findings: list[NamedFinding]
    states: dict[str, State]
    now_ms: int
    nights_judged: int = 0
    exposure: dict[str, float] = field(default_factory=dict)
    retired: list[NamedFinding] = field(default_factory=list)


class NightRound:
    """Judges the street, round by round.

    Parameters
    ----------
    assets : sequence of Asset
    rules : Rules
    features : FeatureStore
        Where nights are kept; what was remembered is taken up from there.
    maintenance : sequence of Maintenance
    tz : str
        Zone of the dimming programmes' local times.
    passages : mapping of site to Passages, optional
        Without them nothing is ranked by people.
    """

    def __init__(
        self,
        assets: Sequence[Asset],
        *,
        rules: Rules,
        features: FeatureStore,
        maintenance: Sequence[Maintenance] = (),
        tz: str = "Europe/Stockholm",
        passages: Mapping[str, Passages] | None = None,
    ) -> None:
        self.passages = dict(passages or {})
        self.plan = plan_street(assets)
        self.street = self.plan.street
        self.rules = rules
        self.features = features
        self._log = MaintenanceLog(maintenance, self.plan)
        self.zone = ZoneInfo(tz)
        self._members = padded_groups(self.street.peers)
        self._dirty: set[int] = set()
        self._published = Published(features.read_published(), self.plan)
        self._simulated = SimulatedDevices(features)
        self._published.simulated = self._simulated.ids
        self._memory = self._taken_up()
        self._group, self._group_keys = group_expectations(self.plan)
        self._class_lx = class_averages(self.plan)
        self._expected: tuple[int, list[Expectation]] = (-1, [])
        self._reader = WindowReader(self.plan, noted=self._simulated.note)
        self._open = OpenWindow(self._reader)
        self._judged = 0

    # --- rounds ----------------------------------------------------------------------------------

    def noon_round(self, readings: ReadingSource, now_ms: int) -> RoundResult:
        """Settle every night that has passed by now, and those that late data touched."""
        if not self.street.n:
            return self._result(now_ms)
        last = night_of(now_ms) - 1
        self._judged = 0
        # What a round told and ended long before it is left behind: a round costs its night.
        told_ms = window_start(self._memory.night + 1) if self._memory.night >= 0 else 0
        history_before_ms = told_ms - HISTORY_AFTER_MS
        retired = self._published.retire(history_before_ms)
        self._rewind()
        first = (
            self._memory.night + 1 if self._memory.night >= 0 else self._first_night(readings, last)
        )
        for number in range(first, last + 1):
            self._settle(readings, number, now_ms)
        self._dirty = {n for n in self._dirty if n > last}
        self._memory.forget_closed(history_before_ms)
        self._published.reconcile(self._episodes(), now_ms, history_before_ms=history_before_ms)
        self.features.write_published(self._published.rows())
        return replace(self._result(now_ms), retired=retired)

    def light_round(self, readings: ReadingSource, now_ms: int) -> RoundResult:
        """Report what is urgent or grouped in the night that is going on."""
        if not self.street.n:
            return self._result(now_ms)
        number = night_of(now_ms)
        start_ms = window_start(number)
        seen = self._open.bring_up_to(readings, start_ms, now_ms)
        found = quick_look(
            seen.lux,
            seen.seen_ms,
            memory=self._memory,
            street=self.street,
            whole=self.plan.whole,
            rules=self.rules,
            expected=self._expectations(number),
            group=self._group,
            start_ms=start_ms,
            now_ms=now_ms,
            planned=self._log.planned(start_ms, start_ms + DAY_MS),
            told_ms=np.maximum(
                seen.gasp_ms, self._supply_told(readings, now_ms, shift_ms=seen.shift_ms)
            ),
            resumed_ms=seen.resumed_ms,
            taken_back=self._published.taken_back(now_ms - TAKEN_BACK_MS, self.street.n),
            gateways_heard=GatewayWords(
                readings, self.plan, since_ms=now_ms - LIGHT_LOOKS_BACK_MS, now_ms=now_ms
            ),
        )
        news = [replace(self._news(s), back=self._was_back(s, seen.lux, number)) for s in found]
        if self._published.add_sections(news, now_ms):
            self.features.write_published(self._published.rows())
        return self._result(now_ms)

    def _was_back(self, section: Section, lux: Floats, number: int) -> bool:
        """Whether most of a section had its supply in this window, before it went."""
        rows = section.rows
        slots = max((section.start_ms - window_start(number)) // SLOT_MS, 0)
        before = lux[rows, :slots]
        lit = np.stack([e.lit[:slots] for e in self._expectations(number)])[self._group[rows]]
        own = self._memory.own_lx[rows][:, None]
        with np.errstate(invalid="ignore"):
            # A mains-fed device that speaks has its supply; others must have been seen lit.
            alive = np.where(
                self.street.mains[rows][:, None], np.isfinite(before), lit & (before > 0.5 * own)
            )
        return bool(alive.any(axis=1).mean() > 0.5)

    def _news(self, section: Section) -> SectionNews:
        name = self.plan.name_of(section.cause_kind, section.cause)
        kind = section_kind(section)
        return SectionNews(
            kind=kind,
            rows=[int(r) for r in section.rows],
            cause_kind=section.cause_kind,
            cause=section.cause,
            start_ms=section.start_ms,
            incident=incident_key(kind, section.cause_kind, name, section.start_ms),
        )

    def mark_dirty(self, nights: Iterable[int]) -> None:
        """Have these nights (days since 1970 of their first date) reduced again next time."""
        self._dirty |= set(nights)

    # --- settling --------------------------------------------------------------------------------

    def _taken_up(self) -> Memory:
        """What the last checkpoint remembers; from before the first night where there is none."""
        for night in reversed(self.features.checkpoints()):
            memory = self.features.read_memory(night, self.street.names)
            if memory is not None:
                return memory
        return self._fresh()

    def _fresh(self) -> Memory:
        return Memory.fresh(self.street.n, self.street.nominal_lx)

    def _rewind(self) -> None:
        """Go back to before the first dirty night; the nights after it are judged again."""
        touched = [n for n in self._dirty if n <= self._memory.night]
        if touched:
            # What is dated before the first night that was ever judged changes no verdict: one
            # clock set to another year must not have the whole history judged again.
            kept = self.features.nights()
            touched = [n for n in touched if kept and n >= kept[0]]
        if not touched:
            return
        before = min(touched) - 1
        for night in reversed(self.features.checkpoints()):
            if night <= before:
                memory = self.features.read_memory(night, self.street.names)
                if memory is not None:
                    self._memory = memory
                    return
        self._memory = self._fresh()

    def _first_night(self, readings: ReadingSource, last: int) -> int:
        """First night with features or readings, looking back over some weeks."""
        kept = [n for n in self.features.nights() if n <= last]
        if kept:
            return kept[0]
        for number in range(last - CATCH_UP_NIGHTS, last):
            if self._holds(readings, number):
                return number
        return last

    def _holds(self, readings: ReadingSource, number: int) -> bool:
        """Whether anything was received in a night."""
        # Hour by hour: a city's week of readings would not fit beside everything else.
        for begin in range(window_start(number), window_start(number + 1), HOUR_MS):
            end = begin + HOUR_MS
            if any(len(readings.columns(q, start_ms=begin, stop_ms=end)) for q in READ):
                return True
            if readings.events(start_ms=begin, stop_ms=end):
                return True
        return False

    def _settle(self, readings: ReadingSource, number: int, now_ms: int) -> None:
        """Reduce a night, unless its features are kept and clean, and judge it."""
        night = None
        # A night kept by an older version is reduced anew while its readings are there.
        anew = self.features.lacks(number) and self._holds(readings, number)
        if number not in self._dirty and not anew:
            night = self.features.read_night(number, self.street.names)
        if night is None:
            night = self._reduce(readings, number, now_ms)
            self.features.write_night(number, self.street.names, night)
            self._judged += 1
        judge_night(
            self._memory,
            night,
            number=number,
            street=self.street,
            whole=self.plan.whole,
            rules=self.rules,
            about=self._about(readings, number, now_ms, night.clock_shift_ms),
        )
        self.features.write_memory(self.street.names, self._memory)

    def _reduce(self, readings: ReadingSource, number: int, now_ms: int) -> Night:
        start_ms = window_start(number)
        grids = self._reader.read(readings, start_ms, now_ms)
        night = reduce_night(
            grids.lux,
            street=self.street,
            expected=self._expectations(number),
            group=self._group,
            start_ms=start_ms,
            known=self._memory.known,
            run=self._memory.run,
            members=self._members,
            power=grids.power,
            status=grids.status,
            heard=grids.heard,
            dimming_pct=grids.dimming,
        )
        night.clock_shift_ms = grids.shift_ms
        return night

    def _expectations(self, number: int) -> list[Expectation]:
        """What each group of luminaires should do in a night; the last night's are kept."""
        if self._expected[0] != number:
            self._expected = number, self._expect(number)
        return self._expected[1]

    def _expect(self, number: int) -> list[Expectation]:
        centre_ms = window_start(number) + np.arange(SLOTS, dtype=np.int64) * SLOT_MS + SLOT_MS // 2
        local = self._local_minutes(centre_ms)
        elevations = [
            sun_elevation(centre_ms / 1000, lat, lon).astype(np.float32)
            for lat, lon in self.street.cells
        ]
        return [
            expectation(elevations[cell], local, self.street.programmes[programme], always=always)
            for cell, programme, always in self._group_keys
        ]

    def _local_minutes(self, time_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Local minutes after midnight, daylight saving resolved."""
        out = np.empty(len(time_ms))
        for i, t in enumerate(time_ms):
            local = datetime.fromtimestamp(int(t) / 1000, tz=UTC).astimezone(self.zone)
            out[i] = local.hour * 60 + local.minute + local.second / 60
        return out

    def _about(
        self, readings: ReadingSource, number: int, now_ms: int, shift_ms: Times
    ) -> Circumstances:
        start_ms = window_start(number)
        stop_ms = start_ms + DAY_MS
        return Circumstances(
            now_ms=now_ms,
            planned=self._log.planned(start_ms, stop_ms),
            reports=self._reports(
                readings, stop_ms - EVENT_DAYS * DAY_MS, stop_ms, now_ms, shift_ms
            ),
            name_of=self.plan.name_of,
            fresh=self._log.done(start_ms, stop_ms),
            class_lx=self._class_lx,
            gateways_heard=GatewayWords(readings, self.plan, since_ms=start_ms, now_ms=stop_ms - 1),
        )

    def _reports(
        self, readings: ReadingSource, start_ms: int, stop_ms: int, now_ms: int, shift_ms: Times
    ) -> Reports:
        """Fault reports received by now, by the clocks as they are put right."""
        told: list[tuple[int, int, str, bool | None]] = []
        marked: dict[str, tuple[int, bool]] = {}
        before, after = margin_ms(shift_ms)
        for e in readings.events(start_ms=start_ms - before, stop_ms=stop_ms + after):
            row = self.plan.row_of.get(e.device_id, -1)
            if row < 0 or e.received_ms > now_ms:
                continue
            # What came cannot have happened later.
            time_ms = min(e.time_ms + int(shift_ms[row]), max(e.received_ms, e.time_ms - EARLY_MS))
            if start_ms <= time_ms < stop_ms:
                told.append((row, time_ms, e.event, e.active))
            # Who sends readings is marked by these, which are newer than old reports.
            if not self._memory.last_seen_ms[row]:
                word = (e.received_ms, bool(e.flags & Flag.SIMULATED))
                marked[e.device_id] = max(word, marked.get(e.device_id, word))
        self._simulated.note_reporters({device: said for device, (_, said) in marked.items()})
        reports = Reports(self.street.n)
        reports.take(sorted(told, key=lambda one: one[1]))
        return reports

    def _supply_told(self, readings: ReadingSource, now_ms: int, *, shift_ms: Times) -> Times:
        """Since when a loss of supply stands by each device's own report; 0 where none does."""
        start_ms = now_ms - DAY_MS
        reports = self._reports(readings, start_ms, now_ms + 1, now_ms, shift_ms)
        return reports.since_ms.get(FindingKind.SUPPLY_LOSS, np.zeros(self.street.n, np.int64))

    # --- the picture -----------------------------------------------------------------------------

    def _episodes(self) -> list[Episode]:
        return [*self._memory.closed, *self._memory.open.values()]

    def _result(self, now_ms: int) -> RoundResult:
        findings = self._published.findings()
        if self.street.n:
            findings = Consequences(
                self.plan, self._memory, self.passages, self._dark_hours(now_ms)
            ).added(findings)
        return RoundResult(
            findings=findings,
            states=self._states(findings, now_ms),
            now_ms=now_ms,
            nights_judged=self._judged,
            exposure={
                f.device_id: f.evidence["passages"] for f in findings if "passages" in f.evidence
            },
        )

    def _dark_hours(self, now_ms: int) -> npt.NDArray[np.float64]:
        """Share of each local hour that is dark in the present window."""
        centre_ms = window_start(night_of(now_ms)) + np.arange(SLOTS, dtype=np.int64) * SLOT_MS
        dark = sun_elevation(centre_ms / 1000, *self.street.cells[0]) < CIVIL_DARK_DEG
        hour = (self._local_minutes(centre_ms) // 60).astype(np.int64)
        slots = np.maximum(np.bincount(hour, minlength=24), 1)
        return np.bincount(hour, weights=dark, minlength=24) / slots

    def _states(self, findings: Sequence[NamedFinding], now_ms: int) -> dict[str, State]:
        """Four states; what the evidence does not reach is unknown."""
        memory, assets = self._memory, self.plan.assets
        planned = self._log.planned(now_ms - 1, now_ms + 1)
        stale = (memory.last_seen_ms == 0) | (now_ms - memory.last_seen_ms > 2 * DAY_MS)
        states: dict[str, State] = {}
        for row, asset in enumerate(assets):
            states[asset.luminaire_id] = (
                "planned" if planned[row] else "unknown" if stale[row] else "ok"
            )
        for f in findings:
            if f.end_ms is not None or states.get(f.luminaire_id) == "planned":
                continue
            lamp = f.kind in LAMP_CREW and f.kind is not FindingKind.MISAIMED
            if lamp or states.get(f.luminaire_id) != "faulty":
                states[f.luminaire_id] = "faulty" if lamp else "unknown"
        return states


def group_expectations(plan: StreetPlan) -> tuple[Ints, list[tuple[int, int, bool]]]:
    """Groups of luminaires with the same sun, programme and hours: (cell, programme, always)."""
    street = plan.street
    if not street.n:
        return np.zeros(0, dtype=np.int32), []
    keys = np.stack([street.cell, street.programme, street.tunnel.astype(np.int32)], axis=1)
    unique, group = np.unique(keys, axis=0, return_inverse=True)
    listed = [(int(c), int(p), bool(t)) for c, p, t in unique]
    return group.astype(np.int32).ravel(), listed


def section_kind(section: Section) -> FindingKind:
    """What a section's members suffer from."""
    if section.cause_kind is CauseKind.GATEWAY:
        return FindingKind.COMMUNICATION_FAILURE
    return FindingKind.SUPPLY_LOSS


def class_averages(plan: StreetPlan) -> Floats:
    """Average illuminance that each luminaire's P class asks for; NaN where none is known."""
    asked = [P_CLASSES.get(a.lighting_class.strip().upper()) for a in plan.assets]
    return np.array([np.nan if c is None else c.average_lx for c in asked], dtype=np.float32)
