"""`export`, `backup`, `restore`, `migrate`, `import-readings`, `quarantine`, `retention`."""

import asyncio
import json
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from api.errors import BadInputError, NotFoundError

if TYPE_CHECKING:
    from api.datadir import DataDir
    from api.settings import Settings
    from ingest.journal import Journal, JournalReader, QuarantinedMessage
    from ingest.shipper import Shipper
    from ingest.stores import SeriesStore

__all__ = ["reading_store", "register"]

DataOption = Annotated[
    Path | None, typer.Option("--data", help="Data folder; else as the settings say.")
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="Settings in TOML.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable.")]
FirstDay = "2020-01-01"


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    app.command("export")(export)
    app.command("backup")(backup)
    app.command("restore")(restore_command)
    app.command("migrate")(migrate_command)
    app.command("import-readings")(import_command)
    app.command("retention")(retention)
    quarantine = typer.Typer(
        help="Messages nobody could read: look at them, and try them again.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    quarantine.command("list")(quarantine_list)
    quarantine.command("show")(quarantine_show)
    quarantine.command("replay")(quarantine_replay)
    app.add_typer(quarantine, name="quarantine")


def export(
    out: Annotated[Path, typer.Option(help="File to write.")],
    quantity: Annotated[
        str, typer.Option(help="A quantity (illuminance_lx, people_in, ...), or events.")
    ],
    start: Annotated[
        str, typer.Option("--from", help="First day or moment (UTC unless it names a zone).")
    ] = FirstDay,
    stop: Annotated[
        str, typer.Option("--to", help="Day or moment that is outside; default: everything.")
    ] = "",
    form: Annotated[
        str, typer.Option("--format", help="csv, parquet, jsonl, or lp for line protocol.")
    ] = "",
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write readings or fault reports into a file, also while the program runs."""
    from api.keeping.exporting import FORMATS, export_events, export_readings
    from api.progress import TextProgress
    from ingest.reading import Quantity

    form = form or out.suffix.lstrip(".")
    if form not in FORMATS:
        raise BadInputError(
            f"{form or 'a name without ending'!r} is no format",
            remedy=f"Give --format one of {', '.join(FORMATS)}.",
        )
    if quantity != "events" and quantity not in {one.value for one in Quantity}:
        raise BadInputError(
            f"{quantity!r} is no quantity",
            remedy=f"Give --quantity events or one of {', '.join(one.value for one in Quantity)}.",
        )
    start_ms, stop_ms = _window(start, stop)
    progress = TextProgress(sys.stderr)
    with reading_store(_settings(config, data)) as store:

        def told(done: int, total: int) -> None:
            progress.advance("export", f"{quantity}: day {done} of {total}", done, total)

        if quantity == "events":
            rows = export_events(
                store, start_ms=start_ms, stop_ms=stop_ms, form=form, out=out, told=told
            )
        else:
            rows = export_readings(
                store,
                Quantity(quantity),
                start_ms=start_ms,
                stop_ms=stop_ms,
                form=form,
                out=out,
                told=told,
            )
    _say(as_json, f"{rows} rows in {out}", rows=rows, out=str(out))


def backup(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy everything the program keeps, also while it runs."""
    from api.keeping.backup import back_up
    from api.progress import TextProgress

    settings = _settings(config, data)
    progress = TextProgress(sys.stderr)
    manifest = back_up(
        settings.data_dir,
        folder,
        now_ms=_now_ms(),
        told=lambda what: progress.step("backup", what),
    )
    if not settings.ledger_url.startswith("sqlite"):
        progress.step("ledger", "the ledger is in PostgreSQL: back it up with pg_dump")
    if settings.store.kind == "influx":
        progress.step("store", "sent readings are in InfluxDB: back them up with `influx backup`")
    rows = sum(mark["rows"] for mark in manifest["contents"].values())
    text = f"{len(manifest['files'])} files with {rows} readings and fault reports in {folder}"
    _say(as_json, text, files=len(manifest["files"]), rows=rows, contents=manifest["contents"])


def restore_command(
    folder: Annotated[Path, typer.Argument(help="What `ljusvakt backup` has made.")],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a backup into an empty data folder and check it; the program must not run there."""
    from api.keeping.backup import restore
    from api.progress import TextProgress

    settings = _settings(config, data)
    progress = TextProgress(sys.stderr)
    manifest = restore(folder, settings.data_dir, told=lambda what: progress.step("restore", what))
    rows = sum(mark["rows"] for mark in manifest["contents"].values())
    taken = datetime.fromtimestamp(manifest["taken_ms"] / 1000, UTC).isoformat(timespec="seconds")
    text = f"restored {rows} readings and fault reports of {taken} into {settings.data_dir}"
    _say(as_json, text, rows=rows, taken=taken, contents=manifest["contents"])


def migrate_command(
    to: Annotated[str, typer.Option(help="Address of InfluxDB, http://host:8086.")],
    bucket: Annotated[str, typer.Option(help="Bucket or database; must exist.")] = "",
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Carry the embedded archive to InfluxDB; token and organisation come from the settings."""
    from dataclasses import replace

    from api.keeping.doctor import influx_target
    from api.keeping.migrate import migrate
    from api.progress import TextProgress
    from ingest.stores.influx import InfluxStore

    if urlsplit(to).scheme not in {"http", "https"} or not urlsplit(to).hostname:
        raise BadInputError(
            f"--to {to!r} is no address of InfluxDB", remedy="Write http://host:8086."
        )
    settings = _there(_settings(config, data))
    target = replace(influx_target(settings), url=to, bucket=bucket or settings.store.influx_bucket)
    progress = TextProgress(sys.stderr)
    with _embedded(settings) as parts:
        asyncio.run(parts.shipper.drain())
        store = InfluxStore(target, now_ms=_now_ms)
        try:
            store.ping()
            result = migrate(
                parts.archive(),
                store,
                name=f"{to}/{target.bucket}",
                watermark=parts.data.path / "migration.json",
                told=lambda what, done, total: progress.advance(
                    "migrate", f"{what}: day {done} of {total}", done, total
                ),
            )
        finally:
            store.close()
    text = (
        f"{result.readings} readings of {result.days} days and {result.events} fault reports are "
        f"in {to}, counted and summed by device and day; {result.skipped} days were there before"
    )
    _say(as_json, text, **asdict(result))


def import_command(
    files: Annotated[list[Path], typer.Argument(help="CSV, Parquet or JSON Lines.")],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take files of readings or fault reports in, judged like messages; the same twice is once."""
    from api.progress import TextProgress
    from ingest.bulk import import_readings

    progress = TextProgress(sys.stderr)
    with _writing(_settings(config, data)) as parts:

        def told(file: Path, rows: int) -> None:
            progress.advance("import", f"{file.name}: {rows} rows", rows, rows)

        def make_room() -> None:
            asyncio.run(parts.shipper.drain())

        done = import_readings(
            files,
            parts.journal,
            parts.registry(),
            now_ms=_now_ms,
            make_room=make_room,
            told=told,
        )
        make_room()
        counters = parts.reader.counters()
    for file, line, why in done.problems:
        sys.stderr.write(f"{file}, line {line}: {why}\n")
    text = (
        f"{done.readings} readings and {done.events} fault reports of {done.rows} rows; "
        f"{done.quarantined} rows in quarantine, {done.refused} refused"
    )
    _say(as_json, text, **asdict(done), balance=counters.balance)


def retention(
    days: Annotated[
        int | None,
        typer.Option(help="Whole days to keep; default as the settings say.", min=1, max=36_500),
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove readings older than is kept; counts of people stay for ever."""
    from ingest.sealer import thin
    from ingest.stores.merging import DAY_MS
    from ingest.stores.parquet import ParquetStore, day_name

    settings = _there(_settings(config, data))
    if settings.store.kind == "influx":
        raise BadInputError(
            "readings are in InfluxDB", remedy="Set the retention period of its bucket instead."
        )
    keep = days or settings.store.retention_days
    before = _now_ms() // DAY_MS - keep
    # Safe beside a running program: whoever rewrites partitions takes the archive's own lock.
    gone = thin(ParquetStore(settings.data_dir / "archive"), before_day=before)
    removed = {name: [day_name(day) for day in of] for name, of in gone.items()}
    total = sum(len(of) for of in removed.values())
    _say(
        as_json,
        f"{total} days of single quantities before {day_name(before)} removed",
        before=day_name(before),
        removed=removed,
    )


def quarantine_list(
    search: Annotated[str, typer.Option(help="Part of topic, reason or detail.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 50,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Newest first: number, when it came, reason, topic, detail."""
    with _journal(_settings(config, data)) as reader:
        found = reader.quarantined(search, limit)
        kept = reader.counters().quarantined
    for message in found:
        if as_json:
            _print(json.dumps(_facts(message), ensure_ascii=False))
        else:
            when = datetime.fromtimestamp(message.received_ms / 1000, UTC)
            _print(
                f"{message.id:>8}  {when:%Y-%m-%d %H:%M:%S}  {message.reason:<18} "
                f"{_printable(message.topic)}  {_printable(message.detail)}"
            )
    if not as_json:
        _print(f"{len(found)} messages shown; {kept} readings count as quarantined")


def quarantine_show(
    number: Annotated[int, typer.Argument(help="As `quarantine list` gives it.")],
    raw: Annotated[bool, typer.Option(help="The bytes alone, as they came.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """One message, whole."""
    with _journal(_settings(config, data)) as reader:
        found = reader.quarantined("", 1, before_id=number + 1)
    if not found or found[0].id != number:
        raise NotFoundError(
            f"there is no message {number} in the quarantine",
            remedy="`ljusvakt quarantine list` gives their numbers.",
        )
    (message,) = found
    if raw:
        sys.stdout.buffer.write(message.payload)
        sys.stdout.flush()
    elif as_json:
        body = {"payload": message.payload.decode("utf-8", "replace"), "hex": message.payload.hex()}
        _print(json.dumps(_facts(message) | body, ensure_ascii=False))
    else:
        for name, value in _facts(message).items():
            _print(f"{name:<10}{_printable(str(value))}")
        _print(_printable(message.payload.decode("utf-8", "replace")))


def quarantine_replay(
    search: Annotated[
        str, typer.Option(help="Only those with this in topic, reason, detail.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1)] = 1_000_000,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read quarantined messages again; what can be read now leaves the quarantine."""
    from ingest.bulk import readmit_rows
    from ingest.quarantine import readmit

    with _writing(_there(_settings(config, data))) as parts:
        registry = parts.registry()
        rows, of_rows = readmit_rows(
            parts.journal, registry, now_ms=_now_ms, search=search, limit=limit
        )
        again = readmit(parts.journal, parts.registry(), now_ms=_now_ms, search=search, limit=limit)
        asyncio.run(parts.shipper.drain())
    messages, readings = rows + again.messages, of_rows + again.readings
    left = ", ".join(f"{n} {reason}" for reason, n in sorted(again.left.items())) or "none"
    text = f"{messages} messages with {readings} readings taken in; left: {left}"
    _say(as_json, text, messages=messages, readings=readings, left=again.left)


# What the commands stand on


@dataclass
class _Parts:
    """The data folder, held by this process."""

    settings: "Settings"
    data: "DataDir"
    journal: "Journal"
    reader: "JournalReader"
    shipper: "Shipper"

    def registry(self) -> Any:
        """The known devices; whoever imports vouches for others."""
        from ingest.devices import Registry

        path = self.data.registry
        return Registry.load(path, enrol=True) if path.exists() else Registry(enrol=True)

    def archive(self) -> Any:
        """The embedded archive with the journal's tail."""
        from ingest.stores.parquet import ParquetStore

        return ParquetStore(self.data.archive, tail=self.reader)


@contextmanager
def _writing(settings: "Settings") -> Generator[_Parts]:
    """The data folder for this process alone, with what empties its journal."""
    from api.keeping.doctor import influx_target
    from ingest.shipper import StoreShipper
    from ingest.stores.influx import InfluxStore

    if settings.store.kind != "influx":
        with _embedded(settings) as parts:
            yield parts
        return
    with _held(settings) as (data, journal, reader), ExitStack() as stack:
        store = InfluxStore(influx_target(settings), now_ms=_now_ms)
        stack.callback(store.close)
        shipper = StoreShipper(journal, reader, store, now_ms=_now_ms)
        yield _Parts(settings, data, journal, reader, shipper)


@contextmanager
def _embedded(settings: "Settings") -> Generator[_Parts]:
    """The same with the Parquet archive, whatever the settings say."""
    from ingest.sealer import Sealer
    from ingest.stores.parquet import ParquetStore

    with _held(settings) as (data, journal, reader):
        archive = ParquetStore(data.archive, tail=reader)
        shipper = Sealer(journal, reader, archive, now_ms=_now_ms)
        yield _Parts(settings, data, journal, reader, shipper)


@contextmanager
def _held(settings: "Settings") -> Generator[tuple["DataDir", "Journal", "JournalReader"]]:
    from api.datadir import DataDir
    from ingest.journal import Journal, JournalReader

    with DataDir(settings.data_dir) as data, ExitStack() as stack:
        journal = Journal(
            data.journal,
            quota_bytes=settings.journal.quota_mb * 1_000_000,
            quarantine_bytes=settings.journal.quarantine_mb * 1_000_000,
            now_ms=_now_ms,
        )
        stack.callback(journal.close)
        reader = JournalReader(data.journal)
        stack.callback(reader.close)
        yield data, journal, reader


@contextmanager
def reading_store(settings: "Settings") -> Generator["SeriesStore"]:
    """The store for reading, beside a program that runs."""
    from api.keeping.doctor import influx_target
    from ingest.journal import JournalReader
    from ingest.stores.parquet import ParquetStore

    with ExitStack() as stack:
        if settings.store.kind == "influx":
            from ingest.stores.influx import InfluxStore

            influx = InfluxStore(influx_target(settings), now_ms=_now_ms)
            stack.callback(influx.close)
            yield influx
            return
        journal = _there(settings).data_dir / "journal.db"
        reader = None
        if journal.exists():
            reader = JournalReader(journal)
            stack.callback(reader.close)
        yield ParquetStore(settings.data_dir / "archive", tail=reader)


@contextmanager
def _journal(settings: "Settings") -> Generator["JournalReader"]:
    from ingest.journal import JournalReader

    journal = settings.data_dir / "journal.db"
    if not journal.exists():
        raise BadInputError(f"there is no journal {journal}", remedy="Name the folder with --data.")
    reader = JournalReader(journal)
    try:
        yield reader
    finally:
        reader.close()


def _settings(config: Path | None, data: Path | None) -> "Settings":
    from api.settings import load_settings

    return load_settings(config, overrides=None if data is None else {"data_dir": data})


def _there(settings: "Settings") -> "Settings":
    """The same settings, once their data folder was seen: only what takes data in makes one."""
    if not settings.data_dir.is_dir():
        raise BadInputError(
            f"there is no data folder {settings.data_dir}", remedy="Name it with --data."
        )
    return settings


def _now_ms() -> int:
    from api.clock import Clock

    return Clock().now_ms()


def _window(start: str, stop: str) -> tuple[int, int]:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    start_ms, stop_ms = _moment(start, "--from"), _moment(stop or tomorrow.isoformat(), "--to")
    if stop_ms <= start_ms:
        raise BadInputError(f"--to {stop} is not after --from {start}", remedy="Swap them.")
    return start_ms, stop_ms


def _moment(text: str, option: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(zoned.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise BadInputError(
            f"{option} {text!r} is no day or moment",
            remedy="Write 2026-03-01 or 2026-03-01T12:00:00Z.",
        ) from error


def _facts(message: "QuarantinedMessage") -> dict[str, Any]:
    return {
        "id": message.id,
        "received": datetime.fromtimestamp(message.received_ms / 1000, UTC).isoformat(),
        "topic": message.topic,
        "reason": message.reason,
        "detail": message.detail,
        "readings": message.readings,
        "bytes": len(message.payload),
    }


def _printable(text: str) -> str:
    """What devices sent, without what would steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _say(as_json: bool, text: str, **facts: Any) -> None:
    _print(json.dumps(facts, ensure_ascii=False, default=str) if as_json else text)
