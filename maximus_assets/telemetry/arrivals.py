"""How much live telemetry is there for a span of time: what a sensor asks to see whether a day must be read (again).

Counting every row of a day would scan a month of them; one series of each target, its demand, is found by the primary
key and tells as much.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import psycopg

from maximus_assets.contracts.errors import Permanent, Retryable

_COUNT: Final = """
    select count(*)
    from knowledge.metrics m
    join unnest(%(targets)s::text[], %(sensors)s::text[]) as live(target, sensor) using (target, sensor)
    where m.observed_at >= %(start)s and m.observed_at < %(end)s
"""


class ArrivalsNotReadableError(Permanent):
    """The metrics table is not there, or this role may not read it."""


def count_arrivals(
    database_url: str, series: Mapping[str, str], spans: Sequence[tuple[datetime, datetime]]
) -> list[int]:
    """Stored observations of the given series in each span.

    Args:
        database_url: The knowledge base, as a role that may read it.
        series: Target -> the sensor to count.
        spans: Pairs of aware instants; the first counts, the second does not.

    Returns:
        One count for each span.

    Raises:
        Retryable: The database does not answer.
        ArrivalsNotReadableError: There is no such table, or it may not be read.
    """
    try:
        # Automatic prepared statements break behind a pooler in transaction mode.
        with psycopg.connect(
            database_url, prepare_threshold=None, connect_timeout=5, autocommit=True
        ) as connection:
            return [_count(connection, series, start, end) for start, end in spans]
    except (
        psycopg.errors.UndefinedTable,
        psycopg.errors.InvalidSchemaName,
        psycopg.errors.InsufficientPrivilege,
    ) as error:
        raise ArrivalsNotReadableError(f"cannot count live metrics: {error}; run the migrations") from error
    except psycopg.OperationalError as error:
        raise Retryable(f"cannot count live metrics: {error}") from error


def _count(
    connection: psycopg.Connection[tuple[int]], series: Mapping[str, str], start: datetime, end: datetime
) -> int:
    values = {"targets": list(series), "sensors": list(series.values()), "start": start, "end": end}
    row = connection.execute(_COUNT, values).fetchone()
    return 0 if row is None else row[0]
