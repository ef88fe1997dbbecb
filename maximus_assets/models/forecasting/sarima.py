"""SARIMA: a regression on day and week, or a seasonal difference, with ARMA errors estimated by statsmodels.

Season enters in one of two ways. Either Fourier columns of day and week are fitted first, by ridge regression, and the
residuals are an ARIMA process (dynamic harmonic regression; Hyndman and Athanasopoulos, Forecasting: Principles and
Practice, 3rd ed. 2021, section 10.5); or the series is differenced by a day or a week and the difference is an ARMA
process (Box, Jenkins, Reinsel and Ljung, Time Series Analysis, 5th ed. 2015, chapter 9). Deviation from the textbook:
regression and errors are estimated one after the other, not jointly, which costs a tenth of the time on 8,000 bins.

Structures differ in what they difference, so their likelihoods and AICs cannot be compared; they are compared by their
errors on the validation bins instead.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from statsmodels.tsa.statespace.sarimax import SARIMAX

from maximus_assets.features.calendar import fourier_columns
from maximus_assets.models.forecasting.base import (
    Array,
    day_steps,
    require_history,
    validation_start,
    week_steps,
)
from maximus_assets.models.forecasting.rolling import Block, horizons, hourly, roll
from maximus_assets.pyfuncs.components import Component, Recursion


@dataclass(frozen=True)
class Structure:
    """What is fixed before coefficients are estimated.

    Attributes:
        season_days: Days in the seasonal difference: 0 (none), 1 or 7.
        day_harmonics: Of the regression.
        week_harmonics: Of the regression.
        order: Of the errors: autoregressive, differences, moving average.
        needed_days: History before validation below which it is not considered.
    """

    season_days: int
    day_harmonics: int
    week_harmonics: int
    order: tuple[int, int, int]
    needed_days: float


STRUCTURES: Final = (
    Structure(0, 0, 0, (0, 1, 1), 0.0),
    Structure(0, 6, 0, (2, 0, 1), 2.0),
    Structure(0, 6, 0, (2, 1, 1), 2.0),
    Structure(1, 0, 0, (2, 0, 1), 2.0),
    Structure(7, 0, 0, (2, 0, 1), 8.0),
    Structure(0, 8, 14, (2, 0, 1), 14.0),
    Structure(0, 8, 14, (0, 1, 1), 14.0),
)
"""Tried in this order; the first of equals wins. A regression on the week waits until it has seen two whole weeks: on
less, one odd weekend becomes the week's shape."""

RIDGE: Final = 1e-3
"""Penalty on the regression, as a share of the number of bins: it keeps a short history's columns apart."""

OUTLIER_DEVIATIONS: Final = 4.0
"""How many robust standard deviations (1.4826 times the median absolute deviation) make an outlier."""

ERROR_DAYS: Final = 14
"""The errors' coefficients are estimated on this many last days: ten of them settle with a thousand bins, and the time it
takes grows with the bins."""

_LEAST_ERROR: Final = 1e-12


class Sarima:
    """Seasonal ARIMA with its structure chosen by validation."""

    name = "sarima"

    def minimum_bins(self, step_seconds: int) -> int:
        """A day and a half."""
        return max(8, 3 * day_steps(step_seconds) // 2)

    def fit(
        self, values: Array, start_epoch_seconds: int, step_seconds: int, horizon_steps: int
    ) -> Component:
        """Choose the structure with the least validation error; its dynamics come from before the validation bins.

        Raises:
            ShortHistoryError: There is less than a day and a half, or more than half of the bins are missing.
        """
        require_history(values, self.minimum_bins(step_seconds), step_seconds)
        begin = validation_start(len(values))
        known_days = begin / day_steps(step_seconds)
        best_score, best = np.inf, None
        for structure in STRUCTURES:
            if structure.needed_days > known_days:
                continue
            found = estimate(structure, values[:begin], start_epoch_seconds, step_seconds, horizon_steps)
            score = _score(found, values, begin, start_epoch_seconds, step_seconds)
            if best is None or score < best_score:
                best_score, best = score, found
        assert best is not None
        return self.refit(best, values, start_epoch_seconds, step_seconds, [len(values)])[0]

    def refit(
        self,
        component: Component,
        values: Array,
        start_epoch_seconds: int,
        step_seconds: int,
        begins: Sequence[int],
    ) -> list[Component]:
        """Estimate the regression anew and keep the errors' coefficients."""
        assert isinstance(component, Recursion)
        if not len(component.regression):
            return [component] * len(begins)
        harmonics = component.day_harmonics, component.week_harmonics
        return [
            replace(
                component, regression=_regress(values[:begin], start_epoch_seconds, step_seconds, *harmonics)
            )
            for begin in begins
        ]


def estimate(
    structure: Structure, values: Array, start_epoch_seconds: int, step_seconds: int, horizon_steps: int
) -> Recursion:
    """Estimate a structure's coefficients.

    Args:
        structure: What to estimate.
        values: Shape (n,), NaN where missing.
        start_epoch_seconds: Start of the first bin.
        step_seconds: Width of a bin.
        horizon_steps: How many steps ahead it will be asked for.
    """
    day = day_steps(step_seconds)
    season = {0: 0, 1: day, 7: week_steps(step_seconds)}[structure.season_days]
    # A harmonic needs more than two bins a cycle.
    day_harmonics = min(structure.day_harmonics, max(0, (day - 1) // 2))
    week_harmonics = min(structure.week_harmonics, (week_steps(step_seconds) - 1) // 2)
    if season:
        regression = np.empty(0)
        noise = values[season:] - values[:-season]
    else:
        regression = _regress(values, start_epoch_seconds, step_seconds, day_harmonics, week_harmonics)
        times = start_epoch_seconds + step_seconds * np.arange(len(values), dtype=np.int64)
        noise = values - fourier_columns(times, day_harmonics, week_harmonics) @ regression
    ar, ma = errors(noise[-ERROR_DAYS * day :], structure.order)
    return Recursion(
        method=Sarima.name,
        step_seconds=step_seconds,
        horizon_steps=horizon_steps,
        # Half a day beyond the season, so that the errors' state has settled.
        minimum_bins=season + max(1, day // 2) if season else day,
        season_steps=season,
        day_harmonics=day_harmonics if not season else 0,
        week_harmonics=week_harmonics if not season else 0,
        regression=regression,
        ar=ar,
        ma=ma,
    )


def errors(noise: Array, order: tuple[int, int, int]) -> tuple[Array, Array]:
    """Maximum-likelihood coefficients of an ARIMA process, estimated on winsorized noise.

    An incident is no property of the process, yet a handful of them decides its coefficients (Denby and Martin, JASA 74,
    1979): so values further than `OUTLIER_DEVIATIONS` from the median are brought back to there. Only while estimating;
    a forecast starts from what was seen.

    Args:
        noise: Shape (n,), NaN where missing.
        order: Autoregressive, differences, moving average.

    Returns:
        Autoregressive coefficients from lag 1 on with the differences folded in, and moving-average coefficients;
        both empty for noise that is constant or mostly missing.
    """
    noise = _winsorized(noise)
    seen = noise[np.isfinite(noise)]
    scale = float(np.std(seen)) if len(seen) > 10 * (1 + sum(order)) else 0.0
    if scale <= 1e-9 * max(1e-300, float(np.max(np.abs(seen), initial=0.0))):
        return np.empty(0), np.empty(0)
    with warnings.catch_warnings():
        # A poor starting point and a search cut short show as a worse validation error, which is what decides.
        warnings.simplefilter("ignore")
        fitted = SARIMAX(noise / scale, order=order).fit(disp=0, maxiter=40, cov_type="none")
    polynomial = np.asarray(fitted.polynomial_reduced_ar, dtype=np.float64)
    for _ in range(order[1]):
        polynomial = np.convolve(polynomial, [1.0, -1.0])
    return -polynomial[1:], np.asarray(fitted.polynomial_reduced_ma, dtype=np.float64)[1:].copy()


def _winsorized(noise: Array) -> Array:
    """The noise with outliers brought back to `OUTLIER_DEVIATIONS` robust standard deviations from its median."""
    seen = noise[np.isfinite(noise)]
    if not len(seen):
        return noise
    middle = float(np.median(seen))
    spread = OUTLIER_DEVIATIONS * 1.4826 * float(np.median(np.abs(seen - middle)))
    return np.clip(noise, middle - spread, middle + spread) if spread > 0.0 else noise


def _regress(
    values: Array, start_epoch_seconds: int, step_seconds: int, day_harmonics: int, week_harmonics: int
) -> Array:
    """Ridge coefficients of the calendar columns, the constant not penalised."""
    times = start_epoch_seconds + step_seconds * np.arange(len(values), dtype=np.int64)
    seen = np.isfinite(values)
    columns = fourier_columns(times[seen], day_harmonics, week_harmonics)
    penalty = RIDGE * max(1, len(columns)) * np.eye(columns.shape[1])
    penalty[0, 0] = 0.0
    # Around the mean, so that a shift of the series moves the constant and nothing else.
    mean = float(values[seen].mean()) if seen.any() else 0.0
    gram = columns.T @ columns + penalty
    gram[0, 0] = max(gram[0, 0], 1.0)
    coefficients = np.linalg.solve(gram, columns.T @ (values[seen] - mean))
    coefficients[0] += mean
    return np.asarray(coefficients)


def _score(
    component: Recursion, values: Array, begin: int, start_epoch_seconds: int, step_seconds: int
) -> float:
    """Mean over the judged horizons of the logarithm of the mean absolute error of hourly means.

    The logarithm makes horizons of different difficulty, and series of any unit, weigh alike.
    """
    rolled = roll([Block(component, begin, len(values))], values, start_epoch_seconds, step_seconds)
    deviations = np.abs(hourly(rolled.errors, step_seconds))
    means = []
    for column in horizons(step_seconds).values():
        compared = deviations[:, column][np.isfinite(deviations[:, column])]
        if len(compared):
            means.append(float(np.log(max(compared.mean(), _LEAST_ERROR))))
    return float(np.mean(means)) if means else np.inf
