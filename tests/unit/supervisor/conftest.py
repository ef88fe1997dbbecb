"""Small real processes to supervise."""

import asyncio
import os
import random
import signal
import sys
import time

import pytest

from serving.supervisor.backoff import Backoff
from serving.supervisor.child import Child, ChildSpec


async def until(condition, seconds=10.0):
    """Poll a condition; fail when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)


@pytest.fixture
def wait_until():
    return until


@pytest.fixture
def make_spec(tmp_path):
    """Makes the spec of a child that runs a piece of Python, ready once it has made the file `ready`."""

    def make(code, **more):
        ready = tmp_path / "ready"

        async def probe():
            return ready.exists()

        return ChildSpec(
            **{
                "name": "small",
                "command": (sys.executable, "-I", "-S", "-c", code),
                "probe": probe,
                "environment": {"PATH": os.environ["PATH"]},
                "folder": tmp_path,
                "log": tmp_path / "small.log",
                "probe_seconds": 0.05,
                "stop_seconds": 2.0,
                "start_seconds": 5.0,
                **more,
            }
        )

    return make


@pytest.fixture
async def keep():
    """Makes children and stops what is left of them when the test ends."""
    children = []

    def make(spec, on_change=lambda: None):
        backoff = Backoff(random.Random(1), initial_seconds=0.02, maximum_seconds=0.05)
        children.append(Child(spec, backoff, on_change))
        return children[-1]

    yield make
    for child in children:
        await child.stop()


@pytest.fixture
def lone_process():
    """Starts a session of its own with a piece of Python in it; killed when the test ends."""
    import subprocess

    started = []

    def start(code):
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", code],
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
