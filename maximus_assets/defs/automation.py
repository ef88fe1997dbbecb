"""What turns the wheel: a schedule, a sensor and a condition, and the jobs they ask for.

How they divide the work: every night one run reads the day that ended and learns from it. The sensor asks for days the
night missed (the machine was off), for days whose telemetry grew afterwards, and for days of which something could not be
read. The condition carries what the sensor
brought in, or what somebody imported, on to a new challenger. Every hour it is settled who is champion; what is learnt
because a champion drifted is asked for in `defs.drift`. None of them walks past a failed gate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Final

import dagster as dg

from maximus_assets.contracts.clock import Clock, SystemClock
from maximus_assets.contracts.telemetry import SENSOR, TARGET
from maximus_assets.defs.failures import errors_told_to_dagster
from maximus_assets.defs.incomplete import by_key, look_for_incomplete
from maximus_assets.defs.partitions import DAILY
from maximus_assets.defs.resources import FramesResource, TelemetrySources

NIGHTLY_CRON: Final = "10 0 * * *"
HOURLY_CRON: Final = "40 * * * *"
GRACE: Final = timedelta(minutes=40)
"""How long after midnight the sensor leaves the day that ended to the nightly run."""

LATE_DAYS: Final = 3
"""How many days back telemetry that arrives late still has its day read again."""

_CONDITION = dg.AutomationCondition


def when_gates_pass() -> dg.AutomationCondition[dg.AssetKey | dg.AssetCheckKey]:
    """Ask for an asset once something it is made from has changed and every gate on that has passed.

    Why it is not `eager()`:

    - `eager()` does not look at checks: after a failed blocking check in an earlier run it asks for what is downstream.
      `all_deps_blocking_checks_passed()` does look, and a check that was never run has not passed.
    - `eager()` fires whenever a dependency is materialized; reading an unchanged day again would retrain everything after
      it. Here only a changed data version counts.
    - `eager()` forgets a change that is noticed on the tick on which its own request is noticed, because the reset wins.
      Here it does not win over a change.
    - A run that reads a month and makes everything after it must not be followed by another. Dagster's own test for that
      (`executed_with_root_target`) knows the last partition of such a run alone. So a change only counts while its
      dependency is younger than the asset (`is_outdated`: both sides of that `since` carry times, so that Dagster orders
      them within a tick).
    - By age alone, a change that lands while the asset is being made would be taken for read. It is kept until the next
      request (`changed_while_being_made`). What is left: a change that lands and a run that ends within one tick, in the
      seconds between that run's reading and writing. The next change, or the night, carries it on.
    - What resets it is the request, not success: a run that fails is not asked for again until something changes. A
      condition that stays true after a failure starts a run on every tick.
    - What follows an asset that is asked for on this tick is asked for with it, so that all of it is one run.
    """
    changed = _CONDITION.any_deps_match(
        _CONDITION.data_version_changed() & ~_CONDITION.executed_with_root_target()
    ).with_label("dependency_changed")
    is_outdated = _CONDITION.any_deps_match(_CONDITION.newly_updated()).since(_CONDITION.newly_updated())
    asked_for = (_CONDITION.newly_requested() & ~changed) | _CONDITION.initial_evaluation()
    reasons = (
        changed.since(~is_outdated | asked_for).with_label("changed_and_not_asked_for")
        | (changed & _CONDITION.in_progress()).since(asked_for).with_label("changed_while_being_made")
        | _CONDITION.newly_missing().since_last_handled().with_label("missing_and_not_asked_for")
        | _CONDITION.any_deps_match(_CONDITION.will_be_requested()).with_label("dependency_asked_for")
    )
    return (
        reasons
        & ~_CONDITION.any_deps_missing()
        & ~_CONDITION.any_deps_in_progress()
        & ~_CONDITION.in_progress()
        & _CONDITION.all_deps_blocking_checks_passed()
    ).with_label("when_gates_pass")


CHAIN: Final = tuple(
    dg.AssetKey(name)
    for name in (
        "telemetry",
        "feature_table",
        "forecaster_candidate",
        "forecaster_challenger",
        "forecaster_champion",
    )
)
"""What one night makes, in order. Runs name these assets one by one although their job has no others: from that list
alone Dagster tells which run made a change and what follows it."""

read_telemetry = dg.define_asset_job(
    "read_telemetry",
    selection=dg.AssetSelection.assets("telemetry"),
    description="Read whole days of telemetry and judge their quality.",
)
import_file = dg.define_asset_job(
    "import_file",
    selection=dg.AssetSelection.assets("imported_telemetry"),
    description="Read one file of the user's own; which, and how, is its run configuration.",
)
retrain = dg.define_asset_job(
    "retrain",
    selection=dg.AssetSelection.assets(*CHAIN[1:]),
    description="Learn the forecaster from the last four weeks, judge it, and put it in shadow if every gate passes.",
)
read_and_retrain = dg.define_asset_job(
    "read_and_retrain",
    selection=dg.AssetSelection.assets(*CHAIN),
    description="Read a day of telemetry, then learn, judge, put in shadow and settle who is champion, in one run.",
)
settle_champion = dg.define_asset_job(
    "settle_champion",
    selection=dg.AssetSelection.assets("forecaster_champion"),
    description="Look at live evidence: drift, who forecasts better, who is champion.",
)

QUIET: Final = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
"""Run configuration of a run whose console somebody watches: every event is in Dagster all the same."""


@dg.schedule(
    job=read_and_retrain,
    cron_schedule=NIGHTLY_CRON,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Ten minutes after midnight UTC: read the day that ended and learn from it.",
)
def nightly_retrain(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run a night, for the day before the tick."""
    day = (context.scheduled_execution_time.astimezone(UTC) - timedelta(days=1)).date().isoformat()
    return dg.RunRequest(run_key=day, partition_key=day, asset_selection=list(CHAIN))


@dg.schedule(
    job=settle_champion,
    cron_schedule=HOURLY_CRON,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Forty minutes past every hour: settle on live evidence who is champion.",
)
def hourly_settlement(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run an hour, once there is something to settle; the hour is the key."""
    hour = context.scheduled_execution_time.astimezone(UTC).strftime("%Y-%m-%dT%H")
    return dg.RunRequest(run_key=hour, asset_selection=[CHAIN[-1]])


@dataclass(frozen=True)
class Gap:
    """A span of days to be read in one run.

    Attributes:
        first: Its first day.
        last: Its last day.
    """

    first: date
    last: date


def gaps(days: Sequence[date]) -> tuple[Gap, ...]:
    """The days as spans of consecutive ones, so that a month of absence is one run."""
    if not days:
        return ()
    ordered = sorted(set(days))
    breaks = [index for index, (a, b) in enumerate(pairwise(ordered), 1) if b - a > timedelta(days=1)]
    starts, ends = [0, *breaks], [*breaks, len(ordered)]
    return tuple(Gap(ordered[start], ordered[end - 1]) for start, end in zip(starts, ends, strict=True))


def days_to_read(
    known: Sequence[date], stored: Sequence[date], held: Mapping[date, int], arrived: Mapping[date, int]
) -> tuple[date, ...]:
    """Which days must be read: those not stored, and those of which more telemetry has arrived than is stored.

    Args:
        known: Every whole day of history.
        stored: Days with a frame.
        held: Observations in the frames of the last few days.
        arrived: Observations that have arrived for the same days.
    """
    absent = set(known) - set(stored)
    grown = {day for day, count in arrived.items() if count > held.get(day, 0)}
    return tuple(sorted(absent | (grown & set(known))))


def whole_days(now: datetime) -> tuple[date, ...]:
    """Every day of history that has ended long enough ago for the nightly run to have had its turn."""
    return tuple(date.fromisoformat(key) for key in DAILY.get_partition_keys(current_time=now - GRACE))


@dg.sensor(
    job=read_telemetry,
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Asks for days of telemetry that the night missed, that grew after they were read, or of which something could not be "
        "read: once its Prometheus server answers again, or the mapping was changed."
    ),
)
def telemetry_arrived(sources: TelemetrySources, frames: FramesResource) -> dg.SensorResult | dg.SkipReason:
    """Compare what is stored with what has arrived."""
    return look_for_telemetry(sources, frames, SystemClock())


def look_for_telemetry(
    sources: TelemetrySources, frames: FramesResource, clock: Clock
) -> dg.SensorResult | dg.SkipReason:
    """What `telemetry_arrived` does at the clock's present.

    It keeps no cursor: what was asked for is not what was read, and a count remembered when a run was asked for would
    hide that the run failed. A run key names the span, what has arrived for it, and the day of asking, and Dagster
    starts one run for a key: a span whose run failed is asked for again the next day, not on every tick.
    """
    now = clock.now()
    known = whole_days(now)
    recent = known[-LATE_DAYS:]
    with errors_told_to_dagster():
        counts = sources.arrivals([_span(day) for day in recent])
        incomplete = look_for_incomplete(sources, frames, known, recent, now)
    arrived = dict(zip(recent, counts, strict=True))
    store = frames.store()
    stored = store.days("telemetry")
    held = {
        day: sources.count_live(store.read("telemetry", day.isoformat(), columns=(TARGET, SENSOR)))
        for day in recent
        if day in stored
    }
    days = days_to_read(known, stored, held, arrived)
    requests = [
        *(_request(gap, arrived, now.date()) for gap in gaps(days)),
        *(
            request_range(gap, f"{gap.first}..{gap.last}:{key}")
            for key, wanted in by_key(incomplete.keys, but=days).items()
            for gap in gaps(wanted)
        ),
    ]
    if not requests:
        waiting = (
            f"; {incomplete.waiting} wait for a server that does not answer" if incomplete.waiting else ""
        )
        return dg.SkipReason(f"all {len(known)} days are stored and none grew{waiting}")
    return dg.SensorResult(run_requests=requests)


def request_range(gap: Gap, run_key: str) -> dg.RunRequest:
    """One run over a span of days."""
    first, last = gap.first.isoformat(), gap.last.isoformat()
    return dg.RunRequest(
        run_key=run_key,
        tags={"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last},
    )


def _request(gap: Gap, arrived: Mapping[date, int], asked_on: date) -> dg.RunRequest:
    counted = sum(count for day, count in arrived.items() if gap.first <= day <= gap.last)
    return request_range(gap, f"{gap.first}..{gap.last}:{counted}:{asked_on.isoformat()}")


def _span(day: date) -> tuple[datetime, datetime]:
    start = datetime.combine(day, time(), tzinfo=UTC)
    return start, start + timedelta(days=1)


learning_follows = dg.AutomationConditionSensorDefinition(
    "learning_follows",
    target=dg.AssetSelection.all(),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Evaluates when_gates_pass() on every asset that has it.",
)
