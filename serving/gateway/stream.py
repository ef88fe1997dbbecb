"""One open event stream as an ASGI answer.

Written against ASGI itself: the stock streaming response waits without end for a client that stopped reading, and
notices a client that left only when it next has something to send.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.gateway.events import DropReason, Event, Subscription

KEEP_ALIVE: Final = b": keep-alive\n\n"

HEADERS: Final[dict[str, str]] = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # a proxy that buffers would hold events back
}


class EventStream(Response):
    """Sends a subscription's events until either side ends.

    Args:
        subscription: Where events come from.
        first: Events sent at once, before those of the subscription.
        leave: Called once when the stream is over, with the reason when the client was dropped.
        retry_ms: How long a browser waits before it reconnects.
        keep_alive_seconds: Silence after which a comment is sent, > 0.
        stall_seconds: How long one piece may wait for the client to take it, > 0.
    """

    def __init__(
        self,
        subscription: Subscription,
        first: Sequence[Event],
        leave: Callable[[DropReason | None], None],
        *,
        retry_ms: int = 2000,
        keep_alive_seconds: float = 15.0,
        stall_seconds: float = 10.0,
    ) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._subscription = subscription
        self._first = tuple(first)
        self._leave = leave
        self._retry_ms = retry_ms
        self._keep_alive_seconds = keep_alive_seconds
        self._stall_seconds = stall_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the client leaves, the subscription ends, or the client stalls."""
        del scope
        reason: DropReason | None = None
        try:
            reason = await self._run(receive, send)
        finally:
            self._leave(reason)

    async def _run(self, receive: Receive, send: Send) -> DropReason | None:
        pump = asyncio.create_task(self._pump(send))
        watch = asyncio.create_task(_until_disconnect(receive))
        try:
            await asyncio.wait({pump, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not pump.done():
                return None
            return pump.result()
        finally:
            for task in (pump, watch):
                task.cancel()
            await asyncio.gather(pump, watch, return_exceptions=True)

    async def _pump(self, send: Send) -> DropReason | None:
        async def push(body: bytes, *, more: bool = True) -> None:
            async with asyncio.timeout(self._stall_seconds):
                await send({"type": "http.response.body", "body": body, "more_body": more})

        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            head = b"".join(event.encode() for event in self._first)
            await push(f"retry: {self._retry_ms}\n\n".encode() + head)
            while True:
                event = await self._subscription.next(self._keep_alive_seconds)
                await push(KEEP_ALIVE if event is None else event.encode())
                if event is not None and event.name == "end":
                    await push(b"", more=False)
                    return "slow" if self._subscription.is_slow else None
        except TimeoutError:
            return "stalled"
        except OSError:
            return None  # the client went while we were sending


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
