"""A second city with known faults, written from physics and trade practice alone.

It shares no code and no parameters with `firmware_sim`, nor with what reads and judges: another
sun, another sky, other sensors, switching, dimming and wear. Streets, cables, programmes and faults
stand here; `other_feed` works out every minute of every luminaire and what the devices tell of it.
"""

from dataclasses import dataclass, field

import numpy as np
from quality.other_sky import MINUTES, Sky

HOUR, NEVER = 60, 10**9


@dataclass(frozen=True)
class Plan:
    """What one feed is made of; shares are of luminaires, counts are of the whole feed."""

    name: str
    seed: int
    start: str
    days: int = 45
    lamps: int = 280
    lat: float = 57.7
    lon: float = 12.0
    tz: str = "Europe/Stockholm"
    intervals: tuple[int, ...] = (10,)
    on_change: float = 0.0
    facing: tuple[float, float, float] = (0.6, 0.2, 0.2)  # lamp, up, down
    resolution: tuple[float, ...] = (0.1, 0.5)  # lx; below zero: share of the value (logarithmic)
    ceilings: tuple[float, ...] = (2000.0, 65535.0, 120000.0)
    registry: str = "good"  # good | noisy | no_feeder | no_segment | bare
    no_lux: float = 0.06
    watts: float = 0.35
    reports: float = 0.4
    battery: float = 0.4
    switching: tuple[float, ...] = (0.5, 0.25, 0.15, 0.1)  # astro, photocell, own_photocell, feeder
    dimming: tuple[float, ...] = (0.3, 0.25, 0.15, 0.1, 0.1, 0.1)  # the order of DIMMING
    declared: float = 1.0  # share of dimming programmes that the registry tells
    discharge: float = 0.0
    cloudiness: float = 0.6
    snow: tuple[tuple[float, float, float], ...] = ()  # day, centimetres, days lying
    trees: float = 0.25
    shops: float = 0.06
    festive: bool = False
    loss: float = 0.01
    each: int = 4  # faults of each single kind
    groups: tuple[str, ...] = (
        "feeder",
        "feeder",
        "run",
        "run",
        "tunnel",
        "cabinet",
        "gateway",
        "clock",
    )


DIMMING = ("none", "fixed", "steps", "part_night", "motion", "own_midnight")
PROGRAMME = {
    "none": "", "fixed": "23:00-05:00@50", "steps": "21:30-23:30@70;23:30-04:30@35;04:30-06:00@70",
    "part_night": "00:30-04:45@0", "motion": "motion:22:00-05:30@25", "own_midnight": "",
}  # fmt: skip
SINGLE = (
    "lamp_failure", "dimming_failure", "depreciation", "cycling_failure", "lamp_unexpected_on",
    "switching_error", "sensor_stuck", "sensor_blind", "sensor_drift", "misaimed",
    "communication_failure",
)  # fmt: skip
SENSOR_SIDE = {"sensor_stuck", "sensor_blind", "sensor_drift", "communication_failure"}
NEEDS_LUX = {"depreciation", "sensor_stuck", "sensor_blind", "sensor_drift", "misaimed"}
BY_WATTS = {
    "lamp_failure",
    "dimming_failure",
    "cycling_failure",
    "lamp_unexpected_on",
    "switching_error",
}
BY_REPORT = {"lamp_failure", "cycling_failure", "lamp_unexpected_on"}
SLOW = {"depreciation", "sensor_drift"}


@dataclass
class Fault:
    """One row of truth: minutes from the start of the feed, and how it shows."""

    kind: str
    lamp: int
    start: int
    end: int
    incident: str
    cause_kind: str
    cause_id: str
    how: dict = field(default_factory=dict)


class Town:
    """Streets, cables, sensors and programmes: arrays (lamps,) unless a comment says otherwise."""

    def __init__(self, plan: Plan) -> None:
        rng = np.random.default_rng([plan.seed, 1])
        self.plan = plan
        rows, self.segments = [], []
        cabinet = feeder = 0
        while len(rows) < plan.lamps:
            cabinet += 1
            for _ in range(rng.integers(3, 5)):
                feeder += 1
                switching = rng.choice(
                    ["astro", "photocell", "own_photocell", "feeder"], p=plan.switching
                )
                for _ in range(rng.integers(1, 3)):
                    n = int(rng.integers(7, 15))
                    self.segments.append(self._segment(rng, len(self.segments), False))
                    rows += [
                        (len(self.segments) - 1, k, feeder - 1, cabinet - 1, switching)
                        for k in range(n)
                    ]
            feeder += 1
            self.segments.append(self._segment(rng, len(self.segments), True))
            n = int(rng.integers(5, 9))
            rows += [
                (len(self.segments) - 1, k, feeder - 1, cabinet - 1, "always") for k in range(n)
            ]
        self.seg, self.order, self.feeder, self.cabinet = (
            np.array([r[i] for r in rows]) for i in range(4)
        )
        self.switching = np.array([r[4] for r in rows])
        self.n = n = len(rows)
        self.gateway = (self.cabinet * 2 + (rng.random(n) < 0.3) + 2 * (rng.random(n) < 0.1)) // 1
        self.id = np.array([f"n{k:04d}x{plan.seed % 97}" for k in range(n)])
        street = {
            key: np.array([s[key] for s in self.segments])[self.seg] for key in self.segments[0]
        }
        self.tunnel = street["tunnel"]
        self.motion_share = street["traffic"]
        self.lat = plan.lat + street["y"] + 0.0003 * self.order * np.sin(street["turn"])
        self.lon = plan.lon + street["x"] + 0.0005 * self.order * np.cos(street["turn"])
        self._sensors(rng, plan, street)

    @staticmethod
    def _segment(rng, index, tunnel):
        return {
            "tunnel": tunnel,
            "height": rng.uniform(2.6, 3.2) if tunnel else rng.choice([4, 5, 6, 8, 10]),
            "gap": rng.uniform(3, 6) if tunnel else rng.uniform(3.0, 4.6),  # in heights on roads
            "flux": rng.uniform(2000, 3500) if tunnel else rng.uniform(450, 900),  # lm a metre
            "x": 0.004 * (index % 6) + rng.normal(0, 3e-4),
            "y": 0.003 * (index // 6) + rng.normal(0, 3e-4), "turn": rng.uniform(0, 6.28),
            "traffic": rng.lognormal(0, 0.7), "trees": rng.random(), "lag": index % 6 - 3,
            "shops": rng.random(), "lanes": rng.choice([3.0, 6.0, 7.5]),
        }  # fmt: skip

    def _sensors(self, rng, plan, street):
        n = self.n
        self.facing = np.where(
            self.tunnel, "lamp", rng.choice(["lamp", "up", "down"], size=n, p=plan.facing)
        )
        # Ground level by the lumen method; what a sensor has of it depends on where it looks.
        pace = np.where(self.tunnel, street["gap"], street["gap"] * street["height"])
        lumen = np.where(self.tunnel, street["flux"], street["flux"] * street["height"])
        ground = 0.42 * lumen / (pace * street["lanes"]) * rng.lognormal(0, 0.08, n)
        pick = [self.facing == "lamp", self.facing == "up"]
        per_seg = np.random.default_rng([plan.seed, 2]).lognormal(0, 0.25, len(self.segments))[
            self.seg
        ]
        albedo = rng.uniform(0.14, 0.3, n)
        self.albedo = albedo
        self.own = ground * per_seg * np.select(pick, [2.5, 0.8], albedo * 1.2)
        self.near = np.select(
            pick, [rng.uniform(0.02, 0.1, n), rng.uniform(0.06, 0.22, n)], rng.uniform(0.1, 0.25, n)
        )
        self.sky = np.select(
            pick,
            [rng.uniform(0.04, 0.2, n), rng.uniform(0.4, 0.9, n)],
            albedo * rng.uniform(0.5, 0.9, n),
        )
        last = np.r_[self.seg[1:] != self.seg[:-1], True]
        portal = self.tunnel & ((self.order == 0) | last)
        self.sky = np.where(self.tunnel, np.where(portal, 0.03, 3e-4), self.sky)
        self.res = rng.choice(plan.resolution, n)
        fine = (self.own < 15 * self.res) & (self.res > 0.2)
        self.res = np.where(fine & ~np.isin(1.0, plan.resolution), 0.1, self.res)
        self.ceiling = rng.choice(plan.ceilings, n)
        self.noise = rng.uniform(0.005, 0.03, n)
        self.interval = rng.choice(plan.intervals, n)
        self.on_change = rng.random(n) < plan.on_change
        self.lux = rng.random(n) >= plan.no_lux
        self.battery = self.lux & (rng.random(n) < plan.battery)
        self.watts = ~self.battery & (
            (rng.random(n) < plan.watts) | (~self.lux & (rng.random(n) < 0.6))
        )
        self.report = np.where(
            ~self.lux & ~self.watts, "events",
            np.where(rng.random(n) < plan.reports, rng.choice(["status", "events"], n), ""),
        )  # fmt: skip
        self.report[self.battery] = ""
        self.rated = np.round(lumen / 130, 0)
        self.trees = np.where(
            (street["trees"] < plan.trees) & ~self.tunnel, rng.uniform(0.2, 0.6, n), 0.0
        )
        self.shop = ((rng.random(n) < plan.shops) & ~self.tunnel) * rng.uniform(0.05, 0.3, n)
        # Where the sun itself is hidden: one horizon for each of 12 directions of a street.
        walls = np.random.default_rng([plan.seed, 3]).gamma(2.0, 6.0, (len(self.segments), 12))
        self.walls = walls[self.seg] + rng.normal(0, 2, (n, 12))


def hold(on, off):
    """State that `on` sets and `off` clears, minute by minute; (minutes,) bool."""
    at = np.arange(on.size)
    last_on = np.maximum.accumulate(np.where(on, at, -1))
    last_off = np.maximum.accumulate(np.where(off, at, -1))
    return last_on > last_off


def programme(town: Town, sky: Sky, wall, weekday):
    """Commanded level by the minute: (segments, minutes) float32, 0 where it should not burn."""
    plan, rng = town.plan, np.random.default_rng([town.plan.seed, 4])
    n = wall.size
    wanted = rng.choice(DIMMING, size=len(town.segments), p=plan.dimming)
    level = np.zeros((len(town.segments), n), dtype=np.float32)
    trigger = {
        f: (rng.uniform(-4.2, -1.2), rng.uniform(18, 55)) for f in range(town.feeder.max() + 1)
    }
    lag_of = {f: town.segments[town.seg[town.feeder == f][0]]["lag"] for f in trigger}
    minute = np.arange(n)
    for s, street in enumerate(town.segments):
        first = int(np.flatnonzero(town.seg == s)[0])
        street["dimming"] = "none" if street["tunnel"] else wanted[s]
        feeder = int(town.feeder[first])
        degrees, lux = trigger[feeder]
        if street["tunnel"]:
            level[s] = 1.0
            continue
        if town.switching[first] == "astro":  # tables of a week: Monday's sun serves until Sunday
            monday = np.where(minute < 6 * MINUTES, minute % MINUTES, minute - weekday * MINUTES)
            table = sky.altitude[monday + sky.margin]
            lit = table < degrees
        else:
            seen = sky.over(sky.diffuse + sky.beam + sky.night, lag_of[feeder])
            seen = np.convolve(np.log(seen + 1e-3), np.ones(4) / 4, "same")
            lit = hold(seen < np.log(lux), seen > np.log(1.5 * lux))
        level[s] = lit
        kind = street["dimming"]
        if kind == "fixed":
            level[s][(wall >= 23 * HOUR) | (wall < 5 * HOUR)] *= 0.5
        elif kind == "steps":
            deep = (wall >= 23.5 * HOUR) | (wall < 4.5 * HOUR)
            edge = (wall >= 21.5 * HOUR) | (wall < 6 * HOUR)
            level[s] *= np.where(deep, 0.35, np.where(edge, 0.7, 1.0))
        elif kind == "part_night":
            level[s][(wall >= 30) & (wall < 4.75 * HOUR)] = 0
        elif kind == "motion":
            busy = 0.05 * street["traffic"] * (0.15 + np.cos(np.pi * (wall / HOUR - 17) / 24) ** 4)
            passed = rng.random(n) < busy
            recent = hold(passed, np.r_[np.zeros(4, bool), passed[:-4]] & ~passed) | passed
            level[s] *= np.where(((wall >= 22 * HOUR) | (wall < 5.5 * HOUR)) & ~recent, 0.25, 1.0)
        elif kind == "own_midnight":
            solar = (minute + 4 * plan.lon) % MINUTES  # drivers without a clock halve the night
            level[s][(solar >= 22 * HOUR) | (solar < 4 * HOUR)] *= 0.6
    return level


def burning(level, lo, hi, rng):
    """A random minute in [lo, hi) at which it burns, darkness permitting."""
    lit = np.flatnonzero(level[lo:hi] > 0.2)
    return lo + int(rng.choice(lit)) if lit.size else int(rng.integers(lo, hi))


def draw_groups(town: Town, level, rng) -> list[Fault]:
    """Faults with one cause and many luminaires."""
    plan, faults = town.plan, []
    total = plan.days * MINUTES
    for g, what in enumerate(plan.groups):
        day = int(rng.integers(8, plan.days - 5))
        roads = ~town.tunnel
        one = int(rng.choice(np.flatnonzero(town.tunnel if what == "tunnel" else roads)))
        if what in {"feeder", "clock"}:
            big = [f for f in np.unique(town.feeder[roads]) if (town.feeder == f).sum() >= 7]
            big = [
                f
                for f in big
                if what == "feeder" or town.switching[town.feeder == f][0] in {"astro", "feeder"}
            ] or big
            value = rng.choice(big)
            members, cause = np.flatnonzero(town.feeder == value), ("feeder", f"F{value:02d}")
        elif what == "cabinet":
            value = town.cabinet[one]
            members, cause = np.flatnonzero(town.cabinet == value), ("cabinet", f"C{value}")
        elif what == "gateway":
            value = town.gateway[one]
            members, cause = np.flatnonzero(town.gateway == value), ("gateway", f"G{value}")
        else:
            members = np.flatnonzero(town.seg == town.seg[one])
            cause = ("segment", f"S{town.seg[one]:02d}")
            if what == "run":
                members = members[-max(5, members.size // 2) :]
        start = burning(level[town.seg[members[0]]], day * MINUTES, (day + 1) * MINUTES, rng)
        lasting = {"gateway": (30, 80), "clock": (120, 400)}.get(what, (10, 72))
        end = min(start + int(rng.uniform(*lasting) * HOUR), NEVER)
        kind = {"gateway": "communication_failure", "clock": "switching_error"}.get(
            what, "supply_loss"
        )
        how = {"shift": int(rng.choice([-1, 1]) * rng.uniform(40, 100))} if what == "clock" else {}
        if any(near(f, m, start, end) for f in faults for m in members):
            continue
        end = end if end < total else NEVER
        faults += [Fault(kind, int(m), start, end, f"g{g}", *cause, how) for m in members]
    return faults


def near(fault, lamp, start, end):
    """Whether a fault of this lamp lies within five days of the interval."""
    return (
        fault.lamp == lamp and fault.start - 5 * MINUTES < end and start - 5 * MINUTES < fault.end
    )


def suitable(town, kind, lamp):
    """Whether this luminaire's device could know of such a fault at all."""
    if town.tunnel[lamp] and kind in {"lamp_unexpected_on", "switching_error", "misaimed"}:
        return False
    if kind in {"lamp_unexpected_on", "switching_error"} and town.switching[lamp] == "feeder":
        return False  # nothing burns on a cable without voltage
    asleep = town.switching[lamp] == "feeder" and not town.battery[lamp]
    if asleep and kind in NEEDS_LUX - {"depreciation"}:
        return False  # silent by day: nothing tells its sensor from its lamp
    if town.sky[lamp] < 0.01 and kind in NEEDS_LUX | {"dimming_failure"} and not town.watts[lamp]:
        return kind == "sensor_stuck" and bool(
            town.lux[lamp]
        )  # no daylight: lamp and sensor look alike
    if town.lux[lamp] or kind == "communication_failure":
        return True
    return kind in (BY_WATTS if town.watts[lamp] else BY_REPORT)


def draw_faults(town: Town, level) -> list[Fault]:
    """All of truth: groups first, then single faults on luminaires that are free then."""
    plan, rng = town.plan, np.random.default_rng([town.plan.seed, 5])
    faults = draw_groups(town, level, rng)
    total = plan.days * MINUTES
    single: set[int] = set()
    for kind in SINGLE:
        for k in range(plan.each):
            for _ in range(200):
                lamp = int(rng.integers(town.n))
                lo, hi = (4, max(7, plan.days - 32)) if kind in SLOW else (3, max(4, plan.days - 6))
                day = int(rng.integers(lo, hi))
                start = burning(level[town.seg[lamp]], day * MINUTES, (day + 1) * MINUTES, rng)
                old = kind in {"lamp_failure", "sensor_stuck"} and k == 3
                start = -3 * MINUTES if old else start
                mended = kind not in SLOW and rng.random() < 0.35
                end = start + int(rng.uniform(4, 14) * MINUTES) if mended else NEVER
                if lamp in single or not suitable(town, kind, lamp):
                    continue
                if any(near(f, lamp, start, min(end, total)) for f in faults):
                    continue
                break
            else:
                continue
            single.add(lamp)
            side = "sensor" if kind in SENSOR_SIDE else "luminaire"
            faults.append(
                Fault(
                    kind,
                    lamp,
                    start,
                    end if end < total else NEVER,
                    f"s{len(faults)}",
                    side,
                    str(town.id[lamp]),
                    shape(kind, rng),
                )
            )
    return faults


BETWEEN = {  # what is left, and how fast it comes
    "dimming_failure": {"part": (0.3, 0.75)},
    "depreciation": {"part": (0.5, 0.78), "days": (14, 26)},
    "sensor_blind": {"part": (0.06, 0.45)},
    "cycling_failure": {"on": (25, 70), "off": (12, 35), "nights": (0.6, 1.0)},
    "turned_up": {"part": (0.15, 0.5), "sky": (1.6, 3.5), "near": (0.4, 1.5)},
    "twisted_away": {"part": (0.06, 0.18), "sky": (0.45, 0.65), "near": (0.1, 0.3)},
}


def shape(kind, rng):
    """How much, how fast and in which way one fault of a kind shows."""
    if kind == "sensor_drift":
        by = float(np.exp(rng.choice([-1, 1]) * rng.uniform(0.35, 0.9)))
        return {"part": by, "days": rng.uniform(12, 26)}
    if kind == "switching_error":
        minutes, which = int(rng.uniform(40, 130)), rng.integers(3)
        sign = int(rng.choice([-1, 1]))
        return [{"late": minutes}, {"early": minutes}, {"shift": minutes * sign}][which]
    if kind == "sensor_stuck":
        return {"at": rng.choice(["held", "held", "zero", "ceiling"])}
    if kind == "misaimed":
        kind = "turned_up" if rng.random() < 0.8 else "twisted_away"
    return {name: rng.uniform(*ends) for name, ends in BETWEEN.get(kind, {}).items()}
