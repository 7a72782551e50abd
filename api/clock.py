"""The one clock: it drives devices, collector, rounds, SLA and pages."""

import asyncio
import time

__all__ = ["Clock"]


class Clock:
    """Time that starts where it is told to and runs as fast as it is told to.

    Real time is the case `speed=1` with no start. A simulated clock counts by the monotonic clock,
    so that a step of the machine's time does not move it.

    Parameters
    ----------
    start_ms : int, optional
        Time at the moment of creation [ms, UTC]. Without it the machine's own time is followed.
    speed : float
        Simulated seconds per real second; above 0. Only used with `start_ms`.
    held : bool
        Stand still at `start_ms` until `release` is called.
    """

    def __init__(
        self, *, start_ms: int | None = None, speed: float = 1.0, held: bool = False
    ) -> None:
        if speed <= 0:
            raise ValueError(f"speed must be above 0, not {speed}")
        self.speed = speed if start_ms is not None else 1.0
        self._start_ms = start_ms
        self._origin_s: float | None = None if held else time.monotonic()

    def release(self) -> None:
        """Let a clock that was held run from where it stands."""
        if self._origin_s is None:
            self._origin_s = time.monotonic()

    @property
    def simulated(self) -> bool:
        """Whether this clock shows another time than the machine's."""
        return self._start_ms is not None

    def now_ms(self) -> int:
        """Time now [ms, UTC]."""
        if self._start_ms is None:
            return time.time_ns() // 1_000_000
        if self._origin_s is None:
            return self._start_ms
        elapsed_s = time.monotonic() - self._origin_s
        return self._start_ms + int(elapsed_s * self.speed * 1000)

    async def sleep_until(self, time_ms: int) -> None:
        """Return once `now_ms()` has reached `time_ms`."""
        while (left_ms := time_ms - self.now_ms()) > 0:  # noqa: ASYNC110 - time passes by itself
            # At most a minute at a time: the machine's clock may be stepped while we wait.
            await asyncio.sleep(min(left_ms / 1000 / self.speed, 60.0))
