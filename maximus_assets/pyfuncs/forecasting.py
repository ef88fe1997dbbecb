"""Prediction from states, with numpy alone: what runs inside the promoted forecaster, and inside the backtest.

Many series are predicted at once: components of one kind and shape are asked together across series (`pyfuncs.kinds`), and
each series' forecast is their weighted mean, corrected where the same mean an hour ago missed by far more than usual. Nothing is learnt here and nothing is remembered between calls.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.prediction import ForecastStatus
from maximus_assets.pyfuncs.components import Component
from maximus_assets.pyfuncs.intercept import hour_and_half, surprises
from maximus_assets.pyfuncs.kinds import KINDS, Question
from maximus_assets.pyfuncs.state import SeriesState, dump, load

__all__ = ["MISSING_RATIO", "Prediction", "SeriesWindow", "dump", "load", "predict"]

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
    means = _corrected(members, [windows[index] for index in asked], horizon_steps)
    for index, state, mixed in zip(asked, members, means, strict=True):
        mean = np.maximum(mixed, state.floor)
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


def _corrected(states: Sequence[SeriesState], windows: Sequence[SeriesWindow], horizon_steps: int) -> Array:
    """Means of the states' components with surprises added, shape (series, horizon)."""
    backs = [_back(state, window) for state, window in zip(states, windows, strict=True)]
    means, before = _mixed(states, windows, max([horizon_steps, *backs]), backs)
    for hour in set(backs) - {0}:
        rows = [row for row, back in enumerate(backs) if back == hour]
        _, half = hour_and_half(states[rows[0]].step_seconds)
        floor = np.array([[states[row].floor] for row in rows])
        # As it was learnt: what is corrected does not lie below the floor.
        means[rows] = np.maximum(means[rows], floor)
        expected = np.maximum(before[rows, : 2 * hour], floor)
        surprise = surprises(
            np.stack([windows[row].values[-half:] for row in rows]),
            expected[:, hour - half : hour],
            (means[rows, :hour] - expected[:, hour:]).mean(axis=1),
            np.array([states[row].usual_miss for row in rows]),
        )
        lasts = np.stack([states[row].lasts[:horizon_steps] for row in rows])
        means[rows, :horizon_steps] += surprise[:, None] * lasts
    return means[:, :horizon_steps]


def _back(state: SeriesState, window: SeriesWindow) -> int:
    """Bins of the hour that is looked back on; 0 where surprises are not corrected, or the window is too short for it."""
    hour, _ = hour_and_half(state.step_seconds)
    return hour if state.usual_miss > 0.0 and not is_cold(state, window.values[:-hour]) else 0


def _mixed(
    states: Sequence[SeriesState], windows: Sequence[SeriesWindow], horizon_steps: int, backs: Sequence[int]
) -> tuple[Array, Array]:
    """Weighted means of the states' components.

    Returns:
        Of the bins after the windows, shape (series, horizon), beyond a state's own horizon without meaning; and of the
        windows' last bins and as many more as they were expected before them, shape (series, 2 * largest of `backs`).
    """
    means = np.zeros((len(states), horizon_steps))
    before = np.zeros((len(states), 2 * max(backs, default=0)))
    for (kind, end, back, _, longest, _), group in _grouped(states, windows, horizon_steps, backs).items():
        steps = min(horizon_steps, longest)
        asked = Question([windows[row].values for row, _, _ in group], end, steps, back)
        said = KINDS[kind].answer([component for _, _, component in group], asked)
        for index, (row, place, _) in enumerate(group):
            share = states[row].by_component[place]
            means[row, :steps] += share[:steps] * said.ahead[index]
            before[row, : 2 * back] += share[: 2 * back] * said.behind[index]
    return means, before


_Key = tuple[type[Component], int, int, int, int, Hashable]


def _grouped(
    states: Sequence[SeriesState], windows: Sequence[SeriesWindow], horizon_steps: int, backs: Sequence[int]
) -> dict[_Key, list[tuple[int, int, Component]]]:
    """Components that are asked together: the row of the series, its component's place in the state, the component.

    The key is the kind, the last bin, how many bins back are asked for, the step, the horizon, and what the kind
    adds.
    """
    groups: dict[_Key, list[tuple[int, int, Component]]] = defaultdict(list)
    for row, (state, window, back) in enumerate(zip(states, windows, backs, strict=True)):
        for place, component in enumerate(state.components):
            if state.by_component[place, : max(horizon_steps, 2 * back)].any():
                kind = type(component)
                key = (
                    kind,
                    window.end_epoch_seconds,
                    back,
                    component.step_seconds,
                    component.horizon_steps,
                    KINDS[kind].alike(component, window.values),
                )
                groups[key].append((row, place, component))
    return groups


def is_cold(state: SeriesState, values: Array) -> bool:
    """Whether a window is too short, or too full of holes, to forecast from.

    Args:
        state: The series' state.
        values: The window, NaN where missing, shape (n,).
    """
    recent = values[-state.minimum_bins :]
    return len(recent) < state.minimum_bins or float(np.isnan(recent).mean()) > MISSING_RATIO


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
