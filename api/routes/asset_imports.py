"""Inventories by HTTP: a file is shown as a difference first, and written as it was shown."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Header, Response, UploadFile
from pydantic import BaseModel, Field

from api.auth import Needs, Principal, Role
from api.problems import ProblemError
from api.routes.access import noted
from api.routes.repeats import Repeatable
from api.services import ServiceDep, Services
from api.street.asset_intake import AssetIntake, pairs_of, read_intake

router = APIRouter(prefix="/api/v1", tags=["assets"], route_class=Repeatable)
Operator = Annotated[Principal, Depends(Needs(Role.OPERATOR, Role.ADMIN))]
Short = Annotated[str, Field(max_length=300)]


class RejectedOut(BaseModel):
    """A row that cannot be used, and why."""

    line: int
    device_id: str
    reason: str


class ChangedOut(BaseModel):
    """An asset that is to change: each field with what it was and what it becomes."""

    device_id: str
    fields: dict[str, tuple[str, str]]


class AssetImportOut(BaseModel):
    """What an inventory would change, or has changed."""

    applied: bool
    read: int = Field(description="Rows that can be used")
    skipped: int = Field(description="Rows that `where` left out")
    rejected: list[RejectedOut]
    added: int
    changed: list[ChangedOut]
    removed: list[str]
    same: int
    without_order: list[str] = Field(description="Luminaires whose place in a row is not known")
    not_known: dict[str, int] = Field(description="Rows that know nothing of each column")
    ignored_columns: list[str]


def write_intake(
    services: Services, principal: Principal, intake: AssetIntake, seen: str | None
) -> dict[str, Any]:
    """Write an inventory as it was shown; used by the API and by the page alike.

    Raises
    ------
    ProblemError
        428 without the ETag of what was shown, 412 when that is something else by now.
    """
    if seen is None:
        raise ProblemError(428, "Say which difference you have seen (If-Match)")
    version = services.ledger.registry_version()
    if seen.strip() not in {"*", f'"{version}-{intake.digest[:32]}"'}:
        raise ProblemError(
            412,
            "This is not the difference that was shown",
            remedy="Send it without apply, look at it, then apply it with its ETag.",
        )
    done = intake.applied(
        services.ledger,
        services.settings.data_dir,
        now_ms=services.clock.now_ms(),
        version=version,
    )
    counts = {name: done[name] for name in ("added", "same")}
    noted(
        services,
        principal,
        "assets_imported",
        intake.digest[:32],
        **counts,
        changed=len(done["changed"]),
        removed=len(done["removed"]),
    )
    return done


@router.post("/asset-imports")
def import_assets(
    file: UploadFile,
    response: Response,
    services: ServiceDep,
    principal: Operator,
    apply: Annotated[bool, Form(description="Write it; without it only tell.")] = False,
    whole: Annotated[
        bool, Form(description="The file holds all there is: remove the others.")
    ] = False,
    segments: Annotated[
        bool, Form(description="Infer segments and their order where none is given.")
    ] = True,
    map: Annotated[  # noqa: A002 - the word stands in the form
        list[Short], Form(max_length=30, description="OURS=THEIRS, THEIRS+THEIRS joins columns")
    ] = [],  # noqa: B006 - FastAPI copies it
    where: Annotated[
        list[Short], Form(max_length=10, description="Only rows with COLUMN=VALUE")
    ] = [],  # noqa: B006 - FastAPI copies it
    if_match: Annotated[
        str | None, Header(max_length=100, description="The ETag of the difference as shown")
    ] = None,
) -> AssetImportOut:
    """Show what an inventory (CSV, xlsx, Parquet, GeoJSON) would change, or change it.

    Rows that cannot be used are listed with line and reason, and the others stand. The ETag of the
    answer names this very difference: give it as `If-Match` with `apply`.
    """
    intake = read_intake(
        file.file.read(),
        file.filename or "",
        columns=pairs_of(map, "map"),
        where=pairs_of(where, "where"),
        segments=segments,
        whole=whole,
    )
    if apply:
        return AssetImportOut.model_validate(write_intake(services, principal, intake, if_match))
    response.headers["ETag"] = intake.etag(services.ledger)
    return AssetImportOut.model_validate(intake.shown(services.ledger))
