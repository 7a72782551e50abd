"""Columns that would say who somebody is."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from api.errors import BadInputError
from api.tables.table import Table

__all__ = ["identifying_columns", "refuse_identifiers"]

# Names of columns that would say who somebody is. Counts are all we take.
IDENTIFIER = re.compile(
    r"(?:^|[_\W])(mac|mac_?addr(?:ess)?|imsi|imei|msisdn|tag_?id|plate|registration_?no|"
    r"number_?plate|personnummer|reg_?nr|face_?id|image|photo|bluetooth_?id|wifi_?id)(?:$|[_\W])",
    re.IGNORECASE,
)
MAC_LIKE = re.compile(r"^(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$")


def refuse_identifiers(table: Table) -> None:
    """Raise if a column would say who somebody is: only counts are taken.

    Raises
    ------
    BadInputError
        Naming the column, never a value in it.
    """
    for name in identifying_columns(table):
        raise BadInputError(
            f"{table.name}: column {name!r} looks like identifiers of people or vehicles.",
            remedy="Remove it: only aggregated counts may be read.",
        )


def identifying_columns(table: Table) -> list[str]:
    """Names of the columns that look like identifiers of people or vehicles."""
    return [
        name
        for name, cells in table.columns.items()
        if IDENTIFIER.search(name) or looks_like_hardware_address(cells)
    ]


def looks_like_hardware_address(cells: Sequence[Any]) -> bool:
    """Whether one of the first cells does."""
    return not isinstance(cells, np.ndarray) and any(
        isinstance(cell, str) and MAC_LIKE.match(cell.strip()) for cell in cells[:200]
    )
