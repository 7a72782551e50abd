"""What a device has delivered, by its own numbers: repeats, gaps, receipts."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.receipts import MAX_BOOTS, MAX_RUNS, Receipt, Receipts, Seen

T0 = 1_790_000_000_000


def seen(first: int, count: int = 1, *, boot: int = 1, at_ms: int | None = None) -> Seen:
    """Rows a second apart, so that numbers and times rise together."""
    from_ms = T0 + first * 1000 if at_ms is None else at_ms
    return Seen("d1", boot, first, count, from_ms, from_ms + (count - 1) * 1000)


def test_the_receipt_is_the_end_of_what_is_without_a_gap() -> None:
    receipts = Receipts()
    assert receipts.receipt("d1", 1) is None
    receipts.add(seen(0, 3))
    receipts.add(seen(3, 2))
    assert receipts.receipt("d1", 1) == Receipt(1, 4)
    assert receipts.add(seen(10, 5)) == 5
    assert receipts.receipt("d1", 1) == Receipt(1, 4)
    assert receipts.add(seen(5, 5)) == -5
    assert receipts.receipt("d1", 1) == Receipt(1, 14)


def test_the_same_rows_again_are_a_repeat_also_in_other_portions() -> None:
    receipts = Receipts()
    receipts.add(seen(0, 10))
    receipts.add(seen(10, 10))
    assert receipts.repeats(seen(0, 10))
    assert receipts.repeats(seen(5, 10))
    assert not receipts.repeats(seen(15, 10))
    assert not receipts.repeats(seen(20))
    assert not receipts.repeats(seen(3, boot=2))


def test_a_restart_without_a_new_boot_number_loses_nothing() -> None:
    receipts = Receipts()
    receipts.add(seen(0, 100))
    again = seen(0, 5, at_ms=T0 + 3_600_000)
    assert not receipts.repeats(again)
    assert receipts.add(again) == 0
    assert receipts.receipt("d1", 1) == Receipt(1, 4)
    assert receipts.repeats(again)


def test_numbers_begin_again_after_2_to_the_32() -> None:
    receipts = Receipts()
    receipts.add(seen(2**32 - 3, 3, at_ms=T0))
    assert receipts.add(seen(0, 2, at_ms=T0 + 10_000)) == 0
    assert receipts.receipt("d1", 1) == Receipt(1, 1)


def test_too_many_holes_are_given_up_from_the_oldest() -> None:
    receipts = Receipts()
    for i in range(MAX_RUNS + 3):
        receipts.add(seen(2 * i))
    delivered = receipts.delivered("d1", 1)
    assert delivered is not None
    assert len(delivered.runs) == MAX_RUNS
    assert receipts.receipt("d1", 1) == Receipt(1, 6)


def test_only_the_last_boots_are_kept() -> None:
    receipts = Receipts()
    for boot in range(MAX_BOOTS + 2):
        receipts.add(seen(0, boot=boot))
    assert receipts.dropped == {("d1", 0), ("d1", 1)}
    assert receipts.receipt("d1", 0) is None
    assert receipts.receipt("d1", MAX_BOOTS + 1) == Receipt(MAX_BOOTS + 1, 0)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)), min_size=1, max_size=30))
@settings(derandomize=True, deadline=None)
def test_any_order_of_messages_agrees_with_a_set_of_numbers(
    messages: list[tuple[int, int]],
) -> None:
    receipts = Receipts()
    numbers: set[int] = set()
    missing = 0
    for first, count in messages:
        rows = set(range(first, first + count))
        one = seen(first, count)
        delivered = receipts.delivered("d1", 1)
        if delivered is None or not delivered.restarted(one):
            assert receipts.repeats(one) == (rows <= numbers)
            missing += receipts.add(one)
            numbers |= rows
    lowest, highest = min(numbers), max(numbers)
    assert missing == highest - lowest + 1 - len(numbers)
    end = lowest
    while end + 1 in numbers:
        end += 1
    assert receipts.receipt("d1", 1) == Receipt(1, end)
