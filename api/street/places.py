"""Where the counted places lie."""

from collections.abc import Mapping, Sequence

import numpy as np

from api.errors import BadInputError
from api.tables import Table

__all__ = ["distance_m", "near_sites", "site_positions"]

EARTH_M = 6_371_000.0
NAME_COLUMNS = ("site", "sensor", "station", "station_id", "sensor_id", "name", "plats", "place")
LAT_COLUMNS = ("lat", "latitude", "latitud")
LON_COLUMNS = ("lon", "lng", "long", "longitude", "longitud")


def site_positions(table: Table, sites: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Positions of the sites a table knows, by the column that names most of them.

    Raises
    ------
    BadInputError
        If it has no latitude and longitude, or names none of the sites.
    """
    own = {name.casefold(): name for name in table.columns}
    lat = next((own[name] for name in LAT_COLUMNS if name in own), None)
    lon = next((own[name] for name in LON_COLUMNS if name in own), None)
    if lat is None or lon is None:
        raise BadInputError(
            f"{table.name} has no lat and lon.", remedy=f"It has: {', '.join(table.columns)}."
        )
    wanted = {*sites}
    named = [table.texts(own[name]) for name in NAME_COLUMNS if name in own]
    best = max(named, key=lambda names: len(wanted & {*names}), default=[])
    if not wanted & {*best}:
        raise BadInputError(f"{table.name} names none of the places counted.")
    rows = zip(best, table.numbers(lat).tolist(), table.numbers(lon).tolist(), strict=True)
    return {site: (a, b) for site, a, b in rows if site in wanted and a == a and b == b}  # noqa: PLR0124 - NaN is not itself


def near_sites(
    places: Mapping[str, tuple[float, float]], treated: Sequence[str], radius_m: float
) -> list[str]:
    """Other sites within a distance of any treated one."""
    inside: list[str] = []
    for site, (lat, lon) in places.items():
        if site in treated:
            continue
        for other in treated:
            if other in places and distance_m((lat, lon), places[other]) <= radius_m:
                inside.append(site)
                break
    return inside


def distance_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Distance over ground [m] (haversine)."""
    lat_a, lon_a, lat_b, lon_b = np.deg2rad([*a, *b])
    h = (
        np.sin((lat_b - lat_a) / 2) ** 2
        + np.cos(lat_a) * np.cos(lat_b) * np.sin((lon_b - lon_a) / 2) ** 2
    )
    return float(2 * EARTH_M * np.arcsin(np.sqrt(h)))
