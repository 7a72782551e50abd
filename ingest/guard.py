"""Ends a program when whoever started it is gone, also when that one was killed with -9.

Run by its path, with nothing but the standard library: `python guard.py PROGRAM ARGUMENT...`.
Standard input is a pipe whose other end the starter holds; it closes by itself when the starter
dies. The kernel's parent-death signal is the second rope: it reaches the program if this guard is
killed.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PATIENCE_S = 10.0


def die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent ends; only Linux has such a call."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _note(_number: int, _frame: object) -> None:
    """A signal came; the wake-up descriptor tells the loop."""


def main(command: list[str]) -> int:
    """Run the command until it ends, the pipe closes or we are told to stop."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _note)
    signal.set_wakeup_fd(wake_write)
    # This process has one thread until here, so running Python between fork and exec is safe.
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)  # noqa: PLW1509, S603 - one thread; the starter chose the command
    threading.Thread(target=lambda: (child.wait(), os.write(wake_write, b"."))).start()
    while child.poll() is None:
        ready, _, _ = select.select([0, wake_read], [], [])
        if wake_read in ready and child.poll() is not None:
            break
        # The pipe has closed, or a signal asks us to end.
        child.terminate()
        try:
            child.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
