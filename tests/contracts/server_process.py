"""A server's own program, as tests run it."""

import signal
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from contracts.waiting import eventually

__all__ = ["ServerProcess"]


class ServerProcess(ABC):
    """One server in a folder of its own: started, ended and started again on what it kept."""

    def __init__(self, folder: Path, *command: str | Path) -> None:
        self.folder = folder
        self.command = command
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def answers(self) -> bool:
        """Whether it takes connections."""

    def start(self) -> None:
        """Start it, where it is not running, and wait until it answers."""
        if self.process is not None:
            return
        with (self.folder / "output").open("ab") as output:
            self.process = subprocess.Popen(self.command, stdout=output, stderr=output)
        eventually(self._answers_or_has_ended, within_s=30, pause_s=0.02)

    def _answers_or_has_ended(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said()[-2000:]
        return self.answers()

    def said(self) -> str:
        """What it has written about itself."""
        return (self.folder / "output").read_text(encoding="utf-8")

    def end(self, how: signal.Signals) -> None:
        """Send it a signal and wait until it is gone."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def stop(self) -> None:
        """As an operator would: it saves what it holds."""
        self.end(signal.SIGTERM)

    def kill(self) -> None:
        """Without warning."""
        self.end(signal.SIGKILL)
