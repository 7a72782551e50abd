"""Many messages at once end in the same batch as one after another."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.batch import Batch
from ingest.devices import DeviceEntry, Registry
from ingest.intake import FEW_MESSAGES, Intake
from ingest.journal import Journal
from ingest.liveness import Liveness
from ingest.receipts import Receipts
from ingest.settings import CollectorSettings
from ingest.sources import Message
from ingest.wire import quick

NOW_MS = 1_790_000_000_000
MINUTE = 60_000
REGISTRY = Registry(
    [
        DeviceEntry("a", group="g"),
        DeviceEntry("b", group="g"),
        DeviceEntry("c"),
        *(DeviceEntry(f"d{number}") for number in range(4)),
        DeviceEntry("lora", dev_eui="0011223344556677"),
    ]
)

TIME = st.sampled_from(
    [NOW_MS + step for step in (0, 1, 2, 3, -MINUTE, -20 * MINUTE, -1500 * MINUTE, 6 * MINUTE)]
)
VALUE = st.sampled_from([0, 1.5, -0.0, 21, 65535, -3, None])
NUMBERED = st.one_of(
    st.just({}),
    st.builds(lambda boot, seq: {"boot": boot, "seq": seq}, st.integers(1, 2), st.integers(0, 6)),
)
SINGLE = st.builds(lambda t, v, n: {"t": t, "v": v, **n}, TIME, VALUE, NUMBERED)
COLUMN = st.builds(
    lambda t, rows, n: {"t0": t, "dt": [d for d, _ in rows], "v": [v for _, v in rows], **n},
    TIME,
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0, 2.5, 7])), min_size=1, max_size=3),
    NUMBERED,
)
BODY = st.one_of(SINGLE, COLUMN, SINGLE, st.just({"v": 1}))
WILD = st.tuples(
    st.sampled_from(["a", "a", "b", "c", "lora", "stranger"]),
    st.sampled_from(["illuminance_lx", "illuminance_lx", "power_w", "ack"]),
    BODY,
    st.sampled_from([(1, False)] * 9 + [(0, False), (1, True)]),
)
TIMELY = st.sampled_from([NOW_MS + step for step in (0, 1, 2, 3, -MINUTE, -20 * MINUTE)])
TAME = st.tuples(
    st.sampled_from(["d0", "d1", "d2", "d3"]),
    st.sampled_from(["illuminance_lx", "power_w"]),
    st.builds(lambda t, v, n: {"t": t, "v": v, **n}, TIMELY, st.sampled_from([0, 3]), NUMBERED),
    st.just((1, False)),
)
MESSAGE = st.one_of(TAME, TAME, WILD)


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    path: Path = tmp_path_factory.mktemp("journal") / "journal.db"
    return Journal(path, quota_bytes=10**8, now_ms=lambda: NOW_MS, min_free_bytes=0)


def messages_of(told: list[tuple[str, str, object, tuple[int, bool]]]) -> list[Message]:
    return [
        (f"ljusvakt/v1/g/{device}/{kind}", json.dumps(body).encode(), qos, retain, number)
        for number, (device, kind, body, (qos, retain)) in enumerate(told)
    ]


def rows_of(batch: Batch) -> dict[tuple[str, str, int], list[tuple[int, float, int, int]]]:
    """Times, values, receive times and flags in order, by quantity, device and day."""
    rows: dict[tuple[str, str, int], list[tuple[int, float, int, int]]] = {}
    for block in batch.blocks():
        columns = (block.time_ms, block.value, block.received_ms, block.flags)
        for device, *row in zip(
            block.device.tolist(), *(column.tolist() for column in columns), strict=True
        ):
            key = (block.quantity, block.device_ids[device], block.day)
            rows.setdefault(key, []).append(tuple(row))
    return rows


def outcome(journal: Journal, batches: list[list[Message]], *, at_once: bool) -> list[object]:
    """What a fresh intake makes of batches that come one after another."""
    journal.receipts = Receipts()
    intake = Intake(journal, REGISTRY, CollectorSettings(), Liveness(since_ms=NOW_MS))
    told: list[object] = []
    for number, messages in enumerate(batches):
        received_ms = [NOW_MS + number * 6 * MINUTE + i // 4 for i in range(len(messages))]
        if at_once:
            batch = intake.read(messages, received_ms)
        else:
            batch = Batch()
            batch.counts["messages"] += len(messages)
            for (topic, payload, qos, retain, _), at_ms in zip(messages, received_ms, strict=True):
                intake.take(batch, topic, payload, at_ms, qos, retain)
        told += [
            +batch.counts,
            rows_of(batch),
            [(bad.topic, bad.payload, bad.reason, bad.received_ms) for bad in batch.bad],
            sorted(batch.sequences.rows()),
        ]
    votes = {k: (v.bits, v.count, v.last_ms) for k, v in intake.clocks.suspects.items()}
    return [*told, votes, intake.due, intake.liveness.last_ms, sorted(intake.receipts())]


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.lists(MESSAGE, min_size=FEW_MESSAGES, max_size=FEW_MESSAGES + 8),
        min_size=1,
        max_size=4,
    )
)
def test_a_batch_read_at_once_is_the_batch_read_one_by_one(
    journal: Journal, told: list[list[tuple[str, str, object, tuple[int, bool]]]]
) -> None:
    batches = [messages_of(one) for one in told]
    # The first time only teaches the topics; what was taught must not change what is read.
    assert outcome(journal, [*batches, *batches], at_once=True) == outcome(
        journal, [*batches, *batches], at_once=False
    )


def test_ordinary_messages_take_the_quick_way(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.receipts = Receipts()
    intake = Intake(journal, REGISTRY, CollectorSettings(), Liveness(since_ms=NOW_MS))
    messages: list[Message] = [
        (
            "ljusvakt/v1/g/a/power_w",
            b'{"boot":1,"seq":%d,"t":%d,"v":1}' % (i, NOW_MS + i),
            1,
            False,
            i,
        )
        for i in range(FEW_MESSAGES)
    ]
    received_ms = [NOW_MS] * len(messages)
    intake.read(messages, received_ms)
    monkeypatch.setattr(Intake, "take", lambda *_: pytest.fail("one by one"))
    again = intake.read(messages, received_ms)
    assert again.counts["duplicate"] == len(messages)
    assert (again.rows, len(again.sequences)) == (0, 0)


def test_an_exception_in_the_quick_way_costs_nothing(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(quick, "read", explode)
    journal.receipts = Receipts()
    intake = Intake(journal, REGISTRY, CollectorSettings(), Liveness(since_ms=NOW_MS))
    messages: list[Message] = [
        ("ljusvakt/v1/g/a/power_w", b'{"t":%d,"v":1}' % (NOW_MS + i), 1, False, i)
        for i in range(FEW_MESSAGES)
    ]
    batch = intake.read(messages, [NOW_MS] * len(messages))
    assert (batch.rows, batch.bad) == (len(messages), [])
