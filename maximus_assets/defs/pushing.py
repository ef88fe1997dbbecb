"""Tells a Pushgateway of every run of the graph, from outside the run: so one that was killed is told of too.

Belongs here: what of a run is told, and when. Does not: how (`maximus_assets.prometheus.push`). Without
`MAXIMUS_PUSHGATEWAY_URL` nothing is told. What goes wrong with the telling is logged and never tried again: the next run
tells anew.
"""

import os
from typing import Final

import dagster as dg

from maximus_assets.contracts.clock import SystemClock
from maximus_assets.prometheus.push import PUSHGATEWAY_VARIABLE, JobRun, push

_READ: Final = ("telemetry", "imported_telemetry")
"""Assets whose rows are the telemetry a run read."""


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Tells the Pushgateway, where there is one, of every run that succeeded.",
)
def tell_of_success(context: dg.RunStatusSensorContext) -> dg.SkipReason:
    """Duration, rows and the instant."""
    return tell(context.instance, context.dagster_run, is_success=True)


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Tells the Pushgateway, where there is one, of every run that failed.",
)
def tell_of_failure(context: dg.RunFailureSensorContext) -> dg.SkipReason:
    """Duration and failure; the instant of the last success stays as it was told."""
    return tell(context.instance, context.dagster_run, is_success=False)


def tell(instance: dg.DagsterInstance, run: dg.DagsterRun, *, is_success: bool) -> dg.SkipReason:
    """Tell of one run that ended.

    Args:
        instance: Knows when it started and what it made.
        run: The run.
        is_success: How it ended.

    Returns:
        What came of it, for the sensor's tick.
    """
    url = os.environ.get(PUSHGATEWAY_VARIABLE, "")
    if not url:
        return dg.SkipReason(f"{PUSHGATEWAY_VARIABLE} is not set")
    record = instance.get_run_record_by_id(run.run_id)
    started, ended = (record.start_time, record.end_time) if record else (None, None)
    told = JobRun(
        # A run of assets picked by hand has a name of Dagster's own.
        job=f"maximus_{run.job_name.strip('_').lower()}",
        duration_seconds=max(0.0, ended - started) if started is not None and ended is not None else 0.0,
        is_success=is_success,
        rows=rows_read(instance, run.run_id),
        ended_at=SystemClock().now(),
    )
    problem = push(told, url)
    return dg.SkipReason(problem or f"the Pushgateway was told of {told.job}")


def rows_read(instance: dg.DagsterInstance, run_id: str) -> int | None:
    """Rows of telemetry a run read; None if it read none."""
    found: dict[str, int] = {}
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
        materialization = entry.asset_materialization
        count = materialization.metadata.get("dagster/row_count") if materialization else None
        if materialization and count and isinstance(count.value, int):
            # A run of several days has one such entry for each, all with the rows of the whole run.
            found[materialization.asset_key.to_user_string()] = count.value
    known = [found[name] for name in _READ if name in found]
    return sum(known) if known else None
