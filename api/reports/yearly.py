"""The year's follow-up: what was tried, what it changed, how fast lights were mended where."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from html import escape
from statistics import median

from api.interventions import Intervention
from api.ledger.views import WorkOrder
from api.operations.sla import Policy
from api.reports.intervention import money, result_sentence
from api.reports.page import SIMULATED, document, table
from api.tables import csv_text

__all__ = ["REPEATED_DAYS", "REPEATED_FAULTS", "YearlyReport", "yearly_csv", "yearly_page",
           "yearly_report"]  # fmt: skip

REPEATED_FAULTS, REPEATED_DAYS = 3, 90
DAY_MS = 86_400_000

WORDS: Mapping[str, Mapping[str, str]] = {
    "sv": {
        "title": "Årsuppföljning",
        "interventions": "Insatser",
        "none": "Inga.",
        "no_result": "inget fryst resultat",
        "repair": "Tid till reparation",
        "group": "Områden",
        "prioritised": "prioriterade områden",
        "others": "övriga områden",
        "orders": "Arbetsorder",
        "mended": "Klara",
        "median": "Median, dygn",
        "late": "90-percentil, dygn",
        "repeated": f"Återkommande fel (minst {REPEATED_FAULTS} på {REPEATED_DAYS} dygn)",
        "place": "Plats",
        "faults": "Fel",
        "cost": "Kostnad",
        "simulated": "Simulerade arbetsorder är inte med.",
        "intervention": "Insats",
        "start": "Start",
        "answer": "Svar",
        "upkeep": "Drift per år",
    },
    "en": {
        "title": "Yearly follow-up",
        "interventions": "Interventions",
        "none": "None.",
        "no_result": "no frozen result",
        "repair": "Time to repair",
        "group": "Areas",
        "prioritised": "prioritised areas",
        "others": "other areas",
        "orders": "Work orders",
        "mended": "Done",
        "median": "Median, days",
        "late": "90th percentile, days",
        "repeated": f"Repeated faults (at least {REPEATED_FAULTS} in {REPEATED_DAYS} days)",
        "place": "Place",
        "faults": "Faults",
        "cost": "Cost",
        "simulated": "Simulated work orders are left out.",
        "intervention": "Intervention",
        "start": "Start",
        "answer": "Answer",
        "upkeep": "Upkeep a year",
    },
}


@dataclass(frozen=True, slots=True)
class RepairTimes:
    """How long repairs took in one group of areas.

    Attributes
    ----------
    orders, mended : int
        Detected in the year; of these marked done by now.
    median_days, late_days : float or None
        From detection to done, of the mended ones; None where there are none.
    """

    orders: int
    mended: int
    median_days: float | None
    late_days: float | None


@dataclass(frozen=True, slots=True)
class YearlyReport:
    """A year in numbers.

    Attributes
    ----------
    repair : dict of str to RepairTimes
        "prioritised" and "others".
    repeated : list of (place, faults, cost)
        Places with repeated faults, worst first.
    """

    year: int
    interventions: list[Intervention]
    repair: dict[str, RepairTimes]
    repeated: list[tuple[str, int, float | None]]


def yearly_report(
    year: int,
    interventions: Sequence[Intervention],
    orders: Sequence[WorkOrder],
    policy: Policy,
    *,
    zone: tzinfo,
) -> YearlyReport:
    """Put a year together.

    Parameters
    ----------
    year : int
        By the city's own clock; the detection counts.
    interventions : sequence of Intervention
        Those that ran in the year are taken.
    orders : sequence of WorkOrder
        Simulated ones, rejected ones and duplicates are passed over.
    policy : Policy
        Says which areas were prioritised on which day.
    zone : tzinfo
        The city's.
    """
    start = int(datetime(year, 1, 1, tzinfo=zone).timestamp() * 1000)
    stop = int(datetime(year + 1, 1, 1, tzinfo=zone).timestamp() * 1000)
    real = [
        o
        for o in orders
        if start <= o.detected_ms < stop
        and not o.simulated
        and o.state.value not in {"rejected", "duplicate"}
    ]
    groups: dict[str, list[WorkOrder]] = {"prioritised": [], "others": []}
    for order in real:
        on = datetime.fromtimestamp(order.detected_ms / 1000, zone).date()
        name = "prioritised" if policy.is_prioritised(order.area, on) else "others"
        groups[name].append(order)
    ran = [
        one
        for one in interventions
        if not one.cancelled
        and one.start <= date(year, 12, 31)
        and (one.end is None or one.end >= date(year, 1, 1))
    ]
    return YearlyReport(
        year, ran, {name: times_of(found) for name, found in groups.items()}, repeated_of(real)
    )


def times_of(orders: Sequence[WorkOrder]) -> RepairTimes:
    """From detection to done, in days."""
    days = sorted((o.done_ms - o.detected_ms) / DAY_MS for o in orders if o.done_ms is not None)
    if not days:
        return RepairTimes(len(orders), 0, None, None)
    late = days[min(len(days) - 1, int(0.9 * len(days)))]
    return RepairTimes(len(orders), len(days), median(days), late)


def repeated_of(orders: Sequence[WorkOrder]) -> list[tuple[str, int, float | None]]:
    """Places with at least three faults within ninety days."""
    by_place: dict[str, list[WorkOrder]] = defaultdict(list)
    for order in orders:
        if order.site or order.cause_id:
            by_place[order.site or order.cause_id].append(order)
    found: list[tuple[str, int, float | None]] = []
    for place, own in by_place.items():
        at = sorted(o.detected_ms for o in own)
        last = REPEATED_FAULTS - 1
        if any(at[i + last] - at[i] <= REPEATED_DAYS * DAY_MS for i in range(len(at) - last)):
            costs = [o.cost for o in own if o.cost is not None]
            found.append((place, len(own), sum(costs) if costs else None))
    return sorted(found, key=lambda row: (-row[1], row[0]))


def days_text(value: float | None, lang: str) -> str:
    """Days with one decimal."""
    if value is None:
        return "–"
    text = f"{value:.1f}"
    return text.replace(".", ",") if lang == "sv" else text


def answer_of(one: Intervention, lang: str) -> str:
    """The frozen answer, said to be simulated where it is; empty where nothing is frozen."""
    if one.result is None:
        return ""
    mark = f"{SIMULATED[lang]} " if one.result.get("simulated") else ""
    return mark + result_sentence(one.result, lang)


def yearly_page(report: YearlyReport, lang: str) -> str:
    """The year as a printable page."""
    words = WORDS[lang]
    tried = [
        (
            one.title,
            str(one.start),
            answer_of(one, lang) or words["no_result"],
            money(one.yearly_operating_cost_sek, lang),
        )
        for one in report.interventions
    ]
    times = [
        (
            words[name],
            str(t.orders),
            str(t.mended),
            days_text(t.median_days, lang),
            days_text(t.late_days, lang),
        )
        for name, t in report.repair.items()
    ]
    repeated = [(place, str(n), money(cost, lang)) for place, n, cost in report.repeated]
    none = f"<p>{escape(words['none'])}</p>"
    title = f"{words['title']} {report.year}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<h2>{escape(words['interventions'])}</h2>",
        table([words[k] for k in ("intervention", "start", "answer", "upkeep")], tried)
        if tried
        else none,
        f"<h2>{escape(words['repair'])}</h2>",
        table([words[k] for k in ("group", "orders", "mended", "median", "late")], times,
              numeric=1),
        f"<h2>{escape(words['repeated'])}</h2>",
        table([words[k] for k in ("place", "faults", "cost")], repeated, numeric=1)
        if repeated
        else none,
        f'<p class="small">{escape(words["simulated"])}</p>',
    ]  # fmt: skip
    return document(title, "\n".join(parts), lang)


def yearly_csv(report: YearlyReport) -> str:
    """The year as rows: section, name, measure, value."""
    rows: list[tuple[str, str, str, object]] = []
    for one in report.interventions:
        found = one.result["result"] if one.result else {}
        keys = ("verdict", "percent", "low_percent", "high_percent", "refused")
        rows += [("intervention", one.title, key, found.get(key)) for key in keys]
        cost = one.yearly_operating_cost_sek
        rows.append(("intervention", one.title, "yearly_operating_cost_sek", cost))
    for name, t in report.repair.items():
        rows += [
            ("repair", name, "orders", t.orders),
            ("repair", name, "mended", t.mended),
            ("repair", name, "median_days", t.median_days),
            ("repair", name, "late_days", t.late_days),
        ]
    for place, n, cost in report.repeated:
        rows += [("repeated", place, "faults", n), ("repeated", place, "cost", cost)]
    columns = zip(*rows, strict=True)
    return csv_text(dict(zip(("section", "name", "measure", "value"), columns, strict=True)))
