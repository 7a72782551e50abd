"""In a row, in an area, fully dark."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analytics.findings import CauseKind, FindingKind
from api.assets import Asset
from api.operations.extent import Surroundings, distance_m, runs
from api.operations.sla import ControlScope

STEP_DEG = 30 / 111_195  # 30 m of latitude


def street(n: int, *, segment: str = "S", site: str = "", lon: float = 12.7) -> list[Asset]:
    return [
        Asset(
            f"{segment}{i}",
            f"{segment}{i}",
            segment=segment,
            segment_order=i,
            lat=56.04 + i * STEP_DEG,
            lon=lon,
            site=site,
        )
        for i in range(n)
    ]


def loops(state: list[int], segment: list[int]) -> list[tuple[int, int]]:
    """The oracle: (out, bridges between) of the run each luminaire belongs to, by plain loops."""
    found: list[tuple[int, int]] = []
    for i in range(len(state)):
        first = i
        while first > 0 and state[first] >= 0 and segment[first - 1] == segment[first]:
            first -= 1
        last = i
        while last + 1 < len(state) and state[last + 1] >= 0 and segment[last + 1] == segment[i]:
            last += 1
        outs = [k for k in range(first, last + 1) if state[k] > 0]
        between = [
            k for k in range(first, last + 1) if state[k] == 0 and outs and outs[0] < k < outs[-1]
        ]
        found.append((len(outs), len(between)))
    return found


@given(st.lists(st.tuples(st.sampled_from([-1, 0, 1]), st.integers(0, 2)), max_size=30))
def test_runs_agree_with_plain_loops(drawn: list[tuple[int, int]]) -> None:
    drawn = sorted(drawn, key=lambda pair: pair[1])
    state, segment = [s for s, _ in drawn], [g for _, g in drawn]
    run, out, bridges = runs(np.array(state, np.int8), np.array(segment, np.int64))
    assert [(int(out[r]), int(bridges[r])) for r in run] == loops(state, segment)


def test_a_lit_luminaire_breaks_the_row_and_a_silent_one_does_not() -> None:
    assets = street(7)
    out = {"S0", "S1", "S3", "S5", "S6"}
    with_silent = Surroundings(assets, out=out, unknown={"S2"})
    assert with_silent.extent("S0").run_out == 3
    assert with_silent.extent("S0").run_unknown == 1
    assert with_silent.extent("S6").run_out == 2


def test_a_row_of_mostly_silence_is_no_row() -> None:
    assets = street(7)
    found = Surroundings(assets, out={"S0", "S6"}, unknown={"S1", "S2", "S3", "S4", "S5"})
    assert (found.extent("S0").run_out, found.extent("S0").run_unknown) == (1, 5)


def test_two_streets_side_by_side_are_one_cluster_but_two_rows() -> None:
    beside = 12.7 + 30 / 111_195 / np.cos(np.radians(56.04))
    assets = street(3, segment="A") + street(3, segment="B", lon=float(beside))
    found = Surroundings(assets, out={a.device_id for a in assets}, unknown=())
    assert found.extent("A0").run_out == 3
    assert found.extent("A0").cluster_out == 6


def test_luminaires_far_apart_are_no_cluster() -> None:
    assets = street(3, segment="A") + street(3, segment="B", lon=12.71)
    found = Surroundings(assets, out={a.device_id for a in assets}, unknown=())
    assert found.extent("A0").cluster_out == 3


def test_fully_dark_leaves_out_what_nobody_knows() -> None:
    assets = street(3, site="tunnel")
    dark = Surroundings(assets, out={"S0", "S1"}, unknown={"S2"})
    lit = Surroundings(assets, out={"S0", "S1"}, unknown=())
    silent = Surroundings(assets, out=(), unknown={"S0", "S1", "S2"})
    assert dark.place_is_dark({"tunnel"}) is True
    assert lit.place_is_dark({"tunnel"}) is False
    assert silent.place_is_dark({"tunnel"}) is None


def test_facts_of_a_day_burner_count_nothing_as_out() -> None:
    assets = street(5)
    around = Surroundings(assets, out={a.device_id for a in assets}, unknown=())
    common = {"crew": "lamp", "cause_kind": CauseKind.FEEDER, "prioritised": False}
    dark = around.facts(["S0"], kind=FindingKind.SUPPLY_LOSS, **common)
    day = around.facts(["S0"], kind=FindingKind.LAMP_UNEXPECTED_ON, **common)
    assert (dark.out, dark.run_out, dark.control_scope) == (1, 5, ControlScope.FEEDER)
    assert (day.out, day.run_out, day.cluster_out, day.fully_dark) == (0, 0, 0, None)


def test_a_degree_of_latitude_is_a_hundred_and_eleven_kilometres() -> None:
    assert round(distance_m(56.0, 12.7, 57.0, 12.7)) == 111_195
