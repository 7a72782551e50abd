"""Collector, rounds and pages as processes of their own; the one that leads is killed."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest
from contracts.postgres_server import PostgresServer
from contracts.receiver import receiver
from street_of_lamps import Street

from analytics.grid import DAY_MS, window_start
from api.ledger import Ledger, open_ledger
from api.operations.alerts import Channel
from ingest.reading import Quantity
from ingest.stores.parquet import ParquetStore

pytestmark = [pytest.mark.live, pytest.mark.slow]
LJUSVAKT = Path(sys.executable).with_name("ljusvakt")
LEADS = "this process runs the rounds"


class Process:
    """`ljusvakt <part> --json`, watched by what it prints; killed at the end of `with`."""

    def __init__(self, part: str, environment: dict[str, str], *arguments: str) -> None:
        self.process = subprocess.Popen(
            [LJUSVAKT, part, "--json", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        self.part = part
        self.said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def wait_for(self, text: str, *, within_s: float = 90) -> str:
        """The next line with this text in it."""
        end = time.monotonic() + within_s
        while (left := end - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                break
            assert line is not None, f"{self.part} ended: {self.said[-5:]}"
            self.said.append(line)
            if text in line:
                return line
        raise AssertionError(f"{self.part}: no {text!r} within {within_s} s: {self.said[-5:]}")

    def drained(self) -> str:
        """Everything it has printed by now."""
        while not self._lines.empty():
            self.said.append(self._lines.get() or "")
        return "".join(self.said)


def eventually(what: Callable[[], Any], *, within_s: float = 60) -> Any:
    """The first answer that is not empty; processes of others offer no event to wait for."""
    end = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < end, f"not within {within_s} s"
        time.sleep(0.2)
    return found


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
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LJUSVAKT_")}
        environment = kept | {
            "LJUSVAKT_LEDGER__URL": url,
            "LJUSVAKT_DATA_DIR": str(data),
            "LJUSVAKT_BROKER__PORT": "0",
            "LJUSVAKT_NOTIFY__WEBHOOK_ALLOW": json.dumps([where]),
            "LJUSVAKT_LOG": "json",
        }
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
