"""Decoding and judging, as multiples of msgspec's own decoding of the same bytes in the same run.

Run with `make bench`. Every figure is the median of 15 turns of 10 passes over 1,000 messages of
1,000 devices; the ways compared take their turns one after the other, so that what else the machine
does hits all alike.
"""

import statistics
import time
from collections.abc import Callable

import msgspec
import pytest

from ingest.devices import DeviceEntry, Registry
from ingest.plausibility import Clocks, judge
from ingest.wire import decode, quick

MESSAGES = 1000
TURNS, PASSES = 15, 10
NOW = 1_790_000_700_000
REGISTRY = Registry([DeviceEntry(f"lamp-{n:05d}") for n in range(MESSAGES)])
TOPICS = [f"ljusvakt/v1/street/lamp-{n:05d}/illuminance_lx" for n in range(MESSAGES)]


class One(msgspec.Struct):
    """The smallest type that one reading fits."""

    t: int
    v: float
    boot: int
    seq: int


class Columns(msgspec.Struct):
    """The smallest type that a batch fits."""

    t0: int
    dt: list[int]
    v: list[float]
    boot: int
    seq: int


def one(n: int) -> bytes:
    return b'{"boot":17,"seq":%d,"t":%d,"v":%.1f}' % (n, NOW - 1000 * n // 100, 20 + n % 70 / 10)


def columns(n: int) -> bytes:
    rows = range(20)
    return msgspec.json.encode(
        {
            "boot": 17,
            "seq": 20 * n,
            "t0": NOW - 600_000,
            "dt": [30_000 * row for row in rows],
            "v": [(200 + n % 70 + row) / 10 for row in rows],
        }
    )


@pytest.mark.parametrize(
    ("readings", "payload", "shape"), [(1, one, One), (20, columns, Columns)], ids=["1", "20"]
)
def test_decoding_and_judging_cost_a_few_times_msgspecs_own_decoding(
    readings: int, payload: Callable[[int], bytes], shape: type[msgspec.Struct]
) -> None:
    payloads = [payload(n) for n in range(MESSAGES)]
    typed = msgspec.json.Decoder(shape).decode
    untyped = msgspec.json.Decoder().decode
    clocks, topics = Clocks(), quick.Topics()
    quick.read(TOPICS, payloads, NOW, REGISTRY, clocks, topics)

    def by_msgspec() -> None:
        for body in payloads:
            typed(body)

    def by_msgspec_untyped() -> None:
        for body in payloads:
            untyped(body)

    def together() -> None:
        plain = quick.read(TOPICS, payloads, NOW, REGISTRY, clocks, topics)
        assert len(plain.value) == readings * MESSAGES

    def one_by_one() -> None:
        for topic, body in zip(TOPICS, payloads, strict=True):
            judge(
                decode(topic, body, REGISTRY),
                received_ms=NOW,
                registry=REGISTRY,
                clocks=clocks,
            )

    ways = {
        "msgspec, typed": by_msgspec,
        "msgspec, untyped": by_msgspec_untyped,
        "decoded and judged, a batch at once": together,
        "decoded and judged, one by one": one_by_one,
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, way in ways.items():
            start = time.process_time()
            for _ in range(PASSES):
                way()
            took[name].append((time.process_time() - start) / (PASSES * MESSAGES) * 1e6)
    base = statistics.median(took["msgspec, typed"])
    print(f"\n{readings} reading(s) a message, CPU microseconds a message")
    for name, times in took.items():
        middle = statistics.median(times)
        low, *_, high = statistics.quantiles(times, n=4)
        print(f"{name:38} {middle:7.3f}  ({low:.3f} to {high:.3f})  x {middle / base:5.2f}")
