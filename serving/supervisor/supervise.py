"""The life of a supervisor: take the lock, stop what a dead one left, bring the product up, keep it, take it down.

It must be the main thread of its process (see `child`). Ctrl-C, SIGTERM and a closed terminal all mean the same: stop
everything in order and lose nothing. Only kill -9 cannot be answered; then the children end by their death signal,
and the next start finds the rest in the run file.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from serving.settings import Settings
from serving.supervisor import ground, logs, processes, runfile
from serving.supervisor.events import Event, Listener
from serving.supervisor.failures import InterruptedStartError, StillRunningError
from serving.supervisor.places import explain
from serving.supervisor.processes import Identity
from serving.supervisor.product import Product
from serving.supervisor.runfile import RunRecord

_TICK_SECONDS = 1.0
_LEFTOVER_GRACE_SECONDS = 15.0


class AlreadyRunningError(Exception):
    """Another supervisor holds the lock of this data folder."""


@dataclass
class Supervisor:
    """One run of the product.

    Attributes:
        settings: The settings in force.
        shell: The environment `maximus` was called with.
        listener: Is told how the start goes.
        on_tick: Called about once a second once everything is up.
    """

    settings: Settings
    shell: Mapping[str, str]
    listener: Listener
    on_tick: Callable[[Product], None] | None = None
    _record: RunRecord = field(init=False)
    _product: Product = field(init=False)
    _is_behind: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._product = Product(self.settings, self.shell, self._note)
        self._record = RunRecord(
            boot=processes.boot_id(), supervisor=processes.identify(os.getpid()), started_at=time.time()
        )

    def run(self) -> None:
        """Bring the product up and keep it until somebody asks for the end.

        Raises:
            AlreadyRunningError: It runs already.
            MaximusError: It could not be started; nothing of it runs.
        """
        ground.lay_out(self.settings.data_dir)
        with runfile.locked(self.settings.run_dir) as is_ours:
            if not is_ours:
                raise AlreadyRunningError
            runfile.sign(self.settings.run_dir, self._record.supervisor)
            stopped = stop_leftovers(self.settings)
            if stopped:
                self.listener(
                    Event("notice", text=f"stopped {stopped} processes a killed supervisor had left")
                )
            ground.check_ports(self.settings.host, self._product.ports())
            processes.adopt_orphans()
            self._write()
            asyncio.run(self._live())
            runfile.remove(self.settings.run_dir)

    async def _live(self) -> None:
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, asked.set)
        ending = asyncio.create_task(asked.wait())
        starting = asyncio.create_task(self._product.start(self.listener))
        sweeping = asyncio.create_task(self._sweep())
        try:
            await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                raise InterruptedStartError("stopped while starting")
            starting.result()
            self._record = RunRecord(**{**vars(self._record), "is_ready": True})
            self._write()
            self.listener(Event("ready"))
            while not asked.is_set():
                if self.on_tick is not None:
                    self.on_tick(self._product)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asked.wait(), _TICK_SECONDS)
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await self._product.stop(lambda text: self.listener(Event("notice", text=text)))
            sweeping.cancel()
            ending.cancel()
            await asyncio.gather(sweeping, ending, return_exceptions=True)

    async def _sweep(self) -> None:
        """Collect adopted dead, stop adopted strays, keep the logs small."""
        problem = ""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            # A process that ends while it is looked at, a full disk: nothing here is a reason to stop sweeping.
            try:
                known = self._product.leaders()
                processes.reap_orphans(known)
                processes.kill_strays(known)
                if self._is_behind:
                    self._note()
                logs.rotate(self.settings.log_dir)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is told once and tried again a tick later
                said = f"sweeping failed, it goes on: {type(error).__name__}: {error}"
                if said != problem:
                    self.listener(Event("notice", text=said))
                problem = said
            else:
                problem = ""

    def _note(self) -> None:
        """Write down what changed. A full disk must not cost a child its keeper: it is said, and made up for later."""
        try:
            self._write()
        except OSError as error:
            if not self._is_behind:
                self.listener(
                    Event("notice", text=f"{explain(error, self.settings.data_dir)}; it goes on meanwhile")
                )
            self._is_behind = True
        else:
            self._is_behind = False

    def _write(self) -> None:
        self._record = RunRecord(**{**vars(self._record), "children": self._product.records()})
        runfile.write(self.settings.run_dir, self._record)


def stop_leftovers(settings: Settings) -> int:
    """Stop what the last supervisor of this data folder left behind, if it was killed; the lock must be ours.

    Returns:
        How many processes were stopped.
    """
    record = runfile.read(settings.run_dir)
    if record is None:
        return 0
    count = processes.end(record.leaders(), grace_seconds=_LEFTOVER_GRACE_SECONDS)
    runfile.remove(settings.run_dir)
    return count


def take_down(settings: Settings, say: Callable[[str], None], *, seconds: float = 90.0) -> bool:
    """Stop the supervisor of this data folder, and whatever a killed one left.

    Args:
        settings: Name the data folder.
        say: Told what is waited for.
        seconds: How long the orderly way may take; after that the supervisor is killed and its children with it.

    Returns:
        Whether anything ran.

    Raises:
        StillRunningError: Somebody holds the lock still.
    """
    if not settings.run_dir.exists():
        return False
    had_supervisor = runfile.is_held(settings.run_dir)
    supervisor = _holder(settings)
    if had_supervisor and supervisor is not None:
        processes.send(supervisor, signal.SIGTERM)
        say(f"asked the supervisor (pid {supervisor.pid}) to stop")
        if not processes.wait_gone([supervisor], seconds):
            say("it does not stop: killing it")
            processes.send(supervisor, signal.SIGKILL)
            processes.wait_gone([supervisor], 5.0)
    with runfile.locked(settings.run_dir) as is_ours:
        if not is_ours:
            raise StillRunningError(
                f"A supervisor holds {settings.run_dir / runfile.LOCK_FILE} and could not be stopped: try again, or end "
                "it by hand (fuser names it)."
            )
        stopped = stop_leftovers(settings)
    if stopped:
        say(f"stopped {stopped} processes a killed supervisor had left")
    return had_supervisor or stopped > 0


def _holder(settings: Settings) -> Identity | None:
    """The supervisor that holds the lock: as it signed it, else as the run file says."""
    signed, record = runfile.holder(settings.run_dir), runfile.read(settings.run_dir)
    if signed is not None and processes.is_alive(signed):
        return signed
    return record.supervisor if record is not None else None
