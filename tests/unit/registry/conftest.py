"""A registry, and versions in it that carry whatever tags a test gives them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from maximus_assets.contracts.naming import (
    CONTRACT_VERSION,
    FORECASTER,
    TAG_CONTRACT_VERSION,
    TAG_GATE_PREFIX,
)
from maximus_assets.registry.promotion import REQUIRED_GATES
from maximus_assets.registry.tracking import Record, Registry, Version

MakeVersion = Callable[..., Version]


@pytest.fixture
def registry(registry_uri: str) -> Registry:
    return Registry(registry_uri)


@pytest.fixture
def make_version(registry: Registry, tmp_path: Path) -> MakeVersion:
    """Registers an empty model; its gates passed unless the test says otherwise (None: never judged)."""

    def make(contract_version: str = CONTRACT_VERSION, **gates: str | None) -> Version:
        said = {**dict.fromkeys(REQUIRED_GATES, "passed"), **gates}
        tags = {TAG_GATE_PREFIX + gate: what for gate, what in said.items() if what is not None}
        folder = tmp_path / "empty"
        folder.mkdir(exist_ok=True)
        (folder / "note").write_text("nothing", encoding="utf-8")
        record = Record(
            experiment="forecasting",
            run_name="test",
            params={},
            metrics={"fit_seconds": 1.0},
            tags={TAG_CONTRACT_VERSION: contract_version, **tags},
            description="",
        )
        return registry.register(FORECASTER, folder, folder, record)

    return make
