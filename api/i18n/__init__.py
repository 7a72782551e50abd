"""Swedish and English: catalogues, and times and numbers as each language writes them."""

import gettext
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cache
from pathlib import Path

__all__ = ["DOMAIN", "LANGUAGES", "LOCALE", "Words", "catalogue", "choose_language"]

DOMAIN = "ljusvakt"
LOCALE = Path(__file__).parent / "locale"
LANGUAGES = {"sv": "Svenska", "en": "English"}
DEFAULT = "sv"

_DAYS = {
    "sv": ("mån", "tis", "ons", "tors", "fre", "lör", "sön"),
    "en": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
}
_MONTHS = {
    "sv": (
        "jan.", "feb.", "mars", "apr.", "maj", "juni",
        "juli", "aug.", "sep.", "okt.", "nov.", "dec.",
    ),
    "en": (
        "Jan", "Feb", "Mar", "Apr", "May", "Jun",
        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ),
}  # fmt: skip


@cache
def catalogue(language: str) -> gettext.GNUTranslations:
    """The texts of one language."""
    return gettext.translation(DOMAIN, LOCALE, languages=[language])


def choose_language(*wishes: str | None, accept: str = "") -> str:
    """The first wish we speak, else the browser's best, else Swedish.

    Parameters
    ----------
    *wishes : str or None
        What the person has chosen, most recent first.
    accept : str
        The `Accept-Language` header.
    """
    for wish in wishes:
        if wish in LANGUAGES:
            return wish
    ranked: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept.split(",")[:20]):
        name, _, weight = part.strip().partition(";q=")
        try:
            quality = float(weight or 1)
        except ValueError:
            quality = 0.0
        language = name.split("-")[0].strip().lower()
        if quality > 0 and language in LANGUAGES:
            ranked.append((-quality, place, language))
    return min(ranked)[2] if ranked else DEFAULT


@dataclass(frozen=True)
class Words:
    """What a page needs to speak one language in the city's local time.

    Attributes
    ----------
    language : str
        "sv" or "en".
    zone : tzinfo
        The city's local time.
    """

    language: str
    zone: tzinfo

    def text(self, message: str) -> str:
        """The message in this language; itself where the message is empty."""
        return catalogue(self.language).gettext(message) if message else ""

    def plural(self, one: str, many: str, n: int) -> str:
        """The message for this number of things."""
        return catalogue(self.language).ngettext(one, many, n)

    def local(self, time_ms: int) -> datetime:
        """The moment as local time."""
        return datetime.fromtimestamp(time_ms / 1000, self.zone)

    def clock(self, time_ms: int) -> str:
        """Time of day: 21:40."""
        return self.local(time_ms).strftime("%H:%M")

    def day(self, time_ms: int) -> str:
        """Day: sön 22 nov."""
        at = self.local(time_ms)
        day, month = _DAYS[self.language][at.weekday()], _MONTHS[self.language][at.month - 1]
        return f"{day} {at.day} {month}"

    def moment(self, time_ms: int) -> str:
        """Day and time of day: sön 22 nov. 21:40."""
        return f"{self.day(time_ms)} {self.clock(time_ms)}"

    def date(self, time_ms: int) -> str:
        """Day with its year: 22 nov. 2026."""
        at = self.local(time_ms)
        return f"{at.day} {_MONTHS[self.language][at.month - 1]} {at.year}"

    def weekday(self, number: int) -> str:
        """Short name of a day; Monday is 0."""
        return _DAYS[self.language][number]

    def iso(self, time_ms: int) -> str:
        """For the machine-readable side of a time element."""
        return self.local(time_ms).isoformat(timespec="seconds")

    def span(self, length_ms: int) -> str:
        """A length of time, roughly: 3 h, 2 days."""
        minutes = max(0, round(length_ms / 60_000))
        if minutes < 90:
            return f"{minutes} min"
        hours = round(minutes / 60)
        if hours < 48:
            return f"{hours} h"
        days = round(hours / 24)
        return self.plural("%(n)d day", "%(n)d days", days) % {"n": days}

    def number(self, value: float, digits: int = 0) -> str:
        """A number with the language's own marks: 1 234,5 or 1,234.5."""
        text = f"{value:,.{digits}f}"
        if self.language == "sv":
            # A narrow no-break space groups the thousands.
            text = text.replace(",", "\u202f").replace(".", ",").replace("-", "\u2212")
        return text
