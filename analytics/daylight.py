"""The second sensor we do not have: how a sensor answers daylight, against peers.

A lamp fault changes the night only. A fault of the sensor, dirt or snow on its dome changes night
and day by the same factor. A lamp that burns by day adds the same lux whatever the sun does.
"""

from dataclasses import dataclass

import numpy as np

from analytics.grid import Bools, Floats, Ints, count, row_quantiles
from analytics.sun import clear_sky_log_lux

__all__ = ["Daylight", "daylight", "fit_sky_share", "seen_saturated"]

TWILIGHT_FROM_DEG = -3.0
TELLING = 1.0  # information of one slot from which its surplus is worth a look
WORTH_A_LOOK = 0.3
PEERS_LIT = 0.5  # log: twilight brighter than the day was is the peers' own lamps
SKY_FROM_DEG = -0.7  # below it the street is lit and the sky no longer rules the reading
SUN_FROM_DEG = 3.0  # above it no lamp burns and dusk switching is over
CLIP = 0.15  # residuals beyond this around the device's median are direct sun or passing shade
PEER_SPREAD_FLOOR = 0.03
LOW_SUN_DEG = 0.0  # lamps are off by sunrise; asked where sensors that end early leave no more
LEAST_PEERS = 4
LEAST_SLOTS = 4
LEAST_LOW_SLOTS = 3
LONGEST_REACH = 3  # slots on either side: half an hour


@dataclass(slots=True)
class Daylight:
    """What daylight says about each sensor in one window.

    Attributes
    ----------
    response_am, response_pm : float32 (n,)
        Log of the device's daylight over its peers', mornings and afternoons apart, before its own
        usual value is taken off; NaN where fewer than four slots could be used.
    n_am, n_pm : uint8 (n,)
    surplus, information : float32 (n,)
        Weighted sum of light beyond the sky's in units of the own lamp, and the sum of weights.
    least_surplus : float32 (n,)
        What a quarter of the slots that tell stay below, in units of the own lamp.
    """

    response_am: Floats
    response_pm: Floats
    n_am: Ints
    n_pm: Ints
    surplus: Floats
    information: Floats
    least_surplus: Floats


def usable_log(lux: Floats, resolution_lx: Floats, max_lx: Floats) -> Floats:
    """Log of daylight where the sensor resolves it and is not saturated; NaN elsewhere."""
    low = (3 * resolution_lx + 0.2)[:, None]
    high = (0.9 * max_lx)[:, None]
    good = (lux > low) & (lux < high)
    out = np.full(lux.shape, np.nan, dtype=np.float32)
    np.log(lux, out=out, where=good)
    return out


def reach_of(lux: Floats) -> Ints:
    """Slots on either side that each reading stands for: none where most slots have their own."""
    there = count(np.isfinite(lux))
    apart = lux.shape[1] / np.maximum(there, 1)
    reach = np.clip(np.round(apart / 2 - 0.6), 0, LONGEST_REACH)
    return np.where(there > 0, reach, 0).astype(np.int32)


def held_readings(values: Floats, reach: Ints) -> Floats:
    """Each reading repeated over the slots nearest to it, as far as its device speaks seldom.

    Devices that speak once an hour speak at different minutes; only so do peers meet in a slot.

    Parameters
    ----------
    values : float32 (n, s)
        NaN where silent.
    reach : int32 (n,)
        Slots on either side.
    """
    rows = np.flatnonzero(reach > 0)
    out = values.copy()
    for step in range(1, int(reach.max(initial=0)) + 1):
        some = rows[reach[rows] >= step]
        own, kept = values[some], out[some]
        earlier, later = np.full_like(own, np.nan), np.full_like(own, np.nan)
        earlier[:, step:], later[:, :-step] = own[:, :-step], own[:, step:]
        kept = np.where(np.isfinite(kept), kept, earlier)
        out[some] = np.where(np.isfinite(kept), kept, later)
    return out


def group_medians(values: Floats, members: Ints) -> tuple[Floats, Ints]:
    """Median over each group's members, slot by slot.

    Parameters
    ----------
    values : float32 (n, s)
    members : int32 (n_groups, largest)
        Rows, padded with -1.

    Returns
    -------
    float32 (n_groups, s), int (n_groups, s)
        The medians and how many members had a value.
    """
    columns = values.T  # (s, n): members of a group are gathered along the last axis
    gathered = np.where(members >= 0, columns[:, np.maximum(members, 0)], np.float32(np.nan))
    ordered = np.sort(gathered, axis=-1)
    n = gathered.shape[-1] - np.count_nonzero(np.isnan(ordered), axis=-1)
    low = np.take_along_axis(ordered, np.maximum((n - 1) // 2, 0)[..., None], -1)[..., 0]
    high = np.take_along_axis(ordered, np.minimum(n // 2, n - 1).clip(0)[..., None], -1)[..., 0]
    middle = ((low + high) / 2).astype(np.float32, copy=False)
    return np.ascontiguousarray(middle.T), np.ascontiguousarray(n.T.astype(np.int32))


def peer_sky(log_lux: Floats, share: Floats, members: Ints, peers: Ints) -> Floats:
    """Log of the sky as the peers see it, one row a group; NaN where fewer than four saw it."""
    sky, n = group_medians(log_lux - share[:, None], members)
    sky[n < LEAST_PEERS] = np.nan
    return sky


def fit_sky_share(
    log_lux: Floats, sun: Bools, members: Ints, peers: Ints, *, start: Floats | None = None
) -> Floats:
    """Each device's share of the sky (log) from one day, by alternating medians.

    Returns
    -------
    float32 (n,)
        NaN where the day did not suffice.
    """
    day = np.where(sun, log_lux, np.float32(np.nan))
    (share,) = row_quantiles(day, 0.5)
    if start is not None:
        share = np.where(np.isfinite(start), start, share)
    for _ in range(2):
        sky = peer_sky(day, share, members, peers)
        (share,) = row_quantiles(day - sky[peers], 0.5)
    return share


def daylight(
    lux: Floats,
    elevation: Floats,
    morning: Bools,
    *,
    share: Floats,
    own_lx: Floats,
    resolution_lx: Floats,
    max_lx: Floats,
    members: Ints,
    peers: Ints,
) -> tuple[Daylight, Floats]:
    """Daylight response and surplus light of one window.

    Parameters
    ----------
    lux : float32 (n, s)
        The slots of the window in which the sun of this place is above -0.7 degrees.
    elevation : float32 (s,) or (n, s)
        Of the sun in them [degrees].
    morning : bool (s,)
    share : float32 (n,)
        Learned log share of the sky; NaN where not yet learned (a first fit is made then).
    own_lx : float32 (n,)
        Own lit level [lx].
    resolution_lx, max_lx : float32 (n,)
    members, peers
        As `street.padded_groups(peers)` and `street.peer_groups`.

    Returns
    -------
    Daylight
    float32 (n,)
        The log share used: as given, or fitted where it was NaN.
    """
    y = usable_log(lux, resolution_lx, max_lx)
    course = clear_sky_log_lux(elevation)
    y -= course  # what is left changes slowly, so that readings some minutes apart compare
    # What the lamps light at dawn is not repeated into the day, nor is the day into dusk.
    day = elevation > SKY_FROM_DEG
    held = np.where(day, held_readings(np.where(day, y, np.float32(np.nan)), reach_of(lux)), y)
    sun = elevation > SUN_FROM_DEG
    fresh = np.isnan(share)
    if fresh.any():
        share = np.where(fresh, fit_sky_share(held, sun, members, peers, start=share), share)
    sky = peer_sky(held, share, members, peers)
    seen = y - sky[peers]  # log share as seen slot by slot
    residual = held - sky[peers] - share[:, None]
    spread, n_spread = group_medians(np.abs(residual), members)
    spread[n_spread < LEAST_PEERS] = np.nan
    weight = (1 / ((1.48 * spread) ** 2 + PEER_SPREAD_FLOOR**2)).astype(np.float32)
    weight_row = weight[peers]
    am, n_am = clipped_mean(seen, weight_row, sun & morning)
    pm, n_pm = clipped_mean(seen, weight_row, sun & ~morning)
    low = elevation > LOW_SUN_DEG
    for mean, part in ((am, low & morning), (pm, low & ~morning)):
        few = np.flatnonzero(np.isnan(mean))
        use = part if part.ndim == 1 else part[few]
        mean[few], _ = clipped_mean(seen[few], weight_row[few], use, least=LEAST_LOW_SLOTS)
    log_sky = sky[peers] + course
    lampless = np.where(lamps_off(sky, elevation, peers), log_sky, np.float32(np.nan))
    gained = gain_in_full_sun(seen, log_sky, share, own_lx)
    told = surplus_light(lux, lampless, share + gained, own_lx, max_lx)
    return Daylight(am, pm, n_am, n_pm, *told), share


def lamps_off(sky: Floats, elevation: Floats, peers: Ints) -> Bools:
    """Slots in which the peers see nothing but the sky, though dawn and dusk are lamps' time too.

    Parameters
    ----------
    sky : float32 (groups, s)
        Log of the peers' sky over a clear one's course.
    elevation : float32 (s,) or (n, s)
    peers : int32 (n,)

    Returns
    -------
    bool (n, s)
    """
    high = elevation if elevation.ndim == 1 else elevation[0]
    (usual,) = row_quantiles(np.where(high > SUN_FROM_DEG, sky, np.float32(np.nan)), 0.5)
    with np.errstate(invalid="ignore"):
        dark = sky <= (usual + PEERS_LIT)[:, None]
    return dark[peers] | (elevation > SKY_FROM_DEG)


def clipped_mean(
    seen: Floats, weight: Floats, use: Bools, *, least: int = LEAST_SLOTS
) -> tuple[Floats, Ints]:
    """Weighted mean over the slots to use, each clipped to the device's own median."""
    columns = np.flatnonzero(use.any(axis=0) if use.ndim == 2 else use)
    part = seen[:, columns]
    if use.ndim == 2:
        part = np.where(use[:, columns], part, np.float32(np.nan))
    (middle,) = row_quantiles(part, 0.5)
    valid = np.isfinite(part)
    n = np.count_nonzero(valid, axis=1)
    near = np.clip(part, (middle - CLIP)[:, None], (middle + CLIP)[:, None])
    w = np.where(valid, weight[:, columns], np.float32(0))
    w = np.where(np.isfinite(w), w, np.float32(0))
    total = w.sum(axis=1)
    mean = np.where(valid, near * w, np.float32(0)).sum(axis=1) / np.maximum(total, 1e-6)
    mean = np.where((n >= least) & (total > 0), mean, np.float32(np.nan))
    return mean.astype(np.float32), n.astype(np.int32)


def gain_in_full_sun(seen: Floats, sky: Floats, share: Floats, own_lx: Floats) -> Floats:
    """Today's change of the sky's share (leaves, dirt), where the sky drowns the own lamp.

    Taken at six times the own lamp and more, so that a lamp that burns can hardly hide in it; 0
    where fewer than four such slots were seen.
    """
    bright = share[:, None] + sky > np.log(6 * np.maximum(own_lx, 1))[:, None]
    part = np.where(bright, seen - share[:, None], np.float32(np.nan))
    (middle,) = row_quantiles(part, 0.5)
    enough = np.count_nonzero(np.isfinite(part), axis=1) >= LEAST_SLOTS
    return np.where(enough, middle, np.float32(0))


def surplus_light(
    lux: Floats, sky: Floats, share: Floats, own_lx: Floats, max_lx: Floats
) -> tuple[Floats, Floats, Floats]:
    """Light by day beyond the sky's, in units of the own lamp, with what it weighs.

    The third part is what a quarter of the telling slots stay below: a lamp that burns adds its
    light in every one of them, the sun between two houses in some. NaN with fewer than three; the
    mean itself where that is small.

    The error of the prediction is a fifth of it (sky) plus a tenth of the own lamp; slots in which
    the sky outshines the lamp six times say nothing and are left out.
    """
    own = np.maximum(own_lx, 1)[:, None]
    predicted = np.exp(share[:, None] + sky)
    with np.errstate(invalid="ignore"):
        good = (lux < (0.9 * max_lx)[:, None]) & (predicted < 6 * own)
    weight = np.where(good, 1 / (0.2 * predicted + 0.1 * own) ** 2, np.float32(0))
    extra = np.where(good, lux - predicted, np.float32(0))
    surplus = (weight * extra).sum(axis=1) * own[:, 0]
    information = weight.sum(axis=1) * own[:, 0] ** 2
    least = (surplus / np.maximum(information, TELLING)).astype(np.float32)
    # Few burn by day: only who adds that much on the whole is sorted.
    some = np.flatnonzero(least > WORTH_A_LOOK)
    telling = weight[some] * own[some] ** 2 > TELLING
    each = np.where(telling, extra[some] / own[some], np.float32(np.nan))
    (quarter,) = row_quantiles(each, 0.25)
    least[some] = np.where(count(telling) >= 3, quarter, np.float32(np.nan))
    return surplus.astype(np.float32), information.astype(np.float32), least.astype(np.float32)


def seen_saturated(lux: Floats) -> Floats:
    """Where each sensor was seen to end: a highest value of 200 lx and more that came four times.

    Registries often do not say it, and the same number at the top again and again is no weather.

    Returns
    -------
    float32 (n,)
        Infinite where nothing of the kind was seen.
    """
    if not lux.shape[1]:
        return np.full(len(lux), np.inf, dtype=np.float32)
    top = np.fmax.reduce(lux, axis=1)
    with np.errstate(invalid="ignore"):
        often = (count(lux == top[:, None]) >= 4) & (top >= 200)
    return np.where(often, top, np.float32(np.inf)).astype(np.float32)
