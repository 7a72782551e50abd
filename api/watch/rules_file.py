"""Thresholds from a TOML file: only what a city wants to change."""

import tomllib
from dataclasses import fields, replace
from pathlib import Path

from analytics.rules import RANGES, Rules
from api.errors import BadInputError

__all__ = ["load_rules"]


def load_rules(path: Path) -> Rules:
    """Read rules such as `silent_h = 36`; what is not named keeps its default.

    Raises
    ------
    BadInputError
        When the file cannot be read, or names a rule that does not exist, is no number or lies
        outside what makes sense.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path} cannot be read: {error}.") from error
    known = {f.name: type(getattr(Rules(), f.name)) for f in fields(Rules)}
    values: dict[str, float | int] = {}
    for name, value in given.items():
        if name not in known:
            raise BadInputError(
                f"{path}: no rule is called {name}.", remedy=f"One of: {', '.join(known)}."
            )
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadInputError(f"{path}: {name} must be a number, not {value!r}.")
        least, most = RANGES[name]
        if not least <= value <= most or (known[name] is int and value != int(value)):
            whole = "a whole number " if known[name] is int else ""
            raise BadInputError(
                f"{path}: {name} is {value}.",
                remedy=f"Give {whole}from {least:g} to {most:g}; the default is "
                f"{getattr(Rules(), name):g}.",
            )
        values[name] = known[name](value)
    return replace(Rules(), **values)  # type: ignore[arg-type]  # checked against the fields above
