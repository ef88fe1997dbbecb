"""A process that does one thing and ends: a migration, the first learning.

It is bound to the supervisor as the children are, but nobody starts it again; its lines are handed on as they come.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serving.supervisor import processes
from serving.supervisor.child import last_line
from serving.supervisor.failures import StartFailedError
from serving.supervisor.processes import Identity

_SPAWN: Final = str(Path(__file__).with_name("spawn.py"))
_STOP_SECONDS: Final = 10.0
_LONGEST_LINE: Final = 1024 * 1024


@dataclass(frozen=True)
class Errand:
    """What to run.

    Attributes:
        name: For its log and messages.
        command: Program and arguments.
        environment: The whole environment it gets.
        folder: Its working folder.
        log: Everything it says, on both streams, ends up here.
        on_line: Called with each line of its standard output.
        on_start: Called with its identity, and with None when it ended, so that somebody else can stop it too.
        niceness: Added to its scheduling niceness.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    on_line: Callable[[str], None] | None = None
    on_start: Callable[[Identity | None], None] | None = None
    niceness: int = 0

    async def run(self) -> None:
        """Run it to its end. When cancelled, it is stopped with everything it began.

        Raises:
            StartFailedError: It ended with an exit code other than 0.
        """
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                _SPAWN,
                str(os.getpid()),
                str(int(signal.SIGTERM)),
                str(self.niceness),
                "-",
                *self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=self.folder,
                env=dict(self.environment),
                start_new_session=True,
                limit=_LONGEST_LINE,
            )
            identity = processes.identify(process.pid)
            self._tell(identity)
            try:
                assert process.stdout is not None
                async for line in process.stdout:
                    log.write(line)
                    log.flush()
                    if self.on_line is not None:
                        self.on_line(line.decode(errors="replace").rstrip("\n"))
                code = await process.wait()
            finally:
                await asyncio.to_thread(processes.end, [identity], grace_seconds=_STOP_SECONDS)
                self._tell(None)
        if code != 0:
            raise StartFailedError(
                f"{self.name} ended with exit code {code}: {last_line(self.log)}. Its log: {self.log}"
            )

    def _tell(self, identity: Identity | None) -> None:
        if self.on_start is not None:
            self.on_start(identity)
