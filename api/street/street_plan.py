"""From the rows of the registry to the arrays that the detectors know as a street."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analytics.cause import Whole, lines_of
from analytics.dimming import parse_programme
from analytics.findings import CauseKind
from analytics.grid import Floats, Ints
from analytics.street import Street, cable_neighbours, padded_groups, peer_groups
from api.assets import Asset, AssetKind, Supply, Switching

__all__ = ["StreetPlan", "plan_street"]

CELL_DEG = 0.25  # luminaires this near share one sun
HELSINGBORG = (56.05, 12.69)


@dataclass(frozen=True, slots=True)
class StreetPlan:
    """A street with the names behind its numbers.

    Attributes
    ----------
    assets : list of Asset
        By row.
    street : Street
    whole : Whole
    names : dict of CauseKind to list of str
        Name of each segment, feeder, cabinet and gateway by number.
    row_of : dict of str to int
        Row of each device.
    """

    assets: list[Asset]
    street: Street
    whole: Whole
    names: dict[CauseKind, list[str]]
    row_of: dict[str, int]

    def name_of(self, kind: CauseKind, cause: int) -> str:
        """Name of a cause: the luminaire's or sensor's own for single ones."""
        if kind is CauseKind.LUMINAIRE:
            return self.assets[cause].luminaire_id
        if kind is CauseKind.SENSOR:
            return self.assets[cause].device_id
        return self.names[kind][cause]

    def rows(self, device_ids: Sequence[str]) -> Ints:
        """Rows of devices, -1 for those that light no street."""
        return np.array([self.row_of.get(d, -1) for d in device_ids], dtype=np.int32)


def numbered(names: Sequence[str]) -> tuple[Ints, list[str]]:
    """Numbers for names, in the order of the names; -1 for an empty one."""
    known = sorted({name for name in names if name})
    number = {name: i for i, name in enumerate(known)}
    return np.array([number.get(name, -1) for name in names], dtype=np.int32), known


def numbers(values: Sequence[float | None], default: float = float("nan")) -> Floats:
    """Numbers with a default where not known or not above zero."""
    return np.array([default if v is None or not v > 0 else v for v in values], dtype=np.float32)


def plan_street(assets: Sequence[Asset]) -> StreetPlan:
    """Arrays of all luminaires; counters are left out."""
    lights = [a for a in assets if a.kind is not AssetKind.COUNTER]
    feeder, feeders = numbered([a.feeder for a in lights])
    segment, segments = numbered([a.segment for a in lights])
    cabinet, cabinets = numbered([a.cabinet for a in lights])
    gateway, gateways = numbered([a.gateway for a in lights])
    place, _ = numbered([a.site for a in lights])
    tunnel = np.array(
        [a.kind is AssetKind.TUNNEL or a.switching is Switching.ALWAYS for a in lights], dtype=bool
    )
    # A segment that hangs on two feeders is two lines of cable.
    line, _ = numbered(
        [f"{a.feeder}\0{a.segment}" if a.segment or a.feeder else "" for a in lights]
    )
    position = np.array(
        [-1 if a.segment_order is None else a.segment_order for a in lights], dtype=np.int32
    )
    left, right = cable_neighbours(line, position)
    programme, programmes = numbered([a.dimming or "-" for a in lights])
    lat0, lon0 = middle(lights)
    where = [
        (
            round((a.lat if a.lat is not None else lat0) / CELL_DEG) * CELL_DEG,
            round((a.lon if a.lon is not None else lon0) / CELL_DEG) * CELL_DEG,
        )
        for a in lights
    ]
    cells = sorted(set(where))
    if len(cells) <= 4:  # one town: its own middle is nearer than any grid's
        cells, where = [(lat0, lon0)], [(lat0, lon0)] * len(lights)
    cell = np.array([cells.index(w) for w in where], dtype=np.int32)
    # Without a feeder the same place, or the same gateway, sees the same sky.
    beside = np.where(place >= 0, place, gateway)
    pool = np.where(feeder >= 0, feeder, np.where(beside >= 0, len(feeders) + beside, -1))
    peers = peer_groups(pool.astype(np.int32), tunnel)
    street = Street(
        names=[a.device_id for a in lights],
        tunnel=tunnel,
        line=line,
        position=position,
        left=left,
        right=right,
        feeder=feeder,
        cabinet=cabinet,
        gateway=gateway,
        place=place,
        segment=segment,
        nominal_lx=numbers([a.nominal_illuminance_lx for a in lights]),
        rated_w=numbers([a.rated_power_w for a in lights]),
        max_lx=numbers([a.max_illuminance_lx for a in lights], np.inf),
        resolution_lx=numbers([a.resolution_lx for a in lights], 0.1),
        interval_s=numbers([a.interval_s for a in lights], 600),
        mains=np.array([a.supply is not Supply.BATTERY for a in lights], dtype=bool),
        feeder_switched=np.array([a.switching is Switching.FEEDER for a in lights], dtype=bool),
        clouds=np.array([a.switching is Switching.OWN_PHOTOCELL for a in lights], dtype=bool),
        programme=programme,
        programmes=[parse_programme(text) for text in programmes],
        cell=cell,
        cells=cells,
        peers=peers,
        east_m=metres([a.lon for a in lights], lon0, np.cos(np.deg2rad(lat0))),
        north_m=metres([a.lat for a in lights], lat0, 1.0),
    )
    whole = Whole(
        line=lines_of(street),
        feeder=padded_groups(feeder),
        cabinet=padded_groups(cabinet),
        gateway=padded_groups(gateway),
    )
    names = {
        CauseKind.SEGMENT: segments,
        CauseKind.FEEDER: feeders,
        CauseKind.CABINET: cabinets,
        CauseKind.GATEWAY: gateways,
    }
    return StreetPlan(lights, street, whole, names, {a.device_id: i for i, a in enumerate(lights)})


def metres(degrees: Sequence[float | None], origin: float, shrink: float) -> Floats:
    """Degrees as metres from an origin; a town is small enough to be flat."""
    values = np.array([np.nan if d is None else d for d in degrees], dtype=np.float64)
    return ((values - origin) * 111_320.0 * shrink).astype(np.float32)


def middle(lights: Sequence[Asset]) -> tuple[float, float]:
    """Middle of the town; Helsingborg's where no luminaire has a place."""
    placed = [(a.lat, a.lon) for a in lights if a.lat is not None and a.lon is not None]
    if not placed:
        return HELSINGBORG
    lat, lon = np.median(np.array(placed), axis=0)
    return float(lat), float(lon)
