"""One intervention as a page: its evaluation pack, or the part of it that all may see."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from api.interventions import (
    FactorLine,
    Intervention,
    Note,
    Requirement,
    factor_lines,
    pack_requirements,
)
from api.reports.page import SIMULATED, definition_list, document, percent, table

__all__ = [
    "KINDS_SV",
    "REQUIREMENTS_SV",
    "facts_of",
    "measured_words",
    "money",
    "pack_page",
    "plan_sentence",
    "public_page",
    "result_sentence",
    "score",
    "size_words",
]

WORDS: Mapping[str, Mapping[str, str]] = {
    "sv": {
        "pack": "Utvärderingsunderlag",
        "result": "Resultat",
        "plan": "Plan för utvärdering",
        "factors": "De åtta faktorerna",
        "factor": "Faktor",
        "aim": "Mål",
        "measured": "Mätt av sensorer",
        "before": "Före (1–5)",
        "after": "Efter (1–5)",
        "notes": "Dialog och platsbesök",
        "required": "Krävs över 1 MSEK",
        "part": "Del",
        "state": "Läge",
        "done": "finns",
        "open": "saknas",
        "day": "Dag",
        "kind": "Slag",
        "phase": "Skede",
        "text": "Anteckning",
        "start": "Start",
        "end": "Slut",
        "sites": "Platser",
        "budget": "Budget",
        "cost": "Driftkostnad per år",
        "maintenance": "Skötselplan",
        "hypothesis": "Hypotes",
        "none": "–",
        "not_yet": "Inget resultat är fryst ännu.",
        "no_plan": "Ingen plan beräknades före starten.",
        "frozen": "Fryst resultat, fingeravtryck av data",
        "frozen_notes": "Fingeravtryck av anteckningar och filer",
        "files": "Bilder och dokument",
        "rounded": "Talen är avrundade till hela procent. Inga antal människor visas.",
        "inspection_form": "Platsbesök: bedöm varje faktor 1 (dålig) till 5 (god) före och efter.",
    },
    "en": {
        "pack": "Evaluation pack",
        "result": "Result",
        "plan": "Evaluation plan",
        "factors": "The eight factors",
        "factor": "Factor",
        "aim": "Aim",
        "measured": "Measured by sensors",
        "before": "Before (1–5)",
        "after": "After (1–5)",
        "notes": "Dialogue and inspections",
        "required": "Required above 1 MSEK",
        "part": "Part",
        "state": "State",
        "done": "present",
        "open": "missing",
        "day": "Day",
        "kind": "Kind",
        "phase": "Phase",
        "text": "Note",
        "start": "Start",
        "end": "End",
        "sites": "Places",
        "budget": "Budget",
        "cost": "Yearly operating cost",
        "maintenance": "Maintenance plan",
        "hypothesis": "Hypothesis",
        "none": "–",
        "not_yet": "No result is frozen yet.",
        "no_plan": "No plan was computed before the start.",
        "frozen": "Frozen result, fingerprint of the data",
        "frozen_notes": "Fingerprint of notes and files",
        "files": "Photos and documents",
        "rounded": "Numbers are rounded to whole percents. No numbers of people are shown.",
        "inspection_form": "Inspection: judge every factor 1 (poor) to 5 (good) before and after.",
    },
}
REQUIREMENTS_SV = {
    "dialogue_before": "dialog före",
    "inspection_before": "platsbesök före, alla åtta faktorer",
    "evaluation_plan": "plan för utvärdering före start",
    "dialogue_after": "dialog efter",
    "inspection_after": "platsbesök efter, alla åtta faktorer",
    "frozen_result": "fryst resultat",
    "maintenance_plan": "skötselplan",
    "yearly_operating_cost": "driftkostnad per år",
}
KINDS_SV = {
    "dialogue": "dialog", "inspection": "platsbesök", "survey": "undersökning", "other": "annat",
    "before": "före", "after": "efter",
}  # fmt: skip


def result_sentence(result: Mapping[str, Any], lang: str) -> str:
    """The frozen answer in one sentence, as it was answered."""
    said = result.get("sentence", {})
    return str(said.get(lang, ""))


def money(value: float | None, lang: str) -> str:
    """Kronor, thousands apart."""
    if value is None:
        return "–"
    text = f"{value:,.0f}".replace(",", "\u00a0")
    return f"{text} kr" if lang == "sv" else f"SEK {text}"


def facts_of(one: Intervention, lang: str) -> list[tuple[str, str]]:
    """What the intervention is."""
    words = WORDS[lang]
    return [
        (words["sites"], ", ".join(one.sites) or words["none"]),
        (words["start"], str(one.start)),
        (words["end"], str(one.end) if one.end else words["none"]),
        (words["hypothesis"], one.hypothesis or words["none"]),
        (words["budget"], money(one.budget_sek, lang)),
        (words["cost"], money(one.yearly_operating_cost_sek, lang)),
        (words["maintenance"], one.maintenance_plan or words["none"]),
    ]


def score(value: float | None) -> str:
    """A score, or that nobody gave one."""
    return "–" if value is None else f"{value:g}"


def factor_table(lines: Sequence[FactorLine], lang: str) -> str:
    """The eight factors; those no sensor measures say so."""
    words = WORDS[lang]
    rows = [
        (
            f"{line.factor.number} {line.factor.sv if lang == 'sv' else line.factor.en}",
            "●" if line.aimed_at else "",
            line.measured,
            score(line.before),
            score(line.after),
            "; ".join(line.remarks),
        )
        for line in lines
    ]
    header = [words[k] for k in ("factor", "aim", "measured", "before", "after", "text")]
    return table(header, rows, caption=words["inspection_form"])


def requirement_table(wanted: Sequence[Requirement], lang: str) -> str:
    """What the pack must hold, and whether it does."""
    words = WORDS[lang]
    rows = [
        (
            REQUIREMENTS_SV[r.key] if lang == "sv" else r.key.replace("_", " "),
            words["done"] if r.done else words["open"],
        )
        for r in wanted
    ]
    return table((words["part"], words["state"]), rows)


def note_table(notes: Sequence[Note], lang: str) -> str:
    """What people noted, day by day."""
    words = WORDS[lang]

    def named(word: str) -> str:
        return KINDS_SV[word] if lang == "sv" else word

    rows = [(str(n.day), named(n.phase), named(n.kind), n.text) for n in notes]
    return table([words[k] for k in ("day", "phase", "kind", "text")], rows)


def file_list(notes: Sequence[Note], lang: str) -> str:
    """Photos and documents of the notes, each with its fingerprint; empty where there are none."""
    parts: list[str] = []
    for note in notes:
        for one in note.files:
            href = f"/api/v1/interventions/{note.intervention_id}/files/{one.id}"
            named = escape(one.name)
            shown = f'<a href="{href}">{named}</a>, {size_words(one.size, lang)}'
            if one.media_type.startswith("image/"):
                shown = f'<img src="{href}" alt="{named}"><figcaption>{shown}</figcaption>'
            parts.append(
                f'<figure>{shown}<p class="small">{note.day} · SHA-256 {one.sha256}</p></figure>'
            )
    return "".join([f"<h2>{escape(WORDS[lang]['files'])}</h2>", *parts]) if parts else ""


def size_words(size: int, lang: str) -> str:
    """Bytes as a person says them."""
    text = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(size / 1e3, 0.1):.1f} kB"
    return text.replace(".", ",") if lang == "sv" else text


def measured_words(one: Intervention, lang: str) -> dict[str, str]:
    """What sensors say of the factors they measure."""
    if one.result is None:
        return {}
    found, said = one.result["result"], dict[str, str]()
    if not found["refused"]:
        change = percent(found["percent"], lang)
        ends = f"{percent(found['low_percent'], lang)}, {percent(found['high_percent'], lang)}"
        word = "gångflöde" if lang == "sv" else "footfall"
        said["footfall"] = f"{word} {change} ({ends})"
    for key in ("lighting", "repair_time"):
        if text := one.result.get("measured", {}).get(key, {}).get(lang):
            said[key] = text
    return said


def pack_page(one: Intervention, notes: Sequence[Note], lang: str) -> str:
    """The whole pack, for the planner's own eyes."""
    words = WORDS[lang]
    parts = [f"<h1>{escape(one.title)}</h1>", f"<p>{escape(words['pack'])}</p>"]
    parts.append(definition_list(facts_of(one, lang)))
    if wanted := pack_requirements(one, notes):
        parts += [f"<h2>{escape(words['required'])}</h2>", requirement_table(wanted, lang)]
    parts.append(f"<h2>{escape(words['plan'])}</h2>")
    parts.append(f"<p>{escape(plan_sentence(one, lang))}</p>")
    parts.append(f"<h2>{escape(words['result'])}</h2>")
    parts.append(result_part(one, lang))
    parts.append(f"<h2>{escape(words['factors'])}</h2>")
    lines = factor_lines(one, notes, measured=measured_words(one, lang), lang=lang)
    parts.append(factor_table(lines, lang))
    if notes:
        parts += [f"<h2>{escape(words['notes'])}</h2>", note_table(notes, lang)]
        parts.append(file_list(notes, lang))
    return document(one.title, "\n".join(parts), lang)


def plan_sentence(one: Intervention, lang: str) -> str:
    """What the evaluation could find, as known before the start."""
    if one.plan is None:
        return WORDS[lang]["no_plan"]
    said: str = one.plan["sentence"][lang]
    return said


def result_part(one: Intervention, lang: str) -> str:
    """The frozen answer with the fingerprint of its data."""
    words = WORDS[lang]
    if one.result is None:
        return f"<p>{escape(words['not_yet'])}</p>"
    mark = f'<p class="warn"><strong>{escape(SIMULATED[lang])}</strong></p>'
    said = one.result.get("qualitative", {}).get("sha256")
    noted = f"<br>{escape(words['frozen_notes'])}: {escape(said)}" if said else ""
    return (
        f"{mark if one.result.get('simulated') else ''}"
        f'<p class="answer">{escape(result_sentence(one.result, lang))}</p>'
        f'<p class="small">{escape(words["frozen"])}: {escape(one.result_sha256)}{noted}</p>'
    )


def public_page(one: Intervention, lang: str) -> str:
    """What all may see: the intervention and its frozen answer, in percent, without counts."""
    words = WORDS[lang]
    body = [
        f"<h1>{escape(one.title)}</h1>",
        result_part(one, lang),
        definition_list(
            [
                (words["start"], str(one.start)),
                (words["end"], str(one.end) if one.end else words["none"]),
                (words["hypothesis"], one.hypothesis or words["none"]),
                (words["budget"], money(one.budget_sek, lang)),
                (words["cost"], money(one.yearly_operating_cost_sek, lang)),
            ]
        ),
        f'<p class="small">{escape(words["rounded"])}</p>',
    ]
    return document(one.title, "\n".join(body), lang)
