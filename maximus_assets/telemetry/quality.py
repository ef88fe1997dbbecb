"""Is it whole, plausible, in order, told once, and recent? Each question one function from a frame to a Verdict.

A verdict carries the figures it rests on and, when it fails, says which series and when. Nothing is repaired here, and
no function reads a clock: the present is handed over.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.telemetry import OBSERVED_AT, SENSOR, TARGET, VALUE, Series
from maximus_assets.contracts.verdict import Verdict

NAMED: Final = 5
"""How many findings are told one by one; the others are counted."""

_SERIES: Final = [TARGET, SENSOR]


def completeness(
    frame: pl.DataFrame,
    *,
    step_seconds: int | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    expected: Sequence[Series] = (),
    minimum_ratio: float = 0.9,
) -> Verdict:
    """Whether every series has nearly all the instants it should have.

    Args:
        frame: A telemetry frame.
        step_seconds: Expected spacing; None takes each series' own, the median of its gaps.
        start: From when, inclusive; None takes each series' first instant.
        end: Until when, exclusive; None takes each series' last instant, inclusive.
        expected: Series that must be there at all.
        minimum_ratio: Smallest share of the expected instants that passes.

    Returns:
        `telemetry_is_complete`; measured: `series_count`, `missing_series_count`, `minimum_ratio_found`,
        `rows_count`.
    """
    inside = frame
    if start is not None:
        inside = inside.filter(pl.col(OBSERVED_AT) >= start)
    if end is not None:
        inside = inside.filter(pl.col(OBSERVED_AT) < end)
    # Whole microseconds: a float of seconds since 1970 cannot tell them apart.
    at = pl.col(OBSERVED_AT).dt.timestamp("us")
    span = (at.max() if end is None else pl.lit(_microseconds(end))) - (
        at.min() if start is None else pl.lit(_microseconds(start))
    )
    gaps = at.sort().diff()
    step = gaps.filter(gaps > 0).median() if step_seconds is None else pl.lit(step_seconds * 1e6)
    # Both ends count when the last instant is the series' own; a given end is itself outside.
    shares = (
        inside.group_by(_SERIES, maintain_order=True)
        .agg(
            found=pl.col(OBSERVED_AT).n_unique(),
            wanted=(span / step).round() + (1 if end is None else 0),
            last=pl.col(OBSERVED_AT).max(),
        )
        # A series of one instant has no spacing; it is whole as far as anybody can tell.
        .with_columns(wanted=pl.max_horizontal(pl.col("wanted").fill_null(1), pl.lit(1)))
        .with_columns(ratio=pl.col("found") / pl.col("wanted"))
    )
    seen = set(shares.select(_SERIES).iter_rows())
    absent = [str(series) for series in expected if (series.target, series.sensor) not in seen]
    thin = shares.filter(pl.col("ratio") < minimum_ratio).sort("ratio")
    reasons = [f"{name} has no observation" for name in absent]
    reasons += [
        f"{target}/{sensor} has {found} of {wanted:.0f} instants ({ratio:.1%}), the last at {last.isoformat()}"
        for target, sensor, found, wanted, last, ratio in thin.iter_rows()
    ]
    if inside.height == 0 and not reasons:
        reasons = ["there is no observation at all"]
    lowest = 0.0 if absent or shares.height == 0 else min(1.0, _number(shares["ratio"].min()))
    return verdict_of(
        "telemetry_is_complete",
        reasons,
        series_count=shares.height,
        missing_series_count=len(absent),
        minimum_ratio_found=lowest,
        rows_count=inside.height,
    )


def value_range(frame: pl.DataFrame) -> Verdict:
    """Whether every value is a finite number within its sensor's valid range, and every sensor is in the catalogue.

    Returns:
        `telemetry_is_plausible`; measured: `rows_count`, `implausible_count`.
    """
    bounds = pl.DataFrame(
        [(sensor.name, sensor.minimum, sensor.maximum) for sensor in CATALOGUE.values()],
        schema={SENSOR: pl.String, "minimum": pl.Float64, "maximum": pl.Float64},
        orient="row",
    )
    wrong = (
        frame.join(bounds, on=SENSOR, how="left", maintain_order="left")
        # An unknown sensor has no bounds and compares to null; not-a-number is between no bounds.
        .filter(~pl.col(VALUE).is_between("minimum", "maximum").fill_null(value=False))
    )
    reasons = [
        f"{target}/{sensor} was {value:g} at {at.isoformat()}, outside "
        + (f"{low:g} to {high:g}" if low is not None else "the catalogue: an unknown sensor")
        for target, sensor, at, value, low, high in wrong.head(NAMED).iter_rows()
    ]
    return verdict_of(
        "telemetry_is_plausible",
        reasons,
        total=wrong.height,
        rows_count=frame.height,
        implausible_count=wrong.height,
    )


def clock(frame: pl.DataFrame, now: datetime, *, tolerance_seconds: float = 5.0) -> Verdict:
    """Whether time runs forward in every series, in the order of its rows, and stays out of the future.

    Args:
        frame: A telemetry frame.
        now: The present, aware.
        tolerance_seconds: How far ahead of `now` another machine's clock may be.

    Returns:
        `telemetry_clock_is_sound`; measured: `rows_count`, `backward_count`, `future_count`,
        `furthest_ahead_seconds` (0 when nothing is ahead).
    """
    ahead = (pl.col(OBSERVED_AT) - pl.lit(now)).dt.total_microseconds() / 1e6
    steps = frame.with_columns(before=pl.col(OBSERVED_AT).shift(1).over(_SERIES), ahead=ahead)
    backward = steps.filter(pl.col(OBSERVED_AT) < pl.col("before"))
    future = steps.filter(pl.col("ahead") > tolerance_seconds)
    reasons = [
        f"{row[TARGET]}/{row[SENSOR]} steps back from {row['before'].isoformat()} to {row[OBSERVED_AT].isoformat()}"
        for row in backward.head(NAMED).iter_rows(named=True)
    ]
    reasons += [
        f"{row[TARGET]}/{row[SENSOR]} has {row[OBSERVED_AT].isoformat()}, {row['ahead']:.0f} s in the future"
        for row in future.head(NAMED).iter_rows(named=True)
    ]
    return verdict_of(
        "telemetry_clock_is_sound",
        reasons,
        total=backward.height + future.height,
        rows_count=frame.height,
        backward_count=backward.height,
        future_count=future.height,
        furthest_ahead_seconds=_number(future["ahead"].max()) if future.height else 0.0,
    )


def duplicates(frame: pl.DataFrame) -> Verdict:
    """Whether every series has at most one value for an instant.

    Returns:
        `telemetry_has_no_duplicates`; measured: `rows_count`, `duplicate_count` (rows beyond the first).
    """
    repeated = frame.group_by(*_SERIES, OBSERVED_AT, maintain_order=True).len().filter(pl.col("len") > 1)
    surplus = int(repeated["len"].sum()) - repeated.height
    reasons = [
        f"{target}/{sensor} has {count} values at {at.isoformat()}"
        for target, sensor, at, count in repeated.head(NAMED).iter_rows()
    ]
    return verdict_of(
        "telemetry_has_no_duplicates",
        reasons,
        total=repeated.height,
        rows_count=frame.height,
        duplicate_count=surplus,
    )


def freshness(
    frame: pl.DataFrame,
    now: datetime,
    *,
    limit_seconds: float | None = None,
    expected: Sequence[Series] = (),
) -> Verdict:
    """Whether the latest value of every series is recent.

    Args:
        frame: A telemetry frame.
        now: The present, aware.
        limit_seconds: Greatest age that passes; None takes each sensor's staleness limit in the catalogue.
        expected: Series that must be there at all.

    Returns:
        `telemetry_is_fresh`; measured: `series_count`, `stale_count`, `oldest_seconds` (-1 when there is no series).
    """
    latest = frame.group_by(_SERIES, maintain_order=True).agg(pl.col(OBSERVED_AT).max())
    seen = {(target, sensor): (now - at).total_seconds() for target, sensor, at in latest.iter_rows()}
    reasons = [
        f"{series} was never seen" for series in expected if (series.target, series.sensor) not in seen
    ]
    for (target, sensor), age in sorted(seen.items(), key=lambda item: -item[1]):
        limit = CATALOGUE[sensor].staleness_limit_seconds if limit_seconds is None else limit_seconds
        if age > limit:
            reasons.append(f"{target}/{sensor} was last seen {age:.0f} s ago, later than {limit:.0f} s")
    if not seen and not reasons:
        reasons = ["there is no observation at all"]
    return verdict_of(
        "telemetry_is_fresh",
        reasons,
        series_count=len(seen),
        stale_count=len(reasons),
        oldest_seconds=max(seen.values(), default=-1.0),
    )


def verdict_of(
    name: str, reasons: Iterable[str], *, total: int | None = None, **measured: float | int | str | bool
) -> Verdict:
    """A verdict that passes when there is no reason against it; tells a few findings and counts `total` of them.

    Args:
        name: The verdict's.
        reasons: Findings against it, the worst first.
        total: How many there are when `reasons` are only some; None for as many.
        measured: The figures it rests on.
    """
    found = list(reasons)
    told = found[:NAMED]
    more = (len(found) if total is None else total) - len(told)
    if more > 0:
        told.append(f"and {more} more")
    return Verdict(name=name, passed=not found, reasons=tuple(told), measured=measured)


def _microseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)
