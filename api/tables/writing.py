"""Columns into the interchange formats."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from api.errors import BadInputError

__all__ = ["csv_text", "json_lines", "rfc3339", "safe_cell", "unknown_form", "write_table"]


def rfc3339(time_ms: int | None) -> str:
    """A time as the interchange formats write it, in UTC; empty where not known."""
    if time_ms is None:
        return ""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    style: Literal["milliseconds", "seconds"] = "milliseconds" if time_ms % 1000 else "seconds"
    return moment.isoformat(timespec=style).replace("+00:00", "Z")


def safe_cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return "'" + value
    return value


def plain(value: Any) -> Any:
    """A cell as csv and JSON can write it."""
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return None
    if isinstance(value, np.generic):
        return value.item()
    return value


def records(columns: Mapping[str, Sequence[Any]], times: Iterable[str]) -> Iterable[list[Any]]:
    """Rows of plain cells, with the columns named in `times` (ms, UTC) as RFC 3339."""
    of_time = {*times}
    made = [
        [rfc3339(None if plain(v) is None else int(v)) for v in cells]
        if name in of_time
        else [plain(v) for v in cells]
        for name, cells in columns.items()
    ]
    return map(list, zip(*made, strict=True))


def csv_text(columns: Mapping[str, Sequence[Any]], *, times: Iterable[str] = ()) -> str:
    """Columns as CSV: comma, decimal point, RFC 3339; text that looks like a formula is quoted."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([safe_cell(name) for name in columns])
    for row in records(columns, times):
        writer.writerow([csv_cell(cell) for cell in row])
    return out.getvalue()


def csv_cell(cell: Any) -> Any:
    """Empty where nothing is known, and true or false as every program reads it."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return "" if cell is None else safe_cell(cell)


def json_lines(columns: Mapping[str, Sequence[Any]], *, times: Iterable[str] = ()) -> str:
    """Columns as JSON Lines; what is not known is left out."""
    names = list(columns)
    return "".join(
        json.dumps(
            {n: c for n, c in zip(names, row, strict=True) if c is not None and c != ""},
            ensure_ascii=False,
        )
        + "\n"
        for row in records(columns, times)
    )


def write_table(
    path: Path, columns: Mapping[str, Sequence[Any]], *, times: Iterable[str] = ()
) -> None:
    """Write columns in the format the name ends in: .csv, .jsonl, .parquet or .xlsx.

    Parameters
    ----------
    path : Path
    columns : mapping of str to sequence
        Equally long.
    times : iterable of str
        Columns that hold times [ms, UTC]: RFC 3339 in text, timestamps in Parquet.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        of_time = {*times}
        arrays = {
            name: pa.array([plain(v) for v in cells], type=pa.timestamp("ms", tz="UTC"))
            if name in of_time
            else pa.array([plain(v) for v in cells])
            for name, cells in columns.items()
        }
        pq.write_table(pa.table(arrays), path, compression="zstd")
    elif suffix == ".xlsx":
        import openpyxl

        book = openpyxl.Workbook(write_only=True)
        page = book.create_sheet("data")
        page.append([safe_cell(name) for name in columns])
        for row in records(columns, times):
            page.append([safe_cell(cell) for cell in row])
        book.save(path)
    elif suffix in {".jsonl", ".ndjson"}:
        path.write_text(json_lines(columns, times=times), encoding="utf-8")
    elif suffix == ".csv":
        path.write_text(csv_text(columns, times=times), encoding="utf-8")
    else:
        raise unknown_form(path)


def unknown_form(path: Path) -> BadInputError:
    """What is said of a name whose ending tells no format."""
    return BadInputError(
        f"{path.name}: no format is known by {path.suffix or 'a name without ending'!r}.",
        remedy="End it in .csv, .jsonl, .parquet or .xlsx.",
    )
