"""Reading the knowledge base: everything the gateway, the page and a starting loop ask of it.

Belongs here: SELECTs, each bounded. Does not: writing, and anything that remembers an answer. It is hard because the
tables grow for months: every query either goes by an index or says over what it goes.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

from maximus_assets.contracts.decision import DecisionKind, DecisionRecord
from maximus_assets.contracts.telemetry import GRID_SECONDS, Series
from serving.knowledge.connect import Pooled
from serving.knowledge.heartbeat import Heartbeat
from serving.knowledge.rows import DECISION_COLUMNS, LONGEST_DECISION, decision_from_row

PAGE_LIMIT: Final = 1000
"""Most rows one call answers."""


class Bin(NamedTuple):
    """One grid bin of a series.

    Attributes:
        at: Its start.
        mean: Mean of its samples, in the sensor's unit.
        samples: How many samples it has, >= 1.
    """

    at: datetime
    mean: float
    samples: int


class SeriesPoint(NamedTuple):
    """Samples drawn together for a picture: mean, smallest and largest of those from `at` to the next point."""

    at: datetime
    mean: float
    minimum: float
    maximum: float


class ForecastRow(NamedTuple):
    """One point of a forecast, with what came.

    Attributes:
        issued_at: Start of the last bin the forecast knew.
        at: Start of the bin it is about.
        mean: Expected.
        lower: Lower bound of the interval.
        upper: Upper bound of the interval.
        model_version: Registry version of the forecaster.
        actual: Mean of the bin's samples, None when there are none (yet).
    """

    issued_at: datetime
    at: datetime
    mean: float
    lower: float
    upper: float
    model_version: str
    actual: float | None


class KnowledgeQueries(Pooled):
    """Reads the knowledge base. Open it before use: `async with KnowledgeQueries(url) as queries`.

    Every method raises `KnowledgeUnavailableError` (Retryable) while the server cannot be asked. Intervals hold their
    start and not their end.

    Args:
        url: libpq URL of `maximus_read` (or of any role that may select); may lead through a pooler when `is_pooled`.
        is_pooled: Whether it does.
        pool_size: Most connections.
        timeout_seconds: How long a call waits for a connection.
    """

    purpose = "queries"

    async def ping(self) -> None:
        """Ask the server for an answer, any."""
        await self._rows("SELECT 1", ())

    async def decisions(
        self,
        *,
        target: str | None = None,
        kind: DecisionKind | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        after: tuple[datetime, UUID] | None = None,
    ) -> list[DecisionRecord]:
        """Decisions, the latest first (by first turn, then id).

        Args:
            target: Only of this target.
            kind: Only of this kind.
            since: Only those still taken at or after this instant (a long no-op counts while it lasts).
            until: Only those first taken before this instant.
            limit: At most so many, 1 to `PAGE_LIMIT`.
            after: `(first_at, id)` of the last decision of the page before; goes on right after it.

        Raises:
            ValueError: The limit is out of range.
        """
        if not 1 <= limit <= PAGE_LIMIT:
            message = f"a page holds 1 to {PAGE_LIMIT} decisions, not {limit}"
            raise ValueError(message)
        filters, parameters = _filters(target, kind, since, until, after)
        where = f"WHERE {' AND '.join(filters)}" if filters else ""
        rows = await self._rows(
            f"SELECT {DECISION_COLUMNS} FROM knowledge.decisions {where} "  # noqa: S608 - fixed text only
            "ORDER BY first_at DESC, id DESC LIMIT %s",
            (*parameters, limit),
        )
        return [decision_from_row(row) for row in rows]

    async def decision(self, identity: UUID) -> DecisionRecord | None:
        """One decision, if there is such a one."""
        found = await self.decisions_by_id([identity])
        return found[0] if found else None

    async def decisions_by_id(self, identities: Sequence[UUID]) -> list[DecisionRecord]:
        """The decisions of these ids that exist, the latest first."""
        rows = await self._rows(
            f"SELECT {DECISION_COLUMNS} FROM knowledge.decisions WHERE id = ANY(%s) "  # noqa: S608 - fixed text only
            "ORDER BY first_at DESC, id DESC",
            (list(identities),),
        )
        return [decision_from_row(row) for row in rows]

    async def latest_decisions(self, targets: Sequence[str]) -> dict[str, DecisionRecord]:
        """Target -> its latest decision; targets without one are left out."""
        rows = await self._rows(_LATEST_DECISIONS, (list(targets),))
        return {record.target: record for record in map(decision_from_row, rows)}

    async def series(
        self, target: str, sensor: str, *, since: datetime, until: datetime, max_points: int = 500
    ) -> list[SeriesPoint]:
        """One series, drawn together to at most `max_points` points (>= 1) of equal width from `since` on."""
        width = max((until - since) / max_points, timedelta(microseconds=1))
        rows = await self._rows(
            "SELECT date_bin(%s, observed_at, %s) AS at, avg(value), min(value), max(value) FROM knowledge.metrics "
            "WHERE target = %s AND sensor = %s AND observed_at >= %s AND observed_at < %s GROUP BY 1 ORDER BY 1",
            (_ceiling(width), since, target, sensor, since, until),
        )
        return [SeriesPoint(*row) for row in rows]

    async def recent_bins(
        self, series: Sequence[Series], *, since: datetime, until: datetime, step_seconds: int = GRID_SECONDS
    ) -> dict[Series, list[Bin]]:
        """The grid bins of many series at once, oldest first, to fill a window with after a start.

        Bins are counted from the Unix epoch, as `contracts.base.floor_to_step` counts them. Bins without samples are
        left out; the last one may still be filling. Every series asked for is in the answer.

        Args:
            series: Which.
            since: Samples from here on; a bin's start, lest the first bin be a part.
            until: Samples before this instant.
            step_seconds: Width of a bin, > 0.
        """
        found: dict[Series, list[Bin]] = {one: [] for one in series}
        by_name = {(one.target, one.sensor): bins for one, bins in found.items()}
        rows = await self._rows(
            _RECENT_BINS,
            (
                [one.target for one in found],
                [one.sensor for one in found],
                timedelta(seconds=step_seconds),
                since,
                until,
            ),
        )
        for target, sensor, at, mean, count in rows:
            by_name[target, sensor].append(Bin(at, mean, count))
        return found

    async def latest_samples(self, target: str, *, since: datetime) -> dict[str, tuple[datetime, float]]:
        """Sensor -> its latest sample of this target since then."""
        rows = await self._rows(
            "SELECT DISTINCT ON (sensor) sensor, observed_at, value FROM knowledge.metrics "
            "WHERE target = %s AND observed_at >= %s ORDER BY sensor, observed_at DESC",
            (target, since),
        )
        return {sensor: (at, value) for sensor, at, value in rows}

    async def latest_forecast(self, target: str, sensor: str, *, since: datetime) -> list[ForecastRow]:
        """The points of the latest forecast of a series issued at or after `since`, in order; empty when none was."""
        rows = await self._rows(_LATEST_FORECAST, {"target": target, "sensor": sensor, "since": since})
        return [ForecastRow._make((*row, None)) for row in rows]

    async def forecasts_and_actuals(
        self,
        target: str,
        sensor: str,
        *,
        since: datetime,
        until: datetime,
        lead_steps: int = 1,
        step_seconds: int = GRID_SECONDS,
    ) -> list[ForecastRow]:
        """What was expected of each bin `lead_steps` (>= 1) ahead of it, with what came, in order.

        A lead of one step is the forecast that knew everything up to the bin before.
        """
        lead, width = timedelta(seconds=lead_steps * step_seconds), timedelta(seconds=step_seconds)
        rows = await self._rows(
            _FORECASTS_AND_ACTUALS,
            {
                "target": target,
                "sensor": sensor,
                "since": since,
                "until": until,
                "lead": lead,
                "width": width,
            },
        )
        return [ForecastRow(*row) for row in rows]

    async def heartbeats(self) -> list[Heartbeat]:
        """The heartbeat of every loop that ever ran, the most recent first."""
        rows = await self._rows(
            "SELECT name, holder, epoch, pid, started_at, beat_at, turn_at, turn_seconds, turns, state, detail "
            "FROM knowledge.heartbeat ORDER BY beat_at DESC, name",
            (),
        )
        return [Heartbeat(*row) for row in rows]

    async def _rows(
        self, query: LiteralString, parameters: Sequence[Any] | dict[str, Any]
    ) -> list[tuple[Any, ...]]:
        async with self._connection() as connection:
            cursor = await connection.execute(query, parameters)
            return await cursor.fetchall()


_LATEST_DECISIONS: Final = f"""
SELECT latest.* FROM (SELECT DISTINCT unnest(%s::text[]) AS target) AS asked
CROSS JOIN LATERAL (
    SELECT {DECISION_COLUMNS} FROM knowledge.decisions
    WHERE decisions.target = asked.target ORDER BY first_at DESC, id DESC LIMIT 1
) AS latest
"""  # noqa: S608 - fixed text only

_RECENT_BINS: Final = """
SELECT asked.target, asked.sensor, bins.at, bins.mean, bins.count
FROM unnest(%s::text[], %s::text[]) AS asked (target, sensor)
CROSS JOIN LATERAL (
    SELECT date_bin(%s, observed_at, 'epoch'::timestamptz) AS at, avg(value) AS mean, count(*) AS count
    FROM knowledge.metrics
    WHERE target = asked.target AND sensor = asked.sensor AND observed_at >= %s AND observed_at < %s
    GROUP BY 1
) AS bins
ORDER BY asked.target, asked.sensor, bins.at
"""

# The inner question names no column of the outer one: then it is asked once and its answer picks the month, instead of
# being asked anew for every point that was ever forecast.
_LATEST_FORECAST: Final = """
SELECT issued_at, at, mean, lower, upper, model_version
FROM knowledge.forecasts
WHERE target = %(target)s AND sensor = %(sensor)s AND issued_at = (
    SELECT issued_at FROM knowledge.forecasts
    WHERE target = %(target)s AND sensor = %(sensor)s AND issued_at >= %(since)s
    ORDER BY issued_at DESC LIMIT 1)
ORDER BY at
"""

# One pass over the samples, not one for each bin.
_FORECASTS_AND_ACTUALS: Final = """
WITH came AS (
    SELECT date_bin(%(width)s, observed_at, 'epoch'::timestamptz) AS at, avg(value) AS mean
    FROM knowledge.metrics
    WHERE target = %(target)s AND sensor = %(sensor)s
      AND observed_at >= %(since)s AND observed_at < %(until)s::timestamptz + %(width)s
    GROUP BY 1
)
SELECT expected.issued_at, expected.at, expected.mean, expected.lower, expected.upper, expected.model_version, came.mean
FROM knowledge.forecasts AS expected LEFT JOIN came ON came.at = expected.at
WHERE expected.target = %(target)s AND expected.sensor = %(sensor)s
  AND expected.issued_at >= %(since)s::timestamptz - %(lead)s AND expected.issued_at < %(until)s::timestamptz - %(lead)s
  AND expected.at = expected.issued_at + %(lead)s
ORDER BY expected.at
"""


def _filters(
    target: str | None,
    kind: DecisionKind | None,
    since: datetime | None,
    until: datetime | None,
    after: tuple[datetime, UUID] | None,
) -> tuple[list[str], list[Any]]:
    """Conditions of a list of decisions, in fixed text, and their parameters."""
    filters: list[str] = []
    parameters: list[Any] = []
    for value, condition in (
        (target, "target = %s"),
        (kind, "kind = %s"),
        (since, "last_at >= %s"),
        (since and since - LONGEST_DECISION, "first_at >= %s"),  # by the index, and over few months
        (until, "first_at < %s"),
    ):
        if value is not None:
            filters.append(condition)
            parameters.append(value)
    if after is not None:
        filters.append("(first_at, id) < (%s, %s)")
        parameters += after
    return filters, parameters


def _ceiling(width: timedelta) -> timedelta:
    """A width rounded up to a whole second, where it is longer than one: round bins are easier to read."""
    if width <= timedelta(seconds=1):
        return width
    return timedelta(seconds=-(-width // timedelta(seconds=1)))
