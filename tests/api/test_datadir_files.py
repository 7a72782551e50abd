"""Small files the program keeps for itself, when they are damaged."""

from pathlib import Path

import pytest

from api.errors import BadInputError
from api.keeping.migrate import migrate
from api.watch.rounds import last_round_ms
from ingest.stores.memory import MemoryStore
from ingest.stores.parquet import ParquetStore

DAMAGED = pytest.mark.parametrize("content", ["{", "[]", ""])


@DAMAGED
def test_when_the_last_round_was_cannot_be_read(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rounds.json"
    assert last_round_ms(path) is None
    path.write_text(content)
    with pytest.raises(BadInputError) as told:
        last_round_ms(path)
    assert str(told.value) == (
        f"{path} is damaged: it is no JSON object. Remove it: rounds then begin again a week back."
    )


@DAMAGED
def test_what_was_carried_over_cannot_be_read(tmp_path: Path, content: str) -> None:
    path = tmp_path / "migration.json"
    path.write_text(content)
    with pytest.raises(BadInputError, match="Remove it: every day is then carried and verified"):
        migrate(
            ParquetStore(tmp_path / "archive"),
            MemoryStore(),  # type: ignore[arg-type] - never asked
            name="there",
            watermark=path,
            told=lambda *_: None,
        )
