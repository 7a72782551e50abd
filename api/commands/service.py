"""`run`, `collect`, `rounds`, `api`, `doctor`, `config`."""

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
