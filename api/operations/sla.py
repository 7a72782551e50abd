"""How urgent, and by when: a city's published repair rules as data, and their two clocks."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

from api.errors import BadInputError

__all__ = [
    "NO_DUE_MS",
    "ClockKind",
    "ControlScope",
    "Escalation",
    "Facts",
    "Judgement",
    "Policy",
    "Rule",
    "Verified",
    "deadline_ms",
    "is_working_day",
    "judge",
    "load_policy",
    "packaged_policies",
    "parse_policy",
]

# Sorts after every real deadline: 9999-12-31.
NO_DUE_MS = 253_370_764_800_000
DAY_MS = 86_400_000
PACKAGED = Path(__file__).parents[1] / "policies"


class ClockKind(StrEnum):
    """When time counts."""

    ALWAYS = "24x7"
    WORKING_DAYS = "working_days"


class ControlScope(StrEnum):
    """How much of the switching system is at fault."""

    NONE = "none"
    FEEDER = "feeder"
    CABINET = "cabinet"
    SYSTEM = "system"


class Verified(StrEnum):
    """Whether the rule stands on its city's page."""

    TRUE = "true"
    PARTLY = "partly"
    FALSE = "false"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a policy may ask about a matter. None means not known, and fulfils no condition.

    Attributes
    ----------
    hazard : bool
        Electrical or mechanical danger.
    out : int
        Luminaires out.
    run_out, run_unknown : int
        Longest run out in a row on one segment, and how many unknown ones it bridges.
    cluster_out : int
        Contiguous in an area.
    place_kind : frozenset of str
        crossing, junction, tunnel, stairs, stop, playground, cycle_link.
    location_category : frozenset of str
        FIWARE words (`pedestrianPath`, `park`, ...).
    fully_dark : bool or None
        Whether every luminaire of a place that is heard is out.
    control_scope : ControlScope
    prioritised : bool
        In an area the city gives priority at that date.
    exposure : float or None
        People x dark hours a night.
    kind, crew : str
    third_party : str
        Who owns the network, where the city does not.
    """

    hazard: bool = False
    out: int = 1
    run_out: int = 1
    run_unknown: int = 0
    cluster_out: int = 1
    place_kind: frozenset[str] = frozenset()
    location_category: frozenset[str] = frozenset()
    fully_dark: bool | None = None
    control_scope: ControlScope = ControlScope.NONE
    prioritised: bool = False
    exposure: float | None = None
    kind: str = ""
    crew: str = "lamp"
    third_party: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One sentence of a city's repair rules.

    Attributes
    ----------
    priority : str
        Name of one of the policy's levels.
    every, any : tuple of (str, object)
        Conditions, all of which, and at least one of which, must hold.
    first_action, repaired : str
        "PT1H", "P3D", "next_working_day", or empty.
    source : str
        The page that says so.
    quote : str
        Its words, as far as they were read.
    verified : Verified
    """

    id: str
    priority: str
    every: tuple[tuple[str, Any], ...]
    any: tuple[tuple[str, Any], ...]
    first_action: str
    repaired: str
    clock: ClockKind
    source: str
    quote: str
    verified: Verified


@dataclass(frozen=True, slots=True)
class Escalation:
    """A step of the ladder: who is told when a share of the time has passed without an answer."""

    step: int
    after: str
    role: str
    priorities: frozenset[str]

    @property
    def after_ms(self) -> int:
        """How long after the first telling."""
        return duration_ms(self.after)


@dataclass(frozen=True, slots=True)
class Policy:
    """A city's repair rules."""

    id: str
    title: str
    timezone: str
    country: str
    day_ends: time
    levels: tuple[str, ...]
    rules: tuple[Rule, ...]
    escalations: tuple[Escalation, ...] = ()
    prioritised_areas: tuple[tuple[str, date | None, date | None], ...] = ()
    exposure_weight: float = 1.0

    def rank(self, priority: str) -> int:
        """0 is the most urgent level."""
        return self.levels.index(priority)

    def is_prioritised(self, area: str, on: date) -> bool:
        """Whether the city gives the area priority on that date."""
        return any(
            name.casefold() == area.casefold()
            and (start is None or start <= on)
            and (stop is None or on < stop)
            for name, start, stop in self.prioritised_areas
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the policy says of a matter, and why."""

    priority: str
    rank: int
    rule_id: str
    first_action: str
    repaired: str
    clock: ClockKind
    why: str
    source: str
    verified: Verified


CONDITIONS: Mapping[str, type] = {
    "hazard": bool,
    "run_out": int,
    "cluster_out": int,
    "out_min": int,
    "place_kind": list,
    "location_category": list,
    "fully_dark": bool,
    "control_scope": list,
    "prioritised": bool,
    "exposure_min": float,
    "kind": list,
    "crew": list,
    "third_party": bool,
}


def holds(name: str, wanted: Any, facts: Facts) -> bool:
    """Whether one condition holds; what is not known fulfils nothing."""
    match name:
        case "hazard" | "prioritised":
            return bool(getattr(facts, name)) is wanted
        case "third_party":
            return bool(facts.third_party) is wanted
        case "fully_dark":
            return facts.fully_dark is not None and facts.fully_dark is bool(wanted)
        case "run_out" | "cluster_out":
            return bool(getattr(facts, name) >= wanted)
        case "out_min":
            return bool(facts.out >= wanted)
        case "exposure_min":
            return facts.exposure is not None and bool(facts.exposure >= wanted)
        case "place_kind" | "location_category":
            return bool(getattr(facts, name) & set(wanted))
        case _:
            return str(getattr(facts, name)) in wanted


def judge(policy: Policy, facts: Facts) -> Judgement:
    """The most urgent rule that holds; the first of them where several are as urgent.

    Raises
    ------
    BadInputError
        If no rule holds: a policy needs a last rule without conditions.
    """
    fitting = [
        rule
        for rule in policy.rules
        if all(holds(name, wanted, facts) for name, wanted in rule.every)
        and (not rule.any or any(holds(name, wanted, facts) for name, wanted in rule.any))
    ]
    if not fitting:
        raise BadInputError(
            f"policy {policy.id} has no rule for {facts}.",
            remedy="Give it a last rule without conditions.",
        )
    rule = min(fitting, key=lambda r: policy.rank(r.priority))
    return Judgement(
        rule.priority,
        policy.rank(rule.priority),
        rule.id,
        rule.first_action,
        rule.repaired,
        rule.clock,
        reason(rule, facts),
        rule.source,
        rule.verified,
    )


def reason(rule: Rule, facts: Facts) -> str:
    """One line that says which facts met which rule."""
    met = [name for name, wanted in (*rule.every, *rule.any) if holds(name, wanted, facts)]
    words = {
        "hazard": "danger",
        "run_out": f"{facts.run_out} out in a row"
        + (f", {facts.run_unknown} unknown between" if facts.run_unknown else ""),
        "cluster_out": f"{facts.cluster_out} out in one area",
        "out_min": f"{facts.out} out",
        "place_kind": f"at a {', '.join(sorted(facts.place_kind))}",
        "location_category": ", ".join(sorted(facts.location_category)),
        "fully_dark": "fully dark" if facts.fully_dark else "partly dark",
        "control_scope": f"switching of a {facts.control_scope}",
        "prioritised": "in a prioritised area",
        "exposure_min": f"{facts.exposure or 0:.0f} people in the dark a night",
        "kind": facts.kind.replace("_", " "),
        "crew": f"for the {facts.crew} crew",
        "third_party": f"network of {facts.third_party}",
    }
    return f"{rule.id}: {'; '.join(words[name] for name in met) or 'any other fault'}"


@lru_cache(maxsize=64)
def days_off(country: str, year: int) -> frozenset[date]:
    """Public and de facto holidays of a year."""
    import holidays
    from holidays.countries.sweden import Sweden

    if country == "SE":
        # A Sunday is no holiday by itself here; without de_facto Midsummer Eve would be worked.
        found: holidays.HolidayBase = Sweden(
            years=year,
            include_sundays=False,
            categories=("public", "de_facto"),
            language="en_US",
        )
    else:
        found = holidays.country_holidays(country, years=year)
    return frozenset(cast("Mapping[date, str]", found))


def is_working_day(day: date, country: str = "SE") -> bool:
    """Monday to Friday, but for public and de facto holidays."""
    return day.weekday() < 5 and day not in days_off(country, day.year)


_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?")


def duration_ms(text: str) -> int:
    """Length of an ISO 8601 duration of days, hours and minutes.

    Raises
    ------
    BadInputError
        If it is none.
    """
    found = _DURATION.fullmatch(text)
    if found is None or not any(found.groups()):
        raise BadInputError(f"{text!r} is no duration such as PT1H or P3D.")
    days, hours, minutes = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60_000


def deadline_ms(
    policy: Policy,
    within: str,
    clock: ClockKind,
    *,
    start_ms: int,
    pauses: Sequence[tuple[int, int | None]] = (),
) -> int | None:
    """When the time given runs out.

    Round the clock, every pause moves it by its length. In working days it is the end of the n-th
    working day after the start; a day on which the order is paused when work ends does not count.

    Parameters
    ----------
    within : str
        "PT1H", "P3D", "next_working_day", or empty.
    start_ms : int
        When the clock started [ms, UTC].
    pauses : sequence of (int, int or None)
        Times in which it stood still, in order; None = still does.

    Returns
    -------
    int or None
        [ms, UTC]; None without a limit, or while the clock stands still.
    """
    if not within or (pauses and pauses[-1][1] is None):
        return None
    if within == "next_working_day":
        return working_deadline_ms(policy, 1, start_ms, pauses)
    if clock is ClockKind.WORKING_DAYS and (days := duration_ms(within) // DAY_MS):
        return working_deadline_ms(policy, days, start_ms, pauses)
    due_ms = start_ms + duration_ms(within)
    for from_ms, until_ms in pauses:
        if until_ms is not None and from_ms < due_ms and until_ms > start_ms:
            due_ms += until_ms - max(from_ms, start_ms)
    return due_ms


def working_deadline_ms(
    policy: Policy, days: int, start_ms: int, pauses: Sequence[tuple[int, int | None]]
) -> int:
    """End of work on the n-th working day after the start that was not paused when it ended."""
    zone = ZoneInfo(policy.timezone)
    day = datetime.fromtimestamp(start_ms / 1000, UTC).astimezone(zone).date()
    ends_ms = start_ms
    while days:
        day += timedelta(days=1)
        if not is_working_day(day, policy.country):
            continue
        ends_ms = int(datetime.combine(day, policy.day_ends, zone).timestamp() * 1000)
        if not any(a <= ends_ms and (b is None or ends_ms < b) for a, b in pauses):
            days -= 1
    return ends_ms


def parse_policy(text: str, *, name: str) -> Policy:
    """A policy from its TOML text.

    Raises
    ------
    BadInputError
        Naming the file, the rule and what is wrong with it.
    """
    try:
        data = tomllib.loads(text)
        levels = tuple(str(level) for level in data["levels"])
        policy = Policy(
            id=str(data["id"]),
            title=str(data["title"]),
            timezone=str(data.get("timezone", "Europe/Stockholm")),
            country=str(data.get("country", "SE")),
            day_ends=time.fromisoformat(str(data.get("day_ends", "16:00"))),
            levels=levels,
            rules=tuple(parse_rule(rule, levels, name) for rule in data["rule"]),
            escalations=tuple(
                Escalation(step, str(e["after"]), str(e["role"]), frozenset(e["priorities"]))
                for step, e in enumerate(data.get("escalation", []), 1)
            ),
            prioritised_areas=tuple(
                (str(a["area"]), a.get("from"), a.get("until")) for a in data.get("prioritised", [])
            ),
            exposure_weight=float(data.get("exposure_weight", 1.0)),
        )
        for escalation in policy.escalations:
            duration_ms(escalation.after)
        ZoneInfo(policy.timezone)
    except (KeyError, TypeError, ValueError, tomllib.TOMLDecodeError) as error:
        raise BadInputError(f"policy {name}: {type(error).__name__}: {error}") from error
    if not any(not rule.every and not rule.any for rule in policy.rules):
        raise BadInputError(f"policy {name}: needs a rule without conditions, for all the rest.")
    return policy


def parse_rule(data: Mapping[str, Any], levels: Sequence[str], name: str) -> Rule:
    """One rule; every word in it is known."""
    where = f"policy {name}, rule {data.get('id', '?')}"
    if unknown := data.keys() - RULE_KEYS:
        raise BadInputError(f"{where}: unknown {', '.join(sorted(unknown))}.")
    every = tuple((key, data[key]) for key in data if key in CONDITIONS)
    either = tuple(pair for group in data.get("any", []) for pair in group.items())
    for key, value in (*every, *either):
        kind = CONDITIONS.get(key)
        good = isinstance(value, (int, float)) if kind is float else kind and type(value) is kind
        if not good:
            raise BadInputError(f"{where}: {key} = {value!r} cannot be judged.")
    if data["priority"] not in levels:
        raise BadInputError(f"{where}: priority {data['priority']!r} is none of {levels}.")
    if not data.get("source"):
        raise BadInputError(f"{where}: needs the source that says so.")
    for key in ("first_action", "repaired"):
        if data.get(key, "") not in ("", "next_working_day"):
            duration_ms(str(data[key]))
    return Rule(
        id=str(data["id"]),
        priority=str(data["priority"]),
        every=every,
        any=either,
        first_action=str(data.get("first_action", "")),
        repaired=str(data.get("repaired", "")),
        clock=ClockKind(data.get("clock", "24x7")),
        source=str(data["source"]),
        quote=str(data.get("quote", "")),
        verified=Verified(data.get("verified", "true")),
    )


RULE_KEYS = CONDITIONS.keys() | {
    "id",
    "priority",
    "any",
    "first_action",
    "repaired",
    "clock",
    "source",
    "quote",
    "verified",
}


def packaged_policies() -> dict[str, Path]:
    """The policies that come with the program, by name."""
    return {path.stem: path for path in sorted(PACKAGED.glob("*.toml"))}


def load_policy(name_or_path: str | Path = "helsingborg") -> Policy:
    """A policy that comes with the program, by name, or one's own, by path.

    Raises
    ------
    BadInputError
        If there is none, or it cannot be used.
    """
    path = packaged_policies().get(str(name_or_path)) or Path(name_or_path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInputError(
            f"policy {name_or_path}: {error.strerror}.",
            remedy=f"Give a path, or one of {', '.join(packaged_policies())}.",
        ) from error
    return parse_policy(text, name=str(name_or_path))
