"""Intervals that learn from their own misses: adaptive conformal inference, day by day.

Split conformal intervals promise their coverage for exchangeable errors. Demand drifts and its bad days come in clumps,
so fixed ones come out too narrow. Gibbs and Candes (Adaptive Conformal Inference Under Distribution Shift, NeurIPS 2021,
equation 2) move the miss rate that is asked for against the misses that happened:

    miss <- miss + rate * (nominal miss - share missed),

once for every outcome, which holds the long-run coverage whatever the distribution does. Deviations: one miss rate for
each bucket of steps ahead; outcomes are learnt from where a new state is learnt, in service at the start of each day; and the miss rate stays within bounds, so that a streak cannot make an interval meaningless.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from maximus_assets.contracts.prediction import INTERVAL_COVERAGE
from maximus_assets.models.forecasting.base import Array
from maximus_assets.models.forecasting.conformal import buckets, offsets
from maximus_assets.models.forecasting.rolling import Rolled

RATE: Final = 0.003
"""How far one outcome moves the miss rate; Gibbs and Candes used 0.005 with one outcome at a time."""

MISS_RANGE: Final = (0.02, 0.5)
"""Least and largest miss rate that is ever asked for."""


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
    horizon = rolled.forecasts.shape[1]
    ranges = buckets(horizon, step_seconds)
    target = rolled.origins[:, None] + np.arange(horizon)[None, :]
    lower, upper = np.zeros_like(rolled.forecasts), np.zeros_like(rolled.forecasts)
    is_learnt_from = np.zeros(target.shape, dtype=np.bool_)
    miss = np.full(len(ranges), 1.0 - INTERVAL_COVERAGE)

    def offsets_at(begin: float) -> tuple[Array, Array]:
        is_known = (target < begin) & np.isfinite(rolled.actuals)
        is_new = is_known & ~is_learnt_from & (rolled.origins >= starts[min(1, len(starts) - 1)])[:, None]
        low = np.maximum(rolled.forecasts + lower, floor)
        missed = (rolled.actuals < low) | (rolled.actuals > rolled.forecasts + upper)
        for index, (first, last) in enumerate(ranges):
            # A bucket counts as the share of an outcome that its newly known bins are.
            new = is_new[:, first:last]
            misses = float(missed[:, first:last][new].sum())
            miss[index] += RATE * ((1.0 - INTERVAL_COVERAGE) * new.sum() - misses) / (last - first)
        np.clip(miss, *MISS_RANGE, out=miss)
        is_learnt_from[is_new] = True
        return offsets(np.where(is_known, rolled.errors, np.nan), step_seconds, 1.0 - miss)

    for begin, end in zip(starts, [*starts[1:], np.inf], strict=True):
        rows = (rolled.origins >= begin) & (rolled.origins < end)
        lower[rows], upper[rows] = offsets_at(begin)
    next_lower, next_upper = offsets_at(np.inf)
    return Calibrated(lower, upper, next_lower, next_upper)
