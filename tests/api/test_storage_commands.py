import csv
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from contracts.journaled import batch_of, event_batch
from contracts.series_store import columns_of, rows_of
from typer.testing import CliRunner

from api.cli import app
from api.datadir import DataDir
from api.errors import BadInputError, LjusvaktError, NotFoundError
from api.keeping import backup as keeping
from api.keeping.backup import MANIFEST, back_up, contents_of, restore
from api.keeping.doctor import examine
from api.settings import Settings
from ingest.batch import BadMessage, Batch
from ingest.journal import Journal, JournalReader
from ingest.reading import Quantity
from ingest.sealer import Sealer
from ingest.stores import StoredEvent
from ingest.stores.lines import parse_reading
from ingest.stores.merging import DAY_MS
from ingest.stores.parquet import ParquetStore, day_number

pytestmark = pytest.mark.usefixtures("clean_environment")

MIDNIGHT_MS = day_number("2026-03-01") * DAY_MS
LUX = Quantity.ILLUMINANCE
ROWS = [
    ("-L-1", MIDNIGHT_MS, 23.4, MIDNIGHT_MS + 1500, 1),
    ("L-2", MIDNIGHT_MS + DAY_MS, 0.0, MIDNIGHT_MS + DAY_MS, 0),
    ("L-2", MIDNIGHT_MS + DAY_MS + 1, 5.0, MIDNIGHT_MS + DAY_MS, 0),
]
REPORT = StoredEvent("L-2", MIDNIGHT_MS, MIDNIGHT_MS, "lamp_failure", None, "=1+1, åäö")


class Data:
    """A data folder that is open like a running program's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.now = MIDNIGHT_MS + 5 * DAY_MS
        self.journal = Journal(
            path / "journal.db", quota_bytes=1 << 30, now_ms=lambda: self.now, synchronous="NORMAL"
        )
        self.reader = JournalReader(path / "journal.db")
        self.store = ParquetStore(path / "archive", tail=self.reader)
        self.sealer = Sealer(self.journal, self.reader, self.store, now_ms=lambda: self.now)

    def fill(self) -> None:
        """One day sealed, one in the journal, one fault report."""
        self.journal.commit(batch_of(LUX, columns_of(ROWS[:1])))
        self.journal.commit(event_batch([REPORT]))
        self.sealer._drain()
        self.journal.commit(batch_of(LUX, columns_of(ROWS[1:])))

    def close(self) -> None:
        self.reader.close()
        self.journal.close()


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Data]:
    data = Data(tmp_path / "data")
    data.fill()
    yield data
    data.close()


def run(*args: object) -> str:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def said(*args: object) -> dict:
    return json.loads(run(*args, "--json").splitlines()[-1])


def test_export_as_csv_holds_sealed_and_unsealed_readings_and_no_formula(
    data: Data, tmp_path: Path
) -> None:
    out = tmp_path / "a.csv"
    run("export", "--quantity", "illuminance_lx", "--out", out, "--data", data.path)
    with out.open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["device_id", "time", "received_time", "illuminance_lx", "flags"]
    assert rows[1] == ["'-L-1", "2026-03-01T00:00:00.000Z", "2026-03-01T00:00:01.500Z", "23.4", "1"]
    assert [row[3] for row in rows[1:]] == ["23.4", "0.0", "5.0"]


def test_b_export_of_fault_reports_as_csv_defuses_formulas(data: Data, tmp_path: Path) -> None:
    out = tmp_path / "e.csv"
    run("export", "--quantity", "events", "--out", out, "--data", data.path)
    with out.open(encoding="utf-8") as file:
        assert list(csv.reader(file))[1] == [
            "L-2",
            "2026-03-01T00:00:00Z",
            "2026-03-01T00:00:00Z",
            "lamp_failure",
            "",
            "'=1+1, åäö",
        ]


def test_export_takes_a_window_and_line_protocol(data: Data, tmp_path: Path) -> None:
    out = tmp_path / "a.lp"
    answer = said(
        *("export", "--quantity", "illuminance_lx", "--out", out, "--data", data.path),
        *("--from", "2026-03-02", "--to", "2026-03-02T00:00:00.001Z"),
    )
    (line,) = out.read_text().splitlines()
    assert answer["rows"] == 1
    assert rows_of(parse_reading(line)[1]) == [ROWS[1]]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_what_is_exported_can_be_imported_and_is_the_same(
    data: Data, tmp_path: Path, form: str
) -> None:
    for quantity in ("illuminance_lx", "events"):
        run(
            *("export", "--quantity", quantity, "--data", data.path),
            *("--out", tmp_path / f"{quantity}.{form}"),
        )
    other = tmp_path / "other"
    files = sorted(tmp_path.glob(f"*.{form}"))
    answer = said("import-readings", *files, "--data", other)
    assert (answer["readings"], answer["events"], answer["quarantined"]) == (3, 1, 0)
    assert answer["balance"] == 0
    store = ParquetStore(other / "archive")
    forever = {"start_ms": 0, "stop_ms": data.now}
    here, there = data.store.columns(LUX, **forever), store.columns(LUX, **forever)
    assert [row[:4] for row in rows_of(there)] == [row[:4] for row in rows_of(here)]
    (event,) = store.events(**forever)
    assert (event.event, event.active) == ("lamp_failure", None)


def test_exported_parquet_has_timestamps(data: Data, tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    run("export", "--quantity", "illuminance_lx", "--out", out, "--data", data.path)
    assert str(pq.read_schema(out).field("time").type) == "timestamp[ms, tz=UTC]"
    assert pq.read_table(out).num_rows == 3


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--quantity", "lux", "--out", "x.csv"], "no quantity"),
        (["--quantity", "power_w", "--out", "x.doc"], "no format"),
        (["--quantity", "power_w", "--out", "x.csv", "--from", "soon"], "no day"),
        (["--quantity", "power_w", "--out", "x.csv", "--from", "2026-01-02", "--to", "2026-01-01"],
         "not after"),
    ],
)  # fmt: skip
def test_an_export_that_cannot_be_is_refused_with_the_remedy(
    data: Data, args: list[str], says: str
) -> None:
    with pytest.raises(BadInputError, match=says):
        run("export", *args, "--data", data.path)


@pytest.mark.parametrize(
    "command",
    [
        ("export", "--quantity", "power_w", "--out", "x.csv"),
        ("backup", "backup"),
        ("migrate", "--to", "http://127.0.0.1:9"),
        ("retention", "--days", "30"),
        ("quarantine", "replay"),
    ],
    ids=lambda command: command[0],
)
def test_a_data_folder_that_is_not_there_is_named_and_not_made(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInputError, match="no data folder"):
        run(*command, "--data", tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("to", ["influx:8086", "ftp://influx", "http://", "nonsense"])
def test_migrating_to_what_is_no_address_is_refused(data: Data, to: str) -> None:
    with pytest.raises(BadInputError, match="no address of InfluxDB"):
        run("migrate", "--to", to, "--data", data.path)


def test_a_backup_comes_back_the_same(data: Data, tmp_path: Path) -> None:
    before = contents_of(data.path)
    (data.path / "registry.json").write_text("{}")
    taken = said("backup", tmp_path / "backup", "--data", data.path)
    assert taken["contents"] == before
    back = said("restore", tmp_path / "backup", "--data", tmp_path / "new")
    assert back["contents"] == before
    assert before["illuminance_lx"]["rows"] == 3
    assert before["events"]["rows"] == 1
    assert (tmp_path / "new" / "registry.json").read_text() == "{}"
    reader = JournalReader(tmp_path / "new" / "journal.db")
    assert reader.counters() == data.reader.counters()
    reader.close()


@pytest.mark.faults
def test_b08_a_backup_taken_while_readings_come_and_days_are_sealed_restores_to_its_checksum(
    data: Data, tmp_path: Path
) -> None:
    stop = threading.Event()
    rounds = [0]

    def live() -> None:
        while not stop.is_set() and rounds[0] < 2000:
            n = rounds[0] = rounds[0] + 1
            rows = [
                (f"L-{k}", MIDNIGHT_MS + (n % 5) * DAY_MS + n * 1000 + k, float(n % 7), n, 0)
                for k in range(20)
            ]
            data.journal.commit(batch_of(LUX, columns_of(rows)))
            if n % 3 == 0:
                data.sealer._drain()

    writer = threading.Thread(target=live)
    writer.start()
    try:
        moved = False
        for number in range(3):
            seen = rounds[0]
            back_up(data.path, tmp_path / f"backup{number}", now_ms=0)
            moved = moved or rounds[0] > seen
        assert moved, "nothing happened while the backups were taken"
    finally:
        stop.set()
        writer.join()
    for number in range(3):
        manifest = restore(tmp_path / f"backup{number}", tmp_path / f"new{number}")
        assert contents_of(tmp_path / f"new{number}") == manifest["contents"]
        again = Data.__new__(Data)
        path = tmp_path / f"new{number}"
        again.journal = Journal(path / "journal.db", quota_bytes=1 << 30, now_ms=lambda: data.now)
        again.reader = JournalReader(path / "journal.db")
        store = ParquetStore(path / "archive", tail=again.reader)
        Sealer(again.journal, again.reader, store, now_ms=lambda: data.now)._drain()
        assert again.reader.counters().balanced
        assert contents_of(path) == manifest["contents"]
        again.close()
    assert manifest["contents"]["illuminance_lx"]["rows"] > 3


def test_b08_a_damaged_backup_is_refused_and_nothing_is_restored(
    data: Data, tmp_path: Path
) -> None:
    back_up(data.path, tmp_path / "backup", now_ms=0)
    part = next((tmp_path / "backup").rglob("part.parquet"))
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(BadInputError, match=r"part\.parquet is missing or not what was backed up"):
        run("restore", tmp_path / "backup", "--data", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_b08_an_unfinished_backup_is_refused(data: Data, tmp_path: Path) -> None:
    back_up(data.path, tmp_path / "backup", now_ms=0)
    (tmp_path / "backup" / MANIFEST).unlink()
    with pytest.raises(BadInputError, match="no finished backup"):
        restore(tmp_path / "backup", tmp_path / "new")


def test_b08_a_manifest_that_names_files_elsewhere_is_refused(data: Data, tmp_path: Path) -> None:
    back_up(data.path, tmp_path / "backup", now_ms=0)
    path = tmp_path / "backup" / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["files"]["../evil"] = "0"
    path.write_text(json.dumps(manifest))
    with pytest.raises(BadInputError, match="outside"):
        restore(tmp_path / "backup", tmp_path / "new")


def test_b08_restoring_over_data_or_beside_a_running_program_is_refused(
    data: Data, tmp_path: Path
) -> None:
    back_up(data.path, tmp_path / "backup", now_ms=0)
    with pytest.raises(BadInputError, match="not empty"):
        restore(tmp_path / "backup", data.path)
    with DataDir(tmp_path / "busy"), pytest.raises(BadInputError, match="in use by process"):
        restore(tmp_path / "backup", tmp_path / "busy")


@pytest.mark.parametrize(
    "stopped_by", [OSError(28, "No space left on device"), KeyboardInterrupt()]
)
def test_b08_a_restore_that_was_cut_off_is_used_by_nobody_and_can_be_run_again(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped_by: BaseException
) -> None:
    taken = back_up(data.path, tmp_path / "backup", now_ms=0)
    new, copied = tmp_path / "new", keeping._copy_file

    def cut_off(source: Path, target: Path) -> None:
        if source.name == "journal.db":
            target.write_bytes(b"half")
            raise stopped_by
        copied(source, target)

    monkeypatch.setattr(keeping, "_copy_file", cut_off)
    expected = LjusvaktError if isinstance(stopped_by, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="No space left" if expected is LjusvaktError else None):
        restore(tmp_path / "backup", new)
    with pytest.raises(BadInputError, match="did not finish"), DataDir(new):
        pass
    found = {check.name: check for check in examine(Settings(data_dir=new))}
    assert not found["folder"].ok
    monkeypatch.setattr(keeping, "_copy_file", copied)
    assert restore(tmp_path / "backup", new) == taken
    with DataDir(new):
        assert contents_of(new) == taken["contents"]


def test_a_backup_into_a_folder_with_something_in_it_is_refused(data: Data) -> None:
    with pytest.raises(BadInputError, match="not empty"):
        run("backup", data.path, "--data", data.path)


def test_the_quarantine_can_be_listed_searched_shown_and_replayed(
    data: Data, tmp_path: Path
) -> None:
    batch = Batch()
    good = b'{"t": 1772323200000, "v": 31.0}'
    for topic, payload, reason in [
        ("ljusvakt/v1/g/L-9/power_w", good, "unknown_device"),
        ("ljusvakt/v1/g/L-9/\x1b[2Jpower_w", b"\x00{", "syntax"),
        (
            "import/a.csv",
            b'{"device_id":"L-8","time":"2026-03-01T00:00:00Z","power_w":"9"}',
            "type",
        ),
    ]:
        batch.add_bad(BadMessage(data.now, topic, payload, reason, "why"))
    data.journal.commit(batch)
    listed = run("quarantine", "list", "--data", data.path)
    assert "\x1b" not in listed
    assert "3 messages shown; 3 readings count as quarantined" in listed
    found = json.loads(
        run("quarantine", "list", "--search", "unknown", "--json", "--data", data.path)
    )
    shown = said("quarantine", "show", found["id"], "--data", data.path)
    assert bytes.fromhex(shown["hex"]) == good
    assert run("quarantine", "show", found["id"], "--raw", "--data", data.path) == good.decode()
    with pytest.raises(NotFoundError, match="no message 999"):
        run("quarantine", "show", 999, "--data", data.path)
    data.close()
    answer = said("quarantine", "replay", "--data", data.path)
    assert (answer["messages"], answer["readings"]) == (2, 2)
    store = ParquetStore(data.path / "archive")
    power = store.columns(Quantity.POWER, start_ms=0, stop_ms=data.now)
    assert [row[:3] for row in rows_of(power)] == [
        ("L-8", MIDNIGHT_MS, 9.0),
        ("L-9", MIDNIGHT_MS, 31.0),
    ]


def test_retention_removes_whole_old_days(data: Data) -> None:
    data.sealer._drain()
    answer = said("retention", "--days", "1", "--data", data.path)
    assert answer["removed"]["illuminance_lx"] == ["2026-03-01", "2026-03-02"]
    assert answer["removed"]["events"] == ["2026-03-01"]
    assert data.store.quantities() == []


@pytest.mark.parametrize("days", ["0", "-1", "36501", "999999999999", "all"])
def test_a_number_of_days_that_cannot_be_removes_nothing(data: Data, days: str) -> None:
    data.sealer._drain()
    before = contents_of(data.path)
    result = CliRunner().invoke(app, ["retention", "--days", days, "--data", str(data.path)])
    assert result.exit_code == 2
    assert contents_of(data.path) == before


def test_import_reports_bad_rows_and_takes_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(
        "device_id,time,power_w\nL-1,2026-03-01T00:00:00Z,5\nL-1,2026-03-01T00:01:00Z,-5\n"
    )
    result = CliRunner().invoke(app, ["import-readings", str(file), "--data", str(tmp_path / "d")])
    assert result.exit_code == 0
    assert "1 readings and 0 fault reports of 2 rows; 1 rows in quarantine" in result.stdout
    assert "a.csv, line 3: power_w of -5 is impossible" in result.stderr


def test_the_same_file_twice_stores_nothing_twice_and_quarantines_its_bad_rows_again(
    tmp_path: Path,
) -> None:
    file = tmp_path / "a.csv"
    file.write_text("device_id,time,power_w\nL-1,2026-03-01T00:00:00Z,5\nL-1,never,5\n")
    for _ in range(2):
        run("import-readings", file, "--data", tmp_path / "d")
    reader = JournalReader(tmp_path / "d" / "journal.db")
    counters = reader.counters()
    reader.close()
    assert (counters.stored, counters.duplicate, counters.quarantined) == (1, 1, 2)
    columns = ParquetStore(tmp_path / "d" / "archive").columns(
        Quantity.POWER, start_ms=0, stop_ms=2**60
    )
    assert columns.value.tolist() == [5.0]
