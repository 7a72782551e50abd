"""Whether a feeder that went dark may have been switched off by its clock."""

from types import SimpleNamespace

import numpy as np
import pytest

from analytics.quick import may_be_clock

N = 8
HOUR_MS = 3_600_000
DUSK_MS, DAWN_MS = 100 * HOUR_MS, 112 * HOUR_MS


def held_back(at_ms, *, of_late, others_lit):
    """Half of a feeder went dark; the others' next readings were lit, or not."""
    street = SimpleNamespace(tunnel=np.zeros(N, bool), feeder=np.zeros(N, np.int32))
    hours = np.full(N, DUSK_MS), np.full(N, DAWN_MS)
    now = SimpleNamespace(lit_after=lambda rows, _: np.isin(rows, np.arange(4, N)) & others_lit)
    section = SimpleNamespace(rows=np.arange(4), start_ms=at_ms)
    whole = SimpleNamespace(feeder=np.arange(N)[None, :])
    suspect = np.full(N, of_late)
    return may_be_clock(section, np.ones(N, bool), now, suspect, hours, street, whole)


@pytest.mark.parametrize(
    ("at_ms", "of_late", "others_lit", "held"),
    [
        (DAWN_MS - HOUR_MS, False, False, True),
        (DAWN_MS - HOUR_MS, False, True, False),  # part of a feeder has no clock
        (DAWN_MS - HOUR_MS, True, True, True),  # but the morning may be what the others show
        (DUSK_MS + HOUR_MS, True, True, False),
        (DUSK_MS + HOUR_MS, True, False, True),
        (DUSK_MS + HOUR_MS, False, False, False),
        (DUSK_MS + 5 * HOUR_MS, True, True, False),  # at midnight it is an outage
        (DUSK_MS + 5 * HOUR_MS, True, False, False),
    ],
)
def test_a_clock_is_waited_for_where_it_can_be_one(at_ms, of_late, others_lit, held):
    assert held_back(at_ms, of_late=of_late, others_lit=others_lit) is held
