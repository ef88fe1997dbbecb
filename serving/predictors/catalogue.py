"""Which model is champion: follows the registry's alias and swaps the loaded version under the running loop.

This is the only module of `serving` that imports mlflow, and it does so in a thread, when it first asks the registry:
the import alone takes seconds. What makes it hard is that the registry may be away, slow or wrong at any moment. The rule is:
what is loaded stays until something better has proved itself. A version is loaded aside, must carry the right tags, and
must answer the present windows before one assignment makes it the champion.
"""

import asyncio
import os
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from maximus_assets.contracts import naming
from maximus_assets.contracts.errors import ContractMismatchError, MaximusError, Permanent, Retryable
from serving.predictors.proving import (
    Loaded,
    VersionRefusedError,
    require_answers,
    require_tags,
    trained_at,
)
from serving.predictors.shelf import Named, Shelf

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

_log = structlog.get_logger("maximus.predictors")

_REACH_SECONDS: Final = 2.0

_LOOKS_REFUSED: Final = 20
"""A refused version is tried again after so many looks: a full disk can look like a bad version."""


class RegistryAwayError(Retryable):
    """The registry does not answer now."""


class Catalogue:
    """The champion forecaster, kept up to date.

    Args:
        tracking_uri: Address of the registry.
        model: Name of the registered model.
        shelf: Where the champion is kept for a restart without a registry; nowhere unless given.
    """

    def __init__(
        self, tracking_uri: str, *, model: str = naming.FORECASTER, shelf: Shelf | None = None
    ) -> None:
        self._uri = tracking_uri
        self.model = model
        self._shelf = shelf
        self._champion: Loaded | None = None
        self._refused: dict[str, tuple[str, int]] = {}
        self._looks = 0
        self._polling = asyncio.Lock()
        self.status = "the registry has not been asked yet"
        """How the last look at the registry went, in words."""
        self.notice = ""
        """Why the champion is not the version one would expect, as the registry says it; mostly empty."""
        self.refusal = ""
        """Why the version that has the alias is not used; empty when it is, or none has it."""
        self.challengers: dict[str, str] = {}
        """Alias -> version of those in shadow, as of the last look."""
        self.swaps = 0
        """How often the champion changed since the start, the first load included."""

    @property
    def caveat(self) -> str:
        """What whoever reads a forecast, or finds none, should know of the champion; mostly empty."""
        return "; ".join(filter(None, (self.notice, self.refusal)))

    @property
    def champion(self) -> Loaded | None:
        """The version in use, None while there is none."""
        return self._champion

    async def refresh(self, probe: "pd.DataFrame | None" = None) -> bool:
        """Look at the alias and follow it; never raises for the registry's sake.

        Args:
            probe: Live windows (`FORECAST_INPUT`) that a new version has to answer before it is used.

        Returns:
            Whether the champion changed.
        """
        async with self._polling:
            before = self._champion
            try:
                after, self.status = await asyncio.to_thread(self._look_or_restore, before, probe)
                self.refusal = ""
            except VersionRefusedError as error:
                self.status = self.refusal = str(error)
                return False
            except MaximusError as error:
                self.status = str(error)
                return False
            except Exception as error:  # noqa: BLE001 - a registry client raises anything; what is loaded stays
                self.status = f"the registry's answer could not be used: {type(error).__name__}: {error}"
                return False
            self._champion = after
            is_changed = (before and before.version) != (after and after.version)
            self.swaps += is_changed
            return is_changed

    async def load_challenger(self, version: str, probe: "pd.DataFrame | None" = None) -> Loaded:
        """Load a version that is not champion; nothing of the champion is touched.

        Args:
            version: Its number.
            probe: As of `refresh`.

        Raises:
            RegistryAwayError: The registry does not answer.
            VersionRefusedError: It cannot be used; says why.
        """
        return await asyncio.to_thread(self._load_challenger, version, probe)

    def _load_challenger(self, version: str, probe: "pd.DataFrame | None") -> Loaded:
        _require_reachable(self._uri)
        from mlflow.exceptions import MlflowException

        try:
            named = _named(_client(self._uri).get_model_version(self.model, version))
            require_tags(named.tags)
            return self._load(named, probe, is_kept=False)
        except MlflowException as error:
            msg = f"the registry at {self._uri} does not answer: {error.message}"
            raise RegistryAwayError(msg) from error
        except ContractMismatchError as error:
            raise VersionRefusedError(str(error)) from error

    def _look_or_restore(
        self, before: Loaded | None, probe: "pd.DataFrame | None"
    ) -> tuple[Loaded | None, str]:
        """The champion and how we know, from the shelf if the registry is away and nothing is loaded."""
        try:
            after = self._look(before, probe)
        except RegistryAwayError as error:
            restored = self._restore(probe) if before is None else None
            if restored is None:
                raise
            return restored, f"version {restored.version} was champion when last seen; {error}"
        said = "there is no champion" if after is None else f"version {after.version} is champion"
        return after, f"{said}; {self.notice}" if self.notice else said

    def _look(self, before: Loaded | None, probe: "pd.DataFrame | None") -> Loaded | None:
        named = self._named()
        if named is None:
            if self._shelf is not None:
                self._shelf.clear()  # withdrawn is withdrawn, after a restart too
            return None
        if before is not None and before.version == named.version:
            return before
        self._looks += 1
        reason, until = self._refused.get(named.version, ("", 0))
        if self._looks < until:
            raise VersionRefusedError(reason)
        try:
            require_tags(named.tags)
            return self._load(named, probe)
        except Permanent as error:
            reason = f"version {named.version} is champion but not used: {error}"
            self._refused[named.version] = (reason, self._looks + _LOOKS_REFUSED)
            raise VersionRefusedError(reason) from error

    def _named(self) -> Named | None:
        """The version that has the alias, None if none has."""
        _require_reachable(self._uri)
        from mlflow.exceptions import MlflowException

        client = _client(self._uri)
        try:
            model = client.get_registered_model(self.model)
            self.notice = str((model.tags or {}).get(naming.TAG_NOTICE, ""))
            self.challengers = {
                alias: str(number)
                for alias, number in sorted(model.aliases.items())
                if alias.startswith(naming.CHALLENGER_PREFIX)
            }
            number = model.aliases.get(naming.CHAMPION)
            if number is None:
                return None
            return _named(client.get_model_version(self.model, str(number)))
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            msg = f"the registry at {self._uri} does not answer: {error.message}"
            raise RegistryAwayError(msg) from error

    def _load(self, named: Named, probe: "pd.DataFrame | None", *, is_kept: bool = True) -> Loaded:
        import mlflow.artifacts

        with tempfile.TemporaryDirectory(prefix="maximus-champion-") as folder:
            # The model reads its state while it loads, so its files need not outlive this block.
            path = mlflow.artifacts.download_artifacts(
                artifact_uri=named.source, dst_path=folder, tracking_uri=self._uri
            )
            loaded = _proven(named.version, Path(path), probe)
            if is_kept and self._shelf is not None:
                try:
                    self._shelf.keep(named, Path(path))
                except OSError as error:
                    _log.warning("champion_not_kept", version=named.version, reason=str(error))
            return loaded._replace(trained_at=trained_at(named.tags))

    def _restore(self, probe: "pd.DataFrame | None") -> Loaded | None:
        """The version on the shelf, None when there is none or it cannot be used."""
        kept = self._shelf.last() if self._shelf is not None else None
        if kept is None:
            return None
        try:
            require_tags(kept.named.tags)
            restored = _proven(kept.named.version, kept.files, probe)
            return restored._replace(trained_at=trained_at(kept.named.tags))
        except Permanent as error:
            _log.warning("champion_not_restored", version=kept.named.version, reason=str(error))
            return None


def _proven(version: str, files: Path, probe: "pd.DataFrame | None") -> Loaded:
    """Load a version from its files and let it answer.

    Raises:
        VersionRefusedError: It cannot be loaded, or fails to answer.
    """
    import mlflow.pyfunc

    started = time.perf_counter()
    try:
        model = mlflow.pyfunc.load_model(str(files))
    except Exception as error:
        msg = f"it cannot be loaded: {type(error).__name__}: {error}"
        raise VersionRefusedError(msg) from error

    def predict(frame: "pd.DataFrame", horizon_steps: int) -> "pd.DataFrame":
        answer: pd.DataFrame = model.predict(frame, params={"horizon_steps": horizon_steps})
        return answer

    require_answers(predict, probe)
    return Loaded(version, predict, time.perf_counter() - started)


def _named(found: "ModelVersion") -> Named:
    return Named(version=str(found.version), source=str(found.source), tags=dict(found.tags))


def _client(uri: str) -> "MlflowClient":
    """MLflow's client, which must not try a dead server for minutes."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _require_reachable(uri: str) -> None:
    """Ask a registry behind HTTP whether it is there, once and quickly."""
    if not uri.startswith(("http://", "https://")):
        return
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_REACH_SECONDS):  # noqa: S310 - checked above
            return
    except (urllib.error.URLError, OSError) as error:
        msg = f"the registry at {uri} does not answer: {error}"
        raise RegistryAwayError(msg) from error
