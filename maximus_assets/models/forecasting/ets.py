"""ETS: exponential smoothing with additive errors, a damped trend or none, and an additive season or none.

Hyndman, Koehler, Ord and Snyder, Forecasting with Exponential Smoothing (2008), chapter 2: ETS(A,N,N) to ETS(A,Ad,A).
The gains are not estimated by likelihood, whose one-step errors say little about a day ahead at steps of minutes, but
chosen from a small grid by their errors at every horizon that is judged: first the season, then level and trend. How the
season is learnt, and where that leaves the textbook, is said in `seasons`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from maximus_assets.models.forecasting.base import Array, day_steps, require_history
from maximus_assets.models.forecasting.rolling import HOUR_SECONDS
from maximus_assets.models.forecasting.seasons import Material, Season, kinds, known_days, seasons
from maximus_assets.models.forecasting.validation import best
from maximus_assets.pyfuncs.components import Component, Smoothing

LEVEL_GAINS: Final = (0.03, 0.1, 0.25, 0.5, 0.8)
"""Gains of the level that are tried; the middle one stands for all while the season is chosen."""

TRENDS: Final = ((0.0, 1.0), (0.1, 0.9))
"""Gains of the trend, as a share of the level's, and their damping a step; the first is no trend."""

RETURN_HOURS: Final = (2.0, 8.0, 32.0)
"""Half-lives of a return that are tried: the trend's gain is then the least admissible one, -alpha (1 - phi)."""

SEASON_GAINS: Final = (0.1, 0.3, 0.7)


@dataclass(frozen=True)
class Structure:
    """What is chosen.

    Attributes:
        season: Which season.
        level: Gain of the level.
        trend: Gain of the trend.
        damping: Of the trend.
    """

    season: Season
    level: float
    trend: float = 0.0
    damping: float = 1.0


class Ets:
    """Damped-trend exponential smoothing around a season."""

    name = "ets"

    def minimum_bins(self, step_seconds: int) -> int:
        """A day and a half."""
        return max(8, 3 * day_steps(step_seconds) // 2)

    def fit(
        self, values: Array, start_epoch_seconds: int, step_seconds: int, horizon_steps: int
    ) -> Component:
        """Choose the season, then the gains, with the least validation error.

        Raises:
            ShortHistoryError: There is less than a day and a half, or more than half of the bins are missing.
        """
        require_history(values, self.minimum_bins(step_seconds), step_seconds)

        made_from = Material(values, start_epoch_seconds, step_seconds, horizon_steps)

        def make(structure: Structure, begins: Sequence[int]) -> list[Component]:
            return _make(structure, made_from, begins)

        def choose(structures: list[Structure]) -> Structure:
            return best(structures, make, values, start_epoch_seconds, step_seconds)

        middle = LEVEL_GAINS[len(LEVEL_GAINS) // 2]
        season = choose(
            [Structure(each, middle) for each in kinds(len(values), step_seconds, SEASON_GAINS)]
        ).season
        chosen = choose(
            [
                Structure(season, level, share * level, damping)
                for share, damping in trends(step_seconds)
                for level in LEVEL_GAINS
            ]
        )
        return make(chosen, [len(values)])[0]

    def refit(
        self,
        component: Component,
        values: Array,
        start_epoch_seconds: int,
        step_seconds: int,
        begins: Sequence[int],
    ) -> list[Component]:
        """Learn the season anew and keep the gains; the seasons of all begins come from one pass."""
        assert isinstance(component, Smoothing)
        level, trend, damping, gain = (float(each) for each in component.gains)
        structure = Structure(Season(known_days(component), gain), level, trend, damping)
        made_from = Material(values, start_epoch_seconds, step_seconds, component.horizon_steps)
        return _make(structure, made_from, begins)


def trends(step_seconds: int) -> list[tuple[float, float]]:
    """Gains of the trend as a share of the level's, and their damping a step, that are tried.

    With a trend gain below zero a deviation fades instead of growing: of an error e the level keeps alpha (1 - phi) e in
    the end, and the rest of alpha e halves every so many hours. Such gains lie outside the usual region and inside the
    admissible one (Hyndman, Akram and Archibald, Annals of the Institute of Statistical Mathematics 60, 2008).
    """
    damping = [0.5 ** (step_seconds / (HOUR_SECONDS * hours)) for hours in RETURN_HOURS]
    return [*TRENDS, *((each - 1.0, each) for each in damping)]


def _make(
    structure: Structure,
    made_from: Material,
    begins: Sequence[int],
) -> list[Component]:
    gains = np.array([structure.level, structure.trend, structure.damping, structure.season.gain])
    return [
        Smoothing(
            method=Ets.name,
            step_seconds=made_from.step_seconds,
            minimum_bins=day_steps(made_from.step_seconds),
            horizon_steps=made_from.horizon_steps,
            gains=gains.copy(),
            drift=np.zeros(1),
            season=season,
        )
        for season in seasons(made_from, begins, structure.season)
    ]
