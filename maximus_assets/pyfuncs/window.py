"""The recent past of one series, as it comes in to be forecast from."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from maximus_assets.pyfuncs.past import Array
from maximus_assets.pyfuncs.state import SeriesState

MISSING_RATIO: Final = 0.5
"""Largest share of a window's required bins that may be missing."""


@dataclass(frozen=True, eq=False)
class SeriesWindow:
    """The recent past of one series.

    Attributes:
        target: The target.
        sensor: The sensor.
        end_epoch_seconds: Start of the last bin.
        values: One for each bin, oldest first, NaN where missing, shape (n,).
    """

    target: str
    sensor: str
    end_epoch_seconds: int
    values: Array


def is_cold(state: SeriesState, values: Array) -> bool:
    """Whether a window is too short, or too full of holes, to forecast from.

    Args:
        state: The series' state.
        values: The window, NaN where missing, shape (n,).
    """
    recent = values[-state.minimum_bins :]
    return len(recent) < state.minimum_bins or float(np.isnan(recent).mean()) > MISSING_RATIO
