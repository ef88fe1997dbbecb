"""The day that is not over: seen every hour, judged, never learnt from.

It has an asset of its own and no partition. A partition of `telemetry` says "this whole day", and everything downstream
may rely on that: a model that took the first hours of a day for the day would learn a collapse of demand every noon. What
is gained by looking at it at all is that a hung sensor or a wrong unit is seen within the hour and not the night after.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import dagster as dg

from maximus_assets.contracts.clock import SystemClock
from maximus_assets.contracts.telemetry import SENSOR, TARGET
from maximus_assets.defs.failures import errors_told_to_dagster
from maximus_assets.defs.io_manager import frame_version
from maximus_assets.defs.judging import asked_for_units, check_specs, judge
from maximus_assets.defs.pictures import PICTURE, picture
from maximus_assets.defs.reading import picture_of, recent_profiles, span_of
from maximus_assets.defs.resources import FramesResource, TelemetrySources
from maximus_assets.defs.telemetry import MISSING, OWNERS, check_result, columns_metadata
from maximus_assets.telemetry.profile import profile
from maximus_assets.telemetry.quality_change import REFERENCE_DAYS, units_hold
from maximus_assets.telemetry.record import in_words, record_of

HOURLY_CRON: Final = "5 * * * *"


@dg.asset(
    io_manager_key="frame_files",
    group_name="telemetry",
    owners=OWNERS,
    kinds={"polars", "parquet", "postgres"},
    freshness_policy=dg.FreshnessPolicy.time_window(
        fail_window=timedelta(hours=6), warn_window=timedelta(hours=2)
    ),
    check_specs=check_specs("telemetry_today", are_blocking=False),
    description=(
        "What was observed since midnight (UTC), read again every hour. It is judged like a whole day, so that a hung "
        "sensor or a wrong unit shows within the hour, but **nothing is learnt from it**: its checks warn and stop nothing."
    ),
    metadata=columns_metadata(),
)
def telemetry_today(
    sources: TelemetrySources, frames: FramesResource
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]:
    """Read from midnight until now."""
    now = SystemClock().now()
    start, _ = span_of(now.date())
    store = frames.store()
    with errors_told_to_dagster():
        found, targets = sources.look(start, now), sources.targets()
        frame, seen = found.frame, profile(found.frame)
        profiles = recent_profiles(store, now.date())
        before = profiles[-REFERENCE_DAYS:]
        units = units_hold(seen, profiles, asked_for_units(targets))
        verdicts = judge(frame, seen, before, targets=targets, span=(start, now), now=now, units=units)
        said = in_words([record_of(found, {})])
        shown = picture_of(frame, (start, now), verdicts, before)
    yield from (
        check_result(verdict, "telemetry_today", blocking=False, shown=None if verdict.passed else shown)
        for verdict in verdicts
    )
    yield dg.MaterializeResult(
        value=frame,
        data_version=dg.DataVersion(frame_version(store, "telemetry_today", frame)),
        metadata={
            PICTURE: picture(shown, "telemetry since midnight"),
            "until": now.isoformat(timespec="seconds"),
            "series": frame.select(TARGET, SENSOR).n_unique(),
            "targets": frame[TARGET].n_unique(),
            **({MISSING: said} if said else {}),
        },
    )


look_at_today = dg.define_asset_job(
    "look_at_today",
    selection=dg.AssetSelection.assets("telemetry_today"),
    description="Read and judge the day that is not over.",
)


@dg.schedule(
    job=look_at_today,
    cron_schedule=HOURLY_CRON,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Five minutes past every hour: look at the day so far.",
)
def hourly_look_at_today(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run an hour."""
    return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat())
