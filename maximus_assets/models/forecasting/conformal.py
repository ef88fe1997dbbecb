"""Intervals from errors: split conformal prediction, by horizon.

The bounds are order statistics of the signed errors a method made on bins it was not fitted to, with the finite-sample
correction: the k-th smallest of n errors with k = ceil((n + 1) * (1 + coverage) / 2) above, and its mirror image below.
For exchangeable errors the interval then holds the next outcome with at least the stated probability (Vovk, Gammerman
and Shafer, Algorithmic Learning in a Random World, 2005, chapter 2; Lei, G'Sell, Rinaldo, Tibshirani and Wasserman,
JASA 113, 2018, theorem 2.2). Signed errors, taken at both ends, keep the asymmetry of demand.

Deviation: errors of a time series are not exchangeable. Neighbouring steps are pooled for a longer sample, which makes
them dependent, and a change of regime breaks the promise. So recent errors may be given more weight (Barber, Candes,
Ramdas and Tibshirani, Conformal prediction beyond exchangeability, Annals of Statistics 51, 2023: the outcome to come
has weight 1 and may lie anywhere), and coverage is measured on later bins, never assumed.
"""

from itertools import pairwise
from typing import Final

import numpy as np

from maximus_assets.contracts.prediction import INTERVAL_COVERAGE
from maximus_assets.models.forecasting.base import Array
from maximus_assets.models.forecasting.rolling import hour_bins

LEAST_ERRORS: Final = 19
"""Fewest errors for which both 5 % ends are order statistics of the sample."""

_TINY: Final = 1e-9


def bounds(
    errors: Array, coverage: float = INTERVAL_COVERAGE, weights: Array | None = None
) -> tuple[float, float] | None:
    """What to add to a forecast for its lower and upper bound.

    Args:
        errors: Actual less forecast, any shape, NaN where there was no actual.
        coverage: Share of outcomes to hold, in (0, 1).
        weights: Of each error, in [0, 1], same shape; None for 1 each.

    Returns:
        Lower (<= 0) and upper (>= 0) in the errors' unit, or None where there are too few errors for this coverage.
    """
    seen = np.isfinite(errors)
    sample = errors[seen]
    if not len(sample):
        return None
    weight = np.ones(len(sample)) if weights is None else weights[seen]
    order = np.argsort(sample)
    reached = np.cumsum(weight[order])
    total = float(reached[-1])
    # Rounded, so that whole numbers stay whole; unit weights make it the usual rank.
    wanted = round((total + 1.0) * (1.0 + coverage) / 2.0, 9)
    if wanted > total + _TINY:
        return None
    last = len(sample) - 1
    upper = sample[order[min(int(np.searchsorted(reached, wanted - _TINY)), last)]]
    lower = sample[order[min(int(np.searchsorted(reached, total - wanted + _TINY, "right")), last)]]
    return min(float(lower), 0.0), max(float(upper), 0.0)


def offsets(errors: Array, step_seconds: int, weights: Array | None = None) -> tuple[Array, Array]:
    """Bounds for every step ahead.

    Steps are pooled in buckets, fine in the first hour and an hour wide after it, and interpolated between the buckets'
    middles. A bucket with too few errors for the nominal coverage takes the widest bounds of those before it; the
    first, the largest error seen on each side.

    Args:
        errors: By origin and step, shape (k, horizon), NaN where there was no actual.
        step_seconds: Width of a bin.
        weights: Of each error, in [0, 1], same shape; None for 1 each.

    Returns:
        Lower (<= 0) and upper (>= 0), each of shape (horizon,), finite; zero where there is no error at all.
    """
    horizon = errors.shape[1]
    ranges = buckets(horizon, step_seconds)
    middles: list[float] = []
    lowers: list[float] = []
    uppers: list[float] = []
    widest: tuple[float, float] | None = None
    for begin, end in ranges:
        found = bounds(errors[:, begin:end], weights=None if weights is None else weights[:, begin:end])
        if found is not None:
            widest = found if widest is None else (min(widest[0], found[0]), max(widest[1], found[1]))
        lower, upper = found or widest or _extremes(errors)
        middles.append((begin + end - 1) / 2.0)
        lowers.append(lower)
        uppers.append(upper)
    steps = np.arange(horizon, dtype=np.float64)
    return np.interp(steps, middles, lowers), np.interp(steps, middles, uppers)


def buckets(horizon: int, step_seconds: int) -> list[tuple[int, int]]:
    """Half-open ranges of steps, counted from 0: 1, 2, 3, then threes up to an hour, then hours."""
    hour = hour_bins(step_seconds)
    edges = {0, horizon}
    edges.update(edge for edge in (1, 2, 3, *range(6, hour, 3)) if edge < min(hour, horizon))
    edges.update(range(hour, horizon, hour))
    return list(pairwise(sorted(edges)))


def _extremes(errors: Array) -> tuple[float, float]:
    """The largest error on each side, zero where there is none."""
    seen = errors[np.isfinite(errors)]
    return min(float(seen.min(initial=0.0)), 0.0), max(float(seen.max(initial=0.0)), 0.0)
