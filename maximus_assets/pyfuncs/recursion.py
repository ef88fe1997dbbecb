"""The arithmetic of a seasonal ARIMA, over many series at once.

One model covers both methods. With w the series less its regression, B the lag operator and m the season,

    v = (1 - B^m) w,        v_t = sum_i ar_i v_{t-i} + e_t + sum_j ma_j e_{t-j}.

A seasonal-naive forecast is the case without ar and ma. An ordinary difference is folded into `ar` beforehand (its
polynomial times 1 - B). Innovations come from the conditional recursion: before the first whole set of lags they are
zero (Box, Jenkins, Reinsel and Ljung, Time Series Analysis, 5th ed. 2015, section 7.1.2), which after a burn-in agrees
with the exact Kalman filter for an invertible model. A missing value is replaced by its one-step prediction, so its
innovation is zero. That is what a filter does during a gap; just after it the filter also reweighs its gain, which this
does not, so the two agree again only a burn-in later.

Hard part: time is a loop, so everything else must be a vector. Arrays are (time, series): one row is contiguous.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Trace:
    """What the recursion knows of each instant, using nothing later than it.

    Attributes:
        filled: The series less its regression, gaps filled, shape (time, series).
        differenced: v above, same shape; zero before it exists.
        innovations: e above, same shape; zero before it exists and in gaps.
    """

    filled: Array
    differenced: Array
    innovations: Array


def trace(
    residuals: Array, season_steps: int, ar: Array, ma: Array, *, known_steps: int | None = None
) -> Trace:
    """Run the recursion over the past.

    Args:
        residuals: The series less its regression, NaN where missing, shape (time, series).
        season_steps: m above; 0 without seasonal difference.
        ar: Coefficients from lag 1 on, shape (p, series); an ordinary difference already folded in.
        ma: Coefficients from lag 1 on, shape (q, series).
        known_steps: How many rows, >= 1, were known before the first forecast is made; None for all. A backtest traces
            on through what it forecasts, and a gap before must not be filled from there.

    Returns:
        The trace. A series without any value is filled with zeros.
    """
    filled = _fill_first_season(
        residuals, season_steps, len(residuals) if known_steps is None else known_steps
    )
    missing = np.isnan(filled)
    differenced = np.zeros_like(filled)
    innovations = np.zeros_like(filled)
    length = len(filled)
    seen = ~np.isnan(residuals)
    first = np.where(seen.any(axis=0), seen.argmax(axis=0), length)
    # Until every lag of v lies within the observed past, a deviation is the start-up's, not news. The lags are those of
    # each series, not of the longest one it happens to be stacked with.
    lags = np.max(np.where(ar != 0.0, np.arange(1, len(ar) + 1)[:, None], 0), axis=0, initial=0)
    time = np.arange(length)[:, None]
    has_base = time >= (first + season_steps)[None, :]
    is_running = time >= (first + season_steps + lags)[None, :]
    has_gap = np.asarray(missing.any(axis=1))
    if not len(ar) and not len(ma):
        return _trace_naive(filled, missing, season_steps)
    for t in range(season_steps, length):
        expected = _expected(differenced, innovations, ar, ma, t)
        base = filled[t - season_steps] if season_steps else 0.0
        if has_gap[t]:
            filled[t] = np.where(missing[t], base + expected, filled[t])
        differenced[t] = (filled[t] - base) * has_base[t]
        innovations[t] = (differenced[t] - expected) * is_running[t]
    return Trace(filled, differenced, innovations)


def extend(
    season: Array, differenced: Array, innovations: Array, *, ar: Array, ma: Array, steps: int
) -> Array:
    """Run the recursion into the future, where every innovation is expected to be zero.

    Args:
        season: The last whole season of `Trace.filled`, oldest first, shape (m, series); (0, series) without season.
        differenced: The last p values of `Trace.differenced`, oldest first, shape (p, series).
        innovations: The last q innovations, oldest first, shape (q, series).
        ar: Shape (p, series).
        ma: Shape (q, series).
        steps: How far, >= 1.

    Returns:
        The expected series less its regression, shape (steps, series).
    """
    season_steps, p, q = len(season), len(ar), len(ma)
    v = np.concatenate([differenced, np.zeros((steps, ar.shape[1]))])
    e = np.concatenate([innovations, np.zeros((steps, ar.shape[1]))])
    for h in range(steps):
        total = np.zeros(ar.shape[1])
        for lag in range(p):
            total += ar[lag] * v[p + h - 1 - lag]
        for lag in range(h, q):
            total += ma[lag] * e[q + h - 1 - lag]
        v[p + h] = total
    future = v[p:]
    if season_steps:
        future = np.concatenate([season, future])
        for h in range(season_steps, len(future)):
            future[h] += future[h - season_steps]
        future = future[season_steps:]
    return future


def _expected(differenced: Array, innovations: Array, ar: Array, ma: Array, t: int) -> Array:
    """The one-step prediction of v at `t`, shape (series,)."""
    total = np.zeros(differenced.shape[1])
    for lag in range(min(len(ar), t)):
        total += ar[lag] * differenced[t - 1 - lag]
    for lag in range(min(len(ma), t)):
        total += ma[lag] * innovations[t - 1 - lag]
    return total


def _trace_naive(filled: Array, missing: Array, season_steps: int) -> Trace:
    """The same without ar and ma: no recursion but the filling of gaps, a season at a time."""
    differenced = np.zeros_like(filled)
    if season_steps:
        for begin in range(season_steps, len(filled), season_steps):
            end = min(begin + season_steps, len(filled))
            base = filled[begin - season_steps : end - season_steps]
            filled[begin:end] = np.where(missing[begin:end], base, filled[begin:end])
            differenced[begin:end] = filled[begin:end] - base
    else:
        filled = np.where(missing, 0.0, filled)
        differenced = filled.copy()
    return Trace(filled, differenced, differenced.copy())


def _fill_first_season(residuals: Array, season_steps: int, known_steps: int) -> Array:
    """A copy in which bins that no season precedes are not missing.

    The first bins of a window, up to a season after the first value seen, have nothing to be predicted from. They take
    the value of the same phase a season later where that was seen within the known rows, else the last value seen
    before them, else the first one seen after them in the known rows, else zero. They weigh on a forecast only where the window holds nothing better.
    """
    filled = residuals.copy()
    if not len(filled):
        return filled
    seen = ~np.isnan(filled)
    first = np.where(seen.any(axis=0), seen.argmax(axis=0), len(filled))
    if not season_steps:
        early = np.arange(len(filled))[:, None] < first[None, :]
        filled[early] = 0.0
        return filled
    head = np.arange(len(filled))[:, None] < (first + season_steps)[None, :]
    later = np.full_like(filled, np.nan)
    later[: max(0, known_steps - season_steps)] = filled[season_steps:known_steps]
    take = head & ~seen
    filled[take] = later[take]
    held = _hold(filled, known_steps)
    still = take & np.isnan(filled)
    filled[still] = held[still]
    return filled


def _hold(values: Array, known_steps: int) -> Array:
    """The last value seen at or before each instant, else the first one after it in the known rows, else zero."""
    length = len(values)
    seen = ~np.isnan(values)
    rows = np.arange(length)[:, None]
    last = np.maximum.accumulate(np.where(seen, rows, -1), axis=0)
    early = seen[:known_steps]
    following = np.where(early.any(axis=0), early.argmax(axis=0), 0)
    index = np.where(last >= 0, last, following[None, :])
    return np.nan_to_num(np.take_along_axis(values, index, axis=0), nan=0.0)
