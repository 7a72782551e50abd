"""The simulated city on a real broker: it lives, is recorded, replayed, loaded and given faults."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec
import pytest
from contracts.mosquitto_server import MosquittoServer
from contracts.waiting import until

from api.clock import Clock
from firmware_sim.city import Feeder
from firmware_sim.control import ask_demo
from firmware_sim.errors import PublishError
from firmware_sim.live import LiveCity
from firmware_sim.load import LoadPlan, run_load
from firmware_sim.publishing import BrokerAddress, paced, publish_messages, record_messages
from firmware_sim.recording import Recorded, RecordingWriter
from firmware_sim.replayed import read_messages
from firmware_sim.scenario import load_scenario
from firmware_sim.telling import history
from firmware_sim.transmission import EventRow, Rows
from firmware_sim.world import City, build_city

pytestmark = [pytest.mark.live, pytest.mark.anyio]
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
CONFIG = """listener {port} 127.0.0.1
allow_anonymous true
max_inflight_messages 0
max_queued_messages 200000
"""


@pytest.fixture
def broker(mosquitto: Path, tmp_path: Path, free_port: int) -> Iterator[BrokerAddress]:
    with MosquittoServer(mosquitto, tmp_path / "broker", free_port, CONFIG.format(port=free_port)):
        yield BrokerAddress("127.0.0.1", free_port)


def small_city(state: Path | None = None) -> City:
    scenario = load_scenario("demo").changed(luminaires=60, days=3)
    city = msgspec.structs.replace(scenario.city, counters=4, tunnels=2)
    nuisances = msgspec.structs.replace(scenario.nuisances, loss=0.0)
    return build_city(
        msgspec.structs.replace(scenario, city=city, nuisances=nuisances, fault=()), state=state
    )


@asynccontextmanager
async def heard(
    address: BrokerAddress, topic: str = "ljusvakt/v1/#"
) -> AsyncIterator[list[aiomqtt.Message]]:
    """Everything the broker carries meanwhile."""
    messages: list[aiomqtt.Message] = []
    ready = asyncio.Event()

    async def listen() -> None:
        async with address.client("listener") as client:
            await client.subscribe(topic, qos=1)
            ready.set()
            async for message in client.messages:
                messages.append(message)  # noqa: PERF401 - it is read while it grows

    task = asyncio.create_task(listen())
    await ready.wait()
    try:
        yield messages
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def forgive_closed_sockets() -> None:
    """Let aiomqtt hand a socket to the loop that the broker's death has just closed.

    It does so from its own thread; the loop's callback fails, the connection is opened anew.
    """
    loop = asyncio.get_running_loop()
    usual = loop.get_exception_handler()

    def handler(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), OSError) and usual is not None:
            usual(loop, context)

    loop.set_exception_handler(handler)


@asynccontextmanager
async def living(live: LiveCity) -> AsyncIterator[None]:
    task = asyncio.create_task(live.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def readings_of(messages: list[tuple[str, bytes]]) -> set[tuple[str, str, int, float | None]]:
    """Device, quantity, time and value of everything that was sent."""
    found: set[tuple[str, str, int, float | None]] = set()
    for topic, payload in messages:
        if not topic.endswith("/readings"):
            continue
        content = json.loads(payload)
        for name, values in content["q"].items():
            for delta, value in zip(content["dt"], values, strict=True):
                found.add((topic.split("/")[3], name, content["t0"] + delta, value))
    return {row for row in found if row[3] is not None}


@pytest.mark.slow
async def test_history_and_live_are_one_world_without_seam(broker: BrokerAddress) -> None:
    city = small_city()
    begin = city.scenario.start_ms + DAY_MS
    seam, end = begin + 20 * HOUR_MS, begin + 28 * HOUR_MS
    whole = readings_of([(t, p) for t, p, received in history(city, begin, end)])
    before = readings_of([(t, p) for t, p, _ in history(city, begin, seam)])
    clock = Clock(start_ms=seam, speed=6000)
    async with heard(broker) as messages:
        async with living(LiveCity(city, clock, "127.0.0.1", broker.port, since_ms=seam)):
            await until(lambda: clock.now_ms() > end + HOUR_MS)
            await asyncio.sleep(1)
        live = readings_of([(m.topic.value, m.payload) for m in messages])

    # A batch of the history stands at its last reading: up to six hours lie on either side.
    settled = {row for row in whole if row[2] < end - 7 * HOUR_MS}
    assert settled <= before | live
    after = {row for row in live if seam < row[2] < end}
    wanted = {
        row
        for row in readings_of([(t, p) for t, p, _ in history(city, seam, end + DAY_MS)])
        if seam < row[2] < end
    }
    assert after == wanted


@pytest.mark.slow
async def test_a_fault_set_in_from_outside_goes_out_live_and_is_repaired(
    broker: BrokerAddress, tmp_path: Path
) -> None:
    city = small_city(tmp_path / "city.json")
    feeder = next(f for f in city.feeders if not f.tunnel and not f.battery)
    clock = Clock(start_ms=city.scenario.stop_ms + 20 * HOUR_MS, speed=1800)
    live = LiveCity(city, clock, "127.0.0.1", broker.port)
    async with heard(broker) as messages, living(live):
        await until(lambda: len(messages) > 60)
        with pytest.raises(PublishError):
            await ask_demo(BrokerAddress("127.0.0.1", 1), {"action": "fault"})
        wrong = await ask_demo(
            broker, {"action": "fault", "kind": "lamp_failure", "target": "L-NO"}
        )
        answer = await ask_demo(
            broker, {"action": "fault", "kind": "feeder_out", "target": feeder.name}
        )
        out_ms = int(answer["time_ms"])
        await until(lambda: clock.now_ms() > out_ms + 2 * HOUR_MS)
        mended = await ask_demo(broker, {"action": "repair", "target": feeder.name})
        back_ms = int(mended["time_ms"])
        await until(lambda: clock.now_ms() > back_ms + HOUR_MS)
        await asyncio.sleep(0.5)
    members = set(feeder.device_ids)
    times = [
        json.loads(m.payload)["t0"] for m in messages
        if m.topic.value.split("/")[3] in members and m.topic.value.endswith("/readings")
    ]  # fmt: skip

    assert wrong["ok"] is False
    assert "L-NO" in wrong["problem"]
    assert (answer["ok"], answer["feeders"]) == (True, [feeder.name])
    assert (mended["ok"], mended["feeders"]) == (True, [feeder.name])
    assert not [t for t in times if out_ms + 20 * 60_000 < t < back_ms - 60_000]
    assert [t for t in times if t > back_ms]
    again = City(city.scenario, state=tmp_path / "city.json")
    assert again.injections == city.injections


@pytest.mark.slow
@pytest.mark.parametrize("speed", [60.0, 3600.0])
async def test_a_large_city_begins_to_talk_before_all_its_days_are_computed(
    broker: BrokerAddress, speed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = build_city(load_scenario("realistic").changed(luminaires=1_000))
    computed: list[str] = []
    usual = City.feeder_day

    def counted(city: City, feeder: Feeder, day: int, days: int = 1) -> tuple[Rows, list[EventRow]]:
        computed.append(feeder.name)
        return usual(city, feeder, day, days)

    monkeypatch.setattr(City, "feeder_day", counted)
    clock = Clock(start_ms=city.scenario.start_ms + DAY_MS // 2, speed=speed)
    live = LiveCity(city, clock, "127.0.0.1", broker.port)
    async with heard(broker) as messages, living(live):
        await until(lambda: len(messages) > 0, 60)
        by_then = len(computed)
        await until(lambda: len(computed) >= 3 * len(city.feeders), 120)

    # Today and the two days before, from which something may be held back, are three of each.
    assert 0 < by_then < 3 * len(city.feeders)


async def test_noise_on_the_control_topic_is_answered_and_survived(broker: BrokerAddress) -> None:
    live = LiveCity(small_city(), Clock(), "127.0.0.1", broker.port)

    for payload in (b"\xff", b"[]", b"{}", b'{"action": "dance", "target": "x"}'):
        assert live.obey(payload)["ok"] is False


@pytest.mark.slow
async def test_rows_without_a_receipt_are_sent_again_and_acknowledged_ones_are_not(
    broker: BrokerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firmware_sim.live.RESEND_AFTER_S", 1.5)
    city = small_city()
    clock = Clock(start_ms=city.scenario.stop_ms, speed=1800)
    live = LiveCity(city, clock, "127.0.0.1", broker.port, boot=9)
    feeder = city.feeders[0]
    answered, mute = feeder.device_ids[0], feeder.device_ids[1]
    topic = f"ljusvakt/v1/{feeder.gateway}/{answered}/ack"
    heard_here = heard(broker, f"ljusvakt/v1/{feeder.gateway}/#")
    async with heard_here as messages, living(live), broker.client("collector") as client:
        for _ in range(200):
            if numbers := numbers_of(messages, answered):
                await client.publish(topic, json.dumps({"boot": 9 << 16, "seq": max(numbers)}))
            if numbers_of(messages, mute)[0] > 1 and numbers[3]:
                break
            await asyncio.sleep(0.1)

    assert numbers_of(messages, mute)[0] > 1
    assert numbers_of(messages, answered)[0] == 1


def batches_of(messages: list[aiomqtt.Message]) -> list[tuple[str, dict[str, Any]]]:
    """Device and content of everything devices said."""
    devices = [m for m in messages if not m.topic.value.endswith("/ack")]
    return [(m.topic.value.split("/")[3], json.loads(m.payload)) for m in devices]


def numbers_of(messages: list[aiomqtt.Message], device: str) -> Counter[int]:
    """How often each row of a device came."""
    return Counter(
        number
        for name, content in batches_of(messages)
        if name == device
        for number in range(content["seq"], content["seq"] + len(content["dt"]))
    )


@pytest.mark.slow
async def test_a_city_lives_on_over_a_restart_of_the_broker(
    mosquitto: Path, tmp_path: Path, free_port: int
) -> None:
    config = CONFIG.format(port=free_port)
    address = BrokerAddress("127.0.0.1", free_port)
    city = small_city()
    clock = Clock(start_ms=city.scenario.stop_ms, speed=1800)
    live = LiveCity(city, clock, "127.0.0.1", free_port)
    forgive_closed_sockets()
    with MosquittoServer(mosquitto, tmp_path / "broker", free_port, config) as server:
        async with living(live):
            await until(lambda: live.published > 100)
            server.kill()
            gone_ms = clock.now_ms()
            await asyncio.sleep(1)
            server.start()
            async with heard(address) as messages:
                back_ms = clock.now_ms()
                await until(lambda: clock.now_ms() > back_ms + 4 * HOUR_MS)
    rows = readings_of([(m.topic.value, m.payload) for m in messages])
    meanwhile = {device for device, _, t, _ in rows if gone_ms < t < back_ms}

    assert len(meanwhile) > 0.7 * len(city.assets_rows())
    assert max(t for _, _, t, _ in rows) > back_ms + HOUR_MS


async def test_what_is_recorded_can_be_replayed(broker: BrokerAddress, tmp_path: Path) -> None:
    city = small_city()
    start_ms = city.scenario.start_ms
    sent = [Recorded(t, p, r) for t, p, r in history(city, start_ms, start_ms + DAY_MS // 2)]
    with RecordingWriter(tmp_path / "feed.jsonl.gz") as writer:
        recording = asyncio.create_task(
            record_messages(broker, ["ljusvakt/#"], writer, seconds=20, limit=len(sent))
        )
        await asyncio.sleep(0.5)
        counts = await publish_messages(paced(sent, None), broker)
        assert await recording == len(sent)
    recorded = read_messages(tmp_path / "feed.jsonl.gz")
    async with heard(broker) as messages:
        again = await publish_messages(paced(recorded, None), broker)
        await until(lambda: len(messages) >= len(sent))

    wanted = Counter((m.topic, m.payload) for m in sent)
    assert counts.acknowledged == again.acknowledged == len(sent)
    assert Counter((m.topic, m.payload) for m in recorded) == wanted
    assert Counter((m.topic.value, m.payload) for m in messages) == wanted


async def test_replay_keeps_the_recorded_pace(broker: BrokerAddress) -> None:
    messages = [Recorded("ljusvakt/v1/g/L-1/readings", b"{}", 1000 * k) for k in range(5)]

    slow = await publish_messages(paced(messages, 4.0), broker)
    fast = await publish_messages(paced(messages, None), broker)

    assert 0.9 < slow.seconds < 3
    assert fast.seconds < slow.seconds / 2


async def test_a_broker_that_goes_away_during_a_replay_gets_everything_in_the_end(
    mosquitto: Path, tmp_path: Path, free_port: int
) -> None:
    config = CONFIG.format(port=free_port)
    address = BrokerAddress("127.0.0.1", free_port)
    forgive_closed_sockets()
    messages = [Recorded(f"ljusvakt/v1/g/L-{k}/readings", b"{}", 5 * k) for k in range(600)]
    with MosquittoServer(mosquitto, tmp_path / "broker", free_port, config) as server:
        replay = asyncio.create_task(publish_messages(paced(messages, 1.0), address))
        await asyncio.sleep(1)
        server.stop()
        await asyncio.sleep(0.3)
        server.start()
        async with heard(address) as received:
            counts = await replay
            await until(lambda: received and received[-1].topic.value == messages[-1].topic)

    assert counts.acknowledged == 600
    assert counts.reconnects >= 1
    assert received[-1].topic.value == "ljusvakt/v1/g/L-599/readings"


async def test_a_load_is_delivered_with_damage_and_storms(broker: BrokerAddress) -> None:
    plan = LoadPlan(200, 400.0, 3.0, rows=3, connections=4, corrupt=0.2, storm_every_s=1.0)
    async with heard(broker) as messages:
        counts = await run_load(plan, broker)
        await until(lambda: len(messages) >= counts.messages)
    whole = [m for m in messages if is_json(m.payload)]

    assert counts.messages > 300
    assert counts.reconnects >= 4
    assert 0.1 < counts.corrupted / counts.messages < 0.4
    assert len(whole) < len(messages)
    assert len({m.topic.value for m in messages}) == 200


def is_json(payload: bytes) -> bool:
    try:
        json.loads(payload)
    except ValueError:
        return False
    return True


async def test_no_broker_at_all_is_said() -> None:
    nowhere = BrokerAddress("127.0.0.1", 1)

    with pytest.raises(PublishError, match="cannot be reached"):
        await publish_messages(paced([Recorded("t", b"", 0)], None), nowhere)
