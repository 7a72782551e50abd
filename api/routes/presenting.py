"""Work orders and states in the words of whoever reads them."""

from dataclasses import dataclass

from api.i18n import Words
from api.ledger.views import Evidence, HistoryStep, WorkOrder
from api.operations.work_orders import WorkOrderState
from api.watch.consequences import TAKES_LIGHT, passages_source
from api.watch.explain import explain, nobody_counts

__all__ = [
    "OrderView",
    "action_text",
    "evidence_lines",
    "kind_text",
    "order_view",
    "state_text",
    "states_of",
    "step_text",
]


def N_(message: str) -> str:  # noqa: N802 - gettext's own name for "translate this later"
    """Mark a text for translation where it is not yet known for whom."""
    return message


KINDS = {
    "lamp_failure": N_("Dark"),
    "dimming_failure": N_("Does not dim as it should"),
    "depreciation": N_("Gives too little light"),
    "cycling_failure": N_("Goes on and off"),
    "lamp_unexpected_on": N_("Burns by day"),
    "switching_error": N_("Switches at the wrong time"),
    "supply_loss": N_("Without power"),
    "sensor_stuck": N_("Sensor stuck"),
    "sensor_blind": N_("Sensor blind"),
    "sensor_drift": N_("Sensor drifts"),
    "misaimed": N_("Points the wrong way"),
    "communication_failure": N_("Silent"),
    "citizen_report": N_("Reported by a citizen"),
    "never_judged": N_("Not judged yet"),
}
WHY = {
    "lamp_failure": N_("Darker than it should be when it should burn, night after night."),
    "dimming_failure": N_("Its light does not follow its dimming schedule."),
    "depreciation": N_("Its light has sunk below what is required."),
    "cycling_failure": N_("Its light goes out and comes back again and again in one night."),
    "lamp_unexpected_on": N_("It gives light in full daylight."),
    "switching_error": N_("It goes on or off at another time than its feeder."),
    "supply_loss": N_("It lost its power."),
    "sensor_stuck": N_("The sensor repeats the same value, day and night."),
    "sensor_blind": N_("The sensor sees no daylight any more."),
    "sensor_drift": N_("The sensor moves away from what its neighbours see."),
    "misaimed": N_("It lights, but not where it should."),
    "communication_failure": N_("Nothing has been heard. Whether it burns is not known."),
    "citizen_report": N_("A citizen has reported it."),
}
# What is about several is said of what they have in common.
WHY_TOGETHER = {
    ("supply_loss", "segment"): N_("Neighbours on one stretch lost their power together."),
    ("supply_loss", "feeder"): N_("The devices on one feeder lost their power together."),
    ("supply_loss", "cabinet"): N_("Feeders of one cabinet lost their power together."),
    ("supply_loss", "luminaire"): N_(
        "They lost their power in the same moment, near each other. What feeds them is not known."
    ),
    ("lamp_failure", "segment"): N_("Lamps side by side are dark when they should burn."),
    ("switching_error", "feeder"): N_("The whole feeder goes on or off at the wrong time."),
    ("communication_failure", "gateway"): N_(
        "Everything behind one gateway fell silent. Whether it burns is not known."
    ),
}
CAUSES = {
    "luminaire": N_("luminaire %s"),
    "sensor": N_("sensor %s"),
    "segment": N_("segment %s"),
    "feeder": N_("feeder %s"),
    "cabinet": N_("cabinet %s"),
    "gateway": N_("gateway %s"),
}
STATES = {
    "new": N_("new"),
    "assigned": N_("assigned"),
    "started": N_("started"),
    "waiting": N_("waiting"),
    "done": N_("marked done"),
    "verified": N_("proved by light"),
    "reopened": N_("reopened"),
    "duplicate": N_("duplicate"),
    "rejected": N_("rejected"),
}
TRUTHS = {
    "ok": N_("In order"),
    "faulty": N_("Faulty"),
    "unknown": N_("Unknown"),
    "planned": N_("Planned off"),
}
ACTIONS = {
    "assign": N_("Take"),
    "start": N_("Start"),
    "wait": N_("Set waiting"),
    "resume": N_("Go on"),
    "done": N_("Done"),
    "verify": N_("Confirm the repair"),
    "release": N_("Give back"),
    "reject": N_("Not a fault"),
    "reopen": N_("Reopen"),
    "note": N_("Write a note"),
}
STEPS = {
    "create": N_("Opened by the night round"),
    "assign": N_("Taken"),
    "release": N_("Given back"),
    "start": N_("Started"),
    "wait": N_("Waiting"),
    "resume": N_("Goes on"),
    "done": N_("Marked done"),
    "verify": N_("Proved"),
    "reopen": N_("Reopened"),
    "duplicate": N_("Joined with another order"),
    "reject": N_("Rejected"),
    "note": N_("Note"),
    "reprioritise": N_("Urgency changed"),
}
# The numbers a finding rests on, where crews have a word for them.
NUMBERS = {
    "dark_share": (N_("dark for %s %% of the time it should burn"), 100, 0),
    "level": (N_("%s %% of its usual light by night"), 100, 0),
    "daylight": (N_("%s %% of its usual light by day"), 100, 0),
    "loss": (N_("%s %% of its light left since it was new or cleaned"), 100, 0),
    "dark_readings": (N_("%s dark readings before it fell silent"), 1, 0),
    "silent_h": (N_("silent for %s hours"), 1, 0),
    "changes": (N_("%s changes in one night"), 1, 0),
    "equal_readings": (N_("%s equal readings in a row"), 1, 0),
    "value_lx": (N_("always %s lx"), 1, 1),
    "by_day": (N_("%s times its usual light by day"), 1, 1),
    "slots": (N_("%s readings too late or too early"), 1, 0),
}


@dataclass(frozen=True, slots=True)
class OrderView:
    """A work order as a person reads it."""

    id: int
    version: int
    state: str
    state_text: str
    title: str
    seen: str
    why: str
    urgency: str
    urgency_text: str
    place: str
    due_text: str
    late: bool
    assignee: str
    lat: float | None
    lon: float | None
    confidence: float | None


def kind_text(kind: str, words: Words) -> str:
    """What is wrong, in two words."""
    return words.text(KINDS.get(kind, kind.replace("_", " ")))


def state_text(state: str, words: Words) -> str:
    """Where an order stands."""
    return words.text(STATES.get(state, state))


def states_of(words: Words) -> dict[str, str]:
    """The four truths about a luminaire."""
    return {state: words.text(text) for state, text in TRUTHS.items()}


def action_text(action: str, words: Words) -> str:
    """What a button says."""
    return words.text(ACTIONS.get(action, action))


def cause_text(order: WorkOrder, words: Words) -> str:
    """What the order is about."""
    pattern = CAUSES.get(order.cause_kind)
    return words.text(pattern) % order.cause_id if pattern else order.cause_id


def title_of(order: WorkOrder, words: Words) -> str:
    """What is wrong and with what, how many where it is several."""
    what, cause = kind_text(order.kind, words), cause_text(order, words)
    if order.members > 1:
        several = words.plural("%(n)d luminaire", "%(n)d luminaires", order.members)
        return f"{what}: {several % {'n': order.members}}, {cause}"
    return f"{what}: {cause}"


def urgency_of(order: WorkOrder) -> str:
    """How much it hurries: urgent (within hours), soon (within days) or normal."""
    return ("urgent", "soon")[order.rank] if 0 <= order.rank < 2 else "normal"


def due_text(order: WorkOrder, words: Words, now_ms: int) -> tuple[str, bool]:
    """When the next clock runs out, and whether it has."""
    if order.state is WorkOrderState.WAITING:
        return words.text("the clock stands still"), False
    if order.due_ms is None:
        return "", False
    first = order.first_action_ms is None and order.due_ms == order.first_action_due_ms
    left_ms = order.due_ms - now_ms
    if left_ms < 0:
        late = words.text("first action late by %s") if first else words.text("repair late by %s")
        return late % words.span(-left_ms), True
    if left_ms < 36 * 3_600_000:
        soon = words.text("first action within %s") if first else words.text("repair within %s")
        return soon % words.span(left_ms), False
    day = words.text("first action by %s") if first else words.text("repair by %s")
    return day % words.day(order.due_ms), False


def seen_text(order: WorkOrder, words: Words) -> str:
    """What was seen: of one luminaire, or of what several have in common."""
    together = WHY_TOGETHER.get((order.kind, order.cause_kind)) if order.members > 1 else None
    seen = together or WHY.get(order.kind)
    return words.text(seen) if seen else order.note


def why_text(order: WorkOrder, words: Words, confidence: float | None) -> str:
    """Why we believe so, in one line: what was seen, since when, how sure."""
    seen = seen_text(order, words)
    since = words.text("Found %s") % words.moment(order.detected_ms)
    if confidence is None:
        return f"{seen} {since}."
    sure = words.text("Probability %s\N{NO-BREAK SPACE}%%.") % words.number(confidence * 100)
    return f"{seen} {since}. {sure}"


def order_view(
    order: WorkOrder, words: Words, now_ms: int, *, confidence: float | None = None
) -> OrderView:
    """One order in the reader's words."""
    text, late = due_text(order, words, now_ms)
    urgency = urgency_of(order)
    return OrderView(
        id=order.id,
        version=order.version,
        state=order.state.value,
        state_text=state_text(order.state.value, words),
        title=title_of(order, words),
        seen=seen_text(order, words),
        why=why_text(order, words, confidence),
        urgency=urgency,
        urgency_text={"urgent": words.text("urgent"), "soon": words.text("soon")}.get(urgency, ""),
        place=order.site or order.area,
        due_text=text,
        late=late,
        assignee=order.assignee,
        lat=order.lat,
        lon=order.lon,
        confidence=confidence,
    )


def numbers_text(evidence: Evidence, words: Words) -> str:
    """The numbers of one finding, in words."""
    return ", ".join(
        words.text(pattern) % words.number(evidence.evidence[name] * factor, digits)
        for name, (pattern, factor, digits) in NUMBERS.items()
        if evidence.evidence.get(name)
    )


def evidence_lines(evidence: tuple[Evidence, ...], words: Words) -> list[dict[str, str]]:
    """What the findings say, in numbers where crews have a word for them.

    Luminaires that tell the same are one line.
    """
    standing = [one for one in evidence if not one.withdrawn]
    told: dict[str, list[str]] = {}
    for one in standing:
        parts = [numbers_text(one, words), words.text("since %s") % words.moment(one.start_ms)]
        text = ", ".join(part for part in parts if part)
        told.setdefault(text, []).append(one.luminaire_id)
    lines: list[dict[str, str]] = []
    for text, names in list(told.items())[:MOST_LINES]:
        several = words.plural("%(n)d luminaire", "%(n)d luminaires", len(names))
        who = names[0] if len(names) == 1 else several % {"n": len(names)}
        lines.append({"text": f"{who}: {text}", "lang": ""})
    if left := sum(len(names) for names in list(told.values())[MOST_LINES:]):
        more = words.plural("and %(n)d more like it", "and %(n)d more like it", left)
        lines.append({"text": more % {"n": left}, "lang": ""})
    notes = [note_text(one, words.language) for one in standing]
    takes_light = any(one.kind in TAKES_LIGHT and one.end_ms is None for one in standing)
    if takes_light and passages_source(standing) == "none":
        lines.append({"text": nobody_counts(words.language), "lang": ""})
    return lines + [{"text": note, "lang": ""} for note in list(dict.fromkeys(notes))[:MOST_LINES]]


def note_text(one: Evidence, language: str) -> str:
    """The finding's sentences; in another language than English made anew from its numbers."""
    if language == "en" and one.note:
        return one.note
    return explain(one.kind, one.cause_kind, one.cause_id, one.evidence, language=language)


MOST_LINES = 6


def step_text(step: HistoryStep, words: Words) -> str:
    """What happened, as a line of the timeline."""
    return words.text(STEPS.get(step.action, step.action))
