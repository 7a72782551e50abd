"""An inventory that comes by HTTP: shown as a difference, and written as it was shown."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from api.assets import Asset
from api.datadir import DataDir
from api.errors import BadInputError
from api.ledger import Ledger
from api.street.assets_import import ImportedAssets, import_summary, read_assets
from api.street.assets_registry import write_registry
from api.street.segments import infer_segments

__all__ = ["AssetIntake", "pairs_of", "read_intake"]

ENDINGS = frozenset({".csv", ".txt", ".xlsx", ".parquet", ".geojson", ".json"})


@dataclass(frozen=True, slots=True)
class AssetIntake:
    """A file that was read, and what it asks for.

    Attributes
    ----------
    digest : str
        Of the file and everything that was said with it.
    """

    found: ImportedAssets
    assets: Sequence[Asset]
    unordered: Sequence[str]
    whole: bool
    digest: str

    def etag(self, ledger: Ledger) -> str:
        """Names this difference: these assets against the registry as it stands."""
        return f'"{ledger.registry_version()}-{self.digest[:32]}"'

    def shown(self, ledger: Ledger) -> dict[str, Any]:
        """What it would change; nothing is written."""
        diff = ledger.asset_diff(self.assets, whole=self.whole)
        return import_summary(self.found, diff, self.unordered, applied=False)

    def applied(
        self, ledger: Ledger, data_dir: Path, *, now_ms: int, version: int | None
    ) -> dict[str, Any]:
        """Write it, and let ingest know the devices.

        Raises
        ------
        StaleVersionError
            If the registry has changed since the difference was shown.
        """
        diff = ledger.put_assets(self.assets, now_ms=now_ms, whole=self.whole, version=version)
        write_registry(ledger.assets(), DataDir(data_dir).registry)
        return import_summary(self.found, diff, self.unordered, applied=True)


def read_intake(
    content: bytes,
    name: str,
    *,
    columns: Mapping[str, str] | None = None,
    where: Mapping[str, str] | None = None,
    segments: bool = True,
    whole: bool = False,
) -> AssetIntake:
    """Read an uploaded file; see `api.street.assets_import.read_assets`.

    Raises
    ------
    BadInputError
        If it cannot be read.
    """
    ending = Path(name).suffix.lower()
    if ending not in ENDINGS:
        raise BadInputError(
            f"{name[:100]!r} is no inventory we can read.",
            remedy=f"One of {', '.join(sorted(ENDINGS))}.",
        )
    said = json.dumps([ending, dict(columns or {}), dict(where or {}), segments, whole])
    digest = hashlib.sha256(said.encode() + b"\n" + content).hexdigest()
    with TemporaryDirectory(prefix="ljusvakt-") as folder:
        path = Path(folder) / f"file{ending}"
        path.write_bytes(content)
        try:
            found = read_assets(path, columns=columns, where=where)
        except BadInputError as error:
            # The reader names the file it read; people know it by another name.
            text = error.message.replace(str(path), name[:100])
            raise BadInputError(text, remedy=error.remedy) from error
    if not segments:
        return AssetIntake(found, found.assets, (), whole, digest)
    inferred = infer_segments(found.assets)
    return AssetIntake(found, inferred.assets, inferred.unordered, whole, digest)


def pairs_of(given: Sequence[str], what: str) -> dict[str, str]:
    """NAME=VALUE texts.

    Raises
    ------
    BadInputError
        For one that is none.
    """
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BadInputError(f"{what} {text[:100]!r} is not NAME=VALUE.")
        found[name] = value
    return found
