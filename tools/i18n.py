"""Extract texts from the templates and the code, bring both catalogues up to date, compile them.

    python tools/i18n.py            extract, update, compile
    python tools/i18n.py --check    fail where a text is missing or a catalogue is out of date

The texts stand in English in the source, so the English catalogue repeats them. Babel is needed
here only; the program reads the compiled catalogues with the standard library.
"""

import argparse
import io
import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[1]
LOCALE = ROOT / "api" / "i18n" / "locale"
DOMAIN = "ljusvakt"
METHODS = [("templates/**.html", "jinja2"), ("templates/**.js", "jinja2"), ("**.py", "python")]
KEYWORDS = {
    "_": None,
    "gettext": None,
    "ngettext": (1, 2),
    "N_": None,
    "text": None,
    "plural": (1, 2),
}


def extracted() -> Catalog:
    """Every text in the source."""
    catalog = Catalog(project="Ljusvakt", charset="utf-8", fuzzy=False)
    found = extract_from_dir(
        ROOT / "api",
        METHODS,
        {"templates/**.html": {"trimmed": "true", "silent": "false"}},
        KEYWORDS,
        comment_tags=("Translators:",),
    )
    for name, _line, message, comments, context in sorted(found, key=lambda f: (f[0], f[1])):
        catalog.add(message, None, [(f"api/{name}", 0)], auto_comments=comments, context=context)
    return catalog


def path_of(language: str, ending: str) -> Path:
    """Where a catalogue stands."""
    return LOCALE / language / "LC_MESSAGES" / f"{DOMAIN}.{ending}"


def updated(language: str, template: Catalog) -> Catalog:
    """The committed catalogue, with what is new in the source and without what has gone."""
    path = path_of(language, "po")
    if path.exists():
        with path.open("rb") as file:
            catalog = read_po(file, locale=language)
    else:
        catalog = Catalog(locale=language, project="Ljusvakt", charset="utf-8", fuzzy=False)
    catalog.update(template, no_fuzzy_matching=True)
    catalog.obsolete.clear()
    if language == "en":
        for message in catalog:
            if message.id:
                message.string = message.id
    return catalog


def missing(catalog: Catalog) -> list[str]:
    """Texts without a translation."""
    empty: list[str] = []
    for message in catalog:
        texts = message.string if isinstance(message.string, list | tuple) else [message.string]
        if message.id and (not all(texts) or message.fuzzy):
            empty.append(str(message.id))
    return empty


def texts_of(catalog: Catalog) -> dict[str, str]:
    """Message to translation, to compare two catalogues."""
    return {str(m.id): str(m.string) for m in catalog if m.id}


def main() -> int:
    """Bring the catalogues up to date, or say what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, only look")
    check_only = parser.parse_args().check
    template, failed = extracted(), False
    for language in ("sv", "en"):
        catalog = updated(language, template)
        for text in missing(catalog):
            sys.stderr.write(f"{language}: no text for {text!r}\n")
            failed = True
        if check_only:
            with path_of(language, "po").open("rb") as file:
                if texts_of(read_po(file, locale=language)) != texts_of(catalog):
                    sys.stderr.write(f"{language}: out of date, run tools/i18n.py\n")
                    failed = True
            continue
        path_of(language, "po").parent.mkdir(parents=True, exist_ok=True)
        # The moment of extraction would differ in every run and say nothing.
        text, binary = io.BytesIO(), io.BytesIO()
        write_po(text, catalog, width=100, omit_header=False, sort_by_file=False, no_location=True)
        lines = [
            line
            for line in text.getvalue().splitlines(keepends=True)
            if not line.startswith((b'"POT-Creation-Date', b'"PO-Revision-Date'))
        ]
        path_of(language, "po").write_bytes(b"".join(lines))
        write_mo(binary, catalog)
        path_of(language, "mo").write_bytes(binary.getvalue())
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
