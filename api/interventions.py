"""Interventions in places: what they are, which factors they aim at, what their pack must hold."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

__all__ = [
    "FACTORS",
    "PACK_ABOVE_SEK",
    "Factor",
    "FactorLine",
    "Intervention",
    "InterventionKind",
    "Note",
    "NoteFile",
    "NoteKind",
    "Phase",
    "Requirement",
    "Status",
    "WalkPoint",
    "factor_lines",
    "pack_requirements",
    "qualitative",
]

# The action plan asks for a qualitative follow-up of place projects above this.
PACK_ABOVE_SEK = 1_000_000
NOT_MEASURED = {"sv": "ej mätt av sensor", "en": "not measured by a sensor"}


class InterventionKind(StrEnum):
    """What is done."""

    LIGHTING = "lighting"
    TUNNEL = "tunnel"
    PLACEMAKING = "placemaking"
    SOCIAL = "social"
    UPKEEP = "upkeep"
    OTHER = "other"


class Status(StrEnum):
    """Where it stands on a given day."""

    PLANNED = "planned"
    RUNNING = "running"
    ENDED = "ended"
    CANCELLED = "cancelled"


class Phase(StrEnum):
    """Before or after."""

    BEFORE = "before"
    AFTER = "after"


class NoteKind(StrEnum):
    """What a person brings that no sensor does."""

    DIALOGUE = "dialogue"
    INSPECTION = "inspection"
    SURVEY = "survey"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Factor:
    """One of the eight factors of the city's action plan.

    Attributes
    ----------
    number : int
        1 to 8.
    sv, en : str
    measured_by : str
        "footfall", "lighting", "repair_time" (a stand-in, said to be one) or "" for no sensor.
    """

    number: int
    sv: str
    en: str
    measured_by: str = ""


FACTORS = (
    Factor(1, "omhändertagna miljöer", "cared-for surroundings", "repair_time"),
    Factor(2, "befolkade platser", "populated places", "footfall"),
    Factor(3, "överblickbarhet", "overview"),
    Factor(4, "belysning", "lighting", "lighting"),
    Factor(5, "säkerhetsåtgärder", "security measures"),
    Factor(6, "samhörighet", "belonging"),
    Factor(7, "identitet och rykte", "identity and reputation"),
    Factor(8, "information", "information"),
)


@dataclass(frozen=True, slots=True)
class Intervention:
    """One intervention, as recorded.

    Attributes
    ----------
    sites : tuple of str
        Counted places it treats.
    start, end : date
        First day; day on which a temporary test was ended (None: to stay).
    band : str
        Hours the hypothesis is about; see `api.planning.evaluation.EvaluationPlan`.
    factors : tuple of int
        Which of the eight it aims at.
    plan : mapping or None
        Expected evaluation with its minimum detectable effect, computed before the start.
    result : mapping or None
        Frozen evaluation; never changed once there.
    result_sha256 : str
        Of the frozen data.
    """

    id: int
    version: int
    title: str
    kind: InterventionKind
    sites: tuple[str, ...]
    area: str
    start: date
    end: date | None
    cancelled: bool
    band: str
    hypothesis: str
    factors: tuple[int, ...]
    budget_sek: float | None
    budget_account: str
    maintenance_plan: str
    yearly_operating_cost_sek: float | None
    labels: tuple[str, ...]
    exclude: tuple[str, ...]
    near: tuple[str, ...]
    plan: Mapping[str, Any] | None
    plan_ms: int | None
    result: Mapping[str, Any] | None
    result_ms: int | None
    result_sha256: str
    published_ms: int | None
    created_by: str
    created_ms: int

    def status(self, today: date) -> Status:
        """Where it stands on a day."""
        if self.cancelled:
            return Status.CANCELLED
        if today < self.start:
            return Status.PLANNED
        return Status.ENDED if self.end is not None and today >= self.end else Status.RUNNING

    @property
    def needs_pack(self) -> bool:
        """Whether the plan demands the qualitative follow-up."""
        return self.budget_sek is not None and self.budget_sek > PACK_ABOVE_SEK


@dataclass(frozen=True, slots=True)
class NoteFile:
    """A photo or document that belongs to a note; its bytes come from `NoteFiles.content`.

    Attributes
    ----------
    size : int
        Bytes.
    sha256 : str
        Of the bytes as they are kept.
    """

    id: int
    note_id: int
    name: str
    media_type: str
    size: int
    sha256: str
    author: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class Note:
    """What people saw or said: a dialogue, an inspection of the eight factors, a survey.

    Attributes
    ----------
    scores : mapping of int to int
        Factor to 1 (poor) .. 5 (good), as a person judged it on the spot; may be empty.
    files : tuple of NoteFile
        Photos and documents attached to it.
    """

    id: int
    intervention_id: int
    phase: Phase
    kind: NoteKind
    day: date
    text: str
    scores: Mapping[int, int]
    remarks: Mapping[int, str]
    author: str
    created_ms: int
    files: tuple[NoteFile, ...] = ()


@dataclass(frozen=True, slots=True)
class WalkPoint:
    """One observation of a safety walk, and the luminaire it is about where one is near."""

    id: int
    walk: str
    day: date
    lat: float | None
    lon: float | None
    text: str
    device_id: str
    distance_m: float | None


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing the pack must hold, and whether it does."""

    key: str
    done: bool


def pack_requirements(one: Intervention, notes: Sequence[Note]) -> list[Requirement]:
    """What the pack of a project above 1 MSEK must hold; empty below.

    The plan demands the qualitative part: sensors alone never make it complete.
    """
    if not one.needs_pack:
        return []

    def noted(kind: NoteKind, phase: Phase) -> bool:
        return any(n.kind is kind and n.phase is phase for n in notes)

    def inspected(phase: Phase) -> bool:
        scored = {f for n in notes if n.kind is NoteKind.INSPECTION and n.phase is phase
                  for f in n.scores}  # fmt: skip
        return scored >= {f.number for f in FACTORS}

    return [
        Requirement("dialogue_before", noted(NoteKind.DIALOGUE, Phase.BEFORE)),
        Requirement("inspection_before", inspected(Phase.BEFORE)),
        Requirement("evaluation_plan", one.plan is not None),
        Requirement("dialogue_after", noted(NoteKind.DIALOGUE, Phase.AFTER)),
        Requirement("inspection_after", inspected(Phase.AFTER)),
        Requirement("frozen_result", one.result is not None),
        Requirement("maintenance_plan", bool(one.maintenance_plan.strip())),
        Requirement("yearly_operating_cost", one.yearly_operating_cost_sek is not None),
    ]


@dataclass(frozen=True, slots=True)
class FactorLine:
    """One factor in a report.

    Attributes
    ----------
    measured : str
        What sensors say, or that they say nothing. Never a guess.
    before, after : int or None
        Median of the people's scores.
    """

    factor: Factor
    aimed_at: bool
    measured: str
    before: float | None
    after: float | None
    remarks: tuple[str, ...] = field(default=())


def factor_lines(
    one: Intervention,
    notes: Sequence[Note],
    *,
    measured: Mapping[str, str],
    lang: str,
) -> list[FactorLine]:
    """The eight factors: what sensors measured of each, and how people judged it.

    Parameters
    ----------
    measured : mapping of str to str
        Words for "footfall", "lighting" and "repair_time" where there is something to say.
    lang : str
        "sv" or "en".
    """
    lines: list[FactorLine] = []
    for factor in FACTORS:
        said = measured.get(factor.measured_by, "") if factor.measured_by else ""
        own = [n for n in notes if n.remarks.get(factor.number)]
        lines.append(
            FactorLine(
                factor,
                factor.number in one.factors,
                said or NOT_MEASURED[lang],
                middle_score(notes, factor.number, Phase.BEFORE),
                middle_score(notes, factor.number, Phase.AFTER),
                tuple(n.remarks[factor.number] for n in own),
            )
        )
    return lines


def middle_score(notes: Sequence[Note], factor: int, phase: Phase) -> float | None:
    """Median score of a factor in a phase; None where nobody judged it."""
    scores = sorted(n.scores[factor] for n in notes if n.phase is phase and factor in n.scores)
    if not scores:
        return None
    half = len(scores) // 2
    return float(scores[half] if len(scores) % 2 else (scores[half - 1] + scores[half]) / 2)


def qualitative(notes: Sequence[Note]) -> dict[str, Any]:
    """What people noted, as it is frozen with a result: every note and file, and a fingerprint.

    Returns
    -------
    dict
        `notes`, `files` (with the SHA-256 of each) and `sha256` over all of them.
    """
    plain: dict[str, Any] = {
        "notes": [
            {
                "id": n.id,
                "phase": n.phase.value,
                "kind": n.kind.value,
                "day": str(n.day),
                "text": n.text,
                "scores": {str(k): v for k, v in sorted(n.scores.items())},
                "remarks": {str(k): v for k, v in sorted(n.remarks.items())},
                "author": n.author,
            }
            for n in notes
        ],
        "files": [
            {"note": n.id, "name": f.name, "size": f.size, "sha256": f.sha256}
            for n in notes
            for f in n.files
        ],
    }
    text = json.dumps(plain, ensure_ascii=False, sort_keys=True)
    return {**plain, "sha256": hashlib.sha256(text.encode()).hexdigest()}
