"""Intervals from errors: split conformal prediction, by horizon.

The bounds are order statistics of the signed errors a method made on bins it was not fitted to, with the finite-sample
correction: the k-th smallest of n errors with k = ceil((n + 1) * (1 + coverage) / 2) above, and its mirror image below.
For exchangeable errors the interval then holds the next outcome with at least the stated probability (Vovk, Gammerman
and Shafer, Algorithmic Learning in a Random World, 2005, chapter 2; Lei, G'Sell, Rinaldo, Tibshirani and Wasserman,
JASA 113, 2018, theorem 2.2). Signed errors, taken at both ends, keep the asymmetry of demand.

Deviation: errors of a time series are not exchangeable. Neighbouring steps are pooled for a longer sample, which makes
them dependent, and a change of regime breaks the promise. So coverage is measured on later bins, never assumed.
"""

import math
from itertools import pairwise
from typing import Final

import numpy as np

from maximus_assets.contracts.prediction import INTERVAL_COVERAGE
from maximus_assets.models.forecasting.base import Array
from maximus_assets.models.forecasting.rolling import hour_bins

LEAST_ERRORS: Final = 19
"""Fewest errors for which both 5 % ends are order statistics of the sample."""


def bounds(errors: Array, coverage: float = INTERVAL_COVERAGE) -> tuple[float, float] | None:
    """What to add to a forecast for its lower and upper bound.

    Args:
        errors: Actual less forecast, any shape, NaN where there was no actual.
        coverage: Share of outcomes to hold, in (0, 1).

    Returns:
        Lower (<= 0) and upper (>= 0) in the errors' unit, or None where there are too few errors for this coverage.
    """
    sample = np.sort(errors[np.isfinite(errors)])
    count = len(sample)
    rank = math.ceil(round((count + 1) * (1.0 + coverage) / 2.0, 9))
    if count == 0 or rank > count:
        return None
    return min(float(sample[count - rank]), 0.0), max(float(sample[rank - 1]), 0.0)


def offsets(
    errors: Array, step_seconds: int, coverage: Array | float = INTERVAL_COVERAGE
) -> tuple[Array, Array]:
    """Bounds for every step ahead.

    Steps are pooled in buckets, fine in the first hour and an hour wide after it, and interpolated between the buckets'
    middles. A bucket with too few errors for the nominal coverage takes the widest bounds of those before it; the
    first, the largest error seen on each side. One with too few for a higher coverage takes its own largest errors.

    Args:
        errors: By origin and step, shape (k, horizon), NaN where there was no actual.
        step_seconds: Width of a bin.
        coverage: Share of outcomes to hold, one for all or one for each of `buckets`.

    Returns:
        Lower (<= 0) and upper (>= 0), each of shape (horizon,), finite; zero where there is no error at all.
    """
    horizon = errors.shape[1]
    ranges = buckets(horizon, step_seconds)
    wanted = np.broadcast_to(np.asarray(coverage, dtype=np.float64), (len(ranges),))
    middles: list[float] = []
    lowers: list[float] = []
    uppers: list[float] = []
    widest: tuple[float, float] | None = None
    for (begin, end), share in zip(ranges, wanted, strict=True):
        sample = errors[:, begin:end]
        found = bounds(sample, float(share))
        if found is None and bounds(sample) is not None:
            found = _extremes(sample)
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
