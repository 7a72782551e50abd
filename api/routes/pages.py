"""The pages people use: overview, orders, the crew's list, luminaires."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response
from markupsafe import Markup
from starlette.datastructures import FormData, UploadFile

from api.assets import AssetKind
from api.auth import STAFF, Needs, Principal, Role
from api.errors import BadInputError, ConflictError, LjusvaktError, NotFoundError, StaleVersionError
from api.i18n import Words
from api.ledger.board import confidences_of
from api.ledger.views import OrderFilter, WorkOrder, WorkOrderDetail
from api.operations.states import LuminaireState
from api.operations.work_orders import (
    STEPS,
    Action,
    Rejection,
    Verification,
    WaitingFor,
)
from api.pagination import Paging, screens
from api.problems import ProblemError
from api.routes.assets import state_of, visible
from api.routes.places import colour_scale, counted_places, heat_of_place, visible_counters
from api.routes.presenting import (
    KINDS,
    OrderView,
    action_text,
    evidence_lines,
    kind_text,
    order_view,
    state_text,
    states_of,
    step_text,
)
from api.routes.rendering import STATIC, json_in_page, new_key, page, static, words_of
from api.routes.repeats import Repeatable, Sent
from api.routes.work_orders import TransitionIn, take_step
from api.services import ServiceDep, Services

router = APIRouter(route_class=Repeatable)
Staff = Annotated[Principal, Depends(Needs(*STAFF, page=True))]
Worker = Annotated[Principal, Depends(Needs(Role.CREW, Role.OPERATOR, Role.ADMIN, page=True))]
OPEN_ON_OVERVIEW = 60
ROWS = 100
Screens = Annotated[Paging, Depends(screens(ROWS))]


def views_of(services: Services, orders: tuple[WorkOrder, ...], words: Words) -> list[OrderView]:
    """Orders in the reader's words, with the confidence of what stands behind them."""
    known = confidences_of(
        services.ledger.database, [o.incident_id for o in orders if o.incident_id is not None]
    )
    now_ms = services.clock.now_ms()
    return [order_view(o, words, now_ms, confidence=known.get(o.incident_id or 0)) for o in orders]


@router.get("/")
def overview(request: Request, services: ServiceDep, principal: Staff) -> Response:
    """The first page: the map by state, the open orders by urgency, the headline figures."""
    words = words_of(request)
    areas = principal.area_filter
    figures = figures_of(services, principal)
    wanted = OrderFilter(open=True, areas=areas)
    orders = services.ledger.work_orders(wanted, limit=OPEN_ON_OVERVIEW).items
    urgent = services.ledger.count_work_orders(replace(wanted, rank=0))
    places = counted_places(services, principal)
    busiest = max((p for p in places if p.total), key=lambda p: p.total or 0, default=None)
    return page(
        request,
        "overview.html",
        principal=principal,
        here="/",
        states=states_of(words),
        figures=figures,
        headline=headline(words, sum(figures.values())),
        orders=views_of(services, orders, words),
        open_orders=sum(services.ledger.count_work_orders(wanted).values()),
        urgent_orders=sum(urgent.values()),
        places=places[:12],
        heat_place=busiest,
        heat=heat_of_place(services, visible_counters(services, principal), busiest.name, words)
        if busiest
        else [],
        scale=colour_scale(),
        map_words=map_words(words),
        map_library=static("vendor/maplibre-gl-6.17.0/maplibre-gl.mjs"),
        map_worker=static("vendor/maplibre-gl-6.17.0/maplibre-gl-worker.mjs"),
        map_css=static("vendor/maplibre-gl-6.17.0/maplibre-gl.css"),
        tiles_url=services.settings.http.tiles_url,
    )


def figures_of(services: Services, principal: Principal) -> dict[str, int]:
    """How many of the luminaires this person may see are in each state."""

    def counted() -> dict[str, int]:
        states = services.states()
        figures = dict.fromkeys((state.value for state in LuminaireState), 0)
        for asset in visible(services, principal):
            if asset.kind is not AssetKind.COUNTER:
                figures[state_of(asset, states).value] += 1
        return figures

    figures: dict[str, int] = services.answers.get(
        ("figures", principal.areas), services.ledger.street_version(), counted
    )
    return figures


def headline(words: Words, luminaires: int) -> str:
    """How much is watched."""
    text = words.plural("%(n)s luminaire watched", "%(n)s luminaires watched", luminaires)
    return text % {"n": words.number(luminaires)}


def map_words(words: Words) -> Markup:
    """The texts the map needs, in the page's language."""
    return json_in_page(
        {
            "states": states_of(words),
            "reasons": {kind: words.text(text) for kind, text in KINDS.items()},
            "order": words.text("Work order"),
            "outside": words.text("{n} outside – show all"),
            "no_map": words.text("This browser cannot draw the map."),
            "list": words.text("See the luminaires as a list"),
            "empty": words.text("No luminaires have a known position yet."),
            "gestures": {
                "CooperativeGesturesHandler.MobileHelpText": words.text(
                    "Use two fingers to move the map"
                ),
                "CooperativeGesturesHandler.WindowsHelpText": words.text(
                    "Use Ctrl and scroll to zoom the map"
                ),
                "CooperativeGesturesHandler.MacHelpText": words.text(
                    "Use ⌘ and scroll to zoom the map"
                ),
                "NavigationControl.ZoomIn": words.text("Zoom in"),
                "NavigationControl.ZoomOut": words.text("Zoom out"),
                "Map.Title": words.text("Map of luminaires by state"),
                "Popup.Close": words.text("Close"),
            },
        }
    )


@router.get("/orders")
def orders(
    request: Request,
    services: ServiceDep,
    principal: Staff,
    pages: Screens,
    show: Annotated[str, Query(pattern="^(open|closed|all)$")] = "open",
) -> Response:
    """Work orders, the most urgent first."""
    words = words_of(request)
    wanted = OrderFilter(
        open={"open": True, "closed": False}.get(show), areas=principal.area_filter
    )
    found = pages.turn(lambda behind: services.ledger.work_orders(wanted, limit=ROWS, after=behind))
    return page(
        request,
        "orders.html",
        principal=principal,
        here="/orders",
        show=show,
        filters=[
            ("open", words.text("Open")),
            ("closed", words.text("Closed")),
            ("all", words.text("All")),
        ],
        total=sum(services.ledger.count_work_orders(wanted).values()),
        orders=views_of(services, tuple(found.items), words),
        following=found.next,
    )


@router.get("/crew")
def crew(request: Request, services: ServiceDep, principal: Worker) -> Response:
    """The crew's list: mine, and what is free, by urgency; readable without network."""
    words = words_of(request)
    open_here = OrderFilter(open=True, areas=principal.area_filter)
    mine = services.ledger.work_orders(
        replace(open_here, assignee=principal.name), limit=ROWS
    ).items
    free = services.ledger.work_orders(replace(open_here, assignee=""), limit=ROWS).items
    return page(
        request,
        "crew.html",
        principal=principal,
        here="/crew",
        mine=views_of(services, mine, words),
        free=views_of(services, free, words),
    )


@router.get("/luminaires")
def luminaires(
    request: Request,
    services: ServiceDep,
    principal: Staff,
    pages: Screens,
    show: Annotated[str, Query(pattern="^(all|ok|faulty|unknown|planned)$")] = "all",
) -> Response:
    """The map as a list."""
    words = words_of(request)
    states = services.states()
    rows = [
        asset
        for asset in visible(services, principal)
        if asset.kind is not AssetKind.COUNTER
        and (show == "all" or state_of(asset, states).value == show)
    ]
    found = pages.of(rows, key=lambda asset: (asset.device_id,))
    names = states_of(words)

    def row(device_id: str, name: str, place: str, feeder: str) -> dict[str, str]:
        status = states.get(device_id)
        state = status.state.value if status else "unknown"
        return {
            "name": name,
            "place": place,
            "feeder": feeder,
            "state": state,
            "state_text": names[state],
            "since": words.moment(status.since_ms) if status and status.since_ms else "–",
            "reason": kind_text(status.reason, words) if status and status.reason else "",
        }

    return page(
        request,
        "luminaires.html",
        principal=principal,
        show=show,
        total=len(rows),
        filters=[("all", words.text("All")), *names.items()],
        rows=[row(a.device_id, a.luminaire_id, a.site or a.area, a.feeder) for a in found.items],
        following=found.next,
    )


# -- one order ---------------------------------------------------------------------------------

OFFERED = (
    "assign",
    "start",
    "resume",
    "done",
    "wait",
    "verify",
    "reject",
    "reopen",
    "note",
    "release",
)
SIMPLE = frozenset({"assign", "start", "resume", "release"})


def offered(detail: WorkOrderDetail, principal: Principal, words: Words) -> list[dict[str, Any]]:
    """The steps this person may take from here."""
    if not principal.has(Role.CREW, Role.OPERATOR):
        return []
    possible = STEPS[detail.order.state]
    mine = detail.order.assignee == principal.name
    found: list[dict[str, Any]] = []
    for name in OFFERED:
        action = Action(name)
        if action not in possible or (name == "assign" and mine):
            continue
        # Where light decides, no person can; and only what is marked done can be confirmed.
        if name == "verify" and (detail.light_decides or detail.order.state.value != "done"):
            continue
        if name == "start" and detail.order.state.value == "waiting":
            continue
        if name == "release" and not mine:
            continue
        found.append(
            {
                "name": name,
                "text": action_text(name, words),
                "simple": name in SIMPLE,
                "photo": name in {"done", "verify"},
            }
        )
    return found


@router.get("/orders/{order_id}")
def order(request: Request, order_id: int, services: ServiceDep, principal: Staff) -> Response:
    """One order: what, where, why we believe so, how urgent, and what can be done."""
    return order_page(request, services, principal, order_id)


def order_page(
    request: Request,
    services: Services,
    principal: Principal,
    order_id: int,
    *,
    status: int = 200,
    conflict: str = "",
) -> Response:
    """The page of one order, perhaps with what went wrong."""
    words = words_of(request)
    if not 0 < order_id < 2**62:
        raise NotFoundError(f"no work order {order_id}.")
    detail = services.ledger.work_order(order_id, areas=principal.area_filter)
    now_ms = services.clock.now_ms()
    confidence = max((e.confidence for e in detail.evidence if not e.withdrawn), default=None)
    view = order_view(detail.order, words, now_ms, confidence=confidence)
    drawn = services.picture(order_id, words.language) if services.picture else None
    return page(
        request,
        "order.html",
        principal=principal,
        status=status,
        here="",
        back="/crew" if principal.roles == frozenset({Role.CREW}) else "/orders",
        order=view,
        conflict=conflict,
        message="",
        # Drawn by this program from numbers; nothing of it comes from outside unescaped.
        picture=Markup(drawn) if drawn else "",  # noqa: S704 - our own SVG
        picture_caption=words.text("Measured light against what it should have been."),
        evidence=evidence_lines(detail.evidence, words),
        members=members_of_page(detail, words),
        timeline=timeline_of(detail, words),
        actions=offered(detail, principal, words),
        key=new_key(),
        waiting_for=[
            (
                WaitingFor.THIRD_PARTY.value,
                words.text("somebody else (network owner, road authority)"),
            ),
            (WaitingFor.MATERIAL.value, words.text("material")),
        ],
        rejections=[
            (Rejection.NOT_A_FAULT.value, words.text("There is no fault")),
            (Rejection.INTENTIONAL.value, words.text("It is meant to be so")),
            (Rejection.NOT_OURS.value, words.text("It is not ours")),
            (Rejection.OTHER.value, words.text("Another reason")),
        ],
        facts=facts_of(detail, view, words),
        photos=[
            {
                "href": f"/api/v1/work-orders/{order_id}/photos/{a.id}",
                "text": words.text("Photo by %s") % a.actor + f", {words.moment(a.at_ms)}",
            }
            for a in detail.attachments
        ],
    )


def members_of_page(detail: WorkOrderDetail, words: Words) -> list[dict[str, str]]:
    """The luminaires of an order, in the order they stand."""
    names = states_of(words)
    return [
        {
            "name": m.luminaire_id,
            "place": f"{m.segment} · {m.segment_order}"
            if m.segment_order is not None
            else m.segment,
            "state": m.state if m.state in names else "unknown",
            "state_text": names.get(m.state, names["unknown"]),
            "since": words.moment(m.start_ms),
        }
        for m in detail.members
    ]


def timeline_of(detail: WorkOrderDetail, words: Words) -> list[dict[str, Any]]:
    """What happened to the order, the newest first."""
    return [
        {
            "at_ms": step.at_ms,
            "text": step_text(step, words),
            "who": "" if step.actor == "ljusvakt" else step.actor,
            "note": step.note if step.actor != "ljusvakt" else "",
        }
        for step in reversed(detail.history)
        if step.action != "reprioritise"
    ]


def facts_of(detail: WorkOrderDetail, view: OrderView, words: Words) -> list[tuple[str, str]]:
    """Where, since when, by when, and by which rule."""
    order_, _ = detail.order, words.text
    position = f"{order_.lat:.5f}, {order_.lon:.5f}" if order_.lat and order_.lon else ""
    facts = [
        (_("Place"), view.place),
        (_("Feeder"), ", ".join(sorted({m.feeder for m in detail.members if m.feeder}))),
        (_("Position"), position),
        (_("Found"), words.moment(order_.detected_ms)),
        (_("Next"), view.due_text),
        (
            _("First action by"),
            words.moment(order_.first_action_due_ms) if order_.first_action_due_ms else "",
        ),
        (_("Repaired by"), words.moment(order_.repaired_due_ms) if order_.repaired_due_ms else ""),
        (_("Rule"), order_.rule_id),
        (_("Taken by"), order_.assignee),
        (
            _("Proof"),
            _("the light itself, in the next dark hours")
            if detail.light_decides
            else _("the crew, or a photo"),
        ),
    ]
    return [(name, value) for name, value in facts if value]


@router.post("/orders/{order_id}")
def act(
    request: Request, order_id: int, form: Sent, services: ServiceDep, principal: Worker
) -> Response:
    """Take a step by a plain form, or by the outbox that sends the same form later.

    A person gets the page again, a script (`Accept: application/json`) a version or a problem.
    The form carries its Idempotency-Key in a field.
    """
    script = "application/json" in request.headers.get("accept", "")
    try:
        order_ = step_by_form(services, principal, order_id, form)
    except (ConflictError, BadInputError) as error:
        if script:
            raise
        return conflict_page(request, services, principal, order_id, error)
    if script:
        return JSONResponse(
            {"id": order_.id, "version": order_.version, "state": order_.state.value}
        )
    return RedirectResponse(f"/orders/{order_id}", 303)


def conflict_page(
    request: Request,
    services: Services,
    principal: Principal,
    order_id: int,
    error: LjusvaktError,
) -> Response:
    """The order as it is now, and why the step was not taken."""
    stale = isinstance(error, StaleVersionError)
    status = 412 if stale else 409 if isinstance(error, ConflictError) else 422
    text = f"{error.message} {error.remedy}".strip()
    if stale:
        text = words_of(request).text("Look at it again, then repeat what you wanted to do.")
    return order_page(request, services, principal, order_id, status=status, conflict=text)


def photo_of(form: FormData) -> bytes | None:
    """The photo in a form; a field left empty is none."""
    photo = form.get("photo")
    content = photo.file.read() if isinstance(photo, UploadFile) else b""
    return content or None


def step_by_form(
    services: Services,
    principal: Principal,
    order_id: int,
    form: FormData,
) -> WorkOrder:
    """Attach the photo, then take the step the form asks for.

    The photo comes first: a repair may be confirmed by it. Sent twice it is kept once.
    """

    def field(name: str) -> str:
        value = form.get(name)
        return value if isinstance(value, str) else ""

    version = field("version")
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        raise BadInputError("the form does not say which version it has seen.")
    if not field("idempotency_key"):
        raise BadInputError("the form has no idempotency key.")
    photo = photo_of(form)
    if photo is not None:
        services.ledger.attach_photo(
            order_id,
            photo,
            actor=principal.name,
            now_ms=services.clock.now_ms(),
            areas=principal.area_filter,
        )
    try:
        body = TransitionIn(
            action=Action(field("action")),
            note=field("note")[:2000],
            waiting_for=WaitingFor(field("waiting_for")) if field("waiting_for") else None,
            rejection=Rejection(field("rejection")) if field("rejection") else None,
            owner=field("owner")[:200],
            verification=(Verification.PHOTO if photo else Verification.CREW)
            if field("action") == "verify"
            else None,
        )
    except ValueError as error:
        raise BadInputError("the form asks for something that does not exist.") from error
    return take_step(services, principal, order_id, body, version=int(version))


# -- files that must stand at the root -----------------------------------------------------------

Anybody = Depends(Needs(Role.PUBLIC))


@router.get("/sw.js", dependencies=[Anybody])
async def service_worker() -> Response:
    """The worker that keeps the crew's pages; only from the root may it do so for all of them."""
    return FileResponse(
        STATIC / "sw.js", media_type="text/javascript", headers={"Cache-Control": "no-cache"}
    )


@router.get("/manifest.webmanifest", dependencies=[Anybody])
async def manifest(services: ServiceDep) -> Response:
    """What a phone shows when the crew's list is put on its first screen."""
    body = {
        "name": f"Ljusvakt {services.settings.city}",
        "short_name": "Ljusvakt",
        "start_url": "/crew",
        "display": "standalone",
        "background_color": "#f6f7f5",
        "theme_color": "#0b5d66",
        "icons": [{"src": static("icon.svg"), "sizes": "any", "type": "image/svg+xml"}],
    }
    return JSONResponse(
        body, media_type="application/manifest+json", headers={"Cache-Control": "max-age=3600"}
    )


@router.get("/favicon.ico", dependencies=[Anybody])
async def favicon() -> Response:
    """For browsers that ask before they have read the page."""
    return RedirectResponse(static("icon.svg"), 307)


__all__ = ["ProblemError", "router", "state_text"]
