"""Silence with a cause: switched feeders, gateways the registry does not name."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from analytics.cause import gateways_down, unnamed_gateways
from analytics.findings import CauseKind
from analytics.rules import Rules
from analytics.silence import silent_devices

HOUR = 3_600_000


def street(n: int, **columns: Any) -> Any:
    minus = np.full(n, -1, dtype=np.int32)
    yes = np.ones(n, dtype=bool)
    base = {
        "n": n,
        "gateway": minus,
        "feeder": minus,
        "mains": yes,
        "feeder_switched": ~yes,
        "interval_s": np.full(n, 600, dtype=np.float32),
    }
    return SimpleNamespace(**(base | columns))


def test_a_switched_feeder_may_miss_one_night_before_its_devices_count_as_silent():
    last = np.full(2, 2 * HOUR, dtype=np.int64)
    town = street(2, feeder_switched=np.array([False, True]))
    assert list(silent_devices(None, last, town, Rules(), 36 * HOUR)) == [True, False]
    assert list(silent_devices(None, last, town, Rules(), 60 * HOUR)) == [True, True]


def test_devices_of_no_known_gateway_that_stop_together_are_one_matter():
    last = np.array([100, 100, 101, 102, 500, 100], dtype=np.int64) * HOUR // 6
    silent = np.array([1, 1, 1, 1, 1, 0], dtype=bool)
    (found,) = unnamed_gateways(silent, last, street(6))
    assert found.cause_kind is CauseKind.SENSOR
    assert list(found.rows) == [0, 1, 2, 3]


def test_a_gateway_with_a_single_feeder_behind_it_is_one_matter():
    n = 5
    zero = np.zeros(n, dtype=np.int32)
    town = street(n, gateway=zero, feeder=zero)
    whole: Any = SimpleNamespace(gateway=np.arange(n, dtype=np.int32)[None, :])
    yes = np.ones(n, dtype=bool)
    (found,) = gateways_down(yes, np.full(n, HOUR, dtype=np.int64), yes, town, whole)
    assert found.cause_kind is CauseKind.GATEWAY
    assert len(found.rows) == n
