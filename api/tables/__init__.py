"""Tables as people have them: CSV (Swedish ones too), xlsx, Parquet and JSON Lines.

A file is read into named columns of whatever it holds; `numbers`, `texts` and `times` then say
what a column is taken for, and where it cannot be. Writing gives the interchange formats.
"""

from api.tables.cells import as_moment, as_number
from api.tables.identifiers import identifying_columns, refuse_identifiers
from api.tables.reading import ENDINGS, csv_table, read_table
from api.tables.table import Table, Times
from api.tables.writing import csv_text, json_lines, rfc3339, safe_cell, unknown_form, write_table

__all__ = [
    "ENDINGS",
    "Table",
    "Times",
    "as_moment",
    "as_number",
    "csv_table",
    "csv_text",
    "identifying_columns",
    "json_lines",
    "read_table",
    "refuse_identifiers",
    "rfc3339",
    "safe_cell",
    "unknown_form",
    "write_table",
]
