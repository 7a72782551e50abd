"""Readings in InfluxDB: joined lines in, InfluxQL out, so that 1.8, 2.x and 3 Core all serve.

A measurement is a quantity; its only tag is `device`, its fields are `value`, `received_ms` and
`flags`. Writes go through influxdb-client, one gzipped body of many lines at a time, and return
only when the server has answered.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from urllib3.exceptions import HTTPError

from ingest.errors import RefusedLinesError, StoreAwayError, UnwritableError
from ingest.reading import Flag, Quantity
from ingest.stores import Added, Columns, StoredEvent
from ingest.stores.event_rows import (
    EventKey,
    in_event_order,
    key_of,
    merge_events,
    standing_events,
    taken_back,
)
from ingest.stores.influx_known import Newest, places
from ingest.stores.influx_reader import FEW_DEVICES, NANOSECONDS_END_MS, InfluxReader
from ingest.stores.influx_server import InfluxTarget, Verdict, verdict_of
from ingest.stores.lines import check_writable, event_line, reading_lines, together
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
        self._reader = InfluxReader(target)
        self._client: Any = InfluxDBClient(
            url=target.url,
            token=target.credentials,
            org=target.org,
            timeout=int(target.timeout_s * 1000),
            enable_gzip=True,
            ssl_context=target.tls(),
        )
        self._write_api: Any = self._client.write_api(write_options=SYNCHRONOUS)
        self._most_lines = MOST_LINES
        self._newest: dict[Quantity, Newest] = {}

    def close(self) -> None:
        """Let go of the connections."""
        self._reader.close()
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
        place = places(known, merged)
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
                    self._reader.window(
                        quantity,
                        int(day.time_ms.min()),
                        int(day.time_ms.max()) + 1,
                        names if len(names) <= FEW_DEVICES else None,
                    )
                )
            )
        return in_time_order(parts)

    def _newest_of(self, quantity: Quantity) -> Newest:
        found = self._newest.get(quantity)
        if found is None:
            now = self._now_ms()
            windows = [
                (now - 2 * DAY_MS, now - DAY_MS),
                (now - DAY_MS, now),
                (now, NANOSECONDS_END_MS),
            ]
            parts = [self._reader.last(quantity, start, stop) for start, stop in windows]
            found = self._newest[quantity] = Newest(now - 2 * DAY_MS, concatenate(parts))
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
            merge(standing(self._reader.window(quantity, start, stop, devices)))
            for start, stop in self._reader.windows(quantity, start_ms, stop_ms)
        ]
        whole = in_time_order(parts)
        if devices is None:
            return whole
        return merge(select(whole, start_ms=start_ms, stop_ms=stop_ms, devices=devices))

    def latest(self, quantity: Quantity, *, start_ms: int, stop_ms: int) -> Columns:
        """The newest reading of each device with `start_ms <= time_ms < stop_ms`."""
        parts = [
            self._reader.last(quantity, start, stop)
            for start, stop in self._reader.windows(quantity, start_ms, stop_ms)
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
            for event in self._reader.event_window(min(times), max(times) + 1)
        }

    def events(self, *, start_ms: int, stop_ms: int) -> list[StoredEvent]:
        """Fault reports with `start_ms <= time_ms < stop_ms`, by time, device and name."""
        return in_event_order(
            event
            for start, stop in self._reader.windows(None, start_ms, stop_ms)
            for event in standing_events(self._reader.event_window(start, stop))
        )

    def ping(self) -> None:
        """Return if the database is there and lets us in.

        Raises
        ------
        StoreAwayError, StoreDeniedError
        """
        self._reader.ping()


@dataclass(frozen=True, slots=True)
class _Refused:
    """Lines `start .. stop` that the server would not take, and why."""

    start: int
    stop: int
    text: str
    said: str


def _writable(quantity: Quantity, columns: Columns) -> tuple[Columns, list[tuple[str, str]]]:
    """The readings that can be written, and the others as JSON with the reason."""
    try:
        _check(quantity, columns)
    except UnwritableError:
        return _one_by_one(quantity, columns)
    return columns, []


def _check(quantity: Quantity, columns: Columns) -> None:
    check_writable(quantity, columns)
    if np.any(np.abs(columns.time_ms) > NANOSECONDS_END_MS):
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
