"""What the fleet's trees are asked: features of a window, in multiples of how much its series usually varies.

Learning and serving both call this, so nothing is computed twice in different ways. Every feature is a difference from the
base divided by the scale, or has no unit: a series in another unit, or shifted, has the same features. All of it comes from
the window; a bin after the origin cannot be seen. Memory and horizon are the recipe's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.features.calendar import DAY_SECONDS, WEEK_SECONDS
from maximus_assets.pyfuncs.components import Component

Array = NDArray[np.float64]

HOUR_SECONDS: Final = 3600
SOURCE: Final = "boosted model"

LEVEL_KEPT_HOURLY: Final = 0.9
"""Share of the last hour's distance from yesterday that the base keeps from one hour ahead to the next; the trees know
how long it lasts where it is of a usual size."""

SHIFT_SCALES: Final = 4.0
"""A larger distance from yesterday enlarges the scale: what is asked stays within what was learnt."""

_FLAT: Final = 1e-9
"""A scale below this share of the largest value is none: the series is constant but for rounding."""


@dataclass(frozen=True)
class Recipe:
    """What a model was learnt for, and how its features are made.

    Attributes:
        step_seconds: Width of a bin, a divisor of a day.
        horizon_steps: How many steps ahead, >= 1.
        memory_bins: Length of the window that features see, at least a day and an hour; older bins are not looked at.
        has_clock: Whether instants mean anything; without, time of day and day of week are no features.
    """

    step_seconds: int
    horizon_steps: int
    memory_bins: int
    has_clock: bool = True

    def __post_init__(self) -> None:
        """Refuse what no feature can be made of.

        Raises:
            BadInputError: A figure is out of its range.
        """
        if self.step_seconds < 1 or DAY_SECONDS % self.step_seconds or self.horizon_steps < 1:
            raise BadInputError("the step must divide a day and the horizon be positive", source=SOURCE)
        if self.memory_bins < self.day + self.hour:
            raise BadInputError("the memory must hold a day and an hour", source=SOURCE)

    @property
    def hour(self) -> int:
        """Bins in an hour, 1 where a bin is longer."""
        return max(1, HOUR_SECONDS // self.step_seconds)

    @property
    def day(self) -> int:
        """Bins in a day."""
        return DAY_SECONDS // self.step_seconds

    @property
    def week(self) -> int:
        """Bins in a week."""
        return WEEK_SECONDS // self.step_seconds

    @property
    def minimum_bins(self) -> int:
        """Bins a window must span, at most half of them missing, to be forecast from."""
        return self.day + self.hour

    @property
    def knots(self) -> NDArray[np.int64]:
        """Steps ahead, counted from 0, at which the trees answer: close at first, then hourly."""
        hour, last = self.hour, self.horizon_steps - 1
        steps = {0, 1, 2, hour // 2, last, *range(hour - 1, last, hour)}
        return np.array(sorted(step for step in steps if 0 <= step <= last), dtype=np.int64)

    def fits(self, asked: Component) -> bool:
        """Whether a model learnt for this can be what a component asks for."""
        return (self.step_seconds, self.horizon_steps) == (asked.step_seconds, asked.horizon_steps)

    def knots_within(self, steps: int) -> NDArray[np.int64]:
        """The knots that the first `steps` steps are interpolated between."""
        return self.knots[: int(np.searchsorted(self.knots, steps - 1)) + 1]


@dataclass(frozen=True, eq=False)
class Features:
    """What is known of several windows at each knot.

    Attributes:
        columns: Shape (windows, knots, features), NaN where a window is too short for one.
        base: The nearest known day at every step ahead up to the last knot, brought towards the present level, in the
            series' unit, shape (windows, steps).
        scale: How much a bin usually differs from the day before, in the series' unit, > 0, shape (windows,).
    """

    columns: NDArray[np.float32]
    base: Array
    scale: Array


def is_warm(window: Array, recipe: Recipe) -> bool:
    """Whether a window is long and whole enough to be forecast from."""
    recent = window[-recipe.minimum_bins :]
    return len(recent) == recipe.minimum_bins and float(np.isnan(recent).mean()) <= 0.5


def stack(windows: Sequence[Array], memory_bins: int) -> Array:
    """The last `memory_bins` of each window, NaN before its first: shape (windows, memory_bins)."""
    stacked = np.full((len(windows), memory_bins), np.nan)
    for row, window in zip(stacked, windows, strict=True):
        recent = window[-memory_bins:]
        row[memory_bins - len(recent) :] = recent
    return stacked


def features(
    windows: Array, end_epoch_seconds: NDArray[np.int64], recipe: Recipe, horizon_steps: int | None = None
) -> Features:
    """What the trees are asked about, at every knot.

    Days back are means over an hour around the same time of day, so that five-minute noise is not carried over.

    Args:
        windows: Shape (m, memory_bins), NaN where missing, each with a bin that is not.
        end_epoch_seconds: Start of each window's last bin, shape (m,); not looked at without a clock.
        recipe: How.
        horizon_steps: How many steps ahead; None for the recipe's, which it may not exceed. Fewer have fewer knots, each
            as it is among all.
    """
    horizon = recipe.horizon_steps if horizon_steps is None else horizon_steps
    known = _Known(windows, recipe)
    knots = recipe.knots_within(horizon)
    steps = np.arange(max(horizon, int(knots[-1]) + 1))
    kept = LEVEL_KEPT_HOURLY ** ((steps + 1) / recipe.hour)
    base = known.day_back(1, steps) + known.shift[:, None] * kept
    columns = [
        *_days(known, knots, base[:, knots]),
        *_levels(known, base[:, knots]),
    ]
    relative = np.stack(columns, axis=-1) / known.scale[:, None, None]
    absolute = np.stack(_shape(known, knots, end_epoch_seconds), axis=-1)
    return Features(np.concatenate([relative, absolute], axis=-1).astype(np.float32), base, known.scale)


class _Known:
    """Windows without holes, and what is asked of them again and again.

    Means are differences of running sums, made only where they are asked for: a live call asks for few of a window's bins.
    """

    def __init__(self, windows: Array, recipe: Recipe) -> None:
        self.recipe = recipe
        self.values = _filled(windows, recipe)
        self.count, self.length = windows.shape
        is_seen = np.isfinite(self.values[:, 0])
        # Only what precedes a window's first bin is missing now.
        self.first = np.where(is_seen, 0, np.argmax(np.isfinite(self.values), axis=1))
        self.running = np.zeros((self.count, self.length + 1))
        np.cumsum(
            self.values if is_seen.all() else np.nan_to_num(self.values), axis=1, out=self.running[:, 1:]
        )
        hour, day = recipe.hour, recipe.day
        self.hourly = np.arange(self.length - 1, -1, -hour)[::-1]
        """One bin in each hour; what is typical is told from these."""
        self.hours = self.at(self.hourly)
        self.shift = self.mean(self.length, hour) - self.mean(self.length - day, hour)
        self.scale, self.spread = self._scales()

    def at(self, index: NDArray[np.int64]) -> Array:
        """Means over an hour around each index, over fewer bins at a window's ends, shape (m, len(index)).

        NaN outside the window. Where a bin is half an hour or longer, the bin itself.
        """
        half = self.recipe.hour // 2
        inside = (index >= self.first[:, None]) & (index < self.length)
        if not half:
            return np.where(inside, self.values[:, np.clip(index, 0, self.length - 1)], np.nan)
        end = np.clip(index + half + 1, 0, self.length)
        begin = np.minimum(np.maximum(np.maximum(index - half, 0), self.first[:, None]), end)
        total = self.running[:, end] - np.take_along_axis(self.running, begin, axis=1)
        return np.where(inside, total / np.maximum(end - begin, 1), np.nan)

    def back(self, steps: NDArray[np.int64], bins: int) -> Array:
        """`bins` before each step ahead; NaN where that is not known yet."""
        return self.at(self.length + steps - bins)

    def day_back(self, days: int, steps: NDArray[np.int64]) -> Array:
        """The `days`-th nearest day that is known at each step ahead, 1 the nearest."""
        day = self.recipe.day
        return self.at(self.length + steps - (steps // day + days) * day)

    def mean(self, end: int, bins: int) -> Array:
        """Mean of the `bins` before index `end`, shape (m,); NaN where the window does not reach so far."""
        begin = end - bins
        if begin < 0:
            return np.full(self.count, np.nan)
        total = (self.running[:, end] - self.running[:, begin]) / bins
        return np.where(begin >= self.first, total, np.nan)

    def differences(self, bins: int) -> Array:
        """Absolute differences between hours `bins` apart, shape (m, hours); NaN where one of them is not known."""
        return np.abs(self.hours - self.at(self.hourly - bins))

    def _scales(self) -> tuple[Array, Array]:
        """Mean absolute difference from the day before, and from the mean; neither zero."""
        seen = np.isfinite(self.hours)
        spread = _mean(np.abs(self.hours - _mean(self.hours, seen)[:, None]), seen)
        differences = self.differences(self.recipe.day)
        daily = _mean(differences, np.isfinite(differences))
        largest = np.max(np.abs(np.where(seen, self.hours, 0.0)), axis=1)
        least = np.maximum(_FLAT * largest, np.finfo(np.float64).tiny)
        spread = np.where(spread > least, spread, 1.0)
        scale = np.where(daily > least, daily, spread)
        return np.maximum(scale, np.abs(self.shift) / SHIFT_SCALES), spread


def _days(known: _Known, knots: NDArray[np.int64], base: Array) -> list[Array]:
    """Other days and weeks at the same time of day, less the nearest day; each of shape (m, knots)."""
    recipe = known.recipe
    day, week, hour = recipe.day, recipe.week, recipe.hour
    days = [known.day_back(number, knots) for number in range(2, 9)]
    weeks = [known.back(knots, number * week) for number in range(1, 5)]
    nearest = (knots // day + 1) * day
    return [
        *(one - base for one in (*days, *weeks)),
        # How the same span of time changed one and two weeks ago: what a weekend does.
        *(weeks[n - 1] - known.at(known.length + knots - n * week - nearest) for n in (1, 2)),
        _across([base, *days[:6]]) - base,
        _median([base, *days[:6]]) - base,
        _across(weeks) - base,
        # Where the nearest day and week were heading.
        *(known.at(known.length + knots - nearest + turn) - base for turn in (-hour, hour)),
        *(known.back(knots, week - turn) - weeks[0] for turn in (-hour, hour)),
    ]


def _levels(known: _Known, base: Array) -> list[Array]:
    """The level now against a day and a week before, and against the level that is asked about."""
    recipe, end = known.recipe, known.length
    day, week, hour = recipe.day, recipe.week, recipe.hour
    spans = [1, *(hours * hour for hours in (1, 2, 3, 6, 12, 24))]
    spans = spans[hour == 1 :]
    columns: list[Array] = []
    for bins in spans:
        now = known.mean(end, bins)
        columns += [now - known.mean(end - day, bins), now - known.mean(end - week, bins)]
    last, last_day, last_week = known.mean(end, hour), known.mean(end, day), known.mean(end, week)
    columns += [
        last_day - last_week,
        last - known.mean(end - hour, hour),
        known.mean(end, 1) - last,
        last - last_day,
    ]
    spread_out = [np.broadcast_to(column[:, None], base.shape) for column in columns]
    return [*spread_out, *(level[:, None] - base for level in (last, last_day, last_week))]


def _shape(known: _Known, knots: NDArray[np.int64], ends: NDArray[np.int64]) -> list[Array]:
    """What has no unit: how far ahead, how regular the series is, and where in day and week the knot lies."""
    recipe = known.recipe
    shape = (known.count, len(knots))

    def typical(bins: int) -> Array:
        differences = known.differences(bins)
        seen = np.isfinite(differences)
        return np.where(seen.any(axis=1), _mean(differences, seen), np.nan) / known.scale

    columns = [np.broadcast_to(knots[None, :] / recipe.hour, shape)]
    ratios = (known.spread / known.scale, typical(recipe.week), typical(recipe.hour))
    columns += [np.broadcast_to(ratio[:, None], shape) for ratio in ratios]
    if recipe.has_clock:
        at = ends[:, None] + recipe.step_seconds * (knots[None, :] + 1)
        turn = 2.0 * np.pi * (at % DAY_SECONDS) / DAY_SECONDS
        # The epoch began on a Thursday; the number only tells days apart.
        columns += [np.sin(turn), np.cos(turn), (at // DAY_SECONDS % 7).astype(np.float64)]
    return columns


def _filled(windows: Array, recipe: Recipe) -> Array:
    """Holes take the bin a day before, or else the last one known.

    What precedes the first known bin stays missing, but for the bins every forecast needs: those take the first known.
    """
    missing = np.isnan(windows)
    hollow = np.flatnonzero(missing.any(axis=1))
    if not len(hollow):
        return windows
    filled, day, length = windows.copy(), recipe.day, windows.shape[1]
    rows, missing = filled[hollow], missing[hollow]
    first = np.argmax(~missing, axis=1)
    index = np.arange(length)
    # No bin within a day of the first has one a day before it.
    last = np.maximum.accumulate(np.where(missing, 0, index), axis=1)
    early = missing & (index > first[:, None]) & (index < first[:, None] + day)
    rows[early] = np.take_along_axis(rows, last, axis=1)[early]
    needed = length - recipe.minimum_bins
    for row in np.flatnonzero(first > needed):
        rows[row, needed : first[row]] = rows[row, first[row]]
    for start in range(day, length, day):
        today, before = rows[:, start : start + day], rows[:, start - day : start]
        np.copyto(today, before[:, : today.shape[1]], where=np.isnan(today))
    filled[hollow] = rows
    return filled


def _mean(values: Array, seen: NDArray[np.bool_]) -> Array:
    """Mean of what was seen in each row, zero where nothing was."""
    return np.asarray(np.where(seen, values, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1))


def _across(columns: Sequence[Array]) -> Array:
    """Mean over columns of those that are known, NaN where none is."""
    stacked = np.stack(columns)
    seen = np.isfinite(stacked)
    count = seen.sum(axis=0)
    return np.asarray(
        np.where(count > 0, np.where(seen, stacked, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
    )


def _median(columns: Sequence[Array]) -> Array:
    """Median over columns of those that are known, the first of which is, everywhere."""
    ordered = np.sort(np.stack(columns), axis=0)  # what is not known comes last
    count = np.isfinite(ordered).sum(axis=0)[None]
    middle = [np.take_along_axis(ordered, place, axis=0)[0] for place in ((count - 1) // 2, count // 2)]
    return np.asarray(0.5 * (middle[0] + middle[1]))
