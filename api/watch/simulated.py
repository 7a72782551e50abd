"""Which devices are simulated, as the newest they said tells: a real one may take over the name."""

from collections.abc import Mapping

import numpy as np

from api.watch.feature_store import FeatureStore
from ingest.reading import Flag
from ingest.stores import Columns

__all__ = ["SimulatedDevices"]


class SimulatedDevices:
    """Kept with the features: a device that falls silent is no more real for it.

    Parameters
    ----------
    features : FeatureStore

    Attributes
    ----------
    ids : set of str
        Changed in place.
    """

    def __init__(self, features: FeatureStore) -> None:
        self._features = features
        self.ids: set[str] = features.read_simulated()

    def note(self, found: Columns) -> None:
        """Take up what readings are marked with."""
        marked = (found.flags & Flag.SIMULATED) != 0
        if self.ids or marked.any():
            heard = {found.device_ids[i] for i in np.flatnonzero(np.bincount(found.device))}
            said = {found.device_ids[i] for i in np.flatnonzero(np.bincount(found.device[marked]))}
            self._take(dict.fromkeys(heard, False) | dict.fromkeys(said, True))

    def note_reporters(self, marked: Mapping[str, bool]) -> None:
        """Take up what the newest fault reports are marked with, of who sends nothing else."""
        self._take(marked)

    def _take(self, marked: Mapping[str, bool]) -> None:
        simulated = {device for device, is_simulated in marked.items() if is_simulated}
        if simulated != self.ids & marked.keys():
            self.ids.difference_update(marked)
            self.ids.update(simulated)
            self._features.write_simulated(self.ids)
