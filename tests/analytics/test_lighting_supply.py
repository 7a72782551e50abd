"""Feeders that never spoke, and registries that know of none."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analytics.memory import Memory
from analytics.rules import Rules
from analytics.supply import never_heard_feeders

N = 12


def judge(feeder: Any, heard: Any) -> Any:
    """Two nights in, with these feeders and these devices heard."""
    memory = Memory.fresh(N, np.full(N, np.nan, np.float32))
    memory.nights_judged = 2
    memory.last_seen_ms[np.asarray(heard)] = 1
    feeder = np.asarray(feeder, dtype=np.int32)
    members = [np.flatnonzero(feeder == f) for f in range(int(feeder.max()) + 1)]
    return SimpleNamespace(
        memory=memory,
        street=SimpleNamespace(n=N, feeder=feeder, mains=np.ones(N, bool)),
        whole=SimpleNamespace(feeder=members),
        rules=Rules(),
    )


def test_a_feeder_that_never_spoke_is_dead():
    found = never_heard_feeders(judge([0] * 8 + [1] * 4, np.arange(8)))
    assert found.tolist() == [False] * 8 + [True] * 4


@pytest.mark.parametrize("heard", [N - 1, N // 2 + 1])
def test_devices_never_heard_of_where_no_feeder_is_known_are_no_dead_feeder(heard):
    assert not never_heard_feeders(judge([-1] * N, np.arange(heard))).any()


def test_a_lone_device_without_feeder_that_never_spoke_is_no_dead_feeder():
    assert not never_heard_feeders(judge([0] * 11 + [-1], np.arange(11))).any()
