"""What a store may hold already, so that a repeat is known and not written again."""

import numpy as np
import numpy.typing as npt

from ingest.stores import Columns

__all__ = ["Newest", "places"]


class Newest:
    """Up to when readings of each device may be in the store already.

    Parameters
    ----------
    since_ms : int
        Of times before, nothing is known.
    newest : Columns
        The newest readings after it.
    """

    def __init__(self, since_ms: int, newest: Columns) -> None:
        self._since_ms = since_ms
        self._until: dict[str, int] = {}
        self.wrote(newest)

    def wrote(self, columns: Columns) -> None:
        """These are in the store now."""
        last = np.full(len(columns.device_ids), self._since_ms - 1, np.int64)
        np.maximum.at(last, columns.device, columns.time_ms)
        for name, time_ms in zip(columns.device_ids, last.tolist(), strict=True):
            if time_ms > self._until.get(name, self._since_ms - 1):
                self._until[name] = time_ms

    def maybe_known(self, columns: Columns) -> npt.NDArray[np.bool_]:
        """Which readings could be in the store already."""
        floor = self._since_ms - 1
        until = np.array([self._until.get(name, floor) for name in columns.device_ids], np.int64)
        return columns.time_ms <= until[columns.device]


def places(known: Columns, new: Columns) -> npt.NDArray[np.intp]:
    """Row of `known` with the same device and time as each row of `new`, -1 where there is none."""
    if not len(known):
        return np.full(len(new), -1, np.intp)
    number = {name: n for n, name in enumerate(known.device_ids)}
    lookup = np.array([number.get(name, -1) for name in new.device_ids], np.int64)
    device = lookup[new.device]
    first = min(int(known.time_ms.min()), int(new.time_ms.min()))
    # Times of one write and of what was read for it lie far within int64 of one another.
    span = max(int(known.time_ms.max()), int(new.time_ms.max())) - first + 1
    keys = known.device.astype(np.int64) * span + (known.time_ms - first)
    wanted = device * span + (new.time_ms - first)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where((device >= 0) & (keys[place] == wanted), place, -1)
