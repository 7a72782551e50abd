"""One file for each resource of the API, and the pages."""

from importlib import import_module
from typing import cast

from fastapi import APIRouter

__all__ = ["API_ROUTERS", "PAGE_ROUTERS"]

_API = (
    "health",
    "assets",
    "asset_imports",
    "city_map",
    "readings",
    "findings",
    "incidents",
    "work_orders",
    "planned_work",
    "access",
    "alerts",
    "events",
    "open311",
    "talq",
    "footfall",
    "interventions",
    "qualitative",
    "exports",
    "situation_maps",
)
_PAGES = (
    "sign_in",
    "oidc",
    "pages",
    "places",
    "planning",
    "admin",
    "intervention_pages",
    "documents",
)


def _router(name: str) -> APIRouter:
    return cast("APIRouter", import_module(f"api.routes.{name}").router)


API_ROUTERS = [_router(name) for name in _API]
PAGE_ROUTERS = [_router(name) for name in _PAGES]
