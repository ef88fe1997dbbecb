"""The loop as BentoML serves it: ready when it has looked, gone when its parent is, lease given back."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import psycopg
import pytest

ROOT = Path(__file__).parents[2]


def until(is_true, what, seconds=60.0):
    """Wait for a process outside our control; there is no event to wait for."""
    deadline = time.monotonic() + seconds
    while not (found := is_true()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.1)
    return found


class Served:
    """One `bentoml serve` of the loop."""

    def __init__(self, urls, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = folder / "loop.log"
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("MAXIMUS_")
        } | {
            "MAXIMUS_DATA_DIR": str(folder),
            "MAXIMUS_DATABASE_URL": urls.app,
            "MAXIMUS_DATABASE_READ_URL": urls.read,
            "MAXIMUS_LOOP_PERIOD_SECONDS": "1",
            "MAXIMUS_LOOP_PORT": str(self.port),
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
            "OTEL_SDK_DISABLED": "true",
            "BENTOML_HOME": str(folder / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "true",
        }
        bentoml = Path(sys.executable).parent / "bentoml"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                (
                    str(bentoml),
                    "serve",
                    "serving.service:ControlLoop",
                    "--host",
                    "127.0.0.1",
                    "--port",
                    str(self.port),
                    "--working-dir",
                    str(ROOT),
                ),
                env=environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, ""
        except OSError:
            return 0, ""

    def is_ready(self):
        assert self.process.poll() is None, self.log.read_text()
        return self.get("/readyz")[0] == 200

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


@pytest.fixture
def served(database, tmp_path):
    loop = Served(database, tmp_path)
    yield loop
    loop.stop()


def ask(database, query):
    with psycopg.connect(database.read) as connection:
        return connection.execute(query).fetchone()


@pytest.mark.slow
def test_the_loop_is_served_decides_and_gives_its_lease_back(served, database):
    until(served.is_ready, "the loop to be ready")
    until(
        lambda: ask(database, "SELECT count(DISTINCT target) FROM knowledge.decisions")[0] == 2, "decisions"
    )
    state, epoch = ask(database, "SELECT state, epoch FROM knowledge.heartbeat")
    assert (state, epoch) == ("leading", 1)
    status, metrics = served.get("/metrics")
    assert status == 200
    assert "maximus_loop_cycle_seconds_count" in metrics
    assert "maximus_loop_decisions_total" in metrics
    served.process.send_signal(signal.SIGTERM)
    served.process.wait(30)
    assert ask(database, "SELECT holder FROM knowledge.lease") == ("",)
    assert ask(database, "SELECT count(*) FROM knowledge.decisions WHERE NOT is_dry_run") == (0,)


@pytest.mark.slow
def test_no_loop_goes_on_turning_when_its_parent_was_killed(served, database):
    until(served.is_ready, "the loop to be ready")
    (pid,) = until(lambda: ask(database, "SELECT pid FROM knowledge.heartbeat"), "a heartbeat")
    worker = psutil.Process(pid)
    assert pid != served.process.pid
    served.process.kill()
    served.process.wait(10)
    worker.wait(30)
    assert ask(database, "SELECT holder FROM knowledge.lease") == ("",)
