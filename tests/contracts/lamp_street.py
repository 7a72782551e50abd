"""A small street for ledger tests: forty luminaires on one feeder, findings about them."""

from analytics.findings import CauseKind, FindingKind, Severity
from api.assets import Asset
from api.findings import NamedFinding

__all__ = ["HOUR_MS", "NOW_MS", "finding", "street"]

NOW_MS = 1_795_000_000_000  # 2026-11-18, a Wednesday
HOUR_MS = 3_600_000


def street(n: int = 40, *, area: str = "Söder", cabinet: str = "C1", first: int = 1) -> list[Asset]:
    """Luminaires 30 m apart, ten on a segment, twenty on a feeder."""
    return [
        Asset(
            device_id=f"d{i}",
            luminaire_id=f"L{i}",
            site=f"{area} {i // 10}",
            segment=f"S{i // 10}",
            segment_order=i % 10,
            feeder=f"F{i // 20}",
            cabinet=cabinet,
            lat=56.03 + i * 0.00027,
            lon=12.7,
            area=area,
        )
        for i in range(first, first + n)
    ]


def finding(
    number: int,
    incident: str,
    *,
    kind: FindingKind = FindingKind.LAMP_FAILURE,
    start_ms: int = NOW_MS - 10 * HOUR_MS,
    end_ms: int | None = None,
    cause_kind: CauseKind = CauseKind.LUMINAIRE,
    cause_id: str = "",
    simulated: bool = False,
) -> NamedFinding:
    """A fault of luminaire `L<number>`."""
    return NamedFinding(
        kind=kind,
        device_id=f"d{number}",
        luminaire_id=f"L{number}",
        incident=incident,
        cause_kind=cause_kind,
        cause_id=cause_id or f"L{number}",
        start_ms=start_ms,
        end_ms=end_ms,
        raised_ms=NOW_MS - HOUR_MS,
        severity=Severity.MAJOR,
        confidence=0.97,
        note="0.1 lx while 12 lx are usual",
        evidence={"illuminance_lx": 0.1},
        simulated=simulated,
    )
