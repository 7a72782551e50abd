"""What is judged beside what is decoded: clocks, buffers, several series, quick and slow alike."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.devices import DeviceEntry, Registry
from ingest.errors import MalformedPayloadError
from ingest.plausibility import Clocks, judge
from ingest.reading import QUANTITIES, Decoded, Event, Flag, Quantity, Series
from ingest.wire import decode, quick

NOW = 1_790_000_000_000
MINUTE = 60_000
HOUR = 60 * MINUTE


def judged(
    decoded: Decoded, *, clocks: Clocks | None = None, at: int = NOW, qos: int = 1
) -> Decoded:
    return judge(decoded, received_ms=at, registry=Registry(), clocks=clocks or Clocks(), qos=qos)


def one(time_ms: int, value: float = 1.0, quantity: Quantity = Quantity.POWER) -> Decoded:
    return Decoded([Series("d", quantity, [time_ms], [value])])


@pytest.mark.parametrize("quantity", Quantity)
def test_both_ends_of_a_range_are_possible_and_nothing_beyond(quantity: Quantity) -> None:
    spec = QUANTITIES[quantity]
    for value in (spec.lowest, spec.highest):
        assert judged(one(NOW, value, quantity)).series[0].value == [value]
    for value in (np.nextafter(spec.lowest, -1e300), np.nextafter(spec.highest, 1e300)):
        with pytest.raises(MalformedPayloadError, match=quantity.value):
            judged(one(NOW, float(value), quantity))


def test_what_is_no_number_is_impossible_wherever_it_stands() -> None:
    for values in ([float("nan")], [1.0, float("nan")], [float("nan"), 1.0], [1.0, float("inf")]):
        times = [NOW + n for n in range(len(values))]
        with pytest.raises(MalformedPayloadError):
            judged(Decoded([Series("d", Quantity.POWER, times, values)]))


def test_edges_of_the_time_rules() -> None:
    def flags(time_ms: int) -> int | list[int]:
        return judged(one(time_ms)).series[0].flags

    assert flags(NOW - 24 * HOUR) == Flag.NONE
    assert flags(NOW - 24 * HOUR - 1) == Flag.LATE
    assert flags(NOW + 5 * MINUTE) == Flag.NONE
    assert flags(NOW + 5 * MINUTE + 1) == Flag.CLOCK
    assert flags(1_577_836_800_000) == Flag.LATE
    assert flags(1_577_836_799_999) == Flag.TIME_REPLACED


def test_flags_of_the_delivery_and_of_the_envelope_join_the_others() -> None:
    decoded = one(NOW - 25 * HOUR, 3000)
    decoded.simulated = True
    [series] = judged(decoded, qos=0).series
    assert series.flags == Flag.LATE | Flag.SUSPECT | Flag.SIMULATED | Flag.QOS0
    event = Decoded(events=[Event("d", NOW, "supply_loss", True)], simulated=True)
    assert judged(event, qos=0).events[0].flags == Flag.SIMULATED | Flag.QOS0


def test_rows_that_differ_have_a_flag_each() -> None:
    decoded = Decoded(
        [Series("d", Quantity.POWER, [NOW - 25 * HOUR, NOW, NOW], [1.0, 2.0, 3000.0])]
    )
    assert judged(decoded).series[0].flags == [Flag.LATE, Flag.NONE, Flag.SUSPECT]


def test_a_buffer_from_before_the_clock_was_set_keeps_its_spacing() -> None:
    series = [
        Series("d", Quantity.POWER, [0, HOUR], [1.0, 2.0]),
        Series("d", Quantity.DIMMING, [HOUR, 2 * HOUR], [1.0, 2.0]),
    ]
    decoded = judged(Decoded(series))
    assert [s.time_ms for s in decoded.series] == [[NOW - 2 * HOUR, NOW - HOUR], [NOW - HOUR, NOW]]
    assert [s.flags for s in decoded.series] == [Flag.TIME_REPLACED] * 2


def test_the_networks_time_stands_in_before_ours() -> None:
    decoded = one(5)
    decoded.network_ms = NOW - 3 * HOUR
    [series] = judged(decoded).series
    assert (series.time_ms, series.flags) == ([NOW - 3 * HOUR], Flag.TIME_REPLACED)


def test_a_network_that_does_not_know_the_time_does_not_stand_in() -> None:
    decoded = one(5)
    decoded.network_ms = 1000
    assert judged(decoded).series[0].time_ms == [NOW]


def test_a_recorded_feed_is_late_but_its_clocks_are_right() -> None:
    clocks = Clocks()
    for n in range(50):
        heard = NOW - 700 * 24 * HOUR + n * 10 * MINUTE
        decoded = one(heard)
        decoded.network_ms = heard
        [series] = judged(decoded, clocks=clocks, at=NOW + n * 10 * MINUTE).series
        assert series.flags == Flag.LATE
    assert not clocks.suspects


@pytest.mark.parametrize("offset", [-11 * MINUTE, 16 * MINUTE])
def test_a_clock_that_runs_wrong_is_flagged_and_pardoned(offset: int) -> None:
    clocks = Clocks()

    def says(n: int, wrong: int) -> bool:
        at = NOW + n * 10 * MINUTE
        flags = judged(one(at - wrong), clocks=clocks, at=at).series[0].flags
        assert isinstance(flags, int)
        return bool(flags & Flag.CLOCK)

    flagged = [says(n, offset) for n in range(30)]
    ahead = offset < -5 * MINUTE
    assert flagged == ([True] * 30 if ahead else [False] * 7 + [True] * 23)
    assert "d" in clocks.suspects
    pardoned = [says(30 + n, 0) for n in range(40)]
    assert pardoned[0]
    assert not pardoned[-1]
    assert not clocks.suspects  # forgotten, not only forgiven


def test_a_replayed_buffer_does_not_convict_a_clock() -> None:
    clocks = Clocks()
    flags = [
        judged(one(NOW - 20 * HOUR + n * 2 * MINUTE), clocks=clocks, at=NOW + n * 100)
        .series[0]
        .flags
        for n in range(500)
    ]
    assert set(flags) == {Flag.NONE}


def test_memory_of_clocks_is_bounded() -> None:
    clocks = Clocks(limit=100)
    for n in range(1000):
        clocks.wrong(f"d{n}", HOUR, NOW)
        clocks.wrong("on time", 0, NOW)
    assert len(clocks.suspects) == 100
    assert "d999" in clocks.suspects


def test_a_message_that_is_put_aside_casts_no_vote() -> None:
    clocks = Clocks()
    decoded = Decoded([Series("d", Quantity.POWER, [NOW - HOUR], [-1.0])])
    with pytest.raises(MalformedPayloadError):
        judged(decoded, clocks=clocks)
    assert not clocks.suspects


# ------------------------------------------------------------------ many at once


def at_once(messages: list[tuple[str, bytes]], clocks: Clocks, topics: quick.Topics) -> quick.Plain:
    names, payloads = [name for name, _ in messages], [payload for _, payload in messages]
    return quick.read(names, payloads, NOW, REGISTRY, clocks, topics)


DEVICES = ["a", "b", "c"]
REGISTRY = Registry([DeviceEntry(device, group="g") for device in DEVICES])
TIME = st.sampled_from([NOW, NOW - MINUTE, NOW - 14 * MINUTE, NOW + 4 * MINUTE]) | st.sampled_from(
    [NOW - 16 * MINUTE, NOW + 6 * MINUTE, NOW - 25 * HOUR, 0, -5, 2**53, 2**70]
)
VALUE = st.sampled_from([0, -0.0, 1.5, 21, 130_000]) | st.sampled_from(
    [None, -1, 65535, 65534, 150_000, 1e9, -3, True, "12"]
)
NUMBERED = st.sampled_from([{}, {}, {"boot": 1, "seq": 2}, {"boot": 1}, {"seq": 2}])
SINGLE = st.builds(lambda t, v, n: {"t": t, "v": v, **n}, TIME, VALUE, NUMBERED)
COLUMN = st.builds(
    lambda t, rows, extra, n: {
        "t0": t,
        "dt": [delta for delta, _ in rows][: len(rows) - extra or 1],
        "v": [value for _, value in rows],
        **n,
    },
    TIME,
    st.lists(st.tuples(st.integers(0, 30 * MINUTE), VALUE), min_size=1, max_size=4),
    st.sampled_from([0, 0, 0, 1]),
    NUMBERED,
)
OTHER = st.sampled_from(
    [{"v": 1}, {"simulated": True, "t": NOW, "v": 1}, {}, [], {"dt": 1, "v": 2}]
)
MESSAGE = st.tuples(
    st.sampled_from([*DEVICES, "stranger"]),
    st.sampled_from(["g", "g", "g", "other"]),
    st.sampled_from(["illuminance_lx", "people_in", "readings"]),
    SINGLE | COLUMN | OTHER,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(MESSAGE, max_size=12), st.booleans())
def test_many_at_once_say_the_same_as_one_by_one(
    batch: list[tuple[str, str, str, object]], suspect: bool
) -> None:
    messages = [
        (f"ljusvakt/v1/{group}/{device}/{kind}", json.dumps(content).encode())
        for device, group, kind, content in batch
    ]
    clocks, one_by_one = Clocks(), Clocks()
    for votes in range(suspect * 8):
        for one in (clocks, one_by_one):
            one.wrong("b", HOUR, NOW - HOUR + votes * 5 * MINUTE)
    topics = quick.Topics()
    at_once(messages, clocks, topics)  # learns the topics
    plain = at_once(messages, clocks, topics)
    assert sorted([*plain.message.tolist(), *plain.rest]) == list(range(len(messages)))
    assert plain.message.tolist() == sorted(plain.message.tolist())
    start = 0
    quantities = [list(Quantity)[at] for at in plain.quantity.tolist()]
    for at, number in enumerate(plain.message.tolist()):
        topic, payload = messages[number]
        decoded = judge(
            decode(topic, payload, REGISTRY), received_ms=NOW, registry=REGISTRY, clocks=one_by_one
        )
        [series] = decoded.series
        stop = start + int(plain.count[at])
        assert (plain.device_ids[at], quantities[at]) == (series.device_id, series.quantity)
        assert plain.time_ms[start:stop].tolist() == series.time_ms
        assert str(plain.value[start:stop].tolist()) == str(series.value)
        assert (series.flags, decoded.skipped) == (plain.flags[at], 0)
        sequence = decoded.sequence
        numbering = (sequence.boot, sequence.first) if sequence else (None, None)
        assert (plain.boot[at], plain.seq[at]) == numbering
        start = stop
    assert start == len(plain.time_ms) == len(plain.value)
    apart = {messages[number][0].split("/")[3] for number in plain.rest}
    assert not apart & set(plain.device_ids)


def test_ordinary_messages_are_all_read_at_once() -> None:
    topic = "ljusvakt/v1/g/a/illuminance_lx"
    messages = [
        (topic, b'{"t":%d,"v":1.5}' % NOW),
        (topic.replace("/a/", "/b/"), b'{"boot":1,"seq":0,"t0":%d,"dt":[0,5],"v":[0,-0.0]}' % NOW),
        (topic, b'{"t":%d,"v":2}' % (NOW + 1)),
    ]
    topics = quick.Topics()
    assert at_once(messages, Clocks(), topics).rest == [0, 1, 2]
    for received_ms in (NOW, np.array([NOW] * 3)):
        names, payloads = zip(*messages, strict=True)
        plain = quick.read(names, payloads, received_ms, REGISTRY, Clocks(), topics)
        assert plain.rest == []
        assert plain.count.tolist() == [1, 2, 1]
        assert plain.time_ms.tolist() == [NOW, NOW, NOW + 5, NOW + 1]
        assert str(plain.value.tolist()) == "[1.5, 0.0, 0.0, 2.0]"
        assert (plain.boot, plain.seq) == ([None, 1, None], [None, 0, None])
    assert at_once([], Clocks(), topics).rest == []


def test_what_was_read_at_once_comes_apart_by_quantity() -> None:
    lux, power = "ljusvakt/v1/g/a/illuminance_lx", "ljusvakt/v1/g/b/power_w"
    messages = [
        (lux, b'{"t":%d,"v":1}' % NOW),
        (power, b'{"t0":%d,"dt":[0,7],"v":[2,3]}' % NOW),
        (lux.replace("/a/", "/c/"), b'{"t":%d,"v":4}' % NOW),
        (lux, b'{"t":%d,"v":5}' % (NOW + 1)),
    ]
    topics = quick.Topics()
    at_once(messages, Clocks(), topics)
    plain = at_once(messages, Clocks(), topics)
    received = np.array([NOW, NOW + 1, NOW + 2, NOW + 3])

    def rows(block: quick.Block) -> list[tuple[str, int, float, int]]:
        return [
            (block.device_ids[device], time_ms, value, received_ms)
            for device, time_ms, value, received_ms in zip(
                block.device.tolist(),
                block.time_ms.tolist(),
                block.value.tolist(),
                block.received_ms.tolist(),
                strict=True,
            )
        ]

    blocks = {block.quantity: rows(block) for block in plain.by_quantity(received)}
    assert blocks == {
        Quantity.ILLUMINANCE: [
            ("a", NOW, 1, NOW),
            ("c", NOW, 4, NOW + 2),
            ("a", NOW + 1, 5, NOW + 3),
        ],
        Quantity.POWER: [("b", NOW, 2, NOW + 1), ("b", NOW + 7, 3, NOW + 1)],
    }
    [block] = plain.by_quantity(NOW, np.array([True, False, False, False]))
    assert rows(block) == [("a", NOW, 1, NOW)]
    assert at_once([], Clocks(), topics).by_quantity(NOW) == []


def test_a_device_that_changes_its_shape_is_learned_anew() -> None:
    topic = "ljusvakt/v1/g/a/illuminance_lx"
    one, column = b'{"t":%d,"v":1}' % NOW, b'{"t0":%d,"dt":[0],"v":[1]}' % NOW
    topics = quick.Topics()
    rests = [
        at_once([(topic, payload)], Clocks(), topics).rest
        for payload in (one, one, column, column, one, one)
    ]
    assert rests == [[0], [], [0], [], [0], []]


def test_a_new_registry_starts_with_an_empty_memory() -> None:
    topics = quick.Topics()
    message = [("ljusvakt/v1/g/a/illuminance_lx", b'{"t":%d,"v":1}' % NOW)]
    at_once(message, Clocks(), topics)
    assert at_once(message, Clocks(), topics).rest == []
    names, payloads = zip(*message, strict=True)
    gone = quick.read(names, payloads, NOW, Registry(), Clocks(), topics)
    assert (gone.rest, gone.device_ids) == ([0], [])


def test_a_message_that_is_too_large_is_left_to_be_put_aside() -> None:
    topics = quick.Topics()
    topic = "ljusvakt/v1/g/a/illuminance_lx"
    large = b'{"t":%d,"v":1' % NOW + b" " * 70_000 + b"}"
    at_once([(topic, large)], Clocks(), topics)
    assert at_once([(topic, large)], Clocks(), topics).rest == [0]


def test_invented_topics_are_not_remembered() -> None:
    topics = quick.Topics()
    messages = [(f"ljusvakt/v1/g/ghost{n}/power_w", b'{"v":1}') for n in range(100)]
    messages += [(f"ljusvakt/v1/made-up-{n}/a/power_w", b'{"v":1}') for n in range(100)]
    messages += [("", b""), ("ljusvakt/v1/g/a/readings", b"{}")]
    assert len(at_once(messages, Clocks(), topics).rest) == len(messages)
    assert not topics.of(REGISTRY)
