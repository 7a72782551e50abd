"""Work orders as crews use them: versions, keys, areas, photos, merging, pages."""

import io
from collections import Counter
from collections.abc import Iterator

import pytest
from contracts.lamp_street import HOUR_MS, NOW_MS, finding, street
from PIL import Image

from analytics.findings import FindingKind
from api.errors import BadInputError, ConflictError, NotFoundError, StaleVersionError
from api.ledger import Ledger, OrderFilter, open_ledger
from api.operations.work_orders import (
    Action,
    BudgetAccount,
    Rejection,
    Verification,
    WaitingFor,
    WorkOrderState,
)


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with open_ledger(ledger_url) as opened:
        opened.put_assets(street(20), now_ms=NOW_MS)
        opened.put_assets(street(20, area="Dalhem", first=101), now_ms=NOW_MS)
        found = [finding(i, f"lamp/L{i}") for i in (1, 5, 9, 102, 106)]
        opened.reconcile(found, now_ms=NOW_MS)
        yield opened


def test_whoever_acts_on_an_old_version_is_told(ledger: Ledger) -> None:
    ledger.transition(1, Action.START, version=1, actor="kim", now_ms=NOW_MS)
    with pytest.raises(StaleVersionError) as told:
        ledger.transition(1, Action.DONE, version=1, actor="li", now_ms=NOW_MS)
    assert (told.value.seen, told.value.now) == (1, 2)
    assert ledger.work_order(1).order.state is WorkOrderState.STARTED


def test_a_crew_sees_and_changes_only_its_own_area(ledger: Ledger) -> None:
    own = ledger.work_orders(OrderFilter(areas=("Dalhem",))).items
    assert [o.area for o in own] == ["Dalhem", "Dalhem"]
    assert ledger.work_orders(OrderFilter(areas=())).items == ()
    for call in (
        lambda: ledger.work_order(1, areas=["Dalhem"]),
        lambda: ledger.incident(1, areas=["Dalhem"]),
        lambda: ledger.transition(
            1, Action.START, version=1, actor="x", now_ms=NOW_MS, areas=["Dalhem"]
        ),
        lambda: ledger.attach_photo(1, picture(), actor="x", now_ms=NOW_MS, areas=["Dalhem"]),
    ):
        with pytest.raises(NotFoundError):
            call()
    assert ledger.work_order(1).order.version == 1


def test_pages_hold_every_order_once_the_most_urgent_first(ledger: Ledger) -> None:
    whole = ledger.work_orders(limit=1000).items
    assert len(whole) == 5
    assert [(o.rank, o.due_ms, o.id) for o in whole] == sorted(
        (o.rank, o.due_ms, o.id) for o in whole
    )
    seen, after = [], None
    while True:
        page = ledger.work_orders(limit=2, after=after)
        seen += page.items
        if page.next is None:
            break
        after = page.next
    assert tuple(seen) == whole


@pytest.mark.parametrize("after", [(), (1, 2), (1, 2, "x"), (1, 2, True), (2**70, 0, 0)])
def test_a_cursor_nobody_gave_out_is_refused(ledger: Ledger, after: tuple[object, ...]) -> None:
    with pytest.raises(BadInputError, match="cursor"):
        ledger.work_orders(after=after)  # type: ignore[arg-type]


def test_clocks_stand_still_while_a_third_party_has_the_work(ledger: Ledger) -> None:
    free = ledger.work_order(1).order
    ledger.transition(
        1, Action.WAIT, version=1, actor="kim", now_ms=NOW_MS, waiting_for=WaitingFor.THIRD_PARTY
    )
    waiting = ledger.work_order(1)
    assert (waiting.order.repaired_due_ms, waiting.order.due_ms) == (None, None)
    assert waiting.pauses[0].until_ms is None
    later = NOW_MS + 7 * 24 * HOUR_MS
    ledger.transition(1, Action.RESUME, version=2, actor="kim", now_ms=later)
    resumed = ledger.work_order(1)
    assert resumed.pauses[0].until_ms == later
    assert free.repaired_due_ms is not None
    assert resumed.order.repaired_due_ms is not None
    # Four closes of work that would have counted (Thursday 19 to Tuesday 24 November) were spent
    # waiting: ten working days end on Tuesday 8 December instead of Wednesday 2.
    assert resumed.order.repaired_due_ms - free.repaired_due_ms == 6 * 24 * HOUR_MS
    assert resumed.order.first_action_ms == later


def test_an_order_without_a_sensor_is_proved_by_crew_or_photo_and_says_so(ledger: Ledger) -> None:
    made = ledger.create_work_order(
        device_ids=["d3"], kind=FindingKind.LAMP_FAILURE, actor="li", now_ms=NOW_MS
    )
    ledger.transition(made.id, Action.DONE, version=1, actor="kim", now_ms=NOW_MS)
    with pytest.raises(ConflictError, match="no photo"):
        ledger.transition(
            made.id,
            Action.VERIFY,
            version=2,
            actor="kim",
            now_ms=NOW_MS,
            verification=Verification.PHOTO,
        )
    ledger.attach_photo(made.id, picture(), actor="kim", now_ms=NOW_MS)
    proved = ledger.transition(
        made.id,
        Action.VERIFY,
        version=2,
        actor="kim",
        now_ms=NOW_MS,
        verification=Verification.PHOTO,
    )
    assert (proved.state, proved.verification) == (WorkOrderState.VERIFIED, "photo")


def picture() -> bytes:
    """A photo with a position, a camera and a comment in it."""
    image = Image.effect_noise((640, 480), 40).convert("RGB")
    exif = Image.Exif()
    exif[0x010F] = "SECRETCAMERA"
    exif[0x0112] = 6  # turned by a quarter
    exif.get_ifd(0x8825)[1] = "N"
    kept = io.BytesIO()
    image.save(kept, "JPEG", exif=exif, comment=b"SECRETPLACE")
    return kept.getvalue()


def test_a_photo_keeps_the_picture_and_nothing_else(ledger: Ledger) -> None:
    given = picture()
    assert b"SECRETCAMERA" in given
    assert b"SECRETPLACE" in given
    kept = ledger.attach_photo(1, given, actor="kim", now_ms=NOW_MS)
    again = ledger.attach_photo(1, given, actor="kim", now_ms=NOW_MS)
    assert kept == again
    _, content = ledger.attachment(kept.id)
    assert (kept.width, kept.height) == (480, 640), "upright, as the camera meant it"
    assert b"SECRET" not in content
    with Image.open(io.BytesIO(content)) as found:
        assert not found.getexif()
        assert "comment" not in found.info


@pytest.mark.parametrize("content", [b"", b"GIF89a" + b"\0" * 50, b"<svg/>", picture()[:400]])
def test_what_is_no_photo_is_refused(ledger: Ledger, content: bytes) -> None:
    with pytest.raises(BadInputError):
        ledger.attach_photo(1, content, actor="kim", now_ms=NOW_MS)


def orders_by_lamp(ledger: Ledger) -> dict[str, int]:
    return {o.cause_id: o.id for o in ledger.work_orders().items}


def test_orders_merge_and_split_by_hand(ledger: Ledger) -> None:
    of = orders_by_lamp(ledger)
    into = of["L1"]
    merged = ledger.merge(into, [of["L5"], of["L9"]], actor="li", now_ms=NOW_MS)
    assert merged.members == 3
    assert ledger.work_order(of["L5"]).order.duplicate_of == into
    split = ledger.split(into, ["d9"], actor="li", now_ms=NOW_MS)
    assert [m.device_id for m in ledger.work_order(split.id).members] == ["d9"]
    assert ledger.work_order(into).order.members == 2
    # A round leaves what was done by hand alone.
    ledger.reconcile([finding(i, f"lamp/L{i}") for i in (1, 5, 9)], now_ms=NOW_MS + HOUR_MS)
    assert ledger.work_order(into).order.members == 2
    with pytest.raises(ConflictError, match="at least one"):
        ledger.split(split.id, ["d9"], actor="li", now_ms=NOW_MS)
    with pytest.raises(BadInputError, match="itself"):
        ledger.merge(into, [into], actor="li", now_ms=NOW_MS)


def test_an_order_merged_by_hand_is_proved_once_every_lamp_in_it_is_lit(ledger: Ledger) -> None:
    of = orders_by_lamp(ledger)
    into = of["L1"]
    ledger.merge(into, [of["L5"]], actor="li", now_ms=NOW_MS)
    one = [finding(1, "lamp/L1", end_ms=NOW_MS), finding(5, "lamp/L5")]
    ledger.reconcile(one, now_ms=NOW_MS + HOUR_MS)
    assert ledger.work_order(into).order.state is WorkOrderState.NEW
    both = [finding(1, "lamp/L1", end_ms=NOW_MS), finding(5, "lamp/L5", end_ms=NOW_MS)]
    result = ledger.reconcile(both, now_ms=NOW_MS + 2 * HOUR_MS)
    assert into in result.orders_verified
    assert ledger.work_order(into).order.verification == "light"


def test_an_order_split_off_by_hand_is_proved_by_the_light_too(ledger: Ledger) -> None:
    of = orders_by_lamp(ledger)
    ledger.merge(of["L1"], [of["L9"]], actor="li", now_ms=NOW_MS)
    split = ledger.split(of["L1"], ["d9"], actor="li", now_ms=NOW_MS)
    ledger.reconcile([finding(9, "lamp/L9", end_ms=NOW_MS)], now_ms=NOW_MS + HOUR_MS)
    assert ledger.work_order(split.id).order.state is WorkOrderState.VERIFIED


def test_who_pays_is_written_down(ledger: Ledger) -> None:
    order = ledger.set_budget(
        1, BudgetAccount.INVESTMENT, cost=12_500.0, version=1, actor="li", now_ms=NOW_MS
    )
    assert (order.budget_account, order.cost) == (BudgetAccount.INVESTMENT, 12_500.0)
    assert "12500.00 SEK" in ledger.work_order(1).history[-1].note


@pytest.mark.parametrize("number", [0, -1, 999, 2**63, 2**200])
def test_an_order_that_is_not_there_is_not_found(ledger: Ledger, number: int) -> None:
    with pytest.raises(NotFoundError):
        ledger.transition(number, Action.START, version=1, actor="x", now_ms=NOW_MS)
    with pytest.raises(NotFoundError):
        ledger.work_order(number)


def test_text_no_database_can_hold_is_cleaned_and_endless_names_are_refused(ledger: Ledger) -> None:
    order = ledger.transition(
        1,
        Action.ASSIGN,
        version=1,
        actor="k\x00im",
        assignee="l\ud800i",
        note="a\x00b",
        now_ms=NOW_MS,
    )
    step = ledger.work_order(1).history[-1]
    assert (order.assignee, step.actor, step.note) == ("l\ud800i", "kim", "ab")
    assert ledger.work_order(1).order.assignee == "li"
    assert step.details["assignee"] == "li"
    with pytest.raises(BadInputError, match="longer than 200"):
        ledger.transition(
            1, Action.ASSIGN, version=2, actor="kim", assignee="x" * 201, now_ms=NOW_MS
        )


def test_what_is_counted_is_what_is_listed(ledger: Ledger) -> None:
    for number, action in ((1, Action.START), (2, Action.REJECT), (3, Action.REJECT)):
        ledger.transition(
            number,
            action,
            version=1,
            actor="kim",
            now_ms=NOW_MS,
            rejection=Rejection.NOT_A_FAULT,
        )
    for wanted in (
        OrderFilter(open=True),
        OrderFilter(open=False),
        OrderFilter(open=True, rank=ledger.work_order(1).order.rank),
        OrderFilter(open=True, areas=("Söder",)),
        OrderFilter(open=True, states=(WorkOrderState.STARTED, WorkOrderState.REJECTED)),
        OrderFilter(),
    ):
        listed = Counter(order.state for order in ledger.work_orders(wanted).items)
        assert ledger.count_work_orders(wanted) == listed, wanted
        assert listed
