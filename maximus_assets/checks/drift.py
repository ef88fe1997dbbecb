"""Whether what comes in, and the error that is made, are still those of the training: against the version's reference.

The reference is small and rides on the version: for each series and each quarter of a day the deciles of its values, how
far the most unusual training day lay from them, and the backtest's error. A test that is asked every hour of every series
must not cry wolf, so both are set against what is ordinary for that very series rather than against a textbook level.
How often they do is measured by `python -m benchmarks.drift`.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maximus_assets.contracts.base import floor_to_step
from maximus_assets.contracts.telemetry import OBSERVED_AT, SENSOR, TARGET, VALUE
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.models.forecasting.scoring import LEAD

Array = NDArray[np.float64]

SLACK: Final = 2.0
"""Error, in units of the backtest's, up to which a CUSUM does not grow: half-way from as expected to three times that."""

ALARM: Final = 10.0
"""How much above the slack must have come together for an alarm, in the same units."""

LARGEST_ERROR: Final = 4.0
"""What one hour counts for at most: an incident of an hour or two is an anomaly, not a drift."""

SHARE: Final = 0.1
"""Share of the series that must have drifted for the fleet to have: one of a thousand is that one's own affair."""

QUARTER_HOURS: Final = 6
_LEAST_BINS: Final = 36
_LEVELS: Final = np.arange(1, 10) / 10
_LOOK_BACK: Final = timedelta(hours=24)
_NAMED: Final = 5
MOST_NAMED: Final = 50
"""Most drifted series a verdict lists by name."""

REFERENCE: Final = pl.Schema(
    {
        TARGET: pl.String(),
        SENSOR: pl.String(),
        "quarter": pl.Int8(),
        "deciles": pl.List(pl.Float64()),
        "shares": pl.List(pl.Float64()),
        "worst_distance": pl.Float64(),
        "days": pl.Int64(),
        "mae": pl.Float64(),
    }
)
"""One row for each series and quarter of a day (UTC): deciles of the values, shares of the values at or below and below each, the
largest distance of a training day from it, how many days there were, and the backtest's mean absolute error of the hour
ahead (null where it could not be judged)."""


def make_reference(grid: pl.DataFrame, report: pl.DataFrame) -> pl.DataFrame:
    """The reference of everything a report judges.

    Args:
        grid: What was learnt from.
        report: Columns of `models.forecasting.learn.REPORT_SCHEMA`.

    Returns:
        Columns of `REFERENCE`, in order of series and quarter.
    """
    # Live errors are of the hour ahead: the lead's, which are of a quarter of an hour, are another figure.
    chosen = report.filter(pl.col("is_chosen") & (pl.col("horizon_hours") != LEAD))
    errors = {
        (row[TARGET], row[SENSOR]): row["mae"]
        for row in chosen.sort("horizon_hours", descending=True).iter_rows(named=True)
    }
    rows = []
    for (target, sensor, quarter), days in _quarters(grid).items():
        if (target, sensor) not in errors:
            continue
        values = np.concatenate(list(days.values()))
        deciles = np.quantile(values, _LEVELS)
        shares = _shares(values, deciles)
        apart = [_distance(day, deciles, shares) for day in days.values()]
        rows.append(
            {
                TARGET: target,
                SENSOR: sensor,
                "quarter": quarter,
                "deciles": deciles.tolist(),
                "shares": shares.tolist(),
                "worst_distance": max(apart),
                "days": len(days),
                "mae": errors[target, sensor],
            }
        )
    return pl.DataFrame(rows, schema=REFERENCE).sort(TARGET, SENSOR, "quarter")


def input_resembles_training(actuals: pl.DataFrame, reference: pl.DataFrame, now: datetime) -> Verdict:
    """Whether the last day's values are distributed as some day of the training was.

    For each whole quarter of a day (UTC) the Kolmogorov-Smirnov distance to the training's deciles. A series has drifted when one
    lies more than half-way from that of the most unusual training day to a complete separation (distance 1).

    Args:
        actuals: A telemetry frame on the grid.
        reference: Columns of `REFERENCE`.
        now: The present.
    """
    known = {(row[TARGET], row[SENSOR], row["quarter"]): row for row in reference.iter_rows(named=True)}
    apart: dict[str, float] = {}
    judged: set[str] = set()
    # Whole quarters alone: half of a rising morning is unlike any whole one.
    until = floor_to_step(now, QUARTER_HOURS * 3600)
    recent = actuals.filter(pl.col(OBSERVED_AT).is_between(until - _LOOK_BACK, until, closed="left"))
    for (target, sensor, quarter), days in _quarters(recent).items():
        row = known.get((target, sensor, quarter))
        if row is None:
            continue
        series = f"{target}/{sensor}"
        judged.add(series)
        limit = (1.0 + row["worst_distance"]) / 2
        for values in days.values():
            distance = _distance(values, np.array(row["deciles"]), np.array(row["shares"]))
            if distance > limit:
                apart[series] = max(distance, apart.get(series, 0.0))
    said = {series: f"distance {distance:.2f} from the training" for series, distance in apart.items()}
    return _verdict("input_resembles_training", said, len(judged))


def live_error_is_as_backtested(scores: pl.DataFrame, reference: pl.DataFrame, champion: str) -> Verdict:
    """Whether the champion errs live as it did in the backtest.

    For each series a one-sided CUSUM (Page 1954) over the hours: of each, its mean error in units of the backtest's, at
    most `LARGEST_ERROR`, less `SLACK`. A series has drifted when it reaches `ALARM`.

    Args:
        scores: Of `checks.live.scored`.
        reference: Columns of `REFERENCE`.
        champion: Its version.
    """
    maes = {
        f"{row[TARGET]}/{row[SENSOR]}": row["mae"]
        for row in reference.unique([TARGET, SENSOR]).iter_rows(named=True)
        if row["mae"]
    }
    hourly = (
        scores.filter((pl.col("version") == champion) & pl.col("series").is_in(list(maes)))
        .group_by("series", pl.col("issued_at").dt.truncate("1h").alias("hour"))
        .agg(pl.col("error").mean())
        .sort("series", "hour")
    )
    said: dict[str, str] = {}
    parts = hourly.partition_by("series", as_dict=True)
    for key, part in parts.items():
        series = str(key[0])
        errors = part["error"].to_numpy() / maes[series]
        if (first := first_alarm(errors)) is not None:
            at = part["hour"][first]
            said[series] = f"since {at:%Y-%m-%d %H:%M} its error is beyond the backtest's"
    return _verdict("live_error_is_as_backtested", said, len(parts))


def first_alarm(errors: Array) -> int | None:
    """Index of the hour at which the CUSUM of `errors` (in units of what is expected) reaches `ALARM`, None if never."""
    total = 0.0
    for index, error in enumerate(errors):
        total = max(0.0, total + min(float(error), LARGEST_ERROR) - SLACK)
        if total >= ALARM:
            return index
    return None


def _quarters(frame: pl.DataFrame) -> dict[tuple[str, str, int], dict[int, Array]]:
    """Series and quarter -> day -> values, of every quarter that has at least half its bins."""
    parts: dict[tuple[str, str, int], dict[int, Array]] = {}
    seen = frame.filter(pl.col(VALUE).is_not_null() & pl.col(VALUE).is_not_nan())
    quarter = (pl.col(OBSERVED_AT).dt.hour() // QUARTER_HOURS).cast(pl.Int8).alias("quarter")
    day = (pl.col(OBSERVED_AT).dt.epoch("d")).alias("day")
    for row in (
        seen.group_by(TARGET, SENSOR, quarter, day)
        .agg(VALUE)
        .filter(pl.col(VALUE).list.len() >= _LEAST_BINS)
        .sort(TARGET, SENSOR, "quarter", "day")
        .iter_rows(named=True)
    ):
        values = np.asarray(row[VALUE], dtype=np.float64)
        parts.setdefault((row[TARGET], row[SENSOR], row["quarter"]), {})[row["day"]] = values
    return parts


def _shares(values: Array, deciles: Array) -> Array:
    """Shares of the values at or below each decile, then of those below it: a step may move to either side."""
    ordered = np.sort(values)
    sides = [np.searchsorted(ordered, deciles, side=side) for side in ("right", "left")]
    return np.concatenate(sides) / len(ordered)


def _distance(values: Array, deciles: Array, shares: Array) -> float:
    """Kolmogorov-Smirnov distance, looked at where the deciles are."""
    return float(np.abs(_shares(values, deciles) - shares).max())


def _verdict(name: str, said: Mapping[str, str], judged: int) -> Verdict:
    share = len(said) / judged if judged else 0.0
    reasons = [f"{series}: {why}" for series, why in sorted(said.items())[:_NAMED]]
    if len(said) > _NAMED:
        reasons.append(f"and {len(said) - _NAMED} more series")
    if not judged:
        reasons = ["nothing has been judged yet"]
    return Verdict(
        name=name,
        passed=share <= SHARE,
        reasons=tuple(reasons),
        measured={
            "series_count": judged,
            "drifted_count": len(said),
            "drifted_ratio": share,
            "drifted_series": ",".join(sorted(said)[:MOST_NAMED]),
        },
    )
