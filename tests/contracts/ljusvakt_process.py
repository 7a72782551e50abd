"""One of the program's own processes, as an operator starts it."""

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

__all__ = ["LJUSVAKT", "Process", "bare_environment", "eventually"]

LJUSVAKT = Path(sys.executable).with_name("ljusvakt")


def bare_environment(**settings: str) -> dict[str, str]:
    """The environment without settings of the machine, and with these; `HTTP__PORT="0"`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LJUSVAKT_")}
    return kept | {f"LJUSVAKT_{name}": value for name, value in settings.items()}


class Process:
    """`ljusvakt <part> --json`, watched by what it prints; killed at the end of `with`."""

    def __init__(self, part: str, environment: dict[str, str], *arguments: str) -> None:
        self.process = subprocess.Popen(
            [LJUSVAKT, part, "--json", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        self.part = part
        self.said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def wait_for(self, text: str, *, within_s: float = 90) -> str:
        """The next line with this text in it."""
        end = time.monotonic() + within_s
        while (left := end - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                break
            assert line is not None, f"{self.part} ended: {self.said[-5:]}"
            self.said.append(line)
            if text in line:
                return line
        raise AssertionError(f"{self.part}: no {text!r} within {within_s} s: {self.said[-5:]}")

    def drained(self) -> str:
        """Everything it has printed by now."""
        while not self._lines.empty():
            self.said.append(self._lines.get() or "")
        return "".join(self.said)


def eventually(what: Callable[[], Any], *, within_s: float = 60) -> Any:
    """The first answer that is not empty; processes of others offer no event to wait for."""
    end = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < end, f"not within {within_s} s"
        time.sleep(0.2)
    return found
