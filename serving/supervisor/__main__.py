"""The supervisor as a process of its own: what `maximus up --detach` starts.

Usage: python -m serving.supervisor ROOT FILE_DESCRIPTOR. It tells how the start goes on the descriptor, one JSON line
an event, and closes it once everything is ready; from then on nobody listens.
"""

import contextlib
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from maximus_assets.contracts.errors import MaximusError, Permanent
from serving import settings
from serving.supervisor.events import Event
from serving.supervisor.supervise import AlreadyRunningError, Supervisor


class Teller:
    """Writes events to a pipe for as long as somebody reads it."""

    def __init__(self, pipe: TextIO) -> None:
        self._pipe: TextIO | None = pipe

    def __call__(self, event: Event) -> None:
        """Tell one event; the first one that finds no reader is the last one told. The log hears all but the steps."""
        if event.kind != "moved":
            words = f"{event.kind} {event.stage} {event.text}".rstrip()
            sys.stderr.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {words}\n")
            sys.stderr.flush()
        if self._pipe is None:
            return
        try:
            self._pipe.write(event.to_line())
            self._pipe.flush()
        except BrokenPipeError:
            self._pipe = None
        if event.kind == "ready" and self._pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                self._pipe.close()
            self._pipe = None


def main(root: Path, descriptor: int) -> int:
    """Supervise until told to stop; the exit code is that of `maximus up`."""
    tell = Teller(os.fdopen(descriptor, "w", encoding="utf-8"))
    try:
        Supervisor(settings.load(os.environ, root), os.environ, tell).run()
    except AlreadyRunningError:
        tell(Event("failed", text="Maximus runs already on this data folder: see `maximus status`."))
        return 1
    except Permanent as error:
        tell(Event("failed", text=str(error)))
        return 2
    except MaximusError as error:
        tell(Event("failed", text=str(error)))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
