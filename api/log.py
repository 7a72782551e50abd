"""The log: one line an event, readable on a terminal, JSON elsewhere, never a secret."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

__all__ = ["set_up_log"]

SECRET = re.compile(r"password|secret|token|authorization|cookie|api_?key", re.IGNORECASE)
# Libraries that tell at INFO what is no news to an operator.
QUIET = ("uvicorn.access", "amqtt", "transitions", "httpx2", "aiomqtt")


def _redact(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key in event:
        if SECRET.search(key):
            event[key] = "[not logged]"
    return event


class _Closed(logging.StreamHandler[Any]):
    """Writes to standard error; when nobody reads it any more the work goes on."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def set_up_log(form: Literal["auto", "console", "json"] = "auto", *, level: str = "INFO") -> None:
    """Send everything, our own lines and the libraries', one way.

    Parameters
    ----------
    form : {"auto", "console", "json"}
        auto: for people on a terminal, JSON elsewhere.
    level : str
        Least level that is written.
    """
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info
        if not console
        else structlog.processors.StackInfoRenderer(),
        _redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    )
    handler = _Closed(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
