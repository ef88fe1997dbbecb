"""How the knowledge base is reached: pools and connections, and the test that tells a pooler from a server.

Belongs here: opening connections and naming what kind of failure it was. Does not: any statement about the product's
tables. It is hard because behind a pooler in transaction mode everything that lives in a session (LISTEN, advisory
locks, prepared statements) quietly stops working.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, ClassVar, Final, Self

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg_pool import AsyncConnectionPool

from maximus_assets.contracts.errors import Permanent, Retryable

POOL_LIMIT: Final = 20
"""Most connections any pool of ours may hold."""
CHANNEL: Final = "maximus_events"
"""Where new decisions, forecasts and heartbeats are announced (LISTEN needs a direct connection)."""

_CONNECT_SECONDS: Final = 5
_KEEPALIVES: Final[dict[str, Any]] = {
    "connect_timeout": _CONNECT_SECONDS,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}


class KnowledgeUnavailableError(Retryable):
    """The knowledge base cannot be reached, or cannot take writes, right now."""


class PoolerRefusedError(Permanent):
    """A connection that needs a session of its own goes through a pooler."""


@contextmanager
def unavailable_is_retryable() -> Iterator[None]:
    """Turn the driver's operational errors into `KnowledgeUnavailableError`.

    These are what a server that is down, starting, full or failing over answers. Errors in a statement or its data
    pass through unchanged: trying them again would change nothing.
    """
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        message = (
            f"the knowledge base cannot be used now: {' '.join(str(error).split()) or type(error).__name__}"
        )
        raise KnowledgeUnavailableError(message, delay_seconds=1.0) from error


def pool(
    url: str,
    *,
    name: str,
    min_size: int = 1,
    max_size: int = 4,
    is_pooled: bool = False,
    timeout_seconds: float = 5.0,
) -> AsyncConnectionPool[AsyncConnection]:
    """A pool of connections, not yet open: `await pool.open()`, then `await pool.close()` at the end.

    Each connection is tested as it is handed out, so a server that came back is noticed by the first who asks.

    Args:
        url: libpq URL.
        name: Of the pool, seen in `pg_stat_activity`.
        min_size: Connections kept open.
        max_size: Most connections, at most `POOL_LIMIT`.
        is_pooled: Whether a pooler stands between; then no statement is prepared.
        timeout_seconds: How long a request waits for a connection.
    """
    if not 1 <= min_size <= max_size <= POOL_LIMIT:
        message = f"a pool holds 1 to {POOL_LIMIT} connections, not {min_size} to {max_size}"
        raise ValueError(message)
    return AsyncConnectionPool(
        url,
        open=False,
        name=name,
        min_size=min_size,
        max_size=max_size,
        timeout=timeout_seconds,
        # After this the pool stops trying by itself and tries again when asked: its own pauses double without limit.
        reconnect_timeout=2.0,
        kwargs={
            "autocommit": True,
            "application_name": f"maximus {name}",
            "prepare_threshold": None if is_pooled else 2,
            **_KEEPALIVES,
        },
        check=AsyncConnectionPool.check_connection,
    )


class Pooled:
    """Something that talks to the knowledge base over a pool of its own. Open it before use, or use it in `async with`.

    Args:
        url: libpq URL; may lead through a pooler when `is_pooled`.
        is_pooled: Whether it does.
        pool_size: Most connections, 1 to 20.
        timeout_seconds: How long a call waits for a connection.
    """

    purpose: ClassVar[str]
    """What the connections are for, as the server shows it."""

    def __init__(
        self, url: str, *, is_pooled: bool = False, pool_size: int = 4, timeout_seconds: float = 5.0
    ) -> None:
        self._pool: AsyncConnectionPool[AsyncConnection] = pool(
            url, name=self.purpose, max_size=pool_size, is_pooled=is_pooled, timeout_seconds=timeout_seconds
        )

    async def open(self) -> None:
        """Start connecting; does not wait for the server, which may come later."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection of the pool; what goes wrong because the server is away is retryable."""
        with unavailable_is_retryable():
            async with self._pool.connection() as connection:
                yield connection


def connect(url: str, *, name: str) -> Connection:
    """One synchronous connection for a reader, committing each statement. Close it, or use it in a `with`.

    Raises:
        KnowledgeUnavailableError: The server cannot be reached.
    """
    with unavailable_is_retryable():
        return Connection.connect(url, autocommit=True, application_name=f"maximus {name}", **_KEEPALIVES)


async def connect_direct(url: str, *, name: str) -> AsyncConnection:
    """One asynchronous connection with a session of its own: for the lease and for notifications.

    Raises:
        KnowledgeUnavailableError: The server cannot be reached.
        PoolerRefusedError: A pooler answered.
    """
    with unavailable_is_retryable():
        connection = await AsyncConnection.connect(
            url, autocommit=True, application_name=f"maximus {name}", **_KEEPALIVES
        )
        try:
            row = await (await connection.execute("SELECT pg_backend_pid()")).fetchone()
            _require_same_session(connection.info.backend_pid, row, url)
        except BaseException:
            await connection.close()
            raise
    return connection


def refuse_pooler(url: str) -> None:
    """Make sure that `url` leads to a server, not to a pooler; call it at start-up for the direct URL.

    Raises:
        KnowledgeUnavailableError: The server cannot be reached.
        PoolerRefusedError: A pooler answered.
    """
    with connect(url, name="pooler test") as connection, unavailable_is_retryable():
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        _require_same_session(connection.info.backend_pid, row, url)


def _require_same_session(announced_pid: int, row: tuple[Any, ...] | None, url: str) -> None:
    """Compare the process that was announced at login (protocol message BackendKeyData) with the one that serves.

    A server announces the right one; a pooler, which lends sessions out, announces a number of its own.
    """
    if row is None or row[0] != announced_pid:
        host = psycopg.conninfo.conninfo_to_dict(url).get("host")
        raise PoolerRefusedError(
            f"{host} is a connection pooler, which loses locks and notifications: "
            "set MAXIMUS_DATABASE_DIRECT_URL to the PostgreSQL server itself"
        )
