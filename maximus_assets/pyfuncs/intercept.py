"""Intercept correction: what a forecast made an hour ago missed by is added to the one made now, where it missed by a lot.

A regression, a recursion and a mean of both come back to what is usual, so after a lasting shift of the level they are
wrong on the same side for as long as the shift is not yet usual. Adding the recent miss to the forecast mends that
(Clements and Hendry, Intercept Corrections and Structural Change, Journal of Applied Econometrics 11, 1996); adding every
miss would add noise, and adding a miss that the forecast has taken in by itself would count it twice. So a miss counts
where nearly all bins of the last half hour lie on one side of what was expected and their median is several times the
usual one, and less what the forecast has since been moved by. How much of it lasts is learnt
(`models.forecasting.intercept`); the arithmetic that learning and serving share is here.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

THRESHOLD: Final = 4.0
"""Misses up to this many usual ones count nothing, from twice as many on they count whole: with normal errors 2.7 and 5.4
standard deviations."""

ONE_SIDE: Final = 0.9
"""Least share of the half hour's bins on one side of what was expected: a spike is no shift."""

LEAST_KNOWN: Final = 0.5
"""Least share of the half hour's bins that must be known."""


def hour_and_half(step_seconds: int) -> tuple[int, int]:
    """Bins that are looked back on, and those at their end that tell of a miss; 1 where a bin is longer."""
    return max(1, 3600 // step_seconds), max(1, 1800 // step_seconds)


def misses(actual: Array, expected: Array) -> Array:
    """The median miss of each half hour, and NaN where too little of it is known.

    Args:
        actual: What came, NaN where missing, shape (k, bins).
        expected: What was expected of it at the beginning of the hour, same shape.

    Returns:
        Actual less expected, shape (k,).
    """
    error = actual - expected
    known = np.isfinite(error).mean(axis=1) >= LEAST_KNOWN
    found = np.full(len(error), np.nan)
    found[known] = np.nanmedian(error[known], axis=1)
    return found


def surprises(actual: Array, expected: Array, moved: Array, usual: Array) -> Array:
    """How much of each half hour's miss counts as a shift of the level that the forecast does not know of.

    Args:
        actual: What came, NaN where missing, shape (k, bins).
        expected: What was expected of it at the beginning of the hour, same shape.
        moved: By how much what is expected of the next hour has been moved since then, shape (k,).
        usual: The usual size of `misses`, shape (k,); zero where it is not known, which corrects nothing.

    Returns:
        In the series' unit, between zero and the miss; zero in ordinary hours and where too little is known, shape (k,).
    """
    missed = np.nan_to_num(misses(actual, expected))
    error = actual - expected
    side = np.maximum((error > 0.0).sum(axis=1), (error < 0.0).sum(axis=1))
    is_one_sided = side >= ONE_SIDE * np.isfinite(error).sum(axis=1)
    size = np.divide(np.abs(missed), usual, out=np.zeros(len(missed)), where=usual > 0.0)
    unknown = np.clip(missed - moved, np.minimum(missed, 0.0), np.maximum(missed, 0.0))
    return np.asarray(np.where(is_one_sided, np.clip(size / THRESHOLD - 1.0, 0.0, 1.0) * unknown, 0.0))
