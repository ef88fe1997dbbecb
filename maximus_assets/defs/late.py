"""Rows of an old day that arrive after its partition was read: the sensor that has such a day read again.

`telemetry_arrived` looks at the last few days on every tick. Counting a month of a large fleet as often would cost the
database more than the loop does, so older days take turns here: two on every tick, all of them within about an hour and a
quarter. What is remembered is only whose turn it is; losing that costs a round, never a day.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import dagster as dg

from maximus_assets.contracts.clock import Clock, SystemClock
from maximus_assets.defs.automation import LATE_DAYS, read_telemetry, whole_days
from maximus_assets.defs.failures import errors_told_to_dagster
from maximus_assets.defs.incomplete import look_for_grown
from maximus_assets.defs.partitions import HISTORY_DAYS
from maximus_assets.defs.reading import span_of
from maximus_assets.defs.resources import FramesResource, TelemetrySources

DAYS_EACH_TICK: Final = 2


def whose_turn(days: Sequence[date], last: str | None, count: int = DAYS_EACH_TICK) -> tuple[date, ...]:
    """The days that come after the last one looked at, round and round.

    Args:
        days: All that take turns, oldest first.
        last: The last one looked at, ISO 8601; anything else begins a new round.
        count: How many.

    Returns:
        At most `count` days, none twice.
    """
    later = [day for day in days if last is not None and day.isoformat() > last]
    return tuple(dict.fromkeys([*later, *days]))[:count]


def look_at_old_days(
    sources: TelemetrySources, frames: FramesResource, clock: Clock, cursor: str | None
) -> dg.SensorResult:
    """What `telemetry_arrived_late` does at the clock's present.

    A run key names the day, what has arrived for it, and the day of asking: a day whose reading failed, or was refused
    because something else of it is gone, is asked for once a day.

    Args:
        sources: Where rows are counted.
        frames: What is stored.
        clock: What is old.
        cursor: The last day looked at.
    """
    now = clock.now()
    first = now.date() - timedelta(days=HISTORY_DAYS)
    store = frames.store()
    stored = [
        day for day in store.days("telemetry") if day in set(whole_days(now)[:-LATE_DAYS]) and day >= first
    ]
    turn = whose_turn(stored, cursor)
    if not turn:
        return dg.SensorResult(skip_reason="no day is old yet")
    with errors_told_to_dagster():
        arrived = dict(zip(turn, sources.arrivals([span_of(day) for day in turn]), strict=True))
        scraped = look_for_grown(sources, frames, turn, now)
    requests = []
    for day, count in arrived.items():
        held = sources.count_live(store.read("telemetry", day.isoformat(), columns=("target", "sensor")))
        if count > held:
            requests.append(_request(day, count, now))
        elif day in scraped:
            requests.append(
                dg.RunRequest(run_key=f"late:{day}:{scraped[day]}", partition_key=day.isoformat())
            )
    looked = f"looked at {', '.join(day.isoformat() for day in turn)}: nothing arrived late"
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else looked,
        cursor=turn[-1].isoformat(),
    )


@dg.sensor(
    job=read_telemetry,
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Asks for old days of which rows arrived after they were read. Two days take their turn on every tick; what follows "
        "is made again only where a day really changed."
    ),
)
def telemetry_arrived_late(
    context: dg.SensorEvaluationContext, sources: TelemetrySources, frames: FramesResource
) -> dg.SensorResult:
    """Compare two old days with what has arrived for them."""
    return look_at_old_days(sources, frames, SystemClock(), context.cursor)


def _request(day: date, count: int, now: datetime) -> dg.RunRequest:
    key = day.isoformat()
    return dg.RunRequest(
        run_key=f"late:{key}:{count}:{now.astimezone(UTC).date().isoformat()}", partition_key=key
    )
