"""Signing in with the organisation's own accounts (OpenID Connect, code flow with PKCE)."""

import hmac
import json
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Any

import httpx2
from authlib.integrations.httpx_client import OAuth2Client, OAuthError
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from api.auth import Needs, Principal, Role, access_of, client_of, uses_https
from api.ledger.views import User
from api.problems import ProblemError
from api.routes.sign_in import FROM_ONE_ADDRESS_PER_MINUTE, signed_in
from api.services import ServiceDep, Services

__all__ = ["claims_of", "router"]

router = APIRouter(prefix="/oidc")
Anybody = Annotated[Principal, Depends(Needs(Role.PUBLIC, page=True))]
COOKIE = "ljusvakt-oidc"
LASTS_S = 600
ALGORITHMS = ["RS256", "ES256"]
MOST_TOKEN = 20_000
TIMEOUT_S = 10.0


def discovered(services: Services) -> dict[str, Any]:
    """What the issuer says of itself.

    Raises
    ------
    ProblemError
        503 when it does not answer, or speaks for another.
    """
    issuer = services.settings.access.oidc_issuer.rstrip("/")
    try:
        with httpx2.Client(transport=services.oidc_transport, timeout=TIMEOUT_S) as client:
            answer = client.get(f"{issuer}/.well-known/openid-configuration")
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
    except (httpx2.HTTPError, ValueError) as error:
        raise ProblemError(503, detail="The sign-in service does not answer.") from error
    if str(found.get("issuer", "")).rstrip("/") != issuer:
        raise ProblemError(503, detail="The sign-in service speaks for another issuer.")
    return found


def client_for(services: Services, request: Request) -> Any:
    """Our side of the conversation, an `OAuth2Client`; authlib says nothing about its types."""
    access = services.settings.access
    base = services.settings.http.public_url or str(request.base_url)
    return OAuth2Client(
        access.oidc_client_id,
        access.oidc_client_secret.get_secret_value(),
        scope="openid profile",
        redirect_uri=f"{base.rstrip('/')}/oidc/callback",
        code_challenge_method="S256",
        transport=services.oidc_transport,
        timeout=TIMEOUT_S,
    )


def sealed(services: Services, content: dict[str, Any]) -> str:
    """A small signed text for a cookie."""
    text = urlsafe_b64encode(json.dumps(content).encode()).decode()
    return text + "." + hmac.new(services.secret, text.encode(), "sha256").hexdigest()


def unsealed(services: Services, sealed_text: str) -> dict[str, Any]:
    """What `sealed` was given.

    Raises
    ------
    ProblemError
        400 when it was changed, or is too old.
    """
    text, _, signature = sealed_text.partition(".")
    right = hmac.new(services.secret, text.encode(), "sha256").hexdigest()
    if not hmac.compare_digest(signature.encode(), right.encode()):
        raise ProblemError(400, "This sign-in was not begun here")
    content: dict[str, Any] = json.loads(urlsafe_b64decode(text))
    if content["until"] < time.time():
        raise ProblemError(400, "This sign-in took too long", detail="Begin again.")
    return content


@router.get("/start")
def start(request: Request, services: ServiceDep, _: Anybody) -> Response:
    """Send the browser to the organisation's own sign-in."""
    if not services.settings.access.oidc_issuer:
        raise ProblemError(404)
    access_of(request).hit(FROM_ONE_ADDRESS_PER_MINUTE, "oidc", client_of(request))
    verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    with client_for(services, request) as client:
        url, state = client.create_authorization_url(
            discovered(services)["authorization_endpoint"], code_verifier=verifier, nonce=nonce
        )
    begun = {"state": state, "verifier": verifier, "nonce": nonce, "until": time.time() + LASTS_S}
    answer = RedirectResponse(url, 303)
    # Lax, because the way back is a link from the issuer's page.
    answer.set_cookie(
        COOKIE, sealed(services, begun), max_age=LASTS_S, path="/oidc", httponly=True,
        samesite="lax", secure=uses_https(services),
    )  # fmt: skip
    return answer


@router.get("/callback")
def callback(
    request: Request,
    services: ServiceDep,
    _: Anybody,
    code: Annotated[str, Query(min_length=1, max_length=4000)],
    state: Annotated[str, Query(min_length=1, max_length=400)],
) -> Response:
    """The way back: prove it is the sign-in we began, then open a session."""
    access_of(request).hit(FROM_ONE_ADDRESS_PER_MINUTE, "oidc", client_of(request))
    begun = unsealed(services, request.cookies.get(COOKIE, ""))
    if not hmac.compare_digest(state.encode(), str(begun["state"]).encode()):
        raise ProblemError(400, "This sign-in was not begun here")
    issuer = discovered(services)
    token = exchanged(services, request, issuer, code, str(begun["verifier"]))
    claims = claims_of(
        str(token.get("id_token", "")),
        keys_of(services, str(issuer["jwks_uri"])),
        issuer=str(issuer["issuer"]),
        audience=services.settings.access.oidc_client_id,
        nonce=str(begun["nonce"]),
    )
    user = user_of(services, str(claims["sub"]))
    answer = signed_in(request, services, user, "/")
    answer.delete_cookie(COOKIE, path="/oidc")
    return answer


def exchanged(
    services: Services, request: Request, issuer: dict[str, Any], code: str, verifier: str
) -> dict[str, Any]:
    """The tokens for a code."""
    try:
        with client_for(services, request) as client:
            found: dict[str, Any] = client.fetch_token(
                issuer["token_endpoint"], code=code, code_verifier=verifier
            )
    except (OAuthError, httpx2.HTTPError, ValueError) as error:
        raise ProblemError(401, "The sign-in service did not confirm this sign-in") from error
    return found


def keys_of(services: Services, url: str) -> KeySet:
    """The issuer's keys, from the address it named in its configuration and from nowhere else."""
    try:
        with httpx2.Client(transport=services.oidc_transport, timeout=TIMEOUT_S) as client:
            answer = client.get(url)
            answer.raise_for_status()
            return KeySet.import_key_set(answer.json())
    except (httpx2.HTTPError, JoseError, ValueError) as error:
        raise ProblemError(503, detail="The sign-in service shows no keys.") from error


def claims_of(raw: str, keys: KeySet, *, issuer: str, audience: str, nonce: str) -> dict[str, Any]:
    """Claims of an identity token that is whole, current, and meant for us and this sign-in.

    The algorithms are ours to choose (ASVS v5.0.0-9.1.2); key addresses inside the token are not
    followed. Decoding alone checks no times, so the claims are validated as well.

    Raises
    ------
    ProblemError
        401 otherwise.
    """
    refused = ProblemError(401, "The sign-in service did not confirm this sign-in")
    if not raw or len(raw) > MOST_TOKEN:
        raise refused
    try:
        token = jwt.decode(raw, keys, algorithms=ALGORITHMS)
        jwt.JWTClaimsRegistry(
            leeway=60,
            exp={"essential": True},
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        ).validate(token.claims)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise refused from error
    return dict(token.claims)


def user_of(services: Services, subject: str) -> User:
    """The user with this subject. Nobody is added by signing in: an administrator does that."""
    user = services.ledger.user_of_subject(subject)
    services.ledger.audit(
        actor=user.name if user else "",
        action="sign_in" if user else "sign_in_refused",
        subject=subject,
        now_ms=services.clock.now_ms(),
        details={"by": "oidc"},
    )
    if user is None:
        raise ProblemError(403, "You are not a user here yet", detail="Ask an administrator.")
    return user
