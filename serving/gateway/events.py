"""Fan-out of one worker's events to the streams open on it, with a bound on everything.

A stream that cannot keep up must cost neither memory nor the others' time: each has a short queue, and one that
overflows is told why and ended. Nothing here knows HTTP or PostgreSQL: `listener` feeds it, `stream` drains it.
"""

import asyncio
import re
from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

EventName = Literal["decision", "forecast", "heartbeat", "database", "resync", "end"]
"""`database`: it went away or came back. `resync`: events were missed, read anew. `end`: this stream ends; says why."""

DropReason = Literal["slow", "stalled"]
"""`slow`: its queue overflowed. `stalled`: its connection took nothing for too long."""


_LINE_END: Final = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event.

    Attributes:
        name: Its kind.
        data: JSON on one line.
        id: What a client that reconnects sends back as `Last-Event-ID`; empty when it is no point to resume from.
    """

    name: EventName
    data: str
    id: str = ""

    def encode(self) -> bytes:
        """The event on the wire (WHATWG HTML, section 9.2.6)."""
        head = f"id: {self.id}\n" if self.id else ""
        # Only these end a line here; `splitlines` would also cut JSON at a separator that stands inside a string.
        lines = "".join(f"data: {line}\n" for line in _LINE_END.split(self.data))
        return f"{head}event: {self.name}\n{lines}\n".encode()


class HubFullError(Exception):
    """As many streams are open as this worker serves."""


class Subscription:
    """One stream's end of the hub. Made by `EventHub.subscribe`; leave it with `EventHub.unsubscribe`."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._queue: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self.has_ended = False
        self.is_slow = False

    def offer(self, event: Event) -> None:
        """Queue an event; on overflow forget the queue and end."""
        if self.has_ended:
            return
        if len(self._queue) >= self._capacity:
            self._queue.clear()
            self.is_slow = True
            self.end(f'{{"reason":"slow client: {self._capacity} events behind"}}')
            return
        self._queue.append(event)
        self._arrived.set()

    def end(self, data: str) -> None:
        """Queue a last event; nothing comes after it."""
        if not self.has_ended:
            self.has_ended = True
            self._queue.append(Event("end", data))
            self._arrived.set()

    async def next(self, wait_seconds: float) -> Event | None:
        """The next event, or None when `wait_seconds` passed without one (then send a keep-alive)."""
        if not self._queue:
            self._arrived.clear()
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._arrived.wait()
            except TimeoutError:
                return None
        return self._queue.popleft()


class EventHub:
    """Every stream open on this worker.

    Args:
        capacity: Events a stream may be behind before it is ended, >= 1.
        streams: Streams served at once, >= 1.
    """

    def __init__(self, *, capacity: int = 256, streams: int = 64) -> None:
        self._capacity = capacity
        self._streams = streams
        self._subscriptions: set[Subscription] = set()
        self._is_closed = False

    @property
    def open_streams(self) -> int:
        """How many streams are open."""
        return len(self._subscriptions)

    def subscribe(self) -> Subscription:
        """Open a stream; it receives what is published from now on.

        Raises:
            HubFullError: There are as many as this worker serves.
        """
        if len(self._subscriptions) >= self._streams:
            raise HubFullError
        subscription = Subscription(self._capacity)
        if self._is_closed:
            subscription.end(_CLOSING)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Close a stream; closing twice is harmless."""
        self._subscriptions.discard(subscription)

    def publish(self, event: Event) -> None:
        """Hand an event to every stream; never waits."""
        for subscription in self._subscriptions:
            subscription.offer(event)

    def open(self) -> None:
        """Serve again after `close`."""
        self._is_closed = False

    def close(self) -> None:
        """End every stream, so that the server need not wait for clients that would never leave."""
        self._is_closed = True
        for subscription in self._subscriptions:
            subscription.end(_CLOSING)


_CLOSING: Final = '{"reason":"the gateway is closing; reconnect"}'
