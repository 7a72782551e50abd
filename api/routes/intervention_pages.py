"""One intervention as a page: what it is, where it stands, what people noted, what can be done."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from api.auth import Needs, Principal, Role
from api.errors import BadInputError, ConflictError, NotFoundError
from api.i18n import Words
from api.interventions import (
    FACTORS,
    Intervention,
    InterventionKind,
    Note,
    NoteKind,
    Phase,
    Status,
    factor_lines,
    pack_requirements,
)
from api.ledger.note_files import MAX_FILES
from api.planning.stored_counts import counters_by_site
from api.reports.intervention import (
    KINDS_SV,
    REQUIREMENTS_SV,
    facts_of,
    measured_words,
    plan_sentence,
    result_sentence,
    score,
    size_words,
)
from api.routes.footfall import local_today, visible_counters
from api.routes.interventions import (
    AFTER_DAYS,
    InterventionIn,
    PublishIn,
    create,
    freeze,
    make_plan,
    notes_of,
    publish,
    records,
)
from api.routes.qualitative import NoteIn, kept_file, kept_note
from api.routes.rendering import new_key, page, words_of
from api.routes.repeats import Repeatable, Sent
from api.services import ServiceDep, Services

router = APIRouter(prefix="/planning/interventions", route_class=Repeatable)
Planner = Annotated[
    Principal, Depends(Needs(Role.PLANNER, Role.OPERATOR, Role.TESTER, Role.ADMIN, page=True))
]
STEPS = ("plan", "freeze", "publish", "withdraw")
SCORES = (1, 2, 3, 4, 5)
Refused = (BadInputError, ConflictError, NotFoundError)


@router.get("/new")
def new(request: Request, services: ServiceDep, principal: Planner) -> Response:
    """The form for a new intervention."""
    return form_page(request, services, principal)


def form_page(
    request: Request, services: Services, principal: Principal, *, refused: str = ""
) -> Response:
    """The form for a new intervention, perhaps with why the last one was not taken."""
    words = words_of(request)
    return page(
        request,
        "intervention_new.html",
        principal=principal,
        here="/planning",
        status=422 if refused else 200,
        refused=refused,
        sites=list(counters_by_site(visible_counters(services, principal))),
        kinds=[(kind.value, kind_words(words)[kind]) for kind in InterventionKind],
        accounts=list(account_words(words).items()),
        factors=[(f.number, f.sv if words.language == "sv" else f.en) for f in FACTORS],
        key=new_key(),
    )


@router.post("/new")
def record(request: Request, form: Sent, services: ServiceDep, principal: Planner) -> Response:
    """Record an intervention by the form."""
    try:
        made = create(intervention_of(form), services, principal)
    except (ValidationError, *Refused) as error:
        return form_page(request, services, principal, refused=reason_of(error, words_of(request)))
    return RedirectResponse(f"/planning/interventions/{made.id}", 303)


@router.get("/{intervention_id:int}")
def one(
    request: Request, intervention_id: int, services: ServiceDep, principal: Planner
) -> Response:
    """One intervention: its answer, its factors, what people noted, what can be done now."""
    return one_page(request, services, principal, intervention_id)


@router.post("/{intervention_id:int}")
def step(
    request: Request, intervention_id: int, form: Sent, services: ServiceDep, principal: Planner
) -> Response:
    """Make the plan, freeze the result, publish it, or take it back; or keep a note."""
    try:
        taken(str(form.get("action", "")), intervention_id, form, services, principal)
    except (ValidationError, *Refused) as error:
        refused = reason_of(error, words_of(request))
        return one_page(request, services, principal, intervention_id, refused=refused)
    return RedirectResponse(f"/planning/interventions/{intervention_id}", 303)


def taken(
    action: str, number: int, form: FormData, services: Services, principal: Principal
) -> None:
    """Do what a form asks for."""
    if action == "plan":
        make_plan(number, services, principal)
    elif action == "freeze":
        freeze(number, services, principal)
    elif action in {"publish", "withdraw"}:
        publish(number, PublishIn(published=action == "publish"), services, principal)
    elif action == "note":
        noted(number, form, services, principal)
    else:
        raise BadInputError("the form asks for something that does not exist.")


def noted(number: int, form: FormData, services: Services, principal: Principal) -> None:
    """Keep a note with its files: all of them, or nothing."""
    wanted = note_of(form)
    files = [f for f in form.getlist("files") if isinstance(f, UploadFile) and f.size]
    if not (wanted.text.strip() or wanted.scores or wanted.remarks or files):
        raise BadInputError("the note is empty.", remedy="Write, judge or attach something.")
    if len(files) > MAX_FILES:
        raise BadInputError(f"a note has at most {MAX_FILES} files.")
    database = services.ledger.database
    with database.write() as session, database.joined(session):
        kept = kept_note(services, number, wanted, author=principal.name)
        for file in files:
            kept_file(services, number, kept.id, file, author=principal.name)


def filled(form: FormData, name: str) -> str:
    """A text field; empty where it is not there."""
    value = form.get(name)
    return value.strip() if isinstance(value, str) else ""


def texts(form: FormData, name: str) -> list[str]:
    """All values of a field that may be given several times."""
    return [value for value in form.getlist(name) if isinstance(value, str) and value.strip()]


def note_of(form: FormData) -> NoteIn:
    """The note in a form."""
    numbers = [f.number for f in FACTORS]
    scores = {str(n): filled(form, f"score-{n}") for n in numbers if filled(form, f"score-{n}")}
    remarks = {str(n): filled(form, f"remark-{n}") for n in numbers if filled(form, f"remark-{n}")}
    if not all(value in {"1", "2", "3", "4", "5"} for value in scores.values()):
        raise BadInputError("factors are judged 1 to 5.")
    return NoteIn(
        phase=filled(form, "phase"),
        kind=filled(form, "kind"),
        day=filled(form, "day"),
        text=filled(form, "text"),
        scores={name: int(value) for name, value in scores.items()},
        remarks=remarks,
    )


def intervention_of(form: FormData) -> InterventionIn:
    """The intervention in a form."""
    return InterventionIn.model_validate(
        {
            "title": filled(form, "title"),
            "kind": filled(form, "kind"),
            "sites": texts(form, "sites"),
            "area": filled(form, "area"),
            "start": filled(form, "start"),
            "end": filled(form, "end") or None,
            "band": filled(form, "band"),
            "hypothesis": filled(form, "hypothesis"),
            "factors": [int(n) for n in texts(form, "factors") if n.isdecimal() and n.isascii()],
            "budget_sek": kronor(filled(form, "budget_sek")),
            "budget_account": filled(form, "budget_account") or "investering",
            "maintenance_plan": filled(form, "maintenance_plan"),
            "yearly_operating_cost_sek": kronor(filled(form, "yearly_operating_cost_sek")),
        }
    )


def kronor(text: str) -> float | None:
    """An amount as a Swede writes it: 1 200 000,50."""
    plain = "".join(text.split()).replace("\u2212", "-").replace(",", ".")
    if not plain:
        return None
    try:
        return float(plain)
    except ValueError as error:
        raise BadInputError(f"{text!r} is not an amount.") from error


def reason_of(error: Exception, words: Words) -> str:
    """Why something was not done, in a sentence."""
    if isinstance(error, ValidationError):
        names = ", ".join(dict.fromkeys(str(e["loc"][0]) for e in error.errors() if e["loc"]))
        return words.text("Something is missing or cannot be so: %s") % names
    if isinstance(error, BadInputError | ConflictError | NotFoundError):
        return f"{error.message} {error.remedy}".strip()
    return str(error)


def one_page(
    request: Request,
    services: Services,
    principal: Principal,
    number: int,
    *,
    refused: str = "",
) -> Response:
    """The page of one intervention."""
    words, today = words_of(request), local_today(services)
    found = records(services).get(number)
    notes = notes_of(services, number)
    lang = words.language
    return page(
        request,
        "intervention.html",
        principal=principal,
        here="/planning",
        status=422 if refused else 200,
        refused=refused,
        one=found,
        status_text=status_words(words)[found.status(today)],
        facts=facts_of(found, lang),
        plan=plan_sentence(found, lang),
        answer=result_sentence(found.result, lang) if found.result else "",
        simulated=bool((found.result or {}).get("simulated")),
        over=str(follow_up_over(found)),
        steps=steps_of(found, today, words),
        requirements=[
            (REQUIREMENTS_SV[r.key] if lang == "sv" else r.key.replace("_", " "), r.done)
            for r in pack_requirements(found, notes)
        ],
        factors=[
            {
                "name": f"{line.factor.number} "
                f"{line.factor.sv if lang == 'sv' else line.factor.en}",
                "number": line.factor.number,
                "aim": line.aimed_at,
                "measured": line.measured,
                "before": score(line.before),
                "after": score(line.after),
            }
            for line in factor_lines(found, notes, measured=measured_words(found, lang), lang=lang)
        ],
        notes=[shown_note(note, lang) for note in notes],
        phases=[(p.value, word_of(p.value, lang)) for p in Phase],
        kinds=[(k.value, word_of(k.value, lang)) for k in NoteKind],
        scores=SCORES,
        today=str(today),
        key=new_key(),
    )


def word_of(value: str, lang: str) -> str:
    """A kind or phase of a note in the page's language."""
    return KINDS_SV[value] if lang == "sv" else value


def shown_note(note: Note, lang: str) -> dict[str, Any]:
    """A note with its files as the page shows it."""
    return {
        "day": str(note.day),
        "what": f"{word_of(note.kind.value, lang)}, {word_of(note.phase.value, lang)}",
        "text": note.text,
        "author": note.author,
        "scores": ", ".join(f"{n}: {value}" for n, value in sorted(note.scores.items())),
        "files": [
            {
                "name": f.name,
                "href": f"/api/v1/interventions/{note.intervention_id}/files/{f.id}",
                "size": size_words(f.size, lang),
                "picture": f.media_type.startswith("image/"),
            }
            for f in note.files
        ],
    }


def follow_up_over(one: Intervention) -> date:
    """The day on which the result can be frozen."""
    return (one.end or one.start) + timedelta(days=AFTER_DAYS)


def steps_of(one: Intervention, today: date, words: Words) -> Sequence[tuple[str, str]]:
    """What can be done with an intervention on a day."""
    texts_of = {
        "plan": words.text("Compute what an evaluation can find"),
        "freeze": words.text("Freeze the result"),
        "publish": words.text("Publish the result page"),
        "withdraw": words.text("Take the result page back"),
    }
    possible = {
        "plan": today < one.start and not one.cancelled,
        "freeze": one.result is None and today >= follow_up_over(one) and not one.cancelled,
        "publish": one.result is not None and one.published_ms is None,
        "withdraw": one.published_ms is not None,
    }
    return [(name, texts_of[name]) for name in STEPS if possible[name]]


def status_words(words: Words) -> dict[Status, str]:
    """Where an intervention stands."""
    return {
        Status.PLANNED: words.text("planned"),
        Status.RUNNING: words.text("running"),
        Status.ENDED: words.text("ended"),
        Status.CANCELLED: words.text("cancelled"),
    }


def kind_words(words: Words) -> dict[InterventionKind, str]:
    """Kinds of interventions."""
    return {
        InterventionKind.LIGHTING: words.text("lighting"),
        InterventionKind.TUNNEL: words.text("tunnel"),
        InterventionKind.PLACEMAKING: words.text("placemaking"),
        InterventionKind.SOCIAL: words.text("social"),
        InterventionKind.UPKEEP: words.text("upkeep"),
        InterventionKind.OTHER: words.text("other"),
    }


def account_words(words: Words) -> dict[str, str]:
    """Where the money comes from."""
    return {
        "investering": words.text("investment"),
        "trygghet_drift": words.text("safety, operation"),
        "drift_ordinarie": words.text("ordinary operation"),
    }
