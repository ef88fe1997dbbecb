"""Where a fleet's work is done: in this process, in worker processes beside it, or on a Ray cluster.

Belongs here: how many workers, how they are started and ended, and what a worker does around one piece of work. Does
not: which piece failed and what that means (`fleet`). It is hard because a worker may be gone at any moment (the
out-of-memory killer, a crash in a native library) and because this process may: a worker asks the kernel to be ended
with its parent (prctl(2), PR_SET_PDEATHSIG), for nobody would be left to stop it.
"""

import ctypes
import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import Final, Literal, TypeVar

import joblib
from joblib.externals.loky import get_reusable_executor
from threadpoolctl import threadpool_limits

from maximus_assets.contracts.errors import MaximusError, Permanent, Retryable

RAY_ADDRESS: Final = "RAY_ADDRESS"
"""The variable Ray itself reads: address of a cluster's head, or `auto`."""

SMALL_FLEET: Final = 8
"""Below this many pieces of work, starting workers (seconds each, for the libraries) costs more than it saves."""

_KNOCK_SECONDS: Final = 5.0
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h

Place = Literal["here", "processes", "ray"]
T = TypeVar("T")
R = TypeVar("R")


class BackendMissingError(Permanent):
    """A backend was asked for that is not installed; names what to install."""


class BackendUnreachableError(Retryable):
    """The cluster does not answer, or no worker can be started."""


class _OutOfTimeError(BaseException):
    """Time is up; no `except Exception` of a library may hold it."""


@dataclass(frozen=True)
class Crew:
    """Who does the work.

    Attributes:
        place: In this process (`here`), in processes beside it, or on Ray.
        width: How many at once, >= 1.
        seconds: How long one piece of work may take; infinite for no limit. It is kept to the second by work that
            returns to Python now and then; a worker that does not is ended `grace_seconds` later. `here`, outside the
            main thread, there is no limit: nothing could end it.
        grace_seconds: How long work that ran out of time has to notice, > 0.
    """

    place: Place
    width: int
    seconds: float = float("inf")
    grace_seconds: float = 5.0

    def narrower(self) -> "Crew":
        """Half as many at once, but two: joblib runs a single one inside this process, where a crash ends all."""
        return replace(self, width=max(2, self.width // 2))


def crew_for(count: int, seconds: float = float("inf")) -> Crew:
    """The crew for `count` pieces of work: Ray where `RAY_ADDRESS` is set, else processes; few are done here.

    Processes are as many as the cores this process may use (affinity, cgroup quota, `LOKY_MAX_CPU_COUNT`), at least two.

    Args:
        count: How many pieces.
        seconds: Limit of each.
    """
    if count < SMALL_FLEET:
        return Crew("here", 1, seconds)
    if os.environ.get(RAY_ADDRESS):
        return Crew("ray", 1, seconds)  # as wide as the cluster, known once connected
    return Crew("processes", max(2, min(count, joblib.cpu_count())), seconds)


@contextmanager
def at_work(crew: Crew) -> Iterator[Crew]:
    """Connect to the cluster if the crew is on one, and leave no worker behind at the end.

    Args:
        crew: Who.

    Yields:
        The crew with its width known.

    Raises:
        BackendMissingError: It is on Ray, which is not installed.
        BackendUnreachableError: The cluster does not answer.
    """
    if crew.place == "here":
        with threadpool_limits(limits=1):
            yield crew
    elif crew.place == "processes":
        try:
            yield crew
        finally:
            get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)
    else:
        with _connected() as cores:
            yield replace(crew, width=cores)


def stream(
    crew: Crew, work: Callable[[T], R], items: Iterable[tuple[str, T]]
) -> Iterator[tuple[str, R | None, str]]:
    """Do all of it, and hand out each outcome as it comes, in any order.

    Items are taken when a worker is nearly free, so that few are in memory at once.

    Args:
        crew: Who, as `at_work` yields it.
        work: What to do with an item; pickled by reference, so a function of a module.
        items: Name and item.

    Yields:
        Name, what `work` returned (None where it failed), and why it failed (empty where it did not).

    Raises:
        Exception: A worker is gone; what was under way is lost.
    """
    if crew.place == "here":
        for name, item in items:
            yield _attempt(work, name, item, crew.seconds)
        return
    settings = (
        {"backend": "loky", "inner_max_num_threads": 1}
        if crew.place == "processes"
        else {"backend": _RAY_BACKEND}
    )
    with joblib.parallel_config(n_jobs=crew.width, **settings):
        # Nothing is worth sharing through files: an item is some 100 kB.
        parallel = joblib.Parallel(
            return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs + 2", max_nbytes=None
        )
        tasks = (joblib.delayed(_in_worker)(work, name, item, crew, os.getpid()) for name, item in items)
        yield from parallel(tasks)


def _in_worker(
    work: Callable[[T], R], name: str, item: T, crew: Crew, asker: int
) -> tuple[str, R | None, str]:
    """One piece of work in a worker: dies with its parent, uses one thread, ends itself when it hangs."""
    # joblib itself falls back to the asking process where no worker may be started, as below a daemonic process.
    is_worker = os.getpid() != asker
    if is_worker and crew.place == "processes":
        _die_with(asker)
    if is_worker and crew.seconds < float("inf"):
        # A thread of its own without Python's lock, so that native code that never returns is ended too.
        faulthandler.dump_traceback_later(crew.seconds + crew.grace_seconds, exit=True)
    try:
        with threadpool_limits(limits=1):
            return _attempt(work, name, item, crew.seconds)
    finally:
        if is_worker:
            faulthandler.cancel_dump_traceback_later()


def _attempt(work: Callable[[T], R], name: str, item: T, seconds: float) -> tuple[str, R | None, str]:
    try:
        with _limited(seconds):
            return name, work(item), ""
    except _OutOfTimeError:
        return name, None, f"it did not finish within {seconds:g} s"
    except MaximusError as error:
        return name, None, str(error)
    except Exception as error:  # noqa: BLE001 - whatever one piece raises is its own; the others go on
        return name, None, f"{type(error).__name__}: {error}"


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise `_OutOfTimeError` when time is up; signals reach the main thread alone."""
    if seconds == float("inf") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def out_of_time(_number: int, _frame: FrameType | None) -> None:
        raise _OutOfTimeError

    before = signal.signal(signal.SIGALRM, out_of_time)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def _die_with(parent: int) -> None:
    """Have the kernel end this worker with its parent; end it now when the parent is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _knock(address: str) -> None:
    """See whether anything listens where the cluster should be: Ray itself would try for five minutes.

    Raises:
        OSError: Nothing does.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():  # `auto` names no place
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_SECONDS).close()


_RAY_BACKEND: Final = "ray_as_it_comes"


@contextmanager
def _connected() -> Iterator[int]:
    """A connection to the Ray cluster; yields its number of cores."""
    try:
        import ray
        from ray.util.joblib import register_ray
        from ray.util.joblib.ray_backend import RayBackend
    except ImportError as error:
        raise BackendMissingError(
            f"{RAY_ADDRESS} is set, but Ray is not installed: install the extra `ray` (pip install 'maximus[ray]'), "
            f"or unset {RAY_ADDRESS} to use processes"
        ) from error

    class AsItComes(RayBackend):  # type: ignore[misc] # Ray ships no types for it
        """Ray's own backend; its pool tells each result when it comes, which joblib only has to be told."""

        supports_return_generator = True

    register_ray()
    joblib.register_parallel_backend(_RAY_BACKEND, AsItComes)
    address, is_ours = os.environ[RAY_ADDRESS], not ray.is_initialized()
    try:
        if is_ours:
            _knock(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        cores = int(ray.cluster_resources().get("CPU", 0))
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise BackendUnreachableError(
            f"no Ray cluster answers at {address} ({RAY_ADDRESS}): {error}"
        ) from error
    try:
        if not cores:
            raise BackendUnreachableError(f"the Ray cluster at {address} has no processor")
        yield cores
    finally:
        if is_ours:
            ray.shutdown()
