"""One evaluation as a page and as a few lines: the answer first, then why it may be believed."""

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from analytics.before_after import Effect, Refusal, Verdict
from api.planning.evaluation import ASSUMPTIONS, BandAnswer, Evaluation, evaluation_json
from api.reports.charts import band_chart, gap_chart
from api.reports.page import SIMULATED, definition_list, document, percent, table

__all__ = ["band_name", "evaluation_page", "evaluation_text", "quality_name", "sentence"]

WORDS: Mapping[str, Mapping[str, str]] = {
    "sv": {
        "title": "Utvärdering av gångflöde",
        "before": "Före",
        "after": "Efter",
        "days": "dagar",
        "from": "från",
        "band": "Tid på dygnet",
        "change": "Förändring",
        "interval": "Intervall",
        "p": "p (Holm)",
        "detectable": "Minsta upptäckbara",
        "verdict": "Bedömning",
        "controls": "Jämförelseplatser",
        "excluded": "Utelämnade platser",
        "quality": "Datakvalitet",
        "quality_note": "Detta hittades i de platser som användes, och lämnades utanför räkningen.",
        "assumptions": "Antaganden",
        "method": "Metod",
        "spill": "Spridning till grannplatser",
        "off": "Testet avslutat",
        "opposed": "På- och avslag gick åt motsatta håll, som väntat av en verklig effekt.",
        "not_opposed": "På- och avslag gick inte åt motsatta håll.",
        "contrast": "Kväll jämfört med dag",
        "warnings": "Att tänka på",
        "place": "Plats",
        "reason": "Orsak",
        "many": "Flera tider på dygnet bedöms sida vid sida. Bedömningen räknar med det (Holm); "
        "varje intervall är dock sitt eget.",
        "gap_title": "Platsen jämfört med vad jämförelseplatserna säger, vecka för vecka",
        "bands_title": "Förändring med intervall, per tid på dygnet",
        "hash": "Fingeravtryck av data (SHA-256)",
        "missing": "Saknade dagar på platsen",
        "placebo": "Rang bland placebo",
        "two": "två",
        "none": "Ingenting utelämnades.",
        "day": "dag 05–18",
        "evening": "kväll 18–24",
        "night": "natt 00–05",
        "purple_flag": "Purple Flag 17–05",
        "all_day": "hela dygnet",
        "dark": "mörka timmar",
        "evening_minus_day": "kväll jämfört med dag",
    },
    "en": {
        "title": "Footfall evaluation",
        "before": "Before",
        "after": "After",
        "days": "days",
        "from": "from",
        "band": "Hours",
        "change": "Change",
        "interval": "Interval",
        "p": "p (Holm)",
        "detectable": "Least detectable",
        "verdict": "Verdict",
        "controls": "Comparison places",
        "excluded": "Places left out",
        "quality": "Data quality",
        "quality_note": "This was found at the places used, and left out of the count.",
        "assumptions": "Assumptions",
        "method": "Method",
        "spill": "Spill-over to neighbouring places",
        "off": "Test ended",
        "opposed": "On and off moved opposite ways, as a real effect would.",
        "not_opposed": "On and off did not move opposite ways.",
        "contrast": "Evening against day",
        "warnings": "To bear in mind",
        "place": "Place",
        "reason": "Reason",
        "many": "Several bands of hours are judged side by side. The verdicts allow for that "
        "(Holm); each interval is its own.",
        "gap_title": "The place against what its comparison places say, week by week",
        "bands_title": "Change with its interval, by band of hours",
        "hash": "Fingerprint of the data (SHA-256)",
        "missing": "Days missing at the place",
        "placebo": "Rank among placebos",
        "two": "two",
        "none": "Nothing was left out.",
        "day": "day 05–18",
        "evening": "evening 18–24",
        "night": "night 00–05",
        "purple_flag": "Purple Flag 17–05",
        "all_day": "the whole day",
        "dark": "dark hours",
        "evening_minus_day": "evening against day",
    },
}

VERDICTS: Mapping[str, Mapping[Verdict, str]] = {
    "sv": {
        Verdict.INCREASE: "ökning",
        Verdict.DECREASE: "minskning",
        Verdict.SMALL_INCREASE: "liten ökning",
        Verdict.SMALL_DECREASE: "liten minskning",
        Verdict.NO_MEASURABLE_CHANGE: "ingen mätbar förändring",
        Verdict.INCONCLUSIVE: "går inte att avgöra",
    },
    "en": {
        Verdict.INCREASE: "increase",
        Verdict.DECREASE: "decrease",
        Verdict.SMALL_INCREASE: "small increase",
        Verdict.SMALL_DECREASE: "small decrease",
        Verdict.NO_MEASURABLE_CHANGE: "no measurable change",
        Verdict.INCONCLUSIVE: "inconclusive",
    },
}

REFUSALS: Mapping[str, Mapping[Refusal, str]] = {
    "sv": {
        Refusal.HISTORY_TOO_SHORT: "mindre än åtta veckor före starten",
        Refusal.FOLLOWUP_TOO_SHORT: "mindre än fyra veckor efter starten",
        Refusal.DEVICE_CHANGED: "mätaren byttes eller flyttades under tiden",
        Refusal.LIGHTING_FAILED: "belysningen fungerade inte under mer än var tionde mörk timme",
        Refusal.DATA_GAP: "för många dagar saknas på platsen",
        Refusal.COUNTER_STUCK: "mätaren visade samma tal varje dag",
        Refusal.TOO_MANY_ZEROS: "mer än var fjärde dag före starten räknades ingen alls",
        Refusal.CONTROL_TREATED: "en vald jämförelseplats har själv haft en åtgärd",
        Refusal.TOO_FEW_CONTROLS: "färre än fem användbara jämförelseplatser",
    },
    "en": {
        Refusal.HISTORY_TOO_SHORT: "less than eight weeks before the start",
        Refusal.FOLLOWUP_TOO_SHORT: "less than four weeks after the start",
        Refusal.DEVICE_CHANGED: "the counter was moved or replaced in the meantime",
        Refusal.LIGHTING_FAILED: "the lighting failed in more than one dark hour in ten",
        Refusal.DATA_GAP: "too many days are missing at the place",
        Refusal.COUNTER_STUCK: "the counter showed the same number every day",
        Refusal.TOO_MANY_ZEROS: "on more than one day in four before the start nobody was counted",
        Refusal.CONTROL_TREATED: "a chosen comparison place had an intervention of its own",
        Refusal.TOO_FEW_CONTROLS: "fewer than five usable comparison places",
    },
}

EXCLUSIONS_SV = {
    "named_by_planner": "utpekad av planeraren",
    "inside_influence_zone": "inom åtgärdens influensområde",
    "itself_treated": "hade en egen åtgärd",
    "device_changed": "mätaren byttes",
    "data_gap": "för många dagar saknas",
    "silent_or_empty_week": "en vecka utan räkning",
    "too_many_zeros": "för många dagar utan någon",
    "same_count_every_day": "samma tal varje dag: mätaren",
    "same_counts_as_another": "samma räkning dag för dag som en annan plats: samma mätare",
    "changed_tenfold_alone": "ändrades tiofalt för sig själv: mätaren",
    "less_alike_than_the_hundred_best": "mindre lik än de hundra bästa",
}
WARNINGS: Mapping[str, Mapping[str, str]] = {
    "sv": {
        "few_controls": "Färre än tio jämförelseplatser: intervallet är bredare för det.",
        "poor_fit": "Platsen följde jämförelseplatserna dåligt redan före starten.",
        "outlying_control": "Jämförelseplatsen {} rörde sig mycket mer än de andra; kontrollera "
        "dess mätare.",
    },
    "en": {
        "few_controls": "Fewer than ten comparison places: the interval is wider for it.",
        "poor_fit": "The place followed its comparison places poorly already before the start.",
        "outlying_control": "The comparison place {} moved far more than the others; check its "
        "counter.",
    },
}

METHOD = {
    "sv": (
        "Platsens dagliga räkning (logaritm, veckodagens median borttagen) jämförs med en "
        "ridge-regression på jämförelseplatserna. Varje jämförelseplats behandlas likadant som om "
        "den hade fått åtgärden; hur långt dessa placebo avviker ger intervallets bredd "
        "(t-fördelning med högst sex frihetsgrader). Ett intervall ur tidsserien själv vore för "
        "smalt, eftersom det mesta är långsam drift mellan platser."
    ),
    "en": (
        "The place's daily count (logarithm, weekday median removed) is compared with a ridge "
        "regression on the comparison places. Every comparison place is treated as if it had had "
        "the intervention; how far these placebos stray gives the width of the interval (t "
        "distribution with at most six degrees of freedom). An interval from the time series "
        "itself would be too narrow, because most of what moves is slow drift between places."
    ),
}
REFERENCES = (
    (
        "Doudchenko & Imbens (2016), Balancing, regression, difference-in-differences and "
        "synthetic control methods, NBER 22791."
    ),
    (
        "Ferman & Pinto (2019), Inference in differences-in-differences with few treated groups "
        "and heteroskedasticity, Review of Economics and Statistics 101:452."
    ),
    (
        "Conley & Taber (2011), Inference with difference in differences with a small number of "
        "policy changes, Review of Economics and Statistics 93:113."
    ),
    (
        "Abadie, Diamond & Hainmueller (2010), Synthetic control methods for comparative case "
        "studies, JASA 105:493."
    ),
    (
        "Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian "
        "Journal of Statistics 6:65."
    ),
)

QUALITY_SV = {
    "repeated_rows": "upprepade rader, räknade en gång",
    "conflicting_rows": "rader som motsade en annan; den sista gäller",
    "empty_rows": "rader utan antal",
    "impossible_rows": "negativa antal",
    "skipped_hour_rows": "rader i timmen som hoppades över på våren",
    "lone_repeated_rows": "ensamma rader i timmen som kom två gånger på hösten",
    "repeated_hours": "timmar som kom två gånger på hösten, medel av båda",
    "hours_missing": "timmar som saknas",
    "days_missing": "dagar som saknas",
    "dead_hours": "timmar med död mätare",
    "stuck_hours": "timmar med fastnad mätare",
    "impossible_peaks": "omöjliga toppar",
    "unexplained_falls": "oförklarade fall i räkneverket",
    "level_shift_day": "nivån ändrades: flyttad mätare? (inte utelämnad)",
}


def band_name(answer: BandAnswer, lang: str) -> str:
    """A band in words; hours as written for one of the planner's own."""
    return WORDS[lang].get(answer.band, answer.hours.replace("-", "–"))


def sentence(one: Effect, lang: str, when: str) -> str:
    """The answer in one sentence, interval and all."""
    if one.refused is not None:
        why = REFUSALS[lang][one.refused]
        if lang == "sv":
            return f"Ingen bedömning kan göras ({when}): {why}."
        return f"No answer can be given ({when}): {why}."
    change, low, high = (percent(v, lang) for v in one.percent)
    fall, rise = (percent(v, lang) for v in one.minimum_detectable_percent)
    level = f"{100 * (1 - one.alpha):g}".replace(".", "," if lang == "sv" else ".")
    found = one.verdict not in {Verdict.NO_MEASURABLE_CHANGE, Verdict.INCONCLUSIVE}
    up = one.log_ratio > 0
    size = change.lstrip("+−")
    if lang == "sv":
        interval = f"{level} % intervall {low} till {high}"
        if found:
            small = "något, med" if one.verdict in SMALL else "med"
            return (
                f"Gångflödet ({when}) {'ökade' if up else 'minskade'} {small} {size} ({interval})."
            )
        return (
            f"Ingen säkerställd skillnad ({when}): {change} ({interval}); minsta förändring som "
            f"kunde ha upptäckts är {fall} eller {rise}."
        )
    interval = f"{level}% interval {low} to {high}"
    if found:
        small = "slightly, by" if one.verdict in SMALL else "by"
        return f"Footfall ({when}) {'rose' if up else 'fell'} {small} {size} ({interval})."
    return (
        f"No established difference ({when}): {change} ({interval}); the least change that could "
        f"have been found is {fall} or {rise}."
    )


P_SHOWN = 0.001  # "0.000" would say that it cannot have been chance
SMALL = frozenset({Verdict.SMALL_INCREASE, Verdict.SMALL_DECREASE})


def evaluation_text(found: Evaluation, lang: str) -> str:
    """The answer for a person at a terminal."""
    words = WORDS[lang]
    lines = [f"{words['title']}: {', '.join(found.plan.sites)}, {found.plan.start}"]
    if found.counts.simulated:
        lines.append(SIMULATED[lang])
    lines.append(sentence(found.main.effect, lang, band_name(found.main, lang)))
    lines += ["", *(band_line(answer, lang) for answer in answers(found))]
    if len(found.bands) > 1:
        lines += ["", words["many"]]
    lines += [
        f"{words['spill']}: {site}: {sentence(one, lang, band_name(found.main, lang))}"
        for site, one in found.spill_over.items()
    ]
    lines += off_lines(found, lang)
    main = found.main.effect
    lines += [
        "",
        (
            f"{words['controls']} ({main.n_controls}): "
            f"{', '.join(found.names(main.controls)) or '–'}"
        ),
    ]
    if main.excluded:
        left = (f"{found.counts.sites[c]} ({exclusion(why, lang)})" for c, why in main.excluded)
        lines.append(f"{words['excluded']}: {', '.join(left)}")
    lines += warning_lines(found, lang)
    return "\n".join(lines)


def answers(found: Evaluation) -> list[BandAnswer]:
    """All bands and the contrast."""
    return [*found.bands, *([found.contrast] if found.contrast else [])]


def band_line(answer: BandAnswer, lang: str) -> str:
    """One band in one line of columns."""
    return "  ".join(
        f"{cell:<{width}}"
        for cell, width in zip(band_cells(answer, lang), (24, 9, 18, 8, 16, 24), strict=True)
    ).rstrip()


def band_cells(answer: BandAnswer, lang: str) -> tuple[str, ...]:
    """One band as cells: name, change, interval, p, least detectable, verdict."""
    one = answer.effect
    name = band_name(answer, lang)
    if one.refused is not None:
        return (name, "–", "–", "–", "–", REFUSALS[lang][one.refused])
    change, low, high = (percent(v, lang) for v in one.percent)
    fall, rise = (percent(v, lang) for v in one.minimum_detectable_percent)
    p = f"{answer.p_holm:.3f}" if answer.p_holm >= P_SHOWN else f"< {P_SHOWN}"
    verdict = VERDICTS[lang][one.verdict] if one.verdict else "–"
    joined = " till " if lang == "sv" else " to "
    return (
        name,
        change,
        f"{low}{joined}{high}",
        p.replace(".", ",") if lang == "sv" else p,
        f"{fall} / {rise}",
        verdict,
    )


def exclusion(reason: str, lang: str) -> str:
    """Why a site was left out, in words."""
    return EXCLUSIONS_SV[reason] if lang == "sv" else reason.replace("_", " ")


def off_lines(found: Evaluation, lang: str) -> list[str]:
    """The way back of a temporary test."""
    if found.off is None:
        return []
    words = WORDS[lang]
    lines = [
        (
            f"{words['off']} {found.plan.stop}: "
            f"{sentence(found.off, lang, band_name(found.main, lang))}"
        )
    ]
    if found.off.refused is None and found.main.effect.refused is None:
        lines.append(words["opposed" if found.opposed else "not_opposed"])
    return lines


def warning_lines(found: Evaluation, lang: str) -> list[str]:
    """What to bear in mind, in words."""
    lines: list[str] = []
    for warning in found.main.effect.warnings:
        kind, _, column = warning.partition(":")
        site = found.counts.sites[int(column)] if column else ""
        lines.append(WARNINGS[lang][kind].format(site))
    return lines


def quality_rows(quality: Mapping[str, Mapping[str, Any]], lang: str) -> list[tuple[str, str, str]]:
    """What was found where: (place, what, how much)."""
    return [
        (site, quality_name(key, lang), str(found[key]))
        for site, found in quality.items()
        for key in QUALITY_SV
        if found.get(key) and key != "repeated_hours"  # settled as they should be: nothing is wrong
    ]


def quality_name(key: str, lang: str) -> str:
    """What was found in the rows, in words."""
    return QUALITY_SV.get(key, key) if lang == "sv" else key.replace("_", " ")


def evaluation_page(found: Evaluation, lang: str) -> str:
    """The evaluation as a printable page, whole in itself.

    Parameters
    ----------
    found : Evaluation
    lang : str
        "sv" or "en".
    """
    words = WORDS[lang]
    main = found.main.effect
    plain = evaluation_json(found)
    when = band_name(found.main, lang)
    title = f"{words['title']}: {', '.join(found.plan.sites)}"
    parts = [f"<h1>{escape(title)}</h1>", f"<p>{found.plan.start}</p>"]
    if found.counts.simulated:
        parts.append(f'<p class="warn"><strong>{escape(SIMULATED[lang])}</strong></p>')
    parts.append(f'<p class="answer">{escape(sentence(main, lang, when))}</p>')
    notes = [*off_lines(found, lang), *warning_lines(found, lang)]
    if notes:
        items = "".join(f"<li>{escape(note)}</li>" for note in notes)
        parts.append(f"<h2>{escape(words['warnings'])}</h2><ul>{items}</ul>")
    if main.refused is None:
        weekly = weekly_means(main)
        parts.append(figure(words["gap_title"], gap_chart(weekly, main, lang, words["gap_title"])))
    shown = [a for a in answers(found) if a.effect.refused is None]
    if shown:
        named = [(band_name(a, lang), a.effect) for a in shown]
        parts.append(figure(words["bands_title"], band_chart(named, lang, words["bands_title"])))
    header = [words[k] for k in ("band", "change", "interval", "p", "detectable", "verdict")]
    parts.append(table(header, [band_cells(a, lang) for a in answers(found)]))
    if len(found.bands) > 1:
        parts.append(f'<p class="small">{escape(words["many"])}</p>')
    if found.spill_over:
        items = "".join(
            f"<li>{escape(site)}: {escape(sentence(one, lang, when))}</li>"
            for site, one in found.spill_over.items()
        )
        parts.append(f"<h2>{escape(words['spill'])}</h2><ul>{items}</ul>")
    parts.append(basis(found, plain, lang))
    return document(title, "\n".join(parts), lang)


def basis(found: Evaluation, plain: Mapping[str, Any], lang: str) -> str:
    """What the answer rests on: periods, controls, quality, assumptions, method."""
    words, main = WORDS[lang], found.main.effect
    result = plain["result"]
    periods = definition_list(
        [
            (
                words["before"],
                (f"{main.n_pre} {words['days']}, {words['from']} {result['before']['first_day']}"),
            ),
            (
                words["after"],
                (f"{main.n_post} {words['days']}, {words['from']} {result['after']['first_day']}"),
            ),
            (
                f"{words['controls']} ({main.n_controls})",
                ", ".join(found.names(main.controls)) or "–",
            ),
            (words["missing"], percent(100 * main.share_missing, lang, sign=False, digits=1)),
            (words["placebo"], placebo_words(main, lang)),
        ]
    )
    left_out = [(e["site"], exclusion(str(e["reason"]), lang)) for e in result["excluded"]]
    excluded = (
        f"<h2>{escape(words['excluded'])}</h2>{table((words['place'], words['reason']), left_out)}"
        if left_out
        else ""
    )
    rows = quality_rows(plain["quality"], lang)
    quality = (
        table((words["place"], words["reason"], "n"), rows, caption=words["quality_note"])
        if rows
        else f"<p>{escape(words['none'])}</p>"
    )
    assumptions = "".join(f"<li>{escape(text)}</li>" for text in ASSUMPTIONS[lang])
    references = "".join(f"<li>{escape(text)}</li>" for text in REFERENCES)
    return (
        f"{periods}{excluded}<h2>{escape(words['quality'])}</h2>{quality}"
        f"<h2>{escape(words['assumptions'])}</h2><ul>{assumptions}</ul>"
        f"<h2>{escape(words['method'])}</h2><p>{escape(METHOD[lang])}</p><ul>{references}</ul>"
        f'<p class="small">{escape(str(plain["method"]))}<br>'
        f"{escape(words['hash'])}: {found.data_sha256}</p>"
    )


def placebo_words(one: Effect, lang: str) -> str:
    """The rank among placebos."""
    if one.refused is not None:
        return "–"
    text = f"p = {one.placebo_p:.3f}"
    return text.replace(".", ",") if lang == "sv" else text


def figure(caption: str, svg: str) -> str:
    """A chart under its caption."""
    return f'<figure tabindex="0"><figcaption>{escape(caption)}</figcaption>{svg}</figure>'


def weekly_means(one: Effect) -> list[float]:
    """Weekly means of the gap [log units], NaN where a week is missing."""
    weeks = one.gap.reshape(-1, 7)
    n = np.isfinite(weeks).sum(axis=1)
    total = np.where(np.isfinite(weeks), weeks, 0.0).sum(axis=1)
    means = np.where(n > 0, total / np.maximum(n, 1), np.nan)
    return [float(v) for v in means]
