"""The feature table: the grid with calendar columns beside it, and the recipe that names how it was made.

The recipe is a declared description, not a hash of source code: it changes when what a feature means changes, and a
version of a model carries its hash so that a reader can tell which features it learnt from.
"""

import hashlib
import json
from typing import Final

import numpy as np
import polars as pl

from maximus_assets.contracts.telemetry import GRID_SECONDS, OBSERVED_AT
from maximus_assets.features.calendar import DAY_SECONDS, WEEK_SECONDS
from maximus_assets.features.grid import to_grid

RECIPE: Final[dict[str, object]] = {
    "version": 1,
    "grid": {
        "step_seconds": GRID_SECONDS,
        "value": "mean of samples",
        "label": "bin start",
        "origin": "epoch",
    },
    "missing": "null, never filled",
    "calendar": {
        "origin": "epoch, UTC",
        "day": f"sine and cosine of {DAY_SECONDS} s",
        "week": f"sine and cosine of {WEEK_SECONDS} s",
    },
}
"""What the features mean. Raise the version whenever a column's meaning changes."""

RECIPE_HASH: Final = hashlib.sha256(
    json.dumps(RECIPE, sort_keys=True, separators=(",", ":")).encode()
).hexdigest()
"""SHA-256 of the recipe, 64 hexadecimal digits."""

CALENDAR_COLUMNS: Final = ("day_sin", "day_cos", "week_sin", "week_cos")


def feature_table(frame: pl.DataFrame, step_seconds: int = GRID_SECONDS) -> pl.DataFrame:
    """The grid of `frame` with the phase of day and week beside each bin.

    Args:
        frame: A telemetry frame, raw or already on the grid.
        step_seconds: Width of a bin in seconds, > 0.

    Returns:
        The grid's columns and `CALENDAR_COLUMNS`, each within [-1, 1].

    Raises:
        BadInputError: `step_seconds` is not positive, or the frame spans too many bins.
    """
    grid = to_grid(frame, step_seconds)
    seconds = pl.col(OBSERVED_AT).dt.epoch("s").cast(pl.Float64)
    day, week = seconds * (2.0 * np.pi / DAY_SECONDS), seconds * (2.0 * np.pi / WEEK_SECONDS)
    return grid.with_columns(
        day.sin().alias("day_sin"),
        day.cos().alias("day_cos"),
        week.sin().alias("week_sin"),
        week.cos().alias("week_cos"),
    )
