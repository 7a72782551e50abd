"""What publishers were told, against what the store holds (the idea is Jepsen's)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

import pyarrow.parquet as pq

Key = tuple[str, str, int]
"""Device, quantity, time [ms, UTC]."""


def check_readings(
    sent: Mapping[Key, float],
    acknowledged: AbstractSet[Key],
    stored: Iterable[tuple[Key, float]],
) -> dict[str, int]:
    """How many readings are wrong, by what is wrong with them; all 0 is right.

    What was sent and not acknowledged may be there or not.
    """
    rows = list(stored)
    seen = Counter(key for key, _ in rows)
    return {
        "lost": len(acknowledged - seen.keys()),
        "doubled": sum(n > 1 for n in seen.values()),
        "invented": len(seen.keys() - sent.keys()),
        "changed": sum(key in sent and value != sent[key] for key, value in rows),
    }


RIGHT = {"lost": 0, "doubled": 0, "invented": 0, "changed": 0}


def archived_rows(root: Path) -> int:
    """How many rows the Parquet files hold."""
    parts = root.glob("readings/*/*/part.parquet")
    return sum(int(pq.read_metadata(part).num_rows) for part in parts)


def archived(root: Path) -> list[tuple[Key, float]]:
    """Every row of the Parquet files as they lie there, with nothing of ours in between."""
    rows: list[tuple[Key, float]] = []
    for part in sorted(root.glob("readings/*/*/part.parquet")):
        quantity = part.parent.parent.name.removeprefix("quantity=")
        table = pq.read_table(part, partitioning=None)
        for device, time_ms, value in zip(
            table["device"].to_pylist(),
            table["time_ms"].to_pylist(),
            table["value"].to_pylist(),
            strict=True,
        ):
            rows.append(((device, quantity, time_ms), value))
    return rows
