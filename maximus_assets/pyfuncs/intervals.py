"""How wide an interval is now: what is learnt of its width, times what the recent past says of today.

Belongs here: the arithmetic that the promoted forecaster and its backtest share, NumPy alone, many series at once. Does
not: learning widths (`models.forecasting.adaptive`). What makes it hard is that a state is learnt once a day, remembers
nothing between calls and must still widen within the hour when demand leaves its usual course. So it answers from two
things it has: the window, and what it said itself on the day it was learnt.

- Errors are taken relative to a scale that is known when a forecast is made (locally weighted conformal prediction: Lei,
  G'Sell, Rinaldo, Tibshirani and Wasserman, JASA 113, 2018, section 5.2). The scale grows with the level that is
  forecast, as demand's errors do, and with how far the last hours were from the day before, compared with a usual week.
- A state carries the interval that it gave for the bins after its last one. The share of those bins that have missed it
  by now moves the width against the misses, on a logarithmic scale, as in the scale tracking of Angelopoulos, Candes and
  Tibshirani (Conformal PID Control for Time Series Prediction, NeurIPS 2023).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from maximus_assets.contracts.prediction import INTERVAL_COVERAGE
from maximus_assets.features.calendar import DAY_SECONDS

Array = NDArray[np.float64]
Index = NDArray[np.int64]

USUAL_DAYS: Final = 7
"""Days that say what is usual; with the day before each of them, a live window."""

RECENT_HOURS: Final = (1, 6, 24)
"""Stretches that are compared with what is usual."""

SENSITIVITIES: Final = 2 + len(RECENT_HOURS)
"""How many numbers a state's `sensitivity` holds: exponents of the level and of each recent stretch, then the pace."""

SCALE_LIMIT: Final = 4.0
"""Largest scale, and the inverse of the smallest."""

REACTION_RANGE: Final = (0.5, 5.0)
"""Least and largest width relative to the one that was learnt, whatever today's misses."""

_LEVEL_OFFSET: Final = 0.2
"""Part of the usual level that is added to both sides of a ratio of levels: errors do not vanish where demand does."""

_CHANGE_OFFSET: Final = 0.02
_LEAD_FADE: Final = 0.4
_MISS: Final = (1.0 - INTERVAL_COVERAGE) / 2.0


def changes(values: Array, ends: Index, step_seconds: int) -> Array:
    """How much the last hours changed from the day before, compared with the last week: logarithms of ratios.

    Args:
        values: NaN where missing, shape (time, series).
        ends: Numbers of bins that are known, shape (k,).
        step_seconds: Width of a bin.

    Returns:
        Shape (k, series, stretches); zero where a stretch has no two bins a day apart.
    """
    day = max(1, DAY_SECONDS // step_seconds)
    small, _ = _scaled(values)
    moved = np.full(values.shape, np.nan)
    np.subtract(small[day:], small[:-day], out=moved[day:])
    np.abs(moved, out=moved)
    widths = [USUAL_DAYS * day, *(max(1, hours * 3600 // step_seconds) for hours in RECENT_HOURS)]
    usual, *recent = _means(moved, ends, widths)
    usable = usual > 0.0
    base = np.where(usable, usual, 1.0)
    ratios = [
        np.where(usable & np.isfinite(mean), (mean / base + _CHANGE_OFFSET) / (1.0 + _CHANGE_OFFSET), 1.0)
        for mean in recent
    ]
    return np.asarray(np.log(np.stack(ratios, axis=-1)))


def levels(values: Array, ends: Index, step_seconds: int) -> Array:
    """Mean size of the last week's values, zero where there is none; arguments as for `changes`, shape (k, series)."""
    small, unit = _scaled(values)
    (mean,) = _means(np.abs(small), ends, [USUAL_DAYS * max(1, DAY_SECONDS // step_seconds)])
    return np.asarray(np.where(np.isnan(mean), 0.0, mean) * unit)


def scales(forecasts: Array, level: Array, change: Array, sensitivity: Array, step_seconds: int) -> Array:
    """What errors are relative to, known when a forecast is made.

    Args:
        forecasts: Shape (k, horizon).
        level: Of `levels`, shape (k,).
        change: Of `changes`, shape (k, stretches).
        sensitivity: Exponents and pace, shape (k, SENSITIVITIES) or (SENSITIVITIES,).
        step_seconds: Width of a bin.

    Returns:
        Shape (k, horizon), within `SCALE_LIMIT`.
    """
    exponents = np.broadcast_to(sensitivity, (len(forecasts), SENSITIVITIES))
    lead = np.maximum(1.0, np.arange(1, forecasts.shape[1] + 1) * step_seconds / 3600.0)
    # What happened in a stretch says less of what is further ahead than the stretch is long.
    fade = np.minimum(1.0, (np.array(RECENT_HOURS)[:, None] / lead) ** _LEAD_FADE)
    logarithm = (change * exponents[:, 1:-1]) @ fade
    known = level > 0.0
    base = np.where(known, level, 1.0)[:, None]
    ratio = np.where(known[:, None], np.abs(forecasts) / base, 1.0)
    logarithm += exponents[:, :1] * np.log((ratio + _LEVEL_OFFSET) / (1.0 + _LEVEL_OFFSET))
    limit = np.log(SCALE_LIMIT)
    return np.asarray(np.exp(np.clip(logarithm, -limit, limit)))


def reaction(misses: Array, pace: Array | float, step_seconds: int) -> Array:
    """What today's misses make of a width.

    Args:
        misses: 1 for a bin that missed, 0 for one that did not, NaN for one that is not known, shape (bins, ...).
        pace: How far a day on which everything missed moves the logarithm of the width.
        step_seconds: Width of a bin.

    Returns:
        Factors before the first bin and after each, within `REACTION_RANGE`, shape (bins + 1, ...).
    """
    moves = np.where(np.isnan(misses), 0.0, misses - _MISS) * (pace * step_seconds / DAY_SECONDS)
    reached = np.concatenate([np.zeros((1, *misses.shape[1:])), np.cumsum(moves, axis=0)])
    return np.asarray(np.exp(np.clip(reached, *np.log(REACTION_RANGE))))


def missed(actual: Array, lower: Array, upper: Array) -> tuple[Array, Array]:
    """Which bins fell below and which above their interval: 1, 0, or NaN where there was none; shapes alike."""
    unknown = np.isnan(actual)
    return np.where(unknown, np.nan, actual < lower), np.where(unknown, np.nan, actual > upper)


def _scaled(values: Array) -> tuple[Array, Array]:
    """Each series within -2 and 2, so that no sum overflows, and what it was divided by.

    That is a power of two, which rounds nothing: what a later value is must not show in what precedes it.
    """
    largest = np.fmax.reduce(np.abs(values), axis=0, initial=0.0)
    unit = np.ldexp(1.0, np.frexp(largest)[1] - 1)
    return values / unit, unit


def _means(sizes: Array, ends: Index, widths: list[int]) -> list[Array]:
    """Means of what is known of the last bins before each end, NaN where nothing is; each of shape (k, series).

    Running sums leave a rounding error of what came before a stretch, so a stretch of zeros is told by counting. One end
    alone, as in service, is summed as it is.
    """
    if len(ends) == 1:
        return [_mean_of(sizes[max(int(ends[0]) - width, 0) : int(ends[0])]) for width in widths]
    known = ~np.isnan(sizes)
    filled = np.where(known, sizes, 0.0)
    sums, counts, moves = (
        np.concatenate([np.zeros((1, sizes.shape[1])), np.cumsum(each, axis=0)])
        for each in (filled, known, filled > 0.0)
    )
    found = []
    for width in widths:
        begins = np.maximum(ends - width, 0)
        total = np.where(moves[ends] > moves[begins], np.maximum(sums[ends] - sums[begins], 0.0), 0.0)
        count = counts[ends] - counts[begins]
        found.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    return found


def _mean_of(sizes: Array) -> Array:
    """Means of what is known, NaN where nothing is, shape (1, series)."""
    total = sizes.sum(axis=0, keepdims=True)
    if not np.isnan(total).any() and len(sizes):
        return np.asarray(total / len(sizes))
    known = ~np.isnan(sizes)
    count = known.sum(axis=0, keepdims=True)
    total = np.where(known, sizes, 0.0).sum(axis=0, keepdims=True)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
