"""Attacks and faults of group A that a decoder has to survive."""

import gzip
import json
import time
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.devices import DeviceEntry, Registry
from ingest.errors import MalformedPayloadError, Reason, RefusedContentError
from ingest.plausibility import Clocks, judge
from ingest.reading import Decoded, Flag
from ingest.topics import route
from ingest.wire import MAX_BYTES, decode

EUI = "A81758FFFE0A0B0C"
REGISTRY = Registry(
    [
        DeviceEntry("lamp-1", group="g"),
        DeviceEntry("sky", max_illuminance_lx=65_535),
        DeviceEntry("counter", dev_eui=EUI, codec="elsys"),
    ]
)
LUX = "ljusvakt/v1/g/lamp-1/illuminance_lx"
UP = f"application/1/device/{EUI}/event/up"
T = 1_790_000_000_000
NOW = T + 60_000


def judged(topic: str, payload: bytes, *, clocks: Clocks | None = None) -> Decoded:
    decoded = decode(topic, payload, REGISTRY)
    return judge(decoded, received_ms=NOW, registry=REGISTRY, clocks=clocks or Clocks())


def reason(topic: str, payload: bytes) -> Reason:
    with pytest.raises(MalformedPayloadError) as caught:
        judged(topic, payload)
    return caught.value.reason


def test_a01_an_envelope_that_names_another_device_than_its_topic() -> None:
    v4 = json.dumps({"deviceInfo": {"devEui": "0000000000000001"}, "fPort": 1}).encode()
    assert reason(UP, v4) is Reason.IDENTITY_MISMATCH
    v3 = json.dumps({"devEUI": "AAAAAAAAAAE=", "fPort": 1}).encode()
    assert reason(UP, v3) is Reason.IDENTITY_MISMATCH
    ttn = json.dumps({"end_device_ids": {"device_id": "other"}, "uplink_message": {}}).encode()
    assert reason("v3/app/devices/counter/up", ttn) is Reason.IDENTITY_MISMATCH
    assert reason("ljusvakt/v1/other/lamp-1/illuminance_lx", b'{"v":1}') is Reason.IDENTITY_MISMATCH


@pytest.mark.slow
def test_a02_a_hundred_thousand_invented_ids_leave_no_trace() -> None:
    def invent(first: int, last: int) -> None:
        for number in range(first, last):
            with pytest.raises(MalformedPayloadError) as caught:
                decode(f"ljusvakt/v1/g/ghost-{number}/illuminance_lx", b'{"v":1}', REGISTRY)
            assert caught.value.reason is Reason.UNKNOWN_DEVICE

    invent(0, 70_000)  # by now every bounded memory is full
    tracemalloc.start()
    try:
        invent(70_000, 100_000)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        route.cache_clear()
    # Old entries leave as new ones come: what tracemalloc sees now is their replacement.
    assert grown < 30_000 * 1500
    assert len(REGISTRY) == 3
    assert route.cache_info().maxsize == 1 << 16


def test_a03_one_byte_too_many_is_not_even_parsed() -> None:
    fits = b'{"v":1' + b" " * (MAX_BYTES - 7) + b"}"
    assert len(fits) == MAX_BYTES
    assert judged(LUX, fits).series
    assert reason(LUX, fits + b" ") is Reason.TOO_LARGE
    assert reason("no/topic/of/ours", b"[" * (MAX_BYTES + 1)) is Reason.TOO_LARGE
    assert reason(LUX, bytes(256 * 1024 * 1024)) is Reason.TOO_LARGE


BOMBS = {
    "nested lists": b"[" * 60_000,
    "nested lists in a value": b'{"v":' + b"[" * 60_000,
    "nested objects": b'{"a":' * 12_000,
    "a long number": b'{"v":1,"t":' + b"9" * 5_000 + b"}",
    "a long value": b'{"v":' + b"9" * 5_000 + b"}",
    "a number too large": b'{"v":1e999}',
    "many keys": b"{" + b",".join(b'"k%d":1' % k for k in range(6_000)) + b"}",
    "compressed": gzip.compress(b'{"v":1}'),
    "many fault reports": b'{"t0":0,"dt":[0],"e":[' + b'{"event":"x"},' * 4_000 + b"{}]}",
}


@pytest.mark.parametrize("bomb", BOMBS, ids=str)
@pytest.mark.parametrize("topic", [LUX, "ljusvakt/v1/g/lamp-1/events", UP, f"helium/{EUI}/rx"])
def test_a04_bombs_are_put_aside_at_once(bomb: str, topic: str) -> None:
    took = []
    for _ in range(9):
        start = time.thread_time()  # ours alone, however busy the machine is
        assert reason(topic, BOMBS[bomb]) in {
            Reason.SYNTAX,
            Reason.TYPE,
            Reason.RANGE,
            Reason.SHAPE,
            Reason.TIME,
            Reason.IDENTITY,
        }
        took.append(time.thread_time() - start)
    assert min(took) < 0.005


def test_a04_of_two_equal_keys_the_last_holds() -> None:
    payload = b'{"v":1,"v":2,"t":%d,"t":%d}' % (T, T + 1)
    expected: dict[str, float] = {}
    pairs = json.loads(payload, object_pairs_hook=list)
    for at in range(len(pairs)):  # as a reader does that goes through them one by one
        expected[pairs[at][0]] = pairs[at][1]
    [series] = judged(LUX, payload).series
    assert (series.value, series.time_ms) == ([expected["v"]], [expected["t"]])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"NaN", Reason.SYNTAX),
        (b"Infinity", Reason.SYNTAX),
        (b"-Infinity", Reason.SYNTAX),
        (b"1e999", Reason.RANGE),
        (b"-0.5", Reason.RANGE),
        (b"1e9", Reason.RANGE),
        (b"200000.5", Reason.RANGE),
        (b"true", Reason.TYPE),
        (b'"12"', Reason.TYPE),
    ],
)
def test_a05_values_that_cannot_be(value: bytes, expected: Reason) -> None:
    assert reason(LUX, b'{"t":%d,"v":%s}' % (T, value)) is expected
    assert reason(LUX, b'{"t0":%d,"dt":[0,1],"v":[1,%s]}' % (T, value)) is expected


def test_a05_values_that_say_not_known_are_skipped_and_counted() -> None:
    decoded = judged(LUX, b'{"t0":%d,"dt":[0,1,2,3],"v":[null,-1,65535,7]}' % T)
    [series] = decoded.series
    assert (series.value, series.time_ms, decoded.skipped) == ([7.0], [T + 3], 3)


def test_a05_full_scale_of_a_sensor_that_reaches_it_is_a_reading() -> None:
    payload = b'{"t0":%d,"dt":[0,1],"v":[-1,65535]}' % T
    decoded = judged("ljusvakt/v1/g/sky/illuminance_lx", payload)
    assert (decoded.series[0].value, decoded.skipped) == ([65535.0], 1)


def test_a05_values_that_are_unlikely_are_kept_and_flagged() -> None:
    [series] = judged(LUX, b'{"t0":%d,"dt":[0,1],"v":[150000,5]}' % T).series
    assert series.flags == [Flag.SUSPECT, Flag.NONE]


def test_a05_minus_zero_is_zero() -> None:
    [series] = judged(LUX, b'{"t0":%d,"dt":[0,1],"v":[-0.0,5]}' % T).series
    assert str(series.value) == "[0.0, 5.0]"
    [series] = judged(LUX, b'{"t":%d,"v":-0.0}' % T).series
    assert str(series.value) == "[0.0]"


@pytest.mark.parametrize(
    "payload",
    [
        b'\xef\xbb\xbf{"v":1}',
        b'{"v":1\xff}',
        b'{"v":1}\x00',
        b'{"\xed\xa0\x80":1}',
        b"\xff\xfe{\x00",
    ],
)
def test_a06_text_that_is_not_utf8_is_put_aside(payload: bytes) -> None:
    assert reason(LUX, payload) in {Reason.SYNTAX, Reason.SHAPE}


@pytest.mark.parametrize(
    "device",
    ["lämp", "lamp\u202e1", "lаmp-1", "lamp 1", "lamp\n", "e\u0301", "", "x" * 65, "lamp\ufffd"],
)
def test_a06_ids_outside_the_allow_list_are_put_aside(device: str) -> None:
    topic = f"ljusvakt/v1/g/{device}/illuminance_lx"
    assert reason(topic, b'{"v":1}') is Reason.IDENTITY
    assert reason(f"ljusvakt/v1/{device}/lamp-1/illuminance_lx", b'{"v":1}') is Reason.IDENTITY


@pytest.mark.parametrize(
    "device",
    ["x\nlux,device=evil lux=1", "lamp\\", "a,b", "a=b", "a b", "", '"', "lamp-1\n"],
)
def test_a07_no_id_can_break_out_of_a_line(device: str) -> None:
    # "/" and the like make it another topic altogether; either way it never becomes a reading.
    for topic in (
        f"ljusvakt/v1/g/{device}/illuminance_lx",
        f"application/1/device/{device}/event/up",
        f"v3/app/devices/{device}/up",
    ):
        assert reason(topic, b'{"v":1}') in {Reason.IDENTITY, Reason.UNKNOWN_TOPIC}


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=70))
def test_a07_whatever_passes_as_an_id_is_one_word(device: str) -> None:
    try:
        place = route(f"ljusvakt/v1/g/{device}/illuminance_lx")
    except MalformedPayloadError:
        return
    assert place.device == device
    assert device.isascii()
    assert device.replace("_", "a").replace("-", "a").isalnum()


def times(payload: bytes) -> tuple[list[int], int | list[int]]:
    [series] = judged(LUX, payload).series
    return series.time_ms, series.flags


def test_a08_times_are_kept_or_replaced_once_and_flagged() -> None:
    day = 86_400_000
    assert times(b'{"t":%d,"v":1}' % (NOW + day)) == ([NOW + day], Flag.CLOCK)
    assert times(b'{"t":%d,"v":1}' % (NOW - 31 * day)) == ([NOW - 31 * day], Flag.LATE)
    assert times(b'{"t":0,"v":1}') == ([NOW], Flag.TIME_REPLACED)
    assert times(b'{"t":-5,"v":1}') == ([NOW], Flag.TIME_REPLACED)
    assert times(b'{"t":1790000000,"v":1}') == ([NOW], Flag.TIME_REPLACED)  # seconds for ms


@pytest.mark.parametrize(
    "time_ms", [2**53, 2**63 - 1, 2**63, -(2**53), -(2**63), 10**30, 9_214_646_400_000]
)
def test_a08_times_that_cannot_be_kept_are_put_aside(time_ms: int) -> None:
    assert reason(LUX, b'{"t":%d,"v":1}' % time_ms) is Reason.TIME


def test_a08_an_hour_that_comes_twice_in_local_time_is_two_hours() -> None:
    # 2026-10-25 02:30 in Stockholm, summer and winter time.
    summer, winter = 1_792_888_200_000, 1_792_891_800_000
    [series] = decode(LUX, b'{"t0":%d,"dt":[0,3600000],"v":[1,2]}' % summer, REGISTRY).series
    assert series.time_ms == [summer, winter]


@pytest.mark.parametrize(
    "more",
    [
        {"fCnt": -1},
        {"fCnt": 2**32},
        {"fCnt": "99999999999999999999999999"},
        {"fPort": 256},
        {"fPort": -1},
        {"_timestamp": 10**20, "data": ""},
        {"_timestamp": -1, "data": ""},
    ],
)
def test_numbers_of_an_envelope_fit_what_keeps_them(more: dict[str, object]) -> None:
    payload = json.dumps({"devEUI": EUI, "fPort": 5, "data": "BAAB", **more}).encode()
    assert reason(UP, payload) is Reason.RANGE


@settings(max_examples=300, deadline=None)
@given(st.integers() | st.sampled_from([2**53 - 1, -(2**53) + 1]), st.booleans())
def test_whatever_time_is_decoded_fits_64_bits(time_ms: int, column: bool) -> None:
    message = {"t0": time_ms, "dt": [2**31 - 1], "v": [1]} if column else {"t": time_ms, "v": 1}
    try:
        decoded = decode(LUX, json.dumps(message).encode(), REGISTRY)
    except MalformedPayloadError:
        assert abs(time_ms) >= 2**53
        return
    assert abs(decoded.series[0].time_ms[0]) < 2**54


def test_a10_numbering_starts_again_wraps_and_changes_boot() -> None:
    for boot, seq in [(1, 0), (1, 2**32 - 1), (2, 0), (0, 5)]:
        payload = b'{"t":%d,"v":1,"boot":%d,"seq":%d}' % (T, boot, seq)
        sequence = decode(LUX, payload, REGISTRY).sequence
        assert sequence is not None
        assert (sequence.boot, sequence.first, sequence.count) == (boot, seq, 1)


TOPICS = st.one_of(
    st.sampled_from(
        [
            LUX,
            "ljusvakt/v1/g/lamp-1/readings",
            "ljusvakt/v1/g/lamp-1/events",
            UP,
            UP.replace("/up", "/status"),
            UP.replace("/up", "/log"),
            f"helium/{EUI}/rx",
            "v3/app@tenant/devices/counter/up",
            "v3/app/devices/counter/join",
        ]
    ),
    st.text(max_size=60),
    st.text(alphabet="ljusvakt/v13+#@_-", max_size=60),
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
NAMES = st.sampled_from(
    ["t", "v", "t0", "dt", "q", "e", "boot", "seq", "event", "active", "info", "deviceInfo",
     "devEui", "devEUI", "data", "fPort", "fCnt", "time", "rxInfo", "end_device_ids", "device_id",
     "uplink_message", "f_port", "f_cnt", "frm_payload", "received_at", "payload", "type",
     "dev_eui", "port", "fcnt", "reported_at", "batteryLevel", "_timestamp", "_topic", "code",
     "illuminance_lx", "joinServerContext", "publishedAt"]
)  # fmt: skip
NEARLY = st.sampled_from([EUI, "qBdY//4KCww=", "counter", "up", "AQDi", "2026-09-21T13:28:20Z"])
CONTENT = st.recursive(
    SCALARS | NEARLY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=12,
)


@pytest.mark.slow
@settings(max_examples=700, deadline=None)
@given(
    topic=TOPICS, payload=st.binary(max_size=200) | CONTENT.map(lambda c: json.dumps(c).encode())
)
@example(topic=UP, payload=b'{"deviceInfo":{"devEui":"A81758FFFE0A0B0C"},"fPort":1e400}')
@example(topic=UP, payload=b'{"devEUI":"A81758FFFE0A0B0C","fCnt":"99999999999999999999999999"}')
@example(topic=UP, payload=b'{"devEUI":"A81758FFFE0A0B0C","publishedAt":"0001-01-01T00:00:00Z"}')
def test_no_bytes_on_any_topic_do_worse_than_a_decoders_own_error(
    topic: str, payload: bytes
) -> None:
    reasons: list[Reason] = []
    for registry in (REGISTRY, Registry(enrol=True)):
        try:
            decoded = decode(topic, payload, registry)
            judge(decoded, received_ms=NOW, registry=registry, clocks=Clocks())
        except MalformedPayloadError as error:
            reasons.append(error.reason)
            continue
        except RefusedContentError:
            continue
        for series in decoded.series:
            assert len(series.time_ms) == len(series.value) > 0
            assert all(0 <= t < 9_214_646_400_000 for t in series.time_ms)
    assert Reason.DECODER_ERROR not in reasons


def test_a_bug_in_a_decoder_costs_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Decoded:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("ingest.wire.json_v1.decode", broken)
    assert reason(LUX, b'{"v":1}') is Reason.DECODER_ERROR
