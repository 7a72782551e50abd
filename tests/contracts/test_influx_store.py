import itertools
import os
from collections.abc import Iterator

import numpy as np
import pytest
from contracts.influx_server import InfluxServer, RewritingProxy
from contracts.series_store import (
    DAY_MS,
    NOON_MS,
    Row,
    SeriesStoreContract,
    columns_of,
    everything,
    oracle,
)

from ingest.reading import Flag, Quantity
from ingest.stores.influx import InfluxStore, InfluxTarget

pytestmark = pytest.mark.live
numbers = itertools.count()


def fresh(influx: InfluxServer, proxy: RewritingProxy, now_ms: int = NOON_MS) -> InfluxStore:
    database = f"city_{next(numbers)}"
    influx.query(f'CREATE DATABASE "{database}"')
    return InfluxStore(InfluxTarget(proxy.url, database), now_ms=lambda: now_ms)


class TestInfluxDB1(SeriesStoreContract):
    @pytest.fixture(params=["while it happens", "years later"])
    def store(
        self, request: pytest.FixtureRequest, influx: InfluxServer, proxy: RewritingProxy
    ) -> Iterator[InfluxStore]:
        later = 0 if request.param == "while it happens" else 86_400_000 * 700
        store = fresh(influx, proxy, NOON_MS + later)
        yield store
        store.close()


@pytest.mark.parametrize("restarted", [False, True])
def test_influxdb_agrees_with_a_loop_over_single_readings(
    influx: InfluxServer, proxy: RewritingProxy, restarted: bool
) -> None:
    rng = np.random.default_rng(20)
    for _ in range(6):
        store = fresh(influx, proxy)
        batches = [drawn(rng) for _ in range(4)]
        stored = 0
        for batch in batches:
            added = store.put(Quantity.ILLUMINANCE, columns_of(batch))
            stored += added.stored
            withdrawn = sum(bool(row[4] & Flag.WITHDRAWN) for row in batch)
            assert added.stored + added.duplicate == len(batch) - withdrawn
            if restarted:
                store.close()
                store = InfluxStore(store.target, now_ms=lambda: NOON_MS)
        assert everything(store) == oracle(batches)
        assert stored == len(oracle(batches))
        store.close()


def drawn(rng: np.random.Generator) -> list[Row]:
    """Readings that meet one another often, over two days."""
    midnight = NOON_MS + DAY_MS // 2
    return [
        (
            str(rng.choice(["a", "B", "b-1"])),
            midnight + int(rng.integers(-3, 3)),
            float(rng.choice([0.0, 1.5, 2.25])),
            NOON_MS + int(rng.integers(5)),
            int(rng.choice([0, 1, 63, int(Flag.WITHDRAWN)])),
        )
        for _ in range(rng.integers(25))
    ]


@pytest.mark.skipif(
    "LJUSVAKT_INFLUX_URL" not in os.environ, reason="LJUSVAKT_INFLUX_URL names no InfluxDB 2 or 3"
)
class TestInfluxDBOfTheEnvironment(SeriesStoreContract):
    """The bucket is emptied before each test; 3 Core cannot do that, so give it a new one."""

    @pytest.fixture
    def store(self) -> Iterator[InfluxStore]:
        target = InfluxTarget(
            os.environ["LJUSVAKT_INFLUX_URL"],
            os.environ.get("LJUSVAKT_INFLUX_BUCKET", "ljusvakt"),
            token=os.environ.get("LJUSVAKT_INFLUX_TOKEN", ""),
            org=os.environ.get("LJUSVAKT_INFLUX_ORG", ""),
        )
        store = InfluxStore(target, now_ms=lambda: NOON_MS)
        store._client.delete_api().delete(
            "1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z", "", bucket=target.bucket, org=target.org
        )
        yield store
        store.close()
