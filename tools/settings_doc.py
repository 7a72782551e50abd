"""Write docs/settings.md from the settings themselves."""

import sys
from pathlib import Path
from typing import get_args, get_origin

from pydantic import BaseModel, SecretStr

from api.settings import Settings

HEAD = """# Settings
Written by `python tools/settings_doc.py`; a test compares.
A TOML file (`--config FILE` or `LJUSVAKT_CONFIG`) is overridden by the environment, that by the command line.
A secret may be given as a file: append `_FILE` to its variable; a file that everybody can read is refused.
Unknown settings and variables are refused with the file and line, or the name.

| setting | variable | default | meaning |
|---|---|---|---|
"""


def row(key: str, variable: str, default: object, meaning: str) -> str:
    """One line of the table."""
    if isinstance(default, SecretStr) or default in ("", None, []):
        shown = "" if default != [] else "`[]`"
    else:
        shown = f"`{str(default).lower() if isinstance(default, bool) else default}`"
    return f"| `{key}` | `{variable}` | {shown} | {meaning.replace('|', '&#124;')} |\n"


def render() -> str:
    """The whole page."""
    lines = [HEAD]
    for key, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            for name, inner in section.model_fields.items():
                variable = f"LJUSVAKT_{key.upper()}__{name.upper()}"
                meaning = inner.description or ""
                if get_origin(inner.annotation) is not None and not meaning:
                    meaning = " or ".join(map(str, get_args(inner.annotation)))
                lines.append(row(f"{key}.{name}", variable, inner.default, meaning))
        else:
            lines.append(
                row(key, f"LJUSVAKT_{key.upper()}", field.default, field.description or "")
            )
    return "".join(lines)


if __name__ == "__main__":
    target = Path(__file__).parents[1] / "docs" / "settings.md"
    target.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"{target} written\n")
