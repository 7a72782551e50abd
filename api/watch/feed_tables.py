"""Tables of a feed as people have them: CSV, Parquet or JSON Lines, any zone, decimal commas."""

import io
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from api.errors import BadInputError
from api.tables import as_moment

__all__ = ["ArrowTable", "load_pieces", "load_table", "numbers_of", "texts_of", "times_of"]

pc: Any = pyarrow.compute  # its functions are made at run time and carry no types
ArrowTable: TypeAlias = Any
ArrowColumn: TypeAlias = Any

EPOCH_UNITS = ((1e17, 1e-6), (1e14, 1e-3), (1e11, 1.0), (0.0, 1e3))  # ns, us, ms, s -> ms
PIECE_ROWS = 1 << 19
PIECE_BYTES = 1 << 25
UNKNOWN_MS = int(np.iinfo(np.int64).min)


def load_table(path: Path) -> ArrowTable:
    """A file as an Arrow table.

    Raises
    ------
    BadInputError
        When it is not what its name says.
    """
    pieces = list(load_pieces(path, whole=True))
    return pieces[0] if len(pieces) == 1 else pa.concat_tables(pieces, promote_options="permissive")


def load_pieces(
    path: Path, *, whole: bool = False, columns: Collection[str] | None = None
) -> Iterator[ArrowTable]:
    """A file in pieces that fit into memory, with what its folders' names say (`quantity=...`).

    Parameters
    ----------
    whole : bool
        In one piece.
    columns : collection of str, optional
        Names that are of use, in small letters; others need not be read.

    Raises
    ------
    BadInputError
        When it is not what its name says.
    """
    name = path.name.lower()
    try:
        if name.endswith((".parquet", ".pq")):
            pieces = parquet_pieces(path, columns)
        elif name.endswith((".csv", ".csv.gz")):
            pieces = csv_pieces(path, whole=whole)
        elif name.endswith((".geojson", ".json")):
            pieces = iter([load_geojson(path)])
        else:
            pieces = json_pieces(path, whole=whole)
        for piece in pieces:
            yield named(piece, path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadInputError(f"{path} cannot be read: {error}") from error


def named(table: ArrowTable, path: Path) -> ArrowTable:
    """The table with its folders' names as columns, and column names in small letters."""
    for part in path.parts:
        key, equals, value = part.partition("=")
        if equals and key not in table.column_names:
            table = table.append_column(key, pa.array([value] * len(table), pa.string()))
    return table.rename_columns([c.strip().lower() for c in table.column_names])


def parquet_pieces(path: Path, columns: Collection[str] | None) -> Iterator[ArrowTable]:
    """Some rows at a time."""
    file = pq.ParquetFile(path)
    wanted = [c for c in file.schema_arrow.names if columns is None or c.strip().lower() in columns]
    some = False
    for batch in file.iter_batches(PIECE_ROWS, columns=wanted, use_threads=False):
        some = True
        yield pa.Table.from_batches([batch])
    if not some:
        yield file.schema_arrow.empty_table()


def blocks_of(path: Path, *, header: bool, whole: bool) -> Iterator[bytes]:
    """Some lines of a text at a time, each block with the header line where there is one."""
    with pa.input_stream(str(path), compression="detect") as stream:
        if whole:
            yield stream.read()
            return
        rest = stream.read(PIECE_BYTES)
        head, newline, rest = rest.partition(b"\n") if header else (b"", b"", rest)
        head += newline
        some = False
        while data := stream.read(PIECE_BYTES):
            lines, newline, rest = (rest + data).rpartition(b"\n")
            if lines:
                some = True
                yield head + lines + newline
        if rest.strip() or not some:
            yield head + rest


def json_pieces(path: Path, *, whole: bool) -> Iterator[ArrowTable]:
    """JSON Lines; columns may differ between pieces."""
    for block in blocks_of(path, header=False, whole=whole):
        if block.strip():
            yield pa_json.read_json(io.BytesIO(block))


def csv_pieces(path: Path, *, whole: bool) -> Iterator[ArrowTable]:
    """A comma, semicolon or tab separated table; decimal commas where columns are semicolons."""
    with pa.input_stream(str(path), compression="detect") as stream:
        head = stream.read(65_536)
    text = head.decode("utf-8", "replace")
    delimiter = max(",;\t", key=text.split("\n", 1)[0].count)
    encoding = "utf-8" if "\ufffd" not in text[:-4] else "cp1252"
    decimal = "," if delimiter == ";" and "," in text else "."
    for block in blocks_of(path, header=True, whole=whole):
        yield pa_csv.read_csv(
            io.BytesIO(block),
            read_options=pa_csv.ReadOptions(encoding=encoding, block_size=1 << 24),
            parse_options=pa_csv.ParseOptions(delimiter=delimiter),
            convert_options=pa_csv.ConvertOptions(
                decimal_point=decimal,
                strings_can_be_null=False,
                null_values=["", "NA", "NaN", "nan", "null", "None", "-"],
            ),
        )


def load_geojson(path: Path) -> ArrowTable:
    """Features as rows; a point's coordinates become `lon` and `lat`."""
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
        return np.full(len(column), UNKNOWN_MS, dtype=np.int64)
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return moments_of(column, getattr(column.type, "tz", None))
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        number = column.to_numpy().astype(np.float64)
        largest = np.nanmedian(np.abs(number)) if np.isfinite(number).any() else 0.0
        scale = next(s for limit, s in EPOCH_UNITS if largest >= limit)
        known = np.isfinite(number)
        out = np.where(known, np.nan_to_num(number) * scale, UNKNOWN_MS)
        whole: npt.NDArray[np.int64] = np.round(out).astype(np.int64)
        return whole
    return text_times(column)


def moments_of(column: ArrowColumn, zone: str | None) -> npt.NDArray[np.int64]:
    """Timestamps, dates or written times as whole milliseconds."""
    moments = pc.cast(column, pa.timestamp("ms", tz=zone), safe=False)
    known = pc.fill_null(pc.cast(moments, pa.int64()), UNKNOWN_MS)
    whole: npt.NDArray[np.int64] = known.to_numpy().astype(np.int64)
    return whole


def text_times(column: ArrowColumn) -> npt.NDArray[np.int64]:
    """Times written out, with any offset; those without a zone are UTC."""
    stripped = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
    filled = pc.if_else(pc.equal(stripped, ""), None, stripped)
    for zone in ("UTC", None):
        try:
            return moments_of(filled, zone)
        except pa.ArrowInvalid:
            continue  # not all of them are ISO 8601, or some have a zone and some have none
    encoded = pc.dictionary_encode(filled.combine_chunks())
    values = [as_moment(cell) for cell in encoded.dictionary.to_pylist()]
    moments = np.array(
        [UNKNOWN_MS if v is None else v[0] * 1000 for v in values] + [UNKNOWN_MS], dtype=np.int64
    )
    index = pc.fill_null(encoded.indices, len(values)).to_numpy(zero_copy_only=False)
    found: npt.NDArray[np.int64] = moments[index]
    return found


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
