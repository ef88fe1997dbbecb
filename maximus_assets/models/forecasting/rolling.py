"""Forecasts from many origins of one series: how methods are validated and judged.

Every forecast uses what precedes its origin and nothing else, from a window no longer than the live one, by the very
code that serves. Blocks (days) with their own component are carried side by side, so that the loop over time runs once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maximus_assets.models.forecasting.base import Array, day_steps
from maximus_assets.pyfuncs import rescaled, smoothing
from maximus_assets.pyfuncs.components import Component, Direct, Recursion, Rescaled, Smoothing
from maximus_assets.pyfuncs.direct import Rows, forecast
from maximus_assets.pyfuncs.kinds import regress, stack
from maximus_assets.pyfuncs.past import fill
from maximus_assets.pyfuncs.recursion import extend, trace

WINDOW_DAYS: Final = 8
"""Length of the live window: no forecast is judged on a longer memory than it will have."""

HOUR_SECONDS: Final = 3600

ROWS_AT_ONCE: Final = 512
"""Origins whose direct forecasts are made at once: some 50 MB of columns a day ahead at five minutes."""


@dataclass(frozen=True)
class Block:
    """A stretch of origins that share a component.

    Attributes:
        component: Learnt from bins before `begin` only.
        begin: First origin: the first bin that is forecast, not known.
        end: One past the last origin.
    """

    component: Component
    begin: int
    end: int


@dataclass(frozen=True)
class Rolled:
    """Forecasts by origin.

    Attributes:
        origins: First bin forecast, shape (k,), ascending.
        forecasts: Of bins origin, origin + 1, ..., shape (k, horizon).
        actuals: What came, NaN where missing or not yet, same shape.
    """

    origins: NDArray[np.int64]
    forecasts: Array
    actuals: Array

    @property
    def errors(self) -> Array:
        """Actual less forecast, shape (k, horizon)."""
        return self.actuals - self.forecasts


def hour_bins(step_seconds: int) -> int:
    """Bins in an hour, 1 where a bin is longer."""
    return max(1, HOUR_SECONDS // step_seconds)


def roll(blocks: Sequence[Block], values: Array, start_epoch_seconds: int, step_seconds: int) -> Rolled:
    """Forecast from every hour of every block.

    Args:
        blocks: Of one method and structure, so that they share their season and horizon; in order of time.
        values: The whole history, shape (n,), NaN where missing.
        start_epoch_seconds: Start of its first bin.
        step_seconds: Width of a bin.
    """
    every, horizon = hour_bins(step_seconds), blocks[0].component.horizon_steps
    origins = [np.arange(block.begin, block.end, every, dtype=np.int64) for block in blocks]
    kinds = {type(block.component) for block in blocks}
    if kinds == {Recursion}:
        ahead = _recur(blocks, origins, values, start_epoch_seconds, step_seconds)
    elif kinds == {Direct}:
        ahead = _direct(blocks, origins, values, start_epoch_seconds, step_seconds)
    elif kinds == {Smoothing}:
        ahead = _smooth(blocks, origins, values, start_epoch_seconds, step_seconds)
    elif kinds == {Rescaled}:
        ahead = _rescale(blocks, origins, values, step_seconds)
    else:
        msg = f"blocks are of one kind of component that there is, not of {kinds}"
        raise TypeError(msg)
    starts = np.concatenate(origins)
    padded = np.concatenate([values, np.full(horizon, np.nan)])
    return Rolled(starts, ahead, padded[starts[:, None] + np.arange(horizon)[None, :]])


def _recur(
    blocks: Sequence[Block],
    origins: Sequence[NDArray[np.int64]],
    values: Array,
    start_epoch_seconds: int,
    step_seconds: int,
) -> Array:
    """Forecasts of blocks of recursions, shape (origins, horizon)."""
    parts = [block.component for block in blocks if isinstance(block.component, Recursion)]
    season, horizon = parts[0].season_steps, parts[0].horizon_steps
    memory = max(WINDOW_DAYS * day_steps(step_seconds), season + 1)
    longest = max(block.end - block.begin for block in blocks)
    length = memory + longest
    window = np.full((length, len(blocks)), np.nan)
    for column, block in enumerate(blocks):
        first = block.begin - memory
        piece = values[max(first, 0) : block.end]
        window[max(-first, 0) : max(-first, 0) + len(piece), column] = piece
        times = start_epoch_seconds + step_seconds * np.arange(first, first + length, dtype=np.int64)
        window[:, column] -= regress([parts[column]], times)[:, 0]
    ar, ma = stack(parts, "ar"), stack(parts, "ma")
    known = trace(window, season, ar, ma, known_steps=memory)

    column_of = np.repeat(np.arange(len(blocks)), [len(each) for each in origins])
    local = np.concatenate([each - block.begin + memory for each, block in zip(origins, blocks, strict=True)])

    def tail(array: Array, count: int) -> Array:
        rows = local[None, :] + np.arange(-count, 0)[:, None]
        return np.asarray(array[rows, column_of[None, :]])

    ahead = extend(
        tail(known.filled, season),
        tail(known.differenced, len(ar)),
        tail(known.innovations, len(ma)),
        ar=ar[:, column_of],
        ma=ma[:, column_of],
        steps=horizon,
    ).T
    starts = np.concatenate(origins)
    for column, block in enumerate(blocks):
        rows = column_of == column
        times = start_epoch_seconds + step_seconds * np.arange(
            block.begin, block.end + horizon, dtype=np.int64
        )
        regression = regress([parts[column]], times)[:, 0]
        ahead[rows] += regression[(starts[rows] - block.begin)[:, None] + np.arange(horizon)[None, :]]
    return np.asarray(ahead)


def _direct(
    blocks: Sequence[Block],
    origins: Sequence[NDArray[np.int64]],
    values: Array,
    start_epoch_seconds: int,
    step_seconds: int,
) -> Array:
    """Forecasts of blocks of direct components, shape (origins, horizon)."""
    parts = [block.component for block in blocks if isinstance(block.component, Direct)]
    past = fill(values[:, None], day_steps(step_seconds))
    origin = np.concatenate(origins)
    offset = past.offset[0]
    day, week = (np.stack([getattr(each, name) for each in parts]) - offset for name in ("day", "week"))
    low, high = (np.array([each.bounds[end] for each in parts]) - offset for end in (0, 1))
    coefficients = np.stack([each.by_stretch for each in parts])
    events = (parts[0].events.reshape(-1, 2),)
    block = np.repeat(np.arange(len(blocks)), [len(each) for each in origins])
    found = []
    for first in range(0, len(origin), ROWS_AT_ONCE):
        some = slice(first, first + ROWS_AT_ONCE)
        at = origin[some]
        rows = Rows(at, np.zeros(len(at), dtype=np.int64), day, week, low, high, block[some], events)
        epoch = start_epoch_seconds + step_seconds * at
        found.append(
            forecast(
                past,
                rows,
                coefficients,
                horizon_steps=parts[0].horizon_steps,
                epoch_seconds=epoch,
                step_seconds=step_seconds,
            )
        )
    return np.concatenate(found)


def _smooth(
    blocks: Sequence[Block],
    origins: Sequence[NDArray[np.int64]],
    values: Array,
    start_epoch_seconds: int,
    step_seconds: int,
) -> Array:
    """Forecasts of blocks of smoothings, each with its own gains and season, shape (origins, horizon)."""
    parts = [block.component for block in blocks if isinstance(block.component, Smoothing)]
    day, horizon = day_steps(step_seconds), parts[0].horizon_steps
    phase = start_epoch_seconds // step_seconds
    memory = WINDOW_DAYS * day
    length = memory + max(block.end - block.begin for block in blocks)
    window = np.full((length, len(blocks)), np.nan)
    for column, (block, part) in enumerate(zip(blocks, parts, strict=True)):
        first = max(block.begin - memory, 0)
        season = part.season[(phase + np.arange(first, block.end)) % len(part.season)]
        row = first - (block.begin - memory)
        window[row : row + len(season), column] = values[first : block.end] - season
    gains = smoothing.gains_of(parts)
    known = smoothing.smooth(window, gains, day_steps=day, known_steps=memory)
    column_of = np.repeat(np.arange(len(blocks)), [len(each) for each in origins])
    local = np.concatenate(
        [each - block.begin + memory - 1 for each, block in zip(origins, blocks, strict=True)]
    )
    row_of = local - known.first_row
    ahead = smoothing.extend(
        known.level[row_of, column_of], known.trend[row_of, column_of], gains[2, column_of], horizon
    )
    end = 0
    for each, part in zip(origins, parts, strict=True):
        begin, end = end, end + len(each)
        ahead[begin:end] += part.season[(phase + each[:, None] + np.arange(horizon)) % len(part.season)]
    return ahead


def _rescale(
    blocks: Sequence[Block], origins: Sequence[NDArray[np.int64]], values: Array, step_seconds: int
) -> Array:
    """Forecasts of blocks of rescaled seasons, shape (origins, horizon)."""
    parts = [block.component for block in blocks if isinstance(block.component, Rescaled)]
    origin = np.concatenate(origins)
    block = np.repeat(np.arange(len(blocks)), [len(each) for each in origins])
    past = fill(values[:, None], day_steps(step_seconds))
    how = rescaled.rules(parts, block)
    return rescaled.rescale(past, origin, np.zeros_like(origin), how, parts[0].horizon_steps)


def hourly(bins: Array, step_seconds: int) -> Array:
    """Means over whole hours ahead: (k, horizon) -> (k, hours); an hour with a missing bin is missing.

    Where a bin is an hour or longer, the bins themselves.
    """
    width = hour_bins(step_seconds)
    hours = bins.shape[1] // width
    return np.asarray(bins[:, : hours * width].reshape(len(bins), hours, width).mean(axis=2))


def horizons(step_seconds: int) -> dict[int, int]:
    """Horizon in hours (1, 6, 24; only those a step fits into) -> index of its hour in `hourly`'s columns."""
    return {
        hours: hours * HOUR_SECONDS // max(step_seconds, HOUR_SECONDS) - 1
        for hours in (1, 6, 24)
        if hours * HOUR_SECONDS >= step_seconds
    }
