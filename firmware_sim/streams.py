"""Random numbers that belong to a name and a moment, so that no draw moves another.

Every stream is a Philox counter generator keyed by a hash of the scenario's seed and the names of
what it is for. A street that is added, a second process or another order of work changes nothing
in the streams of others. Noise in time is interpolated between knots that are drawn by their own
number, so a day can be computed without the days before it.
"""

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

__all__ = ["generator", "knots", "smooth_noise", "uniform"]

KNOTS_PER_BLOCK = 64


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """The random stream of these names, the same on every machine.

    Parameters
    ----------
    seed : int
        The scenario's.
    *names : str or int
        What the stream is for, as `("feeder", "F-DAL-03", 17)`.
    """
    text = "\x1f".join([str(seed), *map(str, names)])
    key = int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key))


def uniform(seed: int, *names: str | int) -> float:
    """One number in [0, 1) of these names."""
    return float(generator(seed, *names).random())


def knots(
    seed: int, names: tuple[str | int, ...], rows: int, first: int, stop: int
) -> NDArray[np.float64]:
    """Standard normal values of the knots `first .. stop-1`, one line of knots per row.

    Returns
    -------
    float64 (rows, stop - first)
    """
    blocks = range(first // KNOTS_PER_BLOCK, (stop - 1) // KNOTS_PER_BLOCK + 1)
    drawn = np.concatenate(
        [
            generator(seed, *names, block).standard_normal((rows, KNOTS_PER_BLOCK))
            for block in blocks
        ],
        axis=1,
    )
    skipped = first - blocks[0] * KNOTS_PER_BLOCK
    return drawn[:, skipped : skipped + stop - first]


def smooth_noise(
    seed: int,
    names: tuple[str | int, ...],
    time_ms: NDArray[np.float64],
    step_ms: float,
    rows: int = 1,
) -> NDArray[np.float64]:
    """Gaussian noise with unit variance that changes over about `step_ms`.

    Parameters
    ----------
    time_ms : float64 (s,) or (rows, s)
        When it is wanted [ms, UTC].
    step_ms : float
        Distance of the knots [ms].
    rows : int
        Independent lines of noise.

    Returns
    -------
    float64 (rows, s)
    """
    u = np.atleast_2d(time_ms) / step_ms
    at = np.floor(u).astype(np.int64)
    first = int(at.min())
    z = knots(seed, names, rows, first, int(at.max()) + 2)
    f = u - at
    w = f * f * (3 - 2 * f)
    at = np.broadcast_to(at - first, (rows, at.shape[1]))
    left, right = np.take_along_axis(z, at, 1), np.take_along_axis(z, at + 1, 1)
    mixed: NDArray[np.float64] = (left * (1 - w) + right * w) / np.sqrt((1 - w) ** 2 + w**2)
    return mixed
