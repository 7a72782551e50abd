"""What stands in the street, and how it is."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.assets import Asset, AssetKind
from api.auth import STAFF, Needs, Principal
from api.errors import NotFoundError
from api.operations.states import LuminaireState, LuminaireStatus
from api.pagination import PageAsked
from api.routes.shapes import AssetOut, JudgedListOf, Stale, asset_out
from api.services import ServiceDep, Services

router = APIRouter(prefix="/api/v1", tags=["assets"])
Staff = Annotated[Principal, Depends(Needs(*STAFF))]


def visible(services: Services, principal: Principal) -> Sequence[Asset]:
    """Every asset in the areas of whoever asks."""
    stands, areas = services.assets(), principal.areas
    return stands if areas is None else [asset for asset in stands if asset.area in areas]


@router.get("/assets")
def assets(
    services: ServiceDep,
    pages: PageAsked,
    principal: Staff,
    kind: AssetKind | None = None,
    state: LuminaireState | None = None,
    site: Annotated[str | None, Query(max_length=200)] = None,
    feeder: Annotated[str | None, Query(max_length=200)] = None,
    segment: Annotated[str | None, Query(max_length=200)] = None,
) -> JudgedListOf[AssetOut]:
    """Luminaires, tunnels and counters with their state, by device id."""
    states = services.states()
    rows = [
        asset
        for asset in visible(services, principal)
        if (kind is None or asset.kind is kind)
        and (site is None or asset.site == site)
        and (feeder is None or asset.feeder == feeder)
        and (segment is None or asset.segment == segment)
        and (state is None or state_of(asset, states) is state)
    ]
    page = pages.of(rows, key=lambda asset: (asset.device_id,))
    shown = [asset_out(asset, states.get(asset.device_id)) for asset in page.items]
    return JudgedListOf(items=shown, next=page.next, stale=services.stale())


def state_of(asset: Asset, states: Mapping[str, LuminaireStatus]) -> LuminaireState:
    """How it is; what nobody has judged is unknown."""
    status = states.get(asset.device_id)
    return status.state if status else LuminaireState.UNKNOWN


class AssetNowOut(AssetOut):
    """One asset with its state, and whether that may hold no more."""

    stale: Stale


@router.get("/assets/{device_id}")
def asset(device_id: str, services: ServiceDep, principal: Staff) -> AssetNowOut:
    """One asset with its state."""
    found = services.ledger.asset(device_id)
    if not principal.sees(found.area):
        raise NotFoundError(f"no asset {device_id!r}.")
    now = asset_out(found, services.states().get(device_id))
    return AssetNowOut(**now.model_dump(), stale=services.stale())
