"""The workers of a fleet against the machine: they end with whoever started them, and Ray's do the same work."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from maximus_assets.models.crew import BackendUnreachableError, Crew
from maximus_assets.models.fleet import each
from maximus_assets.models.forecasting.learn import learn
from serving.supervisor import processes

PARENT = """
import os, sys, time
from pathlib import Path
from maximus_assets.models.crew import Crew
from maximus_assets.models.fleet import each

def main(folder):
    def work(name):
        (folder / f"{os.getpid()}").touch()
        while True:  # at work, not waiting for any: nothing but the kernel can end it
            pass
    each(work, [str(n) for n in range(6)], str, crew=Crew("processes", 2))

if __name__ == "__main__":
    main(Path(sys.argv[1]))
"""


def series_of(count: int) -> pl.DataFrame:
    """Four-hourly series of nine days."""
    at, start = np.arange(6 * 9), datetime(2026, 3, 2, tzinfo=UTC)
    return pl.concat(
        pl.DataFrame(
            {
                "target": [f"t{index}"] * len(at),
                "sensor": ["demand_count"] * len(at),
                "observed_at": [start + timedelta(hours=4 * int(i)) for i in at],
                "value": 50 + 20 * np.sin(2 * np.pi * at / 6 + index),
            },
            schema_overrides={"observed_at": pl.Datetime("us", "UTC")},
        )
        for index in range(count)
    )


def until(condition, what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} within {seconds} s: it did not happen"
        time.sleep(0.05)


def test_no_worker_survives_a_parent_that_is_killed(tmp_path):
    script, marks = tmp_path / "parent.py", tmp_path / "workers"
    script.write_text(PARENT)
    marks.mkdir()
    parent = subprocess.Popen([sys.executable, str(script), str(marks)], start_new_session=True)
    family: set[processes.Identity] = set()
    try:
        until(lambda: len(list(marks.iterdir())) == 2, "two workers are at work")
        family = {entry.identity for entry in processes.everyone() if entry.session == parent.pid}
        assert {int(mark.name) for mark in marks.iterdir()} <= {member.pid for member in family}
        parent.kill()
        parent.wait()
        until(lambda: not any(map(processes.is_alive, family)), "every process of the session is gone", 20)
    finally:
        parent.kill()
        processes.kill(family)


@pytest.fixture
def ray_cluster(tmp_path_factory):
    """A Ray of one machine on loopback: two workers, no dashboard, a small object store."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'maximus[ray]'")
    # Its sockets lie in there, and the name of a socket has at most 107 bytes.
    folder = Path(f"/tmp/mxray{os.getpid()}")
    with socket.create_server(("127.0.0.2", 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--port", str(port),
        "--node-ip-address", "127.0.0.2", "--num-cpus", "2", "--include-dashboard=false",
        "--object-store-memory", "80000000", "--disable-usage-stats", "--temp-dir", str(folder),
    ]  # fmt: skip
    log = tmp_path_factory.mktemp("ray") / "log"
    with log.open("wb") as said:
        head = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
    try:
        until(lambda: "--block" in log.read_text() or head.poll() is not None, "Ray is up")
        assert head.poll() is None, log.read_text()
        yield f"127.0.0.2:{port}"
    finally:
        family = set(processes.family(processes.identify(head.pid)))
        head.send_signal(signal.SIGTERM)
        try:
            head.wait(15)
        finally:
            processes.kill(family)
            shutil.rmtree(folder, ignore_errors=True)


def test_ray_does_the_same_work_and_a_lost_worker_costs_one_series(ray_cluster, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", ray_cluster)

    def work(number):
        if number == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 6:
            raise ValueError("not this one")
        return number**2, os.getpid()

    told = []
    outcomes = each(
        work, [str(n) for n in range(10)], int, crew=Crew("ray", 1, seconds=60.0), on_done=told.append
    )
    assert [outcome.name for outcome in outcomes] == [str(n) for n in range(10)]
    values = {int(outcome.name): outcome.value for outcome in outcomes}
    assert {n: value and value[0] for n, value in values.items()} == {
        n: None if n in (5, 6) else n**2 for n in range(10)
    }
    assert os.getpid() not in {value[1] for value in values.values() if value}
    assert "its worker was lost" in outcomes[5].reason
    assert outcomes[6].reason == "ValueError: not this one"
    assert len(told) == 10
    frame = series_of(3)
    there, here = learn(frame, 14_400, crew=Crew("ray", 1)), learn(frame, 14_400, crew=Crew("here", 1))
    assert there.report.equals(here.report)
    assert (
        [state.target for state in there.states]
        == [state.target for state in here.states]
        == ["t0", "t1", "t2"]
    )
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.2:1")
    with pytest.raises(BackendUnreachableError, match=r"no Ray cluster answers at 127.0.0.2:1"):
        each(work, ["1"], int, crew=Crew("ray", 1))
