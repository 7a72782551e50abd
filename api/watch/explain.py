"""A finding in a sentence or two: the numbers it rests on, and what cannot be told apart."""

from collections.abc import Mapping

from analytics.findings import CauseKind, FindingKind

__all__ = ["costs", "explain", "nobody_counts"]

K = FindingKind
NO_CLASS = 1e6  # nights beyond which nobody plans

WORDS = {
    "en": {
        "supply": "Went dark or silent together with its neighbours on {cause} {name}.",
        "supply_unnamed": (
            "Went dark or silent in the same moment as others nearby; the registry does not say "
            "what feeds them all."
        ),
        "silent": "No reading for {hours} hours; says nothing about the light.",
        "gateway": "Everything behind gateway {name} fell silent.",
        "stuck": "The same {lux} lx in {n} readings, by day and night.",
        "blind": "The sensor lost daylight and lamp light alike",
        "drift": "The sensor's daylight and lamp light move together",
        "misaimed": "Lamp light fell while daylight changed otherwise: turned or shaded",
        "dimmed": "The light fell in one step and stays down, daylight unchanged",
        "faded": "The light fell slowly, daylight unchanged",
        "cycling": "Went out and came back {n} times in one night.",
        "by_day": "Burns by day at {share} of its own light or power.",
        "switching": "On late or off early by about {minutes} minutes.",
        "reported": "The luminaire's own controller reports the failure.",
        "dark": "Dark in {share} of the night's readings",
        "of_own": ", at {share} of its own level",
        "answers": "; answers daylight at {share}",
        "night": ": night at {share} of normal",
        "day": ", daylight at {share}",
        "no_daylight": (
            "Seen without daylight to compare with: lamp and sensor cannot be told apart; take "
            "light and a spare sensor."
        ),
        "leaves": (
            "It changed as the leaves did: look for branches first, pruning for safety may be all "
            "it needs."
        ),
        "below": (
            "The stretch averages {average} lx, at least {least} lx; class {asked} asks for "
            "{asked_average} and {asked_least}: below its class (indicative: one sensor a column "
            "is no measuring grid)."
        ),
        "meets": (
            "The stretch averages {average} lx, at least {least} lx, and still meets class {asked} "
            "(indicative)."
        ),
        "uneven": "It is brighter than 1.5 times its class, so the light is uneven.",
        "until": "At this pace below the class in {likely} nights ({soonest} to {latest}).",
        "people": "About {n} people a night pass in light below what they should have; {source}.",
        "nobody_counts": "How many pass is not known: no counter here or at a similar place.",
        "own_counter": "counted there",
        "borrowed": "no counter there, so as at the nearest similar place that has one",
        "long": "over a year",
    },
    "sv": {
        "supply": "Slocknade eller tystnade samtidigt som grannarna på {cause} {name}.",
        "supply_unnamed": (
            "Slocknade eller tystnade i samma ögonblick som andra i närheten; registret säger inte "
            "vad som matar dem alla."
        ),
        "silent": "Inget mätvärde på {hours} timmar; säger inget om ljuset.",
        "gateway": "Allt bakom gateway {name} tystnade.",
        "stuck": "Samma {lux} lx i {n} mätvärden, dag som natt.",
        "blind": "Givaren har tappat dagsljus och lampljus lika mycket",
        "drift": "Givarens dagsljus och lampljus glider tillsammans",
        "misaimed": "Lampljuset föll medan dagsljuset ändrades annorlunda: vriden eller skymd",
        "dimmed": "Ljuset föll i ett steg och är kvar där, dagsljuset oförändrat",
        "faded": "Ljuset föll långsamt, dagsljuset oförändrat",
        "cycling": "Slocknade och tändes {n} gånger på en natt.",
        "by_day": "Lyser på dagen med {share} av sitt eget ljus eller sin effekt.",
        "switching": "Tänds sent eller släcks tidigt med omkring {minutes} minuter.",
        "reported": "Armaturens eget don rapporterar felet.",
        "dark": "Mörk i {share} av nattens mätvärden",
        "of_own": ", {share} av sin egen nivå",
        "answers": "; svarar på dagsljus med {share}",
        "night": ": natten {share} av det normala",
        "day": ", dagsljuset {share}",
        "no_daylight": (
            "Sett utan dagsljus att jämföra med: lampa och givare kan inte skiljas åt; ta med både "
            "ljuskälla och givare."
        ),
        "leaves": (
            "Det ändrades som löven gör: titta efter grenar först, trygghetsbeskärning kan räcka."
        ),
        "below": (
            "Sträckan har {average} lx i medel, lägst {least} lx; klass {asked} kräver "
            "{asked_average} och {asked_least}: under sin klass (indikativt: en givare per stolpe "
            "är inget mätnät)."
        ),
        "meets": (
            "Sträckan har {average} lx i medel, lägst {least} lx, och klarar ännu klass {asked} "
            "(indikativt)."
        ),
        "uneven": "Den är ljusare än 1,5 gånger sin klass, alltså ojämn.",
        "until": "I den takten under klassen om {likely} nätter ({soonest} till {latest}).",
        "people": "Omkring {n} personer per natt passerar i sämre ljus än de borde ha; {source}.",
        "nobody_counts": (
            "Hur många som passerar är inte känt: ingen räknare här eller på liknande plats."
        ),
        "own_counter": "räknat på platsen",
        "borrowed": "ingen räknare där, så som på närmaste liknande plats med räknare",
        "long": "över ett år",
    },
}
CAUSES = {
    "sv": {
        CauseKind.LUMINAIRE: "armatur",
        CauseKind.SENSOR: "givare",
        CauseKind.SEGMENT: "sträcka",
        CauseKind.FEEDER: "grupp",
        CauseKind.CABINET: "belysningscentral",
        CauseKind.GATEWAY: "gateway",
    }
}
LEADS = {
    K.SENSOR_BLIND: "blind",
    K.SENSOR_DRIFT: "drift",
    K.MISAIMED: "misaimed",
    K.DIMMING_FAILURE: "dimmed",
    K.DEPRECIATION: "faded",
}
LEAVES_FROM = 0.95  # daylight that leaves took away, as a ratio: a tree, not the weather


def explain(
    kind: FindingKind,
    cause_kind: CauseKind,
    cause_id: str,
    evidence: Mapping[str, float],
    *,
    note: str = "",
    language: str = "en",
) -> str:
    """Why we believe it and what it costs, in English or Swedish.

    Parameters
    ----------
    evidence : mapping of str to float
        The finding's numbers by name, and what `api.watch.consequences` added to them.
    note : str
        What the judgement added itself, in English; left out in other languages.
    language : str
        `sv`; anything else is English.
    """
    tongue = Tongue(language)
    parts = [*tongue.seen(kind, cause_kind, cause_id, evidence), *tongue.costs(evidence)]
    if note and tongue.language == "en":
        parts.append(note)
    return " ".join(parts)


def costs(evidence: Mapping[str, float], *, language: str = "en") -> str:
    """What it costs alone: the class of the stretch, and those who pass."""
    return " ".join(Tongue(language).costs(evidence))


def nobody_counts(language: str) -> str:
    """What is said where no counter tells who passes."""
    return Tongue(language).words["nobody_counts"]


class Tongue:
    """The sentences of one language."""

    def __init__(self, language: str) -> None:
        self.language = language if language in WORDS else "en"
        self.words = WORDS[self.language]

    def number(self, value: float, digits: int = 0) -> str:
        """A number with the language's decimal mark."""
        text = f"{value:.{digits}f}"
        return text.replace(".", ",") if self.language == "sv" else text

    def share(self, value: float) -> str:
        """A share as a whole percentage."""
        return f"{100 * value:.0f}\N{NO-BREAK SPACE}%"

    def say(self, sentence: str, /, **facts: str) -> str:
        """One sentence with its facts."""
        return self.words[sentence].format(**facts)

    def seen(
        self, kind: FindingKind, cause_kind: CauseKind, cause_id: str, n: Mapping[str, float]
    ) -> list[str]:
        """What was seen."""
        cause = CAUSES.get(self.language, {}).get(cause_kind, cause_kind.value)
        said: list[str] = []
        if cause_kind is CauseKind.GATEWAY:
            said.append(self.say("gateway", name=cause_id))
        if kind in LEADS:
            return [*said, self.level(n, self.words[LEADS[kind]]), *self.doubts(n)]
        said.append(
            {
                K.LAMP_FAILURE: lambda: self.lamp_failure(n),
                K.SUPPLY_LOSS: lambda: self.say(
                    "supply_unnamed" if cause_kind is CauseKind.LUMINAIRE else "supply",
                    cause=cause,
                    name=cause_id,
                ),
                K.COMMUNICATION_FAILURE: lambda: self.say(
                    "silent", hours=self.number(n.get("silent_h", 24))
                ),
                K.SENSOR_STUCK: lambda: self.say(
                    "stuck",
                    lux=self.number(n.get("value_lx", 0), 1),
                    n=self.number(n.get("equal_readings", 0)),
                ),
                K.CYCLING_FAILURE: lambda: self.say(
                    "cycling", n=self.number(n.get("changes", 0) / 2)
                ),
                K.LAMP_UNEXPECTED_ON: lambda: self.say(
                    "by_day", share=self.share(n.get("by_day", 1))
                ),
                K.SWITCHING_ERROR: lambda: self.say(
                    "switching", minutes=self.number(n.get("minutes", 0))
                ),
            }[kind]()
        )
        return said

    def lamp_failure(self, n: Mapping[str, float]) -> str:
        """Dark share and level, or what the device said."""
        if "reported" in n or not n.get("dark_share", 0) > 0:
            return self.words["reported"]
        text = self.say("dark", share=self.share(n["dark_share"]))
        if "level" in n:
            text += self.say("of_own", share=self.share(n["level"]))
        if "daylight" in n:
            text += self.say("answers", share=self.share(n["daylight"]))
        return text + "."

    def level(self, n: Mapping[str, float], lead: str) -> str:
        """Level by night and answer to daylight."""
        text = lead + self.say("night", share=self.share(n.get("level", 1)))
        if "daylight" in n:
            text += self.say("day", share=self.share(n["daylight"]))
        return text + "."

    def doubts(self, n: Mapping[str, float]) -> list[str]:
        """What cannot be told apart."""
        out = [] if "daylight" in n else [self.words["no_daylight"]]
        if n.get("foliage", 1.0) < LEAVES_FROM:
            out.append(self.words["leaves"])
        return out

    def costs(self, n: Mapping[str, float]) -> list[str]:
        """What it means for the class of the stretch, and for those who pass."""
        out: list[str] = []
        if "class_number" in n:
            below = n["average_lx"] < n["class_average_lx"] or n["least_lx"] < n["class_least_lx"]
            out.append(
                self.say(
                    "below" if below else "meets",
                    asked=f"P{n['class_number']:.0f}",
                    average=self.number(n["average_lx"], 1),
                    least=self.number(n["least_lx"], 1),
                    asked_average=self.number(n["class_average_lx"], 1),
                    asked_least=self.number(n["class_least_lx"], 1),
                )
            )
            if n["average_lx"] > 1.5 * n["class_average_lx"]:
                out.append(self.words["uneven"])
        if 0 < n.get("nights_likely", 0) < NO_CLASS:
            ends = {k: self.nights(n[f"nights_{k}"]) for k in ("soonest", "likely", "latest")}
            out.append(self.say("until", **ends))
        if n.get("passages", 0) >= 1:
            source = "borrowed" if n.get("passages_borrowed") else "own_counter"
            out.append(self.say("people", n=self.number(n["passages"]), source=self.words[source]))
        return out

    def nights(self, n: float) -> str:
        """How many nights, as far as anybody can plan."""
        return self.number(n) if n <= 365 else self.words["long"]
