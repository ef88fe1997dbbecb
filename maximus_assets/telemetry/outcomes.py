"""What champion and challengers expected live, and what came: the evidence they are judged by, from the knowledge base.

Reading only, as in `ingest`. What it costs is bounded: of a large fleet a fixed number of series is read, evenly spaced
by name, and no more than the last days.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import polars as pl
import psycopg
from psycopg import sql

from maximus_assets.contracts.errors import Permanent, Retryable
from maximus_assets.contracts.naming import CHAMPION
from maximus_assets.contracts.telemetry import GRID_SECONDS, OBSERVED_AT, SENSOR, TARGET, VALUE

MAXIMUM_SERIES: Final = 200
"""Most series judged; of more, so many evenly spaced by name."""

MAXIMUM_SPAN: Final = timedelta(hours=96)
"""Evidence older than this is not looked at. A challenger is in shadow for no longer, so its evidence is always whole."""

SEASONS: Final = (timedelta(days=1), timedelta(days=7))
"""How far back the outcomes lie that the seasonal-naive repeats."""

_HOUR: Final = timedelta(hours=1)

FORECASTS: Final = pl.Schema(
    {
        "version": pl.String(),
        TARGET: pl.String(),
        SENSOR: pl.String(),
        "issued_at": pl.Datetime("us", "UTC"),
        "next_mean": pl.Float64(),
        "next_lower": pl.Float64(),
        "next_upper": pl.Float64(),
        "hour_mean": pl.Float64(),
    }
)
"""One row for each version, series and bin (`contracts.prediction.JudgedForecasts`)."""

ACTUALS: Final = pl.Schema(
    {
        TARGET: pl.String(),
        SENSOR: pl.String(),
        OBSERVED_AT: pl.Datetime("us", "UTC"),
        VALUE: pl.Float64(),
    }
)
"""One row for each series and grid bin that was seen: its mean."""

_SERIES: Final = """
    SELECT targets, sensors FROM knowledge.judged_forecasts
    WHERE role = %s AND issued_at >= %s AND issued_at < %s ORDER BY issued_at DESC LIMIT 1
"""

_COVERED: Final = """
    SELECT DISTINCT ON (model_version) model_version, targets, sensors FROM knowledge.judged_forecasts
    WHERE issued_at >= %s AND issued_at < %s ORDER BY model_version, issued_at DESC
"""

_FORECASTS: Final = sql.SQL(
    """
    COPY (
        SELECT kept.model_version, one.target, one.sensor, (extract(epoch FROM kept.issued_at) * 1000000)::bigint,
               one.next_mean, one.next_lower, one.next_upper, one.hour_mean
        FROM knowledge.judged_forecasts AS kept
        CROSS JOIN LATERAL unnest(
            kept.targets, kept.sensors, kept.next_mean, kept.next_lower, kept.next_upper, kept.hour_mean
        ) AS one (target, sensor, next_mean, next_lower, next_upper, hour_mean)
        JOIN unnest({targets}::text[], {sensors}::text[]) AS asked (target, sensor)
          ON asked.target = one.target AND asked.sensor = one.sensor
        WHERE kept.issued_at >= {since} AND kept.issued_at < {until}
        ORDER BY 4, 1, 2, 3
    ) TO STDOUT (FORMAT csv)
    """
)

_ACTUALS: Final = sql.SQL(
    """
    COPY (
        SELECT asked.target, asked.sensor, (extract(epoch FROM bins.at) * 1000000)::bigint, bins.mean
        FROM unnest({targets}::text[], {sensors}::text[]) AS asked (target, sensor)
        CROSS JOIN LATERAL (
            SELECT date_bin({width}, observed_at, 'epoch'::timestamptz) AS at, avg(value) AS mean
            FROM knowledge.metrics
            WHERE target = asked.target AND sensor = asked.sensor AND observed_at >= {since} AND observed_at < {until}
            GROUP BY 1
        ) AS bins
        ORDER BY 1, 2, 3
    ) TO STDOUT (FORMAT csv)
    """
)


class EvidenceUnavailableError(Retryable):
    """The knowledge base does not answer; it may be back soon."""


class EvidenceTableError(Permanent):
    """The tables of evidence are not there, or this role may not read them."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What was expected and what came.

    Attributes:
        forecasts: Columns of `FORECASTS`.
        actuals: Columns of `ACTUALS`: of the same series over the same time, and a day and a week before it.
        known_series: How many series the champion forecast, those not read included.
        covered: Version -> every series (`target/sensor`) it forecast when it was last asked.
    """

    forecasts: pl.DataFrame
    actuals: pl.DataFrame
    known_series: int
    covered: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def nothing(cls) -> "Outcomes":
        """No evidence at all."""
        return cls(pl.DataFrame(schema=FORECASTS), pl.DataFrame(schema=ACTUALS), 0)


def read_outcomes(database_url: str, since: datetime, until: datetime) -> Outcomes:
    """Evidence of what was forecast in `since <= issued_at < until`.

    Args:
        database_url: Connection string of a role that may read; a pooler in transaction mode will do.
        since: Aware instant; one further back than `MAXIMUM_SPAN` before `until` is moved there.
        until: Aware instant: the present.

    Raises:
        EvidenceUnavailableError: The server does not answer.
        EvidenceTableError: A table is missing or may not be read.
    """
    since = max(since, until - MAXIMUM_SPAN)
    try:
        # Automatic prepared statements break behind a pooler in transaction mode.
        with psycopg.connect(database_url, prepare_threshold=None, connect_timeout=10) as connection:
            connection.read_only = True
            row = connection.execute(_SERIES, (CHAMPION, since, until)).fetchone()
            if row is None:
                return Outcomes.nothing()
            series = sorted(zip(*row, strict=True))
            covered = {
                version: frozenset(
                    f"{target}/{sensor}" for target, sensor in zip(targets, sensors, strict=True)
                )
                for version, targets, sensors in connection.execute(_COVERED, (since, until))
            }
            targets, sensors = (list(names) for names in zip(*evenly(series, MAXIMUM_SERIES), strict=True))
            asked = {"targets": sql.Literal(targets), "sensors": sql.Literal(sensors)}
            forecasts = _copied(
                connection,
                _FORECASTS.format(**asked, since=sql.Literal(since), until=sql.Literal(until)),
                FORECASTS,
            )
            actuals = [
                _copied(
                    connection,
                    _ACTUALS.format(
                        **asked,
                        width=sql.Literal(timedelta(seconds=GRID_SECONDS)),
                        since=sql.Literal(since - back),
                        until=sql.Literal(min(until, until - back + 2 * _HOUR)),
                    ),
                    ACTUALS,
                )
                for back in (timedelta(0), *SEASONS)
            ]
    except (
        psycopg.errors.UndefinedTable,
        psycopg.errors.InvalidSchemaName,
        psycopg.errors.InsufficientPrivilege,
    ) as error:
        raise EvidenceTableError(f"live evidence cannot be read: {error}; run the migrations") from error
    except psycopg.OperationalError as error:
        raise EvidenceUnavailableError(f"live evidence cannot be read: {error}") from error
    whole = pl.concat(actuals).unique([TARGET, SENSOR, OBSERVED_AT], keep="first", maintain_order=True)
    return Outcomes(forecasts, whole.sort(TARGET, SENSOR, OBSERVED_AT), len(series), covered)


def evenly(series: Sequence[tuple[str, str]], most: int) -> list[tuple[str, str]]:
    """All of them, or `most` of them evenly spaced, so that the choice is the same every time."""
    if len(series) <= most:
        return list(series)
    return [series[index * len(series) // most] for index in range(most)]


def _copied(connection: psycopg.Connection, query: sql.Composed, schema: pl.Schema) -> pl.DataFrame:
    """The rows of a COPY; instants cross it as microseconds since the epoch."""
    text = io.BytesIO()
    with connection.cursor() as cursor, cursor.copy(query) as rows:
        for row in rows:
            text.write(row)
    text.seek(0)
    instants = [name for name, kind in schema.items() if isinstance(kind, pl.Datetime)]
    types = {name: pl.Int64() if name in instants else kind for name, kind in schema.items()}
    if not text.getbuffer().nbytes:
        return pl.DataFrame(schema=schema)
    return pl.read_csv(text, has_header=False, schema=types).with_columns(
        pl.col(name).cast(schema[name]) for name in instants
    )
