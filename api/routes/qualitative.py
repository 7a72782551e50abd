"""What people saw and said of an intervention: notes, inspections, their files, the whole pack."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Response, UploadFile, status
from pydantic import BaseModel, Field, field_validator
from starlette.datastructures import UploadFile as SentFile

from api.interventions import (
    FACTORS,
    Note,
    NoteFile,
    NoteKind,
    Phase,
    factor_lines,
    pack_requirements,
)
from api.ledger.note_files import NoteFiles
from api.reports.intervention import measured_words, pack_page
from api.routes.footfall import FILES
from api.routes.interventions import Language, Planner, as_day, notes_of, records
from api.routes.repeats import Repeatable
from api.routes.shapes import In, ListOf, Text, moment
from api.services import ServiceDep, Services

router = APIRouter(prefix="/api/v1/interventions", tags=["interventions"], route_class=Repeatable)
BINARY: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/octet-stream": {}, "image/jpeg": {}, "application/pdf": {}},
        "description": "The file",
    }
}


class NoteIn(In):
    """A dialogue, an inspection of the eight factors, a survey."""

    phase: str
    kind: str
    day: str = Field(max_length=10)
    text: Annotated[Text, Field(max_length=20_000)] = ""
    scores: dict[str, Annotated[int, Field(ge=1, le=5)]] = Field(default={}, max_length=8)
    remarks: dict[str, Annotated[Text, Field(max_length=4000)]] = Field(default={}, max_length=8)

    @field_validator("phase")
    @classmethod
    def _phase(cls, text: str) -> str:
        return Phase(text).value

    @field_validator("kind")
    @classmethod
    def _kind(cls, text: str) -> str:
        return NoteKind(text).value

    @field_validator("day")
    @classmethod
    def _day(cls, text: str) -> str:
        as_day(text)
        return text

    @field_validator("scores", "remarks")
    @classmethod
    def _factors(cls, given: dict[str, Any]) -> dict[str, Any]:
        if not {*given} <= {str(f.number) for f in FACTORS}:
            raise ValueError("factors are numbered 1 to 8")
        return given


class FileOut(BaseModel):
    """A photo or document of a note."""

    id: int
    href: str
    name: str
    media_type: str
    size: int
    sha256: str
    author: str
    at: str | None


class NoteOut(BaseModel):
    """What a person noted."""

    id: int
    phase: str
    kind: str
    day: str
    text: str
    scores: dict[str, int]
    remarks: dict[str, str]
    author: str
    files: list[FileOut]


def file_out(intervention_id: int, one: NoteFile) -> FileOut:
    """As it is sent."""
    return FileOut(
        id=one.id,
        href=f"/api/v1/interventions/{intervention_id}/files/{one.id}",
        name=one.name,
        media_type=one.media_type,
        size=one.size,
        sha256=one.sha256,
        author=one.author,
        at=moment(one.created_ms),
    )


def note_out(one: Note) -> NoteOut:
    """As it is sent."""
    return NoteOut(
        id=one.id,
        phase=one.phase.value,
        kind=one.kind.value,
        day=str(one.day),
        text=one.text,
        scores={str(k): v for k, v in one.scores.items()},
        remarks={str(k): v for k, v in one.remarks.items()},
        author=one.author,
        files=[file_out(one.intervention_id, f) for f in one.files],
    )


def kept_note(services: Services, intervention_id: int, wanted: NoteIn, *, author: str) -> Note:
    """A note put into the ledger; used by the API and by the page alike."""
    return records(services).add_note(
        intervention_id,
        phase=Phase(wanted.phase),
        kind=NoteKind(wanted.kind),
        day=as_day(wanted.day),
        text=wanted.text,
        scores={int(k): v for k, v in wanted.scores.items()},
        remarks={int(k): v for k, v in wanted.remarks.items()},
        author=author,
        now_ms=services.clock.now_ms(),
    )


def kept_file(
    services: Services, intervention_id: int, note_id: int, file: SentFile, *, author: str
) -> NoteFile:
    """An uploaded file put beside its note; used by the API and by the page alike."""
    return NoteFiles(services.ledger.database).attach(
        intervention_id,
        note_id,
        file.filename or "",
        file.file.read(),
        author=author,
        now_ms=services.clock.now_ms(),
    )


@router.get("/{intervention_id:int}/notes")
def notes(intervention_id: int, services: ServiceDep, principal: Planner) -> ListOf[NoteOut]:
    """What people noted, day by day, with the files of each note."""
    del principal
    records(services).get(intervention_id)
    return ListOf(items=[note_out(one) for one in notes_of(services, intervention_id)])


@router.post("/{intervention_id:int}/notes", status_code=status.HTTP_201_CREATED)
def add_note(
    intervention_id: int, wanted: NoteIn, services: ServiceDep, principal: Planner
) -> NoteOut:
    """Add a dialogue, an inspection or a survey, before or after."""
    return note_out(kept_note(services, intervention_id, wanted, author=principal.name))


@router.post(
    "/{intervention_id:int}/notes/{note_id:int}/files", status_code=status.HTTP_201_CREATED
)
def attach_file(
    intervention_id: int,
    note_id: int,
    file: UploadFile,
    services: ServiceDep,
    principal: Planner,
) -> FileOut:
    """Attach a photo or a document; a photo is encoded anew, without place, camera and owner."""
    kept = kept_file(services, intervention_id, note_id, file, author=principal.name)
    return file_out(intervention_id, kept)


@router.get("/{intervention_id:int}/files/{file_id:int}", response_class=Response, responses=BINARY)
def file_of(
    intervention_id: int, file_id: int, services: ServiceDep, principal: Planner
) -> Response:
    """The bytes of a file. Only photos are shown in the browser, everything else is saved."""
    del principal
    found, content = NoteFiles(services.ledger.database).content(intervention_id, file_id)
    how = "inline" if found.media_type.startswith("image/") else "attachment"
    named = f"{how}; filename*=UTF-8''{quote(found.name)}"
    return Response(content, media_type=found.media_type, headers={"Content-Disposition": named})


@router.delete("/{intervention_id:int}/files/{file_id:int}", status_code=status.HTTP_204_NO_CONTENT)
def remove_file(
    intervention_id: int, file_id: int, services: ServiceDep, principal: Planner
) -> Response:
    """Take a file away that should not be there; not one that a frozen result was made with."""
    NoteFiles(services.ledger.database).remove(intervention_id, file_id)
    services.ledger.audit(
        actor=principal.name,
        action="intervention_file_removed",
        subject=f"{intervention_id}/{file_id}",
        now_ms=services.clock.now_ms(),
    )
    return Response(status_code=status.HTTP_204_NO_CONTENT)


@router.get("/{intervention_id:int}/pack")
def pack(
    intervention_id: int, services: ServiceDep, principal: Planner, lang: Language = "sv"
) -> dict[str, Any]:
    """The evaluation pack: what it must hold, the eight factors, what people noted."""
    del principal
    one = records(services).get(intervention_id)
    found = notes_of(services, intervention_id)
    wanted = pack_requirements(one, found)
    lines = factor_lines(one, found, measured=measured_words(one, lang), lang=lang)
    return {
        "required": one.needs_pack,
        "requirements": [{"key": r.key, "done": r.done} for r in wanted],
        "complete": all(r.done for r in wanted),
        "factors": [
            {
                "number": line.factor.number,
                "name": line.factor.sv if lang == "sv" else line.factor.en,
                "aimed_at": line.aimed_at,
                "measured": line.measured,
                "before": line.before,
                "after": line.after,
                "remarks": list(line.remarks),
            }
            for line in lines
        ],
        "notes": [note_out(n) for n in found],
    }


@router.get("/{intervention_id:int}/page", response_class=Response, responses=FILES)
def page(
    intervention_id: int, services: ServiceDep, principal: Planner, lang: Language = "sv"
) -> Response:
    """The pack as a printable page."""
    del principal
    one = records(services).get(intervention_id)
    text = pack_page(one, notes_of(services, intervention_id), lang)
    return Response(text, media_type="text/html; charset=utf-8")
