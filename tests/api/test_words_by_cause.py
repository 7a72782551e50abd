"""What several luminaires have in common is said of their cause, in both languages."""

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from analytics.findings import CauseKind, FindingKind
from api.i18n import Words
from api.ledger.views import WorkOrder
from api.operations.work_orders import WorkOrderState
from api.routes.presenting import WHY, WHY_TOGETHER, seen_text
from api.watch.explain import explain

ZONE = ZoneInfo("Europe/Stockholm")


def order(kind: FindingKind, cause_kind: CauseKind, members: int) -> WorkOrder:
    values: dict[str, Any] = dict.fromkeys(WorkOrder.__dataclass_fields__)
    values |= {
        "kind": kind.value, "cause_kind": cause_kind.value, "cause_id": "X1",
        "members": members, "note": "", "state": WorkOrderState.NEW,
    }  # fmt: skip
    return WorkOrder(**values)


@pytest.mark.parametrize(
    ("cause_kind", "english", "swedish"),
    [
        (CauseKind.SEGMENT, "stretch", "sträcka"),
        (CauseKind.FEEDER, "feeder", "grupp"),
        (CauseKind.CABINET, "cabinet", "belysningscentral"),
        (CauseKind.LUMINAIRE, "What feeds them is not known", "Vad som matar dem är inte känt"),
    ],
)
def test_a_loss_of_supply_names_what_was_lost_together(cause_kind, english, swedish):
    one = order(FindingKind.SUPPLY_LOSS, cause_kind, 5)
    assert english in seen_text(one, Words("en", ZONE))
    assert swedish in seen_text(one, Words("sv", ZONE))


def test_a_single_luminaire_is_not_said_to_have_company():
    alone = order(FindingKind.SUPPLY_LOSS, CauseKind.LUMINAIRE, 1)
    assert seen_text(alone, Words("en", ZONE)) == "It lost its power."
    clock = order(FindingKind.SWITCHING_ERROR, CauseKind.FEEDER, 12)
    assert "whole feeder" in seen_text(clock, Words("en", ZONE))


def test_every_such_sentence_is_translated():
    for message in [*WHY.values(), *WHY_TOGETHER.values()]:
        assert Words("sv", ZONE).text(message) != message


def test_lights_that_no_register_joins_are_not_said_to_share_a_cable():
    said = explain(FindingKind.SUPPLY_LOSS, CauseKind.LUMINAIRE, "L7", {})
    assert "registry does not say" in said
    assert "L7" not in said
    assert "registret" in explain(
        FindingKind.SUPPLY_LOSS, CauseKind.LUMINAIRE, "L7", {}, language="sv"
    )
