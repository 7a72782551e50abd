"""`run`, `collect`, `rounds`, `api`, `doctor`, `config`: the program at work."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from api.bootstrap import Part
    from api.settings import Settings

__all__ = ["register"]

Config = Annotated[Path | None, typer.Option(help="Settings, TOML; see docs/settings.md.")]
Data = Annotated[Path | None, typer.Option(help="Folder for everything that is kept.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    for command in (run, collect, rounds, api, doctor, config):
        app.command()(command)


def run(
    config: Config = None,
    data: Data = None,
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Port of the pages.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run everything in one process: collector, store, rounds, API and pages."""
    from api.bootstrap import Part

    _serve(_settings(config, data, {"http": {"port": port}}), Part.ALL, as_json=as_json)


def collect(config: Config = None, data: Data = None, as_json: AsJson = False) -> None:
    """Run the collector alone: broker to journal to store."""
    from api.bootstrap import Part

    _serve(_settings(config, data), Part.COLLECT, as_json=as_json)


def rounds(
    config: Config = None,
    data: Data = None,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt", help="Keep them in this folder from now on: the other one is lost."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the rounds alone: store to findings to work orders. Needs PostgreSQL."""
    from api.bootstrap import Part

    _serve(_settings(config, data), Part.ROUNDS, as_json=as_json, adopt=adopt)


def api(
    config: Config = None,
    data: Data = None,
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Port of the pages.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the API and the pages alone. Needs PostgreSQL."""
    from api.bootstrap import Part

    _serve(_settings(config, data, {"http": {"port": port}}), Part.PAGES, as_json=as_json)


def doctor(
    config: Config = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Try settings, disk, journal, store, ledger and broker; say what is wrong and what to do."""
    import json

    from api.keeping.doctor import examine

    checks = examine(_settings(config, data))
    if as_json:
        typer.echo(json.dumps([check.as_dict() for check in checks], ensure_ascii=False))
    else:
        for check in checks:
            typer.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<10} {check.detail}")
            if not check.ok and check.remedy:
                typer.echo(f"      {'':<10} {check.remedy}")
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


def config(config: Config = None, data: Data = None, as_json: AsJson = False) -> None:
    """Show the settings as they are understood; secrets are hidden."""
    import json

    values = _settings(config, data).model_dump(mode="json")
    if as_json:
        typer.echo(json.dumps(values, ensure_ascii=False))
        return
    for key, value in values.items():
        if isinstance(value, dict):
            typer.echo(f"\n[{key}]")
            for name, inner in value.items():
                typer.echo(f"{name} = {json.dumps(inner, ensure_ascii=False)}")
        else:
            typer.echo(f"{key} = {json.dumps(value, ensure_ascii=False)}")


def _settings(
    config: Path | None, data: Path | None, overrides: dict[str, Any] | None = None
) -> "Settings":
    from api.settings import load_settings

    return load_settings(config, overrides={"data_dir": data, **(overrides or {})})


def _serve(settings: "Settings", parts: "Part", *, as_json: bool, adopt: bool = False) -> None:
    import asyncio

    from api.log import set_up_log
    from api.progress import JsonProgress, TextProgress
    from api.running import run_until_stopped

    set_up_log(settings.log)
    progress = JsonProgress() if as_json else TextProgress()
    asyncio.run(run_until_stopped(settings, parts, progress, adopt=adopt))
