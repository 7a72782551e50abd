"""The outermost layers: what every answer carries and what no request may do.

All of them are plain ASGI, so that they also hold for static files, streams and errors.
"""

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import ProblemError, problem

__all__ = [
    "CSP",
    "BodyLimit",
    "HostGuard",
    "SecurityHeaders",
    "content_security_policy",
    "is_loopback",
    "same_origin",
]

CSP: Mapping[str, str] = {
    "default-src": "'none'",
    "script-src": "'self'",
    # MapLibre sets element styles from script; attributes of style cannot run code.
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "connect-src": "'self'",
    "worker-src": "'self' blob:",
    "manifest-src": "'self'",
    "font-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}


def content_security_policy(*, tiles_origin: str = "") -> str:
    """The policy as a header; map tiles of another origin widen `connect-src` by it alone."""
    parts = dict(CSP)
    if tiles_origin:
        parts["connect-src"] += f" {tiles_origin}"
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def is_loopback(host: str | None) -> bool:
    """Whether an address or name is this machine's own."""
    if not host:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class BodyLimit:
    """No body over the limit, declared or measured while it comes; either way a problem.

    FastAPI's own `max_body_size` stands outside of every middleware and answers a declared length
    with text/plain, so it is not used.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app, self.limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is small enough."""
        if scope["type"] == "http":
            length = dict(scope["headers"]).get(b"content-length", b"0")
            if not length.isdigit():
                await problem(400, "Content-Length is not a number")(scope, receive, send)
                return
            if len(length) > 18 or int(length) > self.limit:
                await problem(413, limit=self.limit)(scope, receive, send)
                return
            receive = self.measured(receive)
        await self.app(scope, receive, send)

    def measured(self, receive: Receive) -> Receive:
        """The same messages, until there are too many bytes in them."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.limit:
                raise ProblemError(413, limit=self.limit)
            return message

        return counted


class HostGuard:
    """Answers only to the names it is known by.

    A page on the internet can point its own name at 127.0.0.1 (DNS rebinding); then the browser
    sends that name, and gets nothing.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self.app, self.hosts = app, frozenset(hosts)

    def knows(self, header: str) -> bool:
        """Whether the Host header names us."""
        try:
            name = urlsplit(f"//{header}").hostname or ""
        except ValueError:
            return False
        return "*" in self.hosts or name in self.hosts or is_loopback(name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is meant for us."""
        if scope["type"] == "http":
            host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
            if not self.knows(host):
                answer = problem(
                    421, "This server does not go by that name", remedy="set server.hosts"
                )
                await answer(scope, receive, send)
                return
        await self.app(scope, receive, send)


class SecurityHeaders:
    """Adds the headers that keep a browser from being used against its owner.

    Personal answers are not kept by any cache; static files say for themselves how long they last.
    """

    def __init__(self, app: ASGIApp, *, csp: str, https: bool) -> None:
        self.app = app
        self.fixed = [
            (b"content-security-policy", csp.encode("latin-1")),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"permissions-policy", b"camera=(), microphone=(), geolocation=(self)"),
        ]
        if https:
            self.fixed.append((b"strict-transport-security", b"max-age=31536000"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, and add the headers to the answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                added = [(n, v) for n, v in self.fixed if n not in present]
                if b"cache-control" not in present:
                    added.append((b"cache-control", b"no-store"))
                message["headers"] = [*message["headers"], *added]
            await send(message)

        await self.app(scope, receive, send_with_headers)


def same_origin(request: Request) -> bool:
    """Whether a browser says that one of our own pages sends this.

    `Sec-Fetch-Site` where the browser sends it, else `Origin`; a request with neither did not come
    from a page we can trust.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return site == "same-origin"
    sent = urlsplit(origin)
    return sent.netloc == request.headers.get("host", "") and sent.scheme in {"http", "https"}
