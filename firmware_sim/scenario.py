"""Scenario files: which city, for how long, with which faults; checked with line numbers.

`docs/scenarios.md` is the reference of every key.
"""

import math
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta
from msgspec.structs import fields

from firmware_sim.errors import ScenarioError

__all__ = [
    "FAULT_KINDS",
    "GROUP_KINDS",
    "City",
    "Devices",
    "FaultRates",
    "Footfall",
    "Nuisances",
    "PlacedFault",
    "Run",
    "Scenario",
    "Weather",
    "bundled_scenarios",
    "load_scenario",
    "parse_scenario",
]

Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]
Rate = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]

NetworkServer = Literal["chirpstack_v4", "chirpstack_v3", "things_stack_v3"]
FaultKind = Literal[
    "lamp_failure",
    "dimming_failure",
    "depreciation",
    "cycling_failure",
    "lamp_unexpected_on",
    "switching_error",
    "sensor_stuck",
    "sensor_blind",
    "sensor_drift",
    "misaimed",
    "communication_failure",
]
GroupKind = Literal[
    "feeder_out", "cabinet_out", "five_in_a_row", "tunnel_out", "gateway_dead", "feeder_clock"
]
FAULT_KINDS: tuple[FaultKind, ...] = (
    "lamp_failure",
    "dimming_failure",
    "depreciation",
    "cycling_failure",
    "lamp_unexpected_on",
    "switching_error",
    "sensor_stuck",
    "sensor_blind",
    "sensor_drift",
    "misaimed",
    "communication_failure",
)
GROUP_KINDS: tuple[GroupKind, ...] = (
    "feeder_out",
    "cabinet_out",
    "five_in_a_row",
    "tunnel_out",
    "gateway_dead",
    "feeder_clock",
)


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table of a scenario: unknown keys are an error."""


class Run(Table, frozen=True):
    """`[scenario]`: name, seed, when and how long."""

    name: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")] = "city"
    seed: Annotated[int, Meta(ge=0, le=2**62)] = 1
    start: date = date(2026, 10, 1)
    days: Annotated[int, Meta(ge=1, le=3660)] = 60


class City(Table, frozen=True):
    """`[city]`: how much stands in the street, and where."""

    luminaires: Count = 1000
    luminaires_per_feeder: Annotated[int, Meta(ge=1, le=200)] = 14
    feeders_per_cabinet: Annotated[int, Meta(ge=1, le=50)] = 4
    cabinets_per_gateway: Annotated[int, Meta(ge=1, le=50)] = 1
    tunnels: Count = 12
    luminaires_per_tunnel: Annotated[int, Meta(ge=1, le=60)] = 5
    counters: Count = 30
    lat: Annotated[float, Meta(ge=-66, le=66)] = 56.05
    lon: Annotated[float, Meta(ge=-180, le=180)] = 12.69
    timezone: str = "Europe/Stockholm"


class Devices(Table, frozen=True):
    """`[devices]`: what the devices can do; shares are of feeders or of luminaires."""

    interval_s: tuple[Annotated[int, Meta(ge=60, le=3600)], ...] = (600,)
    coverage: Share = 1.0
    lux: Share = 0.95
    power: Share = 0.5
    status: Share = 0.4
    events: Share = 0.4
    battery: Share = 0.25
    lorawan: Share = 0.0
    network_server: NetworkServer = "chirpstack_v4"
    clo: Share = 0.2
    own_photocell: Share = 0.2
    feeder_photocell: Share = 0.3
    switched_feeder: Share = 0.03
    dimming: Share = 0.4
    part_night: Share = 0.05
    motion: Share = 0.1
    own_light_low: Share = 0.72
    own_light_high: Share = 0.95
    level_lx: Positive = 18.0
    nominal_error: Share = 0.1
    nominal_missing: Share = 0.1
    nominal_wrong: Share = 0.02
    noise: Share = 0.02
    gain_wander: Share = 0.022


class Weather(Table, frozen=True):
    """`[weather]`: how rough the sky is."""

    cloudiness: Share = 0.6
    rain: Share = 0.12
    snow_days: Share = 0.0
    snow_on_dome: Share = 0.3
    trees: Share = 0.25
    leaf_loss: Share = 0.12


class Nuisances(Table, frozen=True):
    """`[nuisances]`: what looks like a fault and is none."""

    loss: Share = 0.01
    bursts_per_month: Rate = 0.5
    duplicates: Share = 0.003
    out_of_order: Share = 0.005
    late_per_month: Rate = 0.3
    gateway_outages_per_month: Rate = 0.5
    gateway_keeps: Share = 0.5
    clock_skew: Share = 0.02
    local_clock: Share = 0.005
    unset_clock_per_month: Rate = 0.01
    sentinels: Share = 0.0005
    swaps_logged: Share = 0.02
    swaps_unlogged: Share = 0.005
    planned_work: Share = 0.05
    stray_light: Share = 0.05
    festive: Share = 0.02
    headlights: Share = 0.02
    event_miss: Share = 0.15
    event_false_per_month: Rate = 0.02
    sun_gaps: Share = 0.3


class FaultRates(Table, frozen=True):
    """`[faults]`: share of luminaires (feeders, cabinets, gateways) struck within the run."""

    lamp_failure: Share = 0.0
    dimming_failure: Share = 0.0
    depreciation: Share = 0.0
    cycling_failure: Share = 0.0
    lamp_unexpected_on: Share = 0.0
    switching_error: Share = 0.0
    sensor_stuck: Share = 0.0
    sensor_blind: Share = 0.0
    sensor_drift: Share = 0.0
    misaimed: Share = 0.0
    communication_failure: Share = 0.0
    feeder_out: Share = 0.0
    cabinet_out: Share = 0.0
    five_in_a_row: Share = 0.0
    tunnel_out: Share = 0.0
    gateway_dead: Share = 0.0
    feeder_clock: Share = 0.0
    older: Share = 0.05
    repaired: Share = 0.4
    repair_logged: Share = 0.8


class Footfall(Table, frozen=True):
    """`[footfall]`: how people walk past the counters."""

    interval_s: Annotated[int, Meta(ge=60, le=3600)] = 600
    busy_per_hour: Positive = 120.0
    dispersion: Positive = 12.0
    trend_per_year: Annotated[float, Meta(ge=-0.9, le=9)] = 0.02
    events_per_month: Rate = 0.5
    dead: Share = 0.0
    stuck: Share = 0.0
    one_direction: Share = 0.0


class PlacedFault(Table, frozen=True):
    """`[[fault]]`: one fault at a place of its own.

    `feeder` counts the street feeders that no placed cabinet or gateway fault touches, `lamp` the
    luminaires along it; both wrap round, so a smaller city has the fault too. For `tunnel_out`,
    `feeder` counts the tunnels.
    """

    kind: FaultKind | GroupKind
    feeder: Count = 0
    lamp: Count = 0
    gateway: Count = 0
    cabinet: Count = 0
    at_day: float = 1.0
    until_day: float | None = None
    severity: float | None = None


class Scenario(Table, frozen=True):
    """A whole scenario file."""

    scenario: Run = Run()
    city: City = City()
    devices: Devices = Devices()
    weather: Weather = Weather()
    nuisances: Nuisances = Nuisances()
    faults: FaultRates = FaultRates()
    footfall: Footfall = Footfall()
    fault: tuple[PlacedFault, ...] = ()

    @property
    def seed(self) -> int:
        """The seed of every stream."""
        return self.scenario.seed

    @property
    def start_ms(self) -> int:
        """Midnight UTC of the first day [ms]."""
        first = self.scenario.start
        return int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp()) * 1000

    @property
    def stop_ms(self) -> int:
        """Midnight UTC after the last day [ms]."""
        return self.start_ms + self.scenario.days * 86_400_000

    def changed(
        self,
        *,
        start: date | None = None,
        days: int | None = None,
        luminaires: int | None = None,
        seed: int | None = None,
    ) -> "Scenario":
        """The same scenario with another start, length, size or seed."""
        run = self.scenario
        run = msgspec.structs.replace(
            run,
            start=run.start if start is None else start,
            days=run.days if days is None else days,
            seed=run.seed if seed is None else seed,
        )
        city = self.city
        if luminaires is not None:
            city = msgspec.structs.replace(city, luminaires=luminaires)
        return msgspec.structs.replace(self, scenario=run, city=city)


TABLE_LINE = re.compile(r"^\s*(\[\[?)\s*([A-Za-z0-9_.-]+)\s*\]\]?")
KEY_LINE = re.compile(r"^\s*([A-Za-z0-9_-]+)\s*=")
SYNTAX_PLACE = re.compile(r"\(at line (\d+), column \d+\)")
ERROR_PATH = re.compile(r"at `(?:key in )?\$\.?([^`]*)`")
UNKNOWN_FIELD = re.compile(r"unknown field `([^`]+)`")


def line_numbers(text: str) -> dict[str, int]:
    """Line of every table and key, by the path msgspec names it with (`fault[2].lamp`)."""
    lines: dict[str, int] = {}
    table, arrays = "", dict[str, int]()
    for number, line in enumerate(text.splitlines(), start=1):
        if found := TABLE_LINE.match(line):
            name = found[2]
            if found[1] == "[[":
                arrays[name] = arrays.get(name, -1) + 1
                name = f"{name}[{arrays[name]}]"
            table = name
            lines.setdefault(table, number)
        elif found := KEY_LINE.match(line):
            lines.setdefault(f"{table}.{found[1]}" if table else found[1], number)
    return lines


def place_of(problem: str, lines: dict[str, int]) -> tuple[str, int]:
    """Key and line that a validation message is about."""
    found = ERROR_PATH.search(problem)
    key = found[1] if found else ""
    if unknown := UNKNOWN_FIELD.search(problem):
        key = f"{key}.{unknown[1]}" if key else unknown[1]
    where = key
    while where and where not in lines:
        shorter = re.sub(r"(\[[^\]]*\]|\.?[^.\[\]]+)$", "", where)
        where = shorter if shorter != where else ""
    return key, lines.get(where, 0)


def parse_scenario(text: str, *, file: str = "scenario") -> Scenario:
    """Read a scenario from the text of a TOML file.

    Raises
    ------
    ScenarioError
        Names file, line, key and what to do.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = SYNTAX_PLACE.search(str(error))
        raise ScenarioError(
            f"not valid TOML: {SYNTAX_PLACE.sub('', str(error)).strip()}.",
            file=file,
            line=int(found[1]) if found else len(text.splitlines()),
            remedy="See https://toml.io for the syntax.",
        ) from error
    try:
        scenario = msgspec.convert(raw, Scenario)
    except msgspec.ValidationError as error:
        key, line = place_of(str(error), line_numbers(text))
        problem = str(error).split(" - at ")[0]
        raise ScenarioError(
            f"{problem}.",
            file=file,
            line=line,
            key=key,
            remedy="Every key and its range stands in docs/scenarios.md.",
        ) from error
    check_together(scenario, file, line_numbers(text))
    return scenario


def numbers_of(scenario: Scenario) -> Iterator[tuple[str, float]]:
    """Every floating-point value of a scenario with its key."""
    tables = [(field.name, getattr(scenario, field.name)) for field in fields(scenario)]
    named = [(name, table) for name, table in tables if name != "fault"]
    named += [(f"fault[{k}]", fault) for k, fault in enumerate(scenario.fault)]
    for name, table in named:
        for field in fields(table):
            value = getattr(table, field.name)
            if isinstance(value, float):
                yield f"{name}.{field.name}", value


def check_together(scenario: Scenario, file: str, lines: dict[str, int]) -> None:
    """Refuse what single keys cannot show to be wrong."""

    def refuse(key: str, problem: str, remedy: str) -> ScenarioError:
        line = lines.get(key) or lines.get(key.split(".", maxsplit=1)[0], 0)
        return ScenarioError(problem, file=file, line=line, key=key, remedy=remedy)

    for key, value in numbers_of(scenario):
        # Keys without a range let NaN and infinity through.
        if not math.isfinite(value):
            raise refuse(key, f"{value} is no number to work with.", "Use a finite number.")
    for interval_s in (*scenario.devices.interval_s, scenario.footfall.interval_s):
        if 86_400 % interval_s:
            raise refuse(
                "devices.interval_s"
                if interval_s in scenario.devices.interval_s
                else "footfall.interval_s",
                f"{interval_s} s does not divide a day.",
                "Use 60, 300, 600, 900 or 3600.",
            )
    try:
        ZoneInfo(scenario.city.timezone)
    except (ValueError, OSError, LookupError) as error:
        problem = f"no time zone {scenario.city.timezone!r}."
        raise refuse("city.timezone", problem, "Use a name as Europe/Stockholm.") from error
    if not scenario.devices.interval_s:
        raise refuse("devices.interval_s", "no interval given.", "Use [600].")
    if scenario.devices.own_light_low > scenario.devices.own_light_high:
        raise refuse("devices.own_light_low", "above own_light_high.", "Swap the two.")
    single = sum(getattr(scenario.faults, kind) for kind in FAULT_KINDS)
    if single > 1:
        raise refuse(
            "faults",
            f"the shares of single faults add up to {single:.2f}.",
            "Keep the sum below 1.",
        )
    for number, fault in enumerate(scenario.fault):
        if fault.until_day is not None and fault.until_day <= fault.at_day:
            raise refuse(
                f"fault[{number}].until_day", "not after at_day.", "Leave it out for an open fault."
            )


def bundled_scenarios() -> dict[str, Path]:
    """Scenario files that come with the program, by name."""
    folder = Path(__file__).parent / "scenarios"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_scenario(name_or_path: str | Path) -> Scenario:
    """Read a scenario file, or one that comes with the program by its name (`demo`).

    Raises
    ------
    ScenarioError
        Names file, line, key and what to do.
    """
    known = bundled_scenarios()
    path = known.get(str(name_or_path), Path(name_or_path))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(
            f"cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8 text'}).",
            file=str(path),
            remedy=f"Name a file, or one of: {', '.join(known)}.",
        ) from error
    return parse_scenario(text, file=str(path))
