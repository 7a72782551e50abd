"""What stands in the simulated city: streets, feeders, cabinets, gateways, tunnels, counters.

Everything about a feeder is drawn from the stream of its own name, so one feeder can be changed,
added or left out and every other stays as it was.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from firmware_sim.devices.lorawan import dev_eui_of
from firmware_sim.scenario import City, Devices, Scenario
from firmware_sim.streams import generator, uniform

__all__ = ["CityPlan", "Counter", "Feeder", "Floats", "build_plan"]

Floats = NDArray[np.float64]

# Districts of the city plan: name, code, degrees north and east of the city's centre (plausible).
DISTRICTS = (
    ("Dalhem", "DAL", 0.023, 0.055),
    ("Drottninghög", "DRO", 0.013, 0.051),
    ("Fredriksdal", "FRE", 0.007, 0.037),
    ("Söder", "SOD", -0.010, 0.010),
    ("Planteringen", "PLA", -0.026, 0.031),
    ("Högaborg", "HOG", -0.012, 0.022),
    ("Eneborg", "ENE", -0.010, 0.030),
    ("Gåsebäck", "GAS", -0.016, 0.019),
    ("Närlunda", "NAR", -0.017, 0.035),
    ("Rydebäck", "RYD", -0.083, 0.089),
)
# Tunnels: those the city plan names come first.
TUNNELS = (
    ("Tunnel Drottninghög–Fredriksdal (Vasatorpsvägen)", 1),
    ("Tunnel Närlunda–Söder (S. Stenbocksgatan)", 8),
    ("Tunnel Gubbaparken/Dalhem", 0),
    ("Tunnel Rydebäck (Ytterövägen)", 9),
)
STREET_STEMS = (
    "Björk", "Ek", "Lind", "Rönn", "Alm", "Hassel", "Lönn", "Ask", "Oxel", "Sälg",
    "Kastanje", "Plommon", "Körsbärs", "Pil", "Tall", "Gran", "Enbärs", "Slån", "Hagtorns", "Syren",
)  # fmt: skip
STREET_ENDS = ("vägen", "gatan", "stigen", "gången", "allén", "gränd")
STREET_CATEGORIES = ("street", "street", "street", "cycle_path", "park", "square")
LIGHTING_CLASSES = {
    "street": "M5",
    "cycle_path": "P4",
    "park": "P5",
    "square": "P3",
    "tunnel": "P2",
}
METRES_PER_DEGREE = 111_320.0
MAX_LUX = (120_000.0, 65_000.0, 2_000.0, 1_000.0)
RESOLUTIONS = (0.01, 0.1, 0.1, 1.0)


@dataclass(frozen=True)
class Feeder:
    """One outgoing circuit with its luminaires in cable order; arrays have one entry per luminaire.

    Attributes
    ----------
    level_lx : float64
        True illuminance by the own lamp and both neighbours at full level [lx].
    lorawan : bool
        Whether its devices talk through a LoRaWAN network server; their ids are DevEUIs then.
    own : float64
        Share of it that is the own lamp's.
    same_segment : bool
        Whether the luminaire stands in the same segment as the one before it.
    """

    name: str
    number: int
    seed: int
    cabinet: str
    gateway: str
    district: str
    site: str
    category: str
    tunnel: bool
    interval_s: int
    has_power: bool
    has_status: bool
    has_events: bool
    battery: bool
    lorawan: bool
    switching: str
    dimming: str
    max_lx: float
    resolution_lx: float
    device_ids: tuple[str, ...]
    luminaire_ids: tuple[str, ...]
    segments: tuple[str, ...]
    orders: NDArray[np.int64]
    same_segment: NDArray[np.bool_]
    lat: Floats
    lon: Floats
    has_lux: NDArray[np.bool_]
    has_device: NDArray[np.bool_]
    level_lx: Floats
    own: Floats
    sky_share: Floats
    dark_offset_lx: Floats
    rated_w: Floats
    clo: NDArray[np.bool_]
    trees: Floats
    sun_gap_deg: Floats
    sun_gap_depth: Floats
    nominal_lx: Floats
    phase_ms: Floats

    @property
    def size(self) -> int:
        """Number of luminaires."""
        return len(self.device_ids)

    @property
    def controller(self) -> bool:
        """Whether its devices are luminaire controllers rather than light sensors."""
        return self.has_power or self.has_status

    @cached_property
    def samples_per_day(self) -> int:
        """Readings a day."""
        return 86_400 // self.interval_s


@dataclass(frozen=True)
class Counter:
    """One footfall counter and the walk it looks at."""

    device_id: str
    number: int
    site: str
    district: str
    segment: str
    gateway: str
    category: str
    lat: float
    lon: float
    per_hour: float
    profile: str
    inwards: float
    phase_ms: int


@dataclass(frozen=True)
class CityPlan:
    """Everything that stands in the city."""

    scenario: Scenario
    feeders: tuple[Feeder, ...]
    counters: tuple[Counter, ...]

    @cached_property
    def cabinets(self) -> dict[str, list[Feeder]]:
        """Feeders by cabinet."""
        return grouped(self.feeders, "cabinet")

    @cached_property
    def gateways(self) -> dict[str, list[Feeder]]:
        """Feeders by gateway."""
        return grouped(self.feeders, "gateway")

    @property
    def device_count(self) -> int:
        """Luminaires and counters that have a device."""
        return sum(int(f.has_device.sum()) for f in self.feeders) + len(self.counters)


def grouped(feeders: tuple[Feeder, ...], key: str) -> dict[str, list[Feeder]]:
    """Feeders by the value of one attribute, in the order they first come."""
    found: dict[str, list[Feeder]] = {}
    for feeder in feeders:
        found.setdefault(getattr(feeder, key), []).append(feeder)
    return found


def build_plan(scenario: Scenario) -> CityPlan:
    """Lay out the city of a scenario."""
    city = scenario.city
    in_tunnels = min(city.tunnels * city.luminaires_per_tunnel, city.luminaires)
    tunnels = -(-in_tunnels // city.luminaires_per_tunnel) if in_tunnels else 0
    street = city.luminaires - in_tunnels
    count = -(-street // city.luminaires_per_feeder) if street else 0
    feeders = [
        street_feeder(scenario, n, street // count + (n < street % count)) for n in range(count)
    ]
    feeders += [
        tunnel_feeder(
            scenario,
            n,
            min(city.luminaires_per_tunnel, in_tunnels - n * city.luminaires_per_tunnel),
        )
        for n in range(tunnels)
    ]
    plan = CityPlan(scenario, tuple(feeders), ())
    return CityPlan(
        scenario, plan.feeders, tuple(counter(plan, number) for number in range(city.counters))
    )


def circuit(scenario: Scenario, code: str, nth: int) -> tuple[str, str]:
    """Cabinet and gateway of the nth feeder of a district."""
    cabinet = nth // scenario.city.feeders_per_cabinet
    gateway = cabinet // scenario.city.cabinets_per_gateway
    return f"C-{code}-{cabinet + 1:02d}", f"G-{code}-{gateway + 1:02d}"


def street_feeder(scenario: Scenario, number: int, size: int) -> Feeder:
    """A feeder along one to three streets."""
    district, code, _, _ = DISTRICTS[number % len(DISTRICTS)]
    nth = number // len(DISTRICTS)
    name = f"F-{code}-{nth + 1:02d}"
    cabinet, gateway = circuit(scenario, code, nth)
    rng = generator(scenario.seed, "feeder", name)
    pieces = int(rng.integers(1, 4)) if size >= 12 else 1
    category = STREET_CATEGORIES[int(rng.integers(len(STREET_CATEGORIES)))]
    return lay_feeder(
        scenario, rng, name, number, size, cabinet, gateway, district, f"{district} {code}",
        category, pieces, tunnel=False,
    )  # fmt: skip


def tunnel_feeder(scenario: Scenario, number: int, size: int) -> Feeder:
    """A pedestrian tunnel: portals at both ends, interior between, lit day and night."""
    named = TUNNELS[number] if number < len(TUNNELS) else None
    home = named[1] if named else number % len(DISTRICTS)
    district, code, _, _ = DISTRICTS[home]
    site = named[0] if named else f"Tunnel {district} {number + 1}"
    name = f"F-T{number + 1:02d}"
    cabinet, gateway = circuit(scenario, code, 0)
    rng = generator(scenario.seed, "feeder", name)
    return lay_feeder(
        scenario, rng, name, 100_000 + number, size, cabinet, gateway, district, site, "tunnel", 1,
        tunnel=True,
    )  # fmt: skip


def street_name(rng: np.random.Generator) -> str:
    """An invented street name."""
    stem = STREET_STEMS[int(rng.integers(len(STREET_STEMS)))]
    return stem + STREET_ENDS[int(rng.integers(len(STREET_ENDS)))]


def polyline(
    rng: np.random.Generator, lat: float, lon: float, size: int, spacing_m: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Positions along a gently bending way."""
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.12, size))
    step = rng.uniform(*spacing_m, size)
    north = np.cumsum(step * np.cos(heading)) / METRES_PER_DEGREE
    east = np.cumsum(step * np.sin(heading)) / (METRES_PER_DEGREE * np.cos(np.deg2rad(lat)))
    return lat + north, lon + east


def lay_feeder(
    scenario: Scenario,
    rng: np.random.Generator,
    name: str,
    number: int,
    size: int,
    cabinet: str,
    gateway: str,
    district: str,
    site: str,
    category: str,
    pieces: int,
    *,
    tunnel: bool,
) -> Feeder:
    """Draw everything about one feeder from its own stream."""
    setup = scenario.devices
    code = name[2:]
    segments, orders, lat, lon = lay_segments(
        scenario.city, rng, code, size, district, site if tunnel else "", pieces
    )
    u = rng.random(12)
    switching, dimming = programme(scenario, u, tunnel=tunnel)
    # Fed at night alone: its devices are silent by day, and that is no fault.
    if not tunnel and uniform(scenario.seed, "energised", name) < setup.switched_feeder:
        switching, dimming = "feeder", ""
    product = int(u[0] * len(MAX_LUX))
    base_lx = setup.level_lx * (3.0 if tunnel else 1.0)
    level = np.clip(
        base_lx * np.exp(rng.normal(0, 0.35)) * np.exp(rng.normal(0, 0.18, size)), 4.0, 400.0
    )
    own = rng.uniform(setup.own_light_low, setup.own_light_high, size)
    portal = (np.arange(size) == 0) | (np.arange(size) == size - 1)
    sky = np.exp(rng.normal(np.log(0.12), 0.45, size)).clip(0.02, 0.5)
    sky = np.where(portal, sky * 0.3, sky * 0.006) if tunnel else sky
    registry = level * np.exp(rng.normal(0, max(setup.nominal_error, 1e-9), size))
    v = rng.random((6, size))
    registry = as_registered(setup, registry, v)
    interval_s = setup.interval_s[int(u[1] * len(setup.interval_s))]
    powered = bool(u[2] < setup.power)
    tells = bool(u[3] < setup.status), bool(u[4] < setup.events)
    has_lux = v[3] < setup.lux
    if not (powered or tells[0]):
        has_lux = np.ones(size, np.bool_)  # a device that can tell nothing would not be there
    by_radio = uniform(scenario.seed, "lorawan", name) < setup.lorawan
    names = tuple(f"L-{code}-{k + 1:02d}" for k in range(size))
    return Feeder(
        name=name,
        number=number,
        seed=scenario.seed,
        cabinet=cabinet,
        gateway=gateway,
        district=district,
        site=site,
        category=category,
        tunnel=tunnel,
        interval_s=interval_s,
        has_power=powered,
        has_status=tells[0],
        # A light sensor on LoRaWAN has no words for faults.
        has_events=tells[1] and (not by_radio or powered or tells[0]),
        battery=bool(u[5] < setup.battery) and not powered and switching != "feeder",
        lorawan=by_radio,
        switching=switching,
        dimming=dimming,
        max_lx=MAX_LUX[product],
        resolution_lx=RESOLUTIONS[int(u[6] * len(RESOLUTIONS))],
        device_ids=tuple(map(dev_eui_of, names)) if by_radio else names,
        luminaire_ids=names,
        segments=tuple(segments),
        orders=orders,
        same_segment=np.array([k > 0 and segments[k] == segments[k - 1] for k in range(size)]),
        lat=lat,
        lon=lon,
        has_lux=has_lux,
        has_device=v[4] < setup.coverage,
        level_lx=level,
        own=own,
        sky_share=sky,
        dark_offset_lx=np.where(rng.random(size) < 0.2, rng.uniform(0.02, 0.25, size), 0.0),
        rated_w=np.full(size, float(rng.choice([22.0, 31.0, 42.0, 58.0]))),
        clo=v[5] < setup.clo,
        trees=np.where(rng.random(size) < scenario.weather.trees, rng.uniform(0.3, 1.0, size), 0.0)
        * (not tunnel),
        sun_gap_deg=rng.uniform(80, 280, size),
        sun_gap_depth=np.where(
            rng.random(size) < scenario.nuisances.sun_gaps, rng.uniform(0.2, 2.0, size), 0.0
        )
        * (not tunnel),
        nominal_lx=registry,
        phase_ms=np.floor(rng.random(size) * (interval_s * 0.8) * 1000),
    )


def lay_segments(
    city: City,
    rng: np.random.Generator,
    code: str,
    size: int,
    district: str,
    tunnel: str,
    pieces: int,
) -> tuple[list[str], NDArray[np.int64], Floats, Floats]:
    """Segment, order in it, latitude and longitude of each lamp of a feeder (or of a tunnel)."""
    north, east = next((n, e) for d, _, n, e in DISTRICTS if d == district)
    spacing = (6.0, 12.0) if tunnel else (25.0, 40.0)
    segments: list[str] = []
    lats, lons, orders = [], [], []
    for k in range(pieces):
        length = size // pieces + (k < size % pieces)
        at = rng.normal(0, 0.0045, 2)
        lat, lon = polyline(
            rng, city.lat + north + at[0], city.lon + east + at[1] * 1.8, length, spacing
        )
        segments += [tunnel or f"{street_name(rng)} {code}:{k + 1}"] * length
        lats.append(lat)
        lons.append(lon)
        orders.append(np.arange(1, length + 1))
    return (
        segments,
        np.concatenate(orders),
        np.concatenate(lats).round(6),
        np.concatenate(lons).round(6),
    )


def as_registered(setup: Devices, level: Floats, v: Floats) -> Floats:
    """What the registry says of the levels: some are wrong by a class or two, some are missing."""
    wrong = np.where(v[0] < setup.nominal_wrong, level * np.where(v[1] < 0.5, 0.4, 2.2), level)
    return np.where(v[2] < setup.nominal_missing, np.nan, np.round(wrong, 1))


def programme(scenario: Scenario, u: Floats, *, tunnel: bool) -> tuple[str, str]:
    """Who switches the feeder, and how it is dimmed, in the words of the assets format."""
    setup = scenario.devices
    if tunnel:
        return "always", ""
    if u[7] < setup.own_photocell:
        switching = "own_photocell"
    elif u[7] < setup.own_photocell + setup.feeder_photocell:
        switching = "photocell"
    else:
        switching = "astro"
    if u[8] < setup.part_night:
        return switching, "00:30-04:30@0"
    if u[8] < setup.part_night + setup.motion:
        return switching, "motion:22:00-05:00@30"
    if u[8] < setup.part_night + setup.motion + setup.dimming:
        level = (40, 50, 60)[int(u[9] * 3)]
        begin = ("22:00", "23:00", "00:00")[int(u[10] * 3)]
        return switching, f"{begin}-05:00@{level}"
    return switching, ""


def counter(plan: CityPlan, number: int) -> Counter:
    """The nth footfall counter: tunnels first, then one at a street of each district in turn."""
    scenario = plan.scenario
    tunnels = [f for f in plan.feeders if f.tunnel]
    streets = [f for f in plan.feeders if not f.tunnel]
    device_id = f"N-{number + 1:03d}"
    rng = generator(scenario.seed, "counter", device_id)
    if number < len(tunnels) or not streets:
        if not tunnels:
            return lone_counter(scenario, rng, device_id, number)
        home = tunnels[number % len(tunnels)]
        site, profile, scale = home.site, "commuting", 0.25
    else:
        again, at = divmod(number - len(tunnels), len(streets))
        home = streets[at]
        profile, scale = walk_of(home.category)
        site = f"{home.segments[0]}, {home.district}" + (f" ({again + 1})" if again else "")
    middle = home.size // 2
    return Counter(
        device_id=device_id,
        number=number,
        site=site,
        district=home.district,
        segment=home.segments[middle],
        gateway=home.gateway,
        category=home.category,
        lat=float(home.lat[middle]),
        lon=float(home.lon[middle]),
        per_hour=float(scenario.footfall.busy_per_hour * scale * np.exp(rng.normal(0, 0.5))),
        profile=profile,
        inwards=float(rng.uniform(0.4, 0.6)),
        phase_ms=int(rng.integers(0, 20_000)),
    )


def walk_of(category: str) -> tuple[str, float]:
    """Profile of the week and size of a place of this kind."""
    return {
        "square": ("shopping", 1.0),
        "park": ("leisure", 0.15),
        "cycle_path": ("commuting", 0.4),
    }.get(category, ("street", 0.6))


def lone_counter(
    scenario: Scenario, rng: np.random.Generator, device_id: str, number: int
) -> Counter:
    """A counter in a city without luminaires."""
    district, code, north, east = DISTRICTS[number % len(DISTRICTS)]
    return Counter(
        device_id, number, f"{district} torg {number // len(DISTRICTS) + 1}", district, "",
        f"G-{code}-01", "square", round(scenario.city.lat + north, 6),
        round(scenario.city.lon + east, 6),
        float(scenario.footfall.busy_per_hour * np.exp(rng.normal(0, 0.5))), "shopping",
        float(rng.uniform(0.4, 0.6)), int(uniform(scenario.seed, "phase", device_id) * 20_000),
    )  # fmt: skip
