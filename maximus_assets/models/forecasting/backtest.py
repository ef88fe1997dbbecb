"""The backtest: fit, calibrate and judge a method on three parts of a history, split by time.

As in service, a method is fitted once and refitted every day on all that precedes the day, and its intervals are
calibrated every day on all out-of-sample errors known by then. Deviation: of years of history that would cost the square
of their length, so a part is refitted at most `MAX_REFITS` times, evenly spaced; what is judged is then a state up to some
days older than in service. Nothing of the judging part reaches what is judged
before it happened. `scoring` says how well it did.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maximus_assets.features.events import Event
from maximus_assets.models.forecasting.adaptive import calibrate
from maximus_assets.models.forecasting.base import Array, Forecaster, Parts, day_steps, horizon_steps, split
from maximus_assets.models.forecasting.intercept import Corrected
from maximus_assets.models.forecasting.rolling import Block, Rolled, roll
from maximus_assets.pyfuncs.components import Component
from maximus_assets.pyfuncs.state import SeriesState

MAX_REFITS: Final = 366
"""Most refits in the calibration part, and in the judging part: daily for a year, every few days beyond it."""


@dataclass(frozen=True)
class History:
    """One series to learn from.

    Attributes:
        values: Grid bins in the series' unit, shape (n,), NaN where missing.
        start_epoch_seconds: Start of the first bin.
        step_seconds: Width of a bin.
        floor: No forecast lies below it; minus infinity for none.
        events: What is known ahead, past and to come, of this series.
    """

    values: Array
    start_epoch_seconds: int
    step_seconds: int
    floor: float = -np.inf
    events: tuple[Event, ...] = ()


@dataclass(frozen=True)
class Plan:
    """How a history is replayed.

    Attributes:
        parts: How it is split.
        horizon_steps: How many steps ahead is forecast.
        calibration: Bins at which the calibration part is refitted.
        judging: Bins at which the judging part is refitted.
    """

    parts: Parts
    horizon_steps: int
    calibration: range
    judging: range

    @property
    def starts(self) -> list[int]:
        """Bins at which components are learnt anew, ascending."""
        return [*self.calibration, *self.judging]


@dataclass(frozen=True)
class Replay:
    """What one method would have forecast.

    Attributes:
        component: Learnt from the whole history.
        rolled: Forecasts and outcomes of the calibration part, then of the judging part. The floor is not applied.
    """

    component: Component
    rolled: Rolled


@dataclass(frozen=True)
class Backtest:
    """How a method, or the combination of several, did.

    Attributes:
        state: Learnt from the whole history, calibrated on every out-of-sample error; without names.
        calibration: Hourly forecasts and actuals of the calibration part.
        calibration_upper: Upper bounds of the calibration part's forecasts, shape (origins, horizon).
        judging: The same of the judging part.
        lower: Lower bounds of the judging part's forecasts, shape (origins, horizon).
        upper: Upper bounds, same shape.
        parts: How the history was split.
    """

    state: SeriesState
    calibration: Rolled
    calibration_upper: Array
    judging: Rolled
    lower: Array
    upper: Array
    parts: Parts

    @property
    def covered(self) -> Array:
        """1 where the outcome lies within its interval, 0 where not, NaN where there was none."""
        actuals = self.judging.actuals
        return np.where(np.isfinite(actuals), (actuals >= self.lower) & (actuals <= self.upper), np.nan)

    @property
    def strictly_covered(self) -> Array:
        """The same, not counting outcomes that equal a bound."""
        actuals = self.judging.actuals
        return np.where(np.isfinite(actuals), (actuals > self.lower) & (actuals < self.upper), np.nan)


def plan(history: History, *, judged_ratio: float | None = None, horizon: int | None = None) -> Plan:
    """Split a history and say when what is learnt from it is learnt anew.

    Args:
        history: The series.
        judged_ratio: Share of the history that is judged; None for `base.split`'s own.
        horizon: How many steps ahead; None for a day.

    Raises:
        ShortHistoryError: The history is too short, or has too many holes.
    """
    step = history.step_seconds
    parts = split(history.values, step, judged_ratio)
    return Plan(
        parts,
        horizon_steps(step) if horizon is None else horizon,
        refits(parts.calibration_start, parts.judging_start, step),
        refits(parts.judging_start, parts.length, step),
    )


def replay(forecaster: Forecaster, history: History, plan: Plan) -> Replay:
    """Fit a method on what precedes the judging part, then refit and forecast day by day.

    Args:
        forecaster: The method.
        history: The series.
        plan: How it is split.

    Raises:
        ShortHistoryError: The history is too short for it, or has too many holes.
    """
    values, start, step = history.values, history.start_epoch_seconds, history.step_seconds
    fitted = forecaster.fit(values[: plan.parts.judging_start], start, step, plan.horizon_steps)
    *components, last = forecaster.refit(fitted, values, start, step, [*plan.starts, len(values)])

    def walk(at: range, components: Sequence[Component]) -> Rolled:
        blocks = [
            Block(component, begin, min(begin + at.step, at.stop))
            for begin, component in zip(at, components, strict=True)
        ]
        return roll(blocks, values[: at.stop], start, step)

    days = len(plan.calibration)
    first, second = walk(plan.calibration, components[:days]), walk(plan.judging, components[days:])
    return Replay(
        last,
        Rolled(
            np.concatenate([first.origins, second.origins]),
            np.concatenate([first.forecasts, second.forecasts]),
            np.concatenate([first.actuals, second.actuals]),
        ),
    )


def judge(
    name: str,
    components: tuple[Component, ...],
    weights: Array,
    *,
    corrected: Corrected,
    history: History,
    plan: Plan,
) -> Backtest:
    """Put intervals around what was forecast.

    Args:
        name: The method, as it appears in the state.
        components: Learnt from the whole history.
        weights: Of the components after the last outcome, shape (components, horizon).
        corrected: Forecasts and outcomes of both parts, none below the floor when it was corrected.
        history: The series.
        plan: How it was split.
    """
    rolled = corrected.rolled
    rolled = replace(rolled, forecasts=np.maximum(rolled.forecasts, history.floor))
    intervals = calibrate(rolled, history.values, plan.starts, history.step_seconds, history.floor)
    lower = np.maximum(rolled.forecasts + intervals.lower, history.floor)
    upper = rolled.forecasts + intervals.upper
    is_judged = rolled.origins >= plan.parts.judging_start

    def part(rows: NDArray[np.bool_]) -> Rolled:
        return Rolled(rolled.origins[rows], rolled.forecasts[rows], rolled.actuals[rows])

    state = SeriesState(
        target="",
        sensor="",
        method=name,
        components=components,
        weights=np.ascontiguousarray(weights).ravel(),
        floor=history.floor,
        usual_miss=corrected.usual_miss,
        lasts=corrected.lasts,
        lower=intervals.next_lower,
        upper=intervals.next_upper,
        sensitivity=intervals.sensitivity,
    )
    return Backtest(
        state=state,
        calibration=part(~is_judged),
        calibration_upper=upper[~is_judged],
        judging=part(is_judged),
        lower=lower[is_judged],
        upper=upper[is_judged],
        parts=plan.parts,
    )


def backtest(forecaster: Forecaster, history: History) -> Backtest:
    """Fit, calibrate and judge one method.

    Args:
        forecaster: The method.
        history: The series.

    Raises:
        ShortHistoryError: The history is too short for it, or has too many holes.
    """
    found = plan(history)
    replayed = replay(forecaster, history, found)
    return alone(forecaster.name, replayed, history, found)


def alone(name: str, replayed: Replay, history: History, plan: Plan) -> Backtest:
    """One method by itself, its surprises not corrected.

    Args:
        name: The method.
        replayed: What it would have forecast.
        history: The series.
        plan: How it was split.
    """
    weights, corrected = np.ones((1, plan.horizon_steps)), Corrected(replayed.rolled, 0.0, np.empty(0))
    return judge(name, (replayed.component,), weights, corrected=corrected, history=history, plan=plan)


def refits(begin: int, end: int, step_seconds: int) -> range:
    """The bins at which a part is refitted: whole days apart, at most `MAX_REFITS` of them, the first at its beginning.

    Args:
        begin: First bin of the part.
        end: One past its last.
        step_seconds: Width of a bin.
    """
    day = day_steps(step_seconds)
    days = math.ceil((end - begin) / day)
    return range(begin, end, day * max(1, math.ceil(days / MAX_REFITS)))
