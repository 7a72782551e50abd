"""Messages that wait are taken in turns by device and acknowledged in the order they came."""

from collections import Counter
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from ingest.inbox import CROWD, Inbox
from ingest.sources import Message

STEPS = st.lists(
    st.one_of(
        st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from([0, 1, 1])), max_size=30),
        st.just("take"),
    ),
    max_size=40,
)


def message(device: str, number: int, qos: int = 1) -> Message:
    return f"ljusvakt/v1/g1/{device}/illuminance_lx", b"", qos, False, number


def numbers(messages: list[Message]) -> list[int]:
    return [one[4] for one in messages]


def test_what_few_messages_wait_are_taken_as_they_came_and_with_their_times() -> None:
    inbox = Inbox(10)
    inbox.add([message("a", 1), message("a", 2)], 1000)
    inbox.add([message("b", 3)], 1001)
    assert len(inbox) == 3
    messages, received_ms = inbox.take()
    assert (numbers(messages), received_ms) == ([1, 2, 3], [1000, 1000, 1001])
    assert len(inbox) == 0
    assert inbox.committed(messages) == [1, 2, 3]


def test_a_flood_does_not_go_before_others_and_keeps_its_order() -> None:
    inbox = Inbox(10)
    inbox.add([message("flood", i) for i in range(1, 101)], 0)
    inbox.add([message(f"d{i}", 100 + i) for i in range(1, 6)], 0)
    assert numbers(inbox.take()[0]) == [1, 101, 102, 103, 104, 105, 2, 3, 4, 5]
    inbox.add([message("d1", 106)], 0)
    assert numbers(inbox.take()[0]) == [6, 106, *range(7, 15)]
    assert len(inbox) == 105 + 1 - 20


def test_a_device_of_whom_nothing_was_waiting_waits_for_one_turn_of_the_others() -> None:
    inbox = Inbox(10)
    inbox.add([message(f"f{i % 20}", i) for i in range(1, 201)], 0)
    inbox.take()
    inbox.add([message("late", 1000)], 0)
    taken = numbers(inbox.take()[0]) + numbers(inbox.take()[0]) + numbers(inbox.take()[0])
    # Ten of the twenty had their turn; the other ten and they again come before it, nobody twice.
    assert taken.index(1000) == 20


@given(STEPS, st.integers(1, 5))
def test_each_comes_once_in_its_devices_order_and_is_acknowledged_in_the_order_of_all(
    steps: list[object], batch_messages: int
) -> None:
    inbox = Inbox(batch_messages)
    number = count(1)
    came: list[Message] = []
    taken: list[Message] = []
    acknowledged: list[int] = []

    def take() -> None:
        waiting = Counter(one[0] for one in came)
        waiting.subtract(one[0] for one in taken)
        crowded = len(inbox) > CROWD * batch_messages
        messages, received_ms = inbox.take()
        assert received_ms == numbers(messages)
        assert len(messages) == (batch_messages if crowded else waiting.total())
        if crowded:
            turns = Counter(one[0] for one in messages)
            most = max(turns.values())
            # Whoever had less than the most had nothing more, or it is its turn next.
            assert all(n >= most - 1 for name, n in turns.items() if waiting[name] > n)
        taken.extend(messages)
        acknowledged.extend(token for token in inbox.committed(messages))

    for step in steps:
        if step == "take":
            take()
        elif isinstance(step, list):
            for device, qos in step:
                came.append(message(device, next(number), qos))
                inbox.add(came[-1:], came[-1][4])
    while inbox:
        take()
    assert sorted(numbers(taken)) == numbers(came)
    for device in {one[0] for one in came}:
        assert [one for one in taken if one[0] == device] == [
            one for one in came if one[0] == device
        ]
    with_receipt = {one[4] for one in came if one[2]}
    assert [token for token in acknowledged if token in with_receipt] == sorted(with_receipt)
