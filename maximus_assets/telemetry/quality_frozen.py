"""Does a sensor that should move stand still? An exporter that hangs repeats its last value, fresh and plausible.

Which sensors should move is not declared but seen: a limit or a number of replicas repeats itself for days and is left
alone; request rates do not. What is hard is a sensor at rest (no errors, an empty queue): a value at an end of the valid
range is never called frozen. On four ordinary weeks of the simulated shop (224 days of a series, with 12 incidents) there
is no false alarm; of seeded freezes of one hour or longer all are found (`tests/unit/telemetry/test_false_alarms.py`).
"""

from collections.abc import Sequence
from typing import Final

import polars as pl

from maximus_assets.contracts.telemetry import SENSOR, TARGET, VALUE
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.telemetry.profile import RUN_SCHEMA, moving, runs
from maximus_assets.telemetry.quality import verdict_of

SHORTEST_SECONDS: Final = 1800.0
"""A value that is repeated for less is never called frozen."""

FEWEST_REPEATS: Final = 20
"""Nor one that was seen less often: two samples an hour apart may well be equal."""

TIMES_USUAL: Final = 3.0
"""How many times longer than usual a run must be."""

_USUAL_QUANTILE: Final = 0.8
"""Of the longest runs of the days before: a frozen day or two among them do not make freezing usual."""


def frozen_runs(frame: pl.DataFrame, profiles: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The runs of equal values that are longer than plausible.

    What is usual of a series is the 80th percentile of the longest runs of the days before. Without days before it is
    the run a moment of this day lies in, by the median: a series that stood still for half of its first day is taken for
    one that does not move.

    Args:
        frame: A telemetry frame of one day, by series and instant.
        profiles: Of days before, columns of `profile.PROFILE_SCHEMA`.

    Returns:
        Columns of `profile.RUN_SCHEMA`.
    """
    found = moving(runs(frame))
    long = found.filter((pl.col("seconds") >= SHORTEST_SECONDS) & (pl.col("count") >= FEWEST_REPEATS))
    if long.is_empty():
        return long
    return (
        long.join(_usual(found, profiles), on=[TARGET, SENSOR], how="left", maintain_order="left")
        .filter(pl.col("seconds") > TIMES_USUAL * pl.col("usual"))
        .select(*RUN_SCHEMA)
    )


def moves(frame: pl.DataFrame, profiles: Sequence[pl.DataFrame]) -> Verdict:
    """Whether every sensor that should move does.

    Args:
        frame: A telemetry frame of one day, by series and instant.
        profiles: Of days before, columns of `profile.PROFILE_SCHEMA`.

    Returns:
        `telemetry_is_not_frozen`; measured: `series_count`, `frozen_count` (runs), `longest_frozen_seconds`.
    """
    frozen = frozen_runs(frame, profiles).sort("seconds", descending=True)
    reasons = [
        f"{target}/{sensor} repeated {value:g} for {seconds / 60:.0f} min from {start.isoformat()}"
        for target, sensor, start, value, seconds in frozen.select(
            TARGET, SENSOR, "start", VALUE, "seconds"
        ).iter_rows()
    ]
    return verdict_of(
        "telemetry_is_not_frozen",
        reasons,
        series_count=frame.select(TARGET, SENSOR).n_unique(),
        frozen_count=frozen.height,
        longest_frozen_seconds=float(frozen["seconds"][0]) if frozen.height else 0.0,
    )


def _usual(found: pl.DataFrame, profiles: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Columns target, sensor, usual (seconds)."""
    # Each run stands for as many moments as it has samples: the run the median moment lies in.
    today = (
        found.sort("seconds")
        .with_columns(
            before=pl.col("count").cum_sum().over(TARGET, SENSOR),
            whole=pl.col("count").sum().over(TARGET, SENSOR),
        )
        .filter(2 * pl.col("before") >= pl.col("whole"))
        .group_by(TARGET, SENSOR)
        .agg(pl.col("seconds").min().alias("own"))
    )
    days = [
        one.group_by(TARGET, SENSOR).agg(pl.col("longest_run_seconds").max().alias("longest"))
        for one in profiles
    ]
    if not days:
        return today.rename({"own": "usual"})
    before = (
        pl.concat(days)
        .group_by(TARGET, SENSOR)
        .agg(pl.col("longest").quantile(_USUAL_QUANTILE, "higher").alias("usual"))
    )
    return today.join(before, on=[TARGET, SENSOR], how="left").select(
        TARGET, SENSOR, pl.coalesce("usual", "own").alias("usual")
    )
