"""The backtest: fit, calibrate and judge a method on three parts of a history, split by time.

As in service, a method is fitted once and refitted every day on all that precedes the day, and its intervals are
calibrated every day on all out-of-sample errors known by then. Deviation: of years of history that would cost the square
of their length, so a part is refitted at most `MAX_REFITS` times, evenly spaced; what is judged is then a state up to some
days older than in service. Nothing of the judging part reaches what is judged
before it happened. What is judged are means of the hour that ends 1, 6 and 24 hours ahead, from an origin every hour;
coverage is that of the bins of the same hours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maximus_assets.models.forecasting.adaptive import calibrate
from maximus_assets.models.forecasting.base import Array, Forecaster, Parts, day_steps, horizon_steps, split
from maximus_assets.models.forecasting.rolling import Block, Rolled, horizons, hour_bins, hourly, roll
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
    """

    values: Array
    start_epoch_seconds: int
    step_seconds: int
    floor: float = -np.inf


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
    rolled: Rolled,
    history: History,
    plan: Plan,
) -> Backtest:
    """Put intervals around what was forecast.

    Args:
        name: The method, as it appears in the state.
        components: Learnt from the whole history.
        weights: Of the components after the last outcome, shape (components, horizon).
        rolled: Forecasts and outcomes of both parts.
        history: The series.
        plan: How it was split.
    """
    rolled = replace(rolled, forecasts=np.maximum(rolled.forecasts, history.floor))
    intervals = calibrate(rolled, plan.starts, history.step_seconds, history.floor)
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
        lower=intervals.next_lower,
        upper=intervals.next_upper,
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
    """One method by itself.

    Args:
        name: The method.
        replayed: What it would have forecast.
        history: The series.
        plan: How it was split.
    """
    weights = np.ones((1, plan.horizon_steps))
    return judge(name, (replayed.component,), weights, rolled=replayed.rolled, history=history, plan=plan)


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


@dataclass(frozen=True)
class HorizonScore:
    """How a method did one horizon ahead on the judging part, on hourly means.

    Attributes:
        horizon_hours: 1, 6 or 24.
        judged: How many hours were compared.
        r2: Coefficient of determination; None where the actual hours do not vary.
        mae: Mean absolute error in the series' unit; None where nothing could be compared.
        baseline_mae: The seasonal-naive's, on the same hours.
        mase: `mae / baseline_mae`; 1 where both are zero, None where only the baseline's is.
        mase_in_sample: `mae` scaled by the mean absolute one-day difference of the fitting part (Hyndman and Koehler,
            International Journal of Forecasting 22, 2006); None where that is zero.
        coverage: Share of bins within the interval, its ends included.
        coverage_strict: The same without its ends.
        coverage_error: Standard error of the coverage over days, which are resampled whole because neighbouring bins
            are dependent; None with fewer than two days.
    """

    horizon_hours: int
    judged: int
    r2: float | None
    mae: float | None
    baseline_mae: float | None
    mase: float | None
    mase_in_sample: float | None
    coverage: float | None
    coverage_strict: float | None
    coverage_error: float | None


def scores(result: Backtest, baseline: Backtest, history: History) -> tuple[HorizonScore, ...]:
    """Judge a backtest beside the seasonal-naive's, one score for each horizon.

    Args:
        result: Of the method.
        baseline: Of the seasonal-naive, on the same history.
        history: That history.
    """
    step = history.step_seconds
    actual = hourly(result.judging.actuals, step)
    own = hourly(result.judging.forecasts, step)
    base = hourly(baseline.judging.forecasts, step)
    scale = _day_difference(history, result.parts)
    width = hour_bins(step)
    days = (result.judging.origins - result.parts.judging_start) // day_steps(step)
    found = []
    for hours, column in horizons(step).items():
        known = np.isfinite(actual[:, column])
        a, f, b = actual[known, column], own[known, column], base[known, column]
        bins = slice(column * width, (column + 1) * width)
        mae, baseline_mae = _mae(a, f), _mae(a, b)
        found.append(
            HorizonScore(
                horizon_hours=hours,
                judged=len(a),
                r2=r_squared(a, f),
                mae=mae,
                baseline_mae=baseline_mae,
                mase=ratio(mae, baseline_mae),
                mase_in_sample=None if mae is None or not scale else mae / scale,
                coverage=_share(result.covered[:, bins]),
                coverage_strict=_share(result.strictly_covered[:, bins]),
                coverage_error=_day_error(result.covered[:, bins], days),
            )
        )
    return tuple(found)


def calibration_mase(result: Backtest, baseline: Backtest, step_seconds: int) -> float:
    """Mean over horizons of the calibration part's error relative to the baseline's: what the choice rests on.

    Returns:
        1 where nothing can be compared; infinite where only the baseline is without error.
    """
    actual = hourly(result.calibration.actuals, step_seconds)
    own = hourly(result.calibration.forecasts, step_seconds)
    base = hourly(baseline.calibration.forecasts, step_seconds)
    ratios = []
    for column in horizons(step_seconds).values():
        known = np.isfinite(actual[:, column])
        a = actual[known, column]
        if len(a):
            relative = ratio(_mae(a, own[known, column]), _mae(a, base[known, column]))
            ratios.append(np.inf if relative is None else relative)
    return float(np.mean(ratios)) if ratios else 1.0


def r_squared(actual: Array, forecast: Array) -> float | None:
    """Coefficient of determination, None with fewer than two values or where the actual ones do not vary."""
    if len(actual) < 2 or np.ptp(actual) == 0.0:
        return None
    # Scaled, so that squares of huge values stay finite.
    scale = float(np.ptp(actual))
    deviation = (actual - actual.mean()) / scale
    residual = (actual - forecast) / scale
    return float(1.0 - (residual @ residual) / (deviation @ deviation))


def ratio(mae: float | None, baseline_mae: float | None) -> float | None:
    """`mae / baseline_mae`; 1 where both are zero, None where it is undefined."""
    if mae is None or baseline_mae is None:
        return None
    if baseline_mae == 0.0:
        return 1.0 if mae == 0.0 else None
    return mae / baseline_mae


def _mae(actual: Array, forecast: Array) -> float | None:
    return float(np.abs(actual - forecast).mean()) if len(actual) else None


def _share(covered: Array) -> float | None:
    known = covered[np.isfinite(covered)]
    return float(known.mean()) if len(known) else None


def _day_error(covered: Array, days: NDArray[np.int64]) -> float | None:
    """Standard error of the mean over whole days; the bootstrap over days has this error in the limit."""
    shares = [_share(covered[days == day]) for day in np.unique(days)]
    known = np.array([share for share in shares if share is not None])
    return float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else None


def _day_difference(history: History, parts: Parts) -> float:
    """Mean absolute difference of hourly means a day apart, before the calibration part; 0 where there is none."""
    width, day = hour_bins(history.step_seconds), day_steps(history.step_seconds)
    past = history.values[: parts.calibration_start]
    usable = past[: len(past) // width * width].reshape(-1, width).mean(axis=1)
    lag = max(1, day // width)
    differences = np.abs(usable[lag:] - usable[:-lag])
    known = differences[np.isfinite(differences)]
    return float(known.mean()) if len(known) else 0.0


def best(results: Sequence[tuple[str, float]], baseline: str, margin: float) -> str:
    """The method to use.

    Args:
        results: Method and its `calibration_mase`.
        baseline: The method that is used unless another is clearly better.
        margin: By how much, as a share, another must be better.

    Returns:
        The one with the least error if it undercuts 1 by the margin, else the baseline.
    """
    method, error = min(results, key=lambda each: each[1])
    return method if error <= 1.0 - margin else baseline
