"""Night features on disk: one Parquet partition a night, and what the last rounds remembered.

The features are the truth; what was remembered and where it stood follow from them and may be
deleted.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from analytics.findings import CauseKind, FindingKind
from analytics.memory import KIND_AT, Episode, Memory
from analytics.nights import NIGHT_FEATURES, Night, blank

__all__ = ["FeatureStore", "night_name"]

VERSION = "1"
KEPT_CHECKPOINTS = 8
EVERY = 30


def night_name(night: int) -> str:
    """First date of a night, as in its partition's name."""
    return str(np.datetime64(night, "D"))


class FeatureStore:
    """Features by night, checkpoints of what was remembered, and the findings that were published.

    Parameters
    ----------
    root : Path, optional
        Folder; in memory alone where not given.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root
        self._nights: dict[int, tuple[list[str], Night]] = {}
        self._checkpoints: dict[int, tuple[list[str], Memory]] = {}
        self._published: list[dict[str, object]] = []
        self._simulated: set[str] = set()
        if root is not None:
            root.mkdir(parents=True, exist_ok=True)

    # --- features --------------------------------------------------------------------------------

    def nights(self) -> list[int]:
        """Nights whose features are kept, oldest first."""
        if self.root is None:
            return sorted(self._nights)
        found = (p.name.removeprefix("night=") for p in (self.root / "features").glob("night=*"))
        return sorted(int(np.datetime64(name, "D").astype(np.int64)) for name in found)

    def write_night(self, number: int, names: Sequence[str], night: Night) -> None:
        """Keep one night; the same input gives the same bytes."""
        if self.root is None:
            self._nights[number] = (list(names), night)
            return
        columns: dict[str, object] = {"device": pa.array(list(names), pa.string())}
        columns |= {
            name: pa.array(getattr(night, name), from_pandas=True) for name in NIGHT_FEATURES
        }
        table = pa.table(columns).replace_schema_metadata({"feature_version": VERSION})
        where = self.root / "features" / f"night={night_name(number)}" / "part.parquet"
        replace_file(where, lambda path: pq.write_table(table, path, compression="zstd"))

    def read_night(self, number: int, names: Sequence[str]) -> Night | None:
        """One night in the order of `names`; devices it does not know were silent."""
        if self.root is None:
            kept = self._nights.get(number)
            return None if kept is None else align_night(kept[1], kept[0], names)
        where = self.root / "features" / f"night={night_name(number)}" / "part.parquet"
        if not where.exists():
            return None
        table = pq.ParquetFile(where).read()
        there = table.column("device").to_pylist()
        columns: dict[str, npt.NDArray[np.generic]] = {}
        for name in NIGHT_FEATURES:
            if name in table.column_names:
                value = table.column(name).to_numpy()
                columns[name] = value.astype(blank(name, 0).dtype)
            else:
                columns[name] = blank(name, len(there))
        return align_night(Night(**columns), there, names)  # type: ignore[arg-type]  # dtypes by blank()

    def lacks(self, number: int) -> bool:
        """Whether a night was kept by a version that knew fewer features."""
        if self.root is None:
            return False
        where = self.root / "features" / f"night={night_name(number)}" / "part.parquet"
        return where.exists() and not set(NIGHT_FEATURES) <= set(pq.read_schema(where).names)

    # --- what was remembered ---------------------------------------------------------------------

    def write_memory(self, names: Sequence[str], memory: Memory) -> None:
        """Keep what a night left behind; a few recent ones and every thirtieth are kept."""
        if self.root is None:
            self._checkpoints[memory.night] = (list(names), copy_memory(memory))
            for night in stale(list(self._checkpoints)):
                del self._checkpoints[night]
            return
        folder = self.root / "memory"
        rest = {
            "names": list(names),
            "night": memory.night,
            "hold_until": memory.hold_until,
            "nights_judged": memory.nights_judged,
            "open": [plain(e) for e in memory.open.values()],
            "closed": [plain(e) for e in memory.closed],
        }
        text = np.frombuffer(json.dumps(rest).encode(), dtype=np.uint8)
        where = folder / f"{night_name(memory.night)}.npz"

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, allow_pickle=False, rest=text, **memory.arrays)

        replace_file(where, write)
        for night in stale(self.checkpoints()):
            (folder / f"{night_name(night)}.npz").unlink(missing_ok=True)

    def checkpoints(self) -> list[int]:
        """Nights after which it is known what was remembered."""
        if self.root is None:
            return sorted(self._checkpoints)
        names = (p.stem for p in (self.root / "memory").glob("*.npz"))
        return sorted(int(np.datetime64(name, "D").astype(np.int64)) for name in names)

    def read_memory(self, night: int, names: Sequence[str]) -> Memory | None:
        """What was remembered after a night, or None where the street has changed since."""
        if self.root is None:
            kept = self._checkpoints.get(night)
            return copy_memory(kept[1]) if kept and kept[0] == list(names) else None
        with np.load(self.root / "memory" / f"{night_name(night)}.npz") as stored:
            rest = json.loads(stored["rest"].tobytes())
            if rest["names"] != list(names):
                return None
            memory = Memory.fresh(len(names), np.full(len(names), np.nan, dtype=np.float32))
            for name, value in memory.arrays.items():
                if name not in stored or stored[name].shape != value.shape:
                    return None
                setattr(memory, name, stored[name])
        memory.night, memory.hold_until = rest["night"], rest["hold_until"]
        memory.nights_judged = rest["nights_judged"]
        memory.open = {
            (e["row"], KIND_AT[FindingKind(e["kind"])]): episode(e) for e in rest["open"]
        }
        memory.closed = [episode(e) for e in rest["closed"]]
        return memory

    # --- what was published ----------------------------------------------------------------------

    def read_published(self) -> list[dict[str, object]]:
        """Findings that were reported, as rows."""
        if self.root is None:
            return [dict(row) for row in self._published]
        where = self.root / "published.jsonl"
        if not where.exists():
            return []
        return [json.loads(line) for line in where.read_text().splitlines()]

    def write_published(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Keep the findings that were reported: an order that went out stays known."""
        if self.root is None:
            self._published = [dict(row) for row in rows]
            return
        text = "".join(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows)
        replace_file(self.root / "published.jsonl", lambda path: path.write_text(text))

    # --- who is simulated ------------------------------------------------------------------------

    def read_simulated(self) -> set[str]:
        """Devices whose newest readings said that they are simulated."""
        if self.root is None:
            return set(self._simulated)
        where = self.root / "simulated.json"
        return set(json.loads(where.read_text())) if where.exists() else set()

    def write_simulated(self, devices: Collection[str]) -> None:
        """Keep them: a device that falls silent is no more real for it."""
        if self.root is None:
            self._simulated = set(devices)
            return
        text = json.dumps(sorted(devices), ensure_ascii=False)
        replace_file(self.root / "simulated.json", lambda path: path.write_text(text))


def replace_file(where: Path, write: Callable[[Path], object]) -> None:
    """Write beside the place and rename: a reader sees the old file or the new one."""
    where.parent.mkdir(parents=True, exist_ok=True)
    draft = where.with_name(f".{where.name}.new")
    write(draft)
    draft.replace(where)


def stale(nights: Sequence[int]) -> list[int]:
    """Checkpoints that are no longer kept."""
    recent = set(sorted(nights)[-KEPT_CHECKPOINTS:])
    return [n for n in nights if n not in recent and n % EVERY]


def align_night(night: Night, there: Sequence[str], names: Sequence[str]) -> Night:
    """Rows in another order; those not there are blank."""
    if list(there) == list(names):
        return night
    place = {name: i for i, name in enumerate(there)}
    rows = np.array([place.get(name, -1) for name in names], dtype=np.int64)
    out = Night.empty(len(names))
    for name in NIGHT_FEATURES:
        getattr(out, name)[rows >= 0] = getattr(night, name)[rows[rows >= 0]]
    return out


def copy_memory(memory: Memory) -> Memory:
    """A memory of its own: judging with one leaves the other alone."""
    values = {name: value.copy() for name, value in memory.arrays.items()}
    return Memory(
        n=memory.n,
        night=memory.night,
        hold_until=memory.hold_until,
        nights_judged=memory.nights_judged,
        open={k: Episode(**fields_of(e)) for k, e in memory.open.items()},
        closed=[Episode(**fields_of(e)) for e in memory.closed],
        **values,
    )


def fields_of(e: Episode) -> dict[str, Any]:
    """An episode's fields, shallow."""
    return {name: getattr(e, name) for name in Episode.__slots__}


def plain(e: Episode) -> dict[str, Any]:
    """An episode as JSON can hold it."""
    return asdict(e) | {"kind": e.kind.value, "cause_kind": e.cause_kind.value}


def episode(row: dict[str, object]) -> Episode:
    """The episode that `plain` wrote."""
    kinds = {"kind": FindingKind(str(row["kind"])), "cause_kind": CauseKind(str(row["cause_kind"]))}
    return Episode(**(row | kinds))  # type: ignore[arg-type]  # what plain() wrote
