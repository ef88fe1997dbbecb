"""A small typed client of the model registry.

What belongs here: reading versions, aliases and artifacts, writing runs, versions and tags. What does not: what is in a
version (`packaging`) and which version has which alias (`promotion`).

MLflow's fluent functions keep the tracking address and the running experiment in globals of the process; here the
address is an argument and no global is read or set, so that two registries can be used side by side. Its HTTP client
tries a dead server for minutes: `check_reachable` asks once, quickly, before work is spent on it.
"""

import urllib.error
import urllib.request
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import mlflow.artifacts
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from maximus_assets.contracts.errors import Permanent, Retryable

with warnings.catch_warnings():
    # MLflow warns about type hints of its own when this is imported; a user can do nothing about it.
    warnings.filterwarnings("ignore", message=".*Any type hint is inferred as AnyType", category=UserWarning)
    from mlflow.pyfunc import PyFuncModel, load_model

REACH_SECONDS: Final = 3.0
"""How long a registry may take to answer that it is there."""

_ABSENT: Final = "RESOURCE_DOES_NOT_EXIST"
_CARD_BELOW: Final = "\n\n---\n\n"
DESCRIPTION_LIMIT: Final = 4900
"""Longest description of a version: the column of MLflow's own schema holds 5,000 characters."""


class VersionNotFoundError(Permanent):
    """The registry holds no such model or version."""


class RegistryUnreachableError(Retryable):
    """The registry does not answer, or answers that it cannot just now."""


class RegistryRefusedError(Permanent):
    """The registry understood the request and refused it."""


@dataclass(frozen=True)
class Version:
    """One registered version of a model.

    Attributes:
        name: The registered model.
        number: Its version, counted from 1.
        run_id: The MLflow run whose artifacts hold it.
        source: Address of the model's folder.
        created_at: When it was registered.
        tags: The evidence that rides on it (`contracts.naming`).
    """

    name: str
    number: int
    run_id: str
    source: str
    created_at: datetime
    tags: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name} version {self.number}"


@dataclass(frozen=True)
class Record:
    """What is written beside a model when it is registered.

    Attributes:
        experiment: Name of the MLflow experiment the run is filed under.
        run_name: Name of the run.
        params: What was chosen.
        metrics: What was measured; finite numbers.
        tags: Put on the version and on the run.
        description: Shown on the version's page, Markdown; cut at 4,900 characters.
    """

    experiment: str
    run_name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    description: str


@contextmanager
def registry_errors(doing: str) -> Iterator[None]:
    """Raise what went wrong as an error that says whether to try again.

    Args:
        doing: What was being done, for the message ("reading alias champion of maximus-forecaster").

    Raises:
        VersionNotFoundError: There is no such thing.
        RegistryUnreachableError: Connection refused, lost or timed out; a 5xx or 429 answer.
        RegistryRefusedError: Any other answer, and a disk that cannot be written.
    """
    try:
        yield
    except MlflowException as error:
        # MLflow reports a lost connection as INTERNAL_ERROR, whose status is 500 like a server's own failure.
        status = int(error.get_http_status_code())  # type: ignore[no-untyped-call]
        if error.error_code == _ABSENT:
            raise VersionNotFoundError(f"{doing}: {error.message}") from error
        if status >= 500 or status == 429:
            raise RegistryUnreachableError(f"{doing}: {error.message}") from error
        raise RegistryRefusedError(f"{doing}: {error.message}") from error
    except (ConnectionError, TimeoutError, urllib.error.URLError) as error:
        raise RegistryUnreachableError(f"{doing}: {error}") from error
    except OSError as error:
        raise RegistryRefusedError(f"{doing}: {error}") from error


class Registry:
    """The model registry at one address.

    Args:
        tracking_uri: `http://...`, or any address MLflow accepts.
    """

    def __init__(self, tracking_uri: str) -> None:
        self.tracking_uri = tracking_uri
        with registry_errors(f"opening the registry at {tracking_uri}"):
            self.client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)

    def check_reachable(self, timeout_seconds: float = REACH_SECONDS) -> None:
        """Ask a registry behind HTTP whether it is there; one that is not behind HTTP is there when it opens.

        Raises:
            RegistryUnreachableError: It does not answer within `timeout_seconds`, or not with success.
        """
        if not self.tracking_uri.startswith(("http://", "https://")):
            return
        address = self.tracking_uri.rstrip("/") + "/health"
        with (
            registry_errors(f"asking the registry at {self.tracking_uri} whether it is there"),
            urllib.request.urlopen(address, timeout=timeout_seconds),  # noqa: S310 - the scheme was checked above
        ):
            return

    def named(self, name: str, alias: str) -> Version | None:
        """The version of `name` that `alias` stands for, or None when nothing has that alias or that name."""
        number = self.aliases(name).get(alias)
        return None if number is None else self.version(name, number)

    def aliases(self, name: str) -> dict[str, int]:
        """Alias -> version number; empty when the model does not exist."""
        try:
            with registry_errors(f"reading the aliases of {name}"):
                model = self.client.get_registered_model(name)
        except VersionNotFoundError:
            return {}
        return {alias: int(number) for alias, number in model.aliases.items()}

    def version(self, name: str, number: int) -> Version:
        """One version.

        Raises:
            VersionNotFoundError: There is none of that number.
        """
        with registry_errors(f"reading {name} version {number}"):
            found = self.client.get_model_version(name, str(number))
        return Version(
            name=name,
            number=int(found.version),
            run_id=found.run_id or "",
            source=found.source or "",
            created_at=datetime.fromtimestamp(found.creation_timestamp / 1000, tz=UTC),
            tags=dict(found.tags),
        )

    def tag(self, version: Version, tags: Mapping[str, str]) -> Version:
        """Put `tags` on a version and return it as it now is; a tag it has is replaced."""
        with registry_errors(f"tagging {version}"):
            for key, value in tags.items():
                self.client.set_model_version_tag(version.name, str(version.number), key, value)
        return self.version(version.name, version.number)

    def untag(self, version: Version, names: Collection[str]) -> Version:
        """Take tags off a version and return it as it now is; one it has not is passed over."""
        with registry_errors(f"taking tags off {version}"):
            for name in sorted(set(names) & version.tags.keys()):
                self.client.delete_model_version_tag(version.name, str(version.number), name)
        return self.version(version.name, version.number)

    def versions(self, name: str, limit: int) -> list[Version]:
        """The newest versions of `name`, at most `limit`, the newest first; empty when the model does not exist."""
        with registry_errors(f"listing the versions of {name}"):
            found = self.client.search_model_versions(
                f"name='{name}'", max_results=limit, order_by=["version_number DESC"]
            )
        return [
            self.version(name, number) for number in sorted((int(it.version) for it in found), reverse=True)
        ]

    def describe(self, version: Version, live: str) -> None:
        """Put Markdown before the description a version was registered with, in place of what stood there before."""
        with registry_errors(f"describing {version}"):
            found = self.client.get_model_version(version.name, str(version.number))
            card = (found.description or "").rpartition(_CARD_BELOW)[2]
            text = f"{live}{_CARD_BELOW}{card}"
            if len(text) > DESCRIPTION_LIMIT:  # between two lines: a table cut in a row would not be one
                text = text[: text.rindex("\n", 0, DESCRIPTION_LIMIT)]
            if text != found.description:
                self.client.update_model_version(version.name, str(version.number), description=text)

    def register(self, name: str, model: Path, evidence: Path, record: Record) -> Version:
        """Write a run with its artifacts and register its model as the next version of `name`.

        Args:
            name: The registered model; made when it does not exist.
            model: Folder as written by `mlflow.pyfunc.save_model`; becomes the artifact folder `model`.
            evidence: Folder of what the model was judged on; becomes the artifact folder `evidence`.
            record: What is written beside them.

        Raises:
            RegistryUnreachableError: The registry went away; the run is left marked as failed where it still could be.
            RegistryRefusedError: The registry refused, or an artifact could not be written.
        """
        with registry_errors(f"registering {name}"):
            run = self.client.create_run(
                self._experiment(record.experiment), run_name=record.run_name, tags=dict(record.tags)
            )
            run_id = run.info.run_id
            status = "FAILED"
            try:
                self._log(run_id, record)
                self.client.log_artifacts(run_id, str(model), "model")
                self.client.log_artifacts(run_id, str(evidence), "evidence")
                self._make_model(name)
                made = self.client.create_model_version(
                    name,
                    source=f"{run.info.artifact_uri}/model",
                    run_id=run_id,
                    tags=dict(record.tags),
                    description=record.description[:DESCRIPTION_LIMIT],
                )
                status = "FINISHED"
            finally:
                self.client.set_terminated(run_id, status=status)
        return self.version(name, int(made.version))

    def download(self, version: Version, artifact: str, folder: Path) -> Path:
        """Copy an artifact of the version's run (`model`, `evidence`, a file in them) into `folder`; its new path."""
        with registry_errors(f"downloading {artifact} of {version}"):
            got = self.client.download_artifacts(version.run_id, artifact, str(folder))
        return Path(got)

    def load(self, version: Version, folder: Path) -> PyFuncModel:
        """Download the version's model into `folder` and load it as whoever serves it would."""
        with registry_errors(f"loading {version}"):
            path = mlflow.artifacts.download_artifacts(
                artifact_uri=version.source, dst_path=str(folder), tracking_uri=self.tracking_uri
            )
            return load_model(path)

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(self.client.create_experiment(name))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            # Somebody else made it between the two calls.
            return self._experiment(name)

    def _make_model(self, name: str) -> None:
        try:
            self.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _log(self, run_id: str, record: Record) -> None:
        at_ms = int(datetime.now(UTC).timestamp() * 1000)
        metrics: list[Any] = [Metric(key, value, at_ms, 0) for key, value in record.metrics.items()]
        params: list[Any] = [Param(key, value) for key, value in record.params.items()]
        # A batch holds at most 100 params and 1,000 metrics.
        for start in range(0, max(len(params), 1), 100):
            self.client.log_batch(run_id, params=params[start : start + 100])
        for start in range(0, max(len(metrics), 1), 900):
            self.client.log_batch(run_id, metrics=metrics[start : start + 900])
