"""Intervals that learn from their own misses: adaptive conformal inference, day by day.

Split conformal intervals promise their coverage for exchangeable errors. Demand drifts and its bad days come in clumps,
so fixed ones come out too narrow. Adaptive conformal inference (Gibbs and Candes, NeurIPS 2021, equation 2; with several
rates, JMLR 25, 2024) moves what is asked for against the misses that happened, which holds the long-run coverage
whatever the distribution does. Here it moves the width, on a logarithmic scale,

    log width <- log width + rate * (share missed - nominal miss),

as in the scale tracking of Angelopoulos, Candes and Tibshirani (Conformal PID Control, NeurIPS 2023), because no quantile
of the errors of before a shift is wide enough after it. Each side of each bucket of steps ahead has its own width, learnt
where a new state is learnt, in service at the start of each day, and kept within bounds.

Errors that overlap are not independent: a week of hourly origins holds some seven errors a day ahead. So the quantiles of
few independent errors are widened as Student's t is wider than the normal distribution.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import norm, t

from maximus_assets.contracts.prediction import INTERVAL_COVERAGE
from maximus_assets.models.forecasting.base import Array, day_steps
from maximus_assets.models.forecasting.conformal import buckets, offsets
from maximus_assets.models.forecasting.rolling import HOUR_SECONDS, Rolled

RATE: Final = 0.7
"""How far a day on which everything missed moves the logarithm of the width."""

WIDTH_RANGE: Final = (0.6, 5.0)
"""Least and largest width relative to the quantiles', so that a streak cannot make an interval meaningless."""

MEMORY_DAYS: Final = 14
"""Errors older than this say nothing of today's."""

LEAST_EVIDENCE: Final = 1.5
"""Fewest independent errors that are reckoned with: fewer would widen an interval without bound."""


@dataclass(frozen=True)
class Calibrated:
    """Intervals by origin, and those to go on with.

    Attributes:
        lower: What was to be added to each forecast for its lower bound, <= 0, shape (origins, horizon).
        upper: The same for its upper bound, >= 0.
        next_lower: For forecasts after the last outcome, shape (horizon,).
        next_upper: The same.
    """

    lower: Array
    upper: Array
    next_lower: Array
    next_upper: Array


def calibrate(rolled: Rolled, starts: Sequence[int], step_seconds: int, floor: float) -> Calibrated:
    """Walk through the days (or longer stretches), each with intervals from the outcomes known when it began.

    The first has no outcomes before it; its intervals have no width and nothing is learnt from its misses.

    Args:
        rolled: Out-of-sample forecasts and what came.
        starts: Bins at which intervals are calibrated anew, ascending; the first is the first origin.
        step_seconds: Width of a bin.
        floor: No lower bound lies below it.
    """
    horizon, day = rolled.forecasts.shape[1], day_steps(step_seconds)
    ranges = buckets(horizon, step_seconds)
    widths = [last - first for first, last in ranges]
    target = rolled.origins[:, None] + np.arange(horizon)[None, :]
    lower, upper = np.zeros_like(rolled.forecasts), np.zeros_like(rolled.forecasts)
    is_learnt_from = np.zeros(target.shape, dtype=np.bool_)
    # Nothing is learnt from the first stretch.
    is_learnt_from[rolled.origins < starts[min(1, len(starts) - 1)]] = True
    scale = np.zeros((2, len(ranges)))

    def offsets_at(begin: int) -> tuple[Array, Array]:
        rows = slice(*np.searchsorted(rolled.origins, [begin - MEMORY_DAYS * day - horizon, begin]))
        ahead = target[rows]
        is_known = (ahead < begin) & np.isfinite(rolled.actuals[rows])
        is_new = is_known & ~is_learnt_from[rows]
        if is_new.any():
            actual, mean = rolled.actuals[rows], rolled.forecasts[rows]
            missed = (
                actual < np.maximum(mean + lower[rows], floor),
                actual > mean + upper[rows],
            )
            for index, (first, last) in enumerate(ranges):
                new = is_new[:, first:last]
                count = int(new.sum())
                # Less than a day of outcomes moves the width less.
                pace = RATE * min(1.0, count / (last - first) / max(1, min(24, day)))
                for side in (0, 1) if count else ():
                    share = float(missed[side][:, first:last][new].mean())
                    scale[side, index] += pace * (share - (1.0 - INTERVAL_COVERAGE) / 2.0)
            np.clip(scale, *np.log(WIDTH_RANGE), out=scale)
            is_learnt_from[rows] |= is_new
        low, high = offsets(np.where(is_known, rolled.errors[rows], np.nan), step_seconds)
        known = np.array([is_known[:, first:last].sum() / (last - first) for first, last in ranges])
        leads = np.array([last for _, last in ranges]) * step_seconds / HOUR_SECONDS
        wide = np.exp(scale) * _widening(known / (1.0 + leads))
        return low * np.repeat(wide[0], widths), high * np.repeat(wide[1], widths)

    for begin, end in zip(starts, [*starts[1:], int(target.max()) + 1], strict=True):
        first, last = np.searchsorted(rolled.origins, [begin, end])
        lower[first:last], upper[first:last] = offsets_at(begin)
    next_lower, next_upper = offsets_at(int(target.max()) + 1)
    return Calibrated(lower, upper, next_lower, next_upper)


def _widening(evidence: Array) -> Array:
    """How much wider a prediction interval is when its quantile rests on so many independent errors."""
    count = np.maximum(evidence, LEAST_EVIDENCE)
    quantile = (1.0 + INTERVAL_COVERAGE) / 2.0
    return np.asarray(t.ppf(quantile, count) * np.sqrt(1.0 + 1.0 / count) / norm.ppf(quantile))
