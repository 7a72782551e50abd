"""`ljusvakt`: the one command."""

import os
import sys

import typer

from api.commands import COMMAND_FAMILIES, load
from api.errors import BadInputError, LjusvaktError
from ingest.errors import IngestError, SettingsError

__all__ = ["app", "main"]

app = typer.Typer(
    name="ljusvakt",
    help="Lighting watch: broken street lights found, mended and proved mended; footfall measured.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for family in COMMAND_FAMILIES:
    load(family).register(app)


def main() -> None:
    """Run the command; exit 0 done, 1 failed while running, 2 bad usage, settings or input."""
    try:
        app()
    except (BadInputError, SettingsError) as error:
        fail(error, code=2)
    except (LjusvaktError, IngestError) as error:
        fail(error, code=1)


def fail(error: Exception, *, code: int) -> None:
    """Say in one line what is wrong and what to do, and leave."""
    if os.environ.get("LJUSVAKT_DEBUG"):
        raise error
    sys.stderr.write(f"ljusvakt: {error}\n")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
