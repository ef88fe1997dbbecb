"""Seasonal-naive with level correction by ratio: yesterday's, or last week's, shape at today's height.

Seasonal-naive (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd ed. 2021, section 5.2) repeats the
level of a day ago as well as its shape. Here the level is corrected by what it has become since; `pyfuncs.rescaled`
states the rule, also for a level near zero. There is nothing to estimate: what is chosen, by validation, is which
season, over how long the level is taken, whether single bins or an hour around them are looked up, and how fast the
correction fades.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from maximus_assets.features.calendar import DAY_SECONDS
from maximus_assets.models.forecasting.base import (
    Array,
    day_steps,
    require_history,
    validation_start,
    week_steps,
)
from maximus_assets.models.forecasting.rolling import HOUR_SECONDS, hour_bins
from maximus_assets.models.forecasting.validation import best
from maximus_assets.pyfuncs.components import Component, Rescaled

LEVEL_SECONDS: Final = (HOUR_SECONDS, 6 * HOUR_SECONDS, DAY_SECONDS)
"""Widths of the level that are tried."""

HALF_LIFE_SECONDS: Final = (0, 6 * HOUR_SECONDS)
"""Half-lives of the correction that are tried; 0 keeps all of it."""


class LevelNaive:
    """The last season, rescaled to the present level."""

    name = "level_naive"

    def minimum_bins(self, step_seconds: int) -> int:
        """A day and a half: one to look back to, some to compare on."""
        return max(8, 3 * day_steps(step_seconds) // 2)

    def fit(
        self, values: Array, start_epoch_seconds: int, step_seconds: int, horizon_steps: int
    ) -> Component:
        """Choose the season, then how it is corrected, with the least validation error.

        A week is considered where a week and a day precede the validation part.

        Raises:
            ShortHistoryError: There is less than a day and a half, or more than half of the bins are missing.
        """
        require_history(values, self.minimum_bins(step_seconds), step_seconds)
        day, hour = day_steps(step_seconds), hour_bins(step_seconds)
        levels = list(dict.fromkeys(max(1, each // step_seconds) for each in LEVEL_SECONDS))
        halves = list(dict.fromkeys(each // step_seconds for each in HALF_LIFE_SECONDS))

        def made(season: int, level: int, around: int, half_life: int) -> Rescaled:
            return Rescaled(
                method=self.name,
                step_seconds=step_seconds,
                # The mean that is looked up and the level then both lie within the window.
                minimum_bins=season + max(level, around),
                horizon_steps=horizon_steps,
                season_steps=season,
                level_steps=level,
                around_steps=around,
                half_life_steps=half_life,
            )

        def choose(candidates: list[Rescaled]) -> Rescaled:
            def repeat(each: Rescaled, begins: Sequence[int]) -> list[Component]:
                return [each] * len(begins)

            return best(candidates, repeat, values, start_epoch_seconds, step_seconds)

        week = week_steps(step_seconds)
        known = validation_start(len(values))
        periods = [day, week] if known >= week + day else [day]
        chosen = choose(
            [made(season, hour, around, 0) for season in periods for around in dict.fromkeys((hour, 1))]
        )
        return choose(
            [
                replace(
                    chosen,
                    minimum_bins=chosen.season_steps + max(level, chosen.around_steps),
                    level_steps=level,
                    half_life_steps=half_life,
                )
                for half_life in halves
                for level in levels
            ]
        )

    def refit(
        self,
        component: Component,
        values: Array,  # noqa: ARG002 - there is nothing to estimate
        start_epoch_seconds: int,  # noqa: ARG002 - the same
        step_seconds: int,  # noqa: ARG002 - the same
        begins: Sequence[int],
    ) -> list[Component]:
        """The same component: nothing in it is estimated."""
        return [component] * len(begins)
