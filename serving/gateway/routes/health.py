"""Whether the loop lives."""

from fastapi import APIRouter, Response

from serving.gateway.answers import Health, sent
from serving.gateway.ports import Ports
from serving.gateway.problems import documented

RETRY_AFTER_SECONDS = "5"


def routes(ports: Ports) -> APIRouter:
    """The route of the loop's health."""
    router = APIRouter(tags=["autonomic"])

    @router.get(
        "/api/v1/autonomic/health",
        summary="Whether the control loop is alive, and how each target fares",
        response_model=Health,
        response_description="A loop is alive",
        responses={
            **documented(),
            503: {
                "model": Health,
                "description": "No loop has been heard of for three periods, none ever ran, or the database is away",
            },
        },
    )
    async def health() -> Response:
        """Answer 200 while a loop's heartbeat is younger than three periods.

        Otherwise 503 with the same body, so that a probe sees a failure and a person sees why. It is 503 too when the
        database cannot be asked (`status` is then `unknown`): nobody can say then that the loop is alive.
        A standby counts as alive: it takes over within the lease's time.
        """
        answer = await ports.reading.health()
        response = sent(answer)
        if answer.status != "live":
            response.status_code = 503
            response.headers["Retry-After"] = RETRY_AFTER_SECONDS
        return response

    return router
