"""Citizens' reports: which luminaire is meant, which order has it, and what a sensor can answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from api.assets import Asset, AssetKind
from api.operations.extent import distance_m
from api.operations.states import LuminaireState, LuminaireStatus
from api.operations.work_orders import CLOSED, WorkOrderState

__all__ = [
    "DUPLICATE_MS",
    "DUPLICATE_WITHIN_M",
    "MATCH_WITHIN_M",
    "SERVICES",
    "Answer",
    "ExtendedStatus",
    "PlacedReport",
    "Service",
    "answer_of",
    "duplicate_of",
    "nearest",
    "needs_order",
    "public_status",
    "reply",
]

# See docs/operations.md for how these were chosen and what they cost.
MATCH_WITHIN_M = 35.0
DUPLICATE_WITHIN_M = 25.0
DUPLICATE_MS = 14 * 86_400_000


@dataclass(frozen=True, slots=True)
class Service:
    """A kind of report.

    Attributes
    ----------
    hazard : bool
        Danger by itself: an order is made whatever a sensor says.
    light : bool
        Whether it is about light, so that a sensor can answer.
    """

    code: str
    swedish: str
    english: str
    hazard: bool = False
    light: bool = True


SERVICES: dict[str, Service] = {
    s.code: s
    for s in (
        Service("lamp_out", "Lampa lyser inte", "Street light out"),
        Service("dark_area", "Flera lampor lyser inte", "Several street lights out"),
        Service("flickering", "Lampa blinkar", "Street light flickers"),
        Service("lit_by_day", "Lampa lyser på dagen", "Street light on by day"),
        Service("dim", "Lampa lyser svagt", "Street light dim"),
        Service(
            "damaged", "Skadad stolpe eller armatur", "Damaged column or luminaire", light=False
        ),
        Service(
            "danger",
            "Fara: öppen lucka, lösa kablar",
            "Danger: open hatch, loose cables",
            True,
            False,
        ),
    )
}


class ExtendedStatus(StrEnum):
    """What FixMyStreet-like readers understand beyond open and closed."""

    OPEN = "OPEN"
    INVESTIGATING = "INVESTIGATING"
    IN_PROGRESS = "IN_PROGRESS"
    ACTION_SCHEDULED = "ACTION_SCHEDULED"
    INTERNAL_REFERRAL = "INTERNAL_REFERRAL"
    FIXED = "FIXED"
    DUPLICATE = "DUPLICATE"
    NO_FURTHER_ACTION = "NO_FURTHER_ACTION"
    NOT_COUNCILS_RESPONSIBILITY = "NOT_COUNCILS_RESPONSIBILITY"


def public_status(
    state: WorkOrderState,
    *,
    waiting_for: str | None = None,
    rejection: str | None = None,
    owner: str = "",
    duplicate_of: int | None = None,
    verification: str | None = None,
) -> tuple[str, ExtendedStatus, str]:
    """Open311 status, extended status and note of a work order.

    FIXED is said of nothing but a proved repair, and whoever is told that it is not ours is told
    whose it is.
    """
    external = waiting_for == "third_party"
    proofs = {"light": "Verifierad av ljuset.", "photo": "Verifierad med foto."}
    rejections = {
        "not_ours": f"Sköts inte av kommunen utan av {owner}.",
        "intentional": "Släckt med avsikt.",
        "not_a_fault": "Inget fel hittades.",
    }
    s, e = WorkOrderState, ExtendedStatus
    table: dict[WorkOrderState, tuple[ExtendedStatus, str]] = {
        s.NEW: (e.OPEN, ""),
        s.REOPENED: (e.OPEN, ""),
        s.ASSIGNED: (e.INVESTIGATING, ""),
        s.STARTED: (e.IN_PROGRESS, ""),
        s.WAITING: (
            e.INTERNAL_REFERRAL if external else e.ACTION_SCHEDULED,
            "Väntar på annan part." if external else "Väntar på material.",
        ),
        s.DONE: (e.IN_PROGRESS, "Klarmarkerad; kontrolleras nästa mörker."),
        s.VERIFIED: (e.FIXED, proofs.get(verification or "", "Verifierad på plats.")),
        s.DUPLICATE: (e.DUPLICATE, f"Ingår i arbetsorder {duplicate_of}."),
        s.REJECTED: (
            e.NOT_COUNCILS_RESPONSIBILITY if rejection == "not_ours" else e.NO_FURTHER_ACTION,
            rejections.get(rejection or "", ""),
        ),
    }
    extended, note = table[state]
    return "closed" if state in CLOSED else "open", extended, note


def nearest(
    assets: Iterable[Asset], lat: float, lon: float, *, within_m: float = MATCH_WITHIN_M
) -> tuple[Asset, float] | None:
    """The luminaire nearest to a place and its distance [m]; None where none is near enough."""
    # A degree of latitude is 111 km anywhere: far ones need no trigonometry.
    window = within_m / 110_000
    found = [
        (distance_m(lat, lon, a.lat, a.lon), a.device_id, a)
        for a in assets
        if a.kind is not AssetKind.COUNTER
        and a.lat is not None
        and a.lon is not None
        and abs(a.lat - lat) <= window
    ]
    best = min(found, key=lambda item: item[:2], default=None)
    return (best[2], best[0]) if best and best[0] <= within_m else None


@dataclass(frozen=True, slots=True)
class PlacedReport:
    """A report as far as telling duplicates apart needs it."""

    id: int
    lat: float | None
    lon: float | None
    requested_ms: int
    luminaire_id: str | None = None


def duplicate_of(
    report: PlacedReport,
    earlier: Sequence[PlacedReport],
    *,
    within_m: float = DUPLICATE_WITHIN_M,
    within_ms: int = DUPLICATE_MS,
) -> PlacedReport | None:
    """The open report that says the same, whatever its category: the nearest, then the oldest.

    Parameters
    ----------
    report : PlacedReport
    earlier : sequence of PlacedReport
        Reports that are still open and are no duplicates themselves.
    """
    found: list[tuple[float, int, int, PlacedReport]] = []
    for other in earlier:
        if not 0 <= report.requested_ms - other.requested_ms <= within_ms:
            continue
        if report.luminaire_id is not None and report.luminaire_id == other.luminaire_id:
            found.append((0.0, other.requested_ms, other.id, other))
        elif (gap := apart_m(report, other)) is not None and gap <= within_m:
            found.append((gap, other.requested_ms, other.id, other))
    return min(found, key=lambda item: item[:3])[3] if found else None


def apart_m(a: PlacedReport, b: PlacedReport) -> float | None:
    """Distance between two reports [m]; None where a place is not known."""
    if a.lat is None or a.lon is None or b.lat is None or b.lon is None:
        return None
    return distance_m(a.lat, a.lon, b.lat, b.lon)


class Answer(StrEnum):
    """What the sensors say to a report."""

    KNOWN = "known"  # an open order has it already
    LIT = "lit"
    FAULTY = "faulty"
    SILENT = "silent"
    PLANNED = "planned"
    NO_LUMINAIRE = "no_luminaire"


def answer_of(status: LuminaireStatus | None, *, has_order: bool, found: bool) -> Answer:
    """What the sensors say of the luminaire a report means."""
    if has_order:
        return Answer.KNOWN
    if not found:
        return Answer.NO_LUMINAIRE
    if status is None:
        return Answer.SILENT
    return {
        LuminaireState.OK: Answer.LIT,
        LuminaireState.FAULTY: Answer.FAULTY,
        LuminaireState.UNKNOWN: Answer.SILENT,
        LuminaireState.PLANNED: Answer.PLANNED,
    }[status.state]


REPLIES = {
    Answer.KNOWN: "Felet är känt: arbetsorder {order}.",
    Answer.LIT: "Givaren såg senast att lampan lyste. Anmälan kontrolleras nästa mörker.",
    Answer.FAULTY: "Givaren ser också att lampan är trasig. En arbetsorder är skapad: {order}.",
    Answer.SILENT: "Lampan har ingen givare som svarar. En arbetsorder är skapad: {order}.",
    Answer.PLANNED: "Lampan är släckt med avsikt eller på grund av planerat arbete.",
    Answer.NO_LUMINAIRE: "Ingen av våra lampor står där. En arbetsorder för kontroll: {order}.",
}


def reply(answer: Answer, order_id: int | None) -> str:
    """The Swedish reply to whoever reported."""
    return REPLIES[answer].format(order=order_id)


def needs_order(answer: Answer, service: Service) -> bool:
    """Whether a report makes an order by itself: not where light is seen, or dark is intended."""
    if answer is Answer.KNOWN:
        return False
    return not service.light or answer not in {Answer.LIT, Answer.PLANNED}
