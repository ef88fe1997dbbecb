"""Telemetry, by day and by file: what the targets were seen doing, and whether it can be believed.

Several days are read in one run, because starting a process for each takes far longer than reading it. What was read is
judged in the step that reads it, on the very frame that is to be stored. Where a blocking check fails nothing is stored:
a check speaks of the last run alone, so a bad day left on disk would be learnt from the night after.
"""

import warnings
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import dagster as dg
import polars as pl

from maximus_assets.contracts.clock import Clock, SystemClock
from maximus_assets.contracts.errors import BadInputError, Permanent
from maximus_assets.contracts.target import Target
from maximus_assets.contracts.telemetry import COLLECT_SECONDS, FRAME_COLUMNS, SENSOR, TARGET, Series
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.defs.failures import errors_told_to_dagster
from maximus_assets.defs.frames import FramesStore
from maximus_assets.defs.io_manager import frame_version
from maximus_assets.defs.partitions import DAILY, IMPORTED
from maximus_assets.defs.resources import FramesResource, TelemetrySources
from maximus_assets.telemetry import quality
from maximus_assets.telemetry.files import read_file
from maximus_assets.telemetry.options import FileOptions

OWNERS: Final = ["team:operations"]

QUALITY: Final[dict[str, str]] = {
    "telemetry_is_plausible": "Every value is a finite number within its sensor's valid range.",
    "telemetry_clock_is_sound": "Time runs forward in every series and stays out of the future.",
    "telemetry_has_no_duplicates": "Every series has at most one value for an instant.",
    "telemetry_is_complete": "Every target was seen nearly all of the time. A gap is worth a warning: the machine was off.",
}
"""Every quality check and what it says when it passes."""

WARNS_ONLY: Final = frozenset({"telemetry_is_complete"})
"""Checks that do not stop what is downstream: the forecaster knows how to live with gaps."""


def judge_quality(
    frame: pl.DataFrame, targets: Sequence[Target], window: dg.TimeWindow, clock: Clock
) -> tuple[Verdict, ...]:
    """Ask every quality question of a frame.

    Args:
        frame: What was read for `window`.
        targets: What was to be seen.
        window: The days.
        clock: What is the future.
    """
    demand = [Series(target=target.name, sensor=target.demand_sensor) for target in targets]
    return (
        quality.value_range(frame),
        quality.clock(frame, clock.now()),
        quality.duplicates(frame),
        quality.completeness(
            frame, step_seconds=COLLECT_SECONDS, start=window.start, end=window.end, expected=demand
        ),
    )


def check_result(verdict: Verdict, asset: str, *, blocking: bool = True) -> dg.AssetCheckResult:
    """A verdict in Dagster's words; one that does not block is a warning when it fails.

    Args:
        verdict: The verdict; the check has its name.
        asset: The asset it is about.
        blocking: Whether what is downstream must stop.
    """
    severity = dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(asset),
        check_name=verdict.name,
        passed=verdict.passed,
        severity=severity,
        description="; ".join(verdict.reasons) or None,
        metadata=dict(verdict.measured),
    )


def columns_metadata(*more: str) -> dict[str, dg.MetadataValue[Any]]:
    """The columns of a frame for Dagster's catalogue."""
    names = {**FRAME_COLUMNS, **dict.fromkeys(more, "float64")}
    columns = [dg.TableColumn(name, kind) for name, kind in names.items()]
    return {"dagster/column_schema": dg.MetadataValue.table_schema(dg.TableSchema(columns=columns))}


with warnings.catch_warnings():
    # Dagster calls single-run backfills beta on every import; they are wanted all the same.
    warnings.simplefilter("ignore", dg.BetaWarning)
    _by_day = dg.asset(
        partitions_def=DAILY,
        backfill_policy=dg.BackfillPolicy.single_run(),
        io_manager_key="frame_files",
        group_name="telemetry",
        owners=OWNERS,
        kinds={"polars", "parquet", "postgres"},
        freshness_policy=dg.FreshnessPolicy.time_window(
            fail_window=timedelta(hours=60), warn_window=timedelta(hours=36)
        ),
        check_specs=[
            dg.AssetCheckSpec(name, asset="telemetry", description=said, blocking=name not in WARNS_ONLY)
            for name, said in QUALITY.items()
        ],
        description=(
            "Every observation of the targets, one partition a day: live ones from the metrics table, simulated ones from "
            "the simulation."
        ),
        metadata=columns_metadata(),
    )


@_by_day
def telemetry(
    context: dg.AssetExecutionContext, sources: TelemetrySources, frames: FramesResource
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[pl.DataFrame]]:
    """Read the days of this run in one go; store them all, or none where a blocking check fails.

    A generator, because Dagster refuses the annotation of a returned value where checks are outputs beside it.
    """
    window = context.partition_time_window
    with errors_told_to_dagster():
        frame = sources.read(window.start, window.end)
        verdicts = judge_quality(frame, sources.targets(), window, SystemClock())
    yield from (check_result(v, "telemetry", blocking=v.name not in WARNS_ONLY) for v in verdicts)
    with errors_told_to_dagster():
        refuse_bad_telemetry(verdicts)
    yield dg.MaterializeResult(
        value=frame,
        data_version=dg.DataVersion(
            frame_version(frames.store(), "telemetry", frame, context.partition_keys)
        ),
        metadata={"days": len(context.partition_keys), "targets": frame[TARGET].n_unique()},
    )


def refuse_bad_telemetry(verdicts: Sequence[Verdict]) -> None:
    """Stop what did not pass.

    Args:
        verdicts: What was found.

    Raises:
        QualityNotPassedError: A check that blocks failed; says which and why.
    """
    failed = [v for v in verdicts if not v.passed and v.name not in WARNS_ONLY]
    if failed:
        said = "; ".join(f"{v.name}: {', '.join(v.reasons)}" for v in failed)
        raise QualityNotPassedError(f"telemetry is not stored, {said}")


class QualityNotPassedError(Permanent):
    """Telemetry failed a blocking check. Nothing of it was stored, so that no later run learns from it."""


class ImportedFile(dg.Config):
    """A file to read, and what it does not say itself, as typed on a command line (`FileOptions.parse`).

    Attributes:
        path: The file; absolute, for a run may start anywhere.
        time_column: Column that holds the clock, `none` for rows without one.
        timezone: IANA zone of timestamps without one.
        origin: ISO 8601 instant a relative clock counts from.
        step: Spacing of rows, such as `5m`.
        value: Columns to read.
        sensor: Sensor the values are.
    """

    path: str
    time_column: str | None = None
    timezone: str | None = None
    origin: str | None = None
    step: str | None = None
    value: list[str] = []  # noqa: RUF012 - Dagster's config classes copy their defaults
    sensor: str = "demand_count"

    def read(self) -> pl.DataFrame:
        """The file as a telemetry frame.

        Raises:
            BadInputError: Anything in it is wrong.
        """
        options = FileOptions.parse(
            time_column=self.time_column,
            timezone=self.timezone,
            origin=self.origin,
            step=self.step,
            value=self.value,
            sensor=self.sensor,
        )
        return read_file(Path(self.path), options)


@dg.asset(
    partitions_def=IMPORTED,
    io_manager_key="frame_files",
    group_name="telemetry",
    owners=OWNERS,
    kinds={"polars", "parquet"},
    description="Telemetry from files of the user's own, one partition a file. `maximus learn --ingest` adds one.",
    metadata=columns_metadata(),
)
def imported_telemetry(
    context: dg.AssetExecutionContext, config: ImportedFile, frames: FramesResource, sources: TelemetrySources
) -> dg.MaterializeResult[pl.DataFrame]:
    """Read one file; nothing of it is kept when anything in it is wrong."""
    store, key = frames.store(), context.partition_key
    with errors_told_to_dagster():
        frame = config.read()
        refuse_known_series(frame, key, store, {target.name for target in sources.targets()})
    return dg.MaterializeResult(
        value=frame,
        data_version=dg.DataVersion(frame_version(store, "imported_telemetry", frame, [key])),
        metadata={"file": dg.MetadataValue.path(config.path), "series": frame.n_unique([TARGET, SENSOR])},
    )


def refuse_known_series(frame: pl.DataFrame, key: str, store: FramesStore, watched: set[str]) -> None:
    """Make sure that no series would be learnt from two sources at once.

    Args:
        frame: What a file holds.
        key: Its partition; reading the same file again is no conflict.
        store: The frames, for what other files hold.
        watched: Names of the targets telemetry is collected of.

    Raises:
        BadInputError: A series is a watched target's, or another file's.
    """
    series = set(frame.select(TARGET, SENSOR).unique().iter_rows())
    if clash := sorted(target for target, _ in series if target in watched):
        raise BadInputError(
            f"{clash[0]} is watched live; give the file or its target another name", source=key, column=TARGET
        )
    for other in store.partitions("imported_telemetry"):
        if other == key:
            continue
        theirs = set(store.read("imported_telemetry", other).select(TARGET, SENSOR).unique().iter_rows())
        if both := sorted(series & theirs):
            raise BadInputError(
                f"{both[0][0]}/{both[0][1]} was already imported from {other}; give it another name",
                source=key,
                column=TARGET,
            )
