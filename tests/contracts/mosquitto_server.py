"""A Mosquitto for tests: started, stopped, killed and started again on the same folder."""

import socket
from pathlib import Path

from contracts.server_process import ServerProcess

from ingest.broker import mosquitto_config

__all__ = ["MosquittoServer"]


class MosquittoServer(ServerProcess):
    """One broker; use it in `with`."""

    def __init__(self, program: Path, folder: Path, port: int, config: str | None = None) -> None:
        super().__init__(folder, program, "-c", folder / "mosquitto.conf")
        self.port = port
        folder.mkdir(parents=True, exist_ok=True)
        text = mosquitto_config(folder, port) if config is None else config
        (folder / "mosquitto.conf").write_text(text, encoding="utf-8")

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True
