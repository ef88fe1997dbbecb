"""Ends a process whose loop has stopped turning, so that whoever supervises it starts another.

A loop that hangs looks alive from outside: its port answers, its process is there. So it is judged by the one thing it
exists for, ended turns, from a thread of its own that does not need the event loop that may be the one that hangs.
"""

import threading
from collections.abc import Callable
from typing import Final

import structlog

from maximus_assets.contracts.clock import Clock

EXIT_CODE: Final = 70
"""EX_SOFTWARE of sysexits.h: an internal error."""

_log = structlog.get_logger("maximus.loop")


class Watchdog:
    """Watches for signs of progress.

    Args:
        clock: Its monotonic time is what counts.
        limit_seconds: How long without progress is too long.
        exit_process: Ends the process at once, `os._exit` in production: nothing that hangs may keep it from ending.
    """

    def __init__(self, clock: Clock, limit_seconds: float, exit_process: Callable[[int], None]) -> None:
        self._clock = clock
        self.limit_seconds = limit_seconds
        self._exit = exit_process
        self._progress_at = clock.monotonic()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def progressed(self) -> None:
        """A turn has ended, well or badly."""
        self._progress_at = self._clock.monotonic()

    @property
    def idle_seconds(self) -> float:
        """How long ago the last progress was."""
        return self._clock.monotonic() - self._progress_at

    def check(self) -> bool:
        """Look once; ends the process and answers False if there was no progress for too long."""
        idle = self.idle_seconds
        if idle <= self.limit_seconds:
            return True
        _log.critical("loop_stuck", idle_seconds=round(idle, 1), limit_seconds=self.limit_seconds)
        self._exit(EXIT_CODE)
        return False

    def start(self) -> None:
        """Watch from now on."""
        self.progressed()
        self._thread = threading.Thread(target=self._watch, name="loop watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)

    def _watch(self) -> None:
        while not self._stop.wait(self.limit_seconds / 10.0):
            if not self.check():
                return
