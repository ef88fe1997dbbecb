"""Seasonal-naive: what was, a day or a week ago. The baseline every other method must not lose to.

Hyndman and Athanasopoulos, Forecasting: Principles and Practice (3rd ed., 2021), section 5.2.
"""

from collections.abc import Sequence

import numpy as np

from maximus_assets.models.forecasting.base import (
    Array,
    day_steps,
    require_history,
    validation_start,
    week_steps,
)
from maximus_assets.pyfuncs.components import Component, Recursion


class SeasonalNaive:
    """The better of one day and one week, by mean absolute error on the validation bins.

    A week is considered where a week of history precedes at least half of those bins.
    """

    name = "seasonal_naive"

    def minimum_bins(self, step_seconds: int) -> int:
        """A day and a half: one to look back to, some to compare on."""
        return max(8, 3 * day_steps(step_seconds) // 2)

    def fit(
        self,
        values: Array,
        start_epoch_seconds: int,  # noqa: ARG002 - a season has no phase
        step_seconds: int,
        horizon_steps: int,
    ) -> Component:
        """Choose the season. Equal errors choose the day.

        Raises:
            ShortHistoryError: There is less than a day and a half, or more than half of the bins are missing.
        """
        require_history(values, self.minimum_bins(step_seconds), step_seconds)
        day, week = day_steps(step_seconds), week_steps(step_seconds)
        season = week if _error(values, week) < _error(values, day) else day
        return Recursion(
            method=self.name,
            step_seconds=step_seconds,
            minimum_bins=season,
            horizon_steps=horizon_steps,
            season_steps=season,
            day_harmonics=0,
            week_harmonics=0,
            regression=np.empty(0),
            ar=np.empty(0),
            ma=np.empty(0),
        )

    def refit(
        self,
        component: Component,
        values: Array,  # noqa: ARG002 - there is nothing to estimate
        start_epoch_seconds: int,  # noqa: ARG002 - the same
        step_seconds: int,  # noqa: ARG002 - the same
        begins: Sequence[int],
    ) -> list[Component]:
        """The same component: a season has no coefficients."""
        return [component] * len(begins)


def _error(values: Array, season: int) -> float:
    """Mean absolute error of the season on the validation bins, infinite where too few can be compared."""
    if season >= len(values):
        return np.inf
    begin = max(validation_start(len(values)), season)
    errors = np.abs(values[begin:] - values[begin - season : len(values) - season])
    compared = np.isfinite(errors)
    if compared.sum() * 2 < len(values) - validation_start(len(values)):
        return np.inf
    return float(errors[compared].mean())
