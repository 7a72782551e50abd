"""`ljusvakt`: the one command."""

import errno
import os
import sys

import typer

from api.commands import COMMAND_FAMILIES, load
from api.errors import BadInputError, ConflictError, LjusvaktError, NotFoundError
from ingest.errors import IngestError, SettingsError, UnreadableFileError

__all__ = ["app", "main"]

app = typer.Typer(
    name="ljusvakt",
    help="Lighting watch: broken street lights found, mended and proved mended; footfall measured.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# What is wrong with the name that was given, not with the machine.
WRONG_NAME = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG}
# At the command line what is not there, or is there already, was named by whoever typed it.
WRONG_INPUT = (BadInputError, NotFoundError, ConflictError, SettingsError, UnreadableFileError)

for family in COMMAND_FAMILIES:
    load(family).register(app)


def main() -> None:
    """Run the command; exit 0 done, 1 failed while running, 2 bad usage, settings or input."""
    try:
        app()
    except WRONG_INPUT as error:
        fail(error, str(error), code=2)
    except (LjusvaktError, IngestError) as error:
        fail(error, str(error), code=1)
    except OSError as error:
        # A disk that is full, a folder one may not write: the system's own word and place.
        place = f"{error.filename}: " if error.filename else ""
        code = 2 if error.errno in WRONG_NAME else 1
        fail(error, f"{place}{error.strerror or error}.", code=code)


def fail(error: Exception, message: str, *, code: int) -> None:
    """Say in one line what is wrong and what to do, and leave."""
    if os.environ.get("LJUSVAKT_DEBUG"):
        raise error
    sys.stderr.write(f"ljusvakt: {message}\n")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
