"""Events as they happen."""

from typing import Annotated

from fastapi import APIRouter, Header
from starlette.responses import Response

from serving.gateway import cursor
from serving.gateway.events import DropReason, HubFullError
from serving.gateway.ports import Ports
from serving.gateway.problems import ProblemError, documented
from serving.gateway.stream import EventStream
from serving.observability import GATEWAY_STREAMS, GATEWAY_STREAMS_DROPPED

_RETRY_AFTER_SECONDS = 5.0


def routes(ports: Ports) -> APIRouter:
    """The route of the event stream."""
    router = APIRouter(tags=["stream"])

    @router.get(
        "/api/v1/stream/events",
        summary="Decisions, forecasts and heartbeats as server-sent events",
        response_class=Response,
        responses={
            **documented("too_many_streams", "invalid_request"),
            200: {
                "description": "Server-sent events, without end",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
        },
    )
    async def events(
        last_event_id: Annotated[
            str | None,
            Header(
                description="The `id` of the last event seen; what came after it is sent first.",
                max_length=120,
            ),
        ] = None,
    ) -> Response:
        """Send each event as it happens; each has a name and one line of JSON.

        `decision`: the record, again when its count grows. `forecast`: which targets. `heartbeat`: which loop, its state.
        `database`: it went away or came back. `resync`: events were missed, read anew. `end`: why this stream ends.

        A browser's EventSource reconnects by itself and sends back the last id; decisions taken meanwhile then come
        first, or `resync` when there are 500 or more. A comment is sent after 15 s of silence. A client that falls 256
        events behind, or takes nothing for 10 s, is dropped.
        """
        after = None if not last_event_id else cursor.decode(last_event_id)
        try:
            subscription = ports.hub.subscribe()
        except HubFullError as error:
            raise ProblemError(
                "too_many_streams",
                "This worker already serves as many event streams as it may.",
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            ) from error
        GATEWAY_STREAMS.inc()

        def leave(reason: DropReason | None) -> None:
            ports.hub.unsubscribe(subscription)
            GATEWAY_STREAMS.dec()
            if reason is not None:
                GATEWAY_STREAMS_DROPPED.labels(reason=reason).inc()

        # Subscribed before the past is read, so that nothing falls between; a decision may come twice, with one id.
        try:
            first = () if after is None else await ports.reading.events_after(after)
        except BaseException:
            leave(None)
            raise
        return EventStream(
            subscription,
            first,
            leave,
            keep_alive_seconds=ports.keep_alive_seconds,
            stall_seconds=ports.stall_seconds,
        )

    return router
