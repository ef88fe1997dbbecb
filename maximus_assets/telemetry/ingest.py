"""Readers of what the product itself observes: the simulated service, and the metrics table the live loop fills.

Reading only. The metrics table has one writer, and it is not here: the connection asks for a read-only transaction, on
top of the role that may do no more.
"""

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import polars as pl
import psycopg
from psycopg import sql

from maximus_assets.contracts.errors import BadInputError, Permanent, Retryable
from maximus_assets.contracts.target import Target
from maximus_assets.contracts.telemetry import COLLECT_SECONDS, OBSERVED_AT
from maximus_assets.plant.world import Plant
from maximus_assets.telemetry.frames import SCHEMA, empty, validate

_BLOCK_BYTES: Final = 16 * 2**20
"""Text of so many bytes is turned into columns at once, so that a large day never stands in memory as text."""

_CONNECT_TIMEOUT_SECONDS: Final = 10

# COPY takes no bound parameters, so the instants are composed in as literals. Microseconds since the epoch are exact
# and are read back faster than timestamps as text.
_COPY: Final = sql.SQL(
    """
    COPY (
        SELECT target, sensor, (extract(epoch FROM observed_at) * 1000000)::bigint, value
        FROM knowledge.metrics
        WHERE observed_at >= {start} AND observed_at < {end}
        ORDER BY observed_at, target, sensor
    ) TO STDOUT (FORMAT csv)
    """
)


class MetricsUnavailableError(Retryable):
    """The metrics table could not be reached; it may be back soon."""


class MetricsTableError(Permanent):
    """The metrics table is not there, or this role may not read it."""


def read_plant(targets: Sequence[Target], start: datetime, end: datetime) -> pl.DataFrame:
    """What every simulated target showed in `start <= observed_at < end`, at the pace of live collection.

    Args:
        targets: Any targets; those that are not simulated are passed over.
        start: Aware instant, inclusive.
        end: Aware instant, exclusive.

    Returns:
        A telemetry frame, target by target, each by instant.

    Raises:
        BadInputError: An instant has no zone.
    """
    frames = [
        Plant.of(target).samples(target.name, start, end, COLLECT_SECONDS)
        for target in targets
        if target.source == "simulated"
    ]
    return validate(pl.concat(frames), "simulated services") if frames else empty()


def read_metrics(database_url: str, start: datetime, end: datetime) -> pl.DataFrame:
    """What the live loop stored of `start <= observed_at < end`, every target and sensor, as it was collected.

    Args:
        database_url: Connection string of a role that may read `knowledge.metrics`; a pooler in transaction mode will
            do.
        start: Aware instant, inclusive.
        end: Aware instant, exclusive.

    Returns:
        A telemetry frame by instant, target, sensor.

    Raises:
        BadInputError: An instant has no zone, or the table holds what no frame may.
        MetricsUnavailableError: The server does not answer.
        MetricsTableError: The table is missing or may not be read.
    """
    for name, at in (("start", start), ("end", end)):
        if at.tzinfo is None:
            raise BadInputError("the instant has no zone", source="knowledge.metrics", column=name)
    query = _COPY.format(start=sql.Literal(start), end=sql.Literal(end))
    try:
        # Automatic prepared statements break behind a pooler in transaction mode.
        with psycopg.connect(
            database_url, prepare_threshold=None, connect_timeout=_CONNECT_TIMEOUT_SECONDS
        ) as connection:
            connection.read_only = True
            with connection.cursor() as cursor, cursor.copy(query) as rows:
                frames = _frames(rows)
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise MetricsTableError(
            "knowledge.metrics does not exist; start the product once to create it"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise MetricsTableError("this role may not read knowledge.metrics") from error
    except psycopg.OperationalError as error:
        raise MetricsUnavailableError(f"knowledge.metrics cannot be read: {error}") from error
    return validate(pl.concat(frames), "knowledge.metrics") if frames else empty()


def _frames(rows: psycopg.Copy) -> list[pl.DataFrame]:
    """The rows of a running COPY, a frame for each block of text."""
    frames = []
    block = io.BytesIO()
    for row in rows:
        block.write(row)
        if block.tell() >= _BLOCK_BYTES:
            frames.append(_parse(block))
            block = io.BytesIO()
    if block.tell():
        frames.append(_parse(block))
    return frames


def _parse(block: io.BytesIO) -> pl.DataFrame:
    text = SCHEMA.to_python()
    types = {name: pl.Int64() if name == OBSERVED_AT else SCHEMA[name] for name in text}
    block.seek(0)
    return pl.read_csv(block, has_header=False, schema=types).with_columns(
        pl.col(OBSERVED_AT).cast(SCHEMA[OBSERVED_AT])
    )
