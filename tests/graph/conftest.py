"""The real graph over stores of the test's own: frames in a temporary folder, a registry beside them, no network."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from maximus_assets.contracts.target import DEFAULT_TARGETS, TARGETS
from maximus_assets.definitions import definitions
from maximus_assets.defs.frames import FramesStore
from maximus_assets.registry.tracking import Registry

SIMULATED = tuple(target for target in DEFAULT_TARGETS if target.source == "simulated")


@dataclass(frozen=True)
class House:
    """Stores, and the addresses the graph finds them by."""

    instance: dg.DagsterInstance
    registry: Registry
    store: FramesStore
    definitions: dg.Definitions

    def run(
        self, *assets: str, config: dict[str, object] | None = None, **tags: str
    ) -> dg.ExecuteInProcessResult:
        """Materialize assets in one run, as the daemon would; `config` is that of each asset."""
        return self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            asset_selection=[dg.AssetKey(asset) for asset in assets],
            instance=self.instance,
            tags=tags,
            raise_on_error=False,
            run_config={"ops": {asset: {"config": config} for asset in assets}} if config else None,
        )


@pytest.fixture(scope="session")
def loaded_definitions() -> dg.Definitions:
    return definitions()


@pytest.fixture
def house(
    registry_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded_definitions: dg.Definitions
) -> Iterator[House]:
    monkeypatch.setenv("MAXIMUS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MAXIMUS_TARGETS", TARGETS.dump_json(SIMULATED).decode())
    monkeypatch.setenv("MAXIMUS_DATABASE_READ_URL", "postgresql://127.0.0.1:1/nowhere")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry_uri)
    with dg.DagsterInstance.ephemeral() as instance:
        yield House(
            instance, Registry(registry_uri), FramesStore(tmp_path / "data" / "frames"), loaded_definitions
        )
