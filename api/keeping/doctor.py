"""Tries every part the settings name, and says what is wrong and what to do."""

import shutil
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from api.datadir import DataDir
from api.errors import LjusvaktError
from api.ledger.base import Database
from api.settings import Settings
from ingest.broker import find_mosquitto
from ingest.errors import IngestError
from ingest.journal import JournalReader, check_journal
from ingest.reading import Quantity
from ingest.settings import parse_broker
from ingest.stores.influx import InfluxStore, InfluxTarget

__all__ = ["Check", "examine"]

LEAST_FREE_BYTES = 1_000_000_000
EARLIEST_MS = 1_577_836_800_000  # 2020-01-01: a machine that is earlier has no time


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried.

    Attributes
    ----------
    name : str
    ok : bool
    detail : str
        What was found.
    remedy : str
        What to do where it is not ok.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def examine(settings: Settings) -> list[Check]:
    """Try everything; one part that is broken hides no other."""
    tries: Iterable[tuple[str, Callable[[Settings], Check]]] = (
        ("clock", _clock),
        ("folder", _folder),
        ("disk", _disk),
        ("broker", _broker),
        ("journal", _journal),
        ("balance", _balance),
        ("store", _store),
        ("ledger", _ledger),
    )
    return [_tried(name, look, settings) for name, look in tries]


def _tried(name: str, look: Callable[[Settings], Check], settings: Settings) -> Check:
    try:
        return look(settings)
    except (LjusvaktError, IngestError, OSError, SQLAlchemyError) as error:
        remedy = error.remedy if isinstance(error, LjusvaktError) else ""
        return Check(name, ok=False, detail=str(error).splitlines()[0], remedy=remedy)


def _clock(_: Settings) -> Check:
    now_ms = time.time_ns() // 1_000_000
    shown = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(now_ms / 1000))
    return Check("clock", now_ms > EARLIEST_MS, shown, "Set the machine's clock (NTP).")


def _folder(settings: Settings) -> Check:
    folder = settings.data_dir
    if not folder.exists():
        return Check("folder", ok=True, detail=f"{folder} will be made")
    if DataDir(folder).unfinished.exists():
        why = f"a restore into {folder} did not finish"
        return Check("folder", False, why, "Run `ljusvakt restore` again with it.")
    probe = folder / ".doctor"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return Check("folder", False, f"{folder}: {error.strerror}", "Let this user write there.")
    return Check("folder", ok=True, detail=str(folder))


def _disk(settings: Settings) -> Check:
    place = next(
        p for p in (settings.data_dir, *settings.data_dir.absolute().parents) if p.exists()
    )
    free = shutil.disk_usage(place).free
    return Check(
        "disk", free > LEAST_FREE_BYTES, f"{free / 1e9:.1f} GB free", "Make room, or move the data."
    )


def _broker(settings: Settings) -> Check:
    choice = settings.broker.url
    if "://" not in choice:
        program = find_mosquitto()
        if program is None and choice == "mosquitto":
            return Check("broker", False, "mosquitto was not found", "Install mosquitto.")
        if program is None or choice == "amqtt":
            return Check("broker", ok=True, detail="amqtt, in this process: for trials only")
        return Check("broker", ok=True, detail=f"{program} will be started")
    host, port, _tls = parse_broker(choice)
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError as error:
        return Check(
            "broker",
            False,
            f"{host}:{port} does not answer: {error}",
            "Start the broker, or mend broker.url.",
        )
    return Check("broker", ok=True, detail=f"{host}:{port} answers")


def _journal_file(settings: Settings) -> Path:
    return settings.data_dir / "journal.db"


def _journal(settings: Settings) -> Check:
    path = _journal_file(settings)
    if not path.exists():
        return Check("journal", ok=True, detail="none yet")
    wrong = check_journal(path)
    if wrong:
        return Check("journal", False, "; ".join(wrong), "Restore it from a backup.")
    return Check("journal", ok=True, detail=f"{path.stat().st_size / 1e6:.1f} MB, whole")


def _balance(settings: Settings) -> Check:
    path = _journal_file(settings)
    if not path.exists():
        return Check("balance", ok=True, detail="nothing received yet")
    reader = JournalReader(path)
    try:
        counts = reader.counters()
    finally:
        reader.close()
    detail = (
        f"received {counts.received} = stored {counts.stored} + journal {counts.in_journal} "
        f"+ duplicate {counts.duplicate} + quarantined {counts.quarantined} "
        f"+ refused {counts.refused}"
    )
    if not counts.balanced:
        detail += f" + {counts.balance} unaccounted for"
    return Check("balance", counts.balanced, detail, "Report this with the journal: it is a fault.")


def _store(settings: Settings) -> Check:
    if settings.store.kind == "parquet":
        archive = settings.data_dir / "archive"
        return Check("store", ok=True, detail=f"parquet in {archive}")
    store = InfluxStore(influx_target(settings), now_ms=lambda: time.time_ns() // 1_000_000)
    try:
        now_ms = time.time_ns() // 1_000_000
        store.columns(Quantity.ILLUMINANCE, start_ms=now_ms - 1000, stop_ms=now_ms)
    finally:
        store.close()
    return Check("store", ok=True, detail=f"InfluxDB at {settings.store.influx_url} answers")


def influx_target(settings: Settings) -> InfluxTarget:
    """The InfluxDB the settings name."""
    return InfluxTarget(
        url=settings.store.influx_url,
        bucket=settings.store.influx_bucket,
        token=settings.store.influx_token.get_secret_value(),
        org=settings.store.influx_org,
        ca_file=settings.store.influx_ca_file,
    )


def _ledger(settings: Settings) -> Check:
    url = settings.ledger_url
    if url.startswith("sqlite") and not (settings.data_dir / "ops.db").exists():
        return Check("ledger", ok=True, detail="none yet")
    database = Database(url)
    try:
        with database.read() as session:
            session.connection()
    finally:
        database.close()
    kind = "SQLite" if url.startswith("sqlite") else "PostgreSQL"
    return Check("ledger", ok=True, detail=f"{kind} answers")
