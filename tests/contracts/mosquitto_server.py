"""A Mosquitto for tests: started, stopped, killed and started again on the same folder."""

import signal
import socket
import subprocess
from pathlib import Path
from typing import Self

from contracts.waiting import eventually

from ingest.broker import mosquitto_config


class MosquittoServer:
    """One broker; use it in `with`."""

    def __init__(self, program: Path, folder: Path, port: int, config: str | None = None) -> None:
        self.program = program
        self.folder = folder
        self.port = port
        self.config = mosquitto_config(folder, port) if config is None else config
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "mosquitto.conf"
        config.write_text(self.config, encoding="utf-8")
        with (self.folder / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [str(self.program), "-c", str(config)], stdout=output, stderr=output
            )
        eventually(self._answers, within_s=10, pause_s=0.02)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "output").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(20)
            self.process = None

    def stop(self) -> None:
        """As an operator would: it saves what it holds."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Without warning."""
        self._end(signal.SIGKILL)
