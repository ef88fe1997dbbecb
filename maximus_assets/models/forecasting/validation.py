"""A choice among structures by their out-of-sample errors on the validation bins, all of them rolled at once.

What is compared are days of the validation part, each forecast by what was known at its beginning, at the scaler's lead
and 1, 6 and 24 hours ahead. Every candidate of every day is a block of one roll, so that the loop over time runs once
for all of them; of a long history so many days are taken, evenly spaced, that this stays small.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import numpy as np

from maximus_assets.models.forecasting.base import Array, day_steps, validation_start
from maximus_assets.models.forecasting.rolling import Block, horizons, hour_bins, roll
from maximus_assets.pyfuncs.components import Component

MAX_DAYS: Final = 14
"""Most days that are compared."""

LEAD_SECONDS: Final = 900
"""The first stretch that is compared, where a step fits into it."""

_LEAST_ERROR: Final = 1e-12

S = TypeVar("S")


def days(length: int, step_seconds: int) -> list[tuple[int, int]]:
    """First and one past the last bin of each day compared, within the validation part of a history of `length` bins."""
    day, begin = day_steps(step_seconds), validation_start(length)
    every = -(-(length - begin) // (day * MAX_DAYS)) * day
    return [(at, min(at + day, length)) for at in range(begin, length, every)]


def best(
    structures: Sequence[S],
    make: Callable[[S, Sequence[int]], Sequence[Component]],
    values: Array,
    start_epoch_seconds: int,
    step_seconds: int,
) -> S:
    """The structure with the least validation loss; the first of equals.

    Args:
        structures: At least one.
        make: Gives a structure's components at some begins, each from what precedes it; all of one kind and horizon.
        values: What is fitted, shape (n,), NaN where missing.
        start_epoch_seconds: Start of the first bin.
        step_seconds: Width of a bin.
    """
    if len(structures) == 1:
        return structures[0]
    stretches = days(len(values), step_seconds)
    begins = [begin for begin, _ in stretches]
    blocks = [
        Block(component, begin, end)
        for structure in structures
        for component, (begin, end) in zip(make(structure, begins), stretches, strict=True)
    ]
    rolled = roll(blocks, values, start_epoch_seconds, step_seconds)
    errors = rolled.errors.reshape(len(structures), -1, rolled.forecasts.shape[1])
    return structures[int(np.argmin(_losses(errors, step_seconds)))]


def _losses(errors: Array, step_seconds: int) -> Array:
    """Mean over the stretches of the logarithm of the mean absolute error of their means, shape (structures,).

    The logarithm makes horizons of different difficulty, and series of any unit, weigh alike.
    """
    width = hour_bins(step_seconds)
    parts = [slice(at * width, (at + 1) * width) for at in horizons(step_seconds).values()]
    if step_seconds <= LEAD_SECONDS:
        parts.append(slice(0, LEAD_SECONDS // step_seconds))
    total = np.zeros(len(errors))
    for part in parts:
        if part.stop > errors.shape[2]:
            continue
        apart = np.abs(errors[:, :, part].mean(axis=2))
        # The outcome is the same for every structure, and so is what is missing.
        compared = np.isfinite(apart[0])
        if compared.any():
            total += np.log(np.maximum(apart[:, compared].mean(axis=1), _LEAST_ERROR))
    return total / len(parts)
