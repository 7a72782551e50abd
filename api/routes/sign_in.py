"""Signing in and out: password, one-time link, the organisation's own sign-in (OpenID Connect)."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from api.auth import EVERYONE, Needs, Principal, Role, access_of, client_of, cookie_name
from api.ledger.views import User
from api.problems import ProblemError
from api.routes.rendering import open_door, page, words_of
from api.security import same_origin
from api.services import ServiceDep, Services

router = APIRouter()
Anybody = Annotated[Principal, Depends(Needs(Role.PUBLIC, page=True))]
SIGN_INS_PER_MINUTE = 10
FROM_ONE_ADDRESS_PER_MINUTE = 30
Short = Annotated[str, Form(max_length=200)]
Next = Annotated[str, Query(max_length=300)]


def local(path: str) -> str:
    """A page of ours to go on to; never an address that another site has put there."""
    harmless = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if harmless and "\\" not in path else "/"


def from_our_page(request: Request) -> None:
    """Refuse a sign-in that another site's page sends (login CSRF)."""
    if not same_origin(request):
        raise ProblemError(403, "This did not come from one of our pages")


@router.get("/login")
def login_page(
    request: Request,
    services: ServiceDep,
    principal: Anybody,
    next: Next = "/",  # noqa: A002
) -> Response:
    """Where one signs in."""
    return form(request, services, principal, target=local(next))


def form(
    request: Request,
    services: Services,
    principal: Principal,
    *,
    target: str = "/",
    one_time: str = "",
    message: str = "",
    status: int = 200,
) -> Response:
    """The sign-in page, perhaps with what went wrong."""
    return page(
        request,
        "login.html",
        principal=principal,
        status=status,
        next=target,
        one_time=one_time,
        message=message,
        oidc=bool(services.settings.access.oidc_issuer),
    )


@router.post("/login")
def login(
    request: Request,
    services: ServiceDep,
    principal: Anybody,
    user: Short,
    password: Short,
    next: Annotated[str, Form(max_length=300)] = "/",  # noqa: A002
) -> Response:
    """Sign in by name and password; the answer never says which of the two was wrong."""
    from_our_page(request)
    access = access_of(request)
    access.hit(FROM_ONE_ADDRESS_PER_MINUTE, "sign-in", client_of(request))
    access.hit(SIGN_INS_PER_MINUTE, "sign-in", user.casefold())
    now_ms = services.clock.now_ms()
    found = services.ledger.sign_in(user, password, now_ms=now_ms)
    services.ledger.audit(
        actor=found.name if found else "",
        action="sign_in" if found else "sign_in_refused",
        subject=user,
        now_ms=now_ms,
        details={"from": client_of(request)},
    )
    if found is None:
        text = words_of(request).text("That name and password do not belong together.")
        return form(request, services, principal, target=local(next), message=text, status=401)
    return signed_in(request, services, found, local(next))


def signed_in(request: Request, services: Services, user: User, target: str) -> Response:
    """A new session, whatever session there was before (ASVS v5.0.0-7.2.4)."""
    old = request.cookies.get(cookie_name(services))
    if old:
        services.ledger.close_session(old)
    token, _session = services.ledger.open_session(
        user.id,
        now_ms=services.clock.now_ms(),
        lasts_ms=services.settings.access.session_hours * 3_600_000,
    )
    answer = RedirectResponse(target, 303)
    open_door(answer, services, token)
    return answer


@router.get("/welcome")
def welcome_page(
    request: Request,
    services: ServiceDep,
    principal: Anybody,
    token: Annotated[str, Query(min_length=20, max_length=100)],
) -> Response:
    """Where a one-time link leads: choose a password. Looking does not use the link up."""
    return form(request, services, principal, one_time=token)


@router.post("/welcome")
def welcome(
    request: Request, services: ServiceDep, principal: Anybody, token: Short, password: Short
) -> Response:
    """Use the one-time link: set the password and sign in."""
    from_our_page(request)
    access_of(request).hit(FROM_ONE_ADDRESS_PER_MINUTE, "sign-in", client_of(request))
    words = words_of(request)
    if len(password) < 12:
        text = words.text("A password has at least twelve characters.")
        return form(request, services, principal, one_time=token, message=text, status=422)
    now_ms = services.clock.now_ms()
    user = services.ledger.redeem_link(token, now_ms=now_ms)
    if user is None:
        text = words.text("This link has been used or is too old. Ask for a new one.")
        return form(request, services, principal, message=text, status=410)
    services.ledger.set_password(user.name, password)
    services.ledger.audit(actor=user.name, action="password_set", subject=user.name, now_ms=now_ms)
    return signed_in(request, services, user, "/")


@router.post("/logout")
def logout(
    request: Request,
    services: ServiceDep,
    principal: Annotated[Principal, Depends(Needs(*EVERYONE, page=True))],
) -> Response:
    """End the session; kept pages go with it."""
    if principal.session:
        services.ledger.close_session(principal.session)
        services.ledger.audit(
            actor=principal.name,
            action="sign_out",
            subject=principal.name,
            now_ms=services.clock.now_ms(),
        )
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(cookie_name(services), path="/")
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'
    return answer
