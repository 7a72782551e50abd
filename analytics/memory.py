"""What a night round remembers from the nights before: learned levels, last nights, counters.

Everything in it follows from the stored nights by judging them in order, so it may be lost at any
time.
"""

from dataclasses import dataclass, field, fields

import numpy as np

from analytics.equal_runs import Run
from analytics.findings import CauseKind, FindingKind
from analytics.grid import Bools, Floats, Ints, Times
from analytics.habits import Habit
from analytics.nights import Known

__all__ = [
    "GOOD_WORD",
    "KINDS",
    "KIND_AT",
    "LOOK_BACK",
    "REFERENCE_NIGHTS",
    "Episode",
    "Memory",
    "remember",
    "remember_best",
]

KINDS = tuple(FindingKind)
KIND_AT = {kind: i for i, kind in enumerate(KINDS)}
REFERENCE_NIGHTS = 10
LOOK_BACK = 30
CYCLING_NIGHTS = 6
BEST_NIGHTS = 3
GOOD_WORD = 0.25


@dataclass(slots=True)
class Episode:
    """One matter on one luminaire from its first sign to its end.

    Attributes
    ----------
    row : int
    kind : FindingKind
    start_ms : int
    raised_ms : int
        The round that first reported it.
    end_ms : int or None
    incident : str
        Decided in `analytics.cause`.
    cause_kind : CauseKind
    cause : int
    confidence : float
    evidence : dict of str to float
    note : str
    """

    row: int
    kind: FindingKind
    start_ms: int
    raised_ms: int
    incident: str
    cause_kind: CauseKind
    cause: int
    end_ms: int | None = None
    confidence: float = 0.9
    evidence: dict[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(slots=True)
class Memory:
    """State after judging one night; `n` luminaires.

    Attributes
    ----------
    night : int
        The last night that was judged; -1 before the first.
    own_lx, own_dim_lx : float32 (n,)
        Level that counts as normal [lx]; NaN while unknown.
    frozen : bool (n,)
        Whether ten nights were learned.
    share : float32 (n,)
        Log share of the sky.
    pace_min : float32 (n,)
        Shortest interval between two readings that a day has shown [min]; see `analytics.pace`.
    ref_* : float32 (n, 10)
        Values of the nights that are learned from, NaN where still open.
    surplus, information, least_surplus : float32 (n, 3)
        Light by day of the last windows, see `analytics.daylight.Daylight`.
    levels, responses : float32 (n, 30)
        A' and C of the last nights, newest last.
    best_first, best_last : float32 (n, 3)
        The highest suns by which it was seen lit, in the evening and in the morning.
    excess, watched : float32 (n, 6)
        Comings and goings beyond the usual, and the readings that could show them, newest last.
    hits, misses, clears : uint8 (n, kinds)
    raised : bool (n, kinds)
    onset_ms : int64 (n, kinds)
    habit_* : float32 (n,)
        Dimming learned from light, see `analytics.habits`; NaN where there is none.
    leaves : float32 (30,)
        Course of the town's leaves over the same nights, see `analytics.day_and_night`.
    coupling : float32 (n, 2)
        Log of what is left when the left, the right neighbour is dark; NaN until seen.
    word : float32 (n,)
        Share of the registry's level below which it is out, while it was never seen lit.
    low_nights : int32 (n,)
        For how many nights in a row night or day were lower than usual.
    low_before : bool (n,)
        Low for some nights before the weather came that is held for.
    sensor_blamed : bool (n,)
        Dark, and last time daylight was seen the sensor was the reason.
    closed_night : int32 (n,)
        Night in which the last finding on the luminaire ended.
    """

    n: int
    night: int
    own_lx: Floats
    own_dim_lx: Floats
    frozen: Bools
    share: Floats
    pace_min: Floats
    ref_lux: Floats
    ref_dim: Floats
    ref_am: Floats
    ref_pm: Floats
    ref_surplus: Floats
    ref_power: Floats
    ref_late: Floats
    ref_first: Floats
    ref_last: Floats
    best_first: Floats
    best_last: Floats
    excess: Floats
    watched: Floats
    ref_level: Floats
    levels: Floats
    responses: Floats
    surplus: Floats
    information: Floats
    least_surplus: Floats
    late_levels: Floats
    leaves: Floats
    hits: Ints
    misses: Ints
    clears: Ints
    raised: Bools
    onset_ms: Times
    closed_night: Ints
    longest_run: Ints
    last_seen_ms: Times
    heard_nights: Ints
    lux_nights: Ints
    dark_since_ms: Times
    was_low: Bools
    raw_before: Floats
    answers: Ints
    weather_nights: Ints
    weather_falls: Ints
    word: Floats
    low_nights: Ints
    low_before: Bools
    sensor_blamed: Bools
    ref_from: Floats
    ref_until: Floats
    ref_less: Floats
    ref_changes: Floats
    habit_from: Floats
    habit_until: Floats
    habit_level: Floats
    coupling: Floats
    coupling_before: Floats
    coupling_seen: Floats
    coupling_nights: Ints
    learn_from: Ints
    swap_nights: Ints
    run_value: Floats
    run_count: Ints
    run_day: Ints
    run_night: Ints
    run_since_ms: Times
    hold_until: int = -1
    nights_judged: int = 0
    open: dict[tuple[int, int], Episode] = field(default_factory=dict)
    closed: list[Episode] = field(default_factory=list)

    @classmethod
    def fresh(cls, n: int, nominal_lx: Floats) -> "Memory":
        """Before the first night: only what the registry says."""
        kinds = len(KINDS)

        def floats(*shape: int) -> Floats:
            return np.full(shape, np.nan, dtype=np.float32)

        def ints(*shape: int) -> Ints:
            return np.zeros(shape, dtype=np.int32)

        return cls(
            n=n,
            night=-1,
            own_lx=nominal_lx.astype(np.float32).copy(),
            own_dim_lx=floats(n),
            frozen=np.zeros(n, dtype=bool),
            share=floats(n),
            pace_min=floats(n),
            ref_lux=floats(n, REFERENCE_NIGHTS),
            ref_dim=floats(n, REFERENCE_NIGHTS),
            ref_am=floats(n, REFERENCE_NIGHTS),
            ref_pm=floats(n, REFERENCE_NIGHTS),
            ref_surplus=floats(n, REFERENCE_NIGHTS),
            ref_power=floats(n, REFERENCE_NIGHTS),
            ref_late=floats(n, REFERENCE_NIGHTS),
            ref_first=floats(n, REFERENCE_NIGHTS),
            ref_last=floats(n, REFERENCE_NIGHTS),
            best_first=floats(n, BEST_NIGHTS),
            best_last=floats(n, BEST_NIGHTS),
            excess=floats(n, CYCLING_NIGHTS),
            watched=floats(n, CYCLING_NIGHTS),
            ref_level=floats(n, REFERENCE_NIGHTS),
            levels=floats(n, LOOK_BACK),
            responses=floats(n, LOOK_BACK),
            surplus=floats(n, 3),
            information=floats(n, 3),
            least_surplus=floats(n, 3),
            late_levels=floats(n, LOOK_BACK),
            leaves=floats(LOOK_BACK),
            hits=ints(n, kinds),
            misses=ints(n, kinds),
            clears=ints(n, kinds),
            raised=np.zeros((n, kinds), dtype=bool),
            onset_ms=np.zeros((n, kinds), dtype=np.int64),
            closed_night=np.full(n, -100, dtype=np.int32),
            longest_run=ints(n),
            last_seen_ms=np.zeros(n, dtype=np.int64),
            heard_nights=ints(n),
            lux_nights=ints(n),
            dark_since_ms=np.zeros(n, dtype=np.int64),
            was_low=np.zeros(n, dtype=bool),
            raw_before=floats(n),
            answers=ints(n),
            weather_nights=ints(n),
            weather_falls=ints(n),
            word=np.full(n, GOOD_WORD, dtype=np.float32),
            low_nights=ints(n),
            low_before=np.zeros(n, dtype=bool),
            sensor_blamed=np.zeros(n, dtype=bool),
            ref_from=floats(n, REFERENCE_NIGHTS),
            ref_until=floats(n, REFERENCE_NIGHTS),
            ref_less=floats(n, REFERENCE_NIGHTS),
            ref_changes=floats(n, REFERENCE_NIGHTS),
            habit_from=floats(n),
            habit_until=floats(n),
            habit_level=floats(n),
            coupling=floats(n, 2),
            coupling_before=floats(n, 2),
            coupling_seen=floats(n, 2, 3),
            coupling_nights=ints(n, 2),
            learn_from=ints(n),
            swap_nights=ints(n),
            run_value=floats(n),
            run_count=ints(n),
            run_day=ints(n),
            run_night=ints(n),
            run_since_ms=np.zeros(n, dtype=np.int64),
        )

    def forget_closed(self, before_ms: int) -> None:
        """Leave behind the findings that ended before a moment [ms, UTC]."""
        self.closed = [e for e in self.closed if e.end_ms is None or e.end_ms >= before_ms]

    @property
    def known(self) -> Known:
        """What the next night is reduced with."""
        habit = Habit(self.habit_from, self.habit_until, self.habit_level)
        return Known(self.own_lx, self.own_dim_lx, self.share, habit)

    @property
    def run(self) -> Run:
        """The run of equal readings carried into the next night."""
        return Run(self.run_value, self.run_count, self.run_day, self.run_night, self.run_since_ms)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Everything that is an array, by name."""
        return {
            f.name: value
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), np.ndarray)
        }


def remember(buffer: Floats, value: Floats) -> None:
    """Put each row's value in its first open place; NaN and full rows change nothing."""
    place = np.count_nonzero(np.isfinite(buffer), axis=1)
    rows = np.flatnonzero(np.isfinite(value) & (place < buffer.shape[1]))
    buffer[rows, place[rows]] = value[rows]


def remember_best(buffer: Floats, value: Floats) -> None:
    """Let each row's value take the place of its lowest one, or an open place; NaN does nothing."""
    lowest = np.argmin(np.nan_to_num(buffer, nan=-np.inf), axis=1)
    rows = np.arange(len(buffer))
    with np.errstate(invalid="ignore"):
        higher = np.isfinite(value) & ~(buffer[rows, lowest] >= value)
    buffer[rows[higher], lowest[higher]] = value[higher]
