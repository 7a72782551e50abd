"""Thresholds from a TOML file: only what a city wants to change."""

import tomllib
from dataclasses import fields, replace
from pathlib import Path

from analytics.rules import Rules
from api.errors import BadInputError

__all__ = ["load_rules"]


def load_rules(path: Path) -> Rules:
    """Read rules such as `silent_h = 36`; what is not named keeps its default.

    Raises
    ------
    BadInputError
        When the file cannot be read, or names a rule that does not exist or is no number.
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
        values[name] = known[name](value)
    return replace(Rules(), **values)  # type: ignore[arg-type]  # checked against the fields above
