"""The folder where everything is kept: one process at a time, each thing in its place."""

import contextlib
import fcntl
import json
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from api.errors import BadInputError

__all__ = ["DEMO_FOLDER", "DataDir", "kept_secret", "read_json", "write_json"]

DEMO_FOLDER = Path("ljusvakt-data/demo")


class DataDir:
    """A data folder, held by this process from `with` to its end.

    The lock is the operating system's: it ends with the process, however that ends.

    Parameters
    ----------
    path : Path
    shared : bool
        Whether several processes each do their part in it (collect, rounds, api).
    restoring : bool
        Whether a backup is being put into it: then an unfinished one may lie there.

    Raises
    ------
    BadInputError
        When the folder cannot be written, another process holds it, or a restore into it did not
        finish.
    """

    def __init__(self, path: Path, *, shared: bool = False, restoring: bool = False) -> None:
        self.path = path
        self._shared = shared
        self._restoring = restoring
        self._lock = -1

    @property
    def journal(self) -> Path:
        """What is acknowledged and not yet stored."""
        return self.path / "journal.db"

    @property
    def archive(self) -> Path:
        """Readings, in Parquet."""
        return self.path / "archive"

    @property
    def features(self) -> Path:
        """Night features, in Parquet."""
        return self.path / "features"

    @property
    def registry(self) -> Path:
        """The devices that ingest knows."""
        return self.path / "registry.json"

    @property
    def attachments(self) -> Path:
        """Photos of repairs."""
        return self.path / "attachments"

    @property
    def rounds(self) -> Path:
        """When the last round was run."""
        return self.path / "rounds.json"

    @property
    def unfinished(self) -> Path:
        """Stands there from a restore's beginning to its end."""
        return self.path / ".restoring"

    @property
    def broker(self) -> Path:
        """What an embedded broker keeps."""
        return self.path / "broker"

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise BadInputError(
                f"the data folder {self.path} cannot be used: {error.strerror}",
                remedy="Name another with --data.",
            ) from error
        try:
            kind = fcntl.LOCK_SH if self._shared else fcntl.LOCK_EX
            fcntl.flock(self._lock, kind | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._lock, 32, 0).decode("ascii", "replace").strip()
            os.close(self._lock)
            raise BadInputError(
                f"the data folder {self.path} is in use by process {holder or '?'}",
                remedy="Stop that process, or name another folder with --data.",
            ) from error
        if self.unfinished.exists() and not self._restoring:
            os.close(self._lock)
            raise BadInputError(
                f"a restore into {self.path} did not finish",
                remedy="Run `ljusvakt restore` again with this folder.",
            )
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._lock)


def kept_secret(path: Path) -> bytes:
    """32 random bytes, drawn once and kept for this user alone."""
    try:
        with path.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(secrets.token_bytes(32))
    except FileExistsError:
        pass
    return path.read_bytes()


def kept_name(path: Path) -> str:
    """A name drawn once, that whoever opens the folder reads alike."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(secrets.token_hex(8), encoding="ascii")
    with contextlib.suppress(FileExistsError):
        os.link(scratch, path)
    scratch.unlink()
    return path.read_text(encoding="ascii")


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace a small file at once: a reader sees the old or the new one, never half."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_text(json.dumps(value), encoding="utf-8")
    scratch.chmod(0o600)
    scratch.replace(path)


def read_json(path: Path, *, remedy: str) -> dict[str, Any] | None:
    """What `write_json` wrote; None where there is nothing.

    Parameters
    ----------
    path : Path
    remedy : str
        What to do when it is damaged: that depends on what it holds.

    Raises
    ------
    BadInputError
        If it is damaged.
    """
    try:
        loaded: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        loaded = None
    if not isinstance(loaded, dict):
        raise BadInputError(f"{path} is damaged: it is no JSON object", remedy=remedy)
    return cast("dict[str, Any]", loaded)
