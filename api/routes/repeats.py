"""Requests that may come again: one Idempotency-Key, one effect, one answer.

A phone without network, a proxy that gave up waiting, a double click: whoever does not know whether
a request arrived sends it again under the same key. Every route that makes or changes something is
`Repeatable`; `tests/api/test_routes_repeats.py` walks all routes and fails on one that is not.
"""

import functools
import hashlib
import hmac
import inspect
import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from starlette.datastructures import FormData, UploadFile

from api.auth import FORMS, SAFE, Principal, principal_of
from api.ledger.repeats import RememberedAnswer
from api.problems import ProblemError
from api.services import services_of

__all__ = ["REPLAYED", "Repeatable", "Seal", "Sent", "key_of"]

# Says of an answer that nothing was done for it now.
REPLAYED = "Idempotency-Replayed"
VISIBLE = re.compile(r"[!-~]{1,255}")
KEPT_HEADERS = ("content-type", "location", "etag")
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern="^[!-~]+$",
        description="Any visible characters of your own; the same request again has one effect "
        "and gets the same answer for a week.",
    ),
]


async def form_of(request: Request) -> AsyncGenerator[FormData]:
    """The form as it was sent, for routes that read its fields themselves; closed after them."""
    async with request.form() as form:
        yield form


Sent = Annotated[FormData, Depends(form_of)]


def key_of(text: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it is known again by: its key, and what it asks for."""

    request: Request
    key: str
    digest: str


async def asked(request: Request, idempotency_key: IdempotencyKey = None) -> Asked | None:
    """Key and content of this request; None where it has no key.

    A plain form carries its key in a field. Its parts are compared, not its bytes: a browser draws
    a new boundary each time, and the page's token changes with the session.
    """
    parts = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}".encode())
    key = idempotency_key
    if request.headers.get("content-type", "").startswith(FORMS):
        form = await request.form()
        field = form.get("idempotency_key")
        if key is None and isinstance(field, str) and VISIBLE.fullmatch(field):
            key = field
        for name, value in form.multi_items():
            if name == "csrf":
                continue
            content = value.encode() if isinstance(value, str) else await whole(value)
            parts.update(f"\n{name} {len(content)} ".encode() + content)
    else:
        parts.update(b"\n" + await request.body())
    return Asked(request, key, parts.hexdigest()) if key else None


async def whole(file: UploadFile) -> bytes:
    """All of an uploaded file, which can be read again afterwards."""
    content = await file.read()
    await file.seek(0)
    return content


class Repeatable(APIRoute):
    """A route whose changes, with an Idempotency-Key, happen once however often they are asked for.

    What the route does in the ledger and the answer it gives are one transaction: see
    `Ledger.once`. The policy is checked and the input validated before, each time. Only an answer
    that says yes is kept; a refusal has changed nothing, and the request is judged anew.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **how: Any) -> None:
        if set(how.get("methods") or ()) - SAFE:
            endpoint = in_one_go(endpoint, how.get("status_code") or 200)
        super().__init__(path, endpoint, **how)


def in_one_go(endpoint: Callable[..., Any], status: int) -> Callable[..., Any]:
    """The endpoint, done once under a key: in one thread, so that it is one transaction."""
    if inspect.iscoroutinefunction(endpoint):
        raise TypeError(f"{endpoint.__name__}: a route that changes things is a plain function")
    own = inspect.signature(endpoint)
    more = inspect.Parameter(
        "repeat_asked",  # a name that no endpoint of ours has
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[Asked | None, Depends(asked)],
    )

    @functools.wraps(endpoint)
    def done(*, repeat_asked: Asked | None, **given: Any) -> Any:
        if repeat_asked is None:
            return endpoint(**given)
        return once(repeat_asked, lambda: written(endpoint(**given), given, status))

    named = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own.parameters.values()]
    signature = own.replace(parameters=[*named, more])
    done.__signature__ = signature  # type: ignore[attr-defined]  # as inspect documents it
    return done


def once(wanted: Asked, answer: Callable[[], Response]) -> Response:
    """The answer, or the one that was given before.

    Raises
    ------
    ProblemError
        422 when the key was used for another request.
    """
    services = services_of(wanted.request)
    who = owner_of(principal_of(wanted.request), wanted)
    seal = Seal(services.secret, f"{who} {wanted.key}")
    with services.ledger.once(who, key_of(wanted.key), now_ms=services.clock.now_ms()) as turn:
        if turn.before is None:
            made = answer()
            if made.status_code < 400:
                sealed = seal.closed(kept_of(made))
                turn.answer = RememberedAnswer(wanted.digest, made.status_code, sealed)
            return made
        before = turn.before
    if not hmac.compare_digest(before.request_digest, wanted.digest):
        raise ProblemError(422, "This Idempotency-Key was used for another request")
    kept = seal.opened(before.body)
    return Response(kept["body"], before.status, {**kept["headers"], REPLAYED: "true"})


def owner_of(principal: Principal, wanted: Asked) -> str:
    """Whose key it is: two people who happen to send the same one are two requests.

    Of somebody unknown only the request itself says whether it is the same again.
    """
    return f"public {wanted.digest}" if principal.via == "public" else principal.id


def written(result: Any, given: Mapping[str, Any], status: int) -> Response:
    """What an endpoint gave, as the bytes that are sent."""
    if isinstance(result, Response):
        return result
    headers: dict[str, str] = {}
    for value in given.values():
        # The answer that FastAPI hands to endpoints for their headers.
        if isinstance(value, Response):
            headers = {name: value.headers[name] for name in KEPT_HEADERS if name in value.headers}
    if status == 204:
        return Response(status_code=204, headers=headers)
    return JSONResponse(jsonable_encoder(result), status, headers=headers)


def kept_of(answer: Response) -> dict[str, Any]:
    """What of an answer is given again."""
    headers = {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers}
    return {"headers": headers, "body": bytes(answer.body).decode()}


class Seal:
    """Closes what is kept, so that a secret that was shown once stands nowhere in clear.

    The key is made from the program's secret and the client's own Idempotency-Key, of which only
    the SHA-256 is kept: neither the ledger nor a backup of it opens an answer.
    """

    def __init__(self, secret: bytes, text: str) -> None:
        self._key = OctKey.import_key(hmac.new(secret, text.encode(), hashlib.sha256).digest())

    def closed(self, content: Mapping[str, Any]) -> str:
        """As an encrypted text (JWE, RFC 7516; AES-GCM)."""
        header = {"alg": "dir", "enc": "A256GCM"}
        return jwe.encrypt_compact(header, json.dumps(content).encode(), self._key)

    def opened(self, text: str) -> dict[str, Any]:
        """What was closed.

        Raises
        ------
        ProblemError
            409 when the program's secret has been changed since.
        """
        try:
            plain = jwe.decrypt_compact(text, self._key).plaintext or b"{}"
        except JoseError as error:
            raise ProblemError(409, "It was done, but its answer can no longer be read") from error
        content: dict[str, Any] = json.loads(plain)
        return content
