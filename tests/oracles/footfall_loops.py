"""The footfall algorithms again in plain loops, as the reference writes them."""

import math

import numpy as np


def before_after(block, n_pre, ridge=0.1, reference=56):
    """(effect, half-width) of column 0 against all others; complete data or NaN days."""
    n_days, n_sites = block.shape
    logs = np.log(block + 1)
    for k in range(7):
        for s in range(n_sites):
            days = [logs[d, s] for d in range(n_pre) if d % 7 == k and math.isfinite(logs[d, s])]
            for d in range(n_days):
                if d % 7 == k:
                    logs[d, s] -= float(np.median(days))
    others = list(range(1, n_sites))
    count = len(others)
    gap = np.full((n_days, n_sites), np.nan)
    row = [np.nanmean([logs[d, j] for j in others]) for d in range(n_days)]
    apart = np.array([[logs[d, s] - row[d] for s in range(n_sites)] for d in range(n_days)])
    centred = apart - np.nanmean(apart[:n_pre], axis=0)
    Z = np.where(np.isfinite(centred[:, 1:]), centred[:, 1:], 0.0)
    y = np.where(np.isfinite(centred[:, 0]), centred[:, 0], 0.0)
    M = Z[:n_pre].T @ Z[:n_pre]
    penalty = ridge * np.trace(M) / count
    gap[:, 0] = y - Z @ np.linalg.solve(M + penalty * np.eye(count), Z[:n_pre].T @ y[:n_pre])
    # Each placebo as a regression of its own: weights that sum to zero, fixed at one for j.
    for j in range(count):
        A = np.zeros((count + 2, count + 2))
        A[:count, :count] = M + penalty * np.eye(count)
        A[:count, count] = A[count, :count] = 1.0
        A[:count, count + 1] = A[count + 1, :count] = np.eye(count)[j]
        wanted = np.zeros(count + 2)
        wanted[count + 1] = 1.0
        gap[:, j + 1] = Z @ np.linalg.solve(A, wanted)[:count]
    gap[~np.isfinite(logs)] = np.nan
    effect, sigma = [], []
    for s in range(n_sites):
        last = gap[n_pre - reference : n_pre, s]
        effect.append(np.nanmean(gap[n_pre:, s]) - np.nanmean(last))
        sigma.append(np.std([np.nanmean(last[w : w + 7]) for w in range(0, reference, 7)], ddof=1))
    typical = np.median(sigma[1:])
    scale = [math.sqrt(0.5 * v**2 + 0.5 * typical**2) for v in sigma]
    z2 = [(effect[j] / scale[j]) ** 2 for j in range(1, n_sites)]
    t = {5: 2.5705818}.get(count, 2.4469119)
    return effect[0], t * scale[0] * math.sqrt(sum(z2) / count * (1 + 1 / count))


def log_gamma(a):
    """Stirling after shifting the argument up by eight."""
    shift = sum(math.log(a + i) for i in range(8))
    x = a + 8
    series = 1 / (12 * x) - 1 / (360 * x**3) + 1 / (1260 * x**5)
    return (x - 0.5) * math.log(x) - x + 0.5 * math.log(2 * math.pi) + series - shift


def lower_gamma(a, x):
    """Regularised lower incomplete gamma function: power series, or a continued fraction."""
    if x <= 0:
        return 0.0
    front = math.exp(a * math.log(x) - x - log_gamma(a))
    if x < a + 1:
        term = total = 1 / a
        for k in range(1, 10_000):
            term *= x / (a + k)
            total += term
            if term < total * 1e-16:
                break
        return front * total
    b, c = x + 1 - a, 1e300
    d = f = 1 / b
    for i in range(1, 10_000):
        b += 2
        step = -i * (i - a)
        d = 1 / (step * d + b)
        c = b + step / c
        f *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return 1 - front * f


def cut_down(x):
    """An hour's weeks, none far above the others."""
    middle = float(np.median(x))
    spread = 1.4826 * float(np.median([abs(v - middle) for v in x]))
    return [min(v, middle + 4 * max(spread, math.sqrt(middle + 1))) for v in x]


def mean_and_dispersion(cut):
    """(mean, dispersion) of weeks that are cut down; the dispersion within 0 and 4."""
    raw = sum(cut) / len(cut)
    mean = raw + 0.05
    variance = sum((v - raw) ** 2 for v in cut) / (len(cut) - 1)
    return mean, min(max((variance - mean) / mean**2, 0.0), 4.0)


def cell(values, site_dispersion, threshold):
    """(mean, P_low) of one cell's weeks, given its site's dispersion."""
    x = [v for v in values if math.isfinite(v)]
    if len(x) < 4:
        return math.nan, math.nan
    mean, own = mean_and_dispersion(cut_down(x))
    phi = ((len(x) - 1) * own + 8 * site_dispersion) / (len(x) + 7)
    future = (mean + phi * mean**2) * (1 / len(x) + 1 / 8) + (0.25 * mean) ** 2
    return mean, lower_gamma(mean**2 / future, threshold * mean / future)


def no_burst(cells, mean, threshold):
    """Probability that no single hour of eight lifts a cell's mean over the threshold."""
    hours = bursts = 0
    for values in cells:
        x = [v for v in values if math.isfinite(v)]
        if not x:
            continue
        cut = cut_down(x)
        if sum(cut) / len(cut) + 0.05 < threshold:
            hours += len(x)
            bursts += sum(v >= 4 * threshold for v in x)
    rate = (bursts + 1) / (hours + 200)
    return (1 - rate * 4 / max(8 * (1 - mean / threshold), 4)) ** 8


def site_dispersion(cells):
    """Mean dispersion of the cells with more than one person."""
    found = []
    for values in cells:
        x = [v for v in values if math.isfinite(v)]
        if len(x) < 2:
            continue
        mean, dispersion = mean_and_dispersion(cut_down(x))
        if mean > 1:
            found.append(dispersion)
    return sum(found) / len(found) if found else 0.3
