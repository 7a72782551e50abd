from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from contracts.journaled import Journaled
from contracts.series_store import rows_of

from ingest.batch import BadMessage, Batch
from ingest.bulk import Imported, import_readings, readmit_rows
from ingest.devices import Registry
from ingest.errors import JournalFullError, Reason, UnreadableFileError
from ingest.reading import Flag, Quantity
from ingest.sealer import Sealer
from ingest.stores.merging import DAY_MS
from ingest.stores.parquet import ParquetStore, day_number

MIDNIGHT_MS = day_number("2026-03-01") * DAY_MS
NOW_MS = MIDNIGHT_MS + 3_600_000
FOREVER = {"start_ms": 0, "stop_ms": NOW_MS + 400 * DAY_MS}


class City(Journaled):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, lambda: NOW_MS)
        self.folder = folder
        self.store = ParquetStore(folder / "archive", tail=self.reader)

    def take(self, name: str, text: str | bytes, **more) -> Imported:
        file = self.folder / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return import_readings([file], self.journal, Registry(), now_ms=lambda: NOW_MS, **more)

    def rows(self, quantity: Quantity) -> list[tuple]:
        return [row[:3] for row in rows_of(self.store.columns(quantity, **FOREVER))]


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    city = City(tmp_path)
    yield city
    city.close()


def test_a_table_of_readings_is_taken_with_its_times_and_quantities(city: City) -> None:
    done = city.take(
        "a.csv",
        "device_id,time,received_time,illuminance_lx,people_in\n"
        "L-1,2026-03-01T00:00:00Z,2026-03-01T00:00:02Z,21.5,\n"
        "L-1,2026-03-01T01:10:00+01:00,,0,\n"
        "F-1,2026-03-01T00:00:00Z,,,7\n",
    )
    assert (done.rows, done.readings, done.quarantined) == (3, 3, 0)
    assert rows_of(city.store.columns(Quantity.ILLUMINANCE, **FOREVER)) == [
        ("L-1", MIDNIGHT_MS, 21.5, MIDNIGHT_MS + 2000, 0),
        ("L-1", MIDNIGHT_MS + 600_000, 0.0, NOW_MS, 0),
    ]
    assert city.rows(Quantity.PEOPLE_IN) == [("F-1", MIDNIGHT_MS, 7.0)]


def test_a_swedish_spreadsheet_is_read_as_it_is(city: City) -> None:
    text = "device_id;time;power_w\r\nL-1;2026-03-01T00:00:00Z;31,25\r\n"
    city.take("a.csv", text.encode("cp1252"))
    assert city.rows(Quantity.POWER) == [("L-1", MIDNIGHT_MS, 31.25)]
    report = "L-1;2026-03-01T00:00:00Z;lamp_failure;true;Tågaborg"
    city.take("e.csv", f"device_id;time;event;active;info\r\n{report}\r\n".encode("cp1252"))
    (event,) = city.store.events(**FOREVER)
    assert (event.event, event.active, event.info) == ("lamp_failure", True, "Tågaborg")


def test_parquet_and_json_lines_give_what_csv_gives(city: City) -> None:
    table = pa.table(
        {
            "device_id": ["L-1", "L-2"],
            "time": pa.array([MIDNIGHT_MS, MIDNIGHT_MS + 1], pa.timestamp("ms", "UTC")),
            "power_w": pa.array([30.5, None], pa.float32()),
            "lamp_status": pa.array([None, 4], pa.int32()),
        }
    )
    pq.write_table(table, city.folder / "a.parquet")
    import_readings([city.folder / "a.parquet"], city.journal, Registry(), now_ms=lambda: NOW_MS)
    city.take("b.jsonl", '{"device_id":"L-3","time":"2026-03-01T00:00:00Z","power_w":2}\n\n')
    assert city.rows(Quantity.POWER) == [("L-1", MIDNIGHT_MS, 30.5), ("L-3", MIDNIGHT_MS, 2.0)]
    assert city.rows(Quantity.LAMP_STATUS) == [("L-2", MIDNIGHT_MS + 1, 4.0)]


def test_rows_that_cannot_be_used_are_quarantined_with_line_and_reason_and_the_rest_is_taken(
    city: City,
) -> None:
    bad = {
        2: ("L-1,2026-03-01T00:00:00Z,-5", Reason.RANGE),
        3: ("L 1,2026-03-01T00:00:00Z,5", Reason.IDENTITY),
        4: ("L-1,2026-03-01 00:00,5", Reason.TIME),
        5: ("L-1,2026-03-01T00:00:00Z,five", Reason.TYPE),
        6: ("L-1,2026-03-01T00:00:00Z,1e999", Reason.RANGE),
        7: (",2026-03-01T00:00:00Z,5", Reason.IDENTITY),
        8: ("L-1,,5", Reason.TIME),
    }
    lines = [text for text, _ in bad.values()]
    done = city.take(
        "a.csv",
        "\n".join(["device_id,time,power_w", *lines, "L-1,2026-03-01T00:01:00Z,5"]) + "\n",
    )
    assert city.rows(Quantity.POWER) == [("L-1", MIDNIGHT_MS + 60_000, 5.0)]
    assert done.quarantined == 7
    assert [line for _, line, _ in sorted(done.problems)] == list(bad)
    kept = {m.detail.split(":")[0]: m.reason for m in city.reader.quarantined()}
    assert kept == {f"line {line}": reason.value for line, (_, reason) in bad.items()}
    counters = city.reader.counters()
    assert counters.balanced
    assert counters.received == 8


def test_unknown_values_are_no_readings(city: City) -> None:
    done = city.take(
        "a.csv",
        "device_id,time,illuminance_lx\nL-1,2026-03-01T00:00:00Z,-1\nL-1,2026-03-01T00:01:00Z,\n"
        "L-1,2026-03-01T00:02:00Z,65535\n",
    )
    assert (done.rows, done.readings, done.quarantined) == (3, 0, 0)
    assert city.reader.counters().skipped == 2


def test_old_readings_are_late_and_nights_long_settled_become_dirty(city: City) -> None:
    city.take("a.csv", "device_id,time,power_w\nL-1,2026-01-01T20:00:00Z,5\n")
    assert list(city.store.columns(Quantity.POWER, **FOREVER).flags) == [int(Flag.LATE)]
    Sealer(city.journal, city.reader, city.store, now_ms=lambda: NOW_MS)._drain()
    assert [(q, d) for q, d, _ in city.reader.dirty_days()] == [
        ("power_w", day_number("2026-01-01"))
    ]


def test_the_same_file_twice_changes_nothing(city: City) -> None:
    text = "device_id,time,power_w\n" + "".join(
        f"L-{n},2026-03-01T00:{n:02}:00Z,{n}\n" for n in range(50)
    )
    for _ in range(2):
        city.take("a.csv", text)
        Sealer(city.journal, city.reader, city.store, now_ms=lambda: NOW_MS)._drain()
    counters = city.reader.counters()
    assert (counters.received, counters.stored, counters.duplicate) == (100, 50, 50)


def test_columns_that_may_identify_people_stop_the_file(city: City) -> None:
    with pytest.raises(UnreadableFileError, match=r"'mac_address' may identify people"):
        city.take("a.csv", "device_id,time,mac_address\nL-1,2026-03-01T00:00:00Z,x\n")
    assert city.reader.counters().received == 0


def test_a_fault_report_that_names_a_phone_is_refused_and_counted(city: City) -> None:
    done = city.take(
        "e.jsonl",
        '{"device_id":"L-1","time":"2026-03-01T00:00:00Z","event":"lamp_failure",'
        '"info":"seen by 00:11:22:33:44:55"}\n',
    )
    assert (done.events, done.refused) == (0, 1)
    counters = city.reader.counters()
    assert (counters.refused, counters.balance) == (1, 0)
    assert city.reader.quarantined() == []


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "device,time\n", "no column device_id"),
        ("a.csv", "device_id,time,lux\n", "no quantity of ours: lux"),
        ("a.csv", "", "no column"),
        ("a.xls", "x", "not .csv"),
        ("a.parquet", "x", "not Parquet"),
        ("a.jsonl", "{\n", "line 1"),
    ],
)
def test_a_file_that_is_no_table_of_ours_is_named(
    city: City, name: str, text: str, says: str
) -> None:
    with pytest.raises(UnreadableFileError, match=says):
        city.take(name, text)


def test_a_missing_file_is_named(city: City) -> None:
    with pytest.raises(UnreadableFileError, match="nowhere"):
        import_readings(
            [city.folder / "nowhere.csv"], city.journal, Registry(), now_ms=lambda: NOW_MS
        )


def test_a_full_journal_hands_over_to_the_store_and_the_import_goes_on(city: City) -> None:
    rng = np.random.default_rng(5)
    lines = "".join(
        f"L-{n % 40},2026-02-{1 + n % 20:02}T0{n % 10}:{n % 60:02}:{n // 400 % 60:02}Z,"
        f"{rng.random() * 100:.3f}\n"
        for n in range(12_000)
    )
    city.journal.quota_bytes = city.journal.used_bytes + 200_000
    sealer = Sealer(city.journal, city.reader, city.store, now_ms=lambda: NOW_MS)
    with pytest.raises(JournalFullError):
        city.take("a.csv", "device_id,time,power_w\n" + lines)
    done = city.take("a.csv", "device_id,time,power_w\n" + lines, make_room=sealer._drain)
    sealer._drain()
    assert done.readings == 12_000
    counters = city.reader.counters()
    assert counters.balanced
    assert counters.in_journal == 0


def test_progress_is_told_after_every_commit(city: City) -> None:
    told: list[int] = []
    text = "device_id,time,power_w\n" + "L-1,2026-03-01T00:00:00Z,5\n" * 5001
    city.take("a.csv", text, told=lambda _file, rows: told.append(rows))
    assert told == [5000, 5001]


def test_what_a_store_refused_can_be_taken_in_again(city: City) -> None:
    lines = (
        "power_w,device=L-1 value=5.0,received_ms=7i,flags=1i 1772323200000\n"
        "power_w,device=L-2 value=6.0,received_ms=8i,flags=0i 1772323200000"
    )
    for topic, payload, readings in [
        ("store-refused/power_w", lines, 2),
        ("store-refused/power_w", "nonsense", 1),
        ("ljusvakt/v1/g/L-1/power_w", "{", 1),
        ("import/a.csv", '{"device_id":"L-3","time":"2026-03-01T00:00:00Z","power_w":"9"}', 1),
        ("import/a.csv", '{"device_id":"L-3","time":"never","power_w":"9"}', 1),
    ]:
        batch = Batch()
        batch.add_bad(
            BadMessage(NOW_MS, topic, payload.encode(), Reason.STORE_REFUSED, "", readings)
        )
        city.journal.commit(batch)
    out = readmit_rows(city.journal, Registry(), now_ms=lambda: NOW_MS)
    assert out == (2, 3)
    assert city.rows(Quantity.POWER) == [
        ("L-1", MIDNIGHT_MS, 5.0),
        ("L-2", MIDNIGHT_MS, 6.0),
        ("L-3", MIDNIGHT_MS, 9.0),
    ]
    counters = city.reader.counters()
    assert counters.balanced
    assert counters.quarantined == 3
    assert len(city.reader.quarantined()) == 3
