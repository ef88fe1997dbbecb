"""The Redis or Valkey server of the product, as a source: memory, hits, evictions, clients.

A limit of zero means that there is none; then there is no share of it either.

Source: the INFO command's reference (sections memory, stats, clients, keyspace).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from redis.asyncio import Redis

from maximus_assets.contracts.clock import Clock
from maximus_assets.contracts.telemetry import Sample, Series
from serving.monitor.instruments import AbsentError, Counters, Instruments, Reader
from serving.monitor.source import History

_PATIENCE_SECONDS: Final = 0.5
"""A server on the same machine answers in less than a millisecond."""


class RedisSource:
    """Asks the server over one connection, made anew when it was lost. Close it at the end.

    Args:
        target: The target the sensors belong to.
        url: `redis://`, `rediss://` or `unix://`.
        clock: Measures rates and round trips.
    """

    name = "redis"

    def __init__(self, target: str, url: str, *, clock: Clock) -> None:
        self._target = target
        self._clock = clock
        self._counters = Counters(clock.monotonic)
        self._told: Mapping[str, Any] = {}
        self._client = Redis.from_url(
            url,
            max_connections=1,
            socket_timeout=_PATIENCE_SECONDS,
            socket_connect_timeout=_PATIENCE_SECONDS,
        )
        self._instruments = Instruments(target, self._readers(), (ValueError, TypeError))

    @property
    def sensors(self) -> dict[str, tuple[str, ...]]:
        """Every Redis sensor."""
        return {self._target: self._instruments.sensors}

    async def collect(self, now: datetime) -> list[Sample]:
        """Ask the server once.

        Raises:
            redis.RedisError: It cannot be reached, or refuses.
        """
        asked_at = self._clock.monotonic()
        await self._client.ping()
        round_trip = self._clock.monotonic() - asked_at
        told = await self._client.info()
        self._told = {**told, "round_trip_ms": 1000.0 * round_trip}
        return self._instruments.read(now)

    async def history(self, series: Series, start: datetime, end: datetime) -> History | None:  # noqa: ARG002
        """None: the server counts, and keeps no past."""
        return None

    async def aclose(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    def _readers(self) -> dict[str, Reader]:
        tell, counters = self._tell, self._counters
        return {
            "redis_memory_used_bytes": lambda: tell("used_memory"),
            "redis_memory_limit_bytes": self._limit,
            "redis_memory_used_ratio": lambda: tell("used_memory") / self._limit(),
            "redis_fragmentation_ratio": lambda: tell("mem_fragmentation_ratio"),
            "redis_hit_ratio": lambda: counters.share(
                "hits", tell("keyspace_hits"), tell("keyspace_hits") + tell("keyspace_misses")
            ),
            "redis_operations_per_second": lambda: counters.rate(
                "operations", tell("total_commands_processed")
            ),
            "redis_evictions_per_second": lambda: counters.rate("evictions", tell("evicted_keys")),
            "redis_refused_connections_per_second": lambda: counters.rate(
                "refused", tell("rejected_connections")
            ),
            "redis_clients_count": lambda: tell("connected_clients"),
            "redis_blocked_clients_count": lambda: tell("blocked_clients"),
            "redis_keys_count": self._keys,
            "redis_round_trip_ms": lambda: tell("round_trip_ms"),
        }

    def _tell(self, name: str) -> float:
        """A figure of this round.

        Raises:
            AbsentError: This server does not tell it.
        """
        if name not in self._told:
            msg = f"the server does not tell {name}"
            raise AbsentError(msg)
        return float(self._told[name])

    def _limit(self) -> float:
        limit = self._tell("maxmemory")
        if limit == 0:
            raise AbsentError("the server has no limit of its own")
        return limit

    def _keys(self) -> float:
        """Keys of every database that holds any; a server without one lists none, which is zero."""
        return float(
            sum(
                database["keys"]
                for name, database in self._told.items()
                if name.startswith("db") and isinstance(database, dict)
            )
        )
