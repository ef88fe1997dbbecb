"""The grid: irregular samples to one value a bin.

A bin is labelled by its start and bins are counted from the Unix epoch, so that two frames of the same series always
share bins. What was not seen stays missing (null): filling it is a model's decision, not the grid's.
"""

from typing import Final

import numpy as np
import polars as pl

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.telemetry import GRID_SECONDS, OBSERVED_AT, SENSOR, TARGET, VALUE

MAX_BINS: Final = 50_000_000
"""Most bins of all series together: one stray instant a century away would otherwise fill the memory with absences."""

_BIN = "bin"
_SERIES = [TARGET, SENSOR]


def to_grid(frame: pl.DataFrame, step_seconds: int = GRID_SECONDS) -> pl.DataFrame:
    """The mean of each bin's samples, one row for each series and bin.

    Applying it to a grid of the same step changes nothing but missing rows at a series' ends, which go.

    Args:
        frame: A telemetry frame (`contracts.telemetry.FRAME_COLUMNS`); null and NaN values count as not seen.
        step_seconds: Width of a bin in seconds, > 0.

    Returns:
        A frame of the same columns, sorted by series and instant; for each series every bin from its first to its last
        seen one, null where it has no sample. A series without any value has no row.

    Raises:
        BadInputError: `step_seconds` is not positive, or the series together span more than `MAX_BINS` bins.
    """
    if step_seconds <= 0:
        raise BadInputError(
            "must be a positive number of seconds", source="grid step", column=str(step_seconds)
        )
    step_us = step_seconds * 1_000_000
    ordered = (
        frame.filter(pl.col(VALUE).is_not_null() & pl.col(VALUE).is_not_nan())
        .with_columns((pl.col(OBSERVED_AT).dt.epoch("us") // step_us).alias(_BIN))
        .sort(*_SERIES, OBSERVED_AT, VALUE)
    )
    _check_span(ordered)
    binned = _mean_by_bin(ordered).lazy()
    complete = (
        binned.group_by(_SERIES)
        .agg(pl.int_range(pl.col(_BIN).min(), pl.col(_BIN).max() + 1, dtype=pl.Int64).alias(_BIN))
        .explode(_BIN, empty_as_null=False)
    )
    return (
        complete.join(binned, on=[*_SERIES, _BIN], how="left")
        .with_columns((pl.col(_BIN) * step_us).cast(pl.Datetime("us", "UTC")).alias(OBSERVED_AT))
        .select(*_SERIES, OBSERVED_AT, pl.col(VALUE).cast(pl.Float64))
        .sort(*_SERIES, OBSERVED_AT)
        .collect()
    )


def _check_span(ordered: pl.DataFrame) -> None:
    spans = ordered.group_by(_SERIES).agg(
        bins=pl.col(_BIN).max() - pl.col(_BIN).min() + 1,
        first=pl.col(OBSERVED_AT).min(),
        last=pl.col(OBSERVED_AT).max(),
    )
    if int(spans["bins"].sum()) > MAX_BINS:
        target, sensor, bins, first, last = spans.sort("bins", *_SERIES).row(-1)
        raise BadInputError(
            f"from {first.isoformat()} to {last.isoformat()} are {bins:,} bins, of all series more than {MAX_BINS:,}; "
            "is an instant wrong?",
            source=f"{target}/{sensor}",
        )


def _mean_by_bin(ordered: pl.DataFrame) -> pl.DataFrame:
    """The mean of each run of rows of one series and bin.

    Summed by numpy one row after the other: the last bits of polars' own mean vary with where rows lie in memory, and
    equal samples must give equal grids, or every version of the same data would look new.
    """
    keys = ordered.select(*_SERIES, _BIN)
    if keys.is_empty():
        return keys.with_columns(pl.lit(None, dtype=pl.Float64).alias(VALUE))
    run = keys.select(pl.struct(pl.all()).rle_id()).to_series().to_numpy()
    means = np.bincount(run, weights=ordered[VALUE].to_numpy()) / np.bincount(run)
    starts = np.flatnonzero(np.diff(run, prepend=-1))
    return keys[starts].with_columns(pl.Series(VALUE, means))
