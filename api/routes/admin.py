"""Pages for administrators: people, keys, the log of who did what, and the list of assets."""

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from api.auth import Needs, Principal, Role
from api.errors import BadInputError, ConflictError, LjusvaktError
from api.i18n import Words
from api.ledger.views import AuditAction
from api.pagination import Paging, screens
from api.problems import ProblemError
from api.routes import access
from api.routes.asset_imports import write_intake
from api.routes.rendering import new_key, page, words_of
from api.routes.repeats import Repeatable, Sent
from api.services import ServiceDep, Services
from api.street.asset_intake import AssetIntake, read_intake

router = APIRouter(prefix="/admin", route_class=Repeatable)
Admin = Annotated[Principal, Depends(Needs(Role.ADMIN, page=True))]
Operator = Annotated[Principal, Depends(Needs(Role.OPERATOR, Role.ADMIN, page=True))]
DIGEST = re.compile(r"[0-9a-f]{32}")
KEPT_S = 86_400.0
ROWS_SHOWN = 50
T = TypeVar("T")


def role_texts(words: Words) -> dict[str, str]:
    """What each role is called and may do."""
    _ = words.text
    return {
        Role.CREW.value: _("Crew: takes and mends orders of its areas"),
        Role.PLANNER.value: _("Planner: footfall and interventions"),
        Role.TESTER.value: _("Tester: sees the whole city"),
        Role.OPERATOR.value: _("Operator: orders, planned work, alerts"),
        Role.ADMIN.value: _("Administrator: everything, people and keys"),
        Role.PARTNER.value: _("Partner: what is open to all, and may report"),
        Role.PUBLIC.value: _("Public: what is open to all"),
    }


def action_texts(words: Words) -> dict[AuditAction, str]:
    """What stands in the log, in the reader's words."""
    _ = words.text
    return {
        "user_created": _("added a person"),
        "user_changed": _("changed a person"),
        "first_admin_created": _("made the first administrator"),
        "link_made": _("made a one-time link"),
        "password_set": _("chose a password"),
        "signed_out_by_admin": _("signed somebody out"),
        "sign_in": _("signed in"),
        "sign_in_refused": _("was refused at sign-in"),
        "sign_out": _("signed out"),
        "key_created": _("made a key"),
        "key_revoked": _("revoked a key"),
        "recipient_set": _("changed who is told"),
        "recipient_removed": _("tells somebody no more"),
        "work_planned": _("planned work"),
        "work_ended": _("ended planned work"),
        "calendar_made": _("made a calendar address"),
        "assets_imported": _("imported assets"),
        "situation_map_made": _("made a situation map"),
        "intervention_file_removed": _("removed a file of an intervention"),
    }


def shown(
    request: Request, principal: Principal, template: str, *, status: int = 200, **facts: Any
) -> Response:
    """A page of this family: the tabs are the same on each."""
    words = words_of(request)
    _ = words.text
    tabs = [
        ("/admin/users", _("People"), (Role.ADMIN,)),
        ("/admin/keys", _("Keys"), (Role.ADMIN,)),
        ("/admin/assets", _("Assets"), (Role.OPERATOR, Role.ADMIN)),
        ("/admin/audit", _("Log"), (Role.ADMIN,)),
    ]
    return page(
        request,
        template,
        principal=principal,
        status=status,
        here="/admin",
        tabs=[(href, text) for href, text, roles in tabs if principal.has(*roles)],
        key=new_key(),
        roles=role_texts(words),
        **facts,
    )


def field(form: FormData, name: str) -> str:
    """A field of a form; empty where it is missing."""
    value = form.get(name)
    return value.strip() if isinstance(value, str) else ""


def areas_in(form: FormData) -> list[str]:
    """Areas as people write them: with commas between."""
    return [part.strip() for part in field(form, "areas").split(",") if part.strip()]


def roles_in(form: FormData) -> list[str]:
    """Roles that were ticked."""
    return [value for value in form.getlist("roles") if isinstance(value, str)]


def tried(work: Callable[[], T], words: Words) -> tuple[T | None, str, int]:
    """What came of it; else what was wrong in a sentence, and the status that says so."""
    try:
        return work(), "", 200
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return None, f"{words.text('That cannot be used.')} {where}: {first['msg']}", 422
    except ProblemError as error:
        return None, words.text(str(error.detail)), error.status_code
    except LjusvaktError as error:
        status = 409 if isinstance(error, ConflictError) else 422
        return None, f"{error.message} {error.remedy}".strip(), status


@router.get("")
def first_page(principal: Operator) -> Response:
    """Where an administrator begins."""
    return RedirectResponse("/admin/users" if principal.has(Role.ADMIN) else "/admin/assets", 303)


# -- people ------------------------------------------------------------------------------------


def users_page(
    request: Request,
    services: Services,
    principal: Principal,
    *,
    problem: str = "",
    status: int = 200,
    given: Mapping[str, Any] | None = None,
) -> Response:
    """Everybody, and a form for one more."""
    return shown(
        request,
        principal,
        "admin_users.html",
        status=status,
        users=services.ledger.users(),
        problem=problem,
        given=given or {"name": "", "roles": ["crew"], "areas": []},
        areas=sorted({asset.area for asset in services.assets() if asset.area}),
    )


@router.get("/users")
def users(request: Request, services: ServiceDep, principal: Admin) -> Response:
    """Who may sign in."""
    return users_page(request, services, principal)


@router.post("/users")
def add_user(request: Request, form: Sent, services: ServiceDep, principal: Admin) -> Response:
    """Add a person; the next page makes the link they sign in by."""
    given = {"name": field(form, "name"), "roles": roles_in(form), "areas": areas_in(form)}

    def add() -> str:
        body = access.NewUserIn.model_validate(given | {"language": field(form, "language")})
        return access.create_user(body, Response(), services, principal).name

    name, problem, status = tried(add, words_of(request))
    if name is None:
        return users_page(request, services, principal, problem=problem, status=status, given=given)
    return RedirectResponse(f"/admin/users/{name}", 303)


def user_page(
    request: Request,
    services: Services,
    principal: Principal,
    name: str,
    *,
    problem: str = "",
    status: int = 200,
    link: str = "",
) -> Response:
    """One person; a link just made is shown here and nowhere else."""
    return shown(
        request,
        principal,
        "admin_user.html",
        status=status,
        user=services.ledger.user(name),
        problem=problem,
        link=link,
    )


@router.get("/users/{name}")
def user(
    request: Request, name: access.UserName, services: ServiceDep, principal: Admin
) -> Response:
    """One person."""
    return user_page(request, services, principal, name)


@router.post("/users/{name}")
def change_user(
    request: Request, name: access.UserName, form: Sent, services: ServiceDep, principal: Admin
) -> Response:
    """Other rights, or what the button says."""
    action = field(form, "action")
    if action == "link":
        made = access.one_time_link(name, services, principal)
        base = services.settings.http.public_url or str(request.base_url)
        return user_page(request, services, principal, name, link=base.rstrip("/") + made.path)
    if action == "sign-out":
        access.sign_out_everywhere(name, services, principal)
        return RedirectResponse(f"/admin/users/{name}", 303)

    def change() -> bool:
        body = access.UserChangeIn.model_validate(
            {
                "roles": roles_in(form),
                "areas": areas_in(form),
                "active": field(form, "active") == "yes",
                "language": field(form, "language"),
            }
        )
        access.change_user(name, body, services, principal)
        return True

    _done, problem, status = tried(change, words_of(request))
    if problem:
        return user_page(request, services, principal, name, problem=problem, status=status)
    return RedirectResponse("/admin/users", 303)


# -- keys --------------------------------------------------------------------------------------


def keys_page(
    request: Request,
    services: Services,
    principal: Principal,
    *,
    made: str = "",
    problem: str = "",
    status: int = 200,
) -> Response:
    """Every key; one just made is shown here and nowhere else."""
    return shown(
        request,
        principal,
        "admin_keys.html",
        status=status,
        keys=services.ledger.keys(),
        made=made,
        problem=problem,
    )


@router.get("/keys")
def keys(request: Request, services: ServiceDep, principal: Admin) -> Response:
    """Keys for programs."""
    return keys_page(request, services, principal)


@router.post("/keys")
def add_key(request: Request, form: Sent, services: ServiceDep, principal: Admin) -> Response:
    """Make a key, or revoke one."""
    if revoked := field(form, "revoke"):
        access.revoke_key(revoked, services, principal)
        return RedirectResponse("/admin/keys", 303)

    def make() -> str:
        given = {"name": field(form, "name"), "roles": roles_in(form), "areas": areas_in(form)}
        return access.create_key(access.NewKeyIn.model_validate(given), services, principal).key

    made, problem, status = tried(make, words_of(request))
    return keys_page(request, services, principal, made=made or "", problem=problem, status=status)


# -- the log -----------------------------------------------------------------------------------


@router.get("/audit")
def audit(
    request: Request,
    services: ServiceDep,
    principal: Admin,
    pages: Annotated[Paging, Depends(screens(ROWS_SHOWN))],
) -> Response:
    """Who did what, the newest first."""
    listed = pages.by_number(
        lambda before, limit: services.ledger.audit_entries(before=before, limit=limit)
    )
    return shown(
        request,
        principal,
        "admin_audit.html",
        entries=listed.items,
        following=listed.next,
        actions=action_texts(words_of(request)),
    )


# -- assets ------------------------------------------------------------------------------------


def kept_upload(services: Services, digest: str) -> Path | None:
    """A file that was shown and waits to be applied; gone after a day."""
    folder = services.settings.data_dir / "imports"
    if not DIGEST.fullmatch(digest):
        return None
    return next(iter(folder.glob(f"{digest}.*")), None)


def keep_upload(services: Services, intake: AssetIntake, name: str, content: bytes) -> None:
    """Keep a file until it is applied, so that it need not be chosen twice."""
    folder = services.settings.data_dir / "imports"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.stat().st_mtime < time.time() - KEPT_S:
            old.unlink(missing_ok=True)
    (folder / f"{intake.digest[:32]}{Path(name).suffix.lower()}").write_bytes(content)


def assets_page(
    request: Request,
    services: Services,
    principal: Principal,
    *,
    summary: Mapping[str, Any] | None = None,
    digest: str = "",
    etag: str = "",
    whole: bool = False,
    problem: str = "",
    status: int = 200,
) -> Response:
    """How many assets there are, a form for a file, and what it would change."""
    return shown(
        request,
        principal,
        "admin_assets.html",
        status=status,
        total=len(services.assets()),
        summary=summary,
        digest=digest,
        etag=etag,
        whole=whole,
        problem=problem,
        most=ROWS_SHOWN,
    )


@router.get("/assets")
def assets(request: Request, services: ServiceDep, principal: Operator) -> Response:
    """Bring an inventory in."""
    return assets_page(request, services, principal)


@router.post("/assets")
def import_assets(
    request: Request, form: Sent, services: ServiceDep, principal: Operator
) -> Response:
    """Show what a file would change; then write it as it was shown."""
    words = words_of(request)
    whole = field(form, "whole") == "yes"
    if digest := field(form, "digest"):
        done, problem, status = tried(
            lambda: apply_upload(services, principal, digest, field(form, "etag"), whole=whole),
            words,
        )
        return assets_page(
            request, services, principal, summary=done, problem=problem, status=status
        )
    file = form.get("file")
    name = (file.filename or "") if isinstance(file, UploadFile) else ""
    content = file.file.read() if isinstance(file, UploadFile) else b""

    def look() -> AssetIntake:
        if not name:
            raise BadInputError(words.text("Choose a file."))
        return read_intake(content, name, whole=whole)

    intake, problem, status = tried(look, words)
    if intake is None:
        return assets_page(request, services, principal, problem=problem, status=status)
    keep_upload(services, intake, name, content)
    return assets_page(
        request,
        services,
        principal,
        summary=intake.shown(services.ledger),
        digest=intake.digest[:32],
        etag=intake.etag(services.ledger),
        whole=whole,
    )


def apply_upload(
    services: Services, principal: Principal, digest: str, etag: str, *, whole: bool
) -> dict[str, Any]:
    """Write a file that was shown."""
    path = kept_upload(services, digest)
    if path is None:
        raise ProblemError(410, "The file is no longer here", detail="Choose it again.")
    intake = read_intake(path.read_bytes(), path.name, whole=whole)
    done = write_intake(services, principal, intake, etag)
    path.unlink(missing_ok=True)
    return done
