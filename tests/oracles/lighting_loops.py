"""The lighting kernels again, in plain loops that a reader can follow."""

import math
from statistics import median

SLOT_MS = 600_000
SLOTS = 144


def lay_out(row, time_ms, value, *, n, start_ms):
    """Cell by cell: the median of what fell in the slot, NaN where nothing did."""
    cells = [[[] for _ in range(SLOTS)] for _ in range(n)]
    for r, t, v in zip(row, time_ms, value, strict=True):
        slot = (t - start_ms) // SLOT_MS
        if r >= 0 and 0 <= slot < SLOTS and math.isfinite(v):
            cells[r][slot].append(v)
    return [[median(c) if c else math.nan for c in line] for line in cells]


def quantile(values, q):
    """Linear between neighbours; NaN without any value."""
    known = sorted(v for v in values if not math.isnan(v))
    if not known:
        return math.nan
    at = (len(known) - 1) * q
    low, high = math.floor(at), math.ceil(at)
    return known[low] * (1 - (at - low)) + known[high] * (at - low)


def transitions(dark, known):
    """Falls and rises of one luminaire over the slots that are known."""
    falls = rises = 0
    before = None
    for d, k in zip(dark, known, strict=True):
        if not k:
            continue
        if before is False and d:
            falls += 1
        if before is True and not d:
            rises += 1
        before = bool(d)
    return falls, rises


def dark_ending(dark, seen):
    """First slot, readings and share before of the darkness that one night ended with."""
    known = [i for i, s in enumerate(seen) if s]
    total_dark = sum(bool(dark[i]) for i in known)
    whole = total_dark / len(known) if known else math.nan
    if not known or not all(dark[i] for i in known[-2:]):
        return 0, 0, whole
    for start in known:
        tail = [i for i in known if i >= start]
        n_dark = sum(bool(dark[i]) for i in tail)
        if dark[start] and 6 * n_dark >= 5 * len(tail):
            head = [i for i in known if i < start]
            before = sum(bool(dark[i]) for i in head) / len(head) if head else math.nan
            return start, len(tail), before
    return 0, 0, whole


def told_since(told, since_ms, first_ms):
    return sum(
        1
        for k, level in enumerate(told)
        if not math.isnan(level)
        and level > 0
        and since_ms > 0
        and first_ms + k * SLOT_MS >= since_ms
    )


def sections(dead, least):
    """Ranges of adjacent dead luminaires; a single living one between two dead is bridged."""
    bridged = [
        d or (0 < i < len(dead) - 1 and dead[i - 1] and dead[i + 1]) for i, d in enumerate(dead)
    ]
    found, start = [], None
    for i, d in enumerate([*bridged, False]):
        if d and start is None:
            start = i
        if not d and start is not None:
            if sum(bool(x) for x in dead[start:i]) >= least:
                found.append((start, i))
            start = None
    return found


def last_run(values, carried):
    """Length of the run of equal known values at the end, `carried` = (value, count) before it."""
    value, count = carried
    for v in values:
        if math.isnan(v):
            continue
        count = count + 1 if v == value else 1
        value = v
    return value, count


def group_medians(values, groups):
    """Median over the members of each group, slot by slot, and how many had a value."""
    out, counts = [], []
    for members in groups:
        line, number = [], []
        for slot in range(len(values[0]) if values else 0):
            known = [values[m][slot] for m in members if not math.isnan(values[m][slot])]
            line.append(median(known) if known else math.nan)
            number.append(len(known))
        out.append(line)
        counts.append(number)
    return out, counts


def surplus_light(lux, sky, share, own_lx, max_lx):
    """One device's light beyond the sky's in units of the own lamp, its weight, its low quarter."""
    own = max(own_lx, 1.0)
    total = weights = 0.0
    told = []
    for x, s in zip(lux, sky, strict=True):
        predicted = math.exp(share + s)
        if math.isnan(x) or math.isnan(s) or x >= 0.9 * max_lx or predicted >= 6 * own:
            continue
        w = 1 / (0.2 * predicted + 0.1 * own) ** 2
        total += w * (x - predicted) * own
        weights += w * own**2
        if w * own**2 > 1:
            told.append((x - predicted) / own)
    mean = total / max(weights, 1)
    if mean <= 0.3:
        return total, weights, mean
    return total, weights, quantile(told, 0.25) if len(told) >= 3 else math.nan


def clipped_mean(seen, weight, use, least=4):
    """Weighted mean of the used values, clipped to 0.15 around their median, for one device."""
    used = [(v, w) for v, w, u in zip(seen, weight, use, strict=True) if u and not math.isnan(v)]
    if len(used) < least:
        return math.nan, len(used)
    middle = quantile([v for v, _ in used], 0.5)
    near = [(min(max(v, middle - 0.15), middle + 0.15), w) for v, w in used]
    return sum(v * w for v, w in near) / sum(w for _, w in near), len(used)


def daylight_per_night(levels, responses, leaves):
    """Factor, error and leaves' part for one luminaire, by the normal equations in plain sums."""
    used = [
        k for k in range(len(levels)) if math.isfinite(levels[k]) and math.isfinite(responses[k])
    ]
    if len(used) < 8:
        return math.nan, math.nan, 0.0
    known = [v for v in leaves if math.isfinite(v)]
    filler = sum(known) / len(known) if known else 0.0
    course = [v if math.isfinite(v) else filler for v in leaves]

    def centred(values):
        mean = sum(values[k] for k in used) / len(used)
        return [values[k] - mean for k in used]

    a, c, leaf = centred(levels), centred(responses), centred(course)

    def dot(x, y):
        return sum(p * q for p, q in zip(x, y, strict=True))

    s_ll = dot(leaf, leaf) + 0.05**2
    left = max(dot(a, a) - dot(leaf, a) ** 2 / s_ll, 1e-6)
    factor = (dot(a, c) - dot(leaf, a) * dot(leaf, c) / s_ll) / left
    part = (dot(leaf, c) - factor * dot(leaf, a)) / s_ll
    return factor, 2 * 0.05 / math.sqrt(left), part * (course[-1] - course[used[0]])


def in_one_step(levels, change):
    """Whether one luminaire's change came at once, and the last night before it."""

    def middle(part):
        return quantile(part, 0.5)

    n = len(levels)
    windows = [middle(levels[k : k + 3]) for k in range(n - 2)]
    after = [*windows[3:], middle(levels[-2:])]
    for k in range(len(after) - 2, -1, -1):
        if math.isnan(after[k]):
            after[k] = after[k + 1]
    start = windows[: len(after)]
    for k in range(1, len(start)):
        if math.isnan(start[k]):
            start[k] = start[k - 1]
    usual = [abs(low) < max(0.4 * abs(change), 0.1) for low in start]
    # What came and went before the level was last usual is not how this change came.
    since = max((k for k, was in enumerate(usual) if was), default=0) - 2
    best, where = -math.inf, 0
    sign = 0 if math.isnan(change) else (change > 0) - (change < 0)
    for k, (low, high) in enumerate(zip(start, after, strict=True)):
        if math.isnan(low) or math.isnan(high) or math.isnan(change):
            continue
        if usual[k] and k >= since and (high - low) * sign > best:
            best, where = (high - low) * sign, k
    return best >= 0.7 * abs(change) if not math.isnan(change) else False, min(where + 2, n - 1)


def dimmed_stretch(lux, seen):
    """Start, stop and level of one night's stretch with less light."""
    s, side = len(lux), 3
    logs = [math.log(max(v, 0.1)) if k else math.nan for v, k in zip(lux, seen, strict=True)]

    def mean(part):
        known = [v for v in part if not math.isnan(v)]
        return sum(known) / len(known) if known else math.nan

    edges = range(side, s - side + 1)
    change = [mean(logs[e : e + side]) - mean(logs[e - side : e]) for e in edges]
    change = [0.0 if math.isnan(v) else v for v in change]
    fell = min(range(len(change)), key=lambda i: (change[i], i))
    later = [v if i > fell + side else 0.0 for i, v in enumerate(change)]
    rose = max(range(len(later)), key=lambda i: (later[i], -i))
    start = fell + side
    stop = rose + side if later[rose] > -0.5 * change[fell] else s
    inside = [v for i, v in enumerate(lux) if seen[i] and start <= i < stop]
    outside = [v for i, v in enumerate(lux) if seen[i] and not start <= i < stop]
    if not inside or not outside or change[fell] >= math.log(0.85):
        return math.nan, math.nan, math.nan
    level = quantile(inside, 0.5) / quantile(outside, 0.5)
    return (start, stop, level) if level < 0.85 else (math.nan, math.nan, math.nan)


def together(low, high, least, within):
    """Members of one luminaire group that can all have gone in one span that begins at a latest."""
    best = []
    for t in sorted(high):
        agree = [h >= t and e <= t + within for e, h in zip(low, high, strict=True)]
        if sum(agree) > sum(best):
            best = agree
    return best if sum(best) >= least else [False] * len(high)


def switching_elevations(lit, dark, elevation):
    """Elevations at the first and last lit reading, and at the dark ones before and after them."""
    burning = [i for i, v in enumerate(lit) if v]
    if not burning:
        return (math.nan,) * 4
    before = [i for i, v in enumerate(dark) if v and i < burning[0]]
    after = [i for i, v in enumerate(dark) if v and i > burning[-1]]
    return (
        elevation[burning[0]],
        elevation[burning[-1]],
        elevation[before[-1]] if before else math.nan,
        elevation[after[0]] if after else math.nan,
    )


def held_readings(values, reach):
    """Each slot's own reading, else the nearest within reach, the earlier of two equally near."""
    out = []
    for i, own in enumerate(values):
        near = [
            (abs(k - i), k > i, v)
            for k, v in enumerate(values)
            if abs(k - i) <= reach and not math.isnan(v)
        ]
        out.append(min(near)[2] if near else own)
    return out


def pooled_excess(excess, watched, readings):
    """Sum over the last nights, newest first, until so many readings were counted."""
    total, seen = 0.0, 0.0
    for beyond, number in zip(reversed(excess), reversed(watched), strict=True):
        if seen >= readings:
            break
        total += 0 if math.isnan(beyond) else beyond
        seen += 0 if math.isnan(number) else number
    return total


def twilight_seen(share, elevation):
    """Twice a clear sky's light by the sun's elevation, as one sensor sees it."""
    deg = (-18, -12, -6, 0, 2, 5, 10, 20, 30, 45, 60, 90)
    lux = (0.0006, 0.008, 3, 500, 1500, 4200, 10e3, 28e3, 48e3, 75e3, 96e3, 110e3)
    if math.isnan(share):
        return [0.0 for _ in elevation]
    out = []
    for high in elevation:
        above = next((k for k, d in enumerate(deg) if d > high), len(deg))
        if above in (0, len(deg)):
            sky = lux[0] if above == 0 else lux[-1]
        else:
            part = (high - deg[above - 1]) / (deg[above] - deg[above - 1])
            sky = lux[above - 1] ** (1 - part) * lux[above] ** part
        out.append(2 * math.exp(share) * sky)
    return out


def with_mates(minutes, peers):
    """Median minutes of each one's group of four and more, between 0 and 25, else 0."""
    out = []
    for group in peers:
        known = [m for m, p in zip(minutes, peers, strict=True) if p == group and not math.isnan(m)]
        middle = median(known) if len(known) >= 4 else 0.0
        out.append(middle if 0 < middle < 25 else 0.0)
    return out


def not_missed(own, before, dark, known, power, tunnel, frozen, left, right):
    """Which lamps of a tunnel went dark without being missed; `before` are three nights of each."""

    def fell(row):
        nights = [v for v in before[row] if not math.isnan(v)]
        if row < 0 or len(nights) < 2 or not own[row] > -0.35:
            return math.nan
        return own[row] - quantile(nights, 0.5)

    out = []
    for row, level in enumerate(own):
        beside = [fell(n) for n in (left[row], right[row]) if n >= 0]
        beside = [v for v in beside if not math.isnan(v)]
        asked = (
            tunnel[row]
            and frozen[row]
            and math.isnan(power[row])
            and bool(beside)
            and dark[row] > 0.75 * known[row]
            and before[row][-1] > -0.22
            and 0.05 < math.exp(level) < 0.5
        )
        if not asked:
            out.append(False)
            continue
        expected = math.log(1 - min(math.exp(level) / len(beside), 0.9))
        out.append(expected < -0.05 and sum(beside) / len(beside) > 0.35 * expected)
    return out


def between_steps(x, resolution):
    """Median of each row, or the mean within a step of it where the sensor is coarse."""
    out = []
    for row, given in zip(x, resolution, strict=True):
        seen = sorted(v for v in row if not math.isnan(v))
        if not seen:
            out.append(math.nan)
            continue
        low, high = seen[(len(seen) - 1) // 2], seen[len(seen) // 2]
        middle = (low + high) / 2
        step = 0.0 if math.isnan(given) else given
        if all(v == round(v) for v in seen):
            step = max(step, 1.0)
        near = [v for v in seen if abs(v - middle) <= step]
        out.append(sum(near) / len(near) if step > 0.02 * middle and near else middle)
    return out
