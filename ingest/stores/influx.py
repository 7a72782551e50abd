"""Readings in InfluxDB: joined lines in, InfluxQL out, so that 1.8, 2.x and 3 Core all serve.

A measurement is a quantity; its only tag is `device`, its fields are `value`, `received_ms` and
`flags`. Writes go through influxdb-client, one gzipped body of many lines at a time, and return
only when the server has answered. Reads are InfluxQL on `GET /query`, at most a day per query, in
JSON: in a CSV answer the 1.x server leaves out errors that come after the first row.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from urllib3.exceptions import HTTPError

from ingest.errors import (
    RefusedLinesError,
    StoreAwayError,
    StoreDeniedError,
    StoreError,
    UnwritableError,
)
from ingest.reading import Flag, Quantity
from ingest.stores import Added, Columns, StoredEvent, influxql
from ingest.stores.event_rows import (
    EventKey,
    in_event_order,
    key_of,
    merge_events,
    standing_events,
    taken_back,
)
from ingest.stores.influx_server import InfluxTarget, Verdict, error_of, verdict_of
from ingest.stores.lines import (
    DEVICE_ID,
    check_writable,
    event_line,
    reading_lines,
    together,
)
from ingest.stores.merging import (
    DAY_MS,
    at_kept_precision,
    concatenate,
    days_of,
    empty,
    in_time_order,
    latest_of,
    merge,
    rows,
    select,
    standing,
    withdrawals,
)

__all__ = ["InfluxStore", "InfluxTarget"]

MOST_LINES = 10_000
# Bisecting k bad lines out of N costs about 2 k log2(N / k) writes; beyond this it is not worth it.
MOST_BAD_LINES = 32
FEW_DEVICES = 50
MANY_WINDOWS = 40
_NANOSECONDS_END_MS = (2**63 - 1) // 1_000_000


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


class InfluxStore:
    """A `SeriesStore` in InfluxDB 1.8 or newer.

    Parameters
    ----------
    target : InfluxTarget
    now_ms : callable
        The clock [ms, UTC].
    """

    def __init__(self, target: InfluxTarget, *, now_ms: Callable[[], int]) -> None:
        self.target = target
        self._now_ms = now_ms
        tls = target.tls()
        self._client: Any = InfluxDBClient(
            url=target.url,
            token=target.credentials,
            org=target.org,
            timeout=int(target.timeout_s * 1000),
            enable_gzip=True,
            ssl_context=tls,
        )
        self._write_api: Any = self._client.write_api(write_options=SYNCHRONOUS)
        self._http = httpx2.Client(
            base_url=target.url,
            headers={**target.authorization, "Accept": "application/json"},
            timeout=target.timeout_s,
            verify=True if tls is None else tls,
            trust_env=False,
        )
        self._most_lines = MOST_LINES
        self._newest: dict[Quantity, _Newest] = {}

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()
        self._write_api.close()
        self._client.close()

    # Writing

    def add(self, quantity: Quantity, columns: Columns) -> None:
        """Keep readings; when it returns the server has confirmed them.

        Raises
        ------
        RefusedLinesError
            Some lines are no good; all others are kept.
        StoreAwayError, StoreDeniedError
        """
        _raise_refused(self.put(quantity, columns))

    def put(self, quantity: Quantity, columns: Columns) -> Added:
        """The same; lines that are refused are returned with what became of the others."""
        if not len(columns):
            return Added()
        new = at_kept_precision(quantity, columns)
        writable, unwritable = _writable(quantity, new)
        stored = 0
        refused: list[_Refused] = []
        if len(writable):
            written, gain = self._changes(quantity, writable)
            refused = self._write(reading_lines(quantity, written))
            taken = np.ones(len(written), np.bool_)
            for lost in refused:
                taken[lost.start : lost.stop] = False
            stored = int(gain[taken].sum())
            self._newest_of(quantity).wrote(rows(written, taken))
        lost_readings = unwritable + [(lost.text, lost.said) for lost in refused]
        lost_all = Added(refused=tuple(lost_readings))
        given = len(columns) - withdrawals(columns)
        return replace(lost_all, stored=stored, duplicate=given - lost_all.quarantined - stored)

    def _changes(self, quantity: Quantity, new: Columns) -> tuple[Columns, npt.NDArray[np.int64]]:
        """What is to be written for `new`, and how many readings more the store then holds a row.

        What the store holds already is left alone, so that a repeat keeps the time it first came.
        """
        known = self._known(quantity, new)
        merged = merge(concatenate([known, new]))
        place = _places(known, merged)
        there = place >= 0
        stands = (merged.flags & Flag.WITHDRAWN) == 0
        stood = np.zeros(len(merged), np.bool_)
        same = ~there & ~stands  # taking back what is not there changes nothing
        if len(known):
            stood = there & ((known.flags[place] & Flag.WITHDRAWN) == 0)
            same |= (
                there
                & (known.value[place] == merged.value)
                & (
                    (known.received_ms[place] == merged.received_ms)
                    & (known.flags[place] == merged.flags)
                )
            )
        gain = stands.astype(np.int64) - stood.astype(np.int64)
        return rows(merged, ~same), gain[~same]

    def _known(self, quantity: Quantity, new: Columns) -> Columns:
        """What the store holds that `new` may repeat; read only where that is possible."""
        maybe = rows(new, self._newest_of(quantity).maybe_known(new))
        if not len(maybe):
            return empty()
        parts: list[Columns] = []
        for _, day in days_of(maybe):
            names = [day.device_ids[k] for k in np.unique(day.device).tolist()]
            parts.append(
                merge(
                    self._window(
                        quantity,
                        int(day.time_ms.min()),
                        int(day.time_ms.max()) + 1,
                        names if len(names) <= FEW_DEVICES else None,
                    )
                )
            )
        return in_time_order(parts)

    def _newest_of(self, quantity: Quantity) -> "_Newest":
        found = self._newest.get(quantity)
        if found is None:
            now = self._now_ms()
            windows = [
                (now - 2 * DAY_MS, now - DAY_MS),
                (now - DAY_MS, now),
                (now, _NANOSECONDS_END_MS),
            ]
            parts = [self._last(quantity, start, stop) for start, stop in windows]
            found = self._newest[quantity] = _Newest(now - 2 * DAY_MS, concatenate(parts))
        return found

    def _write(self, lines: Sequence[str]) -> list["_Refused"]:
        """Write lines in order; those that the server refuses for what they are come back."""
        refused: list[_Refused] = []
        waiting = [
            (start, min(start + self._most_lines, len(lines)))
            for start in range(0, len(lines), self._most_lines)
        ][::-1]
        while waiting:
            start, stop = waiting.pop()
            verdict = self._post(lines[start:stop])
            if verdict is None:
                continue
            if verdict.too_large and stop - start > 1:
                self._most_lines = max(1, (stop - start) // 2)
            elif verdict.all_of(stop - start) or len(refused) >= MOST_BAD_LINES:
                text = "\n".join(lines[start:stop])
                refused.append(_Refused(start, stop, text, verdict.said))
                continue
            middle = (start + stop) // 2
            waiting += [(middle, stop), (start, middle)]
        return refused

    def _post(self, lines: Sequence[str]) -> Verdict | None:
        """One write; None when it was taken, the server's words when the lines are to blame."""
        try:
            self._write_api.write(
                bucket=self.target.bucket,
                org=self.target.org,
                record=together(lines),
                write_precision=WritePrecision.MS,
            )
        except InfluxDBError as error:
            return verdict_of(error, self.target)
        except (HTTPError, OSError) as error:
            raise StoreAwayError(
                f"InfluxDB at {self.target.url} does not answer: {error}"
            ) from error
        return None

    # Reading

    def columns(
        self,
        quantity: Quantity,
        *,
        start_ms: int,
        stop_ms: int,
        devices: Sequence[str] | None = None,
    ) -> Columns:
        """Readings with `start_ms <= time_ms < stop_ms`, of all devices or of those named."""
        if devices is not None and not devices:
            return empty()
        parts = [
            merge(standing(self._window(quantity, start, stop, devices)))
            for start, stop in self._windows(quantity, start_ms, stop_ms)
        ]
        whole = in_time_order(parts)
        if devices is None:
            return whole
        return merge(select(whole, start_ms=start_ms, stop_ms=stop_ms, devices=devices))

    def latest(self, quantity: Quantity, *, start_ms: int, stop_ms: int) -> Columns:
        """The newest reading of each device with `start_ms <= time_ms < stop_ms`."""
        parts = [
            self._last(quantity, start, stop)
            for start, stop in self._windows(quantity, start_ms, stop_ms)
        ]
        return latest_of(merge(concatenate(parts)))

    def add_events(self, events: Sequence[StoredEvent]) -> None:
        """Keep fault reports; the same (device, time, event) again replaces."""
        _raise_refused(self.put_events(events))

    def put_events(self, events: Sequence[StoredEvent]) -> Added:
        """The same; what is refused is returned with what became of the others."""
        lost: list[tuple[str, str]] = []
        texts: list[str] = []
        gains: list[int] = []
        known = self._known_events(events)
        for event in merge_events(events):
            before = known.get(key_of(event))
            stood = before is not None and not taken_back(before)
            stands = not taken_back(event)
            if before is None and not stands:
                continue  # taking back what is not there changes nothing
            if before is not None and merge_events([before, event]) == [before]:
                continue
            try:
                texts.append(event_line(event))
            except UnwritableError as error:
                lost.append((_as_json(event), str(error)))
            else:
                gains.append(stands - stood)
        refused = self._write(texts)
        gone = {n for r in refused for n in range(r.start, r.stop)}
        lost += [(r.text, r.said) for r in refused]
        stored = sum(gain for n, gain in enumerate(gains) if n not in gone)
        lost_all = Added(refused=tuple(lost))
        given = len(events) - sum(map(taken_back, events))
        return replace(lost_all, stored=stored, duplicate=given - lost_all.quarantined - stored)

    def _known_events(self, events: Sequence[StoredEvent]) -> dict[EventKey, StoredEvent]:
        by_day: dict[int, list[int]] = {}
        for event in events:
            by_day.setdefault(event.time_ms // DAY_MS, []).append(event.time_ms)
        return {
            key_of(event): event
            for times in by_day.values()
            for event in self._event_window(min(times), max(times) + 1)
        }

    def events(self, *, start_ms: int, stop_ms: int) -> list[StoredEvent]:
        """Fault reports with `start_ms <= time_ms < stop_ms`, by time, device and name."""
        return in_event_order(
            event
            for start, stop in self._windows(None, start_ms, stop_ms)
            for event in standing_events(self._event_window(start, stop))
        )

    def _windows(
        self, quantity: Quantity | None, start_ms: int, stop_ms: int
    ) -> list[tuple[int, int]]:
        """UTC days of the interval; of a long one only those between the first and last point."""
        start = max(start_ms, -_NANOSECONDS_END_MS)
        stop = min(stop_ms, _NANOSECONDS_END_MS)
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

    def _window(
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

    def _last(self, quantity: Quantity, start_ms: int, stop_ms: int) -> Columns:
        """The newest reading of each device in one window."""
        return _columns_of(quantity, self._query(influxql.last(quantity, start_ms, stop_ms)))

    def _event_window(self, start_ms: int, stop_ms: int) -> list[StoredEvent]:
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
            self._http.stream("GET", "/query", params={**params, "q": text}) as answer,
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


_ROWS = list[list[Any]]
_EVENT_ROWS = list[tuple[int, bool | None, bool | None, str | None, int | None, int | None]]


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


@dataclass(frozen=True, slots=True)
class _Refused:
    """Lines `start .. stop` that the server would not take, and why."""

    start: int
    stop: int
    text: str
    said: str


class _Newest:
    """Up to when readings of each device may be in the store already.

    Parameters
    ----------
    since_ms : int
        Of times before, nothing is known.
    newest : Columns
        The newest readings after it.
    """

    def __init__(self, since_ms: int, newest: Columns) -> None:
        self._since_ms = since_ms
        self._until: dict[str, int] = {}
        self.wrote(newest)

    def wrote(self, columns: Columns) -> None:
        """These are in the store now."""
        last = np.full(len(columns.device_ids), self._since_ms - 1, np.int64)
        np.maximum.at(last, columns.device, columns.time_ms)
        for name, time_ms in zip(columns.device_ids, last.tolist(), strict=True):
            if time_ms > self._until.get(name, self._since_ms - 1):
                self._until[name] = time_ms

    def maybe_known(self, columns: Columns) -> npt.NDArray[np.bool_]:
        """Which readings could be in the store already."""
        floor = self._since_ms - 1
        until = np.array([self._until.get(name, floor) for name in columns.device_ids], np.int64)
        return columns.time_ms <= until[columns.device]


def _places(known: Columns, new: Columns) -> npt.NDArray[np.intp]:
    """Row of `known` with the same device and time as each row of `new`, -1 where there is none."""
    if not len(known):
        return np.full(len(new), -1, np.intp)
    number = {name: n for n, name in enumerate(known.device_ids)}
    lookup = np.array([number.get(name, -1) for name in new.device_ids], np.int64)
    device = lookup[new.device]
    first = min(int(known.time_ms.min()), int(new.time_ms.min()))
    # Times of one write and of what was read for it lie far within int64 of one another.
    span = max(int(known.time_ms.max()), int(new.time_ms.max())) - first + 1
    keys = known.device.astype(np.int64) * span + (known.time_ms - first)
    wanted = device * span + (new.time_ms - first)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where((device >= 0) & (keys[place] == wanted), place, -1)


def _writable(quantity: Quantity, columns: Columns) -> tuple[Columns, list[tuple[str, str]]]:
    """The readings that can be written, and the others as JSON with the reason."""
    try:
        _check(quantity, columns)
    except UnwritableError:
        return _one_by_one(quantity, columns)
    return columns, []


def _check(quantity: Quantity, columns: Columns) -> None:
    check_writable(quantity, columns)
    if np.any(np.abs(columns.time_ms) > _NANOSECONDS_END_MS):
        raise UnwritableError("the time is beyond what InfluxDB can hold (years 1677 to 2262)")


def _one_by_one(quantity: Quantity, columns: Columns) -> tuple[Columns, list[tuple[str, str]]]:
    """The slow way, for a batch that holds something that cannot be written."""
    fine = np.ones(len(columns), np.bool_)
    lost: list[tuple[str, str]] = []
    for n in range(len(columns)):
        one = merge(rows(columns, slice(n, n + 1)))
        try:
            _check(quantity, one)
        except UnwritableError as error:
            fine[n] = False
            point = (one.device_ids[0], int(one.time_ms[0]), str(float(one.value[0])))
            lost.append((_as_json((str(quantity), *point)), str(error)))
    return concatenate([rows(columns, fine)]), lost


def _as_json(thing: object) -> str:
    return msgspec.json.encode(thing).decode()


def _raise_refused(added: Added) -> None:
    if added.refused:
        raise RefusedLinesError(list(added.refused))
