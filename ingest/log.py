"""A log that never costs the work it tells of."""

import contextlib
import os
from typing import Any

import structlog

__all__ = ["Log"]


class Log:
    """Writes by structlog; a line that cannot be made is given up.

    Rendering a line may open files and import modules, so it fails where there are no descriptors
    or no memory left. Whoever tells of trouble must not end for it.

    Parameters
    ----------
    name : str
        Of the logger.
    """

    def __init__(self, name: str) -> None:
        self._logger: Any = structlog.get_logger(name)

    def info(self, event: str, **facts: object) -> None:
        """What an operator may want to know."""
        self._tell("info", event, facts)

    def warning(self, event: str, **facts: object) -> None:
        """What an operator should look at some time."""
        self._tell("warning", event, facts)

    def error(self, event: str, **facts: object) -> None:
        """What an operator should look at."""
        self._tell("error", event, facts)

    def exception(self, event: str, **facts: object) -> None:
        """An error with the exception that is being handled."""
        self._tell("exception", event, facts)

    def _tell(self, level: str, event: str, facts: dict[str, object]) -> None:
        try:
            getattr(self._logger, level)(event, **facts)
        except Exception:
            # The bare words, if even they can be written.
            with contextlib.suppress(OSError):
                os.write(2, f"{level}: {event}\n".encode())
