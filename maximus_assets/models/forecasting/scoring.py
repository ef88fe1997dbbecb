"""Scores of a backtest, and the choice between what was backtested.

What is judged are means of the hour that ends 1, 6 and 24 hours ahead, and of the first quarter of an hour, from an
origin every hour; coverage is that of the bins of the same stretches. A choice rests on the calibration part, half on the
error of the mean and half on what the decision costs that is taken on the forecast.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maximus_assets.contracts.prediction import INTERVAL_COVERAGE
from maximus_assets.models.forecasting.backtest import Backtest, History
from maximus_assets.models.forecasting.base import Array, Parts, day_steps
from maximus_assets.models.forecasting.rolling import horizons, hour_bins

LEAD_SECONDS: Final = 900
"""The scaler's lead: age of a metric, a turn of the loop, the start of a replica, and some safety."""

LEAD: Final = 0
"""How the lead appears among horizons in hours."""

UPPER_FRACTILE: Final = (1.0 + INTERVAL_COVERAGE) / 2.0
"""Where the upper bound aims. Provisioning there is the newsvendor's best decision when a unit of demand that was not
provided for costs 19 times a unit provided in vain: that is the price the decision loss states."""


@dataclass(frozen=True)
class HorizonScore:
    """How a method did one horizon ahead on the judging part, on hourly means.

    Attributes:
        horizon_hours: 1, 6 or 24; 0 for the first quarter of an hour, the scaler's lead.
        judged: How many hours were compared.
        r2: Coefficient of determination; None where the actual hours do not vary.
        mae: Mean absolute error in the series' unit; None where nothing could be compared.
        baseline_mae: The seasonal-naive's, on the same hours.
        mase: `mae / baseline_mae`; 1 where both are zero, None where only the baseline's is.
        mase_in_sample: `mae` scaled by the mean absolute one-day difference of the fitting part (Hyndman and Koehler,
            International Journal of Forecasting 22, 2006); None where that is zero.
        decision_loss: What provisioning at the upper bound cost, relative to the seasonal-naive's upper bound (see
            `pinball`); 1 where both cost nothing, None where only the baseline's does.
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
    decision_loss: float | None
    coverage: float | None
    coverage_strict: float | None
    coverage_error: float | None


def stretches(step_seconds: int) -> dict[int, slice]:
    """Horizon in hours, `LEAD` for the lead -> the steps ahead it is about; only those a step fits into."""
    width = hour_bins(step_seconds)
    found = {LEAD: slice(0, LEAD_SECONDS // step_seconds)} if step_seconds <= LEAD_SECONDS else {}
    for hours, column in horizons(step_seconds).items():
        found[hours] = slice(column * width, (column + 1) * width)
    return found


def horizon_name(hours: int) -> str:
    """The horizon as people and metrics name it: `1h`, `15min`."""
    return f"{LEAD_SECONDS // 60}min" if hours == LEAD else f"{hours}h"


def scores(result: Backtest, baseline: Backtest, history: History) -> tuple[HorizonScore, ...]:
    """Judge a backtest beside the seasonal-naive's, one score for each horizon.

    Args:
        result: Of the method.
        baseline: Of the seasonal-naive, on the same history.
        history: That history.
    """
    step = history.step_seconds
    scale = _day_difference(history, result.parts)
    days = (result.judging.origins - result.parts.judging_start) // day_steps(step)
    found = []
    for hours, bins in stretches(step).items():
        actual = result.judging.actuals[:, bins].mean(axis=1)
        known = np.isfinite(actual)
        a, f = actual[known], result.judging.forecasts[known, bins].mean(axis=1)
        mae = _mae(a, f)
        baseline_mae = _mae(a, baseline.judging.forecasts[known, bins].mean(axis=1))
        found.append(
            HorizonScore(
                horizon_hours=hours,
                judged=len(a),
                r2=r_squared(a, f),
                mae=mae,
                baseline_mae=baseline_mae,
                mase=ratio(mae, baseline_mae),
                mase_in_sample=None if mae is None or not scale else mae / scale,
                decision_loss=ratio(
                    pinball(result.judging.actuals[:, bins], result.upper[:, bins]),
                    pinball(result.judging.actuals[:, bins], baseline.upper[:, bins]),
                ),
                coverage=_share(result.covered[:, bins]),
                coverage_strict=_share(result.strictly_covered[:, bins]),
                coverage_error=_day_error(result.covered[:, bins], days),
            )
        )
    return tuple(found)


def pinball(actual: Array, upper: Array) -> float | None:
    """What provisioning at the upper bound costs a bin: the newsvendor's loss at `UPPER_FRACTILE`.

    Koenker and Bassett, Econometrica 46, 1978. A unit short costs the fractile, a unit too many what lacks to 1.

    Args:
        actual: What came, NaN where missing.
        upper: What was provided for, same shape.

    Returns:
        Mean over bins in the series' unit, None where nothing can be compared.
    """
    short = (actual - upper)[np.isfinite(actual)]
    if not len(short):
        return None
    return float(np.maximum(UPPER_FRACTILE * short, (UPPER_FRACTILE - 1.0) * short).mean())


def calibration_loss(result: Backtest, baseline: Backtest, step_seconds: int) -> float:
    """Mean over horizons of the calibration part's loss relative to the baseline's: what the choice rests on.

    Half of it is the error of the mean, half the decision loss of the days that had intervals.

    Returns:
        1 where nothing can be compared; infinite where only the baseline is without loss.
    """
    ratios = []
    actuals = result.calibration.actuals
    had_interval = result.calibration_upper.max(axis=1) > result.calibration.forecasts.max(axis=1)
    for bins in stretches(step_seconds).values():
        actual = actuals[:, bins].mean(axis=1)
        known = np.isfinite(actual)
        own = _mae(actual[known], result.calibration.forecasts[known, bins].mean(axis=1))
        base = _mae(actual[known], baseline.calibration.forecasts[known, bins].mean(axis=1))
        if own is not None:
            ratios.append(ratio(own, base))
        cost = pinball(actuals[had_interval, bins], result.calibration_upper[had_interval, bins])
        if cost is not None:
            base_cost = pinball(actuals[had_interval, bins], baseline.calibration_upper[had_interval, bins])
            ratios.append(ratio(cost, base_cost))
    return float(np.mean([np.inf if each is None else each for each in ratios])) if ratios else 1.0


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


def is_preferred(loss: float, doubt: float) -> bool:
    """Whether a method is used rather than the baseline.

    Args:
        loss: Its `calibration_loss`; exactly 1 where both are without error or nothing could be compared, which keeps
            the baseline.
        doubt: Share by which it may lose on a calibration part that is short.
    """
    return loss != 1.0 and loss <= 1.0 + doubt
