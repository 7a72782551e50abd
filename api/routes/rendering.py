"""How a page is made: templates, languages, files with their version, and what every page knows."""

import hashlib
import json
import secrets
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from api.auth import (
    PUBLIC,
    Principal,
    Role,
    cookie_name,
    demo_cookie,
    is_demo_client,
    uses_https,
)
from api.i18n import LANGUAGES, Words, choose_language
from api.routes.error_words import EXPLAINED
from api.services import Services, services_of

__all__ = ["THEMES", "error_page", "json_in_page", "new_key", "page", "static", "words_of"]

HERE = Path(__file__).parents[1]
STATIC = HERE / "static"
THEMES = ("auto", "light", "dark", "contrast")
YEAR_S = 365 * 86_400


@cache
def environment() -> Environment:
    """The templates; everything put into them is escaped."""
    return Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        extensions=["jinja2.ext.i18n"],
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def static(name: str) -> str:
    """Address of a file that changes with its content, so that browsers may keep it for ever."""
    content = (STATIC / name).read_bytes()
    return f"/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"


def json_in_page(value: object) -> Markup:
    """JSON for a script element: `<` cannot end it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    safe = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return Markup(safe)  # noqa: S704 - only data, and `<` is gone


SHOWS_WHAT_WAS_JUDGED = ("/", "/crew", "/orders")


def new_key() -> str:
    """An idempotency key for one form."""
    return secrets.token_urlsafe(18)


def words_of(request: Request) -> Words:
    """The language whoever asks has chosen, or their browser prefers."""
    language = choose_language(
        request.query_params.get("lang"),
        request.cookies.get("lang"),
        accept=request.headers.get("accept-language", ""),
    )
    return services_of(request).words(language)


def navigation(principal: Principal, words: Words) -> list[tuple[str, str]]:
    """The pages this person may open."""
    _ = words.text
    pages = [
        ("/", _("Overview"), (Role.PLANNER, Role.TESTER, Role.OPERATOR, Role.CREW)),
        ("/crew", _("Crew"), (Role.CREW, Role.OPERATOR)),
        ("/orders", _("Work orders"), (Role.CREW, Role.OPERATOR, Role.PLANNER, Role.TESTER)),
        ("/places", _("Places"), (Role.PLANNER, Role.OPERATOR, Role.TESTER)),
        ("/planning", _("Planning"), (Role.PLANNER, Role.OPERATOR, Role.TESTER)),
        ("/admin", _("Administration"), (Role.OPERATOR,)),
    ]
    return [(href, text) for href, text, roles in pages if principal.has(*roles)]


def _switch(request: Request, name: str, value: str) -> str:
    address = request.url.include_query_params(**{name: value})
    return f"{address.path}?{address.query}"


def page(
    request: Request,
    template: str,
    *,
    principal: Principal,
    status: int = 200,
    here: str = "",
    **facts: Any,
) -> Response:
    """A page with everything its frame needs.

    Parameters
    ----------
    template : str
        File in `templates`.
    principal : Principal
        Who sees it.
    here : str
        Address of the navigation entry that is open.
    **facts
        What the template shows.
    """
    services, words = services_of(request), words_of(request)
    theme = _theme(request)
    text = (
        environment()
        .get_template(template)
        .render(
            {
                "_": words.text,
                "plural": words.plural,
                "words": words,
                "languages": LANGUAGES,
                "theme": "" if theme == "auto" else theme,
                "principal": principal if principal.via != "public" else None,
                "csrf": principal.csrf,
                "city": services.settings.city,
                "now_ms": services.clock.now_ms(),
                "simulated": services.clock.simulated,
                "speed": services.clock.speed,
                "zone_name": services.settings.timezone,
                "navigation": navigation(principal, words),
                "here": here,
                "stale": here in SHOWS_WHAT_WAS_JUDGED and services.stale(),
                "static": static,
                "switch": partial(_switch, request),
                "version": version("ljusvakt"),
                **facts,
            }
        )
    )
    answer = HTMLResponse(text, status)
    answer.headers["Vary"] = "Accept-Language, Cookie"
    _remember(request, answer, services)
    if principal.demo and is_demo_client(request, services):
        open_door(answer, services, demo_cookie(services))
    return answer


def _theme(request: Request) -> str:
    for wish in (request.query_params.get("theme"), request.cookies.get("theme")):
        if wish in THEMES:
            return wish
    return "auto"


def _remember(request: Request, answer: Response, services: Services) -> None:
    """Keep a language or an appearance that was just chosen."""
    for name, allowed in (("lang", tuple(LANGUAGES)), ("theme", THEMES)):
        chosen = request.query_params.get(name, "")
        if chosen in allowed:
            answer.set_cookie(
                name, chosen, max_age=YEAR_S, samesite="lax", secure=uses_https(services)
            )


def open_door(answer: Response, services: Services, token: str) -> None:
    """Give the browser its session; scripts cannot read it, other sites cannot send it."""
    answer.set_cookie(
        cookie_name(services),
        token,
        max_age=services.settings.access.session_hours * 3600,
        path="/",
        httponly=True,
        samesite="lax",
        secure=uses_https(services),
    )


def detail_of(title: str, detail: str, words: Words) -> str:
    """What stands below an error's name; what the API says of it is in English."""
    explained = EXPLAINED.get(title)
    if explained is None or (detail and words.language == "en"):
        return detail
    return words.text(explained)


def error_page(request: Request, status: int, title: str, detail: str) -> Response:
    """What a person sees when something cannot be done."""
    words = words_of(request)
    principal = getattr(request.state, "principal", PUBLIC)
    return page(
        request,
        "error.html",
        principal=principal,
        status=status,
        title=words.text(title),
        detail=detail_of(title, detail, words),
    )
