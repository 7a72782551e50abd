"""Which devices have fallen silent, by the interval at which they are expected to report."""

from dataclasses import dataclass, field

from ingest.devices import Registry

__all__ = ["Liveness", "SilentDevice"]

SILENT_AFTER_INTERVALS = 3.0


@dataclass(frozen=True, slots=True)
class SilentDevice:
    """A device that should have reported.

    Attributes
    ----------
    last_ms : int or None
        When it was last heard [ms, UTC]; None = not since the watch began.
    silent_s : float
        For how long it has been silent [s], or since the watch began.
    """

    device_id: str
    last_ms: int | None
    silent_s: float


@dataclass(slots=True)
class Liveness:
    """When each device was last heard.

    A device that has never been heard is silent only after its time has passed since the watch
    began, so that a restart of ours silences nobody.

    Parameters
    ----------
    since_ms : int
        When the watch began [ms, UTC].
    """

    since_ms: int
    last_ms: dict[str, int] = field(default_factory=dict[str, int])

    def silent(self, registry: Registry, now_ms: int) -> list[SilentDevice]:
        """Devices whose registry entry gives an interval and that missed three of them."""
        found: list[SilentDevice] = []
        for entry in registry.devices:
            if entry.interval_s is None:
                continue
            last_ms = self.last_ms.get(entry.device_id)
            silent_s = (now_ms - (self.since_ms if last_ms is None else last_ms)) / 1000
            if silent_s > SILENT_AFTER_INTERVALS * entry.interval_s:
                found.append(SilentDevice(entry.device_id, last_ms, silent_s))
        return found
