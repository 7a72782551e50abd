"""Collector, rounds and pages as processes of their own; the one that leads is killed."""

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from contracts.ljusvakt_process import Process, bare_environment, eventually
from contracts.postgres_server import PostgresServer
from contracts.receiver import receiver
from street_of_lamps import Street

from analytics.grid import DAY_MS, window_start
from api.ledger import Ledger, open_ledger
from api.operations.alerts import Channel
from ingest.reading import Quantity
from ingest.stores.parquet import ParquetStore

pytestmark = [pytest.mark.live, pytest.mark.slow]
LEADS = "this process runs the rounds"


def one_dark_lamp(folder: Path, ledger: Ledger) -> None:
    """A street of the last two nights, with a lamp that went dark in the second."""
    now_ms = time.time_ns() // 1_000_000
    street = Street(nights=2, first_night=now_ms // DAY_MS - 3)
    street.lit[2, street.at(1, 5) :] = 0
    lux = street.store().columns(Quantity.ILLUMINANCE, start_ms=0, stop_ms=2**60)
    ParquetStore(folder / "archive").add(Quantity.ILLUMINANCE, lux)
    ledger.put_assets(street.assets, now_ms=window_start(street.first_night))


def test_when_the_leading_rounds_process_is_killed_another_goes_on(
    postgres: PostgresServer, mosquitto: Path, tmp_path: Path, free_port: int
) -> None:
    url = postgres.fresh()
    data = tmp_path / "data"
    data.mkdir()
    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger(url))
        one_dark_lamp(data, ledger)
        where, got = stack.enter_context(receiver(204))
        environment = bare_environment(
            LEDGER__URL=url,
            DATA_DIR=str(data),
            BROKER__PORT="0",
            NOTIFY__WEBHOOK_ALLOW=json.dumps([where]),
            LOG="json",
        )
        # In an order nobody would choose: the collector last.
        pages = stack.enter_context(Process("api", environment, "--port", str(free_port)))
        pages.wait_for('"ready"')
        first = stack.enter_context(Process("rounds", environment))
        first.wait_for(LEADS)
        second = stack.enter_context(Process("rounds", environment))
        collect = stack.enter_context(Process("collect", environment))

        key = ledger.create_key("test", roles=["operator"], now_ms=time.time_ns() // 1_000_000)
        client = stack.enter_context(
            httpx2.Client(
                base_url=f"http://127.0.0.1:{free_port}",
                headers={"Authorization": f"Bearer {key.secret}"},
                trust_env=False,
            )
        )

        def orders() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = client.get("/api/v1/work-orders").json()["items"]
            return found

        (order,) = eventually(orders)
        assert (order["kind"], order["cause_id"]) == ("lamp_failure", "L0-02")

        collect.wait_for('"ready"')
        second.wait_for('"ready"')
        assert LEADS not in second.drained()
        ledger.put_recipient("jour", channel=Channel.WEBHOOK, address=f"http://{where}/")
        first.kill()
        killed = time.monotonic()
        second.wait_for(LEADS)
        took_s = time.monotonic() - killed
        made = client.post(
            "/api/v1/work-orders",
            json={"kind": "lamp_failure", "device_ids": ["L1-03"], "note": "seen by eye"},
            headers={"Idempotency-Key": "seen-by-eye"},
        )
        assert made.status_code == 201, made.text
        eventually(lambda: got)
        assert len(orders()) == 2
        print(f"another leads {took_s:.1f} s after the kill; {len(got)} messages")
        assert took_s < 30
