"""Answers that are kept while what they were made from stands."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Snapshots"]

V = TypeVar("V")


class Snapshots(Generic[V]):
    """Values by name, each made anew when asked for under another version than it was made for.

    Who asks for it meanwhile waits, so that a change costs one making, however many ask; who asks
    for another name does not.

    Parameters
    ----------
    most : int
        Names that are kept; the one unused for longest goes first.
    """

    def __init__(self, most: int = 1) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[Hashable, V]] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, name: Hashable, version: Hashable, make: Callable[[], V]) -> V:
        """The value of this name for this version.

        Parameters
        ----------
        version : hashable
            Read before `make` reads: a change in between then makes one version too many, and
            never a value that is older than its version.
        """
        with self._lock:
            if (kept := self._current(name, version)) is not None:
                return kept[1]
            turn = self._making.setdefault(name, threading.Lock())
        with turn:
            with self._lock:
                if (kept := self._current(name, version)) is not None:
                    return kept[1]
            value = make()
            with self._lock:
                self._making.pop(name, None)
                self._kept[name] = (version, value)
                self._kept.move_to_end(name)
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            return value

    def _current(self, name: Hashable, version: Hashable) -> tuple[Hashable, V] | None:
        """What is kept for this version; asked for just now, it is forgotten last."""
        kept = self._kept.get(name)
        if kept is None or kept[0] != version:
            return None
        self._kept.move_to_end(name)
        return kept
