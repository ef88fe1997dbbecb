"""What BentoML serves. The only module that imports it.

`Maximus` is the gateway: several workers, each with the whole application. `ControlLoop` is one worker whose only work
is the loop; it has no routes beyond health and metrics, and its readiness is the loop's. The services share nothing but
the knowledge base and are started apart, so that neither's restart touches the other.

It is hard in what the server around the application does not do by itself. Its own timeout middleware keeps a timer for
each request, so the timeout is short. It would wait a day for open event streams when asked to stop, so a stop ends
them first. And its workers outlive a parent that was killed, so each asks the kernel to be told.
"""

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

import bentoml

from serving import observability, settings
from serving.gateway.edge import HostGuard
from serving.wiring import build_gateway, build_loop

_SETTINGS: Final = settings.load(os.environ, Path.cwd())
observability.configure_logging(_SETTINGS.log_level, _SETTINGS.log_format)
_GATEWAY: Final = build_gateway(_SETTINGS)
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_FIRST_BYTE_SECONDS: Final = 10.0


def end_with_parent() -> None:
    """Ask the kernel to end this process when the one that started it dies, however it dies (prctl(2)).

    Call it in a worker, once it runs. Where the parent died before, nothing would be sent any more: then it ends now. By
    then it has been handed to another process, and only what that one is tells so: a worker imports for seconds, and the
    parent may die before any line of this module runs.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if not _is_server(os.getppid()):
        os.kill(os.getpid(), signal.SIGTERM)


def _is_server(pid: int) -> bool:
    """Whether this is BentoML's server, the only one that starts workers."""
    try:
        return b"bentoml" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has gone too
        return False


def before_stop(act: Callable[[], None]) -> None:
    """Call `act` on this event loop when the process is asked to stop, and then let the server stop as it does."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        server = signal.getsignal(number)

        def handle(received: int, frame: FrameType | None, server: object = server) -> None:
            loop.call_soon_threadsafe(act)
            if callable(server):
                server(received, frame)

        signal.signal(number, handle)


@bentoml.asgi_app(_GATEWAY.app, path="/")
@bentoml.service(
    workers=_SETTINGS.gateway_workers,
    traffic={"timeout": _FIRST_BYTE_SECONDS},
    metrics={"enabled": False},  # /metrics is the application's own, which sees the loop too
    logging={"access": {"enabled": False}},
)
class Maximus:
    """The web page and the API."""

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def prepare(self) -> None:
        """Make this worker end when it should."""
        end_with_parent()
        before_stop(_GATEWAY.hub.close)

    async def __is_ready__(self) -> bool:
        """Whether the database answers. The loop's health is its own: see /api/v1/autonomic/health."""
        return await _GATEWAY.reading.is_reachable()


# The server answers a few addresses itself (/livez, /readyz, /schema.json): the host check must stand before those too.
Maximus.add_asgi_middleware(HostGuard)  # type: ignore[attr-defined]  # BentoML types the service as the class


@bentoml.service(workers=1, traffic={"timeout": _FIRST_BYTE_SECONDS}, logging={"access": {"enabled": False}})
class ControlLoop:
    """The loop: turns as long as the process lives."""

    def __init__(self) -> None:
        self._loop = build_loop(_SETTINGS)
        self._turning: asyncio.Task[None] | None = None

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def start(self) -> None:
        """Start turning."""
        end_with_parent()
        self._turning = asyncio.create_task(self._loop.run(), name="loop")

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def stop(self) -> None:
        """End the turn, give the lease back, close what is open."""
        if self._turning is not None:
            self._turning.cancel()
            await asyncio.gather(self._turning, return_exceptions=True)

    def __is_ready__(self) -> bool:
        """Whether it has looked once and has seen the lease."""
        return self.__is_alive__() and self._loop.runner.is_ready()

    def __is_alive__(self) -> bool:
        """Whether turns end."""
        return self._turning is not None and not self._turning.done() and self._loop.runner.is_alive()


ControlLoop.add_asgi_middleware(HostGuard)  # type: ignore[attr-defined]  # as above
