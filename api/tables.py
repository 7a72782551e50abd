"""Tables as people have them: CSV (Swedish ones too), xlsx, Parquet and JSON Lines.

A file is read into named columns of whatever it holds; `numbers`, `texts` and `times` then say
what a column is taken for, and where it cannot be. Writing gives the interchange formats.
"""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from api.errors import BadInputError
from api.local_time import LocalTime

__all__ = [
    "ENDINGS",
    "Table",
    "Times",
    "csv_table",
    "csv_text",
    "identifying_columns",
    "json_lines",
    "read_table",
    "refuse_identifiers",
    "rfc3339",
    "safe_cell",
    "unknown_form",
    "write_table",
]

ENDINGS = (".csv", ".jsonl", ".ndjson", ".parquet", ".xlsx")
DELIMITERS = ";\t,|"
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "saknas", "<na>"})
SPACES = str.maketrans("", "", "\u00a0\u202f\u2009 '")
# Names of columns that would say who somebody is. Counts are all we take.
IDENTIFIER = re.compile(
    r"(?:^|[_\W])(mac|mac_?addr(?:ess)?|imsi|imei|msisdn|tag_?id|plate|registration_?no|"
    r"number_?plate|personnummer|reg_?nr|face_?id|image|photo|bluetooth_?id|wifi_?id)(?:$|[_\W])",
    re.IGNORECASE,
)
MAC_LIKE = re.compile(r"^(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$")
TIME_PATTERN = re.compile(
    r"^(?P<a>\d{1,4})[-/.](?P<b>\d{1,2})[-/.](?P<c>\d{1,4})"
    r"(?:[T ]+(?P<h>\d{1,2})[:.](?P<m>\d{2})(?:[:.](?P<s>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)?"
    r"\s*(?P<zone>Z|z|[+-]\d{2}:?\d{2})?$"
)


@dataclass(frozen=True, slots=True)
class Times:
    """One column of times.

    Attributes
    ----------
    utc_s : int64 (n,)
        UTC [s since 1970], of the first occurrence where the wall clock showed it twice.
    wall_s : int64 (n,)
        What the local clock showed [s, counted as if it were UTC].
    known : bool (n,)
        Whether the cell held a time at all.
    skipped, repeated : bool (n,)
        Local readings that no clock showed, or that it showed twice. Always false where the file
        itself gives the zone: then nothing is in doubt.
    zoned : bool
        Whether the file itself gives the zone.
    """

    utc_s: npt.NDArray[np.int64]
    wall_s: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]
    skipped: npt.NDArray[np.bool_]
    repeated: npt.NDArray[np.bool_]
    zoned: bool


@dataclass(frozen=True, slots=True)
class Table:
    """Named columns of equal length; a cell is text, a number, a time, a truth value or None.

    Attributes
    ----------
    name : str
        Of the file, for messages.
    columns : dict of str to sequence
    first_line : int
        Line (or row of the sheet) of the first record, for messages.
    """

    name: str
    columns: Mapping[str, Sequence[Any]]
    first_line: int = 2

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def column(self, name: str) -> Sequence[Any]:
        """A column by its name; capitals and surrounding spaces do not matter."""
        if name in self.columns:
            return self.columns[name]
        alike = [own for own in self.columns if own.strip().casefold() == name.strip().casefold()]
        if len(alike) == 1:
            return self.columns[alike[0]]
        raise BadInputError(
            f"{self.name} has no column {name!r}.",
            remedy=f"It has: {', '.join(self.columns)}.",
        )

    def texts(self, name: str) -> list[str]:
        """A column as text without surrounding spaces; empty where nothing stands."""
        return [as_text(cell) for cell in self.column(name)]

    def numbers(self, name: str) -> npt.NDArray[np.float64]:
        """A column as float64, NaN where nothing stands; decimal comma and spaces are read.

        Raises
        ------
        BadInputError
            With the line of the first cell that is no number.
        """
        cells = self.column(name)
        if isinstance(cells, np.ndarray) and cells.dtype.kind in "fiu":
            return cells.astype(np.float64)
        out = np.empty(len(cells), dtype=np.float64)
        for i, cell in enumerate(cells):
            value = as_number(cell)
            if value is None:
                raise BadInputError(
                    f"{self.name}, line {self.first_line + i}, column {name!r}: "
                    f"{as_text(cell)[:40]!r} is not a number.",
                    remedy="Correct the cell, or leave it empty where nothing is known.",
                )
            out[i] = value
        return out

    def times(self, name: str, zone: ZoneInfo) -> Times:
        """A column as times.

        Parameters
        ----------
        name : str
        zone : ZoneInfo
            Where a time without a zone was read off the wall, and whose wall clock is wanted.

        Raises
        ------
        BadInputError
            With the line of the first cell that is no time.
        """
        seconds, known, zoned = self._seconds(name)
        there = seconds[known]
        first, last = (int(there.min()), int(there.max())) if len(there) else (0, 0)
        clock = LocalTime(zone, first, last)
        none = np.zeros(len(seconds), dtype=np.bool_)
        if zoned:
            return Times(seconds, clock.to_wall(seconds), known, none, none, zoned=True)
        skipped, repeated = clock.skipped(seconds) & known, clock.repeated(seconds) & known
        return Times(clock.to_utc(seconds), seconds, known, skipped, repeated, zoned=False)

    def _seconds(self, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], bool]:
        """Seconds, which of them are known, and whether they are UTC already."""
        cells = self.column(name)
        if isinstance(cells, np.ndarray) and cells.dtype.kind == "M":
            known = ~np.isnat(cells)
            seconds = np.where(known, cells, np.datetime64(0, "s")).astype("M8[s]")
            return seconds.astype(np.int64), known, False
        seconds = np.zeros(len(cells), dtype=np.int64)
        known = np.zeros(len(cells), dtype=np.bool_)
        kinds: set[bool] = set()
        seen: dict[Any, tuple[int, bool] | None] = {}
        for i, cell in enumerate(cells):
            if cell not in seen:
                seen[cell] = self._moment(cell, i, name)
            moment = seen[cell]
            if moment is not None:
                seconds[i], zoned = moment
                known[i] = True
                kinds.add(zoned)
        if len(kinds) > 1:
            raise BadInputError(
                f"{self.name}, column {name!r}: some times have a zone and others have none.",
                remedy="Give all of them a zone, or none.",
            )
        return seconds, known, True in kinds

    def _moment(self, cell: Any, i: int, name: str) -> tuple[int, bool] | None:
        """One cell as (seconds, zone given); None where nothing stands."""
        try:
            return as_moment(cell)
        except (ValueError, OverflowError) as error:
            raise BadInputError(
                f"{self.name}, line {self.first_line + i}, column {name!r}: "
                f"{as_text(cell)[:40]!r} is not a time.",
                remedy="Write it as 2026-05-01 13:00, with a zone if it is not local.",
            ) from error


def as_text(cell: Any) -> str:
    """A cell as text; whole numbers without a point, nothing as empty."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        if math.isnan(cell):
            return ""
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else str(cell)
    return str(cell).strip()


def as_number(cell: Any) -> float | None:
    """A cell as a number: NaN where nothing stands, None where it is not a number."""
    if cell is None:
        return math.nan
    if isinstance(cell, int | float | np.integer | np.floating):
        value = float(cell)
    else:
        text = str(cell).strip()
        if text.lower() in MISSING:
            return math.nan
        text = text.translate(SPACES)
        if "," in text:
            # 1.234,5 has points for thousands; 1,234.5 is the English way round.
            english = text.rfind(".") > text.rfind(",")
            text = text.replace(",", "") if english else text.replace(".", "").replace(",", ".")
        if "_" in text:
            return None
        try:
            value = float(text)
        except ValueError:
            return None
    return None if math.isinf(value) else value


def as_moment(cell: Any) -> tuple[int, bool] | None:
    """A cell as (seconds, whether it gave its zone); None where nothing stands."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, datetime):
        moment = cell
    elif isinstance(cell, date):
        moment = datetime(cell.year, cell.month, cell.day)  # noqa: DTZ001 - a wall clock's date
    else:
        text = str(cell).strip()
        if text.lower() in MISSING:
            return None
        moment = parsed_moment(text)
    zoned = moment.tzinfo is not None
    return math.floor((moment if zoned else moment.replace(tzinfo=UTC)).timestamp()), zoned


def parsed_moment(text: str) -> datetime:
    """A time as people write it: ISO 8601, a point between hours and minutes, day first."""
    found = TIME_PATTERN.match(text)
    if not found:
        raise ValueError(text)
    a, b, c = found["a"], found["b"], found["c"]
    # The year is the part with four digits; a day comes first where the year comes last.
    year, month, day = (a, b, c) if len(a) == 4 else (c, b, a)
    if len(year) != 4:
        raise ValueError(text)
    clock = f"{int(found['h'] or 0):02}:{found['m'] or '00'}:{found['s'] or '00'}"
    zone = (found["zone"] or "").upper().replace("Z", "+00:00")
    return datetime.fromisoformat(f"{year}-{int(month):02}-{int(day):02}T{clock}{zone}")


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


def refuse_identifiers(table: Table) -> None:
    """Raise if a column would say who somebody is: only counts are taken.

    Raises
    ------
    BadInputError
        Naming the column, never a value in it.
    """
    for name in identifying_columns(table):
        raise BadInputError(
            f"{table.name}: column {name!r} looks like identifiers of people or vehicles.",
            remedy="Remove it: only aggregated counts may be read.",
        )


def identifying_columns(table: Table) -> list[str]:
    """Names of the columns that look like identifiers of people or vehicles."""
    return [
        name
        for name, cells in table.columns.items()
        if IDENTIFIER.search(name) or looks_like_hardware_address(cells)
    ]


def looks_like_hardware_address(cells: Sequence[Any]) -> bool:
    """Whether one of the first cells does."""
    return not isinstance(cells, np.ndarray) and any(
        isinstance(cell, str) and MAC_LIKE.match(cell.strip()) for cell in cells[:200]
    )


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
