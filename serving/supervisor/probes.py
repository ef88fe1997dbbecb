"""Whether a child serves: one small question each, in the child's own protocol, cheap enough to ask every few seconds.

A probe answers True or False; whatever goes wrong on the way (refused, reset, a half answer) it may raise, and its
caller counts that as a no.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg

from serving.supervisor.postgres import EmbeddedPostgres

Probe = Callable[[], Awaitable[bool]]


def http(host: str, port: int, path: str) -> Probe:
    """Whether a GET of this path answers 200.

    Spoken by hand (RFC 9112): this is asked all day, and a client library would be most of the supervisor's memory.
    """

    async def probe() -> bool:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
            writer.write(request.encode())
            await writer.drain()
            return (await reader.readline()).split()[1:2] == [b"200"]
        finally:
            writer.close()

    return probe


def valkey(socket: Path) -> Probe:
    """Whether Valkey answers PING on its socket; while it still loads its files it answers with an error (RESP)."""

    async def probe() -> bool:
        reader, writer = await asyncio.open_unix_connection(str(socket))
        try:
            writer.write(b"PING\r\n")
            await writer.drain()
            return await reader.readline() == b"+PONG\r\n"
        finally:
            writer.close()

    return probe


def unix_socket(socket: Path) -> Probe:
    """Whether somebody accepts connections on a socket: all that can be asked in a protocol we do not speak."""

    async def probe() -> bool:
        _, writer = await asyncio.open_unix_connection(str(socket))
        writer.close()
        return True

    return probe


def postgres(server: EmbeddedPostgres) -> Probe:
    """Whether PostgreSQL answers a query."""

    async def probe() -> bool:
        return await asyncio.to_thread(server.is_ready)

    return probe


class DaemonHeartbeat:
    """Whether the Dagster daemon has written a heartbeat in its database since it was launched, and lately.

    Args:
        database_url: libpq URL of Dagster's database.
        fresh_seconds: The oldest heartbeat that counts. The daemon writes one every 30 s.
    """

    def __init__(self, database_url: str, fresh_seconds: float = 150.0) -> None:
        self._database_url = database_url
        self._fresh_seconds = fresh_seconds
        self._launched_at = time.time()

    def launched(self) -> None:
        """From here on only younger heartbeats count: an older one is of the process before."""
        self._launched_at = time.time()

    async def probe(self) -> bool:
        """Ask the database."""
        return await asyncio.to_thread(self._ask)

    def _ask(self) -> bool:
        with psycopg.connect(self._database_url, connect_timeout=2, autocommit=True) as connection:
            row = connection.execute(
                "SELECT extract(epoch FROM max(timestamp) AT TIME ZONE 'UTC') FROM daemon_heartbeats"
            ).fetchone()
        latest = float(row[0]) if row is not None and row[0] is not None else 0.0
        return latest >= max(self._launched_at, time.time() - self._fresh_seconds)
