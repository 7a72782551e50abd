"""What InfluxDB holds: InfluxQL on `GET /query`, at most a day per query, answers in JSON.

In a CSV answer the 1.x server leaves out errors that come after the first row.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

import httpx2
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from ingest.errors import StoreAwayError, StoreDeniedError, StoreError
from ingest.reading import Quantity
from ingest.stores import Columns, StoredEvent, influxql
from ingest.stores.influx_server import InfluxTarget, error_of
from ingest.stores.lines import DEVICE_ID
from ingest.stores.merging import DAY_MS, at_kept_precision, empty

__all__ = ["FEW_DEVICES", "NANOSECONDS_END_MS", "InfluxReader"]

FEW_DEVICES = 50
MANY_WINDOWS = 40
NANOSECONDS_END_MS = (2**63 - 1) // 1_000_000
_ROWS = list[list[Any]]
_EVENT_ROWS = list[tuple[int, bool | None, bool | None, str | None, int | None, int | None]]


class _Series(msgspec.Struct, gc=False):
    columns: list[str]
    values: msgspec.Raw
    tags: dict[str, str] = {}


class _Result(msgspec.Struct, gc=False):
    series: list[_Series] = []
    error: str = ""


class _Answer(msgspec.Struct, gc=False):
    results: list[_Result] = []
    error: str = ""


class InfluxReader:
    """Asks one database; what was taken back is in its answers, marked as such.

    Parameters
    ----------
    target : InfluxTarget
    """

    def __init__(self, target: InfluxTarget) -> None:
        self.target = target
        tls = target.tls()
        self.http = httpx2.Client(
            base_url=target.url,
            headers={**target.authorization, "Accept": "application/json"},
            timeout=target.timeout_s,
            verify=True if tls is None else tls,
            trust_env=False,
        )

    def close(self) -> None:
        """Let go of the connections."""
        self.http.close()

    def windows(
        self, quantity: Quantity | None, start_ms: int, stop_ms: int
    ) -> list[tuple[int, int]]:
        """UTC days of the interval; of a long one only those between the first and last point."""
        start = max(start_ms, -NANOSECONDS_END_MS)
        stop = min(stop_ms, NANOSECONDS_END_MS)
        if stop - start > MANY_WINDOWS * DAY_MS:
            bounds = self._bounds(quantity)
            if bounds is None:
                return []
            start, stop = max(start, bounds[0]), min(stop, bounds[1] + 1)
        return [
            (max(start, day * DAY_MS), min(stop, (day + 1) * DAY_MS))
            for day in range(start // DAY_MS, (stop - 1) // DAY_MS + 1)
        ]

    def _bounds(self, quantity: Quantity | None) -> tuple[int, int] | None:
        """Times of the first and the last point of a measurement."""
        times: list[int] = []
        for ask in ("first", "last"):
            for series in self._query(influxql.bound(ask, quantity)):
                times += [int(row[0]) for row in msgspec.json.decode(series.values, type=_ROWS)]
        return (min(times), max(times)) if times else None

    def window(
        self, quantity: Quantity, start_ms: int, stop_ms: int, devices: Iterable[str] | None
    ) -> Columns:
        """Everything of one window, withdrawn readings included."""
        if devices is None:
            return _columns_of(quantity, self._query(influxql.window(quantity, start_ms, stop_ms)))
        # An id outside the pattern cannot be in the store; it never reaches the query's text.
        valid = [name for name in devices if DEVICE_ID.fullmatch(name)]
        if not valid:
            return empty()
        few = valid if len(valid) <= FEW_DEVICES else None
        return _columns_of(quantity, self._query(influxql.window(quantity, start_ms, stop_ms, few)))

    def last(self, quantity: Quantity, start_ms: int, stop_ms: int) -> Columns:
        """The newest reading of each device in one window."""
        return _columns_of(quantity, self._query(influxql.last(quantity, start_ms, stop_ms)))

    def event_window(self, start_ms: int, stop_ms: int) -> list[StoredEvent]:
        """Fault reports of one window, withdrawn ones included."""
        found: list[StoredEvent] = []
        for series in self._query(influxql.event_window(start_ms, stop_ms)):
            for row in msgspec.json.decode(series.values, type=_EVENT_ROWS):
                time_ms, active, has_period, info, received_ms, flags = row
                found.append(
                    StoredEvent(
                        series.tags["device"],
                        time_ms,
                        received_ms or time_ms,
                        series.tags["event"],
                        active if has_period else None,
                        info or "",
                        flags or 0,
                    )
                )
        return found

    def _query(self, text: str) -> list[_Series]:
        """All series of an answer, streamed in chunks; a failure anywhere in it is an error."""
        database, _, policy = self.target.bucket.partition("/")
        params = {"db": database, "epoch": "ms", "chunked": "true", "chunk_size": "10000"}
        if policy:
            params["rp"] = policy
        found: list[_Series] = []
        with (
            self._reading(),
            self.http.stream("GET", "/query", params={**params, "q": text}) as answer,
        ):
            if answer.status_code != 200:
                answer.read()
                raise error_of(answer.status_code, answer.text, answer.headers, self.target)
            for chunk in _documents(answer.iter_bytes()):
                found += self._series_of(chunk)
        return found

    def _series_of(self, chunk: bytes) -> list[_Series]:
        answer = msgspec.json.decode(chunk, type=_Answer)
        said = answer.error or next((r.error for r in answer.results if r.error), "")
        if "database not found" in said:
            raise StoreDeniedError(
                f"InfluxDB at {self.target.url}: {said}. Create it or change store.influx_bucket."
            )
        if said:
            raise StoreError(f"InfluxDB at {self.target.url}: {said}")
        return [series for result in answer.results for series in result.series]

    @contextmanager
    def _reading(self) -> Generator[None]:
        try:
            yield
        except httpx2.HTTPError as error:
            raise StoreAwayError(
                f"InfluxDB at {self.target.url} does not answer: {type(error).__name__} {error}"
            ) from error
        except msgspec.DecodeError as error:
            raise StoreError(
                f"InfluxDB at {self.target.url} gave an answer that is not JSON: {error}"
            ) from error

    def ping(self) -> None:
        """Return if the database is there and lets us in.

        Raises
        ------
        StoreAwayError, StoreDeniedError
        """
        self._query(influxql.ping())


def _documents(chunks: Iterable[bytes]) -> Generator[bytes]:
    """The lines of a streamed answer, one JSON document each."""
    kept = b""
    for chunk in chunks:
        *whole, kept = (kept + chunk).split(b"\n")
        yield from (one for one in whole if one.strip())
    if kept.strip():
        yield kept


def _columns_of(quantity: Quantity, found: Sequence[_Series]) -> Columns:
    """Columns of series whose rows are [time, value, received_ms, flags].

    The rows are numbers in brackets: without the brackets they are CSV, which is parsed at once.
    """
    texts: list[bytes] = []
    counts: list[int] = []
    names: dict[str, int] = {}
    numbers: list[int] = []
    for series in found:
        text = bytes(series.values).strip()[2:-2]
        if text:
            texts.append(text.replace(b"],[", b"\n"))
            counts.append(texts[-1].count(b"\n") + 1)
            numbers.append(names.setdefault(series.tags["device"], len(names)))
    if not texts:
        return empty()
    table: Any = pa_csv.read_csv(
        pa.py_buffer(b"\n".join(texts)),
        read_options=pa_csv.ReadOptions(column_names=["time", "value", "received_ms", "flags"]),
        convert_options=pa_csv.ConvertOptions(
            column_types={
                "time": pa.int64(),
                "value": pa.float64(),
                "received_ms": pa.int64(),
                "flags": pa.int64(),
            }
        ),
    )
    time_ms = table.column("time").to_numpy()
    received = table.column("received_ms").fill_null(0).to_numpy()
    columns = Columns(
        np.repeat(np.array(numbers, np.int32), counts),
        np.asarray(time_ms, np.int64),
        np.asarray(table.column("value").to_numpy(), np.float64),
        np.asarray(received, np.int64),
        np.asarray(table.column("flags").fill_null(0).to_numpy()).astype(np.uint8),
        list(names),
    )
    return at_kept_precision(quantity, columns)
