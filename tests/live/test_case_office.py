"""Our orders in the case system of a city that has its own: two running instances."""

from pathlib import Path

import pytest
from contracts.lamp_street import NOW_MS, finding, street
from contracts.running_app import running_app
from contracts.seeded_city import seeded_services
from pydantic import SecretStr

from api.bootstrap import Platform, open_platform
from api.case_office import CaseOffice
from api.clock import Clock
from api.errors import BadInputError
from api.ledger import Ledger
from api.operations.work_orders import Action, Rejection, WorkOrderState
from api.settings import BrokerSettings, CaseSettings, Settings

pytestmark = [pytest.mark.live, pytest.mark.anyio, pytest.mark.slow]


def settings_of(folder: Path, where: str, key: str) -> Settings:
    return Settings(
        data_dir=folder,
        broker=BrokerSettings(port=0),
        case_system=CaseSettings(
            url=f"http://{where}/open311/v2",
            api_key=SecretStr(key),
            service_code="lamp_out",
            allow=[where],
        ),
    )


def turn(platform: Platform) -> Ledger:
    assert platform.cases is not None
    assert platform.ledger is not None
    platform.cases.turn()
    return platform.ledger


async def test_an_order_becomes_a_case_in_the_other_instance_and_its_end_comes_back(
    mosquitto: Path, tmp_path: Path
) -> None:
    theirs = seeded_services(tmp_path / "theirs")
    key = theirs.ledger.create_key("ljusvakt", roles=["partner"], now_ms=NOW_MS).secret
    before = len(theirs.ledger.service_requests())
    with running_app(theirs) as where:
        settings = settings_of(tmp_path / "ours", where, key)
        clock = Clock(start_ms=NOW_MS, speed=1.0)
        async with open_platform(settings, clock=clock) as platform:
            assert platform.ledger is not None
            platform.ledger.put_assets(street(), now_ms=NOW_MS)
            platform.ledger.reconcile([finding(7, "x")], now_ms=NOW_MS)
            turn(platform)
            ours = turn(platform)
            cases = theirs.ledger.service_requests()
            assert len(cases) == before + 1
            assert ours.work_order(1).links[0].remote_id == str(cases[0].id)
            order = cases[0].order_id
            assert order is not None
            theirs.ledger.transition(
                order,
                Action.REJECT,
                version=1,
                actor="them",
                now_ms=NOW_MS,
                rejection=Rejection.NOT_A_FAULT,
            )
            turn(platform)
            # Done, not proved: the light still decides.
            assert ours.work_order(1).order.state is WorkOrderState.DONE
    theirs.ledger.close()


async def test_only_the_process_that_leads_tells_the_case_system(tmp_path: Path) -> None:
    theirs = seeded_services(tmp_path / "theirs")
    ours = seeded_services(tmp_path / "ours").ledger
    ours.allow_simulated = False
    ours.put_assets(street(), now_ms=NOW_MS)
    ours.reconcile([finding(7, "x")], now_ms=NOW_MS)
    key = theirs.ledger.create_key("ljusvakt", roles=["partner"], now_ms=NOW_MS).secret
    before = len(theirs.ledger.service_requests())
    with running_app(theirs) as where:
        settings = settings_of(tmp_path, where, key).case_system
        clock = Clock(start_ms=NOW_MS, speed=1.0)
        CaseOffice(ours, settings, clock, may_send=lambda: False).turn()
        assert len(theirs.ledger.service_requests()) == before
        CaseOffice(ours, settings, clock, may_send=lambda: True).turn()
        assert len(theirs.ledger.service_requests()) == before + 1
    ours.close()
    theirs.ledger.close()


async def test_a_case_system_without_a_key_is_refused_at_the_start(tmp_path: Path) -> None:
    services = seeded_services(tmp_path)
    with pytest.raises(BadInputError, match="api_key"):
        CaseOffice(
            services.ledger,
            CaseSettings(url="https://city.example/v2"),
            services.clock,
            may_send=lambda: True,
        )
    services.ledger.close()
