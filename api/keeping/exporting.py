"""Readings and fault reports out of the store, day by day, into files anyone can read."""

import csv
import io
import json
import os
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from api.errors import BadInputError
from api.tables import rfc3339, safe_cell
from ingest.reading import QUANTITIES, Quantity
from ingest.stores import Columns, SeriesStore, StoredEvent
from ingest.stores.lines import WHOLE_QUANTITIES, event_line, reading_lines
from ingest.stores.merging import DAY_MS

__all__ = ["FORMATS", "export_events", "export_readings"]

FORMATS = ("csv", "parquet", "jsonl", "lp")
READING_COLUMNS = ("device_id", "time", "received_time")
EVENT_COLUMNS = ("device_id", "time", "received_time", "event", "active", "info")
_TIME = pa.timestamp("ms", "UTC")

Told = Callable[[int, int], None]


class Sink(Protocol):
    """Where rows go, part by part."""

    def readings(self, columns: Columns) -> None:
        """Write readings."""
        ...

    def events(self, events: list[StoredEvent]) -> None:
        """Write fault reports."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


def export_readings(
    store: SeriesStore,
    quantity: Quantity,
    *,
    start_ms: int,
    stop_ms: int,
    form: str,
    out: Path,
    told: Told = lambda _done, _all: None,
) -> int:
    """Write a quantity's readings; returns how many.

    Parameters
    ----------
    form : str
        One of `FORMATS`; csv, parquet and jsonl are the interchange format of readings, lp is line
        protocol.
    out : Path
        Replaced when the whole of it has been written.
    told : callable
        Days done, and of how many.
    """
    rows = 0
    with _sink(out, form, quantity) as sink:
        days = _days(start_ms, stop_ms)
        for number, (start, stop) in enumerate(days, start=1):
            columns = store.columns(quantity, start_ms=start, stop_ms=stop)
            if len(columns):
                sink.readings(columns)
                rows += len(columns)
            told(number, len(days))
    return rows


def export_events(
    store: SeriesStore,
    *,
    start_ms: int,
    stop_ms: int,
    form: str,
    out: Path,
    told: Told = lambda _done, _all: None,
) -> int:
    """Write fault reports; returns how many."""
    rows = 0
    with _sink(out, form, None) as sink:
        days = _days(start_ms, stop_ms)
        for number, (start, stop) in enumerate(days, start=1):
            if events := store.events(start_ms=start, stop_ms=stop):
                sink.events(events)
                rows += len(events)
            told(number, len(days))
    return rows


def _days(start_ms: int, stop_ms: int) -> list[tuple[int, int]]:
    return [
        (max(start_ms, day * DAY_MS), min(stop_ms, (day + 1) * DAY_MS))
        for day in range(start_ms // DAY_MS, (stop_ms - 1) // DAY_MS + 1)
    ]


@contextmanager
def _sink(out: Path, form: str, quantity: Quantity | None) -> Generator[Sink]:
    """A file that appears under its name only when it is whole."""
    beside = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            sink: Sink = _SINKS[form](file, quantity)
            yield sink
            sink.close()
            file.flush()
            os.fsync(file.fileno())
        beside.replace(out)
    except OSError as error:
        raise BadInputError(
            f"{out} cannot be written: {error.strerror or error}", remedy="Name another with --out."
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def _values(quantity: Quantity, columns: Columns) -> list[str]:
    """Shortest decimal text in the precision the quantity is kept in."""
    kept = columns.value.astype(QUANTITIES[quantity].archive_type)
    unique, which = np.unique(kept, return_inverse=True)
    whole = quantity in WHOLE_QUANTITIES
    texts = [str(int(v)) if whole and v == int(v) else str(v) for v in unique]
    return [texts[k] for k in which.tolist()]


def _moments(time_ms: npt.NDArray[np.int64]) -> list[str]:
    texts = np.datetime_as_string(time_ms.astype("datetime64[ms]"))
    return [f"{text}Z" for text in texts.tolist()]


class _Csv:
    """Comma, decimal point, RFC 3339; text that looks like a formula gets a quote before it."""

    def __init__(self, file: BinaryIO, quantity: Quantity | None) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        self._rows = csv.writer(self._text, lineterminator="\n")
        self._quantity = quantity
        names = EVENT_COLUMNS if quantity is None else (*READING_COLUMNS, quantity.value, "flags")
        self._rows.writerow(names)

    def readings(self, columns: Columns) -> None:
        names = [safe_cell(name) for name in columns.device_ids]
        assert self._quantity is not None  # noqa: S101 - for the type checkers
        self._rows.writerows(
            zip(
                (names[k] for k in columns.device.tolist()),
                _moments(columns.time_ms),
                _moments(columns.received_ms),
                _values(self._quantity, columns),
                columns.flags.tolist(),
                strict=True,
            )
        )

    def events(self, events: list[StoredEvent]) -> None:
        for e in events:
            active = "" if e.active is None else str(e.active).lower()
            row = (e.device_id, rfc3339(e.time_ms), rfc3339(e.received_ms), e.event, active, e.info)
            self._rows.writerow([safe_cell(cell) for cell in row])

    def close(self) -> None:
        self._text.flush()
        self._text.detach()


class _JsonLines:
    """One object a line; what is not known is left out."""

    def __init__(self, file: BinaryIO, quantity: Quantity | None) -> None:
        self._file = file
        self._quantity = quantity

    def readings(self, columns: Columns) -> None:
        names = [json.dumps(name) for name in columns.device_ids]
        assert self._quantity is not None  # noqa: S101 - for the type checkers
        self._write(
            f'{{"device_id":{names[device]},"time":"{time}","received_time":"{received}",'
            f'"{self._quantity}":{value},"flags":{flags}}}'
            for device, time, received, value, flags in zip(
                columns.device.tolist(),
                _moments(columns.time_ms),
                _moments(columns.received_ms),
                _values(self._quantity, columns),
                columns.flags.tolist(),
                strict=True,
            )
        )

    def events(self, events: list[StoredEvent]) -> None:
        self._write(
            json.dumps(
                {
                    "device_id": e.device_id,
                    "time": rfc3339(e.time_ms),
                    "received_time": rfc3339(e.received_ms),
                    "event": e.event,
                }
                | ({} if e.active is None else {"active": e.active})
                | ({"info": e.info} if e.info else {}),
                ensure_ascii=False,
            )
            for e in events
        )

    def _write(self, lines: Iterable[str]) -> None:
        self._file.write("".join(f"{line}\n" for line in lines).encode())

    def close(self) -> None:
        """Nothing is left."""


class _Lines:
    """Line protocol, precision ms."""

    def __init__(self, file: BinaryIO, quantity: Quantity | None) -> None:
        self._file = file
        self._quantity = quantity

    def readings(self, columns: Columns) -> None:
        assert self._quantity is not None  # noqa: S101 - for the type checkers
        self._file.write(("\n".join(reading_lines(self._quantity, columns)) + "\n").encode())

    def events(self, events: list[StoredEvent]) -> None:
        self._file.write("".join(f"{event_line(event)}\n" for event in events).encode())

    def close(self) -> None:
        """Nothing is left."""


class _Parquet:
    """One row group a day; times are timestamps in UTC."""

    def __init__(self, file: BinaryIO, quantity: Quantity | None) -> None:
        self._quantity = quantity
        text = [("event", pa.string()), ("active", pa.bool_()), ("info", pa.string())]
        value = (
            []
            if quantity is None
            else [(quantity.value, QUANTITIES[quantity].archive_type), ("flags", "uint8")]
        )
        schema: Any = pa.schema(
            [("device_id", pa.string()), ("time", _TIME), ("received_time", _TIME)]
            + (text if quantity is None else [(n, pa.type_for_alias(t)) for n, t in value])
        )
        self._schema = schema
        self._writer: Any = pq.ParquetWriter(file, schema, compression="zstd")

    def readings(self, columns: Columns) -> None:
        device = pa.DictionaryArray.from_arrays(
            pa.array(columns.device), pa.array(columns.device_ids, pa.string())
        )
        self._write(
            device.cast(pa.string()),
            pa.array(columns.time_ms).cast(_TIME),
            pa.array(columns.received_ms).cast(_TIME),
            pa.array(columns.value.astype(self._schema.field(3).type.to_pandas_dtype())),
            pa.array(columns.flags),
        )

    def events(self, events: list[StoredEvent]) -> None:
        self._write(
            pa.array([e.device_id for e in events], pa.string()),
            pa.array([e.time_ms for e in events], pa.int64()).cast(_TIME),
            pa.array([e.received_ms for e in events], pa.int64()).cast(_TIME),
            pa.array([e.event for e in events], pa.string()),
            pa.array([e.active for e in events], pa.bool_()),
            pa.array([e.info for e in events], pa.string()),
        )

    def _write(self, *arrays: Any) -> None:
        self._writer.write_table(pa.Table.from_arrays(list(arrays), schema=self._schema))

    def close(self) -> None:
        self._writer.close()


_SINKS: dict[str, Callable[[BinaryIO, Quantity | None], Sink]] = {
    "csv": _Csv,
    "jsonl": _JsonLines,
    "lp": _Lines,
    "parquet": _Parquet,
}
