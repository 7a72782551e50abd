"""The commands of `ljusvakt`, one family a file; `api.cli` puts them together.

A family is a module with `register(app)`, which adds its commands. It imports what a command needs
inside that command, so that `ljusvakt --help` stays quick.
"""

from importlib import import_module
from typing import Protocol, cast

import typer

__all__ = ["COMMAND_FAMILIES", "CommandFamily", "load"]

COMMAND_FAMILIES = (
    "demo",
    "service",
    "testers",
    "scoring",
    "backtest",
    "planners",
    "codecs",
    "storage",
    "operations",
)


class CommandFamily(Protocol):
    """A module of commands."""

    def register(self, app: typer.Typer) -> None:
        """Add the family's commands."""
        ...


def load(family: str) -> CommandFamily:
    """Import one family by its name."""
    return cast("CommandFamily", import_module(f"api.commands.{family}"))
