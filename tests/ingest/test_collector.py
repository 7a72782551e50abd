"""From messages to the journal, and only then the acknowledgement."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from contracts.waiting import until

from ingest.collector import Collector
from ingest.devices import DeviceEntry, Registry
from ingest.errors import JournalError, JournalFullError, Reason, SettingsError
from ingest.journal import Journal, JournalReader
from ingest.quarantine import readmit
from ingest.reading import Flag
from ingest.settings import CollectorSettings
from ingest.sources import Message
from ingest.sources.loopback import LoopbackSource
from ingest.sources.replay import RecordedMessage, ReplaySource, read_recording

NOW_MS = 1_790_000_000_000
EVERYONE = Registry(enrol=True)


class Bench:
    """A collector between a loopback source and a journal."""

    def __init__(self, folder: Path, **settings: float) -> None:
        self.source = LoopbackSource()
        self.now_ms = NOW_MS
        self.journal = Journal(
            folder / "journal.db",
            quota_bytes=10**8,
            now_ms=lambda: self.now_ms,
            min_free_bytes=0,
        )
        self.registry = EVERYONE
        self.collector = Collector(
            self.source,
            self.journal,
            registry=lambda: self.registry,
            now_ms=lambda: self.now_ms,
            settings=CollectorSettings(
                **{"linger_s": 0.002, "retry_s": 0.01, "receipts_s": 0.05, **settings}  # type: ignore[arg-type]
            ),
        )
        self.reader = JournalReader(self.journal.path)

    async def send(self, kind: str, payload: object, *, device: str = "d1") -> None:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        await asyncio.wait_for(self.source.send(f"ljusvakt/v1/g1/{device}/{kind}", body), 10)

    def rows(self, quantity: str = "illuminance_lx") -> list[tuple[str, int, float]]:
        columns = self.reader.tail(quantity, -(2**60), 2**60)
        return [
            (columns.device_ids[device], time_ms, value)
            for device, time_ms, value in zip(
                columns.device.tolist(),
                columns.time_ms.tolist(),
                columns.value.tolist(),
                strict=True,
            )
        ]


@asynccontextmanager
async def collecting(folder: Path, **settings: float) -> AsyncGenerator[Bench]:
    bench = Bench(folder, **settings)
    task = asyncio.create_task(bench.collector.run())
    try:
        yield bench
        assert not task.done(), "the collector has ended"
        assert bench.reader.counters().balanced
    finally:
        await asyncio.wait_for(bench.collector.stop(), 15)
        await task
        bench.reader.close()
        bench.journal.close()


def lux(value: float, at_ms: int = NOW_MS, **more: int) -> dict[str, float]:
    return {"t": at_ms, "v": value, **more}


@pytest.mark.anyio
async def test_a_message_is_acknowledged_when_its_reading_is_in_the_journal(
    tmp_path: Path,
) -> None:
    async with collecting(tmp_path) as bench:
        await bench.send("illuminance_lx", lux(21.5))
        assert bench.rows() == [("d1", NOW_MS, 21.5)]


@pytest.mark.anyio
async def test_nothing_is_acknowledged_while_the_disk_refuses_and_all_of_it_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with collecting(tmp_path) as bench:
        commit = bench.journal.commit
        monkeypatch.setattr(bench.journal, "commit", _raise(JournalError("disk I/O error")))
        sending = [
            asyncio.create_task(bench.send("illuminance_lx", lux(i, NOW_MS + i))) for i in range(20)
        ]
        await until(lambda: bench.collector.health.journal_error == "disk I/O error")
        await asyncio.sleep(0.1)
        assert not any(task.done() for task in sending)
        assert bench.collector.health.degraded
        monkeypatch.setattr(bench.journal, "commit", commit)
        await asyncio.gather(*sending)
        assert bench.rows() == [("d1", NOW_MS + i, i) for i in range(20)]
        assert bench.collector.health.journal_error == ""


def _raise(error: Exception):  # type: ignore[no-untyped-def]
    def fail(*_: object) -> None:
        raise error

    return fail


@pytest.mark.anyio
async def test_a_full_journal_holds_everything_until_there_is_room(tmp_path: Path) -> None:
    async with collecting(tmp_path) as bench:
        await bench.send("illuminance_lx", lux(1))
        bench.journal.quota_bytes = bench.journal.used_bytes
        sending = asyncio.create_task(bench.send("illuminance_lx", lux(2, NOW_MS + 1)))
        await until(lambda: "quota" in bench.collector.health.journal_error)
        assert not sending.done()
        bench.journal.quota_bytes = 10**8
        await sending
        assert [value for *_, value in bench.rows()] == [1, 2]


@pytest.mark.anyio
async def test_the_same_message_twice_is_one_reading_and_one_duplicate(tmp_path: Path) -> None:
    async with collecting(tmp_path) as bench:
        for _ in range(3):
            await bench.send("illuminance_lx", lux(21.5, boot=1, seq=0))
        counters = bench.reader.counters()
        assert (counters.received, counters.in_journal, counters.duplicate) == (3, 1, 2)


@pytest.mark.anyio
async def test_numbered_rows_are_known_again_after_a_restart(tmp_path: Path) -> None:
    for duplicates in (0, 1):
        async with collecting(tmp_path) as bench:
            await bench.send("illuminance_lx", lux(21.5, boot=1, seq=0))
            assert bench.reader.counters().duplicate == duplicates


@pytest.mark.anyio
async def test_devices_are_told_what_is_durable_also_when_they_send_it_again(
    tmp_path: Path,
) -> None:
    async with collecting(tmp_path) as bench:
        for seq in (0, 1, 3):
            await bench.send("illuminance_lx", lux(1, NOW_MS + seq, boot=7, seq=seq))
        told = ("ljusvakt/v1/g1/d1/ack", b'{"boot":7,"seq":1}')
        await until(lambda: bench.source.published[-1:] == [told])
        bench.source.published.clear()
        await bench.send("illuminance_lx", lux(1, NOW_MS, boot=7, seq=0))
        await until(lambda: told in bench.source.published)
        assert bench.reader.counters().other["sequence_missing"] == 1
        await bench.send("illuminance_lx", lux(1, NOW_MS + 2, boot=7, seq=2))
        await until(
            lambda: (
                bench.source.published[-1:] == [("ljusvakt/v1/g1/d1/ack", b'{"boot":7,"seq":3}')]
            )
        )
        assert bench.reader.counters().other["sequence_filled"] == 1


@pytest.mark.anyio
async def test_our_own_receipts_are_ignored(tmp_path: Path) -> None:
    async with collecting(tmp_path) as bench:
        await bench.send("ack", b'{"boot":7,"seq":3}')
        assert bench.reader.counters().received == 0


POISON = [
    ("\N{REPLACEMENT CHARACTER}", b"x", Reason.UNKNOWN_TOPIC),
    ("ljusvakt/v1/g1/d 1/power_w", b'{"t":1,"v":1}', Reason.IDENTITY),
    ("ljusvakt/v1/g1/d1/power_w", b"\xff\xfe\x00", Reason.SYNTAX),
    ("ljusvakt/v1/g1/d1/power_w", b"[" * 60_000, Reason.SYNTAX),
    ("ljusvakt/v1/g1/d1/power_w", b"x" * 70_000, Reason.TOO_LARGE),
    ("ljusvakt/v1/g1/d1/power_w", b"x" * (1 << 20), Reason.TOO_LARGE),
    ("ljusvakt/v1/g1/d1/power_w", b'{"t":1790000000000,"v":-5}', Reason.RANGE),
]


@pytest.mark.anyio
async def test_poison_goes_to_quarantine_whole_is_acknowledged_and_holds_nobody_up(
    tmp_path: Path,
) -> None:
    async with collecting(tmp_path) as bench:
        for topic, payload, _ in POISON:
            await asyncio.wait_for(bench.source.send(topic, payload), 5)
        await bench.send("illuminance_lx", lux(1))
        kept = list(reversed(bench.reader.quarantined()))
        assert [(m.topic, m.payload, m.received_ms) for m in kept] == [
            (topic, payload, NOW_MS) for topic, payload, _ in POISON
        ]
        assert bench.rows() == [("d1", NOW_MS, 1)]
        assert bench.reader.counters().quarantined == len(POISON)


@pytest.mark.anyio
async def test_an_exception_in_a_decoder_costs_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ingest.intake

    decode = ingest.intake.decode

    def explode(topic: str, payload: bytes, registry: Registry):  # type: ignore[no-untyped-def]
        if b"666" in payload:
            raise RecursionError("too deep")
        return decode(topic, payload, registry)

    monkeypatch.setattr("ingest.intake.decode", explode)
    async with collecting(tmp_path) as bench:
        await bench.send("illuminance_lx", lux(666))
        await bench.send("illuminance_lx", lux(1))
        assert bench.rows() == [("d1", NOW_MS, 1)]
        (kept,) = bench.reader.quarantined()
        assert (kept.reason, json.loads(kept.payload)["v"]) == ("decoder_error", 666)


@pytest.mark.anyio
async def test_an_exception_in_the_commit_puts_the_messages_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with collecting(tmp_path) as bench:
        commit = bench.journal.commit
        failing = iter([ValueError("a bug")])

        def once(batch):  # type: ignore[no-untyped-def]
            for error in failing:
                raise error
            return commit(batch)

        monkeypatch.setattr(bench.journal, "commit", once)
        await bench.send("illuminance_lx", lux(5))
        await bench.send("illuminance_lx", lux(6))
        assert [json.loads(m.payload)["v"] for m in bench.reader.quarantined()] == [5]
        assert bench.rows() == [("d1", NOW_MS, 6)]


@pytest.mark.anyio
async def test_unknown_devices_are_quarantined_unless_enrolment_is_on(tmp_path: Path) -> None:
    async with collecting(tmp_path) as bench:
        bench.registry = Registry([DeviceEntry("known")])
        await bench.send("illuminance_lx", lux(1), device="known")
        await bench.send("illuminance_lx", lux(2), device="stranger")
        assert bench.rows() == [("known", NOW_MS, 1)]
        assert bench.reader.counters().rejected == {"unknown_device": 1}


@pytest.mark.anyio
async def test_a_registry_that_cannot_be_read_leaves_the_last_good_one(tmp_path: Path) -> None:
    async with collecting(tmp_path) as bench:
        await bench.send("illuminance_lx", lux(1))

        def broken() -> Registry:
            raise SettingsError("the file is half written")

        bench.collector._registry = broken
        await bench.send("illuminance_lx", lux(2, NOW_MS + 1))
        assert len(bench.rows()) == 2


@pytest.mark.anyio
async def test_three_identity_mismatches_are_a_security_event(tmp_path: Path) -> None:
    async with collecting(tmp_path) as bench:
        bench.registry = Registry([DeviceEntry("d1", group="elsewhere")])
        for _ in range(2):
            await bench.send("illuminance_lx", lux(1))
        assert "security_events" not in bench.reader.counters().other
        for _ in range(2):
            await bench.send("illuminance_lx", lux(1))
        assert bench.reader.counters().other["security_events"] == 1
        assert bench.reader.counters().rejected == {"identity_mismatch": 4}


@pytest.mark.anyio
async def test_old_retained_messages_are_ignored_and_counted_and_new_ones_kept(
    tmp_path: Path,
) -> None:
    async with collecting(tmp_path) as bench:
        topic = "ljusvakt/v1/g1/d1/illuminance_lx"
        for age_ms in (3 * 86_400_000, 60_000):
            body = json.dumps(lux(1, NOW_MS - age_ms)).encode()
            await bench.source.put(topic, body, retain=True)
        await bench.source.put(topic, b'{"v": 3}', retain=True)  # of no known age
        await bench.source.drained()
        assert bench.rows() == [("d1", NOW_MS - 60_000, 1)]
        assert bench.reader.counters().other["retained_ignored"] == 2


@pytest.mark.anyio
async def test_quality_0_is_marked_on_the_reading_and_counted(tmp_path: Path) -> None:
    async with collecting(tmp_path) as bench:
        await bench.source.put("ljusvakt/v1/g1/d1/power_w", json.dumps(lux(40)).encode(), qos=0)
        await bench.send("power_w", lux(41, NOW_MS + 1))
        flags = bench.reader.tail("power_w", 0, 2**60).flags.tolist()
        assert [flag & Flag.QOS0 for flag in flags] == [Flag.QOS0, 0]
        assert bench.reader.counters().other["qos0"] == 1


class Orderly(LoopbackSource):
    """Remembers the order of the acknowledgements."""

    def __init__(self) -> None:
        super().__init__(window=100_000)
        self.acknowledged: list[int] = []

    def ack(self, tokens: Sequence[int]) -> None:
        self.acknowledged += tokens
        super().ack(tokens)


def message(device: str, number: int, qos: int = 1) -> Message:
    topic = f"ljusvakt/v1/g1/{device}/illuminance_lx"
    return topic, json.dumps(lux(1, NOW_MS + number)).encode(), qos, False, number


@pytest.mark.anyio
async def test_acknowledgements_go_out_in_the_order_of_arrival_whoever_is_handled_first(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, batch_messages=10)
    source = bench.collector.source = Orderly()
    flood = [message("flood", i, qos=i % 7 and 1) for i in range(1, 301)]
    others = [message(f"d{i}", 300 + i) for i in range(1, 6)]
    for one in [*flood, *others]:
        if one[2]:
            source._unacked[one[4]] = asyncio.get_running_loop().create_future()
        source._waiting.append(one)
    source.end()
    await asyncio.wait_for(bench.collector.run(), 20)
    assert source.acknowledged == [one[4] for one in [*flood, *others] if one[2]]
    first_commit = bench.reader.entries(0, 1)[0].columns
    assert set(first_commit.device_ids) == {"flood", "d1", "d2", "d3", "d4", "d5"}
    assert len(bench.rows()) == 305
    bench.reader.close()
    bench.journal.close()


@pytest.mark.anyio
async def test_the_source_pauses_when_too_much_waits_and_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with collecting(tmp_path, inbox_messages=50, batch_messages=10) as bench:
        calls: list[str] = []
        monkeypatch.setattr(bench.source, "pause", lambda: calls.append("pause"))
        monkeypatch.setattr(bench.source, "resume", lambda: calls.append("resume"))
        await asyncio.gather(
            *[bench.send("illuminance_lx", lux(1, NOW_MS + i)) for i in range(200)]
        )
        await until(lambda: "resume" in calls)
        assert calls[:2] == ["pause", "resume"]


@pytest.mark.anyio
async def test_stopping_commits_and_acknowledges_what_has_come(tmp_path: Path) -> None:
    bench = Bench(tmp_path, linger_s=5.0)
    task = asyncio.create_task(bench.collector.run())
    await until(lambda: bench.source.status.connected)
    sending = asyncio.create_task(bench.send("illuminance_lx", lux(1)))
    await asyncio.sleep(0.05)
    assert not sending.done()
    await asyncio.wait_for(bench.collector.stop(), 2)
    await sending
    await task
    assert bench.rows() == [("d1", NOW_MS, 1)]
    bench.reader.close()
    bench.journal.close()


@pytest.mark.anyio
async def test_stopping_with_a_full_journal_gives_up_and_acknowledges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, stop_s=0.2)
    task = asyncio.create_task(bench.collector.run())
    monkeypatch.setattr(bench.journal, "commit", _raise(JournalFullError("full")))
    sending = asyncio.create_task(bench.source.send("ljusvakt/v1/g1/d1/power_w", b'{"v":1}'))
    await until(lambda: bool(bench.collector.health.journal_error))
    await asyncio.wait_for(bench.collector.stop(), 2)
    await task
    assert not sending.done()
    sending.cancel()
    bench.reader.close()
    bench.journal.close()


@pytest.mark.anyio
async def test_a_mended_decoder_takes_messages_back_from_the_quarantine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ingest.intake

    decode = ingest.intake.decode
    async with collecting(tmp_path) as bench:
        monkeypatch.setattr("ingest.intake.decode", _raise(RecursionError()))
        for i in range(5):
            batch = {"boot": 1, "seq": 2 * i, "t0": NOW_MS, "dt": [i, 10 + i], "v": [i, i]}
            await bench.send("illuminance_lx", batch)
        await bench.send("illuminance_lx", b"{")
        bench.now_ms += 5_000_000
        monkeypatch.setattr("ingest.intake.decode", decode)
        done = await asyncio.to_thread(
            readmit, bench.journal, EVERYONE, now_ms=lambda: bench.now_ms
        )
        assert (done.messages, done.readings, done.left) == (5, 10, {"decoder_error": 1})
        counters = bench.reader.counters()
        assert (counters.received, counters.in_journal, counters.quarantined) == (11, 10, 1)
        assert set(bench.reader.tail("illuminance_lx", 0, 2**60).received_ms.tolist()) == {NOW_MS}
        assert counters.balanced


@pytest.mark.anyio
async def test_a_recording_is_played_to_its_end_and_the_collector_with_it(
    tmp_path: Path,
) -> None:
    recording = tmp_path / "feed.jsonl"
    recording.write_text(
        "".join(
            json.dumps({"topic": f"ljusvakt/v1/g1/d{i % 3}/power_w", "payload": body}) + "\n"
            for i, body in enumerate(["eyJ0IjoxNzkwMDAwMDAwMDAwLCJ2IjogMX0="] * 9)
        )
    )
    bench = Bench(tmp_path)
    bench.collector.source = ReplaySource(read_recording(recording), window=4)
    await asyncio.wait_for(bench.collector.run(), 10)
    assert len(bench.rows("power_w")) == 9
    bench.reader.close()
    bench.journal.close()
    recording.write_text('{"topic": "t"}\n')
    with pytest.raises(SettingsError, match="line 1"):
        list(read_recording(recording))
    assert RecordedMessage("t", b"").qos == 1


@pytest.mark.anyio
async def test_devices_that_fall_silent_are_named(tmp_path: Path) -> None:
    async with collecting(tmp_path) as bench:
        bench.registry = Registry(
            [DeviceEntry("d1", interval_s=600), DeviceEntry("d2", interval_s=600),
             DeviceEntry("d3")]
        )  # fmt: skip
        bench.now_ms += 1_700_000
        await bench.send("power_w", lux(1))
        bench.now_ms += 200_000
        (silent,) = bench.collector.liveness.silent(bench.registry, bench.now_ms)
        assert (silent.device_id, silent.last_ms, silent.silent_s) == ("d2", None, 1900.0)
