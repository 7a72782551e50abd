"""What the tests of the API share: a seeded city, clients of every role."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from contracts.seeded_city import (
    NOW_MS,
    TOKEN,
    client_over,
    seeded_ledger,
    seeded_services,
)
from fastapi.testclient import TestClient

from api.ledger import open_ledger
from api.services import Services


@pytest.fixture(scope="session")
def seeded_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ledger of the small city, made once."""
    where = tmp_path_factory.mktemp("seed") / "ops.db"
    seeded_ledger(where).close()
    return where


@pytest.fixture
def services(seeded_file: Path, tmp_path: Path) -> Iterator[Services]:
    """Services over a copy of the small city; no demo."""
    copy = shutil.copy(seeded_file, tmp_path / "ops.db")
    made = seeded_services(tmp_path, ledger=open_ledger(copy, allow_simulated=True))
    yield made
    made.ledger.close()


@pytest.fixture
def demo_services(services: Services) -> Services:
    """The same with the demo's door open on loopback."""
    return replace(services, demo_token=TOKEN)


@pytest.fixture
def client(services: Services) -> TestClient:
    """Nobody in particular."""
    return client_over(services)


@pytest.fixture
def demo(demo_services: Services) -> TestClient:
    """Whoever runs the demo, with its token."""
    made = client_over(demo_services)
    made.headers["Authorization"] = f"Bearer {TOKEN}"
    return made


@pytest.fixture
def acting(services: Services) -> Callable[..., TestClient]:
    """A client with a key of these roles and areas."""

    def made(*roles: str, areas: tuple[str, ...] = ()) -> TestClient:
        key = services.ledger.create_key(
            f"{'-'.join(roles)} {'-'.join(areas)}".strip(), roles=roles, areas=areas, now_ms=NOW_MS
        )
        one = client_over(services)
        one.headers["Authorization"] = f"Bearer {key.secret}"
        return one

    return made
