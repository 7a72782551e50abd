"""Collector, rounds and pages as processes of their own; the one that leads is killed."""

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import paho.mqtt.client as mqtt
import pytest
from contracts import ports
from contracts.ljusvakt_process import Process, bare_environment
from contracts.mosquitto_server import MosquittoServer
from contracts.postgres_server import PostgresServer
from contracts.receiver import receiver
from contracts.waiting import eventually
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


def publish(port: int, topic: str, payload: bytes) -> None:
    """One message at QoS 1, confirmed by the broker."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.publish(topic, payload, qos=1).wait_for_publish(20)
    client.disconnect()
    client.loop_stop()


@pytest.mark.parametrize("order", [("api", "collect"), ("collect", "api")], ids="-".join)
def test_what_nobody_could_read_shows_in_the_health_of_another_process(
    postgres: PostgresServer,
    mosquitto: Path,
    tmp_path: Path,
    free_port: int,
    order: tuple[str, str],
) -> None:
    url = postgres.fresh()
    now_ms = time.time_ns() // 1_000_000
    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger(url))
        key = ledger.create_key("test", roles=["operator"], now_ms=now_ms).secret
        broker = stack.enter_context(
            MosquittoServer(mosquitto, tmp_path / "mosquitto", ports.free_port())
        )
        environment = bare_environment(
            LEDGER__URL=url,
            DATA_DIR=str(tmp_path / "data"),
            BROKER__URL=f"mqtt://127.0.0.1:{broker.port}",
            HTTP__PORT=str(free_port),
            LOG="json",
        )
        for part in order:
            process = stack.enter_context(Process(part, environment))
            process.wait_for('"ready"')
        # The collector is ready when it hears: nothing that is sent from then on is missed.
        publish(broker.port, "ljusvakt/v1/g1/HBG-1/illuminance_lx", b"not a reading")
        client = stack.enter_context(
            httpx2.Client(
                base_url=f"http://127.0.0.1:{free_port}",
                headers={"Authorization": f"Bearer {key}"},
                trust_env=False,
            )
        )
        counted = eventually(
            lambda: (
                (found := client.get("/api/v1/health").json()["ingest"])["quarantined"] and found
            ),
            within_s=20,
        )
        assert (counted["received"], counted["quarantined"]) == (1, 1)
        rounds = client.get("/api/v1/health").json()["parts"]["rounds"]
        assert not rounds["ok"]
        assert "no rounds have been run" in rounds["detail"]
