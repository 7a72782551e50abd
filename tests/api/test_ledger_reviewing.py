"""Looking back over a year of orders: what was out at each moment, in time that grows evenly."""

import gc
import time
from pathlib import Path

import pytest
from contracts.lamp_street import HOUR_MS, NOW_MS, finding, street
from hypothesis import given
from hypothesis import strategies as st

from api.ledger import Ledger, open_ledger
from api.ledger.reviewing import OutAt

SPANS = st.lists(
    st.tuples(st.integers(0, 50), st.none() | st.integers(0, 60), st.sampled_from("abcde")),
    max_size=20,
)


@given(spans=SPANS, moments=st.lists(st.integers(0, 70), max_size=12))
def test_what_is_out_is_what_the_spans_say(
    spans: list[tuple[int, int | None, str]], moments: list[int]
) -> None:
    spans = [(a, None if b is None else max(a, b), d) for a, b, d in spans]
    swept = OutAt(spans)
    for at in sorted(moments):
        expected = {d for a, b, d in spans if a <= at and (b is None or b > at)}
        assert swept.at(at) == expected


@pytest.mark.slow
def test_four_times_the_orders_take_about_four_times_as_long(tmp_path: Path) -> None:
    """A ratio within one run; looked at pairwise it would be sixteen."""
    took: dict[int, float] = {}
    for n in (100, 400):
        # One after the other, as a year has them: each is over before the next begins.
        spans = [(i, NOW_MS - 2 * i * HOUR_MS) for i in range(1, n + 1)]
        with open_ledger(tmp_path / f"{n}.db") as ledger:
            ledger.put_assets(street(n + 1), now_ms=NOW_MS)
            for over_ms in (None, HOUR_MS):
                found = [
                    finding(
                        i,
                        f"lamp/{i}",
                        start_ms=start_ms,
                        end_ms=None if over_ms is None else start_ms + over_ms,
                    )
                    for i, start_ms in spans
                ]
                ledger.reconcile(found, now_ms=NOW_MS)
            cases = ledger.cases(now_ms=NOW_MS)
            took[n] = min(seconds_of(ledger) for _ in range(5))
            assert len(cases) == n
            assert {case.facts.out for case in cases} == {1}
    print(f"four times the orders took {took[400] / took[100]:.1f} times as long")
    assert took[400] / took[100] < 10


def seconds_of(ledger: Ledger) -> float:
    """Of this process, for looking back once."""
    gc.collect()
    began = time.process_time()
    ledger.cases(now_ms=NOW_MS)
    return time.process_time() - began
