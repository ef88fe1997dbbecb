"""The registry client says what went wrong and whether to try again."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    PERMISSION_DENIED,
    REQUEST_LIMIT_EXCEEDED,
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
)

from maximus_assets.contracts.errors import Permanent, Retryable
from maximus_assets.contracts.naming import FORECASTER
from maximus_assets.registry.tracking import (
    Record,
    Registry,
    RegistryRefusedError,
    RegistryUnreachableError,
    Version,
    VersionNotFoundError,
    registry_errors,
)

RECORD = Record(
    experiment="forecasting",
    run_name="r",
    params={"a": "b"},
    metrics={"m": 1.0},
    tags={"t": "v"},
    description="d",
)


def test_a_registry_that_does_not_answer_is_told_within_seconds_as_worth_a_retry() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(RegistryUnreachableError, match=f"127.0.0.1:{port}"):
            Registry(f"http://127.0.0.1:{port}").check_reachable()

    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (TEMPORARILY_UNAVAILABLE, RegistryUnreachableError),
        (REQUEST_LIMIT_EXCEEDED, RegistryUnreachableError),
        (BAD_REQUEST, RegistryRefusedError),
        (PERMISSION_DENIED, RegistryRefusedError),
        (RESOURCE_DOES_NOT_EXIST, VersionNotFoundError),
    ],
)
def test_an_answer_of_mlflow_becomes_an_error_that_says_whether_to_retry(
    code: int, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match="reading things: because"), registry_errors("reading things"):
        raise MlflowException("because", error_code=code)


def test_a_lost_connection_is_worth_a_retry_and_a_full_disk_is_not() -> None:
    with pytest.raises(Retryable), registry_errors("writing"):
        raise ConnectionResetError("reset by peer")
    with pytest.raises(Permanent, match="No space left"), registry_errors("writing"):
        raise OSError(28, "No space left on device")


def test_a_model_nobody_registered_has_no_aliases_and_no_version(registry: Registry) -> None:
    assert registry.aliases(FORECASTER) == {}
    assert registry.named(FORECASTER, "champion") is None
    with pytest.raises(VersionNotFoundError):
        registry.version(FORECASTER, 1)


def test_versions_are_numbered_and_carry_their_tags(
    registry: Registry, make_version: Callable[..., Version]
) -> None:
    first, second = make_version(), make_version(prediction_is_fast="failed")

    assert (first.number, second.number) == (1, 2)
    assert registry.version(FORECASTER, 2).tags["gate.prediction_is_fast"] == "failed"


def test_artifacts_come_back_as_they_went(registry: Registry, tmp_path: Path) -> None:
    model, evidence = tmp_path / "m", tmp_path / "e"
    for folder in (model, evidence):
        folder.mkdir()
        (folder / "file").write_text(folder.name, encoding="utf-8")

    version = registry.register(FORECASTER, model, evidence, RECORD)

    (tmp_path / "got").mkdir()
    got = registry.download(version, "evidence", tmp_path / "got")
    assert (got / "file").read_text(encoding="utf-8") == "e"
    run = registry.client.get_run(version.run_id)
    assert (run.info.status, run.data.metrics, run.data.params) == ("FINISHED", {"m": 1.0}, {"a": "b"})


def test_a_registration_that_fails_leaves_no_version_and_a_failed_run(
    registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "artifacts").write_text("a file where a folder must be", encoding="utf-8")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "file").write_text("", encoding="utf-8")

    with pytest.raises(RegistryRefusedError, match="artifacts"):
        registry.register(FORECASTER, tmp_path / "m", tmp_path / "m", RECORD)

    assert registry.client.search_model_versions(f"name = '{FORECASTER}'") == []
    experiment = registry.client.get_experiment_by_name("forecasting")
    assert experiment is not None
    (run,) = registry.client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"
