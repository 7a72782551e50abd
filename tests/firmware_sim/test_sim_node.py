"""A device numbers its rows, keeps them, and sends again what lies above the receipt."""

import json

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.devices.native import encode_readings, parse_ack
from firmware_sim.devices.node import SEQ_MODULUS, Message, Node, Row
from firmware_sim.gateways import GatewayLink
from firmware_sim.scenario import PlacedFault, load_scenario
from firmware_sim.world import build_city

START_MS = 1_790_000_000_000


def rows(count: int, first: int = 0) -> list[Row]:
    return [
        Row(START_MS + 600_000 * k, {"illuminance_lx": 20.0 + k})
        for k in range(first, first + count)
    ]


def content(message: Message) -> dict[str, object]:
    return json.loads(message.payload)


def test_rows_of_one_moment_to_the_next_go_out_as_one_batch() -> None:
    node = Node("G-1", "L-1", boot=3)
    (message,) = node.send(rows(2))

    assert message.topic == "ljusvakt/v1/G-1/L-1/readings"
    assert content(message) == {
        "boot": 3, "seq": 0, "t0": START_MS, "dt": [0, 600_000],
        "q": {"illuminance_lx": [20.0, 21.0]}, "simulated": True,
    }  # fmt: skip


def test_numbers_run_on_over_messages_and_topics() -> None:
    node = Node("G-1", "L-1")
    node.send(rows(2))
    report, readings = node.send([Row(START_MS, None, ("lamp_failure", True, "DALI")), *rows(1, 2)])

    assert content(report)["seq"] == 2
    assert report.topic.endswith("/events")
    assert content(report)["e"] == [{"event": "lamp_failure", "active": True, "info": "DALI"}]
    assert content(readings)["seq"] == 3


def test_a_clock_that_was_never_set_has_a_message_of_its_own() -> None:
    node = Node("G-1", "L-1")
    messages = node.send([Row(5_000, {"illuminance_lx": 1.0}), *rows(1)])

    assert [content(m)["t0"] for m in messages] == [5_000, START_MS]


def test_what_is_acknowledged_is_not_sent_again() -> None:
    node = Node("G-1", "L-1")
    node.send(rows(5))
    node.acknowledge(1, 2)
    (again,) = node.resend()

    assert content(again)["seq"] == 3
    assert len(node.kept) == 2


def test_a_receipt_of_another_boot_says_nothing() -> None:
    node = Node("G-1", "L-1", boot=2)
    node.send(rows(3))
    node.acknowledge(1, 99)

    assert len(node.kept) == 3


def test_a_full_buffer_forgets_its_oldest_rows_and_counts_them() -> None:
    node = Node("G-1", "L-1", capacity=4)
    node.send(rows(6))

    assert [seq for seq, _ in node.kept] == [2, 3, 4, 5]
    assert node.dropped == 2


def test_after_a_restart_the_kept_rows_are_numbered_anew() -> None:
    node = Node("G-1", "L-1", boot=1)
    node.send(rows(5))
    node.acknowledge(1, 1)
    node.restart()
    (again,) = node.resend()

    assert (content(again)["boot"], content(again)["seq"]) == (2, 0)
    assert content(again)["t0"] == START_MS + 2 * 600_000
    assert content(node.send(rows(1, 9))[0])["seq"] == 3


def test_numbers_wrap_around() -> None:
    node = Node("G-1", "L-1", next_seq=SEQ_MODULUS - 1)
    messages = node.send(rows(2))
    node.acknowledge(1, 0)

    assert [content(m)["seq"] for m in messages] == [SEQ_MODULUS - 1, 0]
    assert not node.kept


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(-1, 30)), max_size=12))
def test_nothing_above_the_receipt_is_ever_forgotten(steps: list[tuple[int, int]]) -> None:
    node, sent, receipt = Node("G-1", "L-1", capacity=1000), 0, -1
    for count, ack in steps:
        node.send(rows(count, sent))
        sent += count
        if ack < sent:
            node.acknowledge(1, ack)
            receipt = max(receipt, ack)
        assert [seq for seq, _ in node.kept] == list(range(receipt + 1, sent))


def test_receipts_are_read_and_noise_is_not() -> None:
    assert parse_ack(b'{"boot": 17, "seq": 4715}') == (17, 4715)
    assert parse_ack(b'{"boot": 17}') is None
    assert parse_ack(b"\xff") is None


def test_times_stand_relative_to_the_first() -> None:
    message = json.loads(
        encode_readings([START_MS + 5, START_MS], {"power_w": [1, None]}, simulated=False)
    )

    assert message == {"t0": START_MS, "dt": [5, 0], "q": {"power_w": [1, None]}}


def test_a_device_whose_supply_came_back_begins_a_new_boot_and_keeps_what_it_had() -> None:
    node = Node("G-1", "L-1", boot=7)
    node.send([Row(1_000, {"illuminance_lx": 1.0}, starts=2)])
    (message,) = node.send([Row(2_000, {"illuminance_lx": 2.0}, starts=3)])
    again = [json.loads(m.payload) for m in node.resend()]

    assert (json.loads(message.payload)["boot"], json.loads(message.payload)["seq"]) == (8, 1)
    assert [(m["boot"], m["seq"], m["dt"]) for m in again] == [(8, 0, [0, 1_000])]


def test_how_often_a_device_had_started_before_is_no_new_start() -> None:
    node = Node("G-1", "L-1", boot=7)
    node.send([Row(1_000, {"illuminance_lx": 1.0}, starts=5)])

    assert node.boot == 7


def test_supply_that_comes_back_starts_mains_devices_and_no_others() -> None:
    scenario = load_scenario("demo").changed(luminaires=60, days=4)
    placed = tuple(
        PlacedFault(kind="feeder_out", feeder=feeder, at_day=1.0, until_day=2.0)
        for feeder in (1, 2)
    )
    city = build_city(msgspec.structs.replace(scenario, fault=placed))
    day = scenario.start_ms // 86_400_000

    def started(days: int) -> set[str]:
        """Feeders whose devices have all started anew by the end of so many days."""
        starts = {f.name: city.feeder_day(f, day + days - 1)[0].starts for f in city.feeders}
        return {name for name, times in starts.items() if times is not None and times.all()}

    mains, battery = city.feeders[1:3]
    assert (mains.battery, battery.battery) == (False, True)
    assert len(city.feeders) > 10
    assert started(1) == set()
    assert started(4) == {mains.name}


def test_what_waits_for_a_broker_that_is_away_is_bounded_and_the_ring_buffer_has_the_rest() -> None:
    link = GatewayLink("G-1", lambda count: None)
    node = link.nodes["L-1"] = Node("G-1", "L-1")
    for k in range(400):
        link.put(node.send(rows(1, k)))
    again = [json.loads(m.payload)["seq"] for m in node.resend()]

    assert [json.loads(m.payload)["seq"] for m in link.outbox] == list(range(336, 400))
    assert again[0] == 0
    assert len(node.kept) == 400
