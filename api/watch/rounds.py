"""When rounds are run: a light round every ten minutes, the noon round that settles the night."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import structlog

from api.clock import Clock
from api.datadir import read_json, write_json

__all__ = ["Due", "RoundKind", "Rounds", "Urgent", "due_rounds", "is_late", "last_round_ms"]

MINUTE_MS = 60_000
DAY_MS = 86_400_000
NOON_MS = DAY_MS // 2  # UTC, so that no night is ever cut
LOOK_MS = 5_000
STAND_BY_S = 2.0  # a leader that died is missed for no longer
LATE_MS = 60 * MINUTE_MS
LATE_S = 60  # of real time, where simulated time flies: rounds need some of that, too
WITHOUT_STATE = "Remove it: rounds then begin again a week back."


def is_late(last_ms: int | None, clock: Clock) -> bool:
    """Whether the last round is so long ago that what it found may hold no more."""
    late_ms = max(LATE_MS, LATE_S * 1000 * clock.speed)
    return last_ms is None or clock.now_ms() - last_ms > late_ms


def last_round_ms(state_file: Path) -> int | None:
    """When the last round was that was run with this folder; None where there was none."""
    kept = read_json(state_file, remedy=WITHOUT_STATE)
    return kept["last_ms"] if kept else None


class RoundKind(StrEnum):
    """Which round."""

    LIGHT = "light"
    NOON = "noon"


@dataclass(frozen=True, slots=True)
class Due:
    """A round and the moment it is for [ms, UTC]."""

    kind: RoundKind
    at_ms: int


class Urgent(Protocol):
    """Knows what cannot wait."""

    def next_ms(self) -> int | None:
        """When a light round should be run [ms, UTC]; None where nothing is urgent."""
        ...

    def done(self, at_ms: int) -> None:
        """One was run for this moment."""
        ...


def due_rounds(*, last_ms: int, now_ms: int, light_every_ms: int) -> list[Due]:
    """Rounds to run now, oldest first.

    Every noon since the last round is settled, however long the program was away; of the light
    rounds only the latest still says anything.

    Parameters
    ----------
    last_ms : int
        The moment of the last round that was run [ms, UTC].
    now_ms : int
    light_every_ms : int
        Event time between light rounds [ms].
    """
    first = (last_ms - NOON_MS) // DAY_MS + 1
    last = (now_ms - NOON_MS) // DAY_MS
    noons = [Due(RoundKind.NOON, day * DAY_MS + NOON_MS) for day in range(first, last + 1)]
    light_ms = now_ms // light_every_ms * light_every_ms
    newest = noons[-1].at_ms if noons else last_ms
    if light_ms > newest:
        noons.append(Due(RoundKind.LIGHT, light_ms))
    return noons


class Rounds:
    """Runs what is due, on the one clock, one round at a time, in a thread of its own.

    Parameters
    ----------
    judge : callable
        Runs one round and writes what it found; called in the worker thread.
    state_file : Path
        Where the moment of the last round is kept, so that none is missed or run twice.
    start_ms : int
        Rounds before this are not run when there is no state yet [ms, UTC].
    may_run : callable
        Whether this process is the one that runs rounds; asked before each.
    term : callable
        Which time it is that this process leads. When it changes another may have run rounds in
        between, so the last one is read again.
    taken_over : callable
        Called then: what is remembered in memory may be old.
    urgency : Urgent, optional
        Knows when a light round is needed sooner; asked every few seconds.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        judge: Callable[[Due], None],
        state_file: Path,
        start_ms: int,
        light_every_ms: int = 10 * MINUTE_MS,
        may_run: Callable[[], bool] = lambda: True,
        term: Callable[[], int] = lambda: 0,
        taken_over: Callable[[], None] = lambda: None,
        urgency: Urgent | None = None,
    ) -> None:
        self._clock = clock
        self._judge = judge
        self._state_file = state_file
        self._light_every_ms = light_every_ms
        self._may_run = may_run
        self._term, self._led = term, 0
        self._taken_over = taken_over
        self._urgency = urgency
        self._log = structlog.get_logger("rounds")
        kept_ms = last_round_ms(state_file)
        self.last_ms = start_ms if kept_ms is None else kept_ms

    async def run(self) -> None:
        """Run rounds for ever, as the clock makes them due."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="rounds") as worker:
            while True:
                if not await loop.run_in_executor(worker, self.turn):
                    await asyncio.sleep(STAND_BY_S)
                    continue
                await self._until_due(loop, worker)

    async def _until_due(self, loop: asyncio.AbstractEventLoop, worker: ThreadPoolExecutor) -> None:
        """Wait for the next light round, or for one that is needed sooner."""
        due_ms = (self._clock.now_ms() // self._light_every_ms + 1) * self._light_every_ms
        # Simulated time may fly: not more than twice a real second.
        look_ms = max(LOOK_MS, int(500 * self._clock.speed))
        while (now_ms := self._clock.now_ms()) < due_ms:
            # The journal is another process's as often as ours, so it is looked at.
            await self._clock.sleep_until(min(due_ms, now_ms + look_ms))
            if self._urgency is not None:
                sooner_ms = await loop.run_in_executor(worker, self._sooner_ms)
                due_ms = min(due_ms, due_ms if sooner_ms is None else sooner_ms)

    def _sooner_ms(self) -> int | None:
        try:
            return self._urgency.next_ms() if self._urgency is not None else None
        except Exception:
            # The next light round sees it too, only later.
            self._log.exception("what is urgent could not be looked for")
            return None

    def turn(self) -> bool:
        """Run what is due, if this process leads; whether it does."""
        if not self._may_run():
            return False
        if self._term() != self._led:
            self._led = self._term()
            kept_ms = last_round_ms(self._state_file)
            self.last_ms = self.last_ms if kept_ms is None else kept_ms
            self._taken_over()
            self._log.info("this process runs the rounds")
        self.catch_up(self.due())
        self._hurry()
        return True

    def _hurry(self) -> None:
        """Run the light round that could not wait for its turn, if there is one."""
        now_ms = self._clock.now_ms()
        if self._urgency is None:
            return
        sooner_ms = self._sooner_ms()
        if sooner_ms is not None and self.last_ms < sooner_ms <= now_ms:
            self._log.info("a light round that cannot wait", at_ms=now_ms)
            self.catch_up([Due(RoundKind.LIGHT, now_ms)])
        # One that failed is made up for by the next in its turn.
        self._urgency.done(now_ms)

    def due(self) -> list[Due]:
        """What should run now."""
        return due_rounds(
            last_ms=self.last_ms,
            now_ms=self._clock.now_ms(),
            light_every_ms=self._light_every_ms,
        )

    def catch_up(self, rounds: Iterable[Due]) -> None:
        """Run these; a round that fails is told and tried again with the next."""
        for one in rounds:
            try:
                self._judge(one)
            except Exception:
                # The last good result stays; the next round tries again.
                self._log.exception("round failed", kind=one.kind, at_ms=one.at_ms)
                return
            self.last_ms = one.at_ms
            write_json(self._state_file, {"last_ms": one.at_ms})
