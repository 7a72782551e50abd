"""The API and the pages as one ASGI application; it opens nothing itself."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts
from fastapi.staticfiles import StaticFiles
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.auth import Access, Role, policies_of, uses_https
from api.metrics import Metrics
from api.routes import API_ROUTERS, PAGE_ROUTERS
from api.routes.rendering import STATIC, error_page
from api.routes.shapes import ProblemOut
from api.security import BodyLimit, HostGuard, SecurityHeaders, content_security_policy
from api.services import Services
from api.warming import keep_warm

__all__ = ["create_app"]

DESCRIPTION = """\
Luminaires, what was found about them, the work it led to, and how many people pass.

Sign in with `Authorization: Bearer lv_…` (a key made by an administrator).
Lists are `{"items": [...], "next": ...}`; give `next` back as `cursor`.
Errors are problem documents (RFC 9457).
What changes a work order says which version it has seen (`If-Match`) and carries an
`Idempotency-Key`, so that it may be sent again.
"""


class _Files(StaticFiles):
    """Files whose address holds their version may be kept for ever; the others are asked for."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        if answer.status_code in {200, 206, 304}:
            fixed = b"v=" in scope.get("query_string", b"") or path.startswith("vendor/")
            lasting = "public, max-age=31536000, immutable" if fixed else "no-cache"
            answer.headers["Cache-Control"] = lasting
        return answer


class _Measured:
    """Counts answers and their time by route, never by address: ids would make endless series."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                self.metrics.requests.labels(route, str(message["status"])).inc()
                self.metrics.seconds.labels(route).observe(time.perf_counter() - began)
            await send(message)

        await self.app(scope, receive, noted)


def create_app(services: Services) -> FastAPI:
    """The whole face of the program over services that are already open.

    Parameters
    ----------
    services : Services
        From `api.bootstrap`, or made by a test.
    """
    limit = services.settings.http.max_body_mb * 1_000_000

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        warming = asyncio.create_task(keep_warm(services))
        yield
        services.closing.set()
        warming.cancel()
        with suppress(asyncio.CancelledError):
            await warming

    app = FastAPI(
        title="Ljusvakt",
        version=version("ljusvakt"),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        lifespan=lifespan,
        form_limits={"max_fields": 60, "max_files": 4, "max_part_size": 64 * 1024},
        telemetry={"tracing": False},
    )
    app.state.services = services
    app.state.access = Access()
    app.state.metrics = Metrics(services.counters, services.work)
    app.state.error_page = error_page
    problems.install(app)
    for router in API_ROUTERS:
        app.include_router(router, responses=problems.PROBLEM_RESPONSES)
    for router in PAGE_ROUTERS:
        app.include_router(router, include_in_schema=False)
    app.mount("/static", _Files(directory=STATIC), name="static")
    app.openapi = document_of(app)  # type: ignore[method-assign]  # as FastAPI's guide has it
    tiles = urlsplit(services.settings.http.tiles_url)
    csp = content_security_policy(
        tiles_origin=f"{tiles.scheme}://{tiles.netloc}" if tiles.netloc else ""
    )
    # The last added is the outermost.
    app.add_middleware(_Measured, metrics=app.state.metrics)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=6)
    app.add_middleware(BodyLimit, limit=limit)
    app.add_middleware(HostGuard, hosts=hosts_of(services))
    app.add_middleware(SecurityHeaders, csp=csp, https=uses_https(services))
    return app


def hosts_of(services: Services) -> set[str]:
    """Names we answer to: the public one; any, where we listen to the world without having one."""
    http = services.settings.http
    public = urlsplit(http.public_url).hostname
    if public:
        return {public, http.host}
    return {http.host} if http.host in {"127.0.0.1", "::1", "localhost"} else {"*"}


def open_to_all(app: FastAPI, document: dict[str, Any]) -> None:
    """Say of each operation that nobody need sign in for, that it is so."""
    for route in iter_route_contexts(app.routes):
        item = document["paths"].get(route.path_format or "")
        if item is not None and any(Role.PUBLIC in policy.roles for policy in policies_of(route)):
            for method in route.methods or ():
                if method.lower() in item:
                    item[method.lower()]["security"] = []


def document_of(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """The OpenAPI document, with our problem in place of FastAPI's own error model."""

    def made() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            schemas = document["components"]["schemas"]
            schemas["Problem"] = ProblemOut.model_json_schema()
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            document["components"]["securitySchemes"] = {
                "key": {"type": "http", "scheme": "bearer", "bearerFormat": "lv_<id>_<secret>"}
            }
            document["security"] = [{"key": []}]
            open_to_all(app, document)
            app.openapi_schema = document
        return app.openapi_schema

    return made
