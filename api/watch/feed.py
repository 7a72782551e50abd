"""A folder of recorded readings, events, assets and maintenance, read for a backtest.

Read liberally: one file or many, CSV, Parquet or JSON Lines, missing optional columns, further
columns, times with any zone (UTC where none is given) or as numbers. What cannot be used is counted
and told.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from analytics.grid import DAY_MS
from api.assets import Asset, AssetKind, Supply, Switching
from api.errors import BadInputError
from api.watch.feed_source import FeedSource, Gathering
from api.watch.feed_tables import (
    ArrowTable,
    load_pieces,
    load_table,
    numbers_of,
    texts_of,
    times_of,
)
from api.watch.maintenance_log import Maintenance
from api.watch.window_readings import READ
from ingest.reading import Quantity
from ingest.stores import StoredEvent

__all__ = ["Feed", "read_feed"]

pc: Any = pyarrow.compute  # its functions are made at run time and carry no types

SUFFIXES = (".parquet", ".pq", ".csv", ".csv.gz", ".jsonl", ".ndjson", ".geojson", ".json")
EARLIEST_MS = 946_684_800_000  # before 2000 no luminaire sent anything
ID_NAMES = ("device_id", "device", "id")
TIME_NAMES = ("time", "time_ms", "timestamp")
RECEIVED_NAMES = ("received_time", "received_ms", "received")
USED = frozenset(
    [*ID_NAMES, *TIME_NAMES, *RECEIVED_NAMES, "quantity", "value", *(q.value for q in READ)]
)


@dataclass(slots=True)
class Feed:
    """What a folder held.

    Attributes
    ----------
    source : FeedSource
    assets : list of Asset
    maintenance : list of Maintenance
    remarks : list of str
        What could not be used, and why.
    """

    source: FeedSource
    assets: list[Asset]
    maintenance: list[Maintenance]
    remarks: list[str] = field(default_factory=list)


def read_feed(
    folder: Path | None,
    *,
    readings: Path | None = None,
    events: Path | None = None,
    assets: Path | None = None,
    maintenance: Path | None = None,
) -> Feed:
    """Read a feed folder, or its parts by name.

    Raises
    ------
    BadInputError
        When the readings or the assets are missing or hold nothing that can be used.
    """
    remarks: list[str] = []
    found_readings = files_of(folder, "readings", readings)
    found_assets = files_of(folder, "assets", assets)
    found_events = files_of(folder, "events", events)
    if not found_readings and not found_events:
        where = folder or readings
        raise BadInputError(
            f"no readings in {where}.",
            remedy="Expected readings.parquet, readings.csv, readings.jsonl or a folder readings/.",
        )
    gathering = Gathering()
    for path in found_readings:
        gather(load_pieces(path, columns=USED), gathering, remarks)
    known_events = read_events([load_table(p) for p in found_events], remarks)
    listed = read_assets([load_table(p) for p in found_assets], remarks)
    if not listed:
        remarks.append("no assets: every device is taken for a luminaire of its own")
        named = {*gathering.number_of, *(e.device_id for e in known_events)}
        listed = [Asset(d, d) for d in sorted(named)]
    log = read_maintenance([load_table(p) for p in files_of(folder, "maintenance", maintenance)])
    return Feed(gathering.source(known_events), listed, log, remarks)


def files_of(folder: Path | None, name: str, given: Path | None) -> list[Path]:
    """Files of one kind: those named, else `name.*`, `name*/...` and `name-*` in the folder."""
    if given is not None:
        if not given.exists():
            raise BadInputError(f"{given} does not exist.")
        return [given] if given.is_file() else list(files_below(given))
    if folder is None:
        return []
    if not folder.is_dir():
        raise BadInputError(f"{folder} is not a folder.", remedy="Name the folder of a feed.")
    plain = sorted(
        p
        for p in folder.iterdir()
        if p.is_file() and p.name.lower().startswith(name) and readable(p)
    )
    below = [p for d in sorted(folder.glob(f"{name}*")) if d.is_dir() for p in files_below(d)]
    return plain or below


def files_below(folder: Path) -> Iterator[Path]:
    """All files that can be read, at any depth, in order."""
    return (p for p in sorted(folder.rglob("*")) if p.is_file() and readable(p))


def readable(path: Path) -> bool:
    """Whether the name ends in something we read; drafts and hidden files are not."""
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith((".", "_"))


def gather(tables: Iterable[ArrowTable], gathering: Gathering, remarks: list[str]) -> None:
    """Take the readings of one file after another."""
    odd: Counter[str] = Counter()
    for table in tables:
        id_column = next((c for c in ID_NAMES if c in table.column_names), None)
        time_ms = times_of(table, *TIME_NAMES)
        if id_column is None or time_ms is None:
            odd["a readings file has no device_id or no time column; it was left out"] += 1
            continue
        device = device_numbers(table.column(id_column), gathering.number_of)
        received = times_of(table, *RECEIVED_NAMES)
        received = time_ms if received is None else np.where(received < 0, time_ms, received)
        time_ms = with_broken_clocks(time_ms, received)
        good = (time_ms > EARLIEST_MS) & (device >= 0)
        odd["readings without a usable time or device"] += int((~good).sum())
        for quantity, value in quantities_in(table):
            use = good & np.isfinite(value)
            gathering.add(quantity, device[use], time_ms[use], value[use], received[use])
    remarks += [
        f"{n} {what}" if what.startswith("readings") else what for what, n in odd.items() if n
    ]


def quantities_in(table: ArrowTable) -> Iterator[tuple[Quantity, npt.NDArray[np.float64]]]:
    """The quantities a round uses: a column each, or in long form (`quantity`, `value`)."""
    names = table.column_names
    if "quantity" in names and "value" in names:
        value = numbers_of(table.column("value"))
        for quantity in READ:
            of = pc.fill_null(pc.equal(table.column("quantity"), quantity.value), False)
            mine = of.to_numpy().astype(bool)
            if mine.any():
                yield quantity, np.where(mine, value, np.nan)
        return
    for quantity in READ:
        if quantity.value in names:
            yield quantity, numbers_of(table.column(quantity.value))


def with_broken_clocks(
    time_ms: npt.NDArray[np.int64], received_ms: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Times over three days behind or one day ahead of arrival mean nothing: arrival stands."""
    delta = received_ms - time_ms
    broken = (delta > 3 * DAY_MS) | (delta < -DAY_MS)
    return np.where(broken, received_ms, time_ms) if broken.any() else time_ms


def device_numbers(column: Any, number_of: dict[str, int]) -> npt.NDArray[np.int32]:
    """Numbers for device ids, handed out as they appear; -1 in empty cells."""
    if not pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(pc.cast(column, pa.string()))
    else:
        column = column.unify_dictionaries()
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = (
            whole.chunk(0) if whole.num_chunks else pa.array([], pa.string()).dictionary_encode()
        )
    words = ["" if w is None else str(w).strip() for w in whole.dictionary.to_pylist()]
    codes = np.array(
        [number_of.setdefault(w, len(number_of)) if w else -1 for w in words], dtype=np.int32
    )
    index = pc.fill_null(whole.indices, len(words)).to_numpy(zero_copy_only=False)
    numbers: npt.NDArray[np.int32] = np.append(codes, np.int32(-1))[index]
    return numbers


def read_events(tables: Iterable[ArrowTable], remarks: list[str]) -> list[StoredEvent]:
    """Fault reports, by time."""
    out: list[StoredEvent] = []
    for table in tables:
        time_ms = times_of(table, "time", "time_ms", "timestamp")
        if time_ms is None:
            remarks.append("an events file has no time column; it was left out")
            continue
        received = times_of(table, "received_time", "received_ms")
        received = time_ms if received is None else np.where(received < 0, time_ms, received)
        ids, names = texts_of(table, "device_id"), texts_of(table, "event")
        actives, infos = texts_of(table, "active"), texts_of(table, "info")
        for i, device in enumerate(ids):
            if device and names[i] and time_ms[i] > 0:
                active = truth_of(actives[i])
                out.append(
                    StoredEvent(
                        device, int(time_ms[i]), int(received[i]), names[i], active, infos[i]
                    )
                )
    return sorted(out, key=lambda e: (e.time_ms, e.device_id, e.event))


def truth_of(text: str) -> bool | None:
    """True, false, or not said."""
    word = text.lower()
    if word in {"true", "1", "1.0", "yes", "ja", "t"}:
        return True
    if word in {"false", "0", "0.0", "no", "nej", "f"}:
        return False
    return None


def read_maintenance(tables: Iterable[ArrowTable]) -> list[Maintenance]:
    """The maintenance log, by time."""
    out: list[Maintenance] = []
    for table in tables:
        time_ms = times_of(table, "time", "time_ms", "timestamp")
        if time_ms is None:
            continue
        ids, actions = texts_of(table, "device_id"), texts_of(table, "action")
        out += [
            Maintenance(device, int(t), action)
            for device, t, action in zip(ids, time_ms, actions, strict=True)
            if device and action and t > 0
        ]
    return sorted(out, key=lambda m: (m.time_ms, m.device_id))


def read_assets(tables: Iterable[ArrowTable], remarks: list[str]) -> list[Asset]:
    """What stands in the street; a row without a device is told and left out."""
    out: dict[str, Asset] = {}
    for table in tables:
        names = table.column_names
        text = {name: texts_of(table, name) for name in names}
        number = {name: numbers_of(table.column(name)) for name in names if name in NUMERIC}
        for i in range(len(table)):
            device = text.get("device_id", [""] * len(table))[i]
            if not device or device in out:
                remarks.append(f"assets row {i + 2}: no device_id, or one given before")
                continue
            out[device] = asset_of(device, i, text, number)
    return list(out.values())


NUMERIC = frozenset(
    [
        "segment_order",
        "lat",
        "lon",
        "nominal_illuminance_lx",
        "rated_power_w",
        "max_illuminance_lx",
        "resolution_lx",
        "interval_s",
    ]
)


def asset_of(
    device: str, i: int, text: dict[str, list[str]], number: dict[str, npt.NDArray[np.float64]]
) -> Asset:
    """One row; words that are not in the list mean "not known"."""

    def word(name: str) -> str:
        return text[name][i] if name in text else ""

    def figure(name: str) -> float | None:
        value = float(number[name][i]) if name in number else float("nan")
        return value if np.isfinite(value) else None

    order = figure("segment_order")
    kind = word("kind").lower()
    switching = word("switching").lower()
    supply = word("supply").lower()
    return Asset(
        device_id=device,
        luminaire_id=word("luminaire_id") or device,
        kind=AssetKind(kind) if kind in set(AssetKind) else AssetKind.LUMINAIRE,
        site=word("site"),
        segment=word("segment"),
        segment_order=None if order is None else round(order),
        feeder=word("feeder"),
        cabinet=word("cabinet"),
        gateway=word("gateway"),
        lat=figure("lat"),
        lon=figure("lon"),
        nominal_illuminance_lx=figure("nominal_illuminance_lx"),
        switching=Switching(switching) if switching in set(Switching) else None,
        dimming=word("dimming"),
        supply=Supply(supply) if supply in set(Supply) else None,
        rated_power_w=figure("rated_power_w"),
        max_illuminance_lx=figure("max_illuminance_lx"),
        resolution_lx=figure("resolution_lx"),
        interval_s=figure("interval_s"),
        location_category=word("location_category"),
        lighting_class=word("lighting_class"),
    )
