"""Inventories as cities have them: CSV, xlsx, Parquet or GeoJSON; unknown stays unknown."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from api.assets import Asset, AssetKind, Supply, Switching
from api.errors import BadInputError

if TYPE_CHECKING:
    from api.ledger import AssetDiff

__all__ = ["ImportedAssets", "Rejected", "import_summary", "read_assets"]

# What others call our columns; compared without case, spaces, dots and underscores.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "device_id": ("device", "id", "lokalid", "deveui", "enhet", "objectid"),
    "luminaire_id": (
        "luminaire",
        "stolpnummer",
        "stolpnr",
        "polenumber",
        "armaturid",
        "belysningspunkt",
    ),
    "site": ("place", "plats"),
    "segment": ("sträcka", "stracka"),
    "segment_order": ("ordning", "order"),
    "feeder": ("grupp", "utgåendeledning", "circuit", "krets"),
    "cabinet": ("belysningscentral", "central", "controlcabinet", "skåp", "tennpunkt"),
    "lat": ("latitude", "latitud", "breddgrad"),
    "lon": ("long", "lng", "longitude", "longitud", "längdgrad"),
    "rated_power_w": ("effekt", "effektw", "power", "watt", "powerrating"),
    "location_category": ("locationcategory",),
    "lighting_class": ("belysningsklass", "lightingclass"),
    "area": ("område", "stadsdel", "district"),
    "owner": ("ägare", "nätägare", "eier"),
    "place_kind": ("platstyp", "placekind"),
}
NUMBERS = frozenset(
    {
        "lat",
        "lon",
        "nominal_illuminance_lx",
        "rated_power_w",
        "max_illuminance_lx",
        "resolution_lx",
        "interval_s",
    }
)
LIMITS: Mapping[str, tuple[float, float]] = {"lat": (-90, 90), "lon": (-180, 180)}
ENUMS: Mapping[str, type[StrEnum]] = {"kind": AssetKind, "switching": Switching, "supply": Supply}
PLACE_KINDS = frozenset(
    {"crossing", "junction", "tunnel", "stairs", "stop", "playground", "cycle_link"}
)
DEVICE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Words that mean "not known" in inventories.
UNKNOWN = frozenset({"", "-", "?", "null", "none", "nan", "n/a", "na", "okänd", "okänt", "ukjent"})
CONTROL = re.compile("[\x00-\x1f\x7f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that cannot be used."""

    line: int
    device_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class ImportedAssets:
    """What a file held.

    Attributes
    ----------
    skipped : int
        Rows the conditions (`where`) left out.
    ignored : tuple of str
        Columns nothing was taken from.
    unknown : mapping of str to int
        How many rows know nothing of each column.
    """

    assets: list[Asset]
    rejected: list[Rejected]
    skipped: int
    ignored: tuple[str, ...]
    unknown: Mapping[str, int] = field(default_factory=dict[str, int])


class BadRowError(Exception):
    """Why a row cannot be used."""


def read_assets(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    where: Mapping[str, str] | None = None,
    sheet: str | None = None,
) -> ImportedAssets:
    """Read an inventory; a row that cannot be used is told with its line and the reason.

    Parameters
    ----------
    path : Path
        .geojson or .json (a FeatureCollection of points); anything else as `api.tables` reads it.
    columns : mapping of our column to theirs, optional
        Where the names cannot be guessed; several of theirs joined by "+" become one name.
    where : mapping of their column to value, optional
        Only rows that have it.
    sheet : str, optional
        Of an xlsx file.

    Raises
    ------
    BadInputError
        If the file cannot be read, or no column can be the device's id.
    """
    names, rows, first_line = read_rows(path, sheet)
    chosen = choose_columns(names, columns or {}, str(path))
    for name in where or {}:
        if name not in names:
            raise BadInputError(f"{path} has no column {name!r}; it has {', '.join(names)}.")
    used = {part for theirs in chosen.values() for part in theirs}
    assets: list[Asset] = []
    rejected: list[Rejected] = []
    unknown = dict.fromkeys(chosen, 0)
    lines: dict[str, int] = {}
    skipped = 0
    for line, row in enumerate(rows, first_line):
        if any(text(row.get(name)) != value for name, value in (where or {}).items()):
            skipped += 1
            continue
        values = {ours: joined(row, theirs) for ours, theirs in chosen.items()}
        for ours, value in values.items():
            unknown[ours] += value == ""
        try:
            asset = asset_of(values)
            if (earlier := lines.get(asset.device_id)) is not None:
                raise BadRowError(f"the same device_id as line {earlier}")  # noqa: TRY301 - one way out
        except BadRowError as error:
            shown = values.get("device_id", "")[:64]
            rejected.append(Rejected(line, shown, str(error)))
            continue
        lines[asset.device_id] = line
        assets.append(asset)
    ignored = tuple(name for name in names if name not in used and name not in (where or {}))
    return ImportedAssets(assets, rejected, skipped, ignored, unknown)


def read_rows(path: Path, sheet: str | None) -> tuple[list[str], Iterable[Mapping[str, Any]], int]:
    """Column names, rows, and the line of the first row."""
    if path.suffix.lower() in {".geojson", ".json"}:
        return read_geojson(path)
    from api.tables import read_table

    table = read_table(path, sheet=sheet)
    names = list(table.columns)
    cells = [table.column(name) for name in names]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]
    return names, rows, table.first_line


def read_geojson(path: Path) -> tuple[list[str], list[Mapping[str, Any]], int]:
    """Features as rows; their line is their number, from 1."""
    try:
        content: Any = json.loads(path.read_bytes())
        features = cast("list[dict[str, Any]]", content["features"])
        rows: list[Mapping[str, Any]] = []
        names: dict[str, None] = {}
        for feature in features:
            row = dict(cast("dict[str, Any]", feature.get("properties") or {}))
            geometry = cast("dict[str, Any]", feature.get("geometry") or {})
            if geometry.get("type") == "Point":
                at = cast("list[float]", geometry["coordinates"])
                row["lon"], row["lat"] = at[0], at[1]
            if "id" in feature and "device_id" not in row:
                row.setdefault("id", feature["id"])
            rows.append(row)
            names |= dict.fromkeys(row)
    except OSError as error:
        raise BadInputError(f"{path}: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise BadInputError(f"{path} is no GeoJSON FeatureCollection of points.") from error
    return list(names), rows, 1


def plain_name(name: str) -> str:
    """A column's name without what people write differently."""
    return re.sub(r"[\s._\-()\[\]]", "", name).casefold()


def choose_columns(
    names: Sequence[str], given: Mapping[str, str], where: str
) -> dict[str, tuple[str, ...]]:
    """Our column -> theirs."""
    ours = {f.name for f in fields(Asset)}
    if unknown := given.keys() - ours:
        raise BadInputError(
            f"{min(unknown)!r} is no column of ours.",
            remedy=f"Ours: {', '.join(sorted(ours))}.",
        )
    chosen: dict[str, tuple[str, ...]] = {}
    by_plain = {plain_name(name): name for name in reversed(names)}
    for name in sorted(ours):
        if name in given:
            parts = tuple(given[name].split("+"))
            if missing := [part for part in parts if part not in names]:
                raise BadInputError(f"{where} has no column {missing[0]!r}.")
            chosen[name] = parts
            continue
        for candidate in (name, *ALIASES.get(name, ())):
            if (theirs := by_plain.get(plain_name(candidate))) is not None:
                chosen[name] = (theirs,)
                break
    if "device_id" not in chosen:
        raise BadInputError(
            f"{where}: no column can be the device's id; it has {', '.join(names)}.",
            remedy="Say which with --map device_id=COLUMN.",
        )
    return chosen


def text(cell: Any) -> str:
    """A cell as text; empty where nothing is known."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    found = " ".join(CONTROL.sub(" ", str(cell)).split())
    return "" if found.casefold() in UNKNOWN else found


def joined(row: Mapping[str, Any], theirs: Sequence[str]) -> str:
    """One or several cells as one name; empty if any of them is."""
    parts = [text(row.get(name)) for name in theirs]
    return "-".join(parts) if all(parts) else ""


def asset_of(values: Mapping[str, str]) -> Asset:
    """An asset from texts.

    Raises
    ------
    BadRowError
    """
    device = values["device_id"]
    if not device:
        raise BadRowError("no device_id")
    if not DEVICE_ID.fullmatch(device):
        raise BadRowError("device_id may hold A-Z a-z 0-9 _ - and 64 characters")
    found: dict[str, Any] = {}
    for name, value in values.items():
        if value == "":
            continue
        if name in NUMBERS:
            found[name] = number(name, value)
        elif name == "segment_order":
            found[name] = whole_number(name, value)
        elif (enum := ENUMS.get(name)) is not None:
            try:
                found[name] = enum(value.casefold())
            except ValueError as error:
                words = ", ".join(member.value for member in enum)
                raise BadRowError(f"{name} {value[:30]!r} is none of {words}") from error
        else:
            found[name] = value[:200]
    if ("lat" in found) != ("lon" in found):
        raise BadRowError("lat and lon belong together")
    if found.get("lat") == 0 and found.get("lon") == 0:
        raise BadRowError("lat and lon are both 0: a position nobody wrote down")
    if found.get("place_kind") and found["place_kind"] not in PLACE_KINDS:
        raise BadRowError(f"place_kind is none of {', '.join(sorted(PLACE_KINDS))}")
    found.setdefault("luminaire_id", device)
    return Asset(**found)


def number(name: str, value: str) -> float:
    """A number within what its column can be; decimal comma is read."""
    from api.tables import as_number

    parsed = as_number(value)
    if parsed is None or not math.isfinite(parsed):
        raise BadRowError(f"{name} {value[:30]!r} is no number")
    low, high = LIMITS.get(name, (0.0, math.inf))
    if not low <= parsed <= high:
        raise BadRowError(f"{name} {value[:30]} cannot be")
    return parsed


def whole_number(name: str, value: str) -> int:
    """A whole number."""
    parsed = number(name, value)
    if not parsed.is_integer():
        raise BadRowError(f"{name} {value[:30]!r} is no whole number")
    return int(parsed)


def import_summary(
    found: ImportedAssets, diff: "AssetDiff", unordered: Sequence[str], *, applied: bool
) -> dict[str, Any]:
    """What an import says: the same by command, by HTTP and on the page."""
    return {
        "applied": applied,
        "read": len(found.assets),
        "skipped": found.skipped,
        "rejected": [
            {"line": r.line, "device_id": r.device_id, "reason": r.reason} for r in found.rejected
        ],
        "added": len(diff.added),
        "changed": [
            {"device_id": c.device_id, "fields": {n: [str(a), str(b)] for n, a, b in c.fields}}
            for c in diff.changed
        ],
        "removed": list(diff.removed),
        "same": diff.same,
        "without_order": list(unordered),
        "not_known": {name: n for name, n in found.unknown.items() if n},
        "ignored_columns": list(found.ignored),
    }
