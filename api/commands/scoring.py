"""`score`."""

import json
import sys
from dataclasses import replace
from math import inf, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.errors import BadInputError, LjusvaktError

if TYPE_CHECKING:
    from firmware_sim.report_picture import Street
    from firmware_sim.score import Run

__all__ = ["register"]

JsonOpt = Annotated[bool, typer.Option("--json", help="One JSON object at the end.")]
SHARES = {
    "false per 1,000 lamp-nights": "false_per_1000_lamp_nights",
    "false per 1,000 lamp-years": "false_per_1000_lamp_years",
    "any-fault precision": "any_fault_precision",
    "any-fault recall": "any_fault_recall",
    "right crew": "right_crew",
    "grouped with one order": "grouped_with_one_order",
    "counters with an order": "counter_faults_with_an_order",
}


def register(app: typer.Typer) -> None:
    """Add this family's command."""
    app.command()(score)


def above_zero(value: float | None) -> float | None:
    """A number of days or nights, if one is given."""
    if value is not None and not 0 < value < inf:
        raise typer.BadParameter("a number above 0.")
    return value


def score(
    *,
    findings: Annotated[
        list[Path],
        typer.Option(help="Findings, or a folder with findings.* and truth.*; repeatable."),
    ],
    truth: Annotated[list[Path] | None, typer.Option(help="Truth of each --findings file.")] = None,
    assets: Annotated[
        list[Path] | None, typer.Option(help="Assets of each, or one for all.")
    ] = None,
    readings: Annotated[
        list[Path] | None, typer.Option(help="Readings of each, for pictures.")
    ] = None,
    days: Annotated[
        float | None, typer.Option(help="Nights judged in each run.", callback=above_zero)
    ] = None,
    lamp_nights: Annotated[
        float | None, typer.Option(help="Lamp-nights of each run.", callback=above_zero)
    ] = None,
    horizon: Annotated[
        float | None,
        typer.Option(help="Found later than so many days is missed.", callback=above_zero),
    ] = None,
    fail_under: Annotated[
        str, typer.Option(help="macro_f1=0.9,false_per_1000_lamp_nights=0.05,...")
    ] = "",
    report: Annotated[Path | None, typer.Option(help="Write an HTML page with pictures.")] = None,
    as_json: JsonOpt = False,
) -> None:
    """Compare findings with the truth: precision, recall, nights to detect, false orders."""
    from firmware_sim.errors import SimulatorError
    from firmware_sim.report import write_report
    from firmware_sim.report_picture import read_street
    from firmware_sim.score import as_facts, below_limits, read_run, score_runs

    limits = limits_of(fail_under)
    try:
        runs: list[Run] = []
        streets: dict[str, Street] = {}
        for found, true, asset, reading in run_files(findings, truth, assets, readings):
            run = read_run(
                found, true, assets=asset, readings=reading, days=days, lamp_nights=lamp_nights
            )
            if run.name in {other.name for other in runs}:
                run = replace(run, name=f"{run.name}, run {len(runs) + 1}")
            runs.append(run)
            if asset is not None and report is not None:
                streets[run.name] = read_street(asset)
        total = score_runs(runs, horizon_days=horizon)
        facts = as_facts(total)
        if report is not None:
            write_report(report, total, facts, streets)
    except SimulatorError as error:
        raise BadInputError(error.message, remedy=error.remedy) from error
    except OSError as error:
        raise BadInputError(f"{report}: cannot be written ({error.strerror}).") from error
    try:
        failures = below_limits(facts, limits)
    except KeyError as error:
        raise BadInputError(
            f"--fail-under {error.args[0]}: no such number.",
            remedy="The names are the paths in --json, as kinds.lamp_failure.recall.",
        ) from error
    if as_json:
        sys.stdout.write(json.dumps({**facts, "failures": failures}, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(score_text(facts))
    if failures:
        raise LjusvaktError("; ".join(failures) + ".")


def limits_of(text: str) -> dict[str, float]:
    """`name=number,...` as limits."""
    limits: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        name, sign, value = part.partition("=")
        try:
            limits[name.strip()] = float(value)
        except ValueError:
            sign = ""
        if not sign or not isfinite(limits[name.strip()]):
            raise BadInputError(
                f"--fail-under {part!r} is no limit.", remedy="Write macro_f1=0.9,right_crew=0.98."
            )
    return limits


def run_files(
    findings: list[Path],
    truth: list[Path] | None,
    assets: list[Path] | None,
    readings: list[Path] | None,
) -> list[tuple[Path, Path, Path | None, Path | None]]:
    """The files of each run; a folder stands for the files in it."""
    runs: list[tuple[Path, Path, Path | None, Path | None]] = []
    for k, found in enumerate(findings):
        folder = found if found.is_dir() else None
        table = first_file(found, "findings") if folder else found
        true = chosen(truth, k) or (first_file(folder, "truth") if folder else None)
        if table is None or true is None:
            raise BadInputError(
                f"{found}: no {'findings' if table is None else 'truth'} for it.",
                remedy="Give --truth for each --findings, or folders that hold both.",
            )
        asset = chosen(assets, k) or (first_file(folder, "assets") if folder else None)
        reading = chosen(readings, k) or (first_file(folder, "readings") if folder else None)
        runs.append((table, true, asset, reading))
    return runs


def chosen(paths: list[Path] | None, k: int) -> Path | None:
    """The k-th of several, or the only one; of a folder given twice, none."""
    if not paths:
        return None
    return paths[k] if k < len(paths) else paths[0] if len(paths) == 1 else None


def first_file(folder: Path, name: str) -> Path | None:
    """`name.parquet`, `.csv` or `.jsonl` in a folder."""
    for ending in ("parquet", "csv", "jsonl"):
        path = folder / f"{name}.{ending}"
        if path.exists():
            return path
    return None


def score_text(facts: dict[str, Any]) -> str:
    """The score for a person."""

    def share(found: dict[str, Any]) -> str:
        if found["value"] is None:
            return "–"
        return f"{found['value']:.3g} [{found['low']:.3g}, {found['high']:.3g}]"

    def bounded(found: dict[str, Any]) -> str:
        if found["value"] is None:
            return "–"
        return f"{found['value']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"

    def plain(value: float | None) -> str:
        return "–" if value is None else f"{value:.2f}"

    heads = f"{'F1':>6}{'nights':>8}{'p90':>6}"
    lines = [
        f"macro-F1                      {plain(facts['macro_f1'])}",
        f"faults, orders                {facts['faults']}, {facts['orders']}",
        f"lamp-nights                   {facts['lamp_nights']:,.0f}",
        f"false orders                  {facts['false_orders']}",
        *(f"{title:<30}{share(facts[name])}" for title, name in SHARES.items()),
        "",
        f"{'kind':<24}{'faults':>7}{'orders':>7}{'precision':>18}{'recall':>18}{heads}",
    ]
    for name, kind in facts["kinds"].items():
        if kind["faults"] or kind["orders"]:
            lines.append(
                f"{name:<24}{kind['faults']:>7}{kind['orders']:>7}"
                f"{bounded(kind['precision']):>18}{bounded(kind['recall']):>18}"
                f"{plain(kind['f1']):>6}{plain(kind['nights_median']):>8}{plain(kind['nights_p90']):>6}"
            )
    if facts["urgent"]:
        lines += [
            "",
            f"{'urgent':<24}{'n':>5}{'median':>8}{'p95 min':>9}{'bound':>7}{'within':>20}",
        ]
    for name, group in facts["urgent"].items():
        p95 = "never" if group["p95_minutes"] is None else f"{group['p95_minutes']:.0f}"
        median = "never" if group["median_minutes"] is None else f"{group['median_minutes']:.0f}"
        lines.append(
            f"{name.replace('_', ' '):<24}{group['n']:>5}{median:>8}{p95:>9}"
            f"{group['bound_minutes']:>7.0f}{bounded(group['within_bound']):>20}"
        )
    lines.append("")
    lines += [f"{w['truth']} named {w['named']}: {w['orders']}" for w in facts["wrong_kind"]]
    return "\n".join(lines) + "\n"
