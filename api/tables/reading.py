"""Files into tables, by what their names end in."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from api.errors import BadInputError
from api.tables.cells import as_text
from api.tables.table import Table

__all__ = ["ENDINGS", "csv_table", "read_table"]

ENDINGS = (".csv", ".jsonl", ".ndjson", ".parquet", ".xlsx")
DELIMITERS = ";\t,|"


def read_table(path: Path | str, *, sheet: str | None = None) -> Table:
    """Read a file by what its name ends in; anything else is taken for CSV.

    Parameters
    ----------
    path : path
    sheet : str, optional
        Of an xlsx file; its first without it.

    Raises
    ------
    BadInputError
        If it is not there, or not what its name says.
    """
    where = Path(path)
    try:
        if where.is_dir():
            raise BadInputError(f"{where} is a folder.", remedy="Name a file in it.")
        suffix = where.suffix.lower()
        if suffix == ".parquet":
            return read_parquet(where)
        if suffix in {".xlsx", ".xlsm"}:
            return read_xlsx(where, sheet)
        if suffix in {".jsonl", ".ndjson"}:
            return read_json_lines(where)
        return read_csv(where)
    except OSError as error:
        why = error.strerror or "it cannot be read"
        raise BadInputError(
            f"{where}: {why}.", remedy="Check the name and your right to read it."
        ) from error


def read_parquet(path: Path) -> Table:
    """All columns of a Parquet file; times without zone as datetime64, with zone as datetime."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        data = pq.read_table(path)
    except pa.ArrowException as error:
        raise BadInputError(
            f"{path.name} is not a Parquet file.", remedy="Check that it was copied whole."
        ) from error
    columns = {name: arrow_cells(data.column(name)) for name in data.column_names}
    return Table(path.name, columns, first_line=1)


def arrow_cells(column: Any) -> Sequence[Any]:
    """One Arrow column as numpy where that loses nothing, else as a list."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is None:
        return cast("Sequence[Any]", column.cast(pa.timestamp("us")).to_numpy())
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return cast("Sequence[Any]", column.cast(pa.float64(), safe=False).to_numpy())
    if pa.types.is_dictionary(kind):
        return cast("Sequence[Any]", column.cast(kind.value_type).to_pylist())
    return cast("Sequence[Any]", column.to_pylist())


def read_xlsx(path: Path, sheet: str | None) -> Table:
    """One sheet of a workbook, as the values last calculated."""
    from zipfile import BadZipFile

    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (BadZipFile, InvalidFileException, KeyError, ValueError) as error:
        raise BadInputError(
            f"{path.name} is not an xlsx workbook.", remedy="Save it anew as xlsx or CSV."
        ) from error
    try:
        if sheet is not None and sheet not in book.sheetnames:
            raise BadInputError(
                f"{path.name} has no sheet {sheet!r}.",
                remedy=f"It has: {', '.join(book.sheetnames)}.",
            )
        page = book[sheet] if sheet is not None else book.worksheets[0]
        rows = [list(row) for row in page.iter_rows(values_only=True)]
    finally:
        book.close()
    first = next((i for i, row in enumerate(rows) if any(c is not None for c in row)), len(rows))
    body = [row for row in rows[first + 1 :] if any(c is not None for c in row)]
    header = [as_text(cell) for cell in rows[first]] if first < len(rows) else []
    return from_rows(path.name, header, body, first_line=first + 2)


def read_json_lines(path: Path) -> Table:
    """One JSON object a line."""
    records: list[dict[str, Any]] = []
    for number, line in enumerate(decoded(path.read_bytes(), path.name).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise BadInputError(f"{path.name}, line {number}: not JSON.") from error
        if not isinstance(record, dict):
            raise BadInputError(f"{path.name}, line {number}: not a JSON object.")
        records.append(cast("dict[str, Any]", record))
    names = list(dict.fromkeys(name for record in records for name in record))
    return Table(path.name, {n: [r.get(n) for r in records] for n in names}, first_line=1)


def read_csv(path: Path) -> Table:
    """A CSV file: UTF-8 (with or without mark), UTF-16 or cp1252; comma, semicolon, tab or bar."""
    return csv_table(path.read_bytes(), name=path.name)


def csv_table(raw: bytes, *, name: str) -> Table:
    """The bytes of a CSV file as a table; see `read_csv`."""
    lines = decoded(raw, name).splitlines()
    skip = 0
    delimiter = None
    if lines and lines[0].lower().startswith("sep=") and len(lines[0]) >= 5:
        # Excel's own way to name the delimiter in the first line.
        delimiter, skip = lines[0][4], 1
    while skip < len(lines) and not lines[skip].strip():
        skip += 1
    body = "\n".join(lines[skip:])
    delimiter = delimiter or likely_delimiter(lines[skip : skip + 20])
    try:
        rows = [row for row in csv.reader(io.StringIO(body), delimiter=delimiter) if row]
    except csv.Error as error:
        raise BadInputError(f"{name} cannot be read as CSV: {error}.") from error
    header = [cell.strip() for cell in rows[0]] if rows else []
    return from_rows(name, header, rows[1:], first_line=skip + 2)


def decoded(raw: bytes, name: str) -> str:
    """Bytes as text by their mark, else UTF-8, else the Windows code page of western Europe."""
    if raw[:4] == b"PK\x03\x04" or raw[:4] == b"PAR1" or b"\x00" in raw[:4096].lstrip(b"\xff\xfe"):
        if raw[:2] in {b"\xff\xfe", b"\xfe\xff"}:
            return raw.decode("utf-16", errors="replace")
        raise BadInputError(
            f"{name} is not text.", remedy="Name it .xlsx or .parquet if it is one of these."
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def likely_delimiter(lines: list[str]) -> str:
    """The delimiter that cuts the header and the next lines into equally many cells."""
    if not lines:
        return ","
    scores: list[tuple[int, int, str]] = []
    for rank, mark in enumerate(DELIMITERS):
        rows = list(csv.reader(lines, delimiter=mark))
        widths = [len(row) for row in rows if row]
        if widths and widths[0] > 1:
            agreeing = sum(width == widths[0] for width in widths)
            scores.append((agreeing, -rank, mark))
    return max(scores)[2] if scores else ","


def from_rows(name: str, header: list[str], body: list[list[Any]], *, first_line: int) -> Table:
    """Columns from rows; short rows are filled with nothing, long ones are an error."""
    while header and not header[-1]:
        header = header[:-1]
    if not header:
        raise BadInputError(f"{name} is empty.", remedy="The first line must name the columns.")
    twice = {column for column in header if header.count(column) > 1}
    if twice:
        raise BadInputError(f"{name} has the column {min(twice)!r} twice.")
    width = len(header)
    for i, row in enumerate(body):
        if any(as_text(cell) for cell in row[width:]):
            raise BadInputError(
                f"{name}, line {first_line + i}: {len(row)} cells under {width} column names.",
                remedy="Quote a cell that contains the delimiter.",
            )
    columns = {
        column: [row[j] if j < len(row) else None for row in body]
        for j, column in enumerate(header)
    }
    return Table(name, columns, first_line=first_line)
