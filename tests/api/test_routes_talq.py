"""A TALQ gateway's log report goes into the journal as every other message does."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.hand_in import HandIn
from api.services import Services
from ingest.devices import DeviceEntry, Registry
from ingest.journal import Journal, JournalReader
from ingest.reading import Flag

Acting = Callable[..., TestClient]
URL = (
    "/log-reports?clientAddress=5e5b1e8e-7a5b-4a8e-9f3e-1f2d3c4b5a69"
    "&talqRequestId=0f8fad5b-d9cb-469f-a165-70867728950e"
)
TIME = "2026-11-22T16:31:00Z"
TIME_MS = 1_795_365_060_000


@pytest.fixture
def journal(services: Services, tmp_path: Path) -> Generator[Journal]:
    journal = Journal(
        tmp_path / "journal.db",
        quota_bytes=10**8,
        now_ms=services.clock.now_ms,
        min_free_bytes=0,
    )
    registry = Registry([DeviceEntry("lamp-1"), DeviceEntry("lamp-2")])
    services.hand_in = HandIn(
        journal, registry=lambda: registry, now_ms=services.clock.now_ms, insist_s=0.05
    )
    yield journal
    journal.close()


@pytest.fixture
def reader(journal: Journal) -> Generator[JournalReader]:
    reader = JournalReader(journal.path)
    yield reader
    reader.close()


def event(device: str, **more: Any) -> dict[str, Any]:
    data = {"type": "EventLogData", "srcAddress": device, "eventType": "lampFailure", **more}
    return {"data": {"timestamp": TIME, **data}}


def light(device: str, lux: float, **more: Any) -> dict[str, Any]:
    data = {"type": "AttributeLogData", "srcAddress": device, "attributeName": "lightLevel"}
    value = {"type": "AttributeFloat", "value": lux}
    return {"data": {"timestamp": TIME, **data, "attributeValue": value, **more}}


def report(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"address": "logger", "entries": list(entries)}


def lux_of(reader: JournalReader) -> list[tuple[str, int, float]]:
    columns = reader.tail("illuminance_lx", 0, 2**60)
    devices = [columns.device_ids[at] for at in columns.device.tolist()]
    return list(zip(devices, columns.time_ms.tolist(), columns.value.tolist(), strict=True))


def test_a_report_is_in_the_journal_when_it_is_answered_and_once(
    reader: JournalReader, acting: Acting
) -> None:
    one = acting("operator")
    body = report(event("lamp-1/1", startEndFlag=True, info=""), light("lamp-2/2", 7.4))
    first, again = (one.post(URL, json=body) for _ in range(2))
    assert [(a.status_code, a.json()) for a in (first, again)] == [(201, []), (201, [])]
    assert lux_of(reader) == [("lamp-2", TIME_MS, 7.4)]
    [(_, told)] = reader.events()
    assert (told.device_id, told.time_ms, told.event, told.active) == (
        *("lamp-1", TIME_MS, "lamp_failure", True),
    )
    counters = reader.counters()
    assert (counters.received, counters.in_journal, counters.other["messages"]) == (2, 2, 1)
    assert counters.balanced


def test_another_report_under_the_same_id_and_no_report_are_refused(
    reader: JournalReader, acting: Acting
) -> None:
    one = acting("operator")
    assert one.post(URL, json=report(light("lamp-1", 1.0))).status_code == 201
    assert one.post(URL, json=report()).status_code == 422
    other = URL.replace("0f8fad5b", "1f8fad5b")
    assert one.post(other, content=b"no").status_code == 400
    assert reader.counters().received == 1


def test_entries_that_cannot_be_used_are_told_and_the_others_stand(
    reader: JournalReader, acting: Acting
) -> None:
    body = report(
        light("lamp-1", 1e9),
        light("lamp-1", 3.0),
        light("nobody", 3.0),
        light("lamp-1", 4.0, timestamp="2300-01-01T00:00:00Z"),
    )
    answer = acting("operator").post(URL, json=body)
    assert answer.status_code == 201
    assert [(p["entry"], p["reason"]) for p in answer.json()] == [
        *((0, "range"), (2, "unknown_device"), (3, "time")),
    ]
    assert lux_of(reader) == [("lamp-1", TIME_MS, 3.0)]
    assert reader.counters().balanced


def test_an_entry_without_a_time_is_dated_when_it_came_and_says_so(
    services: Services, reader: JournalReader, acting: Acting
) -> None:
    entry = light("lamp-1", 3.0)
    del entry["data"]["timestamp"]
    before_ms = services.clock.now_ms()
    assert acting("operator").post(URL, json=report(entry)).status_code == 201
    columns = reader.tail("illuminance_lx", 0, 2**60)
    [time_ms] = columns.time_ms.tolist()
    assert before_ms <= time_ms <= services.clock.now_ms()
    assert columns.flags.tolist() == [Flag.TIME_REPLACED]


def test_a_full_journal_is_told_and_the_same_report_is_taken_when_there_is_room(
    journal: Journal, reader: JournalReader, acting: Acting
) -> None:
    one = acting("operator")
    body = report(light("lamp-1", 3.0))
    journal.quota_bytes = 0
    refused = one.post(URL, json=body)
    assert refused.status_code == 503
    assert "quota" in refused.json()["detail"]
    assert reader.counters().received == 0
    journal.quota_bytes = 10**8
    assert one.post(URL, json=body).status_code == 201
    assert lux_of(reader) == [("lamp-1", TIME_MS, 3.0)]


def test_where_no_collector_runs_reports_are_refused(services: Services, acting: Acting) -> None:
    services.hand_in = None
    assert acting("operator").post(URL, json=report()).status_code == 503
