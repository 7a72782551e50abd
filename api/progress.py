"""What a person or a program is told while something long runs."""

import json
import sys
import time
from typing import Protocol, TextIO

BACK = "\r\x1b[K"  # to the start of the line, and clear it

__all__ = ["JsonProgress", "Progress", "TextProgress"]


class Progress(Protocol):
    """Where steps and their advance are told."""

    def step(self, name: str, text: str, **facts: object) -> None:
        """Something was done: `name` for programs, `text` for people."""
        ...

    def advance(self, name: str, text: str, done: float, total: float) -> None:
        """Something is under way; may be called often."""
        ...


class JsonProgress:
    """One JSON object a line."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._told: dict[str, float] = {}

    def step(self, name: str, text: str, **facts: object) -> None:
        """Write `{"event": name, "text": text, ...}`."""
        self._write({"event": name, "text": text, **facts})

    def advance(self, name: str, text: str, done: float, total: float) -> None:
        """Write it at most twice a second."""
        now = time.monotonic()
        if done >= total or now - self._told.get(name, 0.0) > 0.5:
            self._told[name] = now
            self._write({"event": name, "text": text, "done": done, "total": total})

    def _write(self, line: dict[str, object]) -> None:
        self._out.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
        self._out.flush()


class TextProgress:
    """Lines for a person; on a terminal a line that is under way is written over."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._started = time.monotonic()
        self._open = False

    def step(self, name: str, text: str, **facts: object) -> None:
        """Write one line with the seconds since the start."""
        back = BACK if self._open else ""
        self._write(f"{back}{self._clock()}  {text}\n")
        self._open = False

    def advance(self, name: str, text: str, done: float, total: float) -> None:
        """Write over the line, on a terminal only."""
        if self._out.isatty():
            share = min(1.0, done / total) if total else 1.0
            bar = "█" * int(share * 24) + "░" * (24 - int(share * 24))
            self._write(f"{BACK}{self._clock()}  {bar} {share:4.0%}  {text}")
            self._open = True

    def _clock(self) -> str:
        return f"{time.monotonic() - self._started:5.1f} s"

    def _write(self, text: str) -> None:
        encoding = self._out.encoding or "utf-8"
        # A terminal that cannot show a letter shows a question mark; nobody gets a stack trace.
        self._out.write(text.encode(encoding, "replace").decode(encoding))
        self._out.flush()
