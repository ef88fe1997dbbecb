"""Who leads: one row in PostgreSQL, an expiry judged by its clock alone, and an epoch that goes up with each new leader.

Belongs here: getting, keeping and giving up the lease. Does not: refusing the writes of a leader that was
(`KnowledgeStore.record_decisions` checks the epoch where it writes). It is hard because no lease can stop a process
that was paused and does not know it: so a holder stops claiming well before others may take over, by a clock that
never jumps, counted from before it asked; and whatever still slips through carries an epoch that is over.

Source: Kubernetes client-go `leaderelection` (lease 15 s, renew deadline 10 s, retry 2 s) for the timing; M. Kleppmann,
"How to do distributed locking" (2016), for the fencing epoch, which client-go does not have.
"""

import asyncio
import os
import socket
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import structlog
from psycopg import AsyncConnection

from maximus_assets.contracts.clock import Clock
from maximus_assets.contracts.errors import MaximusError
from serving.knowledge.connect import KnowledgeUnavailableError, connect_direct, unavailable_is_retryable

_log = structlog.get_logger("maximus.loop")

# clock_timestamp, not now: a contender that waited for the row must judge by the time it got it. A holder whose answer
# was lost may take its own lease again at once, under a new epoch.
_ACQUIRE: Final = """
UPDATE knowledge.lease
SET holder = %s, epoch = epoch + 1, expires_at = clock_timestamp() + make_interval(secs => %s)
WHERE name = %s AND (expires_at <= clock_timestamp() OR holder = %s)
RETURNING epoch
"""
_RENEW: Final = """
UPDATE knowledge.lease
SET expires_at = clock_timestamp() + make_interval(secs => %s)
WHERE name = %s AND holder = %s AND epoch = %s AND expires_at > clock_timestamp()
RETURNING epoch
"""
_RELEASE: Final = """
UPDATE knowledge.lease SET expires_at = '-infinity', holder = ''
WHERE name = %s AND holder = %s AND epoch = %s
"""


@dataclass(frozen=True)
class LeaseTiming:
    """How long things last, in seconds.

    Attributes:
        lease_seconds: How long others must wait after the last renewal.
        renew_deadline_seconds: How long the holder goes on claiming after it last asked for a renewal that was granted.
        retry_seconds: From one try to the next.
    """

    lease_seconds: float = 15.0
    renew_deadline_seconds: float = 10.0
    retry_seconds: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.retry_seconds < self.renew_deadline_seconds < self.lease_seconds:
            message = f"a lease needs retry < renew deadline < lease, not {self}"
            raise ValueError(message)


class Lease:
    """One process's claim to lead. Not for use by several tasks at once, except `is_leading` and `epoch`.

    Args:
        url: libpq URL of `maximus_app` that does not lead through a pooler.
        clock: Its monotonic time is the holder's own deadline.
        name: Of the lease; its row must exist.
        timing: How long things last.
        holder: Who we are; unique for each start of each process.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        name: str = "loop",
        timing: LeaseTiming | None = None,
        holder: str = "",
    ) -> None:
        self._url = url
        self._clock = clock
        self._name = name
        self._timing = timing or LeaseTiming()
        self.holder = holder or f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._connection: AsyncConnection | None = None
        self._epoch = 0
        self._deadline: float | None = None

    @property
    def epoch(self) -> int:
        """The epoch held, or last held; 0 before the first."""
        return self._epoch

    @property
    def timing(self) -> LeaseTiming:
        """How long things last."""
        return self._timing

    def is_leading(self) -> bool:
        """Whether this process may act now. Ask again before each write; it turns False by itself."""
        return self._deadline is not None and self._clock.monotonic() < self._deadline

    async def tend(self) -> bool:
        """One try to keep the lease, or to get it; answers whether this process leads.

        Raises:
            KnowledgeUnavailableError: The database cannot be reached; a claim not yet past its deadline goes on.
            PoolerRefusedError: A pooler answered; nothing can be held through it.
        """
        if self.is_leading():
            return await self.renew()
        return await self.acquire()

    async def acquire(self) -> bool:
        """Take the lease if it is free or has expired; its epoch goes up."""
        self._deadline = None
        asked_at = self._clock.monotonic()
        row = await self._ask(_ACQUIRE, (self.holder, self._timing.lease_seconds, self._name, self.holder))
        if row is None:
            return False
        self._epoch = row
        self._deadline = asked_at + self._timing.renew_deadline_seconds
        _log.info("lease_acquired", holder=self.holder, epoch=self._epoch)
        return self.is_leading()

    async def renew(self) -> bool:
        """Go on holding it. False means that it is lost, for good: what was taken under its epoch is over."""
        asked_at = self._clock.monotonic()
        row = await self._ask(_RENEW, (self._timing.lease_seconds, self._name, self.holder, self._epoch))
        if row is None:
            self._deadline = None
            _log.warning("lease_lost", holder=self.holder, epoch=self._epoch)
            return False
        self._deadline = asked_at + self._timing.renew_deadline_seconds
        return self.is_leading()

    async def release(self) -> None:
        """Give it up, so that another need not wait for its expiry; never fails, for expiry does the same later."""
        was_held = self._deadline is not None
        self._deadline = None
        try:
            if was_held:
                await self._ask(_RELEASE, (self._name, self.holder, self._epoch))
                _log.info("lease_released", holder=self.holder, epoch=self._epoch)
        except MaximusError as error:
            _log.warning("lease_not_released", reason=str(error))
        finally:
            await self._disconnect()

    async def _ask(self, statement: str, parameters: tuple[object, ...]) -> int | None:
        """Run one statement; its epoch, or None when no row answered to it.

        A server that does not answer must not hold the holder up until its deadline, so the wait is bounded by real
        time. Whether the statement went through is then unknown: a renewal that did is harmless, and an acquisition
        that did leaves an epoch that nobody uses.
        """
        patience = self._timing.renew_deadline_seconds / 3
        try:
            async with asyncio.timeout(patience):
                if self._connection is None or self._connection.closed:
                    self._connection = await connect_direct(self._url, name="lease")
                with unavailable_is_retryable():
                    cursor = await self._connection.execute(statement, parameters)
                    row = await cursor.fetchone() if cursor.description else None
        except TimeoutError as error:
            await self._disconnect()
            message = f"the lease could not be asked for within {patience:g} s"
            raise KnowledgeUnavailableError(message) from error
        except BaseException:
            await self._disconnect()
            raise
        return None if row is None else int(row[0])

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
