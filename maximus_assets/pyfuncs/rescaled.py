"""A season ago, with the level corrected by ratio: yesterday's shape at today's height.

The forecast of a bin is what was one season before it, times the level now over the level one season ago. Demand that
doubles doubles its swing as well, which an added difference would leave as it was.

The hard part is a level near zero, where a ratio means nothing. The rule, the same for every series: the ratio is used
where both levels are at least `NEAR_ZERO` of the mean magnitude of the season looked up, and is then held within
`MOST_RATIO` and its inverse; otherwise the difference of the levels is added. Both corrections fade with the steps ahead
at the component's half-life.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from maximus_assets.pyfuncs.components import Rescaled
from maximus_assets.pyfuncs.past import Array, Index, Past

NEAR_ZERO: Final = 0.1
"""A level below this share of the mean magnitude of the season is near zero, as is one below zero."""

MOST_RATIO: Final = 4.0
"""Largest ratio of levels; its inverse is the smallest."""


@dataclass(frozen=True)
class Rules:
    """How each row is corrected: fields of `components.Rescaled`, each of shape (k,)."""

    season_steps: Index
    level_steps: Index
    around_steps: Index
    half_life_steps: Index


def rules(components: Sequence[Rescaled], of_row: Index) -> Rules:
    """How each row is corrected.

    Args:
        components: The rescaled seasons.
        of_row: Which of them each row uses, shape (k,).
    """
    names = ("season_steps", "level_steps", "around_steps", "half_life_steps")
    return Rules(*(np.array([getattr(each, name) for each in components])[of_row] for name in names))


def rescale(past: Past, origin: Index, column: Index, rules: Rules, steps: int) -> Array:
    """Forecast from every row.

    Args:
        past: Filled values.
        origin: First bin that is not known, as a row of the past, >= 1, shape (k,).
        column: Series of the past, shape (k,).
        rules: How.
        steps: How far ahead, >= 1.

    Returns:
        In the series' unit, shape (k, steps).
    """
    offset = past.offset[column]
    season, width = rules.season_steps, rules.level_steps

    def mean(end: Index) -> Array:
        end = np.maximum(end, 1)
        return past.mean(np.maximum(end - width, 0), end, column) + offset

    now, then = mean(origin), mean(origin - season)
    horizon = np.arange(steps)
    behind = origin[:, None] + horizon - season[:, None] * (horizon // season[:, None] + 1)
    half = (rules.around_steps // 2)[:, None]
    behind = np.maximum(behind, 0)
    looked_up = past.mean(
        np.maximum(behind - half, 0), np.minimum(behind + half + 1, origin[:, None]), column[:, None]
    )
    looked_up = looked_up + offset[:, None]
    threshold = NEAR_ZERO * _magnitude(past, origin, column, season)
    smaller = np.minimum(now, then)
    is_ratio = (smaller > 0.0) & (smaller >= threshold)
    ratio = np.clip(np.divide(now, then, out=np.ones_like(now), where=is_ratio), 1.0 / MOST_RATIO, MOST_RATIO)
    with np.errstate(divide="ignore"):
        rate = np.where(rules.half_life_steps > 0, 1.0 / rules.half_life_steps, 0.0)
    left = 0.5 ** (rate[:, None] * (horizon + 1))
    scaled = looked_up * (1.0 + (ratio[:, None] - 1.0) * left)
    added = looked_up + (now - then)[:, None] * left
    return np.where(is_ratio[:, None], scaled, added)


def _magnitude(past: Past, origin: Index, column: Index, season: Index) -> Array:
    """Mean absolute value of the season before each origin, shape (k,)."""
    sums = np.concatenate(
        [np.zeros((1, past.filled.shape[1])), np.cumsum(np.abs(past.filled + past.offset), axis=0)]
    )
    begin = np.maximum(origin - season, 0)
    return np.asarray((sums[origin, column] - sums[begin, column]) / (origin - begin))
