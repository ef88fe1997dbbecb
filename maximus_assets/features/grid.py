"""The grid: irregular samples to one value a bin.

A bin is labelled by its start and bins are counted from the Unix epoch, so that two frames of the same series always
share bins. What was not seen stays missing (null): filling it is a model's decision, not the grid's.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.telemetry import GRID_SECONDS, OBSERVED_AT, SENSOR, TARGET, VALUE

MAX_BINS: Final = 50_000_000
"""Most bins of all series together: one stray instant a century away would otherwise fill the memory with absences."""

BATCH_ROWS: Final = 1_000_000
"""About how many rows are sorted and put into bins at once: that takes some ten times the memory of the rows."""

_BIN = "bin"
_BATCH = "batch"
_SERIES = [TARGET, SENSOR]
_SCHEMA: Final = pl.Schema(
    {
        TARGET: pl.String(),
        SENSOR: pl.String(),
        OBSERVED_AT: pl.Datetime("us", "UTC"),
        VALUE: pl.Float64(),
    }
)
_IS_SEEN: Final = pl.col(VALUE).is_not_null() & pl.col(VALUE).is_not_nan()


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
    if _is_grid(frame, step_us) and frame.height <= MAX_BINS:
        return frame
    spans = _spans(frame, step_us)
    _check_span(spans)
    if frame.height <= BATCH_ROWS:
        return _binned(frame, step_us)
    batches = spans.with_columns(
        ((pl.col("rows").cum_sum() - pl.col("rows")) // BATCH_ROWS).cast(pl.UInt32).alias(_BATCH)
    ).select(*_SERIES, _BATCH)
    numbers = pl.concat(
        [
            rows.select(_SERIES).join(
                batches, on=_SERIES, how="left", nulls_equal=True, maintain_order="left"
            )[_BATCH]
            for rows in frame.iter_slices(BATCH_ROWS)
        ]
    )
    return pl.concat(
        [_binned(frame.filter(numbers == number), step_us) for number in batches[_BATCH].unique().sort()]
        or [_binned(frame.clear(), step_us)]
    )


def series_names(frame: pl.DataFrame) -> pl.DataFrame:
    """The series of a telemetry frame, each once and in order: columns target and sensor."""
    parts = [rows.select(_SERIES).unique() for rows in frame.iter_slices(BATCH_ROWS)]
    return pl.concat([frame.clear().select(_SERIES), *parts]).unique().sort(*_SERIES)


def stretches(grid: pl.DataFrame) -> pl.DataFrame:
    """Where each series of a grid lies in it: columns target, sensor, start (a row) and length (rows), in its order."""
    starts = np.flatnonzero(_begins(grid))
    return grid[starts].select(
        *_SERIES,
        pl.Series("start", starts, dtype=pl.Int64),
        pl.Series("length", np.diff(starts, append=grid.height), dtype=pl.Int64),
    )


def _begins(frame: pl.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether a row is of another series than the row before it, shape (rows,)."""
    target, sensor = frame[TARGET], frame[SENSOR]
    begins = (target.ne_missing(target.shift()) | sensor.ne_missing(sensor.shift())).to_numpy(writable=True)
    begins[:1] = True
    return np.asarray(begins)


def _is_grid(frame: pl.DataFrame, step_us: int) -> bool:
    """Whether putting it on the grid would change nothing: looking costs little, doing it again much."""
    if frame.schema != _SCHEMA:
        return False
    at, value, begins = frame[OBSERVED_AT], frame[VALUE], _begins(frame)
    ends = np.roll(begins, -1)
    instants = at.to_physical()
    is_next = (instants.diff() == step_us).fill_null(value=False).to_numpy()
    starts = frame.filter(begins)
    names = starts.select(_SERIES)
    return bool(
        (is_next | begins).all()
        and not at.null_count()
        and (starts[OBSERVED_AT].to_physical() % step_us == 0).all()
        and not value.is_nan().any()
        and not starts[VALUE].null_count()
        and not frame.filter(ends)[VALUE].null_count()
        and names.equals(names.unique().sort(*_SERIES))
    )


def _binned(frame: pl.DataFrame, step_us: int) -> pl.DataFrame:
    """What `to_grid` does, of some series at once."""
    ordered = (
        frame.filter(_IS_SEEN)
        .with_columns((pl.col(OBSERVED_AT).dt.epoch("us") // step_us).alias(_BIN))
        .sort(*_SERIES, OBSERVED_AT, VALUE)
    )
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


def _spans(frame: pl.DataFrame, step_us: int) -> pl.DataFrame:
    """Rows seen, and first and last instant of each series that has any, in order of the series."""
    parts = [
        rows.filter(_IS_SEEN)
        .group_by(_SERIES)
        .agg(rows=pl.len(), first=pl.col(OBSERVED_AT).min(), last=pl.col(OBSERVED_AT).max())
        for rows in (frame.iter_slices(BATCH_ROWS) if frame.height else [frame])
    ]
    return (
        pl.concat(parts)
        .group_by(_SERIES)
        .agg(pl.col("rows").sum(), pl.col("first").min(), pl.col("last").max())
        .with_columns(
            bins=pl.col("last").dt.epoch("us") // step_us - pl.col("first").dt.epoch("us") // step_us + 1
        )
        .sort(*_SERIES)
    )


def _check_span(spans: pl.DataFrame) -> None:
    if int(spans["bins"].sum()) > MAX_BINS:
        target, sensor, _, first, last, bins = spans.sort("bins", *_SERIES).row(-1)
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
