"""The planner's page: interventions, and whether one changed how many people pass."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from markupsafe import Markup
from pydantic import ValidationError

from api.auth import Needs, Principal, Role
from api.errors import BadInputError, NotFoundError
from api.i18n import Words
from api.interventions import Intervention
from api.planning.evaluation import Evaluation
from api.planning.stored_counts import counters_by_site
from api.reports.charts import band_chart, gap_chart
from api.reports.evaluation import (
    answers,
    band_name,
    evaluation_page,
    sentence,
    warning_lines,
    weekly_means,
)
from api.reports.intervention import result_sentence
from api.routes.footfall import EvaluationIn, answer_to, local_today, visible_counters
from api.routes.interventions import records
from api.routes.rendering import page, words_of
from api.services import ServiceDep, Services

router = APIRouter()
Planner = Annotated[
    Principal, Depends(Needs(Role.PLANNER, Role.OPERATOR, Role.TESTER, Role.ADMIN, page=True))
]
BANDS = ("evening", "night", "day", "dark")
Site = Annotated[str, Query(max_length=200)]
Band = Annotated[str, Query(pattern="^(evening|night|day|dark)$")]


def asked(
    services: Services, principal: Principal, site: str, start: date, band: str
) -> Evaluation:
    """One place and date as the API judges them: neighbours, swapped counters, failed light."""
    wanted = EvaluationIn(sites=[site], start=start.isoformat(), band=band)
    return answer_to(wanted, services, principal)


@router.get("/planning")
def planning(
    request: Request,
    services: ServiceDep,
    principal: Planner,
    site: Site = "",
    start: date | None = None,
    band: Band = "evening",
) -> Response:
    """Interventions with their answers; and the same question for any place and date."""
    words = words_of(request)
    sites = list(counters_by_site(visible_counters(services, principal)))
    answer: dict[str, Any] | None = None
    refused = ""
    if site and start is not None:
        try:
            answer = answer_of(asked(services, principal, site, start, band), words)
        except ValidationError:
            refused = words.text("There are no counts of that time.")
        except (BadInputError, NotFoundError) as error:
            refused = f"{error.message} {error.remedy}".strip()
    return page(
        request,
        "planning.html",
        principal=principal,
        here="/planning",
        sites=sites,
        site=site,
        start=start.isoformat() if start else "",
        band=band,
        bands=bands_of(words),
        answer=answer,
        refused=refused,
        year=local_today(services).year,
        interventions=[shown(one, words) for one in records(services).all()],
    )


def bands_of(words: Words) -> list[tuple[str, str]]:
    """Parts of the day one may ask about."""
    texts = (
        words.text("evening, 18–24"),
        words.text("night, 00–05"),
        words.text("day, 05–18"),
        words.text("dark hours"),
    )
    return list(zip(BANDS, texts, strict=True))


def answer_of(found: Evaluation, words: Words) -> dict[str, Any]:
    """The answer in one sentence, and two pictures of it."""
    language, main = words.language, found.main
    effect = main.effect
    pictures: list[dict[str, Any]] = []
    if effect.refused is None:
        title = words.text("Week by week, compared with similar places")
        drawn = gap_chart(weekly_means(effect), effect, language, title)
        pictures.append({"title": title, "svg": Markup(drawn)})  # noqa: S704 - our own SVG
        answered = [
            (band_name(one, language), one.effect)
            for one in answers(found)
            if one.effect.refused is None
        ]
        title = words.text("Change by part of the day, with its interval")
        drawn = band_chart(answered, language, title)
        pictures.append({"title": title, "svg": Markup(drawn)})  # noqa: S704 - our own SVG
    return {
        "sentence": sentence(effect, language, band_name(main, language)),
        "pictures": pictures,
        "warnings": warning_lines(found, language),
        "simulated": found.counts.simulated,
    }


def shown(one: Intervention, words: Words) -> dict[str, Any]:
    """One intervention as a row."""
    return {
        "id": one.id,
        "title": one.title,
        "sites": ", ".join(one.sites),
        "start": one.start.isoformat(),
        "end": one.end.isoformat() if one.end else "",
        "sentence": result_sentence(one.result, words.language) if one.result else "",
        "cancelled": one.cancelled,
    }


@router.get("/planning/report")
def report(
    request: Request,
    services: ServiceDep,
    principal: Planner,
    site: Site,
    start: date,
    band: Band = "evening",
) -> Response:
    """The whole evaluation as a page to print, with all it rests on."""
    found = asked(services, principal, site, start, band)
    text = evaluation_page(found, words_of(request).language)
    return Response(text, media_type="text/html; charset=utf-8")
