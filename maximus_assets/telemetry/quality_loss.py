"""Would reading a day again lose what is known of it? And how the verdicts of several days become one.

The metrics table forgets after its retention; frames do not. A day that is read again after that would come back with
holes, and the model would be learnt from less than was seen.
"""

from collections.abc import Collection, Mapping
from datetime import date

import polars as pl

from maximus_assets.contracts.telemetry import SENSOR, TARGET
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.telemetry.quality import NAMED, verdict_of


def nothing_is_lost(stored: pl.DataFrame, found: pl.DataFrame, watched: Collection[str]) -> Verdict:
    """Whether a day read again holds at least as many rows of every series as are stored of it.

    Args:
        stored: The stored frame of the day, at least the columns target and sensor.
        found: What was read of the same day.
        watched: Targets whose series count; those of a target that is no longer watched may go.

    Returns:
        `telemetry_loses_nothing`; measured: `stored_rows_count`, `found_rows_count`, `lost_rows_count`,
        `shrunk_series_count`.
    """
    names = [TARGET, SENSOR]
    held = stored.filter(pl.col(TARGET).is_in(list(watched))).group_by(names).len(name="held")
    shrunk = (
        held.join(found.group_by(names).len(name="found"), on=names, how="left")
        .with_columns(pl.col("found").fill_null(0))
        .filter(pl.col("found") < pl.col("held"))
        .sort(*names)
    )
    return verdict_of(
        "telemetry_loses_nothing",
        [
            f"{target}/{sensor} has {rows} rows where {had} are stored"
            for target, sensor, had, rows in shrunk.iter_rows()
        ],
        stored_rows_count=stored.height,
        found_rows_count=found.height,
        lost_rows_count=int((shrunk["held"] - shrunk["found"]).sum()),
        shrunk_series_count=shrunk.height,
    )


def over_days(verdicts: Mapping[date, Verdict]) -> Verdict:
    """One verdict of the same question asked of several days.

    It passes when every day does. Figures that count are added up, except how many series there are; a `minimum_` is the
    least, any other figure the largest. Text is left to the reasons.

    Args:
        verdicts: At least one, all of one name.

    Raises:
        ValueError: There is none, or they are of several names.
    """
    (name,) = {verdict.name for verdict in verdicts.values()}
    if len(verdicts) == 1:
        return next(iter(verdicts.values()))
    failed = {day: verdict for day, verdict in verdicts.items() if not verdict.passed}
    reasons = [
        f"{day.isoformat()}: {reason}" for day, verdict in failed.items() for reason in verdict.reasons
    ]
    if len(reasons) > NAMED:
        reasons = [
            *reasons[:NAMED],
            f"and {len(reasons) - NAMED} more, on {len(failed)} of {len(verdicts)} days",
        ]
    measured: dict[str, float | int | str | bool] = {
        "days_count": len(verdicts),
        "failed_days_count": len(failed),
    }
    for key in next(iter(verdicts.values())).measured:
        figures = [verdict.measured.get(key) for verdict in verdicts.values()]
        numbers = [figure for figure in figures if isinstance(figure, int | float)]
        if len(numbers) == len(figures):
            measured[key] = _together(key, numbers)
    return Verdict(name=name, passed=not failed, reasons=tuple(reasons), measured=measured)


def _together(key: str, numbers: list[int | float]) -> int | float:
    if key.startswith("minimum_"):
        return min(numbers)
    if key.endswith("_count") and key != "series_count":
        return sum(numbers)
    return max(numbers)
