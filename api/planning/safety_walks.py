"""Points of a safety walk, from a table, matched with the luminaire each is about."""

from collections.abc import Sequence
from datetime import date

from api.assets import Asset, AssetKind
from api.errors import BadInputError
from api.interventions import WalkPoint
from api.street.places import distance_m
from api.tables import csv_table, refuse_identifiers

__all__ = ["walk_points_of"]

MATCH_M = 30.0  # farther away, an observation is about the place and not about a luminaire
MOST_POINTS = 2000
TEXT_COLUMNS = ("text", "note", "notering", "observation", "kommentar", "comment", "beskrivning")
LAT_COLUMNS = ("lat", "latitude", "latitud")
LON_COLUMNS = ("lon", "lng", "long", "longitude", "longitud")


def walk_points_of(raw: bytes, *, walk: str, day: date, assets: Sequence[Asset]) -> list[WalkPoint]:
    """Points from a CSV with latitude, longitude and a text.

    Raises
    ------
    BadInputError
        If a column is missing, a position is no position, or identifiers of people are in it.
    """
    table = csv_table(raw, name="the safety walk")
    refuse_identifiers(table)
    own = {name.casefold(): name for name in table.columns}

    def first_of(names: Sequence[str]) -> str:
        for name in names:
            if name in own:
                return own[name]
        raise BadInputError(
            f"the safety walk has no column {names[0]!r}.",
            remedy=f"It has: {', '.join(table.columns)}.",
        )

    texts = table.texts(first_of(TEXT_COLUMNS))
    lats = table.numbers(first_of(LAT_COLUMNS)).tolist()
    lons = table.numbers(first_of(LON_COLUMNS)).tolist()
    if len(texts) > MOST_POINTS:
        raise BadInputError(f"{len(texts)} points are too many.", remedy="Split the walk.")
    lamps = [
        (a.device_id, a.lat, a.lon)
        for a in assets
        if a.kind is not AssetKind.COUNTER and a.lat is not None and a.lon is not None
    ]
    points: list[WalkPoint] = []
    for text, lat, lon in zip(texts, lats, lons, strict=True):
        known = lat == lat and lon == lon  # noqa: PLR0124 - NaN is not itself
        if known and not (-90 <= lat <= 90 and -180 <= lon <= 180):
            raise BadInputError(f"{lat}, {lon} is no position.", remedy="Degrees are wanted.")
        where = (lat, lon) if known else None
        device, away = nearest(where, lamps) if where else ("", None)
        points.append(
            WalkPoint(
                0,
                walk,
                day,
                lat if known else None,
                lon if known else None,
                text[:4000],
                device,
                away,
            )
        )
    return points


def nearest(
    where: tuple[float, float], lamps: Sequence[tuple[str, float, float]]
) -> tuple[str, float | None]:
    """The luminaire nearest to a point, where one is near enough."""
    best, away = "", MATCH_M
    for device, lat, lon in lamps:
        # Cheap before exact: thirty metres are less than 0.0003 degrees of latitude.
        if abs(lat - where[0]) < 3e-4 and (d := distance_m(where, (lat, lon))) <= away:
            best, away = device, d
    return (best, round(away, 1)) if best else ("", None)
