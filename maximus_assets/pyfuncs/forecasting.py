"""Prediction from states, with numpy alone: what runs inside the promoted forecaster, and inside the backtest.

Many series are predicted at once. They are grouped by season and by the bin they end at; within a group time is the
only loop. Nothing is learnt here and nothing is remembered between calls.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.prediction import ForecastStatus
from maximus_assets.features.calendar import fourier_columns
from maximus_assets.pyfuncs.recursion import extend, trace
from maximus_assets.pyfuncs.state import SeriesState, dump, load

__all__ = ["MISSING_RATIO", "Prediction", "SeriesWindow", "dump", "load", "predict", "regress", "stack"]

MISSING_RATIO: Final = 0.5
"""Largest share of a window's required bins that may be missing."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SeriesWindow:
    """The recent past of one series.

    Attributes:
        target: The target.
        sensor: The sensor.
        end_epoch_seconds: Start of the last bin.
        values: One for each bin, oldest first, NaN where missing, shape (n,).
    """

    target: str
    sensor: str
    end_epoch_seconds: int
    values: Array


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
    states: Mapping[tuple[str, str], SeriesState], windows: Sequence[SeriesWindow], horizon_steps: int
) -> tuple[Prediction, ...]:
    """Forecast every window, in its order.

    Args:
        states: By (target, sensor).
        windows: Each with the step of its series' state.
        horizon_steps: How many steps ahead, >= 1 and within what every state was backtested for.

    Raises:
        BadInputError: The horizon is out of range for a series that would be forecast.
    """
    if horizon_steps < 1:
        raise BadInputError("must be at least 1", source="forecast request", column="horizon_steps")
    answers: dict[int, Prediction] = {}
    groups: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for index, window in enumerate(windows):
        state = states.get((window.target, window.sensor))
        if state is None:
            answers[index] = _nothing(window, "unknown_series", "")
        elif is_cold(state, window.values):
            answers[index] = _nothing(window, "cold", state.method)
        else:
            _check_horizon(state, horizon_steps)
            groups[state.step_seconds, state.season_steps, window.end_epoch_seconds].append(index)
    for (_, _, end), indices in groups.items():
        members = [states[windows[i].target, windows[i].sensor] for i in indices]
        means = _predict_group(members, [windows[i].values for i in indices], end, horizon_steps)
        for column, (index, state) in enumerate(zip(indices, members, strict=True)):
            mean = np.maximum(means[:, column], state.floor)
            answers[index] = Prediction(
                target=state.target,
                sensor=state.sensor,
                status="ok",
                method=state.method,
                mean=mean,
                lower=np.maximum(mean + state.lower[:horizon_steps], state.floor),
                upper=mean + state.upper[:horizon_steps],
            )
    return tuple(answers[index] for index in range(len(windows)))


def is_cold(state: SeriesState, values: Array) -> bool:
    """Whether a window is too short, or too full of holes, to forecast from.

    Args:
        state: The series' state.
        values: The window, NaN where missing, shape (n,).
    """
    recent = values[-state.minimum_bins :]
    return len(recent) < state.minimum_bins or float(np.isnan(recent).mean()) > MISSING_RATIO


def stack(states: Sequence[SeriesState], field: str) -> Array:
    """One of `ar` or `ma` of many states, zero beyond each one's order, shape (largest order, series)."""
    vectors: list[Array] = [getattr(state, field) for state in states]
    stacked = np.zeros((max((len(vector) for vector in vectors), default=0), len(vectors)))
    for column, vector in enumerate(vectors):
        stacked[: len(vector), column] = vector
    return stacked


def regress(states: Sequence[SeriesState], epoch_seconds: NDArray[np.int64]) -> Array:
    """The regression part of many states at the same instants.

    Args:
        states: The states.
        epoch_seconds: Instants, shape (time,).

    Returns:
        Shape (time, series); zero for a state without regression.
    """
    parts = np.zeros((len(epoch_seconds), len(states)))
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for column, state in enumerate(states):
        if len(state.regression):
            alike[state.day_harmonics, state.week_harmonics].append(column)
    for (day, week), columns in alike.items():
        coefficients = np.stack([states[column].regression for column in columns], axis=1)
        parts[:, columns] = fourier_columns(epoch_seconds, day, week) @ coefficients
    return parts


def _predict_group(
    states: Sequence[SeriesState], windows: Sequence[Array], end: int, horizon_steps: int
) -> Array:
    """Means of series that share step, season and last bin, shape (horizon, series)."""
    step, season = states[0].step_seconds, states[0].season_steps
    length = max(len(window) for window in windows)
    values = np.full((length, len(windows)), np.nan)
    for column, window in enumerate(windows):
        values[length - len(window) :, column] = window
    past = end + step * np.arange(1 - length, 1, dtype=np.int64)
    future = end + step * np.arange(1, horizon_steps + 1, dtype=np.int64)
    ar, ma = stack(states, "ar"), stack(states, "ma")
    known = trace(values - regress(states, past), season, ar, ma)
    ahead = extend(
        known.filled[length - season :],
        known.differenced[length - len(ar) :],
        known.innovations[length - len(ma) :],
        ar=ar,
        ma=ma,
        steps=horizon_steps,
    )
    return ahead + regress(states, future)


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
