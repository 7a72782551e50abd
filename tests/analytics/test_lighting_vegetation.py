"""Branches are nobody's fault, until they cost a class."""

import numpy as np

from analytics.memory import Memory
from analytics.sensor_faults import Verdict
from analytics.vegetation import leaves_cost_class


def street(levels, foliage, **kinds):
    """Luminaires of 11 lx, so many nights at a level, with what leaves did to daylight."""
    n = len(levels)
    memory = Memory.fresh(n, np.full(n, 11.0, dtype=np.float32))
    memory.levels[:] = np.array(levels, dtype=np.float32)[:, None]
    memory.frozen[:] = True
    none = np.zeros(n, dtype=bool)
    verdict = Verdict(
        change=np.array(levels, dtype=np.float32),
        response=np.zeros(n, dtype=np.float32),
        step=kinds.get("step", none),
        factor=np.zeros(n, dtype=np.float32),
        error=np.ones(n, dtype=np.float32),
        foliage=np.array(foliage, dtype=np.float32),
        sensor=kinds.get("sensor", none),
        misaimed=none,
        lamp=none,
    )
    return memory, verdict


P2 = np.full(3, 10.0, dtype=np.float32)


def test_leaves_that_take_the_light_below_its_class_are_a_matter():
    memory, verdict = street([-0.2, -0.05, -0.2], [-0.3, -0.3, 0.0])
    # 11 lx become 9, 10.5 and 9; the third lost them without a leaf.
    assert leaves_cost_class(memory, verdict, P2).tolist() == [True, False, False]


def test_without_a_class_or_without_readings_nothing_is_said():
    memory, verdict = street([-0.2, np.nan, -0.2], [-0.3, -0.3, -0.3])
    asked = np.array([np.nan, 10.0, 12.0], dtype=np.float32)  # the last never met its class
    assert not leaves_cost_class(memory, verdict, asked).any()


def test_a_step_or_a_sensor_is_no_branch():
    memory, verdict = street(
        [-0.2, -0.2, -0.2],
        [-0.3, -0.3, -0.3],
        step=np.array([True, False, False]),
        sensor=np.array([False, True, False]),
    )
    assert leaves_cost_class(memory, verdict, P2).tolist() == [False, False, True]
