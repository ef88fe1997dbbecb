"""Public holidays as events: whole days in the calendar's time zone, past ones to learn from and those to come.

The shipped forecaster does not read a calendar; what it will need of it is written into its state while learning. So
events reach as far beyond the history as a version may be in use.
"""

from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl

from maximus_assets.contracts.holidays import HolidayCalendar
from maximus_assets.contracts.telemetry import OBSERVED_AT
from maximus_assets.features.events import Event

BEFORE_DAYS: Final = 8
"""How far before the history they begin: a day and a week before its first bins are looked up."""

AHEAD_DAYS: Final = 366
"""How far beyond the history they reach."""


def holidays_around(frame: pl.DataFrame, calendar: HolidayCalendar | None) -> tuple[Event, ...]:
    """The holidays around what a frame observed; none without a calendar, or in a frame without rows.

    Args:
        frame: A telemetry frame.
        calendar: Whose, None for nobody's.
    """
    if calendar is None or frame.is_empty():
        return ()
    span = frame.select(first=pl.col(OBSERVED_AT).min(), last=pl.col(OBSERVED_AT).max())
    return holiday_events(calendar, *span.row(0))


def holiday_events(calendar: HolidayCalendar, start: datetime, end: datetime) -> tuple[Event, ...]:
    """The holidays around a history, and of the year after it.

    Args:
        calendar: Whose.
        start: First instant of the history, with a time zone.
        end: Last instant of it.
    """
    zone = ZoneInfo(calendar.timezone)
    first = (start.astimezone(zone) - timedelta(days=BEFORE_DAYS)).date()
    last = (end.astimezone(zone) + timedelta(days=AHEAD_DAYS)).date()

    def midnight(day: date) -> int:
        return int(datetime.combine(day, time(), zone).timestamp())

    return tuple(
        Event(name, midnight(day), midnight(day + timedelta(days=1)))
        for day, name in calendar.between(first, last)
    )
