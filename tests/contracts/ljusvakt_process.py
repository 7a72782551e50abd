"""One of the program's own processes, as an operator starts it."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from contracts.ports import free_port

__all__ = ["Process", "bare_environment", "run_to_end", "with_own_broker"]

LJUSVAKT = Path(sys.executable).with_name("ljusvakt")


def bare_environment(**settings: str) -> dict[str, str]:
    """The environment without settings of the machine, and with these: `HTTP__PORT="8000"`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LJUSVAKT_")}
    return kept | {f"LJUSVAKT_{name}": value for name, value in settings.items()}


def with_own_broker(folder: Path, *, mqtt_port: int, enrol: bool = True) -> dict[str, str]:
    """The environment of a program that needs nobody: its data here, its broker on that port."""
    return bare_environment(
        DATA_DIR=str(folder),
        BROKER__PORT=str(mqtt_port),
        ROUNDS__ENROL=str(enrol).lower(),
        HTTP__PORT=str(free_port()),
    )


def run_to_end(
    *arguments: object, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`ljusvakt <arguments>` until it ends by itself."""
    return subprocess.run(
        [LJUSVAKT, *map(str, arguments)],
        env=bare_environment() if environment is None else environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


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

    def stop(self, *, within_s: float = 30) -> int:
        """Ctrl-C; the code it ended with, which must be within so long."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=within_s)

    def wait_for(self, text: str, *, within_s: float = 90) -> str:
        """The next line with this text in it."""
        return next(line for line in self.lines(text, within_s=within_s) if text in line)

    def lines(self, waiting_for: str, *, within_s: float) -> Iterator[str]:
        """Each line it prints from now on; an error when it ends or the time is over."""
        end = time.monotonic() + within_s
        while (left := end - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                break
            assert line is not None, f"{self.part} ended: {self.said[-5:]}"
            self.said.append(line)
            yield line
        late = f"no {waiting_for!r} within {within_s} s: {self.said[-5:]}"
        raise AssertionError(f"{self.part}: {late}")

    def drained(self) -> str:
        """Everything it has printed by now."""
        while not self._lines.empty():
            self.said.append(self._lines.get() or "")
        return "".join(self.said)
