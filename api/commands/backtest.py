"""`backtest`: the pure round over files."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    app.command()(backtest)


def backtest(
    feed_dir: Annotated[
        Path | None, typer.Argument(help="Folder with readings, assets, events, maintenance.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Findings: .csv, .jsonl or .parquet.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Run the light rounds as well.")] = False,
    rules: Annotated[
        list[Path] | None, typer.Option(help="TOML with thresholds; twice compares two sets.")
    ] = None,
    readings: Annotated[Path | None, typer.Option(help="Readings file or folder.")] = None,
    events: Annotated[Path | None, typer.Option(help="Events file.")] = None,
    assets: Annotated[Path | None, typer.Option(help="Assets file.")] = None,
    maintenance: Annotated[Path | None, typer.Option(help="Maintenance file.")] = None,
    tz: Annotated[str, typer.Option(help="Zone of the dimming programmes.")] = "Europe/Stockholm",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable summary.")] = False,
) -> None:
    """Replay recorded readings noon by noon and write what would have been found, and when."""
    from analytics.rules import Rules
    from api.errors import BadInputError
    from api.watch.backtest import run_backtest, write_findings
    from api.watch.feed import read_feed
    from api.watch.rules_file import load_rules

    if feed_dir is None and readings is None:
        raise BadInputError("nothing to replay.", remedy="Name a feed folder, or --readings FILE.")
    if out is not None:
        check_place(out)
    feed = read_feed(
        feed_dir, readings=readings, events=events, assets=assets, maintenance=maintenance
    )
    shown = sys.stderr.isatty()
    sets = [(str(path), load_rules(path)) for path in rules or []] or [("built in", Rules())]
    summaries: list[dict[str, Any]] = []
    for number, (name, chosen) in enumerate(sets):

        def progress(done: int, of: int) -> None:
            if shown:
                sys.stderr.write(f"\rnight {done} of {of}")

        result = run_backtest(feed, chosen, live=live, tz=tz, progress=progress)
        if shown:
            sys.stderr.write("\n")
        place = out if out is None or number == 0 else out.with_stem(f"{out.stem}-{number + 1}")
        if place is not None:
            write_findings(place, result.findings)
        summaries.append(summary(name, result, place))
    if as_json:
        remarks = feed.remarks
        typer.echo(json.dumps({"remarks": remarks, "runs": summaries}, ensure_ascii=False))
        return
    for remark in feed.remarks:
        typer.echo(f"note: {remark}", err=True)
    tell(summaries)


def check_place(out: Path) -> None:
    """Say before the work, not after it, that its result has no place."""
    from api.errors import BadInputError
    from api.tables import ENDINGS, unknown_form

    if out.suffix.lower() not in ENDINGS:
        raise unknown_form(out)
    if not out.parent.is_dir() or out.is_dir():
        raise BadInputError(
            f"{out}: cannot be written.", remedy="Name a file in a folder that is there."
        )


def summary(name: str, result: Any, place: Path | None) -> dict[str, Any]:
    """Numbers of one run."""
    kinds: dict[str, int] = {}
    for finding in result.findings:
        kinds[finding.kind.value] = kinds.get(finding.kind.value, 0) + 1
    return {
        "rules": name,
        "out": None if place is None else str(place),
        "findings": len(result.findings),
        "orders": len({f.incident for f in result.findings}),
        "kinds": dict(sorted(kinds.items())),
        "rounds": result.rounds,
        "light_rounds": result.light_rounds,
        "lamp_nights": result.lamp_nights,
        "readings": result.readings,
    }


def tell(summaries: list[dict[str, Any]]) -> None:
    """One run a column."""
    names = ["rules", "orders", "findings", "rounds", "light_rounds", "lamp_nights", "readings"]
    for name in names:
        typer.echo(f"{name:24}" + "".join(f"{s[name]!s:>22}" for s in summaries))
    for kind in sorted({k for s in summaries for k in s["kinds"]}):
        typer.echo(f"  {kind:22}" + "".join(f"{s['kinds'].get(kind, 0):>22}" for s in summaries))
