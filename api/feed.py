"""A folder of recorded readings, events, assets and maintenance, read into memory for a backtest.

Read liberally: one file or many, CSV, Parquet or JSON Lines, missing optional columns, further
columns, times with any zone (UTC where none is given) or as numbers. What cannot be used is counted
and told.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from analytics.grid import DAY_MS, NOON_MS
from api.assets import Asset, AssetKind, Supply, Switching
from api.errors import BadInputError
from api.night_round import Maintenance
from ingest.reading import Quantity
from ingest.stores import Columns, StoredEvent

__all__ = ["Feed", "FeedSource", "read_feed"]

pc: Any = pyarrow.compute  # its functions are made at run time and carry no types
ArrowTable: TypeAlias = Any
ArrowColumn: TypeAlias = Any

SUFFIXES = (".parquet", ".pq", ".csv", ".csv.gz", ".jsonl", ".ndjson", ".geojson", ".json")
USED = (Quantity.ILLUMINANCE, Quantity.POWER, Quantity.LAMP_STATUS, Quantity.DIMMING)
EARLIEST_MS = 946_684_800_000  # before 2000 no luminaire sent anything
EPOCH_UNITS = ((1e17, 1e-6), (1e14, 1e-3), (1e11, 1.0), (0.0, 1e3))  # ns, us, ms, s -> ms


@dataclass(slots=True)
class Kept:
    """One quantity, sorted by night, device and time.

    Attributes
    ----------
    first : int64 (nights + 1,)
        Where each night of `night0 ...` begins.
    """

    device: npt.NDArray[np.int32]
    time_ms: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    received_ms: npt.NDArray[np.int64]
    night0: int
    first: npt.NDArray[np.int64]


class FeedSource:
    """Readings and events of a feed; keeps a store's promises to the round.

    Parameters
    ----------
    device_ids : list of str
        Sorted.
    kept : dict of Quantity to Kept
    events : list of StoredEvent
        By time.
    """

    def __init__(
        self, device_ids: list[str], kept: dict[Quantity, Kept], events: list[StoredEvent]
    ) -> None:
        self.device_ids = device_ids
        self.kept = kept
        self.all_events = events
        self._event_ms = np.array([e.time_ms for e in events], dtype=np.int64)

    def columns(
        self,
        quantity: Quantity,
        *,
        start_ms: int,
        stop_ms: int,
        devices: Sequence[str] | None = None,
    ) -> Columns:
        """Readings with `start_ms <= time_ms < stop_ms`."""
        del devices
        kept = self.kept.get(quantity)
        if kept is None:
            return no_columns(self.device_ids)
        a = int(np.clip((start_ms - NOON_MS) // DAY_MS - kept.night0, 0, len(kept.first) - 1))
        b = int(np.clip(-((NOON_MS - stop_ms) // DAY_MS) - kept.night0, 0, len(kept.first) - 1))
        part = slice(int(kept.first[a]), int(kept.first[max(a, b)]))
        time_ms = kept.time_ms[part]
        whole_nights = (start_ms - NOON_MS) % DAY_MS == 0 and (stop_ms - NOON_MS) % DAY_MS == 0
        columns = Columns(
            kept.device[part],
            time_ms,
            kept.value[part],
            kept.received_ms[part],
            np.zeros(len(time_ms), dtype=np.uint8),
            self.device_ids,
        )
        if whole_nights:
            return columns
        inside = (time_ms >= start_ms) & (time_ms < stop_ms)
        return Columns(
            columns.device[inside],
            columns.time_ms[inside],
            columns.value[inside],
            columns.received_ms[inside],
            columns.flags[inside],
            self.device_ids,
        )

    def events(self, *, start_ms: int, stop_ms: int) -> list[StoredEvent]:
        """Fault reports with `start_ms <= time_ms < stop_ms`, by time."""
        a, b = np.searchsorted(self._event_ms, [start_ms, stop_ms])
        return self.all_events[int(a) : int(b)]

    @property
    def count(self) -> int:
        """Readings of all quantities that a round uses."""
        return sum(len(k.time_ms) for k in self.kept.values())

    def span_ms(self) -> tuple[int, int]:
        """First and last time of any reading or event."""
        ends = [
            (int(k.time_ms.min()), int(k.time_ms.max()))
            for k in self.kept.values()
            if len(k.time_ms)
        ]
        if len(self._event_ms):
            ends.append((int(self._event_ms[0]), int(self._event_ms[-1])))
        if not ends:
            raise BadInputError("the feed holds no reading that can be used")
        return min(a for a, _ in ends), max(b for _, b in ends)

    def late_arrivals(self) -> dict[int, set[int]]:
        """For each night, the earlier nights whose readings were received only then."""
        late: dict[int, set[int]] = {}
        for kept in self.kept.values():
            of = (kept.time_ms - NOON_MS) // DAY_MS
            came = (kept.received_ms - NOON_MS - 1) // DAY_MS
            after = came > of
            pairs = np.unique(came[after] * 100_000 + of[after])
            for pair in pairs:
                late.setdefault(int(pair // 100_000), set()).add(int(pair % 100_000))
        return late


def no_columns(device_ids: list[str]) -> Columns:
    """Nothing, in the shape of something."""
    empty = np.zeros(0, dtype=np.int64)
    return Columns(
        empty.astype(np.int32),
        empty,
        empty.astype(np.float64),
        empty,
        empty.astype(np.uint8),
        device_ids,
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
    tables = [load_table(p) for p in found_readings]
    ids, kept = keep_readings(tables, remarks)
    known_events = read_events([load_table(p) for p in found_events], remarks)
    listed = read_assets([load_table(p) for p in found_assets], remarks)
    if not listed:
        remarks.append("no assets: every device is taken for a luminaire of its own")
        listed = [Asset(d, d) for d in ids]
    log = read_maintenance([load_table(p) for p in files_of(folder, "maintenance", maintenance)])
    return Feed(FeedSource(ids, kept, known_events), listed, log, remarks)


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


def load_table(path: Path) -> ArrowTable:
    """A file as an Arrow table, with what its folders' names say (`quantity=...`).

    Raises
    ------
    BadInputError
        When it is not what its name says.
    """
    name = path.name.lower()
    try:
        if name.endswith((".parquet", ".pq")):
            table = pq.ParquetFile(path).read()
        elif name.endswith((".csv", ".csv.gz")):
            table = load_csv(path)
        elif name.endswith((".geojson", ".json")):
            table = load_geojson(path)
        else:
            table = pa_json.read_json(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadInputError(f"{path} cannot be read: {error}") from error
    for part in path.parts:
        key, equals, value = part.partition("=")
        if equals and key not in table.column_names:
            table = table.append_column(key, pa.array([value] * len(table), pa.string()))
    return table.rename_columns([c.strip().lower() for c in table.column_names])


def load_csv(path: Path) -> ArrowTable:
    """A comma, semicolon or tab separated table; decimal commas where columns are semicolons."""
    with pa.input_stream(str(path), compression="detect") as stream:
        head = stream.read(65_536)
    text = head.decode("utf-8", "replace")
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    encoding = "utf-8" if "\ufffd" not in text[:-4] else "cp1252"
    return pa_csv.read_csv(
        path,
        read_options=pa_csv.ReadOptions(encoding=encoding, block_size=1 << 24),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter),
        convert_options=pa_csv.ConvertOptions(
            decimal_point="," if delimiter == ";" and "," in text else ".",
            strings_can_be_null=False,
            null_values=["", "NA", "NaN", "nan", "null", "None", "-"],
        ),
    )


def load_geojson(path: Path) -> ArrowTable:
    """Features as rows; a point's coordinates become `lon` and `lat`."""
    import json

    document = json.loads(path.read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = []
    for feature in document.get("features", []) if isinstance(document, dict) else document:
        row = dict(feature.get("properties") or feature)
        geometry = feature.get("geometry") or {}
        if geometry.get("type") == "Point":
            row["lon"], row["lat"] = geometry["coordinates"][:2]
        rows.append(row)
    return pa.Table.from_pylist(rows)


def times_of(table: ArrowTable, *names: str) -> npt.NDArray[np.int64] | None:
    """A column of times [ms, UTC]; the lowest integer in empty cells, None without column."""
    column = next((table.column(n) for n in names if n in table.column_names), None)
    if column is None:
        return None
    if pa.types.is_null(column.type):
        return np.full(len(column), np.iinfo(np.int64).min, dtype=np.int64)
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        moments = pc.cast(
            column, pa.timestamp("ms", tz=getattr(column.type, "tz", None)), safe=False
        )
        return filled(pc.cast(moments, pa.int64()))
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        number = column.to_numpy().astype(np.float64)
        largest = np.nanmedian(np.abs(number)) if len(number) else 0.0
        scale = next(s for limit, s in EPOCH_UNITS if largest >= limit)
        known = np.isfinite(number)
        out = np.where(known, np.nan_to_num(number) * scale, np.iinfo(np.int64).min)
        whole: npt.NDArray[np.int64] = np.round(out).astype(np.int64)
        return whole
    return text_times(column)


def text_times(column: ArrowColumn) -> npt.NDArray[np.int64]:
    """Times written out; those without a zone are UTC."""
    from api.tables import as_moment

    encoded = pc.dictionary_encode(column.combine_chunks())
    values = [as_moment(cell) for cell in encoded.dictionary.to_pylist()]
    moments = np.array(
        [np.iinfo(np.int64).min if v is None else v[0] * 1000 for v in values]
        + [np.iinfo(np.int64).min],
        dtype=np.int64,
    )
    index = pc.fill_null(encoded.indices, len(values)).to_numpy(zero_copy_only=False)
    found: npt.NDArray[np.int64] = moments[index]
    return found


def filled(column: ArrowColumn) -> npt.NDArray[np.int64]:
    """Integers with the lowest one for "not known"."""
    known = pc.fill_null(column, int(np.iinfo(np.int64).min))
    whole: npt.NDArray[np.int64] = known.to_numpy().astype(np.int64)
    return whole


def numbers_of(column: ArrowColumn) -> npt.NDArray[np.float64]:
    """A column of numbers; NaN where a cell holds none. Text with decimal commas is read."""
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if pa.types.is_boolean(kind):
        column = pc.cast(column, pa.int8())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        text = pc.replace_substring(pc.utf8_trim_whitespace(column), ",", ".")
        good = pc.match_substring_regex(text, r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")
        column = pc.cast(pc.if_else(good, text, None), pa.float64())
    known = pc.fill_null(pc.cast(column, pa.float64(), safe=False), float("nan"))
    numbers: npt.NDArray[np.float64] = known.to_numpy().astype(np.float64)
    return numbers


def texts_of(table: ArrowTable, name: str) -> list[str]:
    """A column of words, empty where there is none."""
    if name not in table.column_names:
        return [""] * len(table)
    return ["" if v is None else str(v).strip() for v in table.column(name).to_pylist()]


def keep_readings(
    tables: Iterable[ArrowTable], remarks: list[str]
) -> tuple[list[str], dict[Quantity, Kept]]:
    """Readings by quantity, sorted by night, device and time; the last write of a repeat wins."""
    parts: dict[Quantity, list[tuple[Any, ...]]] = {}
    number_of: dict[str, int] = {}
    for table in tables:
        id_column = next(
            (c for c in ("device_id", "device", "id") if c in table.column_names), None
        )
        time_ms = times_of(table, "time", "time_ms", "timestamp")
        if id_column is None or time_ms is None:
            remarks.append("a readings file has no device_id or no time column; it was left out")
            continue
        device = device_numbers(table.column(id_column), number_of)
        received = times_of(table, "received_time", "received_ms", "received")
        received = time_ms if received is None else np.where(received < 0, time_ms, received)
        time_ms = with_broken_clocks(time_ms, received)
        good = time_ms > EARLIEST_MS
        if not good.all():
            remarks.append(f"{int((~good).sum())} readings without a usable time")
        for quantity, value in quantities_in(table):
            use = good & np.isfinite(value)
            parts.setdefault(quantity, []).append(
                (device[use], time_ms[use], value[use], received[use])
            )
    ids = sorted(number_of)
    place = {name: i for i, name in enumerate(ids)}
    order = np.array([place[name] for name in number_of], dtype=np.int32)
    kept = {
        quantity: sort_kept(*(np.concatenate(c) for c in zip(*chunks, strict=True)), order=order)
        for quantity, chunks in parts.items()
    }
    return ids, {quantity: k for quantity, k in kept.items() if len(k.time_ms)}


def quantities_in(table: ArrowTable) -> Iterator[tuple[Quantity, npt.NDArray[np.float64]]]:
    """The quantities a round uses: a column each, or in long form (`quantity`, `value`)."""
    names = table.column_names
    if "quantity" in names and "value" in names:
        which = np.array(texts_of(table, "quantity"))
        value = numbers_of(table.column("value"))
        for quantity in USED:
            if (of := which == quantity.value).any():
                yield quantity, np.where(of, value, np.nan)
        return
    for quantity in USED:
        if quantity.value in names:
            yield quantity, numbers_of(table.column(quantity.value))


def with_broken_clocks(
    time_ms: npt.NDArray[np.int64], received_ms: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Times over three days behind or one day ahead of arrival mean nothing: arrival stands."""
    delta = received_ms - time_ms
    broken = (delta > 3 * DAY_MS) | (delta < -DAY_MS)
    return np.where(broken, received_ms, time_ms) if broken.any() else time_ms


def device_numbers(column: ArrowColumn, number_of: dict[str, int]) -> npt.NDArray[np.int32]:
    """Numbers for device ids, handed out as they appear."""
    if not pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(pc.cast(column, pa.string()))
    else:
        column = column.unify_dictionaries()
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = (
            whole.chunk(0) if whole.num_chunks else pa.array([], pa.string()).dictionary_encode()
        )
    words = [str(w) for w in whole.dictionary.to_pylist()]
    codes = np.array([number_of.setdefault(w, len(number_of)) for w in words], dtype=np.int32)
    index = pc.fill_null(whole.indices, 0).to_numpy(zero_copy_only=False)
    return codes[index] if len(codes) else np.zeros(len(index), dtype=np.int32)


def sort_kept(
    device: npt.NDArray[np.int32],
    time_ms: npt.NDArray[np.int64],
    value: npt.NDArray[np.float64],
    received_ms: npt.NDArray[np.int64],
    *,
    order: npt.NDArray[np.int32],
) -> Kept:
    """Sort by night, device, time and arrival; of equal (device, time) the last arrival stays."""
    device = order[device] if len(device) else device
    night = (time_ms - NOON_MS) // DAY_MS
    # One number to sort by is four times as fast as four keys.
    first_night = int(night.min()) if len(night) else 0
    key = (night - first_night) * max(len(order), 1) + device
    key = key * DAY_MS + (time_ms - NOON_MS) % DAY_MS
    if np.any(key[1:] < key[:-1]):
        by = np.argsort(key, kind="stable")
        key, device, time_ms = key[by], device[by], time_ms[by]
        value, received_ms = value[by], received_ms[by]
    twin = key[1:] == key[:-1]
    if twin.any():
        shared = np.flatnonzero(np.r_[twin, False] | np.r_[False, twin])
        again = shared[np.lexsort((received_ms[shared], key[shared]))]
        value[shared], received_ms[shared] = value[again], received_ms[again]
        last, first = np.r_[~twin, True], np.r_[True, ~twin]
        received_ms = received_ms[first]
        device, time_ms, value = device[last], time_ms[last], value[last]
    night = (time_ms - NOON_MS) // DAY_MS
    night0 = int(night[0]) if len(night) else 0
    n = int(night[-1]) - night0 + 1 if len(night) else 0
    first_of = np.searchsorted(night, night0 + np.arange(n + 1))
    return Kept(device, time_ms, value, received_ms, night0, first_of.astype(np.int64))


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
