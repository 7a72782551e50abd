"""Errors as RFC 9457 problems, every one of them, whoever raised it."""

import errno
from collections.abc import Mapping
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from api.errors import (
    BadInputError,
    BusyError,
    ConflictError,
    LjusvaktError,
    NotFoundError,
    StaleVersionError,
)

__all__ = ["PROBLEM_RESPONSES", "ProblemError", "allowed_methods", "install", "problem"]

MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: "The request cannot be read",
    401: "Who is asking is not known",
    403: "Not allowed",
    404: "Not found",
    405: "The method is not allowed here",
    406: "No such format",
    409: "Not possible in the present state",
    410: "No longer valid",
    412: "It has been changed meanwhile",
    413: "The body is too large",
    415: "The format of the body is not understood",
    422: "The input is not valid",
    428: "Say which version you have seen (If-Match)",
    429: "Too many requests",
    500: "Something went wrong on our side",
    503: "Not ready for this at the moment",
    507: "The disk is full",
}


class ProblemError(HTTPException):
    """A problem with a title of its own and further members.

    Parameters
    ----------
    status : int
        HTTP status.
    title : str
        What is wrong, in a sentence; the status's own title where empty.
    headers : mapping, optional
        Sent with the answer (`WWW-Authenticate`, `Retry-After`).
    **more
        Further members of the problem document.
    """

    def __init__(
        self,
        status: int,
        title: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(
            status, title or TITLES.get(status, "Error"), dict(headers) if headers else None
        )
        self.more = more


def problem(
    status: int, title: str = "", *, headers: Mapping[str, str] | None = None, **more: Any
) -> JSONResponse:
    """Answer with a problem document (RFC 9457 §3)."""
    body = {"type": "about:blank", "title": title or TITLES.get(status, "Error"), "status": status}
    return JSONResponse({**body, **more}, status, headers=headers, media_type=MEDIA_TYPE)


def _described(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}


PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: _described(TITLES[status])
    for status in (400, 401, 403, 404, 406, 409, 412, 413, 415, 422, 428, 429, 503)
}
"""What the OpenAPI document says of errors; every API router is given these."""


def allowed_methods(app: FastAPI, scope: Scope) -> list[str]:
    """Methods of every route whose path matches, not only of the first."""
    found: set[str] = set()
    for route in iter_route_contexts(app.routes):
        # A mount has no methods of its own: it answers reading requests.
        if route.matches(scope)[0] is not Match.NONE:
            found |= route.methods or {"GET", "HEAD"}
    return sorted(found)


def _wants_page(request: Request) -> bool:
    path = request.url.path
    machine = path.startswith(("/api/", "/open311/", "/log-reports", "/metrics", "/healthz"))
    return not machine and "text/html" in request.headers.get("accept", "")


def _answer(
    request: Request,
    status: int,
    title: str,
    *,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """A problem document, or for a person's browser the page that says the same."""
    if _wants_page(request):
        render = getattr(request.app.state, "error_page", None)
        if render is not None:
            page: Response = render(request, status, title, more.get("detail", ""))
            page.headers.update(headers or {})
            return page
    return problem(status, title, headers=headers, **more)


def _safe(value: Any) -> Any:
    """The location of an error, as text and numbers only."""
    return value if isinstance(value, str | int) else str(value)


def _of_http(request: Request, raised: Exception) -> Response:
    error = cast("HTTPException", raised)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(allowed_methods(request.app, request.scope))
    more: dict[str, Any] = error.more if isinstance(error, ProblemError) else {}
    plain = not isinstance(error, ProblemError)
    title = TITLES.get(error.status_code, error.detail) if plain else error.detail
    if plain and error.detail and error.detail != title:
        more = {"detail": error.detail}
    if error.status_code in {204, 304}:
        return Response(status_code=error.status_code, headers=headers)
    return _answer(request, error.status_code, title, headers=headers, **more)


def _of_validation(request: Request, raised: Exception) -> Response:
    error = cast("RequestValidationError", raised)
    errors = [
        {"loc": [_safe(part) for part in one["loc"]], "msg": str(one["msg"])}
        for one in error.errors()
    ]
    # A body that is no JSON at all cannot be valid in any way we could name.
    return _answer(request, 422, TITLES[422], errors=errors)


def _of_ours(request: Request, raised: Exception) -> Response:
    error = cast("LjusvaktError", raised)
    status = 422
    if isinstance(error, NotFoundError):
        status = 404
    elif isinstance(error, StaleVersionError):
        status = 412
    elif isinstance(error, ConflictError):
        status = 409
    elif isinstance(error, BusyError):
        status = 429
    elif not isinstance(error, BadInputError):
        status = 503
    more = {"remedy": error.remedy} if error.remedy else {}
    headers = {"Retry-After": "2"} if status in {429, 503} else {}
    return _answer(request, status, TITLES[status], headers=headers, detail=error.message, **more)


def _of_database(request: Request, error: Exception) -> Response:
    """A ledger that is locked, full or away is not the caller's fault and will pass."""
    full = "full" in str(error).lower() or "no space" in str(error).lower()
    status = 507 if full else 503
    return _answer(request, status, TITLES[status], headers={"Retry-After": "5"})


def _of_system(request: Request, raised: Exception) -> Response:
    error = cast("OSError", raised)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return _answer(request, 507, TITLES[507])
    return _answer(request, 503, TITLES[503], headers={"Retry-After": "5"})


def _of_anything(request: Request, error: Exception) -> Response:
    return _answer(request, 500, TITLES[500])


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem."""
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(LjusvaktError, _of_ours)
    app.add_exception_handler(OperationalError, _of_database)
    app.add_exception_handler(OSError, _of_system)
    app.add_exception_handler(Exception, _of_anything)
