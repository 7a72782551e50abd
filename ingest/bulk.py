"""Files of readings or fault reports, taken in like messages: judged, journaled, counted.

A row that cannot be used goes to the quarantine with its line and the reason, the rest is imported.
The same file twice changes nothing.
"""

import csv
import io
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.batch import BadMessage, Batch
from ingest.devices import Registry
from ingest.errors import (
    JournalFullError,
    MalformedPayloadError,
    Reason,
    RefusedContentError,
    UnreadableFileError,
    UnwritableError,
)
from ingest.journal import Journal, JournalReader, QuarantinedMessage
from ingest.personal import refuse_personal
from ingest.plausibility import Clocks, judge
from ingest.reading import Decoded, Event, Quantity, Series
from ingest.shipper import QUARANTINE_TOPIC
from ingest.stores.lines import DEVICE_ID, EVENTS, parse_event, parse_reading
from ingest.wire.talq import canonical_event
from ingest.wire.text import clean_text
from ingest.wire.times import parse_rfc3339

__all__ = ["IMPORT_TOPIC", "Imported", "import_readings", "readmit_rows"]

IMPORT_TOPIC: Final = "import"
AT_ONCE: Final = 5_000
_QUANTITIES: Final = {quantity.value: quantity for quantity in Quantity}
_KNOWN: Final = {"device_id", "time", "received_time", "flags"}
_OF_EVENTS: Final = {"event", "active", "info"}
_TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False, "": None}
_MILLISECOND: Final = pa.timestamp("ms", "UTC")

Row = Mapping[str, Any]


@dataclass(slots=True)
class Imported:
    """What became of the rows of files.

    Attributes
    ----------
    rows : int
        Rows looked at.
    readings, events : int
        Journaled.
    quarantined, refused : int
        Rows that could not be used, and rows that hold what must not be kept.
    problems : list of (str, int, str)
        File, line and reason of the first rows that could not be used.
    """

    rows: int = 0
    readings: int = 0
    events: int = 0
    quarantined: int = 0
    refused: int = 0
    problems: list[tuple[str, int, str]] = field(default_factory=list[tuple[str, int, str]])


def import_readings(
    files: Sequence[Path],
    journal: Journal,
    registry: Registry,
    *,
    now_ms: Callable[[], int],
    make_room: Callable[[], None] | None = None,
    told: Callable[[Path, int], None] = lambda _file, _rows: None,
) -> Imported:
    """Take files in the readings or events format (CSV, Parquet, JSON Lines) into the journal.

    Parameters
    ----------
    files : sequence of Path
    journal : Journal
    registry : Registry
        Devices it does not list are taken all the same: whoever imports vouches for them.
    now_ms : callable
        The clock [ms, UTC]; rows without `received_time` are received now.
    make_room : callable, optional
        Called when the journal is full, to hand over to the store what it holds.
    told : callable, optional
        File and number of its rows so far, after every commit.

    Raises
    ------
    UnreadableFileError
        If a file as a whole cannot be read; what was committed before stays.
    JournalFullError
        If the journal is full and nothing makes room.
    """
    done = Imported()
    clocks = Clocks()
    for file in files:
        chunk: list[tuple[int, Row]] = []
        rows_of_file = 0
        for numbered in _rows(file):
            chunk.append(numbered)
            if len(chunk) == AT_ONCE:
                _commit(_batch(file, chunk, registry, clocks, now_ms(), done), journal, make_room)
                rows_of_file += len(chunk)
                told(file, rows_of_file)
                chunk = []
        _commit(_batch(file, chunk, registry, clocks, now_ms(), done), journal, make_room)
        told(file, rows_of_file + len(chunk))
    return done


def _commit(batch: Batch, journal: Journal, make_room: Callable[[], None] | None) -> None:
    try:
        journal.commit(batch)
    except JournalFullError:
        if make_room is None:
            raise
        make_room()
        journal.commit(batch)


def _batch(
    file: Path,
    chunk: Sequence[tuple[int, Row]],
    registry: Registry,
    clocks: Clocks,
    now_ms: int,
    done: Imported,
) -> Batch:
    """One commit's worth of rows."""
    batch = Batch()
    parsed: dict[tuple[str, int], list[tuple[int, Row, _Parsed]]] = {}
    for line, row in chunk:
        try:
            one = _parse(row, now_ms)
            parsed.setdefault((one.device_id, one.received_ms), []).append((line, row, one))
        except (MalformedPayloadError, RefusedContentError) as error:
            _put_aside(batch, file, line, row, now_ms, error, done)
    for (_, received_ms), rows in parsed.items():
        try:
            _take(batch, [one for *_, one in rows], received_ms, registry, clocks, done)
        except MalformedPayloadError:
            for line, row, one in rows:  # one of them is bad: the others are not to blame
                try:
                    _take(batch, [one], received_ms, registry, clocks, done)
                except MalformedPayloadError as error:
                    _put_aside(batch, file, line, row, now_ms, error, done)
    done.rows += len(chunk)
    return batch


def _put_aside(
    batch: Batch,
    file: Path,
    line: int,
    row: Row,
    now_ms: int,
    error: MalformedPayloadError | RefusedContentError,
    done: Imported,
) -> None:
    if len(done.problems) < 100:
        done.problems.append((file.name, line, str(error)))
    if isinstance(error, RefusedContentError):
        done.refused += 1
        batch.add_refused()
        return
    done.quarantined += 1
    payload = msgspec.json.encode({name: _plain(cell) for name, cell in row.items()})
    topic = f"{IMPORT_TOPIC}/{file.name}"
    detail = f"line {line}: {error.detail}"
    batch.add_bad(BadMessage(now_ms, topic, payload, error.reason, detail))


def _plain(cell: Any) -> Any:
    return cell if isinstance(cell, str | int | float | bool | None) else str(cell)


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A row whose cells have their types, not judged yet."""

    device_id: str
    received_ms: int
    time_ms: int
    values: list[tuple[Quantity, float]]
    event: Event | None


def _parse(row: Row, now_ms: int) -> _Parsed:
    device_id = row.get("device_id")
    # An id that begins with "-" was exported with a "'" before it, lest it be taken for a formula.
    device_id = device_id.strip().removeprefix("'") if isinstance(device_id, str) else ""
    if not DEVICE_ID.fullmatch(device_id):
        detail = f"device_id {str(row.get('device_id'))[:80]!r}"
        raise MalformedPayloadError(detail, reason=Reason.IDENTITY)
    time_ms = _time(row.get("time"))
    if time_ms is None:
        raise MalformedPayloadError("no time", reason=Reason.TIME, device_id=device_id)
    received_ms = _time(row.get("received_time"))
    event = _event(row, device_id, time_ms) if "event" in row else None
    values = [
        (quantity, number)
        for name, cell in row.items()
        if (quantity := _QUANTITIES.get(name)) is not None
        and (number := _number(name, cell)) is not None
    ]
    return _Parsed(
        device_id, now_ms if received_ms is None else received_ms, time_ms, values, event
    )


def _time(cell: Any) -> int | None:
    """Milliseconds of an RFC 3339 time, or of a Parquet timestamp (already an integer)."""
    if cell is None or cell == "":
        return None
    if isinstance(cell, bool) or not isinstance(cell, str | int):
        raise MalformedPayloadError(f"time {cell!r}", reason=Reason.TIME)
    if isinstance(cell, int):
        return cell
    try:
        return parse_rfc3339(cell.strip())
    except ValueError as error:
        raise MalformedPayloadError(f"{error}", reason=Reason.TIME) from error


def _number(name: str, cell: Any) -> float | None:
    """A number with a decimal point or comma; None where the cell is empty."""
    if cell is None or cell == "":
        return None
    if isinstance(cell, str):
        text = cell.strip().replace("\u2212", "-")
        text = text.replace(",", ".") if "." not in text else text
        try:
            cell = float(text) if text else None
        except ValueError:
            raise MalformedPayloadError(f"{name} of {text[:40]!r}", reason=Reason.TYPE) from None
    if cell is None:
        return None
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        raise MalformedPayloadError(f"{name} of {str(cell)[:40]!r}", reason=Reason.TYPE)
    if cell != cell:  # noqa: PLR0124 - a NaN of Parquet: not known
        return None
    return float(cell)


def _event(row: Row, device_id: str, time_ms: int) -> Event:
    name = canonical_event(str(row.get("event") or ""))
    if name is None:
        detail = f"event {str(row.get('event'))[:80]!r} is not in the list of event names"
        raise MalformedPayloadError(detail, reason=Reason.SHAPE, device_id=device_id)
    active = row.get("active")
    text = "" if active is None else str(active).strip().lower()
    if text not in _TRUTHS:
        raise MalformedPayloadError(f"active {text[:20]!r}", reason=Reason.TYPE)
    info = clean_text(str(row.get("info") or ""))
    refuse_personal({"info": info})
    return Event(device_id, time_ms, name, _TRUTHS[text], info)


def _take(
    batch: Batch,
    rows: Sequence[_Parsed],
    received_ms: int,
    registry: Registry,
    clocks: Clocks,
    done: Imported,
) -> None:
    """Judge the rows of one device like one message and put them into the batch."""
    series: dict[Quantity, Series] = {}
    for row in rows:
        for quantity, value in row.values:
            one = series.get(quantity)
            if one is None:
                one = series[quantity] = Series(row.device_id, quantity, [], [])
            one.time_ms.append(row.time_ms)
            one.value.append(value)
    events = [row.event for row in rows if row.event is not None]
    decoded = judge(
        Decoded(series=list(series.values()), events=events),
        received_ms=received_ms,
        registry=registry,
        clocks=clocks,
    )
    for one in decoded.series:
        batch.add(one.device_id, one.quantity, one.time_ms, one.value, one.flags, received_ms)
        done.readings += len(one.value)
    for event in decoded.events:
        batch.add_event(event, received_ms)
    done.events += len(decoded.events)
    batch.counts["skipped"] += decoded.skipped


# Files


def _rows(file: Path) -> Generator[tuple[int, Row]]:
    """Rows of a file with their line numbers."""
    readers = {
        ".csv": _csv_rows,
        ".parquet": _parquet_rows,
        ".jsonl": _json_rows,
        ".ndjson": _json_rows,
    }
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise UnreadableFileError(f"{file} is not .csv, .parquet or .jsonl. Rename or convert it.")
    try:
        yield from reader(file)
    except OSError as error:
        raise UnreadableFileError(f"{file} cannot be read: {error.strerror or error}.") from error
    except pa.ArrowException as error:
        raise UnreadableFileError(f"{file} is not Parquet: {error}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFileError(f"{file} cannot be read as text: {error}.") from error


def _check_columns(file: Path, names: Iterable[str]) -> None:
    listed = list(names)
    found = set(listed)
    try:
        refuse_personal(dict.fromkeys(found, "x"))
    except RefusedContentError as error:
        raise UnreadableFileError(
            f"{file}: column {error.field!r} may identify people. Remove it: we take counts alone."
        ) from error
    if missing := {"device_id", "time"} - found:
        raise UnreadableFileError(
            f"{file} has no column {' and '.join(sorted(missing))}; "
            f"it has {', '.join(map(str, listed)) or 'none'}. The first line must name them."
        )
    if unknown := found - _KNOWN - _OF_EVENTS - set(_QUANTITIES):
        raise UnreadableFileError(
            f"{file} has columns that are no quantity of ours: {', '.join(sorted(unknown))}. "
            f"Remove or rename them; quantities are {', '.join(_QUANTITIES)}."
        )


def _csv_rows(file: Path) -> Generator[tuple[int, Row]]:
    """Comma, semicolon or tab; UTF-8, or cp1252 as Swedish spreadsheets write it."""
    with file.open("rb") as raw:
        start = raw.read(1 << 16)
        raw.seek(0)
        encoding = "utf-8-sig"
        try:
            start[: start.rfind(b"\n") + 1].decode(encoding)
        except UnicodeDecodeError:
            encoding = "cp1252"
        header = start.split(b"\n", 1)[0]
        delimiter = max(";,\t", key=lambda c: header.count(c.encode()))
        with io.TextIOWrapper(raw, encoding=encoding, newline="") as text:
            reader = csv.reader(text, delimiter=delimiter)
            names = [name.strip() for name in next(reader, [])]
            _check_columns(file, names)
            for cells in reader:
                if cells:
                    yield reader.line_num, dict(zip(names, cells, strict=False))


def _json_rows(file: Path) -> Generator[tuple[int, Row]]:
    checked: set[frozenset[str]] = set()
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = msgspec.json.decode(line, type=dict[str, Any])
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise UnreadableFileError(f"{file}, line {number}: {error}.") from error
            names = frozenset(row)
            if names not in checked:
                _check_columns(file, names | {"device_id", "time"})
                checked.add(names)
            yield number, row


def _parquet_rows(file: Path) -> Generator[tuple[int, Row]]:
    number = 0
    with pq.ParquetFile(file) as parquet:
        _check_columns(file, parquet.schema_arrow.names)
        for batch in parquet.iter_batches(AT_ONCE):
            table: Any = pa.Table.from_batches([batch])
            for name in {"time", "received_time"} & set(table.column_names):
                column = table.column(name)
                if pa.types.is_timestamp(column.type):
                    zoned = pa.timestamp(column.type.unit, column.type.tz or "UTC")
                    column = column.cast(zoned).cast(_MILLISECOND, safe=False).cast(pa.int64())
                    table = table.set_column(table.column_names.index(name), name, column)
            for row in table.to_pylist():
                number += 1
                yield (
                    number,
                    {
                        k: v.replace(tzinfo=UTC).isoformat() if isinstance(v, datetime) else v
                        for k, v in row.items()
                    },
                )


# Out of the quarantine


def readmit_rows(
    journal: Journal,
    registry: Registry,
    *,
    now_ms: Callable[[], int],
    search: str = "",
    limit: int = 1_000_000,
) -> tuple[int, int]:
    """Try again what an import or a store could not take.

    Each leaves the quarantine in the commit that takes it; what still cannot be used stays.

    Returns
    -------
    messages, readings : int
        How many left the quarantine, and what they held.
    """
    messages = readings = 0
    with closing(JournalReader(journal.path)) as reader:
        for page in reader.quarantine_pages(search, limit):
            for message in reversed(page):
                batch = _again(message, registry, now_ms())
                if batch is not None:
                    readings += batch.counts["received"]
                    batch.release(message.id, message.readings)
                    journal.commit(batch)
                    messages += 1
    return messages, readings


def _again(message: QuarantinedMessage, registry: Registry, now_ms: int) -> Batch | None:
    """A batch of what a quarantined message holds; None where it is not ours or still bad."""
    kind, _, name = message.topic.partition("/")
    batch = Batch()
    try:
        if kind == QUARANTINE_TOPIC:
            _lines_again(batch, name, message.payload.decode())
        elif kind == IMPORT_TOPIC:
            one = _parse(msgspec.json.decode(message.payload, type=dict[str, Any]), now_ms)
            _take(batch, [one], one.received_ms, registry, Clocks(), Imported())
        else:
            return None
    except (
        MalformedPayloadError,
        RefusedContentError,
        UnwritableError,
        UnicodeDecodeError,
        msgspec.DecodeError,
    ):
        return None
    return batch


def _lines_again(batch: Batch, name: str, text: str) -> None:
    """Readings or fault reports out of lines that a store refused."""
    for line in text.split("\n"):
        if name == EVENTS:
            event = parse_event(line)
            batch.add_event(
                Event(event.device_id, event.time_ms, event.event, event.active, event.info,
                      event.flags),
                event.received_ms,
            )  # fmt: skip
            continue
        quantity, columns = parse_reading(line)
        batch.add_columns(
            quantity,
            columns.device_ids,
            columns.device,
            columns.time_ms,
            columns.value,
            columns.received_ms,
            columns.flags,
        )
