"""The model-from-code script: saved by MLflow, loaded in a process that has none of the learning libraries."""

import json
import subprocess
import sys
import textwrap

import mlflow
import numpy as np
import pandas as pd
import pytest

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.prediction import FORECAST_OUTPUT
from maximus_assets.pyfuncs import forecaster
from maximus_assets.pyfuncs.state import dump

END = np.datetime64("2026-03-02T12:00:00", "us")


def rows(target: str, values: np.ndarray, end: np.datetime64 = END) -> pd.DataFrame:
    at = end - np.timedelta64(300, "s") * np.arange(len(values))[::-1]
    return pd.DataFrame({"target": target, "sensor": "demand_count", "observed_at": at, "value": values})


def model(*states) -> forecaster.SeriesForecaster:
    loaded = forecaster.SeriesForecaster()
    loaded.states = {(state.target, state.sensor): state for state in states}
    return loaded


def test_each_series_has_one_row_a_step_or_one_row_that_says_why_not(make_state):
    frame = pd.concat(
        [
            rows("shop", np.arange(288.0)),
            rows("cold", np.ones(20)),
            rows("stranger", np.ones(288)),
        ]
    )
    answer = model(make_state(), make_state(target="cold")).predict(None, frame, {"horizon_steps": 3})
    assert list(answer.columns) == list(FORECAST_OUTPUT)
    shop = answer[answer.target == "shop"]
    assert shop.step.tolist() == [1, 2, 3]
    assert shop["mean"].tolist() == [0.0, 1.0, 2.0]
    others = answer[answer.target != "shop"].set_index("target")
    assert others.status.to_dict() == {"cold": "cold", "stranger": "unknown_series"}
    assert others.step.tolist() == [0, 0]
    assert others[["mean", "lower", "upper"]].isna().all().all()
    assert answer.step.dtype == np.int64


def test_the_default_horizon_is_an_hour(make_state):
    assert len(model(make_state()).predict(None, rows("shop", np.ones(288)))) == 12


def test_rows_may_come_in_any_order_and_absent_bins_are_missing(make_state):
    frame = rows("shop", np.arange(576.0))
    holed = frame.drop(index=[100, 500]).sample(frac=1.0, random_state=1)
    explicit = frame.copy()
    explicit.loc[[100, 500], "value"] = np.nan
    ours = model(make_state())
    pd.testing.assert_frame_equal(
        ours.predict(None, holed, {"horizon_steps": 288}),
        ours.predict(None, explicit, {"horizon_steps": 288}),
    )


def test_a_bin_that_occurs_twice_is_refused(make_state):
    frame = rows("shop", np.ones(288))
    with pytest.raises(BadInputError, match="twice"):
        model(make_state()).predict(None, pd.concat([frame, frame.tail(1)]))


def test_an_instant_off_the_grid_is_refused(make_state):
    frame = rows("shop", np.ones(288), END + np.timedelta64(1, "s"))
    with pytest.raises(BadInputError, match="off its 300 s grid"):
        model(make_state()).predict(None, frame)


def test_no_rows_are_answered_by_no_rows(make_state):
    answer = model(make_state()).predict(None, rows("shop", np.empty(0)))
    assert list(answer.columns) == list(FORECAST_OUTPUT)
    assert answer.empty


def test_the_saved_model_loads_without_any_learning_library_and_says_the_same(make_state, tmp_path):
    state = make_state(ar=np.array([0.8]), ma=np.array([0.2]))
    values = np.random.default_rng(3).normal(50.0, 5.0, 600)
    (tmp_path / "state.npz").write_bytes(dump([state]))
    mlflow.pyfunc.save_model(
        path=str(tmp_path / "model"),
        python_model=forecaster.__file__,
        artifacts={forecaster.STATE_ARTIFACT: str(tmp_path / "state.npz")},
        pip_requirements=[],
    )
    rows("shop", values).to_csv(tmp_path / "window.csv", index=False)
    script = textwrap.dedent(
        """
        import json, sys
        blocked = {"dagster", "torch", "sklearn", "statsmodels", "scipy.stats"}
        class Blocker:
            def find_spec(self, name, path=None, target=None):
                if name in blocked:
                    raise ImportError(name + " is blocked")
        sys.meta_path.insert(0, Blocker())
        import mlflow.pyfunc, pandas
        loaded = mlflow.pyfunc.load_model(sys.argv[1])
        window = pandas.read_csv(sys.argv[2], parse_dates=["observed_at"])
        answer = loaded.unwrap_python_model().predict(None, window, {"horizon_steps": 5})
        print(json.dumps(answer["mean"].tolist()))
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "model"), str(tmp_path / "window.csv")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    here = model(state).predict(None, rows("shop", values), {"horizon_steps": 5})["mean"].tolist()
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx(here, rel=1e-12)
