"""`demo`: everything embedded, a simulated Helsingborg."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    app.command()(demo)


def demo(
    data: Annotated[
        Path | None, typer.Option(help="Folder of this demo; default ljusvakt-data/demo.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Port of the pages.")] = None,
    lamps: Annotated[int, typer.Option(min=60, max=50_000, help="Luminaires.")] = 500,
    speed: Annotated[
        float, typer.Option(min=1, max=3600, help="Simulated seconds per second.")
    ] = 60.0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew.")] = False,
    no_history: Annotated[
        bool, typer.Option("--no-history", help="Begin without the 21 nights before.")
    ] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Do not open the browser.")
    ] = False,
    config: Annotated[Path | None, typer.Option(help="Settings, TOML.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Progress as one JSON object a line.")
    ] = False,
) -> None:
    """Run a simulated Helsingborg: broker, collector, store, rounds, pages, live devices."""
    import asyncio

    from api.datadir import DEMO_FOLDER
    from api.demo import DemoOptions, run_demo
    from api.log import set_up_log
    from api.progress import JsonProgress, TextProgress
    from api.settings import load_settings

    settings = load_settings(
        config,
        overrides={
            "data_dir": data or DEMO_FOLDER,
            "http": {"port": port},
            "broker": {"port": 0},
        },
    )
    set_up_log(settings.log, level="WARNING")
    options = DemoOptions(
        lamps=lamps,
        speed=speed,
        fresh=fresh,
        history=not no_history,
        browse=not (no_browser or as_json),
    )
    asyncio.run(run_demo(settings, options, JsonProgress() if as_json else TextProgress()))
