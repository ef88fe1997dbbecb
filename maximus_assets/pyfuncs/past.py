"""The recent past of many series without holes: any mean over any stretch of it in one subtraction.

A hole is filled with what was a day before, else with what was last seen: nothing later than the hole is used, so a
backtest may fill a whole history at once. Values are kept relative to the first one seen, which keeps running sums of
large steady values exact.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Past:
    """Filled values of many series.

    Attributes:
        filled: Relative to `offset`, shape (time, series).
        sums: Running sums of `filled`, shape (time + 1, series); row t is the sum of the rows before t.
        offset: The first value seen of each series, zero where there is none, shape (series,).
    """

    filled: Array
    sums: Array
    offset: Array

    def at(self, index: Index, column: Index) -> Array:
        """Values at bins; arguments broadcast."""
        return np.asarray(self.filled[index, column])

    def mean(self, begin: Index, end: Index, column: Index) -> Array:
        """Means of bins begin, ..., end - 1, of which there is at least one; arguments broadcast."""
        return np.asarray((self.sums[end, column] - self.sums[begin, column]) / (end - begin))


def fill(values: Array, day_steps: int) -> Past:
    """Fill the holes of a past.

    Args:
        values: NaN where missing, shape (time, series).
        day_steps: Bins in a day.
    """
    seen = ~np.isnan(values)
    rows = np.arange(len(values))[:, None]
    first = np.where(seen.any(axis=0), seen.argmax(axis=0), 0)
    offset = (
        np.nan_to_num(values[first, np.arange(values.shape[1])]) if len(values) else np.zeros(values.shape[1])
    )
    if seen.all():
        filled = values - offset
    else:
        filled = values - offset
        last = np.maximum.accumulate(np.where(seen, rows, -1), axis=0)
        held = np.where(last >= 0, np.take_along_axis(filled, np.maximum(last, 0), axis=0), 0.0)
        filled[:day_steps] = np.where(seen[:day_steps], filled[:day_steps], held[:day_steps])
        for begin in range(day_steps, len(filled), day_steps):
            piece = filled[begin : begin + day_steps]
            before = filled[begin - day_steps : begin - day_steps + len(piece)]
            filled[begin : begin + day_steps] = np.where(np.isnan(piece), before, piece)
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(filled, axis=0)])
    return Past(filled, sums, offset)
