"""The one writer of the knowledge base: samples, forecasts, decisions, heartbeats.

Belongs here: every INSERT and UPDATE of those tables. Does not: reading (`queries`), the lease (`serving.loop.lease`).
It is hard because anything may be written twice (after a crash, a replay, an answer that was lost), and because a loop
that was paused may come back and write as if it still led: so every statement is idempotent, and new decisions are
written only while the epoch they were taken under is the lease's present one, in the same transaction.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection

from maximus_assets.contracts.decision import DecisionRecord
from maximus_assets.contracts.errors import Permanent
from maximus_assets.contracts.prediction import Forecast, JudgedForecasts
from maximus_assets.contracts.telemetry import Sample
from serving.knowledge.connect import CHANNEL, Pooled
from serving.knowledge.heartbeat import Heartbeat, LoopState
from serving.knowledge.rows import copy_text, decision_row, forecast_text

__all__ = ["Heartbeat", "KnowledgeStore", "LoopState", "StaleEpochError"]

LEASE: Final = "loop"
"""Name of the lease whose epoch fences decisions."""

_IDS_ANNOUNCED: Final = 100  # a notification holds at most 8,000 bytes


class StaleEpochError(Permanent):
    """Somebody else leads by now; what this process decided since is void."""


_INSERT_SAMPLES: Final = """
INSERT INTO knowledge.metrics (target, sensor, observed_at, value)
SELECT * FROM unnest(%b::text[], %b::text[], %b::timestamptz[], %b::float8[])
ON CONFLICT DO NOTHING
"""

_COPY_SAMPLES: Final = "COPY knowledge.metrics (target, sensor, observed_at, value) FROM STDIN"
_COPY_FORECASTS: Final = (
    "COPY knowledge.forecasts (target, sensor, issued_at, at, mean, lower, upper, model_version) FROM STDIN"
)

_INSERT_FORECASTS: Final = """
INSERT INTO knowledge.forecasts (target, sensor, issued_at, at, mean, lower, upper, model_version)
SELECT * FROM unnest(%b::text[], %b::text[], %b::timestamptz[], %b::timestamptz[],
                     %b::float8[], %b::float8[], %b::float8[], %b::text[])
ON CONFLICT DO NOTHING
"""

_INSERT_JUDGED: Final = """
INSERT INTO knowledge.judged_forecasts (
    issued_at, model_version, role, targets, sensors, next_mean, next_lower, next_upper, hour_mean)
VALUES (%b, %b, %b, %b::text[], %b::text[], %b::float8[]::real[], %b::float8[]::real[], %b::float8[]::real[],
        %b::float8[]::real[])
ON CONFLICT DO NOTHING
"""

_UPSERT_DECISIONS: Final = """
INSERT INTO knowledge.decisions AS known (
    id, target, first_at, last_at, count, epoch, trigger, kind, mode, level, is_dry_run, reason,
    plan, plan_digest, verdicts, state, confidence, model_version)
SELECT * FROM unnest(
    %b::uuid[], %b::text[], %b::timestamptz[], %b::timestamptz[], %b::bigint[], %b::bigint[],
    %b::text[], %b::text[], %b::text[], %b::text[], %b::boolean[], %b::text[],
    %b::text[]::jsonb[], %b::text[], %b::text[]::jsonb[], %b::text[]::jsonb[], %b::float8[], %b::text[])
ON CONFLICT (id, first_at) DO UPDATE
SET last_at = excluded.last_at, count = excluded.count, state = excluded.state, confidence = excluded.confidence
WHERE excluded.count > known.count
"""

_UPSERT_HEARTBEAT: Final = """
INSERT INTO knowledge.heartbeat AS known (
    name, holder, epoch, pid, started_at, beat_at, turn_at, turn_seconds, turns, state, detail)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb)
ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder, epoch = excluded.epoch, pid = excluded.pid, started_at = excluded.started_at,
    beat_at = excluded.beat_at, turn_at = excluded.turn_at, turn_seconds = excluded.turn_seconds,
    turns = excluded.turns, state = excluded.state, detail = excluded.detail
"""

_FENCE: Final = "SELECT 1 FROM knowledge.lease WHERE name = %s AND epoch = %s FOR SHARE"


class KnowledgeStore(Pooled):
    """Writes the knowledge base. Open it before use: `async with KnowledgeStore(url) as store`.

    Every method raises `KnowledgeUnavailableError` (Retryable) while the server cannot take the write; then nothing of
    the call was kept, or all of it was and the answer got lost: calling again is always right.

    Args:
        url: libpq URL of `maximus_app`; may lead through a pooler when `is_pooled`.
        is_pooled: Whether it does.
        pool_size: Most connections.
        timeout_seconds: How long a call waits for a connection.
    """

    purpose = "store"

    async def record_samples(self, samples: Sequence[Sample]) -> None:
        """Keep samples; one that is known already (same target, sensor, instant) is left as it is.

        Args:
            samples: Any number, in any order; names as in `contracts.base.Name`, finite values.

        Raises:
            ValueError: A name is not a name, an instant has no zone, or a value is not finite.
        """
        if not samples:
            return
        text = copy_text(samples)
        instants = [sample.observed_at for sample in samples]
        async with self._connection() as connection:
            try:
                await _with_partitions(connection, instants, lambda: _copy(connection, _COPY_SAMPLES, text))
            except psycopg.errors.UniqueViolation:
                columns = [list(column) for column in zip(*samples, strict=True)]
                await _with_partitions(
                    connection, instants, lambda: connection.execute(_INSERT_SAMPLES, columns)
                )

    async def record_forecasts(self, forecasts: Sequence[Forecast]) -> None:
        """Keep the points of forecasts; one that is known already is left as it is.

        Forecasts without points leave no trace here: what was missing is in the decision that went without.
        """
        told = [one for one in forecasts if one.points]
        if not told:
            return
        text = forecast_text(told)
        instants = [one.issued_at for one in told]
        async with self._connection() as connection, connection.transaction():
            try:
                await _with_partitions(connection, instants, lambda: _copy(connection, _COPY_FORECASTS, text))
            except psycopg.errors.UniqueViolation:
                rows = (
                    (f.target, f.sensor, f.issued_at, p.at, p.mean, p.lower, p.upper, f.model_version)
                    for f in told
                    for p in f.points
                )
                columns = [list(column) for column in zip(*rows, strict=True)]
                await _with_partitions(
                    connection, instants, lambda: connection.execute(_INSERT_FORECASTS, columns)
                )
            targets = sorted({one.target for one in told})
            await _announce(
                connection, {"kind": "forecast", "count": len(targets), "targets": targets[:_IDS_ANNOUNCED]}
            )

    async def record_judged(self, judged: Sequence[JudgedForecasts]) -> dict[str, str]:
        """Keep what versions expected, to be judged by; what is known already (same version and bin) is left.

        Each is kept or refused for itself: a version that answers what no row may hold must not cost the others theirs.

        Returns:
            Version -> why something of it was refused.
        """
        refused: dict[str, str] = {}
        rows = [
            (
                one.issued_at,
                one.model_version,
                one.role,
                [series.target for series in one.series],
                [series.sensor for series in one.series],
                *(
                    list(figures)
                    for figures in (one.next_mean, one.next_lower, one.next_upper, one.hour_mean)
                ),
            )
            for one in judged
        ]
        if not rows:
            return refused

        async def write() -> None:
            for row in rows:
                try:
                    async with connection.transaction():
                        await connection.execute(_INSERT_JUDGED, row)
                except psycopg.DataError as error:
                    refused[str(row[1])] = str(error)
                except psycopg.errors.CheckViolation as error:
                    if error.diag.constraint_name is None:  # a missing partition, which is made
                        raise
                    refused[str(row[1])] = str(error)

        async with self._connection() as connection, connection.transaction():
            await _with_partitions(connection, [one.issued_at for one in judged], write)
        return refused

    async def record_decisions(self, records: Sequence[DecisionRecord], *, epoch: int) -> None:
        """Keep decisions taken under `epoch`, all or none; of one that is known, count and figures move on.

        One transaction checks the epoch, holds the lease's row against a successor, and writes: after a successor has
        the lease, nothing taken under an older epoch gets in this way.

        Raises:
            StaleEpochError: The lease is at another epoch; nothing was written.
            ValueError: A record claims another epoch.
        """
        if not records:
            return
        claimed = {record.epoch for record in records}
        if claimed != {epoch}:
            message = f"decisions of epochs {sorted(claimed)} cannot be recorded under epoch {epoch}"
            raise ValueError(message)
        async with self._connection() as connection, connection.transaction():
            fence = await connection.execute(_FENCE, (LEASE, epoch))
            if await fence.fetchone() is None:
                raise StaleEpochError(f"epoch {epoch} is over: another loop leads")
            await _upsert_decisions(connection, records)

    async def restore_decisions(self, records: Sequence[DecisionRecord]) -> None:
        """Keep decisions from the spool, of whatever epoch: they are history by now, no claim to lead."""
        if not records:
            return
        async with self._connection() as connection, connection.transaction():
            await _upsert_decisions(connection, records)

    async def beat(self, heartbeat: Heartbeat) -> None:
        """Keep a heartbeat in place of the one before it."""
        row = (*heartbeat[:-1], json.dumps(heartbeat.detail, allow_nan=False))
        async with self._connection() as connection, connection.transaction():
            await connection.execute(_UPSERT_HEARTBEAT, row)
            await _announce(
                connection,
                {
                    "kind": "heartbeat",
                    "name": heartbeat.name,
                    "state": heartbeat.state,
                    "beat_at": heartbeat.beat_at.isoformat(),
                },
            )

    async def ensure_partitions(self, until: date) -> int:
        """Make monthly partitions ahead, up to the month of `until`; answers how many were made. Call it daily."""
        async with self._connection() as connection:
            cursor = await connection.execute("SELECT knowledge.ensure_partitions(%s)", (until,))
            row = await cursor.fetchone()
            assert row is not None
            return int(row[0])

    async def drop_expired(self, keep_days: int = 90) -> list[str]:
        """Drop months of raw metrics and forecasts that are wholly older than `keep_days` (>= 90); answers which."""
        async with self._connection() as connection:
            cursor = await connection.execute("SELECT knowledge.drop_expired(%s)", (keep_days,))
            row = await cursor.fetchone()
            assert row is not None
            return list(row[0])


async def _upsert_decisions(connection: AsyncConnection, records: Sequence[DecisionRecord]) -> None:
    # A statement may touch a row once: of several states of one decision the latest is enough.
    latest: dict[object, DecisionRecord] = {}
    for record in records:
        known = latest.get(record.id)
        if known is None or record.count >= known.count:
            latest[record.id] = record
    rows = [decision_row(record) for record in latest.values()]
    columns = [list(column) for column in zip(*rows, strict=True)]
    instants = [record.first_at for record in latest.values()]
    await _with_partitions(connection, instants, lambda: connection.execute(_UPSERT_DECISIONS, columns))
    ids = [str(identity) for identity in latest]
    await _announce(connection, {"kind": "decision", "count": len(ids), "ids": ids[:_IDS_ANNOUNCED]})


async def _announce(connection: AsyncConnection, event: dict[str, Any]) -> None:
    await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, json.dumps(event, separators=(",", ":"))))


async def _with_partitions(
    connection: AsyncConnection, instants: Sequence[datetime], write: Callable[[], Awaitable[object]]
) -> None:
    """Write; where a month's partition is missing (old rows from a spool, a long sleep), make it and write again."""
    try:
        async with connection.transaction():
            await write()
    except psycopg.errors.CheckViolation as error:
        if error.diag.constraint_name is not None:  # a check of the table, not a missing partition
            raise
        first, last = (at.astimezone(UTC).date() for at in (min(instants), max(instants)))
        await connection.execute("SELECT knowledge.ensure_partitions(%s, %s)", (last, first))
        async with connection.transaction():
            await write()


async def _copy(connection: AsyncConnection, statement: str, text: str) -> None:
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        await copy.write(text)
