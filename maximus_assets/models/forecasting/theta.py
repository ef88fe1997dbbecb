"""Theta: simple exponential smoothing with half the drift, on the seasonally adjusted series.

Assimakopoulos and Nikolopoulos (International Journal of Forecasting 16, 2000) extrapolate two lines, one with twice the
series' curvature and one with none; Hyndman and Billah (International Journal of Forecasting 19, 2003) show that their
mean is simple exponential smoothing with a drift of half the slope of the straight line through the series. The season
is the mean over all days, as in classical decomposition. Deviation from the original: the season is taken away, not
divided by, because a service at rest is at zero; whether there is one is decided by validation, not by a test of
autocorrelation.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from maximus_assets.models.forecasting.base import Array, day_steps, require_history
from maximus_assets.models.forecasting.seasons import Material, Season, kinds, known_days, seasons
from maximus_assets.models.forecasting.validation import best
from maximus_assets.pyfuncs.components import Component, Smoothing

LEVEL_GAINS: Final = (0.03, 0.1, 0.25, 0.5, 0.8)
"""Gains of the level that are tried; the middle one stands for all while the season is chosen."""

DRIFT_SHARE: Final = 0.5
"""Of the slope: 1 - 1 / theta, with theta 2."""


class Theta:
    """Simple exponential smoothing with half the drift."""

    name = "theta"

    def minimum_bins(self, step_seconds: int) -> int:
        """A day and a half."""
        return max(8, 3 * day_steps(step_seconds) // 2)

    def fit(
        self, values: Array, start_epoch_seconds: int, step_seconds: int, horizon_steps: int
    ) -> Component:
        """Choose the season, then the level's gain, with the least validation error.

        Raises:
            ShortHistoryError: There is less than a day and a half, or more than half of the bins are missing.
        """
        require_history(values, self.minimum_bins(step_seconds), step_seconds)

        made_from = Material(values, start_epoch_seconds, step_seconds, horizon_steps)

        def make(structure: tuple[Season, float], begins: Sequence[int]) -> list[Component]:
            return _make(*structure, made_from, begins)

        def choose(structures: list[tuple[Season, float]]) -> tuple[Season, float]:
            return best(structures, make, values, start_epoch_seconds, step_seconds)

        middle = LEVEL_GAINS[len(LEVEL_GAINS) // 2]
        # A gain of zero weighs every day alike.
        season, _ = choose([(each, middle) for each in kinds(len(values), step_seconds, (0.0,))])
        chosen = choose([(season, level) for level in LEVEL_GAINS])
        return make(chosen, [len(values)])[0]

    def refit(
        self,
        component: Component,
        values: Array,
        start_epoch_seconds: int,
        step_seconds: int,
        begins: Sequence[int],
    ) -> list[Component]:
        """Learn season and drift anew and keep the gain."""
        assert isinstance(component, Smoothing)
        season, level = Season(known_days(component), 0.0), float(component.gains[0])
        made_from = Material(values, start_epoch_seconds, step_seconds, component.horizon_steps)
        return _make(season, level, made_from, begins)


def _make(
    season: Season,
    level: float,
    made_from: Material,
    begins: Sequence[int],
) -> list[Component]:
    phase = made_from.phase
    return [
        Smoothing(
            method=Theta.name,
            step_seconds=made_from.step_seconds,
            minimum_bins=day_steps(made_from.step_seconds),
            horizon_steps=made_from.horizon_steps,
            gains=np.array([level, 0.0, 1.0, 0.0]),
            drift=np.array([DRIFT_SHARE * slope(made_from.values[:begin], profile, phase)]),
            season=profile,
        )
        for begin, profile in zip(begins, seasons(made_from, begins, season), strict=True)
    ]


def slope(values: Array, season: Array, phase: int) -> float:
    """Least-squares slope a bin of a series less its season, zero with fewer than two bins seen.

    Args:
        values: Shape (n,), NaN where missing.
        season: Indexed from the Unix epoch.
        phase: Where in it, counted from the epoch, bin 0 lies.
    """
    at = np.flatnonzero(np.isfinite(values))
    if len(at) < 2:
        return 0.0
    centred = at - at.mean()
    adjusted = values[at] - season[(phase + at) % len(season)]
    return float(centred @ (adjusted - adjusted.mean()) / (centred @ centred))
