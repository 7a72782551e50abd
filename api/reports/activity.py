"""Low hours of every place as lines for a terminal, in Swedish or English."""

from collections.abc import Mapping, Sequence
from typing import Any

from api.planning.activity import WEEKDAYS_EN, WEEKDAYS_SV, ActivityAnswer, low_activity_for_site
from api.reports.evaluation import quality_name
from api.reports.page import decimal

__all__ = ["activity_text"]

WORDS: Mapping[str, Mapping[str, str]] = {
    "sv": {
        "window": "{first} till {last}, {zone}; helgdagar: {country}",
        "none": "inga",
        "too_little": "för lite räknades för att säga något",
        "below": "färre än {limit} troligen eller säkert: {spans}",
        "never": "aldrig",
        "whole_day": "hela dagen",
        "dark": "mörkt och tomt {hours} h i veckan (medel av {weeks} hela veckor)",
        "simulated": "SIMULERADE DATA",
    },
    "en": {
        "window": "{first} to {last}, {zone}; holidays: {country}",
        "none": "none",
        "too_little": "too little was counted to say",
        "below": "below {limit} probably or certainly: {spans}",
        "never": "never",
        "whole_day": "all day",
        "dark": "dark and empty {hours} h a week (mean of {weeks} whole weeks)",
        "simulated": "SIMULATED DATA",
    },
}


def activity_text(answer: ActivityAnswer, wanted: Sequence[str], lang: str) -> str:
    """The answer for a person at a terminal.

    Parameters
    ----------
    answer : ActivityAnswer
    wanted : sequence of str
        Places to be shown.
    lang : str
        "sv" or "en".
    """
    words = WORDS[lang]
    country = words["none"] if answer.country == "none" else answer.country
    head = words["window"].format(
        first=answer.first_day,
        last=answer.last_day,
        zone=answer.counts.zone.key,
        country=country,
    )
    lines = [head, *([words["simulated"]] if answer.counts.simulated else [])]
    for site in wanted:
        found = low_activity_for_site(answer, site)
        lines += ["", f"{site}: {span_words(found, lang)}"]
        lines += [f"  {line}" for line in (dark_words(found, lang),) if line]
        lines += [f"  {line}" for line in quality_lines(found["quality"], lang)]
    return "\n".join(lines)


def span_words(found: Mapping[str, Any], lang: str) -> str:
    """Low spans in words."""
    words = WORDS[lang]
    if found["states"]["insufficient"] == len(found["state"]):
        return words["too_little"]
    names = dict(zip(WEEKDAYS_EN, WEEKDAYS_SV if lang == "sv" else WEEKDAYS_EN, strict=True))
    spans = [
        f"{', '.join(names[d] for d in span['days'])} "
        + (
            words["whole_day"]
            if (span["from"], span["to"]) == (0, 24)
            else f"{span['from']:02}–{span['to']:02}"
        )
        for span in found["low_spans"]
    ]
    return words["below"].format(
        limit=decimal(found["threshold"], lang), spans="; ".join(spans) or words["never"]
    )


def dark_words(found: Mapping[str, Any], lang: str) -> str:
    """Dark-and-empty hours of a usual week; empty where the position or the hours are unknown."""
    # The first and last ISO week of a window are seldom whole.
    hours = [w["dark_and_empty_hours"] for w in found.get("dark_and_empty", ())][1:-1]
    known = [h for h in hours if h is not None]
    if not known:
        return ""
    mean = decimal(sum(known) / len(known), lang)
    return WORDS[lang]["dark"].format(hours=mean, weeks=len(known))


def quality_lines(quality: Mapping[str, Any], lang: str) -> list[str]:
    """What was left out, one thing a line."""
    return [
        f"{quality_name(name, lang)}: {value}"
        for name, value in quality.items()
        if value and not name.endswith(("_expected", "_present", "_percent")) and name != "rows"
    ]
