"""Telemetry, by day and by file: what the targets were seen doing, and whether it can be believed.

Several days are read in one run, because starting a process for each takes far longer than reading it, but one after the
other (`reading`). What was read is judged in the step that reads it, on the very frame that is to be stored. Where a
blocking check fails nothing of the run is stored: a check speaks of the last run alone, so a bad day left on disk would
be learnt from the night after. What is wrong with one series or one server alone leaves a gap there, with its reason in the
day's record and metadata, and is read again by `telemetry_arrived`.
"""

import warnings
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import dagster as dg
import polars as pl

from maximus_assets.contracts.clock import SystemClock
from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.telemetry import FRAME_COLUMNS, SENSOR, TARGET
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.defs.failures import errors_told_to_dagster
from maximus_assets.defs.frames import FramesStore
from maximus_assets.defs.io_manager import frame_version
from maximus_assets.defs.judging import (
    LOSS,
    LOSS_SAYS,
    WARNS_ONLY,
    check_accepted,
    check_specs,
    refuse_bad_telemetry,
    together,
)
from maximus_assets.defs.partitions import DAILY, IMPORTED
from maximus_assets.defs.pictures import PICTURE, figures_of, gate_picture, picture
from maximus_assets.defs.pictures import in_words as verdict_in_words
from maximus_assets.defs.reading import PROFILES, DayRead, DayReader, keep_record
from maximus_assets.defs.resources import FramesResource, TelemetrySources
from maximus_assets.defs.staging import staging
from maximus_assets.telemetry.files import read_file
from maximus_assets.telemetry.options import FileOptions
from maximus_assets.telemetry.record import in_words

OWNERS: Final = ["team:operations"]
MISSING: Final = "missing"
"""Key of the metadata that says what is missing from a day, and why."""

_VERSION_TAG: Final = "dagster/data_version"


def check_result(
    verdict: Verdict, asset: str, *, blocking: bool = True, shown: bytes | None = None
) -> dg.AssetCheckResult:
    """A verdict in Dagster's words; one that does not block is a warning when it fails.

    Args:
        verdict: The verdict; the check has its name.
        asset: The asset it is about.
        blocking: Whether what is downstream must stop.
        shown: A picture of what it failed on; without one, its figures and their bounds are drawn.
    """
    pictures = gate_picture(verdict) if shown is None else {PICTURE: picture(shown, "what was judged")}
    severity = dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(asset),
        check_name=verdict.name,
        passed=verdict.passed,
        severity=severity,
        description=verdict_in_words(verdict),
        metadata={**pictures, **figures_of(verdict)},
    )


def columns_metadata(*more: str) -> dict[str, dg.MetadataValue[Any]]:
    """The columns of a frame for Dagster's catalogue."""
    names = {**FRAME_COLUMNS, **dict.fromkeys(more, "float64")}
    columns = [dg.TableColumn(name, kind) for name, kind in names.items()]
    return {"dagster/column_schema": dg.MetadataValue.table_schema(dg.TableSchema(columns=columns))}


class TelemetryReading(dg.Config):
    """How days are read.

    Attributes:
        accept: Checks whose failure is genuine and accepted in this run: `telemetry_units_hold` (demand really jumped),
            `telemetry_loses_nothing` (a day is to be stored although it holds less than before).
    """

    accept: list[str] = []  # noqa: RUF012 - Dagster's config classes copy their defaults


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
            *check_specs("telemetry"),
            dg.AssetCheckSpec(LOSS, asset="telemetry", description=LOSS_SAYS),
        ],
        description=(
            "Every observation of the targets, one partition for each whole day (UTC): live ones from the metrics table, "
            "simulated ones from the simulation.\n\n"
            "**Trust it** when every check below is green. A red check stopped the day from being stored and learnt from; a "
            "yellow one tells of a gap, a hung sensor, a series held back for its unit or a changed workload, and learning "
            "goes on. What could not be read is in the metadata of its day, with the reason, and is read again by itself."
        ),
        metadata=columns_metadata(),
    )


@_by_day
def telemetry(
    context: dg.AssetExecutionContext,
    config: TelemetryReading,
    sources: TelemetrySources,
    frames: FramesResource,
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any] | dg.AssetMaterialization]:
    """Read the days of this run one by one; store them all, or none where a blocking check fails.

    A generator, because Dagster refuses the annotation of a returned value where checks are outputs beside it.
    """
    days = [date.fromisoformat(key) for key in context.partition_keys]
    store = frames.store()
    with staging(store, "telemetry") as staged:
        with errors_told_to_dagster():
            reader = DayReader(
                look=sources.look,
                targets=sources.targets(),
                now=SystemClock().now(),
                accepted=check_accepted(config.accept),
                say=context.log.info,
            )
            done = reader.read_days(staged, days)
            verdicts = together({one.day: one.verdicts for one in done})
        yield from (
            check_result(
                v, "telemetry", blocking=v.name not in WARNS_ONLY, shown=_picture_of_failure(v, done)
            )
            for v in verdicts
        )
        with errors_told_to_dagster():
            refuse_bad_telemetry(verdicts)
            for one in done:
                keep_record(store, one)
        yield dg.MaterializeResult(
            value=staged,
            data_version=dg.DataVersion(
                store.version_of("telemetry", {one.staged.partition: one.staged.content for one in done})
            ),
            metadata=_day_metadata(done[-1]) if len(done) == 1 else _days_metadata(done, staged.rows),
        )
    with errors_told_to_dagster():
        for one in done:
            store.write(PROFILES, one.staged.partition, one.profile, version=one.staged.content)
    if len(done) > 1:
        # Dagster gives all partitions of a run one data version. Each day is told again under its own, or a month that
        # is read again for one late day would look like a month of changes.
        for one in done:
            yield dg.AssetMaterialization(
                asset_key="telemetry",
                partition=one.staged.partition,
                metadata=_day_metadata(one),
                tags={_VERSION_TAG: one.staged.version},
            )


def _picture_of_failure(verdict: Verdict, done: Sequence[DayRead]) -> bytes | None:
    """The picture of the first day that was drawn and failed this question."""
    for one in done:
        if one.picture is not None and any(v.name == verdict.name and not v.passed for v in one.verdicts):
            return one.picture
    return None


def _days_metadata(done: Sequence[DayRead], rows: int) -> dict[str, Any]:
    said = in_words([one.record for one in done if one.record is not None])
    return {
        "days": len(done),
        "rows": rows,
        "incomplete_days": sum(not one.missing.is_empty() for one in done),
        **({MISSING: said} if said else {}),
    }


def _day_metadata(one: DayRead) -> dict[str, Any]:
    shown = {} if one.picture is None else {PICTURE: picture(one.picture, f"telemetry of {one.day}")}
    return {
        **shown,
        "dagster/row_count": one.staged.rows,
        "targets": one.targets,
        "series": one.series,
        "content": one.staged.content,
        "is_kept_as_stored": one.staged.path is None,
        "is_incomplete": not one.missing.is_empty(),
        **({} if one.missing.is_empty() else {MISSING: in_words([one.missing])}),
    }


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
        data_version=dg.DataVersion(frame_version(store, "imported_telemetry", frame, key)),
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
