"""What the devices of the second city tell, and the interchange files that hold it."""

import csv
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from quality.other_city import NEVER, PROGRAMME, Fault, Plan, Town, draw_faults, programme
from quality.other_sky import MINUTES, build_sky, local_minute, midnight, smooth_noise

EVENT_OF = {
    "lamp_failure": ("lamp_failure", 0.85, 1),
    "cycling_failure": ("cycling_failure", 0.6, 16),
    "lamp_unexpected_on": ("lamp_unexpected_on", 0.7, 0),
    "dimming_failure": ("control_gear_failure", 0.4, 2),
}


class Street:
    """Every minute of one segment: matrices (luminaires, minutes) of light, power and gain."""

    def __init__(self, town, sky, level, rows, wall, start, faults):
        self.town, self.sky, self.rows, self.start = town, sky, rows, start
        self.n, self.m = len(rows), wall.size
        self.rng = np.random.default_rng([town.plan.seed, 10, int(town.seg[rows[0]])])
        self.street = town.segments[town.seg[rows[0]]]
        self.level = np.repeat(level[None], self.n, axis=0)
        self.fed = level > 0
        if town.segments[town.seg[rows[0]]]["dimming"] == "part_night":
            self.fed |= (wall >= 30) & (wall < 4.75 * 60)  # the drivers sleep, the cable does not
        self.part = np.ones((self.n, self.m), np.float32)  # of the light that the level should give
        self.kept = np.ones((self.n, self.m), np.float32)  # of the power
        self.gain = np.ones((self.n, self.m), np.float32)
        self.own_path = np.ones((self.n, self.m), np.float32)
        self.near_path = np.ones((self.n, self.m), np.float32)
        self.sky_path = np.ones((self.n, self.m), np.float32)
        self.dead = np.zeros((self.n, self.m), bool)
        self._own_switching()
        self._habits(wall)
        for f in faults:
            self._apply(f, list(rows).index(f.lamp))

    def _own_switching(self):
        """Own photocells differ; each lamp's switching moves by some minutes."""
        if self.town.switching[self.rows[0]] == "own_photocell":
            for k, by in enumerate(self.rng.integers(-9, 10, self.n)):
                self.level[k] = np.roll(self.level[k], by)

    def _habits(self, wall):
        """What moves light and gain in a healthy street."""
        town, rows, rng = self.town, self.rows, self.rng
        day = np.arange(self.m) / MINUTES
        wander = smooth_noise(rng, self.m, 4 * MINUTES, self.n) * rng.uniform(
            0.008, 0.03, (self.n, 1)
        )
        self.gain *= np.exp(wander - 0.0006 * day * rng.uniform(0, 1.5, (self.n, 1))).astype(
            np.float32
        )
        self.gain[:] = np.where(self.up()[:, None], self.gain * self._snow_on_dome(), self.gain)
        doy = self.start.timetuple().tm_yday + day + rng.normal(0, 4)
        leaf = 1 / (1 + np.exp(-(doy - 133) / 4)) / (1 + np.exp((doy - 298) / 6))
        trees = town.trees[rows][:, None]
        below = np.where(town.facing[rows] == "lamp", 0.25, 1.0)[:, None]
        self.own_path *= (1 - 0.6 * trees * below * leaf).astype(np.float32)
        self.sky_path *= (1 - trees * leaf).astype(np.float32)

    def up(self):
        return self.town.facing[self.rows] == "up"

    def _snow_on_dome(self):
        """Transmission of the snow on sensors that look up: falls, then melts at its own pace."""
        depth = np.zeros((self.n, self.m), np.float32)
        falls = self.sky.over(self.sky.snowfall, 0)
        if not falls.any():
            return 1.0
        melt = self.rng.uniform(2, 26, (self.n, 1)) * 60
        load = self.rng.gamma(1.2, 0.8, (self.n, 1))
        starts = np.flatnonzero(np.diff(falls) > 0)
        at = np.arange(self.m)
        for s in starts:
            stop = s + int(falls[s + 1 :].argmin() if not falls[s + 1 :].all() else self.m - s)
            grown = np.clip((at - s) / max(stop - s, 1), 0, 1)
            depth += load * np.where(
                at >= s, grown * np.exp(-np.clip(at - stop, 0, None) / melt), 0
            )
        return np.exp(-depth)

    def _apply(self, f: Fault, k):
        """Put one fault into the matrices."""
        a, b = max(f.start, 0), min(f.end, self.m)
        on = slice(a, b)
        ramp = np.clip((np.arange(a, b) - f.start) / (f.how.get("days", 1) * MINUTES), 0, 1)
        if f.kind == "lamp_failure":
            self.part[k, on] = self.kept[k, on] = 0.0
        elif f.kind == "dimming_failure":
            self.part[k, on], self.kept[k, on] = f.how["part"], f.how["part"] + 0.03
        elif f.kind == "depreciation":
            self.part[k, on] = f.how["part"] ** ramp
        elif f.kind == "sensor_drift":
            self.gain[k, on] *= f.how["part"] ** ramp
        elif f.kind == "sensor_blind":
            self.gain[k, on] *= f.how["part"]
        elif f.kind == "misaimed":
            self.own_path[k, on] *= f.how["part"]
            self.sky_path[k, on] *= f.how["sky"]
            self.near_path[k, on] *= f.how["near"]
        elif f.kind == "lamp_unexpected_on":
            self.level[k, on] = np.where(self.level[k, on] > 0, self.level[k, on], 1.0)
        elif f.kind == "cycling_failure":
            self._cycle(f, k, a, b)
        elif f.kind == "switching_error":
            self._shift(f, k, on)
        elif f.kind == "supply_loss":
            self.part[k, on] = self.kept[k, on] = 0.0
            self.dead[k, on] = not self.town.battery[f.lamp]
        elif f.kind == "communication_failure":
            self.dead[k, on] = True

    def _cycle(self, f, k, a, b):
        at = a
        while at < b:
            bad = at - a < MINUTES or self.rng.random() < f.how["nights"]
            until = at + MINUTES
            while bad and at < min(until, b):
                off = int(self.rng.gamma(6, f.how["off"] / 6)) + 4
                self.part[k, at : at + off] = self.kept[k, at : at + off] = 0.0
                at += off + int(self.rng.gamma(6, f.how["on"] / 6)) + 5
            at = max(at, until)
        self.part[k, b:] = self.kept[k, b:] = 1.0

    def _shift(self, f, k, on):
        level = self.level[k].copy()
        if by := f.how.get("shift", 0):
            self.level[k, on] = np.roll(level, by)[on]
            if f.cause_kind == "feeder" and k == self.n - 1:
                self.fed[on] = np.roll(self.fed, by)[on]
            return
        lit = level > 0
        late, early = f.how.get("late", 0), f.how.get("early", 0)
        sun_up = self.sky.over(self.sky.altitude, 0) > -20
        evening = np.gradient(self.sky.over(self.sky.altitude, 0)) < 0
        cut = (lit & ~np.roll(lit, late) & evening) | (lit & ~np.roll(lit, -early) & ~evening)
        self.level[k, on] = np.where((cut & sun_up)[on], 0, level[on])

    def flux(self):
        """Light of each luminaire, 1 = new at full level, run-up and cold included."""
        lit = (self.level > 0) & (self.part > 0)
        at = np.arange(self.m)
        since = at - np.maximum.accumulate(np.where(lit, 0, at), axis=1)
        old = self.street["lanes"] > 7 and self.rng.random() < self.town.plan.discharge
        run_up = 1 - 0.9 * np.exp(-since / 3.0) if old else 1 + 0.05 * np.exp(-since / 18.0)
        cold = 1 - 0.0025 * (self.sky.over(self.sky.warmth_c, 0) - 10)
        return (self.level * self.part * run_up * cold * lit).astype(np.float32)

    def watts(self):
        """Power as a share of the rated one."""
        lit = (self.level > 0) & (self.kept > 0)
        return np.where(lit, (0.06 + 0.94 * self.level) * self.kept, 0.012).astype(np.float32)

    def illuminance(self, wall, weekday):
        """What reaches each sensor [lx], before its own noise and steps."""
        town, rows, sky, lag = self.town, self.rows, self.sky, self.street["lag"]
        flux = self.flux()
        pad = np.pad(flux, ((2, 2), (0, 0)))
        near = pad[1:-3] + pad[3:-1] + 0.15 * (pad[:-4] + pad[4:])
        own = town.own[rows][:, None]
        y = own * (self.own_path * flux + self.near_path * town.near[rows][:, None] * near)
        down = (town.facing[rows] == "down")[:, None]
        snow, wet = sky.over(sky.snow_ground, lag), sky.over(sky.wet, lag)
        ground = 1 + snow * (0.6 / town.albedo[rows][:, None] - 1) - 0.25 * wet * (snow < 0.1)
        y *= np.where(down, ground, 1 + 0.06 * snow) * (1 + 0.08 * sky.over(sky.fog, lag))
        sector = (sky.over(sky.azimuth, 0) // 30).astype(int) % 12
        open_sun = np.clip(
            (sky.over(sky.altitude, 0) - town.walls[rows][:, sector]) / 2 + 0.5, 0, 1
        )
        if self.street["tunnel"]:
            open_sun = open_sun * 0
        share = town.sky[rows][:, None] * np.where(down, ground, 1 + 0.5 * snow)
        diffuse = sky.over(sky.diffuse + sky.night, lag)
        y += share * self.sky_path * (diffuse + open_sun * sky.over(sky.beam, lag))
        y += own * town.shop[rows][:, None] * self._shops(wall, weekday)
        if town.plan.festive and self.street["shops"] < 0.3 and not self.street["tunnel"]:
            y += own * 0.18 * self._festive(wall)
        return self.gain * y

    def _shops(self, wall, weekday):
        """Shop windows: by the clock, closed on Sundays, and one in three changes hands."""
        shine = ((wall > 7 * 60) & (wall < 22 * 60) & (weekday != 6)).astype(np.float32)
        change = self.rng.integers(10, 60, self.n)[:, None] * MINUTES
        new = np.arange(self.m) > change
        turns = self.rng.random((self.n, 1)) < 0.33
        return shine * np.where(turns & new, 0.2, 1.0)

    def _festive(self, wall):
        day = self.start.timetuple().tm_yday + np.arange(self.m) // MINUTES
        season = ((day % 365) >= 332) | ((day % 365) <= 13)
        return (season & ((wall > 15.5 * 60) & (wall < 23.5 * 60))).astype(np.float32)


def sample(street: Street, wall, weekday):
    """Columns of all samples of one street: lamp, minute, lux, watts, alive; flat arrays."""
    town, rng = street.town, street.rng
    lux, watts = street.illuminance(wall, weekday), street.watts()
    fed = street.fed
    out = []
    for k, lamp in enumerate(street.rows):
        step = int(town.interval[lamp])
        at = np.arange(rng.integers(step), street.m, step)
        at = np.clip(at + rng.integers(-1, 2, at.size), 0, street.m - 1)
        y = lux[k, at] * np.exp(town.noise[lamp] * rng.standard_normal(at.size))
        cars = (rng.random(at.size) < 0.004 * street.street["traffic"]) & (not town.tunnel[lamp])
        y += cars * rng.gamma(1.0, 6.0, at.size) * town.sky[lamp]
        y = np.minimum(np.abs(y + 0.02 * rng.standard_normal(at.size)), town.ceiling[lamp])
        res = float(town.res[lamp])
        if res > 0:
            y = np.minimum(np.round(y / res) * res, town.ceiling[lamp])
        else:
            y = np.round(np.exp(np.round(np.log(y + 0.05) / -res) * -res), 2)
        w = np.round(
            town.rated[lamp] * watts[k, at] * np.exp(0.006 * rng.standard_normal(at.size)), 1
        )
        alive = ~street.dead[k, at]
        if town.switching[lamp] == "feeder" and not town.battery[lamp]:
            alive &= fed[at]
        out.append((np.full(at.size, lamp), at, y, w, alive))
    return [np.concatenate(c) for c in zip(*out, strict=True)]


def stick(town, faults, lamp, at, y):
    """Stuck sensors hold what they last saw, nothing, or their ceiling."""
    for f in faults:
        if f.kind == "sensor_stuck":
            here = np.flatnonzero((lamp == f.lamp) & (at >= f.start) & (at < f.end))
            if here.size:
                held = {"zero": 0.0, "ceiling": float(town.ceiling[f.lamp])}.get(
                    f.how["at"], y[here[0]]
                )
                y[here] = held


def carry(plan: Plan, town: Town, lamp, at, y, rng):
    """Loss, outages, late and repeated data: kept rows and when each was received [minutes]."""
    received = at + rng.exponential(0.15, at.size)
    keep = rng.random(at.size) >= plan.loss
    lossy = rng.random(town.n) < 0.05
    keep &= ~(lossy[lamp] & (rng.random(at.size) < 0.2))
    buffers = rng.random(town.n) < 0.5
    for gateway in np.unique(town.gateway):
        for _ in range(3):
            a = int(rng.integers(0, plan.days * MINUTES))
            b = a + int(rng.uniform(0.5, 9) * 60)
            hit = (town.gateway[lamp] == gateway) & (at >= a) & (at < b)
            received = np.where(hit & buffers[lamp], b + rng.uniform(0, 40, at.size), received)
            keep &= ~hit | buffers[lamp]
    slow = rng.random(town.n) < 0.02  # hand over twice a day
    received = np.where(slow[lamp], (at // 720 + 1) * 720 + 3.0, received)
    wall_clock = rng.random(town.n) < 0.008  # tell the wall clock's time as if it were UTC
    told = at + 60 * wall_clock[lamp]
    late = rng.random(at.size) < 0.003
    received = received + late * rng.uniform(30, 1500, at.size)
    if plan.on_change:
        keep &= changed(town, lamp, at, y)
    return keep, told, received


def changed(town, lamp, at, y):
    """Rows that a device sends which reports on change (by an eighth, or once an hour)."""
    send = ~town.on_change[lamp]
    for one in np.flatnonzero(town.on_change):
        here = np.flatnonzero(lamp == one)
        last_y, last_t = -1.0, -NEVER
        for i in here:
            if abs(y[i] - last_y) > 0.5 + 0.125 * last_y or at[i] - last_t >= 60:
                send[i], last_y, last_t = True, y[i], at[i]
    return send


def reports(town, faults, lamp, at, rng):
    """Status bits by row, and events (lamp, minute, name, active): with misses and false ones."""
    bits, events = np.zeros(at.size), []
    stop = int(at.max())
    for f in faults:
        a, b = max(f.start, 0), min(f.end, stop)
        if f.kind == "supply_loss" and town.report[f.lamp] == "status" and rng.random() < 0.6:
            here = np.flatnonzero(
                (lamp == f.lamp) & (at >= a - town.interval[f.lamp]) & (at < a + 2)
            )
            bits[here[-1:]] = 128
        name, seen, bit = EVENT_OF.get(f.kind, ("", 0.0, 0))
        if not name or rng.random() >= max(seen, not (town.lux[f.lamp] or town.watts[f.lamp])):
            continue
        if town.report[f.lamp] == "status":
            bits[(lamp == f.lamp) & (at >= a + 10) & (at < b)] = bit
        elif town.report[f.lamp] == "events":
            events.append((f.lamp, a + int(rng.integers(1, 20)), name, True))
            if f.end < stop:
                events.append((f.lamp, b, name, False))
    false = rng.random(at.size) < 2e-5
    bits[false & (town.report[lamp] == "status")] = 1
    for one in np.flatnonzero(town.report == "events"):
        for t in rng.integers(0, stop, rng.poisson(stop / MINUTES * 0.01)):
            name = str(rng.choice(["lamp_failure", "control_gear_failure", "lamp_power_too_low"]))
            events.append((one, int(t), name, True))
            if not town.lux[one] or rng.random() < 0.7:
                events.append((one, int(t + rng.integers(4, 40)), name, False))
    return bits, events


def upkeep(plan, town, faults, rng):
    """The maintenance log, and changes that it explains or hides: (lamp, minute, action), gains."""
    change = []
    mended = [f for f in faults if f.end < NEVER and f.incident[0] == "s" and rng.random() < 0.7]
    done = {"sensor": "sensor_swap"}
    log = [(f.lamp, f.end, done.get(f.cause_kind, "repaired")) for f in mended]
    free = [k for k in range(town.n) if k not in {f.lamp for f in faults}]
    for k, what in enumerate(
        ("sensor_swap", "sensor_swap", "unlogged", "unlogged", "lamp_swap", "cleaned") * 2
    ):
        lamp, t = (
            int(rng.choice(free)),
            int(rng.integers(4, plan.days) * MINUTES - rng.integers(600)),
        )
        by = {"lamp_swap": rng.uniform(1.1, 1.4), "cleaned": rng.uniform(1.03, 1.12)}.get(
            what, float(np.exp(rng.normal(0, 0.08)))
        )
        change.append((lamp, t, by, what == "lamp_swap"))
        if what != "unlogged":
            log.append((lamp, t, what))
        if k < 2:
            log += [(lamp, t - 3000, "planned_on"), (lamp, t - 2500, "planned_off")]
    seg = int(rng.choice(np.unique(town.seg[free])))
    rows = np.flatnonzero(town.seg == seg)
    work = (int(plan.days * 0.6) * MINUTES + 9 * 60, int(plan.days * 0.6 + 2) * MINUTES + 14 * 60)
    if not any(
        f.lamp in set(rows) and f.start < work[1] + 9000 and f.end > work[0] - 9000 for f in faults
    ):
        log += [
            (int(r), t, a)
            for r in rows
            for t, a in zip(work, ("planned_on", "planned_off"), strict=True)
        ]
    else:
        work = (0, 0)
    return log, change, (seg, work)


def generate(plan: Plan):
    """One feed as columns: readings (dict of arrays), events, town, truth and maintenance log."""
    start = midnight(plan.start)
    rng = np.random.default_rng([plan.seed, 6])
    sky = build_sky(
        rng,
        start,
        plan.days,
        plan.lat,
        plan.lon,
        cloudiness=plan.cloudiness,
        snow=plan.snow,
        glow_lx=0.01,
    )
    town = Town(plan)
    wall, weekday = local_minute(start, plan.days, plan.tz)
    level = programme(town, sky, wall, weekday)
    faults = draw_faults(town, level)
    log, change, (work_seg, work) = upkeep(
        plan, town, faults, np.random.default_rng([plan.seed, 7])
    )
    columns = []
    for s in range(len(town.segments)):
        rows = np.flatnonzero(town.seg == s)
        mine = [f for f in faults if f.lamp in set(rows)]
        street = Street(town, sky, level[s], rows, wall, start, mine)
        for lamp, t, by, lamp_side in change:
            if lamp in set(rows):
                (street.part if lamp_side else street.gain)[list(rows).index(lamp), t:] *= by
        if s == work_seg:
            street.level[:, work[0] : work[1]] = 0
        columns.append(sample(street, wall, weekday))
    lamp, at, y, w, alive = (np.concatenate(c) for c in zip(*columns, strict=True))
    stick(town, faults, lamp, at, y)
    rng = np.random.default_rng([plan.seed, 8])
    bits, events = reports(town, faults, lamp, at, rng)
    y = np.where(rng.random(y.size) < 2e-4, rng.choice([-1.0, 65535.0], y.size), y)
    keep, told, received = carry(plan, town, lamp, at, y, rng)
    keep &= alive | (bits == 128)
    again = np.flatnonzero(keep & (rng.random(at.size) < 0.004))
    pick = np.r_[np.flatnonzero(keep), again]
    delay = np.r_[np.zeros(pick.size - again.size), rng.uniform(0.1, 300, again.size)]
    nan = np.nan
    readings = {
        "lamp": lamp[pick],
        "time": told[pick] * 60_000,
        "received_time": ((received[pick] + delay) * 60_000).astype("int64"),
        "illuminance_lx": np.where(town.lux[lamp], y, nan)[pick],
        "power_w": np.where(town.watts[lamp], w, nan)[pick],
        "lamp_status": np.where(
            town.report[lamp] == "status", bits, np.where(town.lux | town.watts, nan, 0)[lamp]
        )[pick],
    }
    order = np.argsort(readings["received_time"], kind="stable")
    readings = {k: v[order] for k, v in readings.items()}
    return readings, events, town, faults, log


def registry(plan: Plan, town: Town):
    """Rows of the asset table, as well or badly kept as the plan says."""
    rng = np.random.default_rng([plan.seed, 9])
    noisy = plan.registry in {"noisy", "bare"}
    rows = []
    for k in range(town.n):
        kind = town.segments[town.seg[k]]["dimming"]
        nominal = town.own[k] * (1 + 2 * town.near[k]) * rng.normal(1, 0.08)
        if noisy:
            nominal *= rng.choice([1.0, 0.6, 1.7], p=[0.8, 0.1, 0.1])
        told = PROGRAMME[kind] if rng.random() < plan.declared else ""
        row = {
            "device_id": town.id[k],
            "kind": "tunnel" if town.tunnel[k] else "luminaire",
            "site": f"street {town.seg[k]}",
            "segment": f"S{town.seg[k]:02d}",
            "segment_order": int(town.order[k] + 1),
            "feeder": f"F{town.feeder[k]:02d}",
            "cabinet": f"C{town.cabinet[k]}",
            "gateway": f"G{town.gateway[k]}",
            "lat": round(float(town.lat[k]), 6),
            "lon": round(float(town.lon[k]), 6),
            "nominal_illuminance_lx": round(float(nominal), 1) if town.lux[k] else "",
            "switching": town.switching[k],
            "dimming": told,
            "supply": "battery" if town.battery[k] else "mains",
            "rated_power_w": town.rated[k] if town.watts[k] else "",
            "max_illuminance_lx": town.ceiling[k],
            "resolution_lx": town.res[k] if town.res[k] > 0 else "",
            "interval_s": int(60 * (60 if town.on_change[k] else town.interval[k])),
        }
        empty = {
            "no_feeder": ["feeder", "cabinet", "gateway"],
            "no_segment": ["segment", "segment_order", "site"],
            "bare": [
                "feeder",
                "cabinet",
                "gateway",
                "segment",
                "segment_order",
                "site",
                "nominal_illuminance_lx",
                "dimming",
                "rated_power_w",
                "max_illuminance_lx",
                "resolution_lx",
                "interval_s",
            ],
        }.get(plan.registry, [])
        if plan.registry == "noisy":
            empty = [
                c
                for c in ("nominal_illuminance_lx", "max_illuminance_lx", "interval_s", "supply")
                if rng.random() < 0.25
            ]
            if rng.random() < 0.03:
                row["feeder"] = f"F{rng.integers(town.feeder.max() + 1):02d}"
        rows.append(row | dict.fromkeys(empty, ""))
    return rows


def write(plan: Plan, out: Path) -> None:
    """Generate the feed and leave readings, events, assets, maintenance and truth in `out`."""
    readings, events, town, faults, log = generate(plan)
    start = midnight(plan.start)
    origin = int(start.timestamp() * 1000)

    def stamp(minute):
        return (start + timedelta(minutes=int(minute))).strftime("%Y-%m-%dT%H:%M:%SZ")

    def table(name, rows):
        with (out / name).open("w", newline="") as f:
            writer = csv.DictWriter(f, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    out.mkdir(parents=True, exist_ok=True)
    moment = pa.timestamp("ms", tz="UTC")
    pq.write_table(
        pa.table(
            {
                "device_id": pa.array(town.id[readings["lamp"]]),
                "time": pa.array(readings["time"] + origin, pa.int64()).cast(moment),
                "received_time": pa.array(readings["received_time"] + origin, pa.int64()).cast(
                    moment
                ),
                **{
                    q: pa.array(readings[q], pa.float32(), from_pandas=True)
                    for q in ("illuminance_lx", "power_w", "lamp_status")
                },
            }
        ),
        out / "readings.parquet",
    )
    table("assets.csv", registry(plan, town))
    table(
        "events.csv",
        [
            {
                "device_id": town.id[k],
                "time": stamp(t),
                "received_time": stamp(t + 1),
                "event": e,
                "active": str(a).lower(),
            }
            for k, t, e, a in sorted(events, key=lambda row: row[1])
        ],
    )
    table(
        "maintenance.csv",
        [
            {"device_id": town.id[k], "time": stamp(t), "action": a}
            for k, t, a in sorted(log, key=lambda row: row[1])
        ],
    )
    table(
        "truth.csv",
        [
            {
                "fault_id": f"t{i}",
                "kind": f.kind,
                "device_id": town.id[f.lamp],
                "start": stamp(f.start),
                "end": stamp(f.end) if f.end < NEVER else "",
                "incident": f.incident,
                "cause_kind": f.cause_kind,
                "cause_id": f.cause_id,
                "severity": "",
            }
            for i, f in enumerate(faults)
        ],
    )
