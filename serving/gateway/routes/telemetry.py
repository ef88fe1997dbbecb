"""What was seen, what was expected, what is expected."""

from fastapi import APIRouter, Response

from maximus_assets.contracts.telemetry import GRID_SECONDS
from serving.gateway.answers import Forecasts, Metrics, sent
from serving.gateway.inputs import (
    LeadSteps,
    SensorName,
    Since,
    Step,
    TargetName,
    Until,
    known_target,
    observed_name,
    range_of,
    require_bounded,
    require_sensor,
)
from serving.gateway.ports import Ports
from serving.gateway.problems import documented
from serving.gateway.reading import LEAD_STEPS

_FAILURES = documented("target_not_found", "invalid_request", "knowledge_unavailable")
_DAY_SECONDS = 86_400


def routes(ports: Ports) -> APIRouter:
    """The routes of metrics and forecasts."""
    router = APIRouter(tags=["autonomic"])

    @router.get(
        "/api/v1/autonomic/metrics",
        summary="One sensor of one target on an even grid",
        response_model=Metrics,
        response_description="The points, oldest first",
        responses=_FAILURES,
    )
    async def metrics(
        target: TargetName,
        sensor: SensorName,
        since: Since = None,
        until: Until = None,
        step: Step = GRID_SECONDS,
    ) -> Response:
        """Answer the mean of each step from `since` (default: one day before `until`) to `until` (default: now).

        Steps are counted from the Unix epoch, each labelled by its start. A step in which nothing was seen has no
        point. The target `maximus` is the product itself: its database, its Redis, its models. A range that would give more than 2,000 points is refused; the message names a step that suits it.
        """
        name = observed_name(ports.targets, target)
        require_sensor(sensor)
        start, end = range_of(since, until, now=ports.clock.now(), default_seconds=_DAY_SECONDS)
        require_bounded(start, end, step)
        return sent(await ports.reading.metrics(name, sensor, since=start, until=end, step_seconds=step))

    @router.get(
        "/api/v1/autonomic/forecasts",
        summary="What is expected of a target's demand, and how past forecasts compare with what came",
        response_model=Forecasts,
        response_description="The forecast in force, and the comparison",
        responses=_FAILURES,
    )
    async def forecasts(
        target: TargetName, since: Since = None, until: Until = None, lead_steps: LeadSteps = LEAD_STEPS
    ) -> Response:
        """Answer the forecast in force and, bin by bin from `since` (default: one day), forecast against outcome.

        For each past bin the forecast shown is the one made `lead_steps` five-minute bins ahead of it (default 6: half
        an hour), so that the comparison is with what was known in time to act. `latest` is the newest forecast that
        still reaches into the future, or null.
        """
        known = known_target(ports.targets, target)
        start, end = range_of(since, until, now=ports.clock.now(), default_seconds=_DAY_SECONDS)
        require_bounded(start, end, GRID_SECONDS)
        return sent(await ports.reading.forecasts(known, start, end, lead_steps))

    return router
