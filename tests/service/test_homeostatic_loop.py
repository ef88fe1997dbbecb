"""The loop without a server around it: one call that starts, decides, and stops when it is interrupted."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from maximus_assets.contracts.errors import BadInputError
from serving.wiring import run_homeostatic_control_loop

ROOT = Path(__file__).parents[2]
CALL = "import sys; from serving.wiring import run_homeostatic_control_loop as run; run(interval=1, db_url=sys.argv[1])"


def test_it_refuses_to_act(monkeypatch):
    monkeypatch.setattr("serving.wiring.build_loop", lambda *_, **__: pytest.fail("a loop was built"))
    with pytest.raises(BadInputError, match="there are no actuators"):
        run_homeostatic_control_loop(dry_run=False)


@pytest.mark.slow
def test_it_starts_decides_and_gives_its_lease_back_when_interrupted(database, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAXIMUS_")} | {
        "MAXIMUS_DATA_DIR": str(tmp_path),
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "OTEL_SDK_DISABLED": "true",
        "PYTHONPATH": str(ROOT),
    }
    log = tmp_path / "loop.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", CALL, database.app],
            cwd=tmp_path,
            env=environment,
            stdout=stream,
            stderr=stream,
        )
    try:
        with psycopg.connect(database.read, autocommit=True) as connection:

            def ask(query):
                return connection.execute(query).fetchone()

            deadline = time.monotonic() + 60
            while ask("SELECT count(DISTINCT target) FROM knowledge.decisions")[0] < 2:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            assert ask("SELECT holder <> '' FROM knowledge.lease") == (True,)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0, log.read_text()
            assert ask("SELECT holder, epoch FROM knowledge.lease") == ("", 1)
            assert ask("SELECT count(*) FROM knowledge.decisions WHERE NOT is_dry_run") == (0,)
    finally:
        process.kill()
        process.wait(10)
