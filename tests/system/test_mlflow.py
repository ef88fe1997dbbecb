"""The registry as it is in the product: an MLflow server, PostgreSQL under it, artifacts handed through it."""

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

import pytest

from maximus_assets.contracts.clock import SystemClock
from maximus_assets.contracts.errors import Retryable
from maximus_assets.contracts.naming import CANDIDATE, CHAMPION, FORECASTER
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
