"""The frame of a printable page and the parts all of them share."""

import re
from collections.abc import Sequence
from html import escape

__all__ = ["LANGUAGES", "SIMULATED", "decimal", "definition_list", "document", "percent", "table"]

LANGUAGES = ("sv", "en")
DATE = re.compile(r"\d{4}-\d\d-\d\d")
SIMULATED = {
    "sv": "SIMULERADE DATA: siffrorna kommer inte från verkliga mätare.",
    "en": "SIMULATED DATA: these numbers do not come from real counters.",
}

STYLE = """
body{font:11pt/1.45 system-ui,"Segoe UI",sans-serif;color:#1b1f24;max-width:46rem;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.6rem;margin:0 0 .2rem}h2{font-size:1.15rem;margin:1.6rem 0 .4rem}
.answer{font-size:1.2rem;border-left:.35rem solid #0b5c8a;padding:.5rem 0 .5rem .9rem;margin:1rem 0}
.warn{border-left:.35rem solid #a34700;padding:.4rem 0 .4rem .9rem;margin:1rem 0}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;padding:.25rem .5rem;border-bottom:1px solid #c9d1d9;vertical-align:top}
td.d{white-space:nowrap}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
caption{text-align:left;color:#57606a;padding:.2rem 0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:0}
dt{color:#57606a}dd{margin:0}svg,img{max-width:100%;height:auto}img{max-height:14cm}
.small{color:#57606a;font-size:.88rem;overflow-wrap:anywhere}
ul{padding-left:1.2rem}figure{margin:1rem 0;overflow-x:auto}.wide{overflow-x:auto}
@media screen and (max-width:40rem){body{margin:1rem auto}svg{min-width:34rem}
dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}th,td{padding:.25rem .35rem}}
@media print{figure,.wide{overflow:visible}}
@media print{body{margin:0;max-width:none}h2{break-after:avoid}figure,table{break-inside:avoid}}
@page{size:A4;margin:18mm}
"""


def document(title: str, body: str, lang: str) -> str:
    """A whole page."""
    return (
        f'<!doctype html>\n<html lang="{lang}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "", numeric: int = -1
) -> str:
    """A table of plain text; columns from `numeric` on are set flush right (-1: none)."""

    def cells(tag: str, row: Sequence[str]) -> str:
        kinds = ["n" if 0 <= numeric <= i else "d" if DATE.fullmatch(c) else "" for i, c in
                 enumerate(row)]  # fmt: skip
        return "".join(
            f"<{tag}{f' class={kind}' if kind else ''}"
            f"{' scope=col' if tag == 'th' else ''}>{escape(cell)}</{tag}>"
            for kind, cell in zip(kinds, row, strict=True)
        )

    inner = "".join(f"<tr>{cells('td', row)}</tr>\n" for row in rows)
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    head = f"<thead><tr>{cells('th', header)}</tr></thead>"
    # A wide table scrolls by itself on a phone, and by keyboard too; the page stays still.
    return (
        f'<div class="wide" tabindex="0"><table>{said}{head}<tbody>\n{inner}</tbody></table></div>'
    )


def definition_list(pairs: Sequence[tuple[str, str]]) -> str:
    """Names and what they are."""
    inner = "".join(f"<dt>{escape(a)}</dt><dd>{escape(b)}</dd>" for a, b in pairs)
    return f"<dl>{inner}</dl>"


def percent(value: float, lang: str, *, sign: bool = True, digits: int = 0) -> str:
    """A percentage in the language's own way: decimal comma, true minus, space before the sign."""
    if value != value:  # noqa: PLR0124 - NaN is not itself
        return "–"
    text = f"{abs(value):.{digits}f}"
    if lang == "sv":
        text = text.replace(".", ",")
    nothing = float(f"{abs(value):.{digits}f}") == 0
    mark = "" if nothing else ("−" if value < 0 else ("+" if sign else ""))
    space = "\u00a0" if lang == "sv" else ""  # a line must not end between number and sign
    return f"{mark}{text}{space}%"


def decimal(value: float, lang: str) -> str:
    """A number with at most one decimal, in the language's own way."""
    text = f"{value:.1f}".removesuffix(".0")
    return text.replace(".", ",") if lang == "sv" else text
