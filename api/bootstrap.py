"""Where things are made: settings into store, ledger, collector, rounds and app."""

import asyncio
import contextlib
import errno
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import Flag, auto

import structlog
import uvicorn

from analytics.rules import Rules
from api.alerting import Alerting
from api.app import create_app
from api.auth import first_link
from api.case_office import CaseOffice
from api.clock import Clock
from api.datadir import DataDir, kept_name, kept_secret
from api.errors import BadInputError
from api.hand_in import HandIn
from api.keeping.doctor import influx_target
from api.ledger import Ledger, open_ledger
from api.ledger.leader import Leader, claim_rounds
from api.operations.sla import load_policy
from api.services import Health, Services
from api.settings import Settings
from api.situation import SituationMaps, situation_health
from api.street.assets_registry import write_registry
from api.watch.arrivals import ArchiveArrivals, OverlapArrivals
from api.watch.evidence_picture import EvidencePicture
from api.watch.feature_store import FeatureStore
from api.watch.judging import Judge
from api.watch.rounds import Rounds, is_late, last_round_ms
from api.watch.rules_file import load_rules
from api.watch.urgency import JournalNews, StoreNews, Urgency
from ingest.broker import RunningBroker, open_broker
from ingest.collector import Collector
from ingest.devices import RegistryFile
from ingest.journal import Journal, JournalReader
from ingest.sealer import Sealer
from ingest.settings import CollectorSettings, MqttSettings, TlsSettings
from ingest.shipper import Shipper, StoreShipper
from ingest.sources.mqtt5 import Mqtt5Source
from ingest.sources.paho import PahoSource
from ingest.stores import SeriesStore
from ingest.stores.influx import InfluxStore
from ingest.stores.parquet import ParquetStore
from ingest.topics import FILTERS

__all__ = ["Part", "Platform", "bind", "open_platform"]

log = structlog.get_logger("ljusvakt")

STOP_COLLECTOR_S = 3.0
SWITCH_S = 0.0005
MINUTE_MS = 60_000
DAY_MS = 86_400_000


class Part(Flag):
    """What a process does."""

    COLLECT = auto()
    ROUNDS = auto()
    PAGES = auto()
    ALL = COLLECT | ROUNDS | PAGES


@dataclass
class Platform:
    """Everything one process holds open; what it does not do is None.

    Attributes
    ----------
    broker : RunningBroker or None
    journal, reader : Journal and JournalReader, or None
    store : SeriesStore
    shipper : Shipper or None
    collector : Collector or None
    subscribed : asyncio.Event or None
        Set once the collector hears: see `MqttSource`.
    ledger : Ledger or None
    rounds : Rounds or None
    services : Services or None
    """

    settings: Settings
    clock: Clock
    data: DataDir
    store: SeriesStore
    broker: RunningBroker | None = None
    journal: Journal | None = None
    reader: JournalReader | None = None
    shipper: Shipper | None = None
    collector: Collector | None = None
    subscribed: asyncio.Event | None = None
    ledger: Ledger | None = None
    leader: Leader | None = None
    rounds: Rounds | None = None
    alerting: Alerting | None = None
    cases: CaseOffice | None = None
    situation: SituationMaps | None = None
    services: Services | None = None
    hand_in: HandIn | None = None
    ran: bool = False

    def publish_registry(self) -> None:
        """Let ingest know the devices that stand in the ledger."""
        if self.ledger is not None:
            write_registry(self.ledger.assets(), self.data.registry)

    def first_sign_in(self, url: str) -> str:
        """A link that lets the first administrator choose a password; empty once there is one."""
        if self.ledger is None:
            return ""
        path = first_link(self.ledger, now_ms=self.clock.now_ms())
        return url.rstrip("/") + path if path else ""

    async def run(self, listener: socket.socket | None = None) -> None:
        """Do everything this process does until it is cancelled."""
        self.ran = True
        async with asyncio.TaskGroup() as tasks:
            if self.shipper is not None:
                tasks.create_task(self.shipper.run(), name="shipper")
            if self.collector is not None:
                tasks.create_task(self.collector.run(), name="collector")
            if self.rounds is not None:
                tasks.create_task(self.rounds.run(), name="rounds")
            if self.alerting is not None:
                tasks.create_task(self.alerting.run(), name="alerts")
            if self.cases is not None:
                tasks.create_task(self.cases.run(), name="cases")
            if self.situation is not None:
                tasks.create_task(self.situation.run(), name="situation maps")
            if self.services is not None and listener is not None:
                tasks.create_task(serve(self.services, listener), name="pages")


@asynccontextmanager
async def open_platform(
    settings: Settings,
    *,
    clock: Clock,
    parts: Part = Part.ALL,
    demo_token: str = "",
    rounds_from_ms: int | None = None,
    adopt: bool = False,
    told: Callable[[str, str], None] = lambda _name, _text: None,
) -> AsyncGenerator[Platform]:
    """Open what a process needs, in order; close it in reverse, whatever happens.

    Parameters
    ----------
    settings : Settings
    clock : Clock
    parts : Part
    demo_token : str
        Opens every role on loopback; findings of simulated devices become work orders then.
    rounds_from_ms : int, optional
        Nights before this are not judged where no round has been run yet; default a week back.
    adopt : bool
        Run rounds from this data folder from now on, though another was theirs.
    told : callable
        Name and text of each thing that has been opened.

    Raises
    ------
    BadInputError
        If settings do not fit together, or something cannot be opened.
    """
    _check_parts(settings, parts)
    async with AsyncExitStack() as stack:
        data = stack.enter_context(DataDir(settings.data_dir, shared=parts is not Part.ALL))
        platform = Platform(settings, clock, data, store=ParquetStore(data.archive))
        if Part.COLLECT in parts:
            platform.broker = await open_broker(
                settings.broker.url, data.broker, port=settings.broker.port
            )
            stack.push_async_callback(platform.broker.stop)
            told("broker", f"broker: {platform.broker.kind} on port {platform.broker.port}")
            for limit in platform.broker.limits:
                told("limit", f"  {limit}")
        _open_series(platform, parts, stack, told)
        if parts & (Part.ROUNDS | Part.PAGES):
            _open_ledger(platform, stack, demo_token)
            told("ledger", "ledger: assets, incidents, work orders")
        if platform.broker is not None and platform.journal is not None:
            source = _make_source(platform, platform.broker)
            platform.subscribed = source.subscribed
            platform.collector = Collector(
                source,
                platform.journal,
                registry=_registry(platform).current,
                now_ms=clock.now_ms,
                settings=CollectorSettings(stop_s=STOP_COLLECTOR_S),
            )
            platform.hand_in = HandIn(
                platform.journal, registry=_registry(platform).current, now_ms=clock.now_ms
            )
            told("collector", "collector: decode, judge, journal, acknowledge")
        if Part.ROUNDS in parts and platform.ledger is not None:
            if parts is not Part.ALL:
                _check_home(platform.ledger, data, adopt=adopt)
            platform.leader = Leader(platform.ledger.database)
            stack.callback(platform.leader.resign)
            platform.rounds = _make_rounds(
                platform, platform.ledger, platform.leader, rounds_from_ms
            )
            platform.alerting = Alerting(
                platform.ledger,
                settings,
                clock,
                may_send=platform.leader.leads,
                base_url=settings.http.address,
            )
            platform.situation = SituationMaps(
                platform.ledger,
                platform.store,
                settings,
                clock,
                folder=data.path / "situation",
                may_make=platform.leader.leads,
            )
            if settings.case_system.url:
                platform.cases = CaseOffice(
                    platform.ledger,
                    settings.case_system,
                    clock,
                    may_send=platform.leader.leads,
                )
        if Part.PAGES in parts and platform.ledger is not None:
            platform.services = _make_services(platform, platform.ledger, demo_token)
        yield platform
        if platform.collector is not None and platform.ran:
            await platform.collector.stop()


def _check_parts(settings: Settings, parts: Part) -> None:
    embedded = settings.ledger_url.startswith("sqlite")
    if parts is not Part.ALL and parts & (Part.ROUNDS | Part.PAGES) and embedded:
        raise BadInputError(
            "rounds and api as processes of their own need a ledger they can share",
            remedy="Set ledger.url to a PostgreSQL address, or use `ljusvakt run`.",
        )


def _check_home(ledger: Ledger, data: DataDir, *, adopt: bool) -> None:
    """Rounds as processes of their own share the folder that holds what they remember."""
    if not claim_rounds(ledger.database, kept_name(data.path / "folder-id"), adopt=adopt):
        raise BadInputError(
            f"the rounds of this ledger are kept in another data folder than {data.path}.",
            remedy="Share that folder; or, when it is lost, start once with `rounds --adopt`:"
            " what took weeks to see is then learned anew.",
        )


def _open_series(
    platform: Platform, parts: Part, stack: AsyncExitStack, told: Callable[[str, str], None]
) -> None:
    settings, data, now_ms = platform.settings, platform.data, platform.clock.now_ms
    if Part.COLLECT in parts or not data.journal.exists():
        journal = Journal(
            data.journal,
            quota_bytes=settings.journal.quota_mb * 1_000_000,
            quarantine_bytes=settings.journal.quarantine_mb * 1_000_000,
            now_ms=now_ms,
        )
        # Whoever comes first makes it: rounds and pages shall see what a later collector writes.
        if Part.COLLECT in parts:
            platform.journal = journal
            stack.callback(journal.close)
        else:
            journal.close()
    reader = platform.reader = JournalReader(data.journal)
    stack.callback(reader.close)
    told("journal", "journal: durable before anything is acknowledged")
    if settings.store.kind == "influx":
        influx = InfluxStore(influx_target(settings), now_ms=now_ms)
        stack.callback(influx.close)
        platform.store = influx
        if platform.journal is not None:
            platform.shipper = StoreShipper(platform.journal, reader, influx, now_ms=now_ms)
    else:
        archive = ParquetStore(data.archive, tail=reader)
        platform.store = archive
        if platform.journal is not None:
            platform.shipper = Sealer(
                platform.journal,
                reader,
                archive,
                now_ms=now_ms,
                retention_days=settings.store.retention_days,
            )
    told("store", f"store: {settings.store.kind}")


def _open_ledger(platform: Platform, stack: AsyncExitStack, demo_token: str) -> None:
    platform.ledger = open_ledger(
        platform.settings.ledger_url,
        policy=load_policy(platform.settings.ledger.policy),
        allow_simulated=bool(demo_token),
    )
    stack.callback(platform.ledger.close)
    platform.publish_registry()


def _make_source(platform: Platform, broker: RunningBroker) -> PahoSource | Mqtt5Source:
    settings = platform.settings.broker
    tls = TlsSettings(
        ca_file=settings.ca_file,
        crl_file=settings.crl_file,
        cert_file=settings.certificate_file,
        key_file=settings.key_file,
    )
    connection = MqttSettings(
        host=broker.host,
        port=broker.port,
        client_id=settings.client_id,
        filters=_filters(settings.groups),
        username=settings.username or None,
        password=settings.password.get_secret_value() or None,
        tls=tls if broker.tls else None,
        receive_max=settings.receive_maximum,
        protocol=broker.protocol,
    )
    return PahoSource(connection) if settings.source == "paho" else Mqtt5Source(connection)


def _registry(platform: Platform) -> RegistryFile:
    return RegistryFile(platform.data.registry, enrol=platform.settings.rounds.enrol or None)


def _filters(groups: list[str]) -> tuple[str, ...]:
    """All topics, or the native ones of these groups and whatever network servers send."""
    if not groups:
        return FILTERS
    native = tuple(f"ljusvakt/v1/{group}/+/+" for group in groups)
    return native + tuple(f for f in FILTERS if not f.startswith("ljusvakt/"))


def _with_arrivals(platform: Platform) -> ArchiveArrivals | OverlapArrivals:
    """The store, telling light rounds what came since the last one."""
    store, reader = platform.store, platform.reader
    if isinstance(store, ParquetStore) and reader is not None:
        return ArchiveArrivals(store, reader)
    return OverlapArrivals(store)


def _make_rounds(
    platform: Platform, ledger: Ledger, leader: Leader, rounds_from_ms: int | None
) -> Rounds:
    settings = platform.settings
    rules_file = settings.rounds.rules_file
    judge = Judge(
        ledger=ledger,
        store=_with_arrivals(platform),
        features=FeatureStore(platform.data.features),
        rules=load_rules(rules_file) if rules_file else Rules(),
        tz=settings.timezone,
        lat=settings.lat,
        lon=settings.lon,
        journal=platform.journal,
        reader=platform.reader,
    )
    week_ago_ms = platform.clock.now_ms() - 7 * DAY_MS
    return Rounds(
        clock=platform.clock,
        judge=judge,
        state_file=platform.data.rounds,
        start_ms=week_ago_ms if rounds_from_ms is None else rounds_from_ms,
        light_every_ms=settings.rounds.light_round_minutes * MINUTE_MS,
        may_run=leader.leads,
        term=lambda: leader.term,
        taken_over=judge.forget,
        urgency=_urgency(platform),
    )


def _urgency(platform: Platform) -> Urgency:
    """InfluxDB is told of a loss of supply when the journal has passed it on; then it is asked."""
    if platform.reader is None or platform.settings.store.kind == "influx":
        return Urgency(StoreNews(platform.store), platform.clock)
    return Urgency(JournalNews(platform.reader), platform.clock)


def _make_services(platform: Platform, ledger: Ledger, demo_token: str) -> Services:
    services = Services(
        settings=platform.settings,
        clock=platform.clock,
        ledger=ledger,
        store=platform.store,
        counters=lambda: _counters(platform),
        health=lambda: _health(platform),
        stale=lambda: is_late(_last_round_ms(platform), platform.clock),
        hand_in=platform.hand_in,
        demo_token=demo_token,
        secret=platform.settings.http.secret.get_secret_value().encode()
        or kept_secret(platform.data.path / "secret"),
    )
    services.picture = EvidencePicture(
        ledger,
        platform.store,
        platform.clock,
        platform.settings.timezone,
        services.assets,
    )
    return services


def _counters(platform: Platform) -> Mapping[str, object]:
    if platform.reader is None:
        return {}
    counts = platform.reader.counters()
    return {
        "received": counts.received,
        "stored": counts.stored,
        "in_journal": counts.in_journal,
        "duplicate": counts.duplicate,
        "quarantined": counts.quarantined,
        "refused": counts.refused,
        "skipped": counts.skipped,
        "rejected": counts.rejected,
        **counts.other,
    }


def _health(platform: Platform) -> Mapping[str, Health]:
    parts: dict[str, Health] = {}
    if platform.collector is not None:
        health = platform.collector.health
        detail = health.journal_error
        if not detail and not health.source.connected:
            detail = ": ".join(filter(None, ("not connected", health.source.last_error)))
        parts["collector"] = Health(not health.degraded, detail)
    if platform.shipper is not None:
        status = platform.shipper.status
        parts["store"] = Health(not status.error, status.error)
    if platform.ledger is not None:
        parts["rounds"] = _health_of_rounds(platform)
        parts["situation map"] = situation_health(
            platform.ledger, platform.settings, platform.clock.now_ms()
        )
    return parts


def _health_of_rounds(platform: Platform) -> Health:
    """Whoever runs them: those of another process leave in the folder when the last one was."""
    last_ms = _last_round_ms(platform)
    if last_ms is None:
        return Health(ok=False, detail=f"no rounds have been run with {platform.data.path}")
    late = is_late(last_ms, platform.clock)
    behind_ms = platform.clock.now_ms() - last_ms
    text = f"the last round was {behind_ms // MINUTE_MS} minutes ago" if late else ""
    return Health(not late, text)


def _last_round_ms(platform: Platform) -> int | None:
    if platform.rounds is not None:
        return platform.rounds.last_ms
    return last_round_ms(platform.data.rounds)


def bind(host: str, port: int) -> socket.socket:
    """Take the port before anything else is started.

    Raises
    ------
    BadInputError
        If it is taken, or the address is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol by name: asyncio switches Nagle's algorithm off only where it can read it, and
    # with it on each answer over a kept connection waits 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Listening already: no other may take the port, and who comes early waits.
        listener.listen(128)
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        why = "is in use" if taken else f"cannot be used: {error.strerror}"
        raise BadInputError(
            f"port {port} on {host} {why}",
            remedy="Stop what uses it, or choose another with --port or http.port.",
        ) from error
    return listener


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers: who started everything also ends it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals alone."""
        yield


async def serve(services: Services, listener: socket.socket) -> None:
    """Answer requests until cancelled."""
    # Rounds compute in a thread beside: an answer that asks for the interpreter after each of its
    # many short waits would get it 5 ms later each time.
    sys.setswitchinterval(SWITCH_S)
    server = _Server(
        uvicorn.Config(
            create_app(services),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
            h11_max_incomplete_event_size=64 * 1024,
        )
    )
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        services.closing.set()
        server.should_exit = True
        await serving
        raise
