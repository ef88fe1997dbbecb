"""Prediction from states, with numpy (and the fleet's trees): what runs inside the promoted forecaster and the backtest.

Many series are predicted at once: components of one kind and shape are grouped across series, so that within a group
time is the only loop; the fleet's model is asked once, of all series that have a share of it. Each series' forecast is
their weighted mean. Nothing is learnt here and nothing is remembered between calls.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.prediction import ForecastStatus
from maximus_assets.features.calendar import DAY_SECONDS, fourier_columns
from maximus_assets.pyfuncs.boosted import BoostedFleet
from maximus_assets.pyfuncs.components import Boosted, Direct, Recursion
from maximus_assets.pyfuncs.direct import Rows, forecast
from maximus_assets.pyfuncs.past import fill
from maximus_assets.pyfuncs.recursion import extend, trace
from maximus_assets.pyfuncs.state import SeriesState, dump, load

__all__ = [
    "MISSING_RATIO",
    "Prediction",
    "SeriesWindow",
    "dump",
    "load",
    "predict",
    "regress",
    "require_fleet",
    "stack",
]

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
    means = _mixed(members, [windows[index] for index in asked], horizon_steps, fleet)
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


def require_fleet(states: Iterable[SeriesState], fleet: BoostedFleet | None) -> None:
    """Refuse states whose fleet's model is not at hand.

    Args:
        states: The states.
        fleet: The model there is, if any.

    Raises:
        BadInputError: A state names another model; names the series.
    """
    for state in states:
        for component in state.components:
            if isinstance(component, Boosted):
                _require_model(state, component, fleet)


def _require_model(state: SeriesState, component: Boosted, fleet: BoostedFleet | None) -> None:
    if fleet is not None and fleet.digest == component.fleet and fleet.recipe.fits(component):
        return
    there = "there is none" if fleet is None else f"there is {fleet.digest[:12]}"
    raise BadInputError(
        f"needs the fleet's boosted model {component.fleet[:12]} for {component.horizon_steps} steps of "
        f"{component.step_seconds} s; {there}",
        source=f"state of {state.target}/{state.sensor}",
        column="fleet",
    )


def _mixed(
    states: Sequence[SeriesState],
    windows: Sequence[SeriesWindow],
    horizon_steps: int,
    fleet: BoostedFleet | None,
) -> Array:
    """Weighted means of the states' components, shape (series, horizon)."""
    means = np.zeros((len(states), horizon_steps))
    recursions: dict[tuple[int, int, int], list[tuple[int, int, Recursion]]] = defaultdict(list)
    directs: dict[tuple[int, int, int, int], list[tuple[int, int, Direct]]] = defaultdict(list)
    for row, (state, window) in enumerate(zip(states, windows, strict=True)):
        for place, component in enumerate(state.components):
            if not state.by_component[place, :horizon_steps].any():
                continue
            step, end = component.step_seconds, window.end_epoch_seconds
            if isinstance(component, Recursion):
                recursions[step, component.season_steps, end].append((row, place, component))
            elif isinstance(component, Direct):
                key = (step, component.horizon_steps, end, len(window.values))
                directs[key].append((row, place, component))
    for (_, _, end), group in recursions.items():
        parts = [component for _, _, component in group]
        found = _recur(parts, [windows[row].values for row, _, _ in group], end, horizon_steps)
        for column, (row, place, _) in enumerate(group):
            means[row] += states[row].by_component[place, :horizon_steps] * found[:, column]
    for (_, _, end, _), linear in directs.items():
        ahead = _direct(
            [component for _, _, component in linear],
            np.stack([windows[row].values for row, _, _ in linear], axis=1),
            end,
            horizon_steps,
        )
        for index, (row, place, _) in enumerate(linear):
            means[row] += states[row].by_component[place, :horizon_steps] * ahead[index]
    _add_boosted(means, states, windows, fleet)
    return means


def _add_boosted(
    means: Array, states: Sequence[SeriesState], windows: Sequence[SeriesWindow], fleet: BoostedFleet | None
) -> None:
    """Add the fleet's model's share to the means of the series that have one; it is asked once."""
    steps, rows, shares = means.shape[1], [], []
    for row, state in enumerate(states):
        for component, share in zip(state.components, state.by_component[:, :steps], strict=True):
            if isinstance(component, Boosted) and share.any():
                _require_model(state, component, fleet)
                rows.append(row)
                shares.append(share)
    if fleet is None or not rows:
        return
    ends = np.array([windows[row].end_epoch_seconds for row in rows], dtype=np.int64)
    means[rows] += np.stack(shares) * fleet.ahead([windows[row].values for row in rows], ends, steps)


def is_cold(state: SeriesState, values: Array) -> bool:
    """Whether a window is too short, or too full of holes, to forecast from.

    Args:
        state: The series' state.
        values: The window, NaN where missing, shape (n,).
    """
    recent = values[-state.minimum_bins :]
    return len(recent) < state.minimum_bins or float(np.isnan(recent).mean()) > MISSING_RATIO


def stack(components: Sequence[Recursion], field: str) -> Array:
    """One of `ar` or `ma` of many recursions, zero beyond each one's order, shape (largest order, series)."""
    vectors: list[Array] = [getattr(each, field) for each in components]
    stacked = np.zeros((max((len(vector) for vector in vectors), default=0), len(vectors)))
    for column, vector in enumerate(vectors):
        stacked[: len(vector), column] = vector
    return stacked


def regress(components: Sequence[Recursion], epoch_seconds: NDArray[np.int64]) -> Array:
    """The regression part of many recursions at the same instants.

    Args:
        components: The recursions.
        epoch_seconds: Instants, shape (time,).

    Returns:
        Shape (time, series); zero for one without regression.
    """
    parts = np.zeros((len(epoch_seconds), len(components)))
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for column, each in enumerate(components):
        if len(each.regression):
            alike[each.day_harmonics, each.week_harmonics].append(column)
    for (day, week), columns in alike.items():
        coefficients = np.stack([components[column].regression for column in columns], axis=1)
        parts[:, columns] = fourier_columns(epoch_seconds, day, week) @ coefficients
    return parts


def _recur(components: Sequence[Recursion], windows: Sequence[Array], end: int, horizon_steps: int) -> Array:
    """Means of series that share step, season and last bin, shape (horizon, series)."""
    step, season = components[0].step_seconds, components[0].season_steps
    length = max(len(window) for window in windows)
    values = np.full((length, len(windows)), np.nan)
    for column, window in enumerate(windows):
        values[length - len(window) :, column] = window
    past = end + step * np.arange(1 - length, 1, dtype=np.int64)
    future = end + step * np.arange(1, horizon_steps + 1, dtype=np.int64)
    ar, ma = stack(components, "ar"), stack(components, "ma")
    known = trace(values - regress(components, past), season, ar, ma)
    ahead = extend(
        known.filled[length - season :],
        known.differenced[length - len(ar) :],
        known.innovations[length - len(ma) :],
        ar=ar,
        ma=ma,
        steps=horizon_steps,
    )
    return ahead + regress(components, future)


def _direct(components: Sequence[Direct], values: Array, end: int, horizon_steps: int) -> Array:
    """Means of series that share step, horizon, last bin and length of window, shape (series, horizon)."""
    step = components[0].step_seconds
    past = fill(values, max(1, DAY_SECONDS // step))
    own = np.arange(len(components), dtype=np.int64)
    rows = Rows(
        origin=np.full(len(components), len(values), dtype=np.int64),
        column=own,
        day=np.stack([each.day for each in components]) - past.offset[:, None],
        week=np.stack([each.week for each in components]) - past.offset[:, None],
        low=np.array([each.bounds[0] for each in components]) - past.offset,
        high=np.array([each.bounds[1] for each in components]) - past.offset,
        block=own,
        events=tuple(each.events.reshape(-1, 2) for each in components),
    )
    return forecast(
        past,
        rows,
        np.stack([each.by_stretch for each in components]),
        horizon_steps=components[0].horizon_steps,
        epoch_seconds=np.full(len(components), end + step, dtype=np.int64),
        step_seconds=step,
        steps=horizon_steps,
    )


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
