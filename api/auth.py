"""Who is asking, and whether they may: sessions, keys, roles, areas, limits."""

import hmac
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from fastapi import Request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from api.ledger import Ledger
from api.problems import ProblemError
from api.security import is_loopback, same_origin
from api.services import Services, services_of

__all__ = [
    "CITY",
    "EVERYONE",
    "STAFF",
    "Access",
    "Needs",
    "Principal",
    "Role",
    "first_link",
    "limited",
    "policies_of",
    "principal_of",
]


class Role(StrEnum):
    """What a person or program is to the city."""

    CREW = "crew"
    PLANNER = "planner"
    TESTER = "tester"
    OPERATOR = "operator"
    ADMIN = "admin"
    PARTNER = "partner"
    PUBLIC = "public"


# Those who work for the whole city; a crew sees its own areas only.
CITY = frozenset({Role.PLANNER, Role.TESTER, Role.OPERATOR, Role.ADMIN})
STAFF = CITY | {Role.CREW}
EVERYONE = frozenset(Role)


@dataclass(frozen=True)
class Principal:
    """Whoever is behind a request.

    Attributes
    ----------
    id : str
        "user:3", "key:ab12", "demo", or "public".
    name : str
        As shown, and as written into histories.
    roles : frozenset of Role
    areas : frozenset of str or None
        Areas it may see; None = the whole city.
    via : str
        "session", "key", "token" or "public".
    csrf : str
        What forms of this session carry.
    demo : bool
        Whether it is the demo's open door on loopback.
    user_id : int or None
    session : str
        The session's token, to end it by.
    """

    id: str
    name: str
    roles: frozenset[Role]
    areas: frozenset[str] | None = None
    via: str = "public"
    csrf: str = ""
    demo: bool = False
    user_id: int | None = None
    session: str = field(default="", repr=False)

    def has(self, *roles: Role) -> bool:
        """Whether it has one of these roles; an administrator has all that staff have."""
        return bool(self.roles.intersection(roles)) or (
            Role.ADMIN in self.roles and bool(STAFF.intersection(roles))
        )

    def sees(self, area: str) -> bool:
        """Whether things in this area are its business."""
        return self.areas is None or area in self.areas

    @property
    def area_filter(self) -> tuple[str, ...] | None:
        """For the ledger's filters; an empty tuple shows nothing."""
        return None if self.areas is None else tuple(sorted(self.areas))


PUBLIC = Principal("public", "", frozenset({Role.PUBLIC}), frozenset())


def areas_of(roles: Iterable[str], areas: Iterable[str]) -> frozenset[str] | None:
    """Which areas somebody with these roles sees: staff all, a crew its own (none named: all)."""
    return None if CITY.intersection(roles) else frozenset(areas) or None


def roles_of(names: Iterable[str]) -> frozenset[Role]:
    """The roles among these names; what is no role (any more) gives nothing."""
    known = {role.value for role in Role}
    return frozenset(Role(name) for name in names if name in known)


# -- limits ------------------------------------------------------------------------------------


@dataclass
class Access:
    """What the app remembers between requests to keep the door: limits and streams."""

    limiter: MovingWindowRateLimiter = field(
        default_factory=lambda: MovingWindowRateLimiter(MemoryStorage())
    )
    streams: dict[str, int] = field(default_factory=dict[str, int])
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hit(self, per_minute: int, *who: str) -> None:
        """Count one request.

        Raises
        ------
        ProblemError
            429 when there were too many in the last minute.
        """
        item = RateLimitItemPerMinute(per_minute)
        if not self.limiter.hit(item, *who):
            reset, _left = self.limiter.get_window_stats(item, *who)
            raise ProblemError(429, headers={"Retry-After": str(max(1, round(reset) % 60))})


def access_of(request: Request) -> Access:
    """The door of the app that answers."""
    found: Access = request.app.state.access
    return found


def client_of(request: Request) -> str:
    """Address of the peer; behind a proxy uvicorn has put the client's there, if trusted."""
    return request.client.host if request.client else ""


def limited(request: Request, principal: Principal) -> None:
    """Count this request for whoever asks, on this route."""
    services = services_of(request)
    who = client_of(request) if principal.via == "public" else principal.id
    route = request.scope.get("route")
    path = getattr(route, "path", request.url.path)
    access_of(request).hit(services.requests_per_minute, who, request.method, path)


# -- who ---------------------------------------------------------------------------------------


def cookie_name(services: Services) -> str:
    """`__Host-` binds the cookie to this host and to https; plain http on loopback cannot."""
    return "__Host-ljusvakt" if uses_https(services) else "ljusvakt"


def uses_https(services: Services) -> bool:
    """Whether people reach us by https."""
    return services.settings.http.public_url.startswith("https://")


def is_demo_client(request: Request, services: Services) -> bool:
    """Whether the demo's open door stands open for this peer: on this machine only."""
    return bool(services.demo_token) and is_loopback(client_of(request))


def _by_header(request: Request, services: Services) -> Principal | None:
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    refused = ProblemError(401, headers={"WWW-Authenticate": "Bearer"})
    if scheme.lower() != "bearer" or not token or len(token) > 300 or not token.isascii():
        raise refused
    if is_demo_client(request, services) and hmac.compare_digest(token, services.demo_token):
        return Principal("demo", "demo", frozenset(Role), None, "token", demo=True)
    found = by_key(token, services)
    if found is None:
        raise refused
    return found


def by_key(token: str, services: Services) -> Principal | None:
    """Whose key this is; None where it is none, or no longer one."""
    key = services.ledger.key_of(token, now_ms=services.clock.now_ms())
    if key is None:
        return None
    roles = roles_of(key.roles)
    return Principal(f"key:{key.public_id}", key.name, roles, areas_of(roles, key.areas), "key")


def demo_cookie(services: Services) -> str:
    """What the browser carries after it has opened a page of the demo."""
    return "demo." + hmac.new(services.demo_token.encode(), b"cookie", "sha256").hexdigest()


def demo_visitor(services: Services) -> Principal:
    """Whoever opens the demo's pages on this machine: every role."""
    csrf = hmac.new(services.demo_token.encode(), b"csrf", "sha256").hexdigest()
    return Principal("demo", "demo", frozenset(Role), None, "session", csrf=csrf, demo=True)


def _by_cookie(request: Request, services: Services) -> Principal | None:
    token = request.cookies.get(cookie_name(services))
    if not token or len(token) > 100 or not token.isascii():
        return None
    if token.startswith("demo."):
        open_door = is_demo_client(request, services)
        right = open_door and hmac.compare_digest(token, demo_cookie(services))
        return demo_visitor(services) if right else None
    found = services.ledger.session_of(token, now_ms=services.clock.now_ms())
    if found is None:
        return None
    user, roles = found.user, roles_of(found.user.roles)
    return Principal(
        f"user:{user.id}",
        user.name,
        roles,
        areas_of(roles, user.areas),
        "session",
        csrf=found.csrf,
        user_id=user.id,
        session=token,
    )


def principal_of(request: Request) -> Principal:
    """Who is asking: by key or token in the header, by session, else the public.

    Found once for a request and kept with it. Reads the ledger: call it in a thread.

    Raises
    ------
    ProblemError
        401 for a key that is none, 400 for a key in the address, where logs would keep it.
    """
    kept = getattr(request.state, "principal", None)
    if isinstance(kept, Principal):
        return kept
    if any(value.startswith("lv_") for value in request.query_params.values()):
        raise ProblemError(400, "A key belongs in the Authorization header, not in the address")
    services = services_of(request)
    found = _by_header(request, services) or _by_cookie(request, services) or PUBLIC
    request.state.principal = found
    return found


SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


async def check_origin(request: Request, csrf: str) -> None:
    """A change by a browser's session must come from one of our own pages.

    Raises
    ------
    ProblemError
        403 where the browser does not say so, or the page's token is missing.
    """
    if not same_origin(request):
        raise ProblemError(403, "This did not come from one of our pages")
    token: str | UploadFile | None = request.headers.get("x-csrf-token")
    if token is None and request.headers.get("content-type", "").startswith(FORMS):
        token = (await request.form()).get("csrf")
    if not isinstance(token, str) or not hmac.compare_digest(token.encode(), csrf.encode()):
        raise ProblemError(403, "The page is too old", detail="Load it again and repeat.")


class Needs:
    """The policy of a route: which roles may call it. Every route has exactly one.

    Parameters
    ----------
    *roles : Role
        Any of them suffices; with `Role.PUBLIC` among them nobody need sign in.
    page : bool
        Whether a person's browser asks: then signing in is offered instead of refused, and the
        demo's door on loopback stands open.

    Raises
    ------
    ProblemError
        401 when nobody known asks, 403 when somebody may not, 429 when too often.
    """

    def __init__(self, *roles: Role, page: bool = False) -> None:
        if not roles:
            raise ValueError("a policy names at least one role")
        self.roles = frozenset(roles)
        self.page = page

    async def __call__(self, request: Request) -> Principal:
        """Whoever asks, if they may."""
        principal = await run_in_threadpool(principal_of, request)
        services = services_of(request)
        if self.page and principal.via == "public" and is_demo_client(request, services):
            principal = request.state.principal = demo_visitor(services)
        limited(request, principal)
        if Role.PUBLIC not in self.roles and not principal.has(*self.roles):
            self.refuse(request, principal)
        if request.method not in SAFE and principal.via == "session":
            await check_origin(request, principal.csrf)
        return principal

    def refuse(self, request: Request, principal: Principal) -> None:
        """Ask to sign in, or say no."""
        if principal.via != "public":
            raise ProblemError(403)
        if self.page and request.method in SAFE:
            raise ProblemError(303, headers={"Location": f"/login?next={request.url.path}"})
        raise ProblemError(401, headers={"WWW-Authenticate": "Bearer"})


def principal_again(request: Request, before: Principal) -> Principal | None:
    """The same principal as it is by now; None when its session or key holds no longer."""
    if before.demo:
        return before
    request.state.principal = None
    try:
        found = principal_of(request)
    except ProblemError:
        return None
    return found if found.id == before.id and found.has(*STAFF) else None


def policies_of(route: Any) -> Iterator[Needs]:
    """The policies among a route's dependencies, however deep; there must be exactly one.

    Parameters
    ----------
    route : fastapi.routing.RouteContext
    """
    waiting = [getattr(route, "dependant", None)]
    while waiting:
        dependant = waiting.pop()
        if dependant is None:
            continue
        if isinstance(dependant.call, Needs):
            yield dependant.call
        waiting += dependant.dependencies


def first_link(ledger: Ledger, *, now_ms: int) -> str | None:
    """Where the first administrator chooses a password; None once somebody can sign in.

    No password is ever made up by the program: the link works once, for a day, and a new start
    before it was used makes a new one.
    """
    users = ledger.users()
    if any(user.has_password or user.oidc_subject for user in users):
        return None
    if not any(user.name == FIRST_ADMIN for user in users):
        ledger.create_user(FIRST_ADMIN, roles=[Role.ADMIN], now_ms=now_ms)
        ledger.audit(
            actor="ljusvakt", action="first_admin_created", subject=FIRST_ADMIN, now_ms=now_ms
        )
    return f"/welcome?token={ledger.sign_in_link(FIRST_ADMIN, now_ms=now_ms)}"


FIRST_ADMIN = "admin"
