"""`evaluate` and `activity`: footfall answers from any table."""

import json
import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.errors import BadInputError

if TYPE_CHECKING:
    from api.planning.counts import Counts

__all__ = ["register"]

CountsFile = Annotated[
    Path, typer.Option("--counts", help="CSV (Swedish ones too), xlsx, Parquet or JSON Lines.")
]
SiteColumn = Annotated[
    str, typer.Option(help="Column with the name of the place; common names are found.")
]
TimeColumn = Annotated[
    str, typer.Option(help="Column with the time or date; common names are found.")
]
CountColumn = Annotated[
    str, typer.Option(help="Column with the number of people; common names are found.")
]
Zone = Annotated[str, typer.Option("--tz", help="Where times without a zone were read.")]
Holidays = Annotated[
    str | None, typer.Option(help='Country of the holidays, "none" for none; by --tz without it.')
]
Totals = Annotated[bool, typer.Option(help="The count is a running total of the counter.")]
Sheet = Annotated[str | None, typer.Option(help="Sheet of an xlsx file.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Keep = Annotated[bool, typer.Option(help="Leave dead, stuck and impossible hours in.")]
Language = Annotated[str, typer.Option(help="Language of words: sv or en.")]
Lat = Annotated[float | None, typer.Option(help="Latitude, for dark hours.")]
Lon = Annotated[float | None, typer.Option(help="Longitude, for dark hours.")]


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    app.command(name="activity")(activity)
    app.command(name="evaluate")(evaluate_command)


def activity(
    counts: CountsFile,
    site_column: SiteColumn = "site",
    time_column: TimeColumn = "time",
    count_column: CountColumn = "count",
    tz: Zone = "Europe/Stockholm",
    holidays: Holidays = None,
    totals: Totals = False,
    sheet: Sheet = None,
    site: Annotated[list[str] | None, typer.Option(help="Only these places.")] = None,
    weeks: Annotated[int, typer.Option(help="Weeks that are fitted.")] = 8,
    until: Annotated[str | None, typer.Option(help="Last day of the window.")] = None,
    below: Annotated[float, typer.Option(help="People an hour that count as low.")] = 20.0,
    below_share: Annotated[
        float, typer.Option(help="Share of the place's busy hours that counts as low.")
    ] = 0.10,
    lat: Lat = None,
    lon: Lon = None,
    keep_faults: Keep = False,
    lang: Language = "sv",
    as_json: AsJson = False,
) -> None:
    """When do places stand empty? Hours of the week with little activity, and how sure that is."""
    from api.planning.activity import activity_answer, activity_json
    from api.planning.holiday_calendar import country_of
    from api.reports.activity import activity_text

    check_language(lang)
    table = read_counts(counts, sheet, site_column, time_column, count_column, tz, totals=totals)
    country = country_of(tz, holidays)
    clean = cleaned(table, country, keep=keep_faults)
    answer = activity_answer(
        clean,
        country=country,
        weeks=weeks,
        until=parsed_day(until),
        absolute=below,
        relative=below_share,
        position=position_of(lat, lon),
    )
    wanted = [clean.sites[clean.column(s)] for s in site] if site else clean.sites
    if as_json:
        found = activity_json(answer)
        found["sites"] = [one for one in found["sites"] if one["site"] in wanted]
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        typer.echo(activity_text(answer, wanted, lang))


def evaluate_command(
    counts: CountsFile,
    site: Annotated[list[str], typer.Option(help="Treated place; several are pooled.")],
    day: Annotated[str, typer.Option("--date", help="First day of the intervention.")],
    before: Annotated[str, typer.Option(help="History used, such as 52w or 364d.")] = "52w",
    after: Annotated[str, typer.Option(help="Follow-up used, such as 8w.")] = "8w",
    band: Annotated[
        str, typer.Option(help="Hours such as 18-24, or day, evening, night, purple_flag, dark.")
    ] = "",
    controls: Annotated[
        list[str] | None, typer.Option(help="Comparison places; all others without it.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Never a comparison place.")] = None,
    near: Annotated[
        list[str] | None, typer.Option(help="In the influence zone: tested, never compared.")
    ] = None,
    also_treated: Annotated[
        list[str] | None, typer.Option(help="With an intervention of its own.")
    ] = None,
    device_change: Annotated[
        list[str] | None, typer.Option(help="PLACE=DATE on which its counter was changed.")
    ] = None,
    lighting_failed: Annotated[
        str, typer.Option(help="Share of dark hours with failed lighting: BEFORE,AFTER.")
    ] = "0,0",
    off: Annotated[
        str | None, typer.Option(help="Day on which a temporary test was ended.")
    ] = None,
    locations: Annotated[
        Path | None, typer.Option(help="Table of place, lat, lon; finds the influence zone.")
    ] = None,
    zone_m: Annotated[float, typer.Option(help="Radius of the influence zone [m].")] = 300.0,
    site_column: SiteColumn = "site",
    time_column: TimeColumn = "time",
    count_column: CountColumn = "count",
    tz: Zone = "Europe/Stockholm",
    holidays: Holidays = None,
    totals: Totals = False,
    sheet: Sheet = None,
    lat: Lat = None,
    lon: Lon = None,
    alpha: Annotated[float, typer.Option(help="One minus the interval's coverage.")] = 0.05,
    keep_faults: Keep = False,
    report: Annotated[Path | None, typer.Option(help="Write a printable page here.")] = None,
    lang: Language = "sv",
    as_json: AsJson = False,
) -> None:
    """Did an intervention change footfall? The change with its interval, or why none is honest."""
    from api.planning.evaluation import EvaluationPlan, evaluate, evaluation_json
    from api.planning.holiday_calendar import country_of
    from api.reports.evaluation import evaluation_page, evaluation_text

    check_language(lang)
    if not 0 < alpha < 1:
        raise BadInputError(f"--alpha must be between 0 and 1, not {alpha}.")
    table = read_counts(counts, sheet, site_column, time_column, count_column, tz, totals=totals)
    clean = cleaned(table, country_of(tz, holidays), keep=keep_faults)
    treated = tuple(clean.sites[clean.column(s)] for s in split_names(site))
    position, zone = located(clean, treated, locations, zone_m, position_of(lat, lon))
    start = parsed_day(day)
    if start is None:
        raise BadInputError("--date is empty.", remedy="Write it as 2026-05-01.")
    plan = EvaluationPlan(
        sites=treated,
        start=start,
        before_days=parsed_days(before, "--before"),
        after_days=parsed_days(after, "--after"),
        band=band,
        controls=tuple(split_names(controls)) if controls else None,
        exclude=tuple(split_names(exclude)),
        near=tuple(dict.fromkeys([*split_names(near), *zone])),
        also_treated=tuple(split_names(also_treated)),
        device_changes=tuple(parsed_change(text) for text in device_change or ()),
        lighting_failed=parsed_shares(lighting_failed),
        stop=parsed_day(off),
        position=position,
        alpha=alpha,
    )
    found = evaluate(clean, plan)
    if report is not None:
        write_text(report, evaluation_page(found, lang))
    if as_json:
        typer.echo(json.dumps(evaluation_json(found), ensure_ascii=False))
    else:
        typer.echo(evaluation_text(found, lang))
        if report is not None:
            typer.echo(str(report))


def check_language(lang: str) -> None:
    """Raise unless there are words in this language."""
    if lang not in {"sv", "en"}:
        raise BadInputError(f"no words are known in {lang!r}.", remedy="Use sv or en.")


def read_counts(
    path: Path,
    sheet: str | None,
    site_column: str,
    time_column: str,
    count_column: str,
    tz: str,
    *,
    totals: bool,
) -> "Counts":
    """The file as counts."""
    from api.local_time import time_zone
    from api.planning.count_columns import with_known_columns
    from api.planning.counts import counts_from_table
    from api.tables import read_table

    table = with_known_columns(
        read_table(path, sheet=sheet), site=site_column, time=time_column, count=count_column
    )
    return counts_from_table(table, zone=time_zone(tz), totals=totals)


def cleaned(counts: "Counts", country: str, *, keep: bool) -> "Counts":
    """Counts without faulty hours, unless they are to stay."""
    from api.planning.counts import without_faults

    return counts if keep else without_faults(counts, country)


def located(
    counts: "Counts",
    treated: tuple[str, ...],
    locations: Path | None,
    zone_m: float,
    position: tuple[float, float] | None,
) -> tuple[tuple[float, float] | None, list[str]]:
    """Where the treated place is, and which sites lie inside its influence zone."""
    if locations is None:
        return position, []
    from api.street.places import near_sites, site_positions
    from api.tables import read_table

    places = site_positions(read_table(locations), counts.sites)
    zone = near_sites(places, treated, zone_m)
    own = [places[site] for site in treated if site in places]
    return position or (own[0] if own else None), zone


def position_of(lat: float | None, lon: float | None) -> tuple[float, float] | None:
    """A position where both halves are given."""
    if lat is None and lon is None:
        return None
    if lat is None or lon is None or not (-90 <= lat <= 90 and -180 <= lon <= 180):
        raise BadInputError(
            "a position needs --lat in -90..90 and --lon in -180..180.", remedy="Give both."
        )
    return lat, lon


def parsed_day(text: str | None) -> date | None:
    """A date written as 2026-05-01."""
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadInputError(f"{text!r} is not a date.", remedy="Write it as 2026-05-01.") from error


def parsed_days(text: str, option: str) -> int:
    """A length of time written as 52w, 364d or 364."""
    found = re.fullmatch(r"(\d{1,5})\s*([wdv]?)", text.strip().lower())
    if not found or int(found[1]) == 0:
        raise BadInputError(f"{option} {text!r} is not a length.", remedy="Write 52w or 364d.")
    return int(found[1]) * (7 if found[2] in {"w", "v"} else 1)


def parsed_change(text: str) -> tuple[str, date]:
    """A change of counter written as PLACE=2026-05-01."""
    site, _, day = text.rpartition("=")
    changed = parsed_day(day) if site else None
    if changed is None:
        raise BadInputError(
            f"{text!r} is no change of a counter.", remedy="Write it as PLACE=2026-05-01."
        )
    return site, changed


def parsed_shares(text: str) -> tuple[float, float]:
    """Two shares written as 0.02,0.15."""
    try:
        before, after = (float(part) for part in text.split(","))
    except ValueError as error:
        raise BadInputError(
            f"--lighting-failed {text!r} is not two shares.", remedy="Write 0.02,0.15."
        ) from error
    if not (0 <= before <= 1 and 0 <= after <= 1):
        raise BadInputError(f"--lighting-failed {text!r} is not within 0..1.")
    return before, after


def split_names(names: list[str] | None) -> list[str]:
    """Names given one by one, or several with semicolons between them."""
    return [part.strip() for name in names or () for part in name.split(";") if part.strip()]


def write_text(path: Path, text: str) -> None:
    """Write a page, or say why it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInputError(
            f"{path}: {error.strerror}.", remedy="Name another place for the page."
        ) from error
