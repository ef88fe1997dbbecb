"""Exponential smoothing with fixed gains, over many series at once.

The innovations form with additive errors and a damped additive trend (Hyndman, Koehler, Ord and Snyder, Forecasting
with Exponential Smoothing, 2008, chapter 2). With z the series less its season,

    e_t = z_t - l_{t-1} - phi b_{t-1},   l_t = l_{t-1} + phi b_{t-1} + alpha e_t,   b_t = phi b_{t-1} + beta e_t.

The Theta method is the case phi = 1, beta = 0, where b is a drift that never changes (Hyndman and Billah, International
Journal of Forecasting 19, 2003). A bin that is missing updates nothing: its e is zero. The season is data here; it is
learnt once a day, because a window of a few days is no place to learn it in.

Hard part: time is a loop, so everything else is a vector, and the loop must be short. It runs over the last
`memory_steps` bins alone; what is older than that sets where it starts from. Arrays are (time, series).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maximus_assets.features.calendar import DAY_SECONDS
from maximus_assets.pyfuncs.components import Smoothing
from maximus_assets.pyfuncs.past import Array

MEMORY_DAYS: Final = 2
MEMORY_STEPS: Final = 200
"""The loop runs over this many days, or steps where those are more. A level that returns slowly remembers longer; it then
starts from the mean of the day before, which on server metrics forecast as well as a loop over eight days."""


def memory_steps(day_steps: int) -> int:
    """How many bins before the first forecast the loop runs over."""
    return max(MEMORY_DAYS * day_steps, MEMORY_STEPS)


@dataclass(frozen=True)
class Smoothed:
    """What is known after each bin.

    Attributes:
        level: l above, from `first_row` on, shape (rows, series).
        trend: b above, same shape.
        first_row: The row of the window that the first row here belongs to.
    """

    level: Array
    trend: Array
    first_row: int


def smooth(adjusted: Array, gains: Array, *, day_steps: int, known_steps: int | None = None) -> Smoothed:
    """Run the recursion over the past.

    Args:
        adjusted: The series less its season, NaN where missing, shape (time, series).
        gains: Of level and trend, damping, and drift (`components.Smoothing`), shape (4, series).
        day_steps: Bins in a day.
        known_steps: How many rows were known before the first forecast is made; None for all. A backtest runs on through
            what it forecasts, and the start must not come from there.

    Returns:
        Level and trend after each of the last bins. A series of which nothing has been seen has level zero.
    """
    length = len(adjusted)
    known = length if known_steps is None else known_steps
    first = max(0, known - memory_steps(day_steps))
    missing = np.isnan(adjusted)
    level, late = _start(adjusted[:known], missing[:known], first, day_steps)
    # A series first seen among what is forecast starts with what is seen then.
    arrivals: dict[int, list[int]] = {}
    for column in np.flatnonzero(late):
        seen = np.flatnonzero(~missing[known:, column])
        if len(seen):
            arrivals.setdefault(known + int(seen[0]), []).append(int(column))
    has_gap = np.asarray(missing.any(axis=1))
    alpha, beta, phi, drift = gains
    trend = drift.copy()
    levels = np.empty((length - first, adjusted.shape[1]))
    trends = np.empty_like(levels)
    for t in range(first, length):
        carried = phi * trend
        expected = level + carried
        if t in arrivals:
            expected[arrivals[t]] = adjusted[t, arrivals[t]]
        error = adjusted[t] - expected
        if has_gap[t]:
            error[missing[t]] = 0.0
        level = expected + alpha * error
        trend = carried + beta * error
        levels[t - first] = level
        trends[t - first] = trend
    return Smoothed(levels, trends, first)


def extend(level: Array, trend: Array, damping: Array, steps: int) -> Array:
    """The adjusted series expected ahead, shape (k, steps).

    Args:
        level: After the last bin known, shape (k,).
        trend: Likewise.
        damping: phi above, shape (k,).
        steps: How far, >= 1.
    """
    kinds, of_row = np.unique(damping, return_inverse=True)
    reach = np.cumsum(kinds[:, None] ** np.arange(1, steps + 1), axis=1)
    return np.asarray(level[:, None] + reach[of_row] * trend[:, None])


def gains_of(components: Sequence[Smoothing]) -> Array:
    """Gains, damping and drift of many components, as `smooth` takes them, shape (4, components)."""
    return np.stack([np.append(each.gains[:3], each.drift) for each in components], axis=1)


def forecast(
    components: Sequence[Smoothing], values: Array, last: int, steps: int, back: int = 0
) -> tuple[Array, Array]:
    """Forecast the present of many series that share step, length of season and last bin.

    Args:
        components: One for each series.
        values: Their recent values, NaN where missing, shape (time, series).
        last: Number of the last bin, counted in steps from the Unix epoch.
        steps: How far ahead, >= 1.
        back: So many bins before the end, expect as many and as many again; less than `time`.

    Returns:
        In the series' unit, of the bins ahead, shape (series, steps), and of the last ones and as many more, shape (series, 2 * back).
    """
    step, period, length = components[0].step_seconds, len(components[0].season), len(values)
    seasons = np.stack([each.season for each in components], axis=1)
    gains = gains_of(components)
    known = smooth(
        values - seasons[(last + np.arange(1 - length, 1)) % period],
        gains,
        day_steps=max(1, DAY_SECONDS // step),
        known_steps=length - back,
    )

    def ahead_of(origin: int, count: int) -> Array:
        row = origin - 1 - known.first_row
        season = seasons[(last + 1 + origin - length + np.arange(count)) % period]
        return np.asarray(extend(known.level[row], known.trend[row], gains[2], count) + season.T)

    behind = ahead_of(length - back, 2 * back) if back else np.empty((len(components), 0))
    return ahead_of(length, steps), behind


def _start(
    known: Array, missing: NDArray[np.bool_], first: int, day_steps: int
) -> tuple[Array, NDArray[np.bool_]]:
    """The level before row `first`, and which series have not been seen at all, each of shape (series,).

    It is the mean of the day before that row, else of everything before it, else of the first day seen after it.
    """
    seen = ~missing
    rows = np.arange(len(known))[:, None]
    begun = np.where(seen[first:].any(axis=0), first + seen[first:].argmax(axis=0), len(known))
    level = np.zeros(known.shape[1])
    found = np.zeros(known.shape[1], dtype=bool)
    for chosen in (
        seen & (rows >= first - day_steps) & (rows < first),
        seen & (rows < first),
        seen & (rows >= begun) & (rows < begun + day_steps),
    ):
        count = chosen.sum(axis=0)
        take = ~found & (count > 0)
        if take.any():
            total = np.where(chosen, known, 0.0).sum(axis=0)
            level[take] = total[take] / count[take]
            found |= take
        if found.all():
            break
    return level, ~found
