"""How much of a surprise lasts: learnt each day, for each stretch of steps ahead, from the surprises there were.

Shifts are rare, so the share of one that is still there later is held near a usual share until several were seen: a
ridge regression of what the forecast then missed by on the surprise, through the origin, shrunk towards that share. On a
series of spikes it falls towards nothing, on one whose level moves it rises towards all.
`pyfuncs.intercept` says what a surprise is, and where the idea is from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from maximus_assets.models.forecasting.base import Array, day_steps
from maximus_assets.models.forecasting.mixing import stretches
from maximus_assets.models.forecasting.rolling import Rolled
from maximus_assets.pyfuncs.intercept import THRESHOLD, hour_and_half, misses, surprises

LASTS: Final = {900: 0.7, 3600: 0.7, 21_600: 0.3}
"""Usual share of a surprise that is still there, by the end of the stretch in seconds; none beyond."""

PRIOR: Final = 4.0
"""Surprises at the threshold that the usual share is worth."""

HALF_LIFE_DAYS: Final = 21.0
"""Age at which a surprise weighs half."""

MEMORY_DAYS: Final = 14
"""Misses older than this say nothing of how large one usually is."""

LEAST_HOURS: Final = 12
"""Fewest misses from which the usual size is told."""

LARGEST: Final = 20.0
"""Surprises and what followed count as at most this many usual misses: one incident must not decide alone."""


@dataclass(frozen=True)
class Corrected:
    """Forecasts with surprises added, and what to go on with.

    Attributes:
        rolled: The corrected forecasts.
        usual_miss: Usual size of a half hour's miss after the last outcome, in the series' unit; zero where not known.
        lasts: Share of a surprise to add at each step ahead, in [0, 1], shape (horizon,); empty where that is not known.
    """

    rolled: Rolled
    usual_miss: float
    lasts: Array


def correct(rolled: Rolled, starts: Sequence[int], step_seconds: int) -> Corrected:
    """Walk through the days, correcting each with what was known when it began; nothing where less than two hours are forecast.

    Args:
        rolled: Out-of-sample forecasts from every hour, and what came.
        starts: Bins at which something is learnt anew, ascending; the first is the first origin.
        step_seconds: Width of a bin.
    """
    hour, half = hour_and_half(step_seconds)
    horizon = rolled.forecasts.shape[1]
    if horizon < 2 * hour:
        return Corrected(rolled, 0.0, np.empty(0))
    # What an origin an hour earlier expected of the half hour that has just ended, and of the hour to come.
    before = np.flatnonzero(np.diff(rolled.origins) == hour)
    came = rolled.actuals[before, hour - half : hour]
    expected = rolled.forecasts[before, hour - half : hour]
    moved = (rolled.forecasts[before + 1, :hour] - rolled.forecasts[before, hour : 2 * hour]).mean(axis=1)
    missed = np.full(len(rolled.origins), np.nan)
    missed[before + 1] = misses(came, expected)
    block = np.searchsorted(starts, rolled.origins, "right") - 1
    end = int(rolled.origins[-1]) + horizon
    usual = np.array([_usual(missed, rolled, begin, step_seconds) for begin in [*starts, end]])
    surprise = np.zeros(len(rolled.origins))
    surprise[before + 1] = surprises(came, expected, moved, usual[block[before + 1]])
    shares = _shares(rolled, surprise, usual[block], [*starts, end], step_seconds)
    widths = [last - first for first, last in stretches(horizon, step_seconds)]
    lasting = np.repeat(shares, widths, axis=1)
    forecasts = rolled.forecasts + surprise[:, None] * lasting[block]
    return Corrected(
        replace(rolled, forecasts=forecasts),
        float(usual[-1]),
        lasting[-1] if usual[-1] > 0.0 else np.empty(0),
    )


def _usual(missed: Array, rolled: Rolled, begin: int, step_seconds: int) -> float:
    """The median size of the misses known at `begin`; zero where there are too few."""
    first, last = np.searchsorted(rolled.origins, [begin - MEMORY_DAYS * day_steps(step_seconds), begin + 1])
    known = missed[first:last]
    known = known[np.isfinite(known)]
    return float(np.median(np.abs(known))) if len(known) >= LEAST_HOURS else 0.0


def _shares(
    rolled: Rolled,
    surprise: Array,
    usual: Array,
    begins: Sequence[int],
    step_seconds: int,
) -> Array:
    """Share of a surprise that lasts, as known at each of `begins`, shape (begins, stretches)."""
    edges = stretches(rolled.forecasts.shape[1], step_seconds)
    found = np.empty((len(begins), len(edges)))
    rows = np.flatnonzero(surprise)
    size = np.clip(surprise[rows] / usual[rows], -LARGEST, LARGEST)
    for index, (first, last) in enumerate(edges):
        error = (rolled.actuals - rolled.forecasts)[rows, first:last]
        seen = np.isfinite(error).any(axis=1)
        after = np.zeros(len(rows))
        after[seen] = np.nanmean(error[seen], axis=1) / usual[rows[seen]]
        after = np.clip(after, -LARGEST, LARGEST)
        known_at = np.searchsorted(begins, rolled.origins[rows] + last)
        prior = PRIOR * THRESHOLD**2
        expected = next((share for end, share in LASTS.items() if last * step_seconds <= end), 0.0)
        product = square = 0.0
        for at, begin in enumerate(begins):
            if at:
                fade = 0.5 ** ((begin - begins[at - 1]) / (HALF_LIFE_DAYS * day_steps(step_seconds)))
                product, square = fade * product, fade * square
            new = seen & (known_at == at)
            product += float(size[new] @ after[new])
            square += float(size[new] @ size[new])
            found[at, index] = np.clip((prior * expected + product) / (prior + square), 0.0, 1.0)
    return found
