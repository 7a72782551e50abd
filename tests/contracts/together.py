"""Calls at the same moment, each in a thread of its own."""

import threading
from collections.abc import Callable
from typing import Any

__all__ = ["together"]


def together(*calls: Callable[[], Any]) -> list[Any]:
    """What each gave or raised, in the order of the calls."""
    barrier = threading.Barrier(len(calls))
    results: list[Any] = [None] * len(calls)

    def run(i: int) -> None:
        barrier.wait()
        try:
            results[i] = calls[i]()
        except Exception as error:
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
