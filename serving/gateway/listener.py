"""One listener a worker: PostgreSQL's notifications in, events for every open stream out.

It is hard because the connection it listens on dies with the server, and what was announced meanwhile is lost: so it
connects again for ever, ever more slowly up to a limit, and then tells the streams to read anew (`resync`) instead of
pretending that nothing was missed. A notification names what is new; the thing itself is read from its table, once for
all streams.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import psycopg
import structlog
from psycopg import sql

from maximus_assets.contracts.clock import Clock
from maximus_assets.contracts.errors import MaximusError, Permanent, Retryable
from serving.gateway.events import Event, EventHub
from serving.knowledge.connect import CHANNEL, connect_direct

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 5.0
PERMANENT_PAUSE_SECONDS: Final = 60.0

_log = structlog.get_logger("maximus.gateway")

Announce = Callable[[dict[str, Any]], Awaitable[Sequence[Event]]]
"""Makes the events of a notification; none when it is of no interest."""


class Listener:
    """Keeps a connection that listens, for as long as the worker runs.

    Args:
        url: libpq URL that does not lead through a pooler.
        hub: Where events go.
        announce: Makes the events of a notification.
        clock: For the pauses between attempts.
    """

    def __init__(self, url: str, hub: EventHub, announce: Announce, clock: Clock) -> None:
        self._url = url
        self._hub = hub
        self._announce = announce
        self._clock = clock
        self._was_lost = False
        self.is_listening = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled; no failure ends it."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._listen()
                pause = FIRST_PAUSE_SECONDS
            except (psycopg.Error, MaximusError, OSError) as error:
                # A connection that went well until now is tried for anew at once.
                pause = self._lost(error, pause if self._was_lost else FIRST_PAUSE_SECONDS)
            except Exception as error:  # noqa: BLE001 - nobody would start it again: what is unknown slows it only
                _log.error("events_failed", exc_info=error)
                pause = self._lost(error, LONGEST_PAUSE_SECONDS)
            finally:
                self.is_listening.clear()
            await self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _lost(self, error: Exception, pause: float) -> float:
        """Tell the streams once for each outage, and say how long to wait."""
        if not self._was_lost:
            self._was_lost = True
            _log.warning("events_lost", reason=" ".join(str(error).split()))
            self._hub.publish(Event("database", '{"is_reachable":false}'))
        return PERMANENT_PAUSE_SECONDS if isinstance(error, Permanent) else pause

    async def _listen(self) -> None:
        connection = await connect_direct(self._url, name="gateway events")
        try:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
            self.is_listening.set()
            if self._was_lost:
                self._was_lost = False
                _log.info("events_resumed")
                self._hub.publish(Event("database", '{"is_reachable":true}'))
                self._hub.publish(Event("resync", '{"reason":"events may have been missed"}'))
            async for notification in connection.notifies():
                await self._handle(notification.payload)
        finally:
            await connection.close()

    async def _handle(self, payload: str) -> None:
        try:
            message = json.loads(payload)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            _log.warning("event_not_understood", payload=payload[:200])
            return
        try:
            events = await self._announce(message)
        except Retryable as error:
            # What it named could not be read now; the streams' clients can ask again themselves.
            _log.warning("event_not_read", reason=str(error))
            events = [Event("resync", '{"reason":"an event could not be read"}')]
        for event in events:
            self._hub.publish(event)
