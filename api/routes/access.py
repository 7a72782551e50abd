"""Users, keys, areas and the audit log: for administrators."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, Field

from api.auth import STAFF, Needs, Principal, Role
from api.ledger.views import AuditAction
from api.pagination import PageAsked
from api.problems import ProblemError
from api.routes.access_shapes import AuditOut, KeyOut, UserOut
from api.routes.assets import visible
from api.routes.repeats import Repeatable
from api.routes.shapes import In, ListOf, Moment, Name, time_ms_of
from api.services import ServiceDep, Services

router = APIRouter(prefix="/api/v1", tags=["access"], route_class=Repeatable)
Admin = Annotated[Principal, Depends(Needs(Role.ADMIN))]
Staff = Annotated[Principal, Depends(Needs(*STAFF))]
UserName = Annotated[str, Path(min_length=1, max_length=100)]
Roles = Annotated[list[Annotated[Role, Field(strict=False)]], Field(min_length=1, max_length=7)]
Areas = Annotated[list[Name], Field(max_length=100)]


def noted(
    services: Services, principal: Principal, action: AuditAction, subject: str, **details: Any
) -> None:
    """Write it down: who did what to whom."""
    services.ledger.audit(
        actor=principal.name,
        action=action,
        subject=subject,
        now_ms=services.clock.now_ms(),
        details=details,
    )


@router.get("/me")
def me(principal: Staff) -> dict[str, Any]:
    """Who you are to this program."""
    return {
        "id": principal.id,
        "name": principal.name,
        "roles": sorted(role.value for role in principal.roles),
        "areas": None if principal.areas is None else sorted(principal.areas),
    }


# -- areas -------------------------------------------------------------------------------------


class AreaOut(BaseModel):
    """A part of the city, and with it whoever goes there."""

    name: str
    assets: int


@router.get("/areas")
def areas(
    services: ServiceDep,
    pages: PageAsked,
    principal: Staff,
) -> ListOf[AreaOut]:
    """Areas with how much stands in each; a crew sees its own."""
    counted: dict[str, int] = {}
    for asset in visible(services, principal):
        counted[asset.area] = counted.get(asset.area, 0) + 1
    page = pages.of(
        [AreaOut(name=name, assets=n) for name, n in counted.items()], key=lambda area: (area.name,)
    )
    return ListOf(items=page.items, next=page.next)


# -- users -------------------------------------------------------------------------------------


class NewUserIn(In):
    """A person who is to sign in; the password is theirs to choose, by the one-time link."""

    name: Annotated[Name, Field(max_length=100)]
    roles: Roles
    areas: Areas = Field(default_factory=list)
    language: Annotated[str, Field(pattern="^(sv|en)$")] = "sv"


class UserChangeIn(In):
    """What may change about a user; nothing given is nothing changed."""

    roles: Roles | None = None
    areas: Areas | None = None
    active: bool | None = None
    language: Annotated[str, Field(pattern="^(sv|en)$")] | None = None


class LinkOut(BaseModel):
    """A one-time link; it is shown here and nowhere else."""

    user: str
    path: str
    valid_hours: int = 24


@router.get("/users")
def users(
    services: ServiceDep,
    pages: PageAsked,
    _: Admin,
) -> ListOf[UserOut]:
    """Everybody, by name."""
    page = pages.of(services.ledger.users(), key=lambda user: (user.name,))
    return ListOf(items=[UserOut.of(user) for user in page.items], next=page.next)


@router.post("/users", status_code=201)
def create_user(
    body: NewUserIn, response: Response, services: ServiceDep, principal: Admin
) -> UserOut:
    """Add a person; then make a one-time link for them."""
    user = services.ledger.create_user(
        body.name,
        roles=body.roles,
        areas=body.areas,
        language=body.language,
        now_ms=services.clock.now_ms(),
    )
    noted(services, principal, "user_created", user.name, roles=sorted(user.roles))
    response.headers["Location"] = f"/api/v1/users/{user.name}"
    return UserOut.of(user)


@router.get("/users/{name}")
def user(name: UserName, services: ServiceDep, _: Admin) -> UserOut:
    """One person."""
    return UserOut.of(services.ledger.user(name))


@router.patch("/users/{name}")
def change_user(
    name: UserName, body: UserChangeIn, services: ServiceDep, principal: Admin
) -> UserOut:
    """Other roles, areas or language; fewer rights end the person's sessions at once."""
    if principal.id == f"user:{services.ledger.user(name).id}" and (
        body.active is False or (body.roles is not None and Role.ADMIN not in body.roles)
    ):
        raise ProblemError(409, "An administrator cannot lock themselves out")
    changed = services.ledger.change_user(
        name, roles=body.roles, areas=body.areas, active=body.active, language=body.language
    )
    noted(
        services, principal, "user_changed", name, **body.model_dump(exclude_none=True, mode="json")
    )
    return UserOut.of(changed)


@router.post("/users/{name}/link", status_code=201)
def one_time_link(name: UserName, services: ServiceDep, principal: Admin) -> LinkOut:
    """A link by which the person chooses a password; it works once, for a day."""
    token = services.ledger.sign_in_link(name, now_ms=services.clock.now_ms())
    noted(services, principal, "link_made", name)
    return LinkOut(user=name, path=f"/welcome?token={token}")


@router.post("/users/{name}/sign-out", status_code=204)
def sign_out_everywhere(name: UserName, services: ServiceDep, principal: Admin) -> None:
    """End every session of this person."""
    services.ledger.close_sessions(name)
    noted(services, principal, "signed_out_by_admin", name)


# -- keys --------------------------------------------------------------------------------------


class NewKeyIn(In):
    """A key for a program."""

    name: Annotated[Name, Field(max_length=100)]
    roles: Roles
    areas: Areas = Field(default_factory=list)
    expires_at: Moment | None = None


class NewKeyOut(KeyOut):
    """A key just made; `key` is shown this once and kept nowhere."""

    key: str


@router.get("/keys")
def keys(
    services: ServiceDep,
    pages: PageAsked,
    _: Admin,
) -> ListOf[KeyOut]:
    """Every key ever made, without its secret."""
    page = pages.of(services.ledger.keys(), key=lambda key: (-key.created_ms, key.public_id))
    return ListOf(items=[KeyOut.of(key) for key in page.items], next=page.next)


@router.post("/keys", status_code=201)
def create_key(body: NewKeyIn, services: ServiceDep, principal: Admin) -> NewKeyOut:
    """Make a key; what it shows here is shown once."""
    made = services.ledger.create_key(
        body.name,
        roles=body.roles,
        areas=body.areas,
        expires_ms=time_ms_of(body.expires_at) if body.expires_at else None,
        now_ms=services.clock.now_ms(),
    )
    noted(services, principal, "key_created", made.key.public_id, roles=sorted(made.key.roles))
    return NewKeyOut(**KeyOut.of(made.key).model_dump(), key=made.secret)


@router.delete("/keys/{key_id}", status_code=204)
def revoke_key(
    key_id: Annotated[str, Path(min_length=1, max_length=40)],
    services: ServiceDep,
    principal: Admin,
) -> None:
    """The key works no longer, from the next request on."""
    services.ledger.revoke_key(key_id, now_ms=services.clock.now_ms())
    noted(services, principal, "key_revoked", key_id)


# -- audit -------------------------------------------------------------------------------------


@router.get("/audit")
def audit(
    services: ServiceDep,
    pages: PageAsked,
    _: Admin,
) -> ListOf[AuditOut]:
    """Who did what, the newest first. Nothing changes or removes an entry."""
    page = pages.by_number(
        lambda before, limit: services.ledger.audit_entries(before=before, limit=limit)
    )
    return ListOf(items=[AuditOut.of(entry) for entry in page.items], next=page.next)


__all__ = ["noted", "router"]
