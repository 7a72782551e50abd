"""A feeder's habit against the city's, in plain loops."""

import math

from oracles.lighting_loops import quantile


def as_the_city(habit, feeders, asked):
    """Habits, with those of a feeder that as one switches lower than the city put right."""
    seen = []
    for members in feeders:
        values = [habit[r] for r in members if asked[r] and not math.isnan(habit[r])]
        if len(values) >= 6:
            seen.append((members, values))
    out = list(habit)
    if len(seen) < 6:
        return out
    middles = [quantile(values, 0.5) for _, values in seen]
    city = quantile(middles, 0.5)
    if sum(abs(m - city) <= 1.5 for m in middles) < 0.7 * len(seen):
        return out
    for (members, values), middle in zip(seen, middles, strict=True):
        spread = middle - quantile(values, 0.25)
        if city - middle > 2.5 and city - quantile(values, 0.75) > 1.5 and spread < 2.5:
            for r in members:
                if asked[r] and not math.isnan(habit[r]):
                    out[r] = city
    return out
