"""Is a day like the days before it? A change of unit, and a change of distribution.

Both compare profiles (`telemetry.profile`), never samples, so that two weeks before a day cost nothing to keep.

A change of unit is a jump by a factor people and exporters use (milliseconds for seconds, bits for bytes, per cent for a
ratio) that keeps the shape of the day and stays until its end. It is asked of demand alone: capacity is sized by it, and
four weeks of history in two units teach nothing. The series is held back, that one alone: its day is stored without it,
and so are the days after, until the jump is accepted by run configuration (from the next day on it is compared with the
day that was accepted) or nothing of the old unit is left in the four weeks that are learnt from.

A change of distribution is the population stability index (Siddiqi, Credit Risk Scorecards, 2006, section 7) of a day
against the two weeks before it. Its customary alarm at 0.25 means nothing for a series with a weekly season, so a day
must also be half again as unlike the rest as any of the days before is unlike the others: a conformal bound (Vovk,
Gammerman, Shafer, Algorithmic Learning in a Random World, 2005, section 2.2), under which n days that are exchangeable
raise an alarm with probability at most 1 / (n + 1) for each series, less with the margin. It warns: a workload may
change, and then the new behaviour is what must be learnt.

A series is judged only where there is something to judge: half a day of hours, three days (unit) or seven (distribution)
before it, and some variation. Constant and all-zero series, three points, and a target that comes back after days of
absence are passed over and counted, not failed. False alarms and detection are measured in
`tests/unit/telemetry/test_false_alarms.py`.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maximus_assets.contracts.telemetry import OBSERVED_AT, SENSOR, TARGET, Series
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.telemetry.profile import Array, days_of_series, profile
from maximus_assets.telemetry.quality import verdict_of

UNIT_FACTORS: Final = (8.0, 60.0, 100.0, 1000.0, 1024.0, 3600.0, 1e6)
"""Bits and bytes, seconds and minutes, per cent, milli and kilo, kibi, hours, micro and mega; either way."""

REFERENCE_DAYS: Final = 14
"""Days a day is compared with: two whole weeks."""

UNIT_REFERENCE_DAYS: Final = 31
"""Days a unit is compared with. The three days a comparison needs at the least lie before all that is learnt from when they
are the oldest of these, so a series that was held back comes back only when it has one unit there."""

PSI_LIMIT: Final = 0.25
"""Population stability index that is customarily called a major shift."""

PSI_MARGIN: Final = 1.5
"""How many times more unlike the rest a day must be than any day before it is unlike the others."""

_MIDDLE: Final = 1
_MOST_NAMED: Final = 50
_FEWEST_HOURS: Final = 12
_FEWEST_DAYS_UNIT: Final = 3
_FEWEST_DAYS_SHAPE: Final = 7
_STAYS_HOURS: Final = 6
"""A burst of demand may last for hours. What begins later in a day is found on the next."""
_SMALL_FACTOR: Final = 10.0
_FACTOR_TOLERANCES: Final = (0.25, 0.45)
"""How far the jump may lie from a factor up to `_SMALL_FACTOR` and above it, as a natural logarithm: a weekend differs
from the days before it by a third, but growth by about eight is no rarity."""
_SHAPE_TOLERANCE: Final = 0.35
"""How far a single hour may lie from the day's jump, likewise: a unit scales every hour alike."""
_FEWEST_LEVELS: Final = 5
_BINS: Final = 10


def units_hold(today: pl.DataFrame, profiles: Sequence[pl.DataFrame], demand: Sequence[Series]) -> Verdict:
    """Whether every target's demand is in the unit it was in before.

    Args:
        today: Profile of the day, columns of `profile.PROFILE_SCHEMA`.
        profiles: Of the days before, oldest first.
        demand: The series that are learnt from and sized by.

    Returns:
        `telemetry_units_hold`; measured: `series_count` (asked of), `judged_count`, `changed_count`, `changed_series`
        (their names, comma-separated, of very many the first).
    """
    judged, changed = changed_units(today, profiles, demand)
    return verdict_of(
        "telemetry_units_hold",
        list(changed.values()),
        series_count=len(demand),
        judged_count=judged,
        changed_count=len(changed),
        changed_series=",".join(f"{target}/{sensor}" for target, sensor in list(changed)[:_MOST_NAMED]),
    )


def changed_units(
    today: pl.DataFrame, profiles: Sequence[pl.DataFrame], demand: Sequence[Series]
) -> tuple[int, dict[tuple[str, str], str]]:
    """Which series seem to be in another unit than before.

    Args:
        today: Profile of the day, columns of `profile.PROFILE_SCHEMA`.
        profiles: Of the days before, oldest first.
        demand: The series that are asked about.

    Returns:
        How many could be judged, and (target, sensor) -> why, in words, of each that changed.
    """
    known = days_of_series([*profiles[-UNIT_REFERENCE_DAYS:], today])
    found: dict[tuple[str, str], str] = {}
    judged = 0
    for series in demand:
        days = known.get((series.target, series.sensor))
        jumps = None if days is None else _jumps(days[:, :, _MIDDLE])
        if jumps is None:
            continue
        judged += 1
        if factor := _unit_factor(jumps):
            ratio = float(np.exp(np.median(jumps[0, -_STAYS_HOURS:])))
            found[series.target, series.sensor] = (
                f"{series} ends at {ratio:.4g} times what is usual at these hours, near {factor}: another unit?"
            )
    return judged, found


def unit_changes(frame: pl.DataFrame) -> dict[str, str]:
    """Series of a longer history whose unit seems to have changed within it: of a file there are no days to hold back.

    Args:
        frame: A telemetry frame of any number of days, by series and instant.

    Returns:
        Series (`target/sensor`) -> the first day on which it changed and why, in words.
    """
    names = frame.select(TARGET, SENSOR).unique().sort(TARGET, SENSOR).iter_rows()
    demand = [Series(target=target, sensor=sensor) for target, sensor in names]
    found: dict[str, str] = {}
    before: list[pl.DataFrame] = []
    days = frame.with_columns(day=pl.col(OBSERVED_AT).dt.date()).partition_by("day", as_dict=True)
    for (day,), part in sorted(days.items()):
        today = profile(part.drop("day"))
        for (target, sensor), why in changed_units(today, before, demand)[1].items():
            found.setdefault(f"{target}/{sensor}", f"{day}: {why}")
        before = [*before, today][-UNIT_REFERENCE_DAYS:]
    return found


def distribution_holds(today: pl.DataFrame, profiles: Sequence[pl.DataFrame]) -> Verdict:
    """Whether the values of every series are distributed as on the days before.

    Args:
        today: Profile of the day, columns of `profile.PROFILE_SCHEMA`.
        profiles: Of the days before, oldest first.

    Returns:
        `telemetry_distribution_holds`; measured: `series_count`, `judged_count`, `changed_count`,
        `largest_psi_ratio` (of those judged, relative to each one's own limit; above 1 fails).
    """
    reference = profiles[-REFERENCE_DAYS:]
    known = days_of_series([*reference, today])
    seen = {name: days for name, days in known.items() if np.isfinite(days[-1]).any()}
    scored = [
        (found[0] / found[1], f"{target}/{sensor}", *found)
        for (target, sensor), days in seen.items()
        if (found := _stability(days)) is not None
    ]
    scored.sort(reverse=True)
    changed = [each for each in scored if each[0] > 1.0]
    reasons = [
        f"{series} is distributed unlike the days before: stability index {psi:.2f}, at most {limit:.2f} is usual"
        for _, series, psi, limit in changed
    ]
    return verdict_of(
        "telemetry_distribution_holds",
        reasons,
        series_count=len(seen),
        judged_count=len(scored),
        changed_count=len(changed),
        largest_psi_ratio=float(scored[0][0]) if scored else 0.0,
    )


def _jumps(medians: Array) -> Array | None:
    """The hours of the last day relative to what is usual at the same hours, and to the day before it.

    Args:
        medians: Shape (days, 24), NaN where not seen; the last day is judged.

    Returns:
        Natural logarithms of ratios, shape (2, n) with n >= `_STAYS_HOURS`; None without enough to compare.
    """
    logs = np.full(medians.shape, np.nan)
    np.log(medians, out=logs, where=medians > 0)
    before, now = logs[:-1], logs[-1]
    whole = np.flatnonzero(np.isfinite(before).sum(axis=1) >= _FEWEST_HOURS)
    if len(whole) < _FEWEST_DAYS_UNIT:
        return None
    jumps: Array = np.stack([now - _median_of_columns(before), now - before[whole[-1]]])
    jumps = jumps[:, np.isfinite(jumps).all(axis=0)]
    return jumps if jumps.shape[1] >= _STAYS_HOURS else None


def _unit_factor(jumps: Array) -> str:
    """The factor by which the end of a day jumped, in words; empty if by none, or if the day before had jumped already.

    Args:
        jumps: What `_jumps` returned.
    """
    usual, latest = jumps
    end = float(np.median(usual[-_STAYS_HOURS:]))
    agrees = np.abs(usual - end) <= _SHAPE_TOLERANCE
    stays = len(usual) if agrees.all() else int(np.argmin(agrees[::-1]))
    if stays < _STAYS_HOURS:
        return ""
    level = float(np.median(usual[-stays:]))
    nearest = min(UNIT_FACTORS, key=lambda factor: abs(abs(level) - np.log(factor)))
    if abs(abs(level) - np.log(nearest)) > _FACTOR_TOLERANCES[nearest > _SMALL_FACTOR]:
        return ""
    if (np.abs(latest[-stays:]) > abs(level) / 2).mean() <= 0.5:
        return ""
    return f"{nearest:g}" if level > 0 else f"1/{nearest:g}"


def _stability(days: Array) -> tuple[float, float] | None:
    """The population stability index of the last day against those before, and the most that is usual.

    Args:
        days: Shape (days, 24, 3), NaN where not seen.

    Returns:
        None where there is too little to judge.
    """
    # Only the hours the last day has: a morning is not like whole days, and need not be.
    hours = days[:, np.isfinite(days[-1]).all(axis=1)]
    samples = hours.reshape(len(days), -1)
    is_seen = np.isfinite(samples)
    is_whole = is_seen.sum(axis=1) >= _FEWEST_HOURS * days.shape[2]
    if not is_whole[-1] or is_whole[:-1].sum() < _FEWEST_DAYS_SHAPE:
        return None
    before = samples[:-1][is_whole[:-1]]
    pooled = before[np.isfinite(before)]
    if len(np.unique(pooled)) < _FEWEST_LEVELS:
        return None
    edges = np.unique(np.quantile(pooled, np.linspace(0, 1, _BINS + 1)[1:-1]))
    counts = np.stack([_counts(day, edges) for day in (*before, samples[-1])])
    total = counts[:-1].sum(axis=0)
    others = total - counts[:-1]
    usual = _index(counts[:-1], others)
    psi = float(_index(counts[-1:], total[None, :])[0])
    return psi, max(PSI_LIMIT, PSI_MARGIN * float(usual.max()))


def _counts(sample: Array, edges: Array) -> NDArray[np.int64]:
    """How many of a sample fall between the edges, shape (len(edges) + 1,)."""
    places = np.searchsorted(edges, sample[np.isfinite(sample)], side="right")
    return np.bincount(places, minlength=len(edges) + 1)


def _index(actual: NDArray[np.int64], expected: NDArray[np.int64]) -> Array:
    """Population stability index of each row; half a count is added to every bin, so that an empty one is no infinity."""
    a, b = actual + 0.5, expected + 0.5
    p, q = a / a.sum(axis=1, keepdims=True), b / b.sum(axis=1, keepdims=True)
    index: Array = ((p - q) * np.log(p / q)).sum(axis=1)
    return index


def _median_of_columns(values: Array) -> Array:
    """The median of each column over what is seen of it, NaN where nothing is."""
    medians = np.full(values.shape[1], np.nan)
    is_seen = np.isfinite(values).any(axis=0)
    medians[is_seen] = np.nanmedian(values[:, is_seen], axis=0)
    return medians
