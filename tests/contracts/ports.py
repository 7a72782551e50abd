"""Ports on loopback that nobody else has."""

import contextlib
import socket

__all__ = ["free_port", "free_ports"]


def free_ports(n: int) -> list[int]:
    """As many as asked, none twice; they were free a moment ago."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def free_port() -> int:
    """One that was free a moment ago."""
    return free_ports(1)[0]
