"""The server of the knowledge base, as a source: connections, transactions, cache, locks.

What a server tells of other roles' sessions depends on who asks. A role that may not see them would count none, which
is no state of the world: so those sensors have a value only for a role that may (`pg_read_all_stats`).

Source: PostgreSQL documentation, "The Cumulative Statistics System" (`pg_stat_database`, `pg_stat_activity`) and
"Connections and Authentication" (`max_connections`, `superuser_reserved_connections`, `reserved_connections`).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from psycopg.rows import dict_row

from maximus_assets.contracts.clock import Clock
from maximus_assets.contracts.telemetry import Sample, Series
from serving.knowledge.connect import Pooled
from serving.monitor.instruments import AbsentError, Counters, Instruments, Reader
from serving.monitor.source import History

_SERVER: Final = """
SELECT sum(numbackends)::float8 AS connections,
       sum(xact_commit)::float8 AS committed, sum(xact_rollback)::float8 AS rolled_back,
       sum(blks_hit)::float8 AS found, sum(blks_read)::float8 AS read_in,
       sum(deadlocks)::float8 AS deadlocks, sum(temp_bytes)::float8 AS temporary,
       (current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0))::float8 AS allowed,
       pg_database_size(current_database())::float8 AS size,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all
FROM pg_catalog.pg_stat_database
"""

_SESSIONS: Final = """
SELECT count(*) FILTER (WHERE wait_event_type = 'Lock')::float8 AS waiting,
       count(*) FILTER (WHERE state LIKE 'idle in transaction%')::float8 AS idle_in_transaction,
       coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 AS oldest
FROM pg_catalog.pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


class DatabaseSource(Pooled):
    """Asks the server over a pool of one connection, opened with the first round. Close it at the end.

    Args:
        target: The target the sensors belong to.
        url: libpq URL of a role that may read; the sensors of sessions need `pg_read_all_stats` besides.
        clock: Measures rates and round trips.
        is_pooled: Whether a pooler stands between.
    """

    name = "database"
    purpose = "database sensors"

    def __init__(self, target: str, url: str, *, clock: Clock, is_pooled: bool = False) -> None:
        super().__init__(url, is_pooled=is_pooled, pool_size=1, timeout_seconds=1.0)
        self._clock = clock
        self._counters = Counters(clock.monotonic)
        self._told: Mapping[str, Any] = {}
        self._is_open = False
        self._instruments = Instruments(target, self._readers())
        self._target = target

    @property
    def sensors(self) -> dict[str, tuple[str, ...]]:
        """Every database sensor the server itself can tell."""
        return {self._target: self._instruments.sensors}

    async def collect(self, now: datetime) -> list[Sample]:
        """Ask the server once.

        Raises:
            KnowledgeUnavailableError: It cannot be reached.
        """
        if not self._is_open:
            await self.open()
            self._is_open = True
        async with self._connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            asked_at = self._clock.monotonic()
            await cursor.execute("SELECT 1 AS one")
            await cursor.fetchone()
            round_trip = self._clock.monotonic() - asked_at
            await cursor.execute(_SERVER)
            told = await cursor.fetchone() or {}
            if told.get("sees_all"):
                await cursor.execute(_SESSIONS)
                told |= await cursor.fetchone() or {}
        self._told = told | {"round_trip_ms": 1000.0 * round_trip}
        return self._instruments.read(now)

    async def history(self, series: Series, start: datetime, end: datetime) -> History | None:  # noqa: ARG002
        """None: the server counts, and keeps no past."""
        return None

    async def aclose(self) -> None:
        """Close the connection."""
        if self._is_open:
            await self.close()

    def _readers(self) -> dict[str, Reader]:
        tell, counters = self._tell, self._counters
        return {
            "database_connections_count": lambda: tell("connections"),
            "database_connections_limit_count": lambda: tell("allowed"),
            "database_connections_used_ratio": self._connections_ratio,
            "database_waiting_clients_count": lambda: tell("waiting"),
            "database_idle_in_transaction_count": lambda: tell("idle_in_transaction"),
            "database_oldest_transaction_seconds": lambda: max(0.0, tell("oldest")),
            "database_transactions_per_second": lambda: counters.rate(
                "transactions", tell("committed") + tell("rolled_back")
            ),
            "database_rollback_ratio": lambda: counters.share(
                "rollbacks", tell("rolled_back"), tell("committed") + tell("rolled_back")
            ),
            "database_cache_hit_ratio": lambda: counters.share(
                "hits", tell("found"), tell("found") + tell("read_in")
            ),
            "database_deadlocks_per_second": lambda: counters.rate("deadlocks", tell("deadlocks")),
            "database_temporary_bytes_per_second": lambda: counters.rate("temporary", tell("temporary")),
            "database_size_bytes": lambda: tell("size"),
            "database_round_trip_ms": lambda: tell("round_trip_ms"),
        }

    def _tell(self, name: str) -> float:
        """A figure of this round.

        Raises:
            AbsentError: The role may not see it.
        """
        figure = self._told.get(name)
        if figure is None:
            raise AbsentError("the role may not see other roles' sessions")
        return float(figure)

    def _connections_ratio(self) -> float:
        allowed = self._tell("allowed")
        if allowed <= 0:
            raise AbsentError("every connection is reserved")
        return min(1.0, self._tell("connections") / allowed)
