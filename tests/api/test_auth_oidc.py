"""Signing in with the organisation's accounts, and every token that must not open the door."""

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from contracts.seeded_city import NOW_MS, client_over
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from pydantic import SecretStr

from api.problems import ProblemError
from api.routes.oidc import claims_of
from api.services import Services

ISSUER = "https://id.example"
KEY = RSAKey.generate_key(2048, {"kid": "one"}, auto_kid=False)
KEYS = KeySet([KEY])
PUBLIC = KeySet.import_key_set(KEYS.as_dict(private=False))
CHECK = {"issuer": ISSUER, "audience": "ljusvakt", "nonce": "n"}


def token(
    *, key: Any = KEY, header: dict[str, Any] | None = None, ends_in_s: int = 300, **claims: Any
) -> str:
    now = int(time.time())
    body = {
        "iss": ISSUER,
        "aud": "ljusvakt",
        "sub": "s-1",
        "nonce": "n",
        "exp": now + ends_in_s,
        "iat": now,
    }
    body = {name: value for name, value in (body | claims).items() if value is not None}
    return jwt.encode(header or {"alg": "RS256", "kid": "one"}, body, key)


@pytest.mark.parametrize("claims", [{}, {"ends_in_s": -30}, {"aud": ["x", "ljusvakt"]}])
def test_a_right_token_within_a_minute_of_its_end_is_accepted(claims: dict[str, Any]) -> None:
    assert claims_of(token(**claims), PUBLIC, **CHECK)["sub"] == "s-1"


def part(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def by_hand(algorithm: str) -> str:
    """A token no library would make: unsigned, or signed with the public key as a secret."""
    body = {"iss": ISSUER, "aud": "ljusvakt", "sub": "s-1", "nonce": "n", "exp": time.time() + 300}
    header = {"alg": algorithm, "kid": "one"}
    text = f"{part(json.dumps(header).encode())}.{part(json.dumps(body).encode())}"
    if algorithm == "none":
        return f"{text}."
    return f"{text}.{part(hmac.digest(KEY.as_pem(private=False), text.encode(), 'sha256'))}"


# Made when the test runs: their times count from then.
WRONG: list[Callable[[], str]] = [
    lambda: "",
    lambda: "x",
    lambda: "a.b.c",
    lambda: "x" * 1_000_000,
    lambda: by_hand("none"),
    lambda: by_hand("HS256"),
    lambda: token(exp=None),
    lambda: token(ends_in_s=-90),
    lambda: token(nbf=int(time.time()) + 90),
    lambda: token(iss="https://evil.example"),
    lambda: token(iss=None),
    lambda: token(aud="another"),
    lambda: token(aud=None),
    lambda: token(nonce="other"),
    lambda: token(nonce=None),
    lambda: token(sub=None),
    lambda: token(key=RSAKey.generate_key(2048, {"kid": "one"}, auto_kid=False)),
    lambda: token(
        key=ECKey.generate_key("P-256", {"kid": "two"}), header={"alg": "ES256", "kid": "two"}
    ),
    lambda: token(header={"alg": "RS256", "kid": "unknown", "jku": "https://evil.example"}),
]


@pytest.mark.parametrize("n", range(len(WRONG)))
def test_no_other_token_opens_the_door(n: int) -> None:
    with pytest.raises(ProblemError) as refused:
        claims_of(WRONG[n](), PUBLIC, **CHECK)
    assert refused.value.status_code == 401


class Issuer:
    """An identity provider, small and honest unless told otherwise."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.nonce = ""
        self.subject = "s-1"

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request.url.host)
        if request.url.path == "/.well-known/openid-configuration":
            return httpx2.Response(200, json={
                "issuer": ISSUER, "authorization_endpoint": f"{ISSUER}/authorize",
                "token_endpoint": f"{ISSUER}/token", "jwks_uri": f"{ISSUER}/keys"})  # fmt: skip
        if request.url.path == "/keys":
            return httpx2.Response(200, json=PUBLIC.as_dict(private=False))
        form = parse_qs(request.content.decode())
        assert form["code_verifier"]
        header = {"alg": "RS256", "kid": "one", "jku": "https://evil.example/keys"}
        raw = token(nonce=self.nonce, sub=self.subject, header=header)
        told = {"access_token": "a", "token_type": "Bearer", "id_token": raw}
        return httpx2.Response(200, json=told)


@pytest.fixture
def issuer(services: Services) -> Issuer:
    made = Issuer()
    access = services.settings.access.model_copy(update={
        "oidc_issuer": ISSUER,
        "oidc_client_id": "ljusvakt",
        "oidc_client_secret": SecretStr("x"),
    })  # fmt: skip
    services.settings = services.settings.model_copy(update={"access": access})
    services.oidc_transport = httpx2.MockTransport(made)
    services.ledger.create_user("anna", roles=["crew"], oidc_subject="s-1", now_ms=NOW_MS)
    return made


def begun(client: TestClient, issuer: Issuer) -> str:
    """Go to the issuer; gives the state to come back with."""
    answer = client.get("/oidc/start")
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["code_challenge_method"] == ["S256"]
    issuer.nonce = query["nonce"][0]
    return query["state"][0]


def test_a_known_person_is_signed_in_and_only_the_issuer_was_asked(
    client: TestClient, issuer: Issuer
) -> None:
    state = begun(client, issuer)
    answer = client.get("/oidc/callback", params={"code": "c", "state": state})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert client.get("/api/v1/me").json()["name"] == "anna"
    assert set(issuer.asked) == {"id.example"}


def test_a_stranger_with_a_right_token_is_not_let_in(client: TestClient, issuer: Issuer) -> None:
    issuer.subject = "s-2"
    state = begun(client, issuer)
    answer = client.get("/oidc/callback", params={"code": "c", "state": state})
    assert answer.status_code == 403
    assert "ljusvakt" not in client.cookies


def test_a_sign_in_begun_elsewhere_is_refused(
    client: TestClient, issuer: Issuer, services: Services
) -> None:
    state = begun(client, issuer)
    stranger = client_over(services)
    assert stranger.get("/oidc/callback", params={"code": "c", "state": state}).status_code == 400
    assert client.get("/oidc/callback", params={"code": "c", "state": "other"}).status_code == 400


def test_an_issuer_that_is_away_is_not_our_failure(
    client: TestClient, issuer: Issuer, services: Services
) -> None:
    assert issuer.asked == []

    def away(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("away", request=request)

    services.oidc_transport = httpx2.MockTransport(away)
    assert client.get("/oidc/start").status_code == 503


def test_without_an_issuer_there_is_no_such_way_in(client: TestClient) -> None:
    assert client.get("/oidc/start").status_code == 404
