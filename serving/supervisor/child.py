"""One child: started in a session of its own, watched, started again when it falls, stopped with everything it began.

Everything here runs on one event loop in the main thread. That matters: the kernel sends the death signal when the
*thread* that started the child ends, and only the main thread lives as long as the process (prctl(2)).
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from maximus_assets.contracts.errors import MaximusError, Permanent
from serving.supervisor import processes
from serving.supervisor.backoff import Backoff
from serving.supervisor.failures import StartFailedError
from serving.supervisor.processes import Identity
from serving.supervisor.runfile import ChildRecord, ChildState

_SPAWN: Final = str(Path(__file__).with_name("spawn.py"))
_FIRST_PROBE_SECONDS: Final = 0.1
_SLOWEST_PROBE_SECONDS: Final = 1.0
_PROBE_SECONDS: Final = 4.0
_STARTS_BEFORE_GIVING_UP: Final = 3


@dataclass(frozen=True)
class ChildSpec:
    """What a child is.

    Attributes:
        name: Its name in the product; its log file is named after it.
        command: Program and arguments.
        probe: Says whether it serves; False and any error both mean no.
        alive: Says whether it still reacts, for those that may be unready on purpose; None when `probe` says both.
        environment: The whole environment it gets.
        folder: Its working folder.
        log: Where its output goes.
        address: Where people find it.
        tier: Children of a higher tier are stopped first.
        start_seconds: From launch to ready, at most.
        stop_signal: Asks it to end well.
        stop_seconds: How long that may take.
        probe_seconds: Between probes once it is ready.
        probe_failures: So many times in a row without a reaction mean it hangs: it is started again.
        niceness: Added to its scheduling niceness: what learns yields to what acts.
        user: (uid, gid) it runs as, None for ours.
        prepare: Called before each start, to clear what a crash left.
    """

    name: str
    command: tuple[str, ...]
    probe: Callable[[], Awaitable[bool]]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    alive: Callable[[], Awaitable[bool]] | None = None
    address: str = ""
    tier: int = 1
    start_seconds: float = 90.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    probe_seconds: float = 5.0
    probe_failures: int = 6
    niceness: int = 0
    user: tuple[int, int] | None = None
    prepare: Callable[[], None] | None = None


@dataclass
class Child:
    """A child and what became of it.

    Attributes:
        spec: What it is.
        backoff: How long to wait between starts.
        on_change: Called after every change of state and before the child may act on its own.
    """

    spec: ChildSpec
    backoff: Backoff
    on_change: Callable[[], None]
    state: ChildState = field(default="waiting", init=False)
    identity: Identity | None = field(default=None, init=False)
    since: float = field(default_factory=time.time, init=False)
    restarts: int = field(default=0, init=False)
    detail: str = field(default="", init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _keeper: asyncio.Task[None] | None = field(default=None, init=False)
    _ready: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _exited_by_itself: bool = field(default=False, init=False)
    _exited: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def record(self) -> ChildRecord:
        """As the run file holds it."""
        return ChildRecord(
            name=self.spec.name,
            state=self.state,
            identity=self.identity,
            address=self.spec.address,
            since=self.since,
            restarts=self.restarts,
            detail=self.detail,
        )

    async def start(self) -> None:
        """Start it and keep it running from here on; returns once it is ready.

        Raises:
            StartFailedError: It fell three times, or did not get ready in time. It is left stopped.
        """
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.spec.name}")
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait({self._keeper, ready}, return_when=asyncio.FIRST_COMPLETED)
        if not self._ready.is_set():
            ready.cancel()
            await self._keeper

    async def stop(self) -> None:
        """Stop it and everything in its session; returns when nothing of it runs."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        await self._end()
        self._turn("stopped")

    async def _keep(self) -> None:
        """Start, watch, start again; ends only by being cancelled, or by giving up before it was ever ready."""
        while True:
            launched = time.monotonic()
            problem = await self._live()
            self._exited_by_itself = self._exited.is_set()
            await self._end()
            # One that runs and never gets ready would not get ready the next time either.
            hopeless = not self._exited_by_itself or self.backoff.failures + 1 >= _STARTS_BEFORE_GIVING_UP
            if not self._ready.is_set() and hopeless:
                self._turn("stopped", problem)
                raise StartFailedError(
                    f"{self.spec.name} did not come up: {problem}. Its log: {self.spec.log}"
                )
            delay = self.backoff.delay_seconds(time.monotonic() - launched)
            self._turn("restarting", f"{problem}; next start in {delay:.1f} s")
            await asyncio.sleep(delay)
            self.restarts += 1

    async def _live(self) -> str:
        """One life from launch to end; returns why it ended."""
        try:
            if self.spec.prepare is not None:
                await asyncio.to_thread(self.spec.prepare)
            self._launch()
        except MaximusError as error:
            if isinstance(error, Permanent) and not self._ready.is_set():
                raise
            return str(error)
        except Exception as error:  # noqa: BLE001  # whatever it is, a child that once ran must not lose its keeper
            return f"it cannot be launched ({type(error).__name__}: {error})"
        deadline, pause = time.monotonic() + self.spec.start_seconds, _FIRST_PROBE_SECONDS
        while not await self._says_yes(self.spec.probe):
            if self._exited.is_set():
                return f"it ended with {self._how_it_ended()} while starting: {self.last_words()}"
            if time.monotonic() >= deadline:
                return f"it did not answer within {self.spec.start_seconds:.0f} s: {self.last_words()}"
            await self._exit_or(pause)
            pause = min(_SLOWEST_PROBE_SECONDS, pause * 1.3)
        self._turn("ready")
        self._ready.set()
        return await self._watch()

    async def _watch(self) -> str:
        """Ask every few seconds from ready on; returns why it has to be started again."""
        failures = 0
        while failures < self.spec.probe_failures:
            await self._exit_or(self.spec.probe_seconds)
            if self._exited.is_set():
                return f"it ended with {self._how_it_ended()}"
            serves = await self._says_yes(self.spec.probe)
            reacts = serves or (self.spec.alive is not None and await self._says_yes(self.spec.alive))
            failures = 0 if reacts else failures + 1
            wanted: ChildState = "ready" if serves else "unwell"
            if wanted != self.state:
                self._turn(wanted, "" if serves else "not ready" if reacts else "it does not answer")
        return f"it did not answer {failures} times in a row"

    def _launch(self) -> None:
        user = "-" if self.spec.user is None else f"{self.spec.user[0]}:{self.spec.user[1]}"
        binding = (str(os.getpid()), str(int(self.spec.stop_signal)), str(self.spec.niceness), user)
        self.spec.log.parent.mkdir(parents=True, exist_ok=True)
        with self.spec.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", _SPAWN, *binding, *self.spec.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.spec.folder,
                env=dict(self.spec.environment),
                start_new_session=True,
            )
        # Only now: a launch that failed leaves the end of the life before it as it was, for whoever waits for that.
        self._exited = asyncio.Event()
        self.identity = processes.identify(self._process.pid)
        self._turn("starting")
        self._watch_exit(self._process)

    def _watch_exit(self, process: subprocess.Popen[bytes]) -> None:
        """Have the event loop set `_exited` in the moment the process ends, without polling."""
        handle = os.pidfd_open(process.pid)
        loop = asyncio.get_running_loop()
        exited = self._exited

        def ended() -> None:
            loop.remove_reader(handle)
            os.close(handle)
            process.wait()
            exited.set()

        loop.add_reader(handle, ended)

    async def _exit_or(self, seconds: float) -> None:
        """Wait for the end of the process, at most so long."""
        try:
            await asyncio.wait_for(self._exited.wait(), seconds)
        except TimeoutError:
            return

    async def _says_yes(self, probe: Callable[[], Awaitable[bool]]) -> bool:
        """The answer of a probe; one that raises or hangs is a no, whatever it raises."""
        try:
            return await asyncio.wait_for(probe(), _PROBE_SECONDS)
        except Exception:  # noqa: BLE001  # a probe speaks to a process that may be in any state
            return False

    async def _end(self) -> None:
        """Stop the session, dead leader or not: a killed parent leaves its workers behind."""
        if self.identity is None:
            return
        await asyncio.to_thread(
            processes.end,
            [self.identity],
            grace_seconds=self.spec.stop_seconds,
            number=self.spec.stop_signal,
        )
        if self._process is not None:
            await self._exited.wait()

    def _turn(self, state: ChildState, detail: str = "") -> None:
        self.state, self.detail, self.since = state, detail, time.time()
        self.on_change()

    def _how_it_ended(self) -> str:
        code = self._process.returncode if self._process else None
        if code is not None and code < 0:
            return f"signal {signal.Signals(-code).name}"
        return f"exit code {code}"

    def last_words(self) -> str:
        """The last line of its log that says something."""
        return last_line(self.spec.log)


def last_line(log: Path) -> str:
    """The last line of a log that says something, at most 300 characters."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return "it wrote no log"
    said = (line.strip()[:300] for line in reversed(lines) if line.strip() and not _is_noise(line))
    return next(said, "it wrote nothing")


def _is_noise(line: str) -> bool:
    """Whether a line only tells of our own asking, or is the advice BentoML ends every failed import with."""
    asked = any(f'"GET {path} ' in line for path in ("/readyz", "/livez", "/health", "/server_info"))
    return asked or line.startswith("If you are trying to import a runtime-only module")
