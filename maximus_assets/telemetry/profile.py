"""A day of telemetry in few numbers: what later days are compared with, so that weeks of samples need not be read again.

A profile is a hundredth of its day: for each series and hour the tenth, fiftieth and ninetieth percentile, how many
samples, and the longest time one value was repeated. Nothing is judged here; `quality_frozen` and `quality_change` do.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.telemetry import OBSERVED_AT, SENSOR, TARGET, VALUE

HOURS: Final = 24
LEVELS: Final = (0.1, 0.5, 0.9)
"""Percentiles kept of each hour."""

PROFILE_SCHEMA: Final = pl.Schema(
    {
        TARGET: pl.String(),
        SENSOR: pl.String(),
        "hour": pl.Int8(),
        "count": pl.UInt32(),
        "low": pl.Float64(),
        "middle": pl.Float64(),
        "high": pl.Float64(),
        "longest_run_seconds": pl.Float64(),
    }
)
"""One row for each series and UTC hour with a sample. A run counts for the hour it begins in; runs at an end of the
sensor's valid range do not count, for an idle sensor rests there."""

RUN_SCHEMA: Final = pl.Schema(
    {
        TARGET: pl.String(),
        SENSOR: pl.String(),
        "start": pl.Datetime("us", "UTC"),
        "end": pl.Datetime("us", "UTC"),
        VALUE: pl.Float64(),
        "count": pl.UInt32(),
        "seconds": pl.Float64(),
    }
)
"""One row for each run of equal values: its first and last instant, how many samples, how long."""

Array = NDArray[np.float64]


def runs(frame: pl.DataFrame) -> pl.DataFrame:
    """Every run of equal values of every series.

    Args:
        frame: A telemetry frame whose rows stand by series and instant.

    Returns:
        Columns of `RUN_SCHEMA`, in the frame's order.
    """
    if frame.is_empty():
        return pl.DataFrame(schema=RUN_SCHEMA)
    is_same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in (VALUE, SENSOR, TARGET))
    begins = np.flatnonzero(~frame.select(is_same.fill_null(value=False)).to_series().to_numpy())
    lasts = np.append(begins[1:], frame.height) - 1
    return (
        frame[begins]
        .rename({OBSERVED_AT: "start"})
        .with_columns(
            frame[OBSERVED_AT].gather(lasts.tolist()).alias("end"),
            pl.Series("count", lasts - begins + 1, dtype=pl.UInt32),
        )
        .with_columns(seconds=(pl.col("end") - pl.col("start")).dt.total_microseconds() / 1e6)
        .select(*RUN_SCHEMA)
        .cast(dict(RUN_SCHEMA.items()))
    )


def moving(found: pl.DataFrame) -> pl.DataFrame:
    """The runs that do not rest at an end of their sensor's valid range.

    Args:
        found: Columns of `RUN_SCHEMA`.
    """
    bounds = pl.DataFrame(
        [(sensor.name, sensor.minimum, sensor.maximum) for sensor in CATALOGUE.values()],
        schema={SENSOR: pl.String, "minimum": pl.Float64, "maximum": pl.Float64},
        orient="row",
    )
    return (
        found.join(bounds, on=SENSOR, how="inner", maintain_order="left")
        .filter(pl.col(VALUE).is_between("minimum", "maximum", closed="none"))
        .drop("minimum", "maximum")
    )


def profile(frame: pl.DataFrame) -> pl.DataFrame:
    """What a day of telemetry looked like.

    Args:
        frame: A telemetry frame of one UTC day, by series and instant.

    Returns:
        Columns of `PROFILE_SCHEMA`, by series and hour.
    """
    value = pl.col(VALUE)
    hours = frame.group_by(TARGET, SENSOR, pl.col(OBSERVED_AT).dt.hour().alias("hour")).agg(
        value.len().alias("count"),
        value.quantile(LEVELS[0], "linear").alias("low"),
        value.median().alias("middle"),
        value.quantile(LEVELS[2], "linear").alias("high"),
    )
    longest = (
        moving(runs(frame))
        .group_by(TARGET, SENSOR, pl.col("start").dt.hour().alias("hour"))
        .agg(pl.col("seconds").max().alias("longest_run_seconds"))
    )
    return (
        hours.join(longest, on=[TARGET, SENSOR, "hour"], how="left")
        .with_columns(pl.col("longest_run_seconds").fill_null(0.0))
        .select(*PROFILE_SCHEMA)
        .cast(dict(PROFILE_SCHEMA.items()))
        .sort(TARGET, SENSOR, "hour")
    )


def days_of_series(profiles: Sequence[pl.DataFrame]) -> dict[tuple[str, str], Array]:
    """The percentiles of every series, day by day.

    Args:
        profiles: Of consecutive days, oldest first, columns of `PROFILE_SCHEMA`.

    Returns:
        (target, sensor) -> shape (days, 24, 3), NaN where an hour has no sample.
    """
    found: dict[tuple[str, str], Array] = {}
    for day, one in enumerate(profiles):
        if one.is_empty():
            continue
        hours = one["hour"].to_numpy().astype(np.int64)
        levels = one.select("low", "middle", "high").to_numpy()
        names = one.select(TARGET, SENSOR)
        begins = names.select(pl.struct(pl.all()).rle_id()).to_series().to_numpy()
        firsts = np.flatnonzero(np.diff(begins, prepend=-1))
        lasts = np.append(firsts[1:], one.height)
        for (target, sensor), first, last in zip(names[firsts].iter_rows(), firsts, lasts, strict=True):
            if (target, sensor) not in found:
                found[target, sensor] = np.full((len(profiles), HOURS, len(LEVELS)), np.nan)
            found[target, sensor][day, hours[first:last]] = levels[first:last]
    return found
