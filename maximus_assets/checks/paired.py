"""Two versions' figures on the same outcomes, as pairs: ratios with bounds, and differences hour by hour.

Belongs here: the arithmetic of pairs. Does not: what follows from it (`live`). Neighbouring outcomes depend on one another,
so bounds come from resampling whole blocks of hours (circular block bootstrap: Politis and Romano 1992), all series together,
with a fixed seed.
"""

from datetime import timedelta
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maximus_assets.checks.sequential import differences
from maximus_assets.contracts.telemetry import GRID_SECONDS

Array = NDArray[np.float64]

LEVEL: Final = 0.01
"""Chance at which a bound of an interval lies beyond the truth, at a single look."""

_DRAWS: Final = 1000
_LEAST_BLOCKS: Final = 8
_LONGEST_BLOCK_HOURS: Final = 6
_TINY: Final = 1e-12


class Ratio(NamedTuple):
    """One version's figure over another's, pooled over series; below 1 the first is better.

    Attributes:
        ratio: As observed.
        low: Lower bound, `LEVEL` below it.
        high: Upper bound, `LEVEL` above it.
    """

    ratio: float
    low: float
    high: float


def hourly(both: pl.DataFrame, figure: str, margin: float = 1.0) -> Array:
    """How much smaller a figure of one is than that of the other, over whole hours; arguments as `compared`.

    The hour that is not over is left out: what is bet on must not change afterwards.

    Args:
        both: Pairs.
        figure: Which.
        margin: As of `sequential.differences`.
    """
    hour = pl.col("issued_at").dt.truncate("1h")
    is_over = hour + timedelta(hours=1) <= pl.col("issued_at").max() + timedelta(seconds=GRID_SECONDS)
    by_hour = (
        both.filter(is_over)
        .group_by(hour.alias("hour"), "series")
        .agg(pl.col(figure).sum(), pl.col(f"{figure}_champion").sum())
    )
    ours, theirs = (_matrix(by_hour, name, absent=np.nan) for name in (figure, f"{figure}_champion"))
    return differences(ours, theirs, margin)


def compared(both: pl.DataFrame, figure: str) -> Ratio:
    """A figure of one over that of the other, pooled over series of equal weight, with bounds from resampled blocks.

    Args:
        both: Pairs: columns `series`, `issued_at`, `figure` and `<figure>_champion`.
        figure: Which.
    """
    by_hour = both.group_by(pl.col("issued_at").dt.truncate("1h").alias("hour"), "series").agg(
        pl.col(figure).sum(), pl.col(f"{figure}_champion").sum()
    )
    ours, theirs = (_matrix(by_hour, name) for name in (figure, f"{figure}_champion"))
    totals = theirs.sum(axis=0)
    # Where the other is without error at all, the scale is our own: a ratio to nothing would be infinite.
    scale = np.where(totals > _TINY, totals, np.maximum(ours.sum(axis=0), _TINY))
    a, b = (ours / scale).sum(axis=1), (theirs / scale).sum(axis=1)
    weights = _block_weights(len(a))
    drawn = (weights @ a) / np.maximum(weights @ b, _TINY)
    low, high = np.quantile(drawn, (LEVEL, 1.0 - LEVEL))
    return Ratio(float(a.sum() / max(b.sum(), _TINY)), float(low), float(high))


def _matrix(by_hour: pl.DataFrame, figure: str, absent: float = 0.0) -> Array:
    """Hours by series, `absent` where a series has no outcome in an hour (of either, for they are pairs)."""
    wide = by_hour.sort("hour", "series").pivot(on="series", index="hour", values=figure).sort("hour")
    values: Array = wide.drop("hour").fill_null(absent).to_numpy().astype(np.float64)
    return values


def _block_weights(hours: int) -> Array:
    """How often each hour is drawn, shape (draws, hours); blocks run on past the end at the beginning."""
    length = min(max(hours // _LEAST_BLOCKS, 1), _LONGEST_BLOCK_HOURS)
    blocks = -(-hours // length)
    starts = np.random.default_rng(0).integers(0, hours, size=(_DRAWS, blocks))
    drawn = (starts[:, :, None] + np.arange(length)).reshape(_DRAWS, -1)[:, :hours] % hours
    weights = np.zeros((_DRAWS, hours))
    np.add.at(weights, (np.arange(_DRAWS)[:, None], drawn), 1.0)
    return weights
