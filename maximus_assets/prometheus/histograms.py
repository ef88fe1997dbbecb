"""A quantile of a classic histogram, as PromQL's `histogram_quantile` tells it.

Where a server answers, PromQL does this itself. This is for buckets that are already here. Buckets are cumulative; within
one, observations are taken to lie evenly. A quantile in the last, endless bucket is the upper bound of the one before:
the histogram knows no more.

Source: `bucketQuantile` in Prometheus 2.42, promql/quantile.go; manual, "Functions", `histogram_quantile`.
"""

import math
from collections.abc import Mapping, Sequence


def histogram_quantile(quantile: float, buckets: Mapping[float, float]) -> float:
    """The value below which a share of the observations lies.

    Args:
        quantile: The share, 0 to 1; outside of that the answer is infinite, as PromQL's.
        buckets: Upper bound (`le`) -> how many observations are at or below it, >= 0; the greatest bound is infinite.

    Returns:
        In the unit of the bounds; NaN without observations, without the endless bucket, or with no bucket beside it.
    """
    if math.isnan(quantile):
        return math.nan
    if quantile < 0 or quantile > 1:
        return math.copysign(math.inf, quantile)
    bounds = sorted(buckets)
    if len(bounds) < 2 or not math.isinf(bounds[-1]) or bounds[-1] < 0:
        return math.nan
    counts: list[float] = []
    for (
        bound
    ) in bounds:  # a scrape may catch buckets of two instants: the count never falls towards higher bounds
        counts.append(max(buckets[bound], counts[-1] if counts else 0.0))
    return _within(bounds, counts, quantile * counts[-1]) if counts[-1] else math.nan


def _within(bounds: Sequence[float], counts: Sequence[float], rank: float) -> float:
    """The value of the observation of a rank; bounds ascending, the last infinite, counts never falling."""
    place = next((i for i, count in enumerate(counts[:-1]) if count >= rank), len(counts) - 1)
    if place == len(bounds) - 1:
        return bounds[-2]
    if place == 0 and bounds[0] <= 0:
        return bounds[0]
    low, below = (bounds[place - 1], counts[place - 1]) if place else (0.0, 0.0)
    if counts[place] == below:  # the smallest value of all, and the first bucket is empty
        return math.nan
    return low + (bounds[place] - low) * (rank - below) / (counts[place] - below)
