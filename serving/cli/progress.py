"""Draws a start as it happens: one line a stage with its elapsed time, redrawn on a terminal, appended elsewhere."""

import time
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from serving.supervisor.events import Event

_MARKS = {
    "finished": Text("ok", style="green"),
    "skipped": Text("ok", style="green"),
    "failed": Text("failed", style="red"),
}
_EVERY_SECONDS = 10.0
"""Without a terminal, a long stage says this often what it is at."""


@dataclass
class _Line:
    stage: str
    started: float
    kind: str = "started"
    text: str = ""
    seconds: float = 0.0
    told: float = 0.0


class Progress:
    """A listener for the events of a start.

    Args:
        console: Where to draw.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._is_over = False
        self._lines: dict[str, _Line] = {}
        self.failures: dict[str, str] = {}
        """Stage -> why it failed."""
        self._spinner = Spinner("dots", style="yellow")
        self._live = (
            Live(console=console, get_renderable=self._draw, refresh_per_second=8)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> "Progress":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the last picture where it is and draw no more."""
        if self._live is not None:
            self._is_over = True
            self._live.refresh()
            self._live.stop()
            self._live = None

    @property
    def elapsed_seconds(self) -> float:
        """Since the start began."""
        return time.monotonic() - self._started

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        if event.kind == "ready":
            return
        if event.kind == "notice":
            self._console.print(f"  {event.text}", style="dim")
            return
        line = self._lines.setdefault(event.stage, _Line(event.stage, time.monotonic() - event.seconds))
        line.kind, line.seconds = event.kind, event.seconds
        line.text = event.text or line.text
        if event.kind == "failed":
            self.failures[event.stage] = event.text
        if self._live is None:
            self._append(line)

    def _append(self, line: _Line) -> None:
        now = time.monotonic()
        if line.kind == "started":
            line.told = now
        elif line.kind == "moved":
            if now - line.told >= _EVERY_SECONDS:
                line.told = now
                self._console.print(f"  ...     {line.stage:<16} {line.seconds:6.1f} s  {line.text}")
        else:
            self._console.print(
                f"  {_MARKS[line.kind].plain:<7} {line.stage:<16} {line.seconds:6.1f} s  {line.text}"
            )

    def _draw(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(width=6)
        # On a narrow terminal only the words shrink: a name or a time cut short says nothing.
        table.add_column(no_wrap=True, min_width=max(map(len, self._lines), default=0))
        table.add_column(justify="right", no_wrap=True, min_width=7)
        table.add_column(overflow="ellipsis", no_wrap=True)
        for line in self._lines.values():
            is_open = line.kind in ("started", "moved")
            seconds = time.monotonic() - line.started if is_open else line.seconds
            waiting = Text("...", style="yellow") if self._is_over else self._spinner
            mark = waiting if is_open else _MARKS[line.kind]
            table.add_row(
                mark,
                line.stage,
                f"{seconds:.1f} s",
                Text(line.text, style="" if line.kind != "failed" else "red"),
            )
        return table
