"""What stands in the street: luminaires and counters, where they stand and what feeds them."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Asset", "AssetKind", "Supply", "Switching"]


class AssetKind(StrEnum):
    """What a device belongs to."""

    LUMINAIRE = "luminaire"
    TUNNEL = "tunnel"
    COUNTER = "counter"


class Switching(StrEnum):
    """Who decides when a luminaire burns."""

    ASTRO = "astro"
    PHOTOCELL = "photocell"
    OWN_PHOTOCELL = "own_photocell"
    FEEDER = "feeder"
    ALWAYS = "always"


class Supply(StrEnum):
    """What keeps the device alive; battery devices go on reporting when the feeder is dead."""

    MAINS = "mains"
    BATTERY = "battery"


@dataclass(frozen=True, slots=True)
class Asset:
    """One row of the assets format. None, or an empty string for a name, means not known.

    Attributes
    ----------
    place_kind : str
        crossing, junction, tunnel, stairs, stop, playground or cycle_link: FIWARE's
        `location_category` has none of the first.
    area : str
        The part of the city, and with it the crew or contractor that goes there.
    owner : str
        Who owns the network, where the city does not.
    """

    device_id: str
    luminaire_id: str
    kind: AssetKind = AssetKind.LUMINAIRE
    site: str = ""
    segment: str = ""
    segment_order: int | None = None
    feeder: str = ""
    cabinet: str = ""
    gateway: str = ""
    lat: float | None = None
    lon: float | None = None
    nominal_illuminance_lx: float | None = None
    switching: Switching | None = None
    dimming: str = ""
    supply: Supply | None = None
    rated_power_w: float | None = None
    max_illuminance_lx: float | None = None
    resolution_lx: float | None = None
    interval_s: float | None = None
    location_category: str = ""
    lighting_class: str = ""
    place_kind: str = ""
    area: str = ""
    owner: str = ""
