"""Intervals that learn from their own misses: adaptive conformal inference, by the day and within it.

Split conformal intervals promise their coverage for exchangeable errors. Demand drifts and its bad days come in clumps,
so fixed ones come out too narrow when it changes and too wide when it is calm. Four things are done about it:

- Errors are taken relative to a scale that is known when a forecast is made (`pyfuncs.intervals.scales`).
- Recent ones weigh more in their quantiles (`conformal`).
- Each side of each bucket of steps ahead has a width of its own, moved each day against the misses that happened:
  adaptive conformal inference (Gibbs and Candes, NeurIPS 2021, equation 2), which holds the long-run coverage whatever
  the distribution does. It is the width that moves, on a logarithmic scale,

      log width <- log width + rate * (share missed - nominal miss),

  as in the scale tracking of Angelopoulos, Candes and Tibshirani (Conformal PID Control, NeurIPS 2023), because no
  quantile of the errors of before a shift is wide enough after it.
- Within the day, the interval given at its beginning is watched, and its misses move the widths of the forecasts that
  follow (`pyfuncs.intervals.reaction`).

Widths are learnt where a new state is learnt, in service at the start of each day. Errors that overlap are not
independent: a week of hourly origins holds some seven errors a day ahead. So the quantiles of few independent errors are
widened as Student's t is wider than the normal distribution, in part: the misses do the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtri, stdtrit

from maximus_assets.contracts.prediction import INTERVAL_COVERAGE
from maximus_assets.models.forecasting.base import Array, day_steps
from maximus_assets.models.forecasting.conformal import buckets, offsets
from maximus_assets.models.forecasting.rolling import HOUR_SECONDS, Rolled
from maximus_assets.pyfuncs.intervals import changes, levels, missed, reaction, scales

SENSITIVITY: Final = (0.5, 0.15, 0.1, 0.1, 6.0)
"""Exponents of the level and of the recent stretches (`pyfuncs.intervals.RECENT_HOURS`), and the pace within a day. The
exponents are those of a regression of the logarithm of errors on 97 series; the level's is for demand with a floor at
zero or above."""

RATE: Final = 0.7
"""How far a day on which everything missed moves the logarithm of the width."""

WIDTH_RANGE: Final = (0.6, 5.0)
"""Least and largest width relative to the quantiles', so that a streak cannot make an interval meaningless."""

HALF_LIFE_DAYS: Final = 2.0
"""Age at which an error weighs half; `HALF_LIFE_BINS` where these are longer."""

HALF_LIFE_BINS: Final = 48

MEMORY: Final = 5.0
"""Half-lives after which an error is forgotten: it would weigh 3 %."""

WIDENING: Final = 0.5
"""Part of the widening for few independent errors that is applied."""

LEAST_EVIDENCE: Final = 1.5
"""Fewest independent errors that are reckoned with: fewer would widen an interval without bound."""


@dataclass(frozen=True)
class Calibrated:
    """Intervals by origin, and those to go on with.

    Attributes:
        lower: What was to be added to each forecast for its lower bound, <= 0, shape (origins, horizon).
        upper: The same for its upper bound, >= 0.
        next_lower: For forecasts after the last outcome, relative to their scale, shape (horizon,).
        next_upper: The same.
        sensitivity: What that scale and the reaction to misses go by, shape (`intervals.SENSITIVITIES`,).
    """

    lower: Array
    upper: Array
    next_lower: Array
    next_upper: Array
    sensitivity: Array


def calibrate(
    rolled: Rolled, values: Array, starts: Sequence[int], step_seconds: int, floor: float
) -> Calibrated:
    """Walk through the days (or longer stretches), each with intervals from the outcomes known when it began.

    The first has no outcomes before it; its intervals have no width and nothing is learnt from its misses.

    Args:
        rolled: Out-of-sample forecasts and what came.
        values: The whole history, NaN where missing.
        starts: Bins at which intervals are calibrated anew, ascending; the first is the first origin.
        step_seconds: Width of a bin.
        floor: No lower bound lies below it.
    """
    horizon, day = rolled.forecasts.shape[1], day_steps(step_seconds)
    ranges = buckets(horizon, step_seconds)
    widths = [last - first for first, last in ranges]
    target = rolled.origins[:, None] + np.arange(horizon)[None, :]
    sensitivity = np.array(SENSITIVITY)
    if floor < 0.0:
        sensitivity[0] = 0.0
    window = values[:, None]
    scale = scales(
        rolled.forecasts,
        levels(window, rolled.origins, step_seconds)[:, 0],
        changes(window, rolled.origins, step_seconds)[:, 0],
        sensitivity,
        step_seconds,
    )
    scores = rolled.errors / scale
    half_life = max(HALF_LIFE_DAYS * day, float(HALF_LIFE_BINS))
    lower, upper = np.zeros_like(scores), np.zeros_like(scores)
    is_learnt_from = np.zeros(target.shape, dtype=np.bool_)
    # Nothing is learnt from the first stretch.
    is_learnt_from[rolled.origins < starts[min(1, len(starts) - 1)]] = True
    moved = np.zeros((2, len(ranges)))
    freshness = 0.5 ** (-np.arange(horizon) / half_life)
    leads = np.array([last for _, last in ranges]) * step_seconds / HOUR_SECONDS

    def offsets_at(begin: int) -> tuple[Array, Array]:
        rows = slice(*np.searchsorted(rolled.origins, [begin - MEMORY * half_life - horizon, begin]))
        ahead = target[rows]
        is_known = (ahead < begin) & np.isfinite(rolled.actuals[rows])
        is_new = is_known & ~is_learnt_from[rows]
        if is_new.any():
            actual, mean = rolled.actuals[rows], rolled.forecasts[rows]
            missed_by_side = (
                actual < np.maximum(mean + lower[rows], floor),
                actual > mean + upper[rows],
            )
            for index, (first, last) in enumerate(ranges):
                new = is_new[:, first:last]
                found = int(new.sum())
                # Less than a day of outcomes moves the width less.
                pace = RATE * min(1.0, found / (last - first) / max(1, min(24, day)))
                for side in (0, 1) if found else ():
                    share = float(missed_by_side[side][:, first:last][new].mean())
                    moved[side, index] += pace * (share - (1.0 - INTERVAL_COVERAGE) / 2.0)
            np.clip(moved, *np.log(WIDTH_RANGE), out=moved)
            is_learnt_from[rows] |= is_new
        weights = 0.5 ** ((begin - rolled.origins[rows, None]) / half_life) * freshness * is_known
        low, high = offsets(np.where(is_known, scores[rows], np.nan), step_seconds, weights)
        evidence = np.array([_effective(weights[:, first:last]) / (last - first) for first, last in ranges])
        wide = np.exp(moved) * _widening(evidence / (1.0 + leads))
        return low * np.repeat(wide[0], widths), high * np.repeat(wide[1], widths)

    for begin, end in zip(starts, [*starts[1:], max(len(values), starts[-1] + 1)], strict=True):
        first, last = np.searchsorted(rolled.origins, [begin, end])
        low, high = offsets_at(begin)
        lower[first:last], upper[first:last] = low * scale[first:last], high * scale[first:last]
        below, above = missed(
            rolled.actuals[first],
            np.maximum(rolled.forecasts[first] + lower[first], floor),
            rolled.forecasts[first] + upper[first],
        )
        since = np.minimum(rolled.origins[first:last] - begin, horizon)
        lower[first:last] *= reaction(below, sensitivity[-1], step_seconds)[since, None]
        upper[first:last] *= reaction(above, sensitivity[-1], step_seconds)[since, None]
    next_lower, next_upper = offsets_at(len(values))
    return Calibrated(lower, upper, next_lower, next_upper, sensitivity)


def _effective(weights: Array) -> float:
    """How many errors of equal weight would say as much (Kish, Survey Sampling, 1965)."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0.0 else 0.0


def _widening(evidence: Array) -> Array:
    """How much wider a prediction interval is made when its quantile rests on so many independent errors."""
    count = np.maximum(evidence, LEAST_EVIDENCE)
    quantile = (1.0 + INTERVAL_COVERAGE) / 2.0
    whole = stdtrit(count, quantile) * np.sqrt(1.0 + 1.0 / count) / ndtri(quantile)
    return np.asarray(1.0 + WIDENING * (whole - 1.0))
