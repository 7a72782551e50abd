"""What a luminaire's sensor saw in some days, and the light that was expected of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from analytics.burning import DARK_BELOW
from analytics.clocks import clock_shift, true_ms
from analytics.dimming import expectation, parse_programme
from analytics.grid import SLOT_MS, SLOTS, night_of, window_start
from analytics.sun import sun_elevation
from api.assets import Asset, AssetKind, Switching
from api.street.street_plan import HELSINGBORG
from api.watch.picture_canvas import Frame
from api.watch.window_readings import ReadingSource
from ingest.reading import Quantity

__all__ = ["Trace", "Wanted", "expected_light", "seen_by"]

BRIGHT_ABOVE = 1.4  # of its own level: more than that is not drawn as expected
Trace: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was expected in each slot of the frame.

    Attributes
    ----------
    time_ms : int64 (m,)
        Where each slot begins.
    night, lit : bool (m,)
    low_lx, high_lx : float64 (m,)
        Half of the least that is right, and a little more than the most; NaN by day.
    own_lx : float
        The luminaire's own full level; NaN where not known.
    """

    time_ms: npt.NDArray[np.int64]
    night: npt.NDArray[np.bool_]
    lit: npt.NDArray[np.bool_]
    low_lx: npt.NDArray[np.float64]
    high_lx: npt.NDArray[np.float64]
    own_lx: float

    def slot(self, time_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Which slot each moment falls in; moments outside take the nearest."""
        return slots_of(time_ms, self.time_ms)


def slots_of(
    time_ms: npt.NDArray[np.int64], begins_ms: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Row of the slot each moment falls in; moments outside take the nearest."""
    row: npt.NDArray[np.int64] = (time_ms - begins_ms[0]) // SLOT_MS
    return row.clip(0, len(begins_ms) - 1)


def seen_by(readings: ReadingSource, devices: Sequence[str], frame: Frame) -> Trace:
    """What some devices saw, by time, their clocks put right."""
    found = readings.columns(
        Quantity.ILLUMINANCE, start_ms=frame.start_ms, stop_ms=frame.stop_ms, devices=devices
    )
    shift = clock_shift(found.device, found.time_ms, found.received_ms, n=len(found.device_ids))
    time_ms = true_ms(found.device, found.time_ms, found.received_ms, shift)
    order = np.argsort(time_ms, kind="stable")
    return time_ms[order], found.value[order]


def expected_light(own: Trace, asset: Asset, began_ms: int, frame: Frame) -> Wanted:
    """The luminaire's own level before it began, by its dimming programme and the sun."""
    lat = asset.lat if asset.lat is not None else HELSINGBORG[0]
    lon = asset.lon if asset.lon is not None else HELSINGBORG[1]
    always = asset.kind is AssetKind.TUNNEL or asset.switching is Switching.ALWAYS
    programme = parse_programme(asset.dimming or "")
    first = night_of(frame.start_ms)
    time_ms = np.arange(window_start(first), frame.stop_ms, SLOT_MS)
    time_ms = time_ms[0] + np.arange(-(-len(time_ms) // SLOTS) * SLOTS) * SLOT_MS
    sun = sun_elevation(time_ms / 1000, lat, lon).astype(np.float32)
    local = local_minutes(time_ms, frame.zone)
    days = [
        expectation(sun[i : i + SLOTS], local[i : i + SLOTS], programme, always=always)
        for i in range(0, len(time_ms), SLOTS)
    ]
    night, lit, full, motion, share = (
        np.concatenate([getattr(day, name) for day in days])
        for name in ("night", "lit", "full", "motion", "level")
    )
    slot = slots_of(own[0], time_ms)
    before = full[slot] & (own[0] < began_ms)
    if before.sum() >= 6:
        level = float(np.median(own[1][before]))
    else:
        level = float(asset.nominal_illuminance_lx or np.nan)
    most = np.where(motion, 1.0, share)
    return Wanted(
        time_ms,
        night,
        lit,
        np.where(lit, DARK_BELOW * level * share, np.nan),
        np.where(lit, BRIGHT_ABOVE * level * most, np.nan),
        level,
    )


def local_minutes(time_ms: npt.NDArray[np.int64], zone: ZoneInfo) -> npt.NDArray[np.float64]:
    """Local minutes after midnight, daylight saving resolved."""
    moments = (datetime.fromtimestamp(t / 1000, tz=UTC).astimezone(zone) for t in time_ms.tolist())
    return np.array([m.hour * 60 + m.minute for m in moments], dtype=np.float64)
