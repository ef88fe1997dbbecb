"""What was promoted is what serves: the same numbers, from the registry alone, without what learnt it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from maximus_assets.contracts.clock import SystemClock
from maximus_assets.contracts.naming import CHAMPION, FORECASTER
from maximus_assets.registry.gates import probe_frame
from maximus_assets.registry.packaging import log_forecaster, make_probe
from maximus_assets.registry.promotion import REQUIRED_GATES, promote
from maximus_assets.registry.tracking import Registry, Version

BLOCKED = ("dagster", "torch", "sklearn", "statsmodels", "gymnasium", "stable_baselines3")

# Runs where importing a blocked library is an error, as on a machine that never had it.
CLEAN = """
import importlib.abc, json, sys, tempfile
from pathlib import Path

blocked = set(sys.argv[4].split(","))

class Wall(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Wall())

import pandas as pd
from maximus_assets.registry.tracking import Registry

registry = Registry(sys.argv[1])
champion = registry.named("maximus-forecaster", "champion")
model = registry.load(champion, Path(tempfile.mkdtemp(dir=sys.argv[3])))
answer = model.predict(pd.read_parquet(sys.argv[2]), params={"horizon_steps": 12})
loaded = sorted({name.partition(".")[0] for name in sys.modules} & blocked)
print(json.dumps({"version": champion.number, "loaded": loaded, "answer": answer.to_dict("list")}))
"""


@pytest.fixture
def champion(registry_uri: str, learnt_shop) -> Version:
    registry = Registry(registry_uri)
    version = log_forecaster(registry, learnt_shop.learnt, learnt_shop.grid, learnt_shop.origin)
    # The gates have tests of their own; here the version only has to have passed them.
    registry.tag(version, {f"gate.{gate}": "passed" for gate in REQUIRED_GATES})
    return promote(registry, version, clock=SystemClock()).champion


@pytest.fixture
def windows(learnt_shop) -> pd.DataFrame:
    return probe_frame(make_probe(learnt_shop.learnt, learnt_shop.grid).windows)


@pytest.fixture
def model(champion: Version, registry_uri: str, tmp_path: Path):
    folder = tmp_path / "loaded"
    folder.mkdir()
    return Registry(registry_uri).load(champion, folder)


def test_a_process_without_training_libraries_gets_the_same_numbers(
    champion: Version, windows: pd.DataFrame, learnt_shop, registry_uri: str, tmp_path: Path
) -> None:
    windows.to_parquet(tmp_path / "windows.parquet")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            CLEAN,
            registry_uri,
            tmp_path / "windows.parquet",
            tmp_path,
            ",".join(BLOCKED),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["version"], said["loaded"]) == (champion.number, [])
    expected = make_probe(learnt_shop.learnt, learnt_shop.grid).answer
    for column in ("mean", "lower", "upper"):
        np.testing.assert_allclose(said["answer"][column], expected[column].to_numpy(), rtol=1e-12, atol=0)
    assert said["answer"]["status"] == ["ok"] * 12
    assert set(said["answer"]["method"]) == {learnt_shop.learnt.states[0].method}


def test_the_alias_names_the_version_that_answers(champion: Version, registry_uri: str) -> None:
    assert Registry(registry_uri).named(FORECASTER, CHAMPION) == champion


@pytest.mark.parametrize("column", ["target", "sensor", "observed_at", "value"])
def test_a_missing_column_is_refused(model, windows: pd.DataFrame, column: str) -> None:
    with pytest.raises(MlflowException, match=column):
        model.predict(windows.drop(columns=column))


@pytest.mark.parametrize(
    ("column", "wrong"),
    [("value", "a lot"), ("target", 7), ("observed_at", 1.5)],
)
def test_a_column_of_another_type_is_refused(
    model, windows: pd.DataFrame, column: str, wrong: object
) -> None:
    with pytest.raises(MlflowException, match=column):
        model.predict(windows.assign(**{column: wrong}))


def test_a_parameter_of_another_type_is_refused(model, windows: pd.DataFrame) -> None:
    with pytest.raises(MlflowException, match="horizon_steps"):
        model.predict(windows, params={"horizon_steps": "twelve"})


def test_a_series_it_never_learnt_is_answered_as_unknown_not_guessed(model, windows: pd.DataFrame) -> None:
    answer = model.predict(windows.assign(target="stranger"))

    assert answer[["target", "status", "step"]].to_dict("records") == [
        {"target": "stranger", "status": "unknown_series", "step": 0}
    ]
    assert answer["mean"].isna().all()


def test_a_window_that_is_too_short_is_answered_as_cold(model, windows: pd.DataFrame) -> None:
    answer = model.predict(windows.tail(20))

    assert answer["status"].to_list() == ["cold"]
