"""Prediction from states, with numpy (and the fleet's trees): what runs inside the promoted forecaster and the backtest.

Many series are predicted at once. A forecast is a mean (`pyfuncs.mean`) and the bounds around it (`pyfuncs.bounds`). Nothing
is learnt here and nothing is remembered between calls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.prediction import ForecastStatus
from maximus_assets.pyfuncs.boosted import BoostedFleet, require
from maximus_assets.pyfuncs.bounds import offsets
from maximus_assets.pyfuncs.mean import means
from maximus_assets.pyfuncs.state import SeriesState
from maximus_assets.pyfuncs.window import SeriesWindow, is_cold

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What is expected of one series; arrays are empty unless `status` is `ok`.

    Attributes:
        target: The target.
        sensor: The sensor.
        status: `ok`, or why there is nothing.
        method: The state's method, empty for an unknown series.
        mean: In the series' unit, shape (horizon,).
        lower: Lower bound of the interval, same shape, never above the mean.
        upper: Upper bound, never below the mean.
    """

    target: str
    sensor: str
    status: ForecastStatus
    method: str
    mean: Array
    lower: Array
    upper: Array


def predict(
    states: Mapping[tuple[str, str], SeriesState],
    windows: Sequence[SeriesWindow],
    horizon_steps: int,
    *,
    fleet: BoostedFleet | None = None,
) -> tuple[Prediction, ...]:
    """Forecast every window, in its order.

    Args:
        states: By (target, sensor).
        windows: Each with the step of its series' state.
        horizon_steps: How many steps ahead, >= 1 and within what every state was backtested for.
        fleet: The model that states with a `Boosted` component name; None where none does.

    Raises:
        BadInputError: The horizon is out of range for a series that would be forecast, or its state names another fleet's
            model, or one that is not there.
    """
    if horizon_steps < 1:
        raise BadInputError("must be at least 1", source="forecast request", column="horizon_steps")
    answers: dict[int, Prediction] = {}
    asked: list[int] = []
    for index, window in enumerate(windows):
        state = states.get((window.target, window.sensor))
        if state is None:
            answers[index] = _nothing(window, "unknown_series", "")
        elif is_cold(state, window.values):
            answers[index] = _nothing(window, "cold", state.method)
        else:
            _check_horizon(state, horizon_steps)
            asked.append(index)
    members = [states[windows[index].target, windows[index].sensor] for index in asked]
    known = [windows[index] for index in asked]
    require(members, fleet)
    expected = means(members, known, horizon_steps, fleet)
    lower, upper = offsets(members, known, expected)
    for row, (index, state) in enumerate(zip(asked, members, strict=True)):
        answers[index] = Prediction(
            target=state.target,
            sensor=state.sensor,
            status="ok",
            method=state.method,
            mean=expected[row],
            lower=np.maximum(expected[row] + lower[row], state.floor),
            upper=expected[row] + upper[row],
        )
    return tuple(answers[index] for index in range(len(windows)))


def _check_horizon(state: SeriesState, horizon_steps: int) -> None:
    if horizon_steps > state.horizon_steps:
        raise BadInputError(
            f"{horizon_steps} is beyond the {state.horizon_steps} steps {state.target}/{state.sensor} "
            "was backtested for",
            source="forecast request",
            column="horizon_steps",
        )


def _nothing(window: SeriesWindow, status: ForecastStatus, method: str) -> Prediction:
    empty = np.empty(0)
    return Prediction(window.target, window.sensor, status, method, empty, empty, empty)
