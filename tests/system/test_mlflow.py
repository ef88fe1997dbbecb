"""The registry as it is in the product: an MLflow server, PostgreSQL under it, artifacts handed through it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from maximus_assets.contracts.clock import SystemClock
from maximus_assets.contracts.errors import Retryable
from maximus_assets.contracts.naming import CANDIDATE, CHAMPION, FORECASTER, NIGHTLY_RECIPE, challenger
from maximus_assets.contracts.target import DEFAULT_TARGETS, TARGETS
from maximus_assets.registry.gates import judge
from maximus_assets.registry.packaging import log_forecaster
from maximus_assets.registry.promotion import REQUIRED_GATES, promote
from maximus_assets.registry.tracking import Registry

START_SECONDS = 120.0


class MlflowServer:
    """One server process in a session of its own, on a port of its own."""

    def __init__(self, store: str, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._command = [
            str(Path(sys.executable).with_name("mlflow")),
            "server",
            *("--backend-store-uri", store),
            *("--artifacts-destination", (folder / "mlruns").as_uri()),
            *("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {
            **os.environ,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        with (self._folder / "mlflow.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self._folder,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            log_text = (self._folder / "mlflow.log").read_text(encoding="utf-8", errors="replace")
            assert self._process.poll() is None, log_text
            assert time.monotonic() < deadline, log_text
            self._process_wait()

    def stop(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(20)

    def _process_wait(self) -> None:
        """Give the server a moment, or notice at once that it ended."""
        assert self._process is not None
        try:
            self._process.wait(0.25)
        except subprocess.TimeoutExpired:
            return

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False


@pytest.fixture(scope="module")
def server(postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    started = MlflowServer(postgres.urls.mlflow, tmp_path_factory.mktemp("mlflow"))
    started.start()
    try:
        yield started
    finally:
        started.stop()


def test_a_version_goes_through_the_server_and_comes_back_the_same(
    server, learnt_shop, tmp_path: Path
) -> None:
    registry = Registry(server.uri)
    registry.check_reachable()

    version = log_forecaster(registry, learnt_shop.learnt, learnt_shop.grid, learnt_shop.origin)
    verdicts = {verdict.name: verdict for verdict in judge(registry, version)}

    assert version.source.startswith("mlflow-artifacts:")
    assert verdicts["packaged_model_reproduces_training"].passed
    assert verdicts["prediction_is_fast"].passed
    assert registry.aliases(FORECASTER)[CANDIDATE] == version.number
    card = registry.download(version, "model/model_card.md", tmp_path).read_text(encoding="utf-8")
    assert "demo-shop/request_rate_per_second" in card


def test_what_was_promoted_outlives_a_kill_of_the_server(server, learnt_shop, tmp_path: Path) -> None:
    registry = Registry(server.uri)
    version = log_forecaster(registry, learnt_shop.learnt, learnt_shop.grid, learnt_shop.origin)
    registry.tag(version, {f"gate.{gate}": "passed" for gate in REQUIRED_GATES})
    promote(registry, version, clock=SystemClock())

    server.stop()
    began = time.monotonic()
    with pytest.raises(Retryable, match=str(server.port)):
        Registry(server.uri).check_reachable()
    assert time.monotonic() - began < 5

    server.start()
    champion = Registry(server.uri).named(FORECASTER, CHAMPION)
    assert champion == registry.version(FORECASTER, version.number)
    assert Registry(server.uri).load(champion, tmp_path).metadata.signature is not None


def test_the_first_run_fills_four_weeks_and_ends_with_a_verdict_on_real_servers(
    server, postgres, tmp_path: Path
) -> None:
    """The whole learning half, as `maximus up` calls it: Dagster on PostgreSQL, live metrics read from it too."""
    home = tmp_path / "dagster"
    home.mkdir()
    storage = {
        "storage": {"postgres": {"postgres_url": {"env": "DAGSTER_POSTGRES_URL"}}},
        "telemetry": {"enabled": False},
    }
    (home / "dagster.yaml").write_text(json.dumps(storage), encoding="utf-8")
    environment = {
        **os.environ,
        "MAXIMUS_DATA_DIR": str(tmp_path / "data"),
        "MAXIMUS_DATABASE_READ_URL": postgres.urls.read,
        "MAXIMUS_TARGETS": TARGETS.dump_json(DEFAULT_TARGETS).decode(),
        "MLFLOW_TRACKING_URI": server.uri,
        "DAGSTER_HOME": str(home),
        "DAGSTER_POSTGRES_URL": postgres.urls.dagster,
        "OMP_NUM_THREADS": "1",
    }
    before = Registry(server.uri).aliases(FORECASTER).get(CANDIDATE, 0)

    done = subprocess.run(
        [sys.executable, "-m", "maximus_assets.defs.first_run", "--force"],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        cwd=tmp_path,
        check=False,
    )

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    stages = [line["stage"] for line in lines]
    registry = Registry(server.uri)
    candidate = registry.named(FORECASTER, CANDIDATE)
    assert candidate is not None, done.stderr
    assert candidate.number > before, done.stderr
    assert stages[:5] == ["look", "start", "telemetry", "feature_table", "forecaster_candidate"]
    judged = {gate: candidate.tags.get(f"gate.{gate}") for gate in REQUIRED_GATES}
    assert set(judged.values()) <= {"passed", "failed"}
    # Whatever the judgement: exit code, output and alias agree with it.
    has_passed = set(judged.values()) == {"passed"}
    assert (done.returncode == 0) == has_passed, done.stderr
    # There is a champion from before: what passed is let in beside it, not in its place.
    held = {alias for alias, number in registry.aliases(FORECASTER).items() if number == candidate.number}
    assert bool(held & {CHAMPION, challenger(NIGHTLY_RECIPE)}) == has_passed
    assert (stages[-1] == "done") == has_passed
    table = pl.read_parquet(tmp_path / "data" / "frames" / "feature_table.parquet")
    assert table.filter(pl.col("sensor") == "request_rate_per_second").height == 28 * 288
