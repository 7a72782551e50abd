"""A demo as a subprocess, as a person would start it, watched by what it prints and answers."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

import httpx2

LJUSVAKT = Path(sys.executable).with_name("ljusvakt")


class DemoProcess:
    """`ljusvakt demo --json` on a folder; ended, whatever the test does, with the `with` block."""

    def __init__(self, folder: Path, port: int, *arguments: str) -> None:
        self.folder = folder
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LJUSVAKT_")}
        self._complaints = (folder.parent / f"{folder.name}.err").open("a", encoding="utf-8")
        self.process = subprocess.Popen(
            [
                LJUSVAKT, "demo", "--json", "--data", folder, "--port", str(port), *arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            env=environment,
        )  # fmt: skip
        self.events: list[dict[str, Any]] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self._reader.join()
            self.process.stdout.close()
        self._complaints.close()

    def wait_for(self, event: str, *, within_s: float, at_least: float = 0.0) -> dict[str, Any]:
        """The next event of this name (whose share done is at least so much)."""
        end = time.monotonic() + within_s
        while (left := end - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                break
            assert line is not None, f"the demo ended: {self.complaints()}"
            told: dict[str, Any] = json.loads(line)
            self.events.append(told)
            if told["event"] == event and told.get("done", 1) >= at_least * told.get("total", 1):
                return told
        raise AssertionError(f"no {event!r} within {within_s} s, but {self.events[-3:]}")

    def complaints(self) -> str:
        """What it wrote to standard error."""
        return (self.folder.parent / f"{self.folder.name}.err").read_text(encoding="utf-8")

    def get(self, path: str) -> Any:
        """Ask the API with the demo's token."""
        ready = next(e for e in self.events if e["event"] == "ready")
        answer = httpx2.get(
            ready["url"].rstrip("/") + path,
            headers={"Authorization": f"Bearer {ready['token']}"},
            timeout=30,
            trust_env=False,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def orders(self) -> list[dict[str, Any]]:
        """Every work order, open or closed."""
        found: list[dict[str, Any]] = []
        path: str | None = "/api/v1/work-orders?limit=200"
        while path:
            page = self.get(path)
            found += page["items"]
            after = page["next"]
            path = f"/api/v1/work-orders?limit=200&cursor={after}" if after else None
        return found

    def stop(self) -> float:
        """Ctrl-C; the seconds until it was gone."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=30)
        return time.monotonic() - began

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()


def seeded_causes(demo: DemoProcess) -> set[tuple[str, str]]:
    """Cause kind and cause of every incident that was set in."""
    told = next(e for e in demo.events if e["event"] == "seeded")
    return {(fault["cause_kind"], fault["cause_id"]) for fault in told["faults"]}


def running_with(text: str) -> list[str]:
    """Command lines of processes that have this text in them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found
