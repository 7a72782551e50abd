"""Whether a silent section is its gateway's silence."""

from types import SimpleNamespace

import numpy as np
import pytest

from analytics.quick import others_silent

MINUTE_MS = 60_000
STOPPED_MS = 1_000 * MINUTE_MS
BEFORE, SINCE, NOT_OF_LATE = STOPPED_MS - MINUTE_MS, STOPPED_MS + 30 * MINUTE_MS, 0


def explained(seen_ms, gateway=0):
    """The first two of some devices have stopped; when the others behind the gateway last spoke."""
    seen = np.array([BEFORE, BEFORE, *seen_ms], dtype=np.int64)
    n = len(seen)
    street = SimpleNamespace(
        n=n, interval_s=np.full(n, 600.0), gateway=np.full(n, gateway, dtype=np.int32)
    )
    section = SimpleNamespace(rows=np.array([0, 1]), start_ms=STOPPED_MS)
    whole = SimpleNamespace(gateway=np.arange(n)[None, :])
    return others_silent(section, seen < SINCE, seen, street, whole)


@pytest.mark.parametrize("gateway", [0, -1])
@pytest.mark.parametrize(
    ("others", "gateway_is_down"),
    [
        ([BEFORE, BEFORE], True),
        ([SINCE, SINCE], False),
        ([], True),
        ([NOT_OF_LATE], True),  # broken for weeks: no witness of either
        ([NOT_OF_LATE, NOT_OF_LATE, BEFORE], True),
        ([NOT_OF_LATE, SINCE], False),
    ],
)
def test_only_who_spoke_of_late_speaks_for_a_gateway(others, gateway_is_down, gateway):
    assert explained(others, gateway) is gateway_is_down
