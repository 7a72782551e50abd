"""A cabinet dies: from 500 last gasps over MQTT to one order and one alert."""

import asyncio
import json
import time
from pathlib import Path

import aiomqtt
import pytest
from contracts.receiver import receiver
from contracts.waiting import until

from api.assets import Asset
from api.bootstrap import Part, Platform, open_platform
from api.clock import Clock
from api.operations.alerts import Channel
from api.running import side_by_side
from api.settings import BrokerSettings, NotifySettings, Settings
from api.watch.rounds import Due, RoundKind

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.anyio]
DARK, FEEDERS, LAMPS = 500, 40, 20
NIGHT_MS = 1_795_378_800_000  # Sunday 2026-11-22 21:20 in Helsingborg
ALIVE, LAST_GASP = 0, 128


def city() -> list[Asset]:
    """Forty feeders of twenty lamps; the first twenty-five hang on one cabinet."""
    return [
        Asset(
            f"L{f:02}-{i:02}",
            f"L{f:02}-{i:02}",
            segment=f"S{f}",
            segment_order=i,
            feeder=f"F{f}",
            cabinet="C-dark" if f * LAMPS < DARK else f"C{f}",
            gateway=f"G{f % 4}",
            lat=56.05,
            lon=12.69 + f / 1000 + i / 100_000,
            interval_s=600.0,
        )
        for f in range(FEEDERS)
        for i in range(LAMPS)
    ]


async def say(port: int, assets: list[Asset], bits: int, at_ms: int) -> None:
    """Each device publishes its lamp status once."""
    async with aiomqtt.Client("127.0.0.1", port) as client:
        for asset in assets:
            body = json.dumps({"t": at_ms, "v": bits})
            topic = f"ljusvakt/v1/g/{asset.device_id}/lamp_status"
            await client.publish(topic, body, qos=1)


def stored(platform: Platform) -> int:
    assert platform.reader is not None
    counts = platform.reader.counters()
    return counts.stored + counts.in_journal


@pytest.mark.timeout(240)
async def test_five_hundred_last_gasps_on_one_cabinet_are_one_order_and_one_alert_within_a_minute(
    mosquitto: Path, tmp_path: Path, free_port: int
) -> None:
    """Timed by the clock on the wall, from the last publish to the webhook's arrival."""
    assets, clock = city(), Clock(start_ms=NIGHT_MS, speed=1.0)
    with receiver(204) as (where, got):
        settings = Settings(
            data_dir=tmp_path / "data",
            broker=BrokerSettings(url="mosquitto", port=free_port),
            notify=NotifySettings(webhook_allow=[where]),
        )
        async with open_platform(
            settings, clock=clock, parts=Part.ALL, rounds_from_ms=NIGHT_MS - 600_000
        ) as platform:
            ledger, rounds = platform.ledger, platform.rounds
            assert ledger is not None
            assert rounds is not None
            assert platform.collector is not None
            collector = platform.collector
            ledger.put_assets(assets, now_ms=NIGHT_MS)
            ledger.put_recipient("jour", channel=Channel.WEBHOOK, address=f"http://{where}/")
            platform.publish_registry()
            async with side_by_side(platform.run()):
                await until(lambda: collector.health.source.connected)
                await say(free_port, assets, ALIVE, clock.now_ms())
                await until(lambda: stored(platform) == len(assets))
                assert ledger.work_orders().items == ()
                await say(free_port, assets[:DARK], LAST_GASP, clock.now_ms())
                published = time.monotonic()
                await until(lambda: got, within_s=90)
                took_s = time.monotonic() - published
                (order,) = ledger.work_orders().items
                assert (order.members, order.cause_id) == (DARK, "C-dark")
                # Later rounds say the same of the same matter: nobody is told again.
                later = [Due(RoundKind.LIGHT, clock.now_ms() + n * 600_000) for n in (1, 2)]
                await asyncio.to_thread(rounds.catch_up, later)
                assert platform.alerting is not None
                await asyncio.to_thread(platform.alerting.turn)
                assert [o.members for o in ledger.work_orders().items] == [DARK]
                assert len(got) == 1
    print(f"{DARK} of {len(assets)} luminaires: told {took_s:.1f} s after the last publish")
    assert took_s < 60
