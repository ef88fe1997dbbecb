"""Prometheus text."""

from fastapi import APIRouter
from starlette.responses import Response

from serving.gateway import exposition
from serving.gateway.ports import Ports
from serving.gateway.problems import documented


def routes(ports: Ports) -> APIRouter:
    """The route a Prometheus server scrapes."""
    router = APIRouter(tags=["operations"])

    @router.get(
        "/metrics",
        summary="Every metric of the gateway's workers and of the loop, for Prometheus",
        response_class=Response,
        responses={
            **documented(),
            200: {
                "description": "Prometheus text format",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            },
        },
    )
    async def metrics() -> Response:
        """Answer the sums over this gateway's workers, and the loop's state as its heartbeat row tells it.

        It is answered also while the database is away; `maximus_knowledge_up` is then 0 and the loop's state absent.
        """
        beats = await ports.reading.heartbeats_or_none()
        text = exposition.text(beats, now=ports.clock.now(), period_seconds=ports.reading.period_seconds)
        return Response(text, media_type=exposition.MEDIA_TYPE)

    return router
