"""Tables as other programs write them: CSV, JSON Lines or Parquet, columns in any order.

Columns that are optional in `docs/formats.md` may be missing; times may stand in any zone.
"""

import csv
import json
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from firmware_sim.errors import TableError
from firmware_sim.recording import moment_ms

__all__ = [
    "Trace",
    "column_ms",
    "first_received",
    "number",
    "read_rows",
    "span_of_readings",
    "texts",
    "traces",
]

ArrowTable: TypeAlias = Any  # pyarrow carries no types
Trace: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]
DAY_MS = 86_400_000
UNSET_BEFORE_MS = 1_577_836_800_000  # 2020-01-01: an older time is a clock that was never set
TIMES = ("received_time", "time")
UNREADABLE = (OSError, pa.ArrowException, UnicodeDecodeError, csv.Error)


def read_rows(path: Path, needed: Sequence[str]) -> ArrowTable:
    """A table; those of CSV and JSON Lines hold text alone.

    Raises
    ------
    TableError
        Names the file and the columns that are missing.
    """
    try:
        if path.suffix == ".parquet" or path.is_dir():
            table = pq.read_table(path)
        elif path.suffix in {".jsonl", ".ndjson"}:
            table = json_rows(path)
        else:
            table = csv_rows(path)
    except UNREADABLE as error:
        raise TableError(f"{path}: cannot be read ({error}).") from error
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise TableError(
            f"{path}: no column {', '.join(missing)}.",
            remedy="The formats stand in docs/formats.md.",
        )
    return table


def csv_form(path: Path) -> tuple[list[str], str, str]:
    """Names of the columns, what separates them, and the encoding."""
    raw = path.read_bytes()
    try:
        raw.decode("utf-8")
        encoding = "utf-8"
    except UnicodeDecodeError:
        encoding = "cp1252"
    line, _, _ = raw.decode(encoding, errors="replace").removeprefix("\ufeff").partition("\n")
    separator = max(",;\t", key=line.count)
    return next(csv.reader([line.strip("\r")], delimiter=separator), []), separator, encoding


def csv_rows(path: Path) -> ArrowTable:
    """A CSV file, every column as text."""
    names, separator, encoding = csv_form(path)
    return pa_csv.read_csv(
        path,
        read_options=pa_csv.ReadOptions(encoding=encoding),
        parse_options=pa_csv.ParseOptions(delimiter=separator),
        convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )


def json_rows(path: Path) -> ArrowTable:
    """A JSON Lines file; values become text, null stays null."""
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found: object = json.loads(line)
        except json.JSONDecodeError as error:
            raise TableError(
                f"{path}:{number}: not JSON: {error.msg}.", remedy="One JSON object a line."
            ) from error
        if not isinstance(found, dict):
            raise TableError(f"{path}:{number}: no JSON object.", remedy="One JSON object a line.")
        rows.append(cast("dict[str, Any]", found))
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {
        name: pa.array([None if row.get(name) is None else str(row[name]) for row in rows])
        for name in names
    }
    return pa.table(columns)


def texts(table: ArrowTable, name: str) -> list[str]:
    """A text column; empty where nothing is given."""
    if name not in table.column_names:
        return [""] * table.num_rows
    return ["" if v is None else str(v).strip() for v in table[name].to_pylist()]


def column_ms(path: Path, table: ArrowTable, name: str, empty: int) -> list[int]:
    """Times of a column [ms, UTC]; `empty` where none is given, or no such column.

    A time without a zone counts as UTC.

    Raises
    ------
    TableError
        Names file, row and the text that is no time.
    """
    if name not in table.column_names:
        return [empty] * table.num_rows
    column = table[name]
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        found = as_ms(column).to_pylist()
        return [empty if t is None else int(t) for t in found]
    times = []
    for k, text in enumerate(texts(table, name)):
        try:
            times.append(moment_ms(text) if text else empty)
        except ValueError as error:
            raise TableError(
                f"{path}: row {k + 1}: {name} {text!r} is no time.",
                remedy="Write it as 2026-10-11T20:00:00Z.",
            ) from error
    return times


def as_ms(column: Any) -> Any:
    """A column of moments as whole milliseconds."""
    zone = getattr(column.type, "tz", None)
    return pc.cast(pc.cast(column, pa.timestamp("ms", tz=zone), safe=False), pa.int64())


def reading_times(column: Any) -> NDArray[np.int64]:
    """Times of readings [ms, UTC], whether moments or text; what is missing is left out."""
    if not pa.types.is_timestamp(column.type):
        column = pc.cast(column, pa.string())
        return np.array([moment_ms(t) for t in column.to_pylist() if t], np.int64)
    return np.asarray(as_ms(column.drop_null()), np.int64)


def span_of_readings(readings: Path) -> tuple[int, int] | None:
    """First and last time of readings, as they were received where that is told [ms, UTC].

    None without any reading. Times before 2020 come from clocks that were never set.

    Raises
    ------
    TableError
        If the readings cannot be read.
    """
    try:
        times = readings_times(readings)
    except (*UNREADABLE, ValueError) as error:
        raise TableError(f"{readings}: cannot be read ({error}).") from error
    times = times[times >= UNSET_BEFORE_MS]
    return (int(times.min()), int(times.max())) if len(times) else None


def readings_times(readings: Path) -> NDArray[np.int64]:
    """Receive times, else times, of all readings; of Parquet what its statistics say."""
    if readings.suffix == ".csv":
        table = readings_csv(readings)
        return reading_times(table[first_of(readings, table.column_names)])
    if readings.is_file():
        file = pq.ParquetFile(readings)
        name = first_of(readings, file.schema_arrow.names)
        at = file.schema_arrow.get_field_index(name)
        groups = range(file.num_row_groups)
        stats = [file.metadata.row_group(k).column(at).statistics for k in groups]
        kind = file.schema_arrow.field(name).type
        if pa.types.is_timestamp(kind) and all(s is not None and s.has_min_max for s in stats):
            return reading_times(pa.array([m for s in stats for m in (s.min, s.max)], kind))
    names = pq.read_schema(readings).names if readings.is_file() else None
    name = first_of(readings, names or pq.ParquetDataset(readings).schema.names)
    return reading_times(pq.read_table(readings, columns=[name])[name])


def first_of(readings: Path, names: Sequence[str]) -> str:
    """The column that says when readings came."""
    for name in TIMES:
        if name in names:
            return name
    raise TableError(f"{readings}: no column time.", remedy="See docs/formats.md.")


@lru_cache(maxsize=1)
def readings_csv(path: Path) -> ArrowTable:
    """Readings as CSV, kept for the next picture."""
    table = csv_rows(path)
    wanted = [n for n in ("device_id", *TIMES, "illuminance_lx") if n in table.column_names]
    return table.select(wanted)


def traces(readings: Path, devices: Collection[str]) -> dict[str, Trace]:
    """Times [ms] and lux of some devices, each by time; NaN for sentinels.

    The readings are gone through once, however many devices are asked for.
    """
    chosen = pc.field("device_id").isin(list(devices))
    if readings.suffix == ".csv":
        table = readings_csv(readings).filter(chosen)
    else:
        names = pq.ParquetDataset(readings).schema.names
        wanted = [n for n in ("device_id", "time", "illuminance_lx") if n in names]
        table = pq.read_table(readings, columns=wanted, filters=chosen)
    if "illuminance_lx" not in table.column_names or not table.num_rows:
        return {}
    told = pc.field("time").is_valid()
    if not pa.types.is_timestamp(table["time"].type):
        told &= pc.field("time") != ""
    table = table.filter(told)
    time_ms = reading_times(table["time"]).astype(np.float64)
    lux = numbers(table["illuminance_lx"])
    lux = np.where((lux < 0) | (lux == 65535), np.nan, lux)
    names = pc.cast(table["device_id"], pa.string()).combine_chunks().dictionary_encode()
    row = np.asarray(names.indices)
    order = np.lexsort((time_ms, row))
    starts = np.searchsorted(row[order], np.arange(len(names.dictionary) + 1))
    return {
        str(device): (time_ms[order[a:b]], lux[order[a:b]])
        for device, a, b in zip(
            names.dictionary.to_pylist(), starts[:-1].tolist(), starts[1:].tolist(), strict=True
        )
    }


def numbers(column: Any) -> NDArray[np.float64]:
    """A column as numbers, also of text with a decimal comma; NaN where none is given."""
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return np.asarray(pc.cast(column, pa.float64()).fill_null(float("nan")))
    return np.array([number(v) for v in column.to_pylist()], np.float64)


def first_received(readings: Path, devices: list[str], start_ms: int, stop_ms: int) -> int | None:
    """When the first reading of some devices came in a stretch of time [ms, UTC], if any did."""
    chosen = pc.field("device_id").isin(devices)
    if readings.suffix == ".csv":
        table = readings_csv(readings).filter(chosen)
    else:
        names = pq.ParquetDataset(readings).schema.names
        wanted = ["device_id", first_of(readings, names)]
        table = pq.read_table(readings, columns=wanted, filters=chosen)
    times = reading_times(table[first_of(readings, table.column_names)])
    times = times[(times >= start_ms) & (times < stop_ms)]
    return int(times.min()) if len(times) else None


def number(value: object) -> float:
    """A number, also of text with a decimal comma; NaN where none is given."""
    try:
        return float(str(value).replace(",", "."))
    except ValueError:
        return float("nan")
