"""A small city in a ledger of its own: sixty luminaires, three tunnels, counters, faults."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient

from analytics.findings import CauseKind, FindingKind, Severity
from api.app import create_app
from api.assets import Asset, AssetKind
from api.clock import Clock
from api.findings import NamedFinding
from api.ledger import Ledger, open_ledger
from api.operations.states import LuminaireState
from api.services import Health, Services
from api.settings import HttpSettings, Settings
from ingest.devices import DeviceEntry, Registry
from ingest.reading import Decoded, Flag, Quantity
from ingest.stores import Columns
from ingest.stores.memory import MemoryStore

NOW_MS = 1_795_378_800_000  # Sunday 2026-11-22 21:20 in Helsingborg
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
TOKEN = "demo-token-for-tests-only-0123456789"  # noqa: S105 - opens nothing real


@dataclass(frozen=True)
class Street:
    """A straight segment of lamps."""

    name: str
    area: str
    lat: float
    lon: float
    step_lat: float
    step_lon: float
    lamps: int
    feeder: str


STREETS = (
    Street("Drottninggatan", "Söder", 56.0440, 12.6950, 0.00030, 0.00025, 12, "F-11"),
    Street("Hästmöllegatan", "Högaborg", 56.0395, 12.7040, 0.00012, 0.00050, 10, "F-12"),
    Street("Regementsvägen", "Drottninghög", 56.0640, 12.7290, 0.00028, 0.00030, 14, "F-21"),
    Street("Vasatorpsvägen", "Dalhem", 56.0655, 12.7460, -0.00020, 0.00045, 12, "F-22"),
    Street("Larmvägen", "Fredriksdal", 56.0560, 12.7180, 0.00025, -0.00035, 12, "F-31"),
)
TUNNELS = ("Dalhemstunneln", "Vasatunneln", "Fredriksdalstunneln")


def assets() -> list[Asset]:
    """What stands in the street."""
    found: list[Asset] = []
    for street in STREETS:
        for n in range(street.lamps):
            name = f"{street.feeder}-{n + 1:02d}"
            found.append(
                Asset(
                    device_id=f"hbg-{name}".lower(),
                    luminaire_id=f"HBG-{name}",
                    site=street.name,
                    segment=street.name,
                    segment_order=n + 1,
                    feeder=street.feeder,
                    cabinet=f"C{street.feeder[2]}",
                    gateway="gw-1" if street.feeder < "F-20" else "gw-2",
                    lat=round(street.lat + n * street.step_lat, 6),
                    lon=round(street.lon + n * street.step_lon, 6),
                    nominal_illuminance_lx=12.0,
                    area=street.area,
                )
            )
    for n, name in enumerate(TUNNELS):
        lat, lon = 56.0610 - 0.004 * n, 12.7380 - 0.009 * n
        found.append(
            Asset(f"tunnel-{n + 1}", name, AssetKind.TUNNEL, site=name, feeder="F-41",
                  cabinet="C4", gateway="gw-2", lat=lat, lon=lon, area="Dalhem",
                  location_category="tunnel", place_kind="tunnel")
        )  # fmt: skip
        found.append(
            Asset(f"counter-{n + 1}", f"counter-{n + 1}", AssetKind.COUNTER, site=name,
                  lat=lat + 0.0004, lon=lon + 0.0004, area="Dalhem")
        )  # fmt: skip
    return found


def finding(
    asset: Asset,
    kind: FindingKind,
    *,
    cause: tuple[CauseKind, str] | None = None,
    days: float = 1.5,
    confidence: float = 0.97,
    severity: Severity = Severity.MAJOR,
    note: str = "",
    evidence: dict[str, float] | None = None,
) -> NamedFinding:
    """One finding on one luminaire."""
    cause_kind, cause_id = cause or (CauseKind.LUMINAIRE, asset.luminaire_id)
    start_ms = NOW_MS - int(days * DAY_MS)
    return NamedFinding(
        kind=kind,
        device_id=asset.device_id,
        luminaire_id=asset.luminaire_id,
        incident=f"{kind.value}:{cause_kind.value}:{cause_id}",
        cause_kind=cause_kind,
        cause_id=cause_id,
        start_ms=start_ms,
        end_ms=None,
        raised_ms=min(start_ms + 12 * HOUR_MS, NOW_MS - HOUR_MS),
        severity=severity,
        confidence=confidence,
        note=note,
        evidence=evidence or {},
        simulated=True,
    )


def findings(stands: list[Asset]) -> list[NamedFinding]:
    """One feeder, five in a row, a single lamp, a tunnel, a stuck sensor, a silent device."""
    by_feeder = {f: [a for a in stands if a.feeder == f] for f in ("F-11", "F-21", "F-22", "F-31")}
    dark = {"dark_share": 0.99, "level": 0.01, "daylight": 1.02}
    supply = (CauseKind.FEEDER, "F-22")
    row = (CauseKind.SEGMENT, "Regementsvägen")
    tunnel = next(a for a in stands if a.device_id == "tunnel-1")
    return [
        *(
            finding(a, FindingKind.SUPPLY_LOSS, cause=supply, days=0.1, severity=Severity.URGENT,
                    note="12 of 12 luminaires on feeder F-22 lost their supply within 40 s.")
            for a in by_feeder["F-22"]
        ),
        *(
            finding(a, FindingKind.LAMP_FAILURE, cause=row, days=0.9, severity=Severity.URGENT,
                    note="5 in a row dark for 13 h.", evidence=dark)
            for a in by_feeder["F-21"][4:9]
        ),
        finding(by_feeder["F-11"][3], FindingKind.LAMP_FAILURE, days=3.5, evidence=dark,
                note="0.1 lx at 22:00, 11.8 lx the week before; neighbours unchanged."),
        finding(tunnel, FindingKind.LAMP_FAILURE, days=0.6, evidence=dark,
                note="Dark day and night since Sunday 07:10."),
        finding(by_feeder["F-31"][7], FindingKind.SENSOR_STUCK,
                cause=(CauseKind.SENSOR, "HBG-F-31-08"),
                days=6, severity=Severity.MINOR, note="37.0 lx without change for 6 days."),
        finding(by_feeder["F-11"][9], FindingKind.COMMUNICATION_FAILURE, days=2,
                severity=Severity.MINOR, note="Nothing heard for 48 h; 143 readings expected."),
    ]  # fmt: skip


def counts(store: MemoryStore) -> None:
    """Eight weeks of hourly passages: commuting peaks by weekday, evenings at the weekend."""
    rng = np.random.default_rng(20261122)
    hours = np.arange(56 * 24)
    time_ms = NOW_MS // HOUR_MS * HOUR_MS - (hours[::-1] + 1) * HOUR_MS
    local = (time_ms // HOUR_MS + 1) % 24
    weekend = ((time_ms // DAY_MS + 3) % 7) >= 5
    for n in range(len(TUNNELS)):
        peaks = np.exp(-((local - 8) ** 2) / 3) + 1.2 * np.exp(-((local - 16.5) ** 2) / 6)
        quiet = 0.35 * np.exp(-((local - 14) ** 2) / 18)
        usual = (70 - 18 * n) * np.where(weekend, quiet, peaks) + 0.4
        value = rng.poisson(usual).astype(np.float64)
        store.add(
            Quantity.PEOPLE_COUNT,
            Columns(
                device=np.zeros(len(hours), dtype=np.int32),
                time_ms=time_ms.astype(np.int64),
                value=value,
                received_ms=time_ms.astype(np.int64) + 2000,
                flags=np.full(len(hours), int(Flag.SIMULATED), dtype=np.uint8),
                device_ids=[f"counter-{n + 1}"],
            ),
        )


def seeded_ledger(where: Path) -> Ledger:
    """A ledger with the city, its states, and a work order for each cause."""
    ledger = open_ledger(where, allow_simulated=True)
    stands = assets()
    ledger.put_assets(stands, now_ms=NOW_MS - 30 * DAY_MS)
    found = findings(stands)
    silent = {f.device_id for f in found if f.kind is FindingKind.COMMUNICATION_FAILURE}
    faulty = {f.device_id for f in found} - silent
    states = {a.device_id: LuminaireState.OK for a in stands if a.kind is not AssetKind.COUNTER}
    states |= dict.fromkeys(faulty, LuminaireState.FAULTY)
    states |= dict.fromkeys(silent, LuminaireState.UNKNOWN)
    states |= {"hbg-f-12-03": LuminaireState.PLANNED, "hbg-f-12-04": LuminaireState.PLANNED}
    ledger.reconcile(found, now_ms=NOW_MS - HOUR_MS // 2, states=states, settled=True)
    return ledger


class KeptInMemory:
    """Takes what is handed in, and forgets it with itself."""

    def __init__(self) -> None:
        self.registry = Registry([DeviceEntry(asset.device_id) for asset in assets()])
        self.kept: list[Decoded] = []

    def keep(self, decoded: Sequence[Decoded]) -> None:
        self.kept += decoded


def seeded_services(
    folder: Path, *, demo: bool = False, ledger: Ledger | None = None, **settings: object
) -> Services:
    """Services over the small city, or over a ledger that has it already.

    With `demo`, its door on loopback stands open.
    """
    store = MemoryStore()
    counts(store)
    balance = {"received": 120_000, "stored": 119_400, "in_journal": 500, "duplicate": 90,
               "quarantined": 10, "refused": 0, "rejected": {"range": 8, "type": 2}}  # fmt: skip
    return Services(
        settings=Settings(data_dir=folder, http=HttpSettings(), **settings),  # type: ignore[arg-type]
        clock=Clock(start_ms=NOW_MS, speed=1.0),
        ledger=ledger or seeded_ledger(folder / "ops.db"),
        store=store,
        counters=lambda: balance,
        health=lambda: {"ledger": Health(ok=True, needed=True), "broker": Health(ok=True)},
        hand_in=KeptInMemory(),
        demo_token=TOKEN if demo else "",
        secret=b"cursor-secret-of-the-tests-0123456789",
    )


def client_over(services: Services, *, host: str = "127.0.0.1") -> TestClient:
    """A client on this machine, or with another `host` elsewhere."""
    return TestClient(
        create_app(services),
        base_url="http://127.0.0.1",
        client=(host, 50_000),
        raise_server_exceptions=False,
        follow_redirects=False,
    )
