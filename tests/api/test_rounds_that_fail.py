"""While rounds fail, the last good result is served, and it is said how old it is."""

from pathlib import Path

import pytest
from contracts.seeded_city import (
    DAY_MS,
    HOUR_MS,
    NOW_MS,
    TOKEN,
    assets,
    client_over,
    findings,
)

from api.bootstrap import Platform, open_platform
from api.clock import Clock
from api.operations.states import LuminaireState
from api.settings import BrokerSettings, Settings
from api.watch.rounds import MINUTE_MS
from ingest.reading import Quantity
from ingest.stores.parquet import ParquetStore


class Moved(Clock):
    """Stands where it is put."""

    def __init__(self, at_ms: int) -> None:
        super().__init__(start_ms=at_ms, held=True)
        self.at_ms = at_ms

    def now_ms(self) -> int:
        return self.at_ms


JUDGED = ("work-orders", "findings", "incidents", "assets", "map")


def marked_stale(platform: Platform) -> set[bool]:
    """What every answer says that a client decides by."""
    assert platform.services is not None
    with client_over(platform.services) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        answers = [client.get(f"/api/v1/{name}").json() for name in JUDGED]
        singles = [
            client.get(f"/api/v1/work-orders/{answers[0]['items'][0]['id']}").json(),
            client.get(f"/api/v1/assets/{answers[3]['items'][0]['device_id']}").json(),
        ]
        told = {
            "ljusrond på en timme" in client.get(page).text for page in ("/", "/orders", "/crew")
        }
    return {answer["stale"] for answer in answers + singles} | told


def served(platform: Platform) -> tuple[list[object], str, dict[str, object]]:
    """The work orders, how all is, and how the rounds are, as a crew's program is told."""
    assert platform.services is not None
    with client_over(platform.services) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        orders = client.get("/api/v1/work-orders").json()["items"]
        health = client.get("/api/v1/health").json()
    return orders, health["status"], health["parts"]["rounds"]


@pytest.mark.slow
@pytest.mark.anyio
async def test_d10_when_rounds_fail_the_last_good_result_is_served_and_said_to_be_old(
    tmp_path: Path,
) -> None:
    clock = Moved(NOW_MS)
    settings = Settings(data_dir=tmp_path, broker=BrokerSettings(url="amqtt", port=0))
    async with open_platform(
        settings, clock=clock, demo_token=TOKEN, rounds_from_ms=NOW_MS - 10 * MINUTE_MS
    ) as platform:
        ledger, rounds = platform.ledger, platform.rounds
        assert ledger is not None
        assert rounds is not None
        stands = assets()
        ledger.put_assets(stands, now_ms=NOW_MS)
        found = findings(stands)
        states = {one.device_id: LuminaireState.FAULTY for one in found}
        ledger.reconcile(found, now_ms=NOW_MS, states=states, settled=True)
        assert rounds.turn()
        before, _, part = served(platform)
        assert len(before) == 6
        assert part["ok"]
        assert marked_stale(platform) == {False}

        assert isinstance(platform.store, ParquetStore)
        damaged = platform.store.part(Quantity.ILLUMINANCE, NOW_MS // DAY_MS)
        damaged.parent.mkdir(parents=True)
        damaged.write_bytes(b"no Parquet")
        clock.at_ms += 16 * HOUR_MS  # past noon, when the night is settled
        for _ in range(3):
            assert rounds.turn()
        orders, status, part = served(platform)
        assert orders == before
        assert (status, part["ok"]) == ("degraded", False)
        assert part["detail"] == "the last round was 960 minutes ago"
        assert marked_stale(platform) == {True}

        damaged.unlink()
        assert rounds.turn()
        _, _, part = served(platform)
        assert part["ok"]
        assert marked_stale(platform) == {False}
