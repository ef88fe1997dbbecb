"""The script MLflow runs to load the promoted forecaster: frames in, frames out, around `pyfuncs.forecasting`.

It is a model from code: its artifact `state` is a NumPy archive, and loading it must not need what it was learnt with;
`fleet`, which only a fleet's forecaster has, is a gradient-boosted model, digest first. pandas appears here because it is what MLflow hands over; no other module uses it.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.prediction import FORECAST_OUTPUT, FORECAST_PARAMS
from maximus_assets.pyfuncs import boosted
from maximus_assets.pyfuncs.forecasting import Prediction, predict
from maximus_assets.pyfuncs.state import SeriesState, load
from maximus_assets.pyfuncs.window import SeriesWindow

STATE_ARTIFACT = "state"
"""Key of the artifact that holds the states."""

FLEET_ARTIFACT = "fleet"
"""Key of the artifact that holds the fleet's boosted model, where a state has a share of one."""

_SOURCE = "forecast request"


class SeriesForecaster(PythonModel):
    """Forecasts every series of a frame whose state it holds (`contracts.prediction` states columns and params)."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, str], SeriesState] = {}
        self.fleet: boosted.BoostedFleet | None = None

    def load_context(self, context: PythonModelContext) -> None:
        """Read the states, and the fleet's model they name.

        Args:
            context: Carries the paths of the artifacts `state` and, where there is one, `fleet`.

        Raises:
            BadInputError: An artifact is damaged or of another format, or a state names a model that is not there.
        """
        states = load(Path(context.artifacts[STATE_ARTIFACT]).read_bytes())
        path = context.artifacts.get(FLEET_ARTIFACT)
        fleet = None if path is None else boosted.load(Path(path).read_bytes())
        boosted.require(states, fleet)
        self.states, self.fleet = {(state.target, state.sensor): state for state in states}, fleet

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow passes it; the states were read once, at load
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """One row for each series and step; one row with step 0 for a series that cannot be forecast.

        Args:
            context: Unused.
            model_input: Columns `FORECAST_INPUT`.
            params: `FORECAST_PARAMS`, defaults for what is absent.

        Raises:
            BadInputError: A bin occurs twice or lies off the grid, or the horizon is out of range.
        """
        horizon_steps = int({**FORECAST_PARAMS, **(params or {})}["horizon_steps"])
        known = windows(model_input, self.states)
        return answer(predict(self.states, known, horizon_steps, fleet=self.fleet))


def windows(frame: pd.DataFrame, states: dict[tuple[str, str], SeriesState]) -> list[SeriesWindow]:
    """The frame's windows, one for each series, in order of target and sensor.

    Bins that have no row between a series' first and last one are missing.

    Args:
        frame: Columns `FORECAST_INPUT`, rows in any order.
        states: Known series; they say which step the rows must lie on.

    Raises:
        BadInputError: A bin occurs twice or lies off the grid.
    """
    if frame.empty:
        return []
    target_codes, targets = pd.factorize(frame["target"], sort=True)
    sensor_codes, sensors = pd.factorize(frame["sensor"], sort=True)
    codes = target_codes.astype(np.int64) * len(sensors) + sensor_codes
    seconds = frame["observed_at"].to_numpy().astype("datetime64[s]").astype(np.int64)
    values = frame["value"].to_numpy(dtype=np.float64, na_value=np.nan)
    same = np.diff(codes) == 0
    if (np.diff(codes) < 0).any() or (same & (np.diff(seconds) < 0)).any():
        order = np.lexsort((seconds, codes))
        codes, seconds, values = codes[order], seconds[order], values[order]
    edges = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
    found = []
    for begin, end in pairwise(edges):
        target, sensor = (
            str(name)
            for name in (targets[codes[begin] // len(sensors)], sensors[codes[begin] % len(sensors)])
        )
        state = states.get((target, sensor))
        filled = values[begin:end]
        if state is not None:
            filled = _regular(seconds[begin:end], filled, state)
        found.append(SeriesWindow(target, sensor, int(seconds[end - 1]), filled))
    return found


def answer(predictions: tuple[Prediction, ...]) -> pd.DataFrame:
    """The predictions as a frame of columns `FORECAST_OUTPUT`.

    Args:
        predictions: What was expected of each series, or why there is nothing.
    """
    lengths = np.array([max(1, len(prediction.mean)) for prediction in predictions], dtype=np.int64)
    nothing = np.array([np.nan])

    def figures(name: str) -> NDArray[np.float64]:
        parts = [getattr(p, name) if p.status == "ok" else nothing for p in predictions]
        return np.concatenate([*parts, np.empty(0)])

    def texts(name: str) -> NDArray[np.object_]:
        return np.repeat(np.array([getattr(p, name) for p in predictions], dtype=object), lengths)

    steps = [np.arange(1, len(p.mean) + 1) if p.status == "ok" else np.zeros(1) for p in predictions]
    columns = {
        "target": texts("target"),
        "sensor": texts("sensor"),
        "step": np.concatenate([*steps, np.empty(0)]).astype(np.int64),
        "mean": figures("mean"),
        "lower": figures("lower"),
        "upper": figures("upper"),
        "status": texts("status"),
        "method": texts("method"),
    }
    return pd.DataFrame({name: columns[name] for name in FORECAST_OUTPUT})


def _regular(
    seconds: NDArray[np.int64], values: NDArray[np.float64], state: SeriesState
) -> NDArray[np.float64]:
    """One value for each bin from the first to the last row, NaN where there is no row."""
    step = state.step_seconds
    gaps = np.diff(seconds)
    if (gaps == step).all() and seconds[0] % step == 0:
        return values
    series = f"{state.target}/{state.sensor}"
    if (seconds % step).any():
        raise BadInputError(
            f"{series} has an instant off its {step} s grid", source=_SOURCE, column="observed_at"
        )
    if (gaps == 0).any():
        raise BadInputError(f"{series} has a bin twice", source=_SOURCE, column="observed_at")
    index = (seconds - seconds[0]) // step
    regular = np.full(int(index[-1]) + 1, np.nan)
    regular[index] = values
    return regular


mlflow.models.set_model(SeriesForecaster())
