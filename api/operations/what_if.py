"""A policy tried on what has happened: what would have been urgent, and what late."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from api.operations.sla import Facts, Policy, deadline_ms, judge

__all__ = ["Case", "WhatIf", "try_policy"]


@dataclass(frozen=True, slots=True)
class Case:
    """An order as it went, with the facts a policy asks for.

    Attributes
    ----------
    first_action_ms, repaired_ms : int or None
        When it really happened; None = not (yet).
    until_ms : int
        Up to when that is known [ms, UTC].
    """

    order_id: int
    facts: Facts
    detected_ms: int
    first_action_ms: int | None
    repaired_ms: int | None
    until_ms: int
    pauses: tuple[tuple[int, int | None], ...] = ()


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What a policy would have made of the cases.

    Attributes
    ----------
    by_priority, by_rule : mapping of str to int
    late_first_action, late_repaired : int
        Cases in which the real time was past that policy's deadline.
    timed_first_action, timed_repaired : int
        Cases that had such a deadline at all.
    priorities : mapping of order id to str
    """

    policy: str
    cases: int
    by_priority: dict[str, int] = field(default_factory=dict[str, int])
    by_rule: dict[str, int] = field(default_factory=dict[str, int])
    late_first_action: int = 0
    late_repaired: int = 0
    timed_first_action: int = 0
    timed_repaired: int = 0
    priorities: dict[int, str] = field(default_factory=dict[int, str])


def try_policy(policy: Policy, cases: Iterable[Case]) -> WhatIf:
    """Judge every case by a policy; a deadline that has not come yet is not late."""
    by_priority: Counter[str] = Counter()
    by_rule: Counter[str] = Counter()
    late, timed, priorities = [0, 0], [0, 0], dict[int, str]()
    for case in cases:
        verdict = judge(policy, case.facts)
        by_priority[verdict.priority] += 1
        by_rule[verdict.rule_id] += 1
        priorities[case.order_id] = verdict.priority
        ends = ((verdict.first_action, case.first_action_ms), (verdict.repaired, case.repaired_ms))
        for i, (within, happened_ms) in enumerate(ends):
            due_ms = deadline_ms(
                policy, within, verdict.clock, start_ms=case.detected_ms, pauses=case.pauses
            )
            if due_ms is None:
                continue
            timed[i] += 1
            late[i] += late_by(due_ms, happened_ms, case.until_ms)
    return WhatIf(
        policy.id,
        sum(by_priority.values()),
        {level: by_priority[level] for level in policy.levels},
        dict(by_rule.most_common()),
        late[0],
        late[1],
        timed[0],
        timed[1],
        priorities,
    )


def late_by(due_ms: int, happened_ms: int | None, until_ms: int) -> bool:
    """Whether it came after its time, or has not come although its time is over."""
    return (happened_ms if happened_ms is not None else until_ms) > due_ms


def changed(a: WhatIf, b: WhatIf) -> Sequence[tuple[int, str, str]]:
    """Orders two policies put at different levels: (order, in a, in b)."""
    both = sorted(a.priorities.keys() & b.priorities.keys())
    return [
        (n, a.priorities[n], b.priorities[n]) for n in both if a.priorities[n] != b.priorities[n]
    ]
