"""The partitions of the graph, in one place others import.

History has to start somewhere, and all processes of one installation must agree where. A fixed early date would show
hundreds of days that nobody will ever fill; "28 days ago" would move on every restart and orphan what is stored. So the
start is the oldest day kept under `<data>/frames/telemetry`; before anything is stored it is 28 days ago, which is what
the first run then fills. `MAXIMUS_HISTORY_START` (YYYY-MM-DD) overrides it, for those who restore an older database and
want to backfill from it.
"""

import os
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import dagster as dg

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.defs.frames import FramesStore, data_folder

HISTORY_DAYS: Final = 28
"""How much history is learnt from: four weeks, so that a weekly season is seen four times."""

HISTORY_START_VARIABLE: Final = "MAXIMUS_HISTORY_START"


def history_start(today: date, kept: tuple[date, ...]) -> date:
    """The first day of history.

    Args:
        today: The present day, UTC.
        kept: Days stored, oldest first.

    Raises:
        BadInputError: The variable is set to something that is no past day.
    """
    said = os.environ.get(HISTORY_START_VARIABLE, "")
    if not said:
        return min(kept[0] if kept else today, today - timedelta(days=HISTORY_DAYS))
    try:
        start = date.fromisoformat(said)
    except ValueError as error:
        raise BadInputError(f"{said!r} is no day; write YYYY-MM-DD", source=HISTORY_START_VARIABLE) from error
    if start >= today:
        raise BadInputError(f"{said} is not in the past", source=HISTORY_START_VARIABLE)
    return start


def _start() -> datetime:
    kept = FramesStore(data_folder() / "frames").days("telemetry")
    return datetime.combine(history_start(datetime.now(UTC).date(), kept), time(), tzinfo=UTC)


DAILY: Final = dg.DailyPartitionsDefinition(start_date=_start(), timezone="UTC")
"""Whole days, UTC. The last one is yesterday: a day is read once it is over."""

IMPORTED: Final = dg.DynamicPartitionsDefinition(name="imported")
"""One partition for each file a user handed over, named after the target it tells of."""
