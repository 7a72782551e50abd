"""A demo as a subprocess, as a person would start it, watched by what it prints and answers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
from contracts.ljusvakt_process import Process, bare_environment

SMALL = ("--lamps", "200")


class DemoProcess(Process):
    """`ljusvakt demo --json` on a folder; ended, whatever the test does, with the `with` block."""

    def __init__(self, folder: Path, port: int, *arguments: str) -> None:
        # Its log is for people then, and what begins with a brace is an event.
        environment = bare_environment(LOG="console")
        super().__init__(
            "demo", environment, "--data", str(folder), "--port", str(port), *arguments
        )

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it has told so far."""
        return [json.loads(line) for line in self.said if line.startswith("{")]

    def wait_for_event(
        self, event: str, *, within_s: float, at_least: float = 0.0
    ) -> dict[str, Any]:
        """The next event of this name (whose share done is at least so much)."""
        lines = self.lines(event, within_s=within_s)
        told: Iterator[dict[str, Any]] = (json.loads(x) for x in lines if x.startswith("{"))
        return next(
            e
            for e in told
            if e["event"] == event and e.get("done", 1) >= at_least * e.get("total", 1)
        )

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
