"""Answers from the knowledge base: which questions make up which answer, and what is said when it is away.

Belongs here: putting rows together. Does not: SQL (`knowledge.queries`), judging heartbeats (`liveness`), HTTP.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from maximus_assets.contracts.base import floor_to_step
from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.clock import Clock
from maximus_assets.contracts.decision import DecisionKind, DecisionRecord
from maximus_assets.contracts.prediction import INTERVAL_COVERAGE, ForecastPoint
from maximus_assets.contracts.target import Target
from maximus_assets.contracts.telemetry import GRID_SECONDS, Series
from serving.gateway import liveness
from serving.gateway.answers import (
    DecisionPage,
    ForecastQuality,
    Forecasts,
    Health,
    LatestForecast,
    MetricPoint,
    Metrics,
    Overview,
    PastForecast,
)
from serving.gateway.cursor import Position, encode
from serving.gateway.events import Event
from serving.knowledge.connect import KnowledgeUnavailableError
from serving.knowledge.heartbeat import Heartbeat
from serving.knowledge.queries import ForecastRow, KnowledgeQueries

PATIENCE_SECONDS: Final = 3.0
"""How long one answer may wait for the database; a page that says that it is away beats one that hangs."""

RESUMED_EVENTS: Final = 500
PAGE_DECISIONS: Final = 30
PAGE_TARGETS: Final = 12
LEAD_STEPS: Final = 6
PAGE_HISTORY: Final = timedelta(hours=8)
"""Long enough to see the shape of a day's part, short enough that the hour ahead can be seen too."""
_DAY: Final = timedelta(days=1)


class _AnnouncedDecisions(BaseModel):
    """What the store announces of decisions: how many, and the ids of the first hundred."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["decision"]
    count: int
    ids: tuple[UUID, ...]


class Reading:
    """Everything the gateway tells, read when it is asked.

    Args:
        queries: The knowledge base.
        targets: What is watched.
        clock: The time.
        period_seconds: How often the loop turns.
    """

    def __init__(
        self, queries: KnowledgeQueries, targets: Sequence[Target], clock: Clock, period_seconds: float
    ) -> None:
        self._queries = queries
        self._targets = tuple(targets)
        self._clock = clock
        self.period_seconds = period_seconds

    async def is_reachable(self) -> bool:
        """Whether the database answers."""
        try:
            async with _patience():
                await self._queries.ping()
        except KnowledgeUnavailableError:
            return False
        return True

    async def heartbeats_or_none(self) -> list[Heartbeat] | None:
        """The heartbeat rows; None while the database is away."""
        try:
            async with _patience():
                return await self._queries.heartbeats()
        except KnowledgeUnavailableError:
            return None

    async def health(self) -> Health:
        """The loop's and every target's state; also while the database is away, and then it says so."""
        beats: list[Heartbeat] | None
        try:
            async with _patience():
                beats = await self._queries.heartbeats()
                latest = await self._queries.latest_decisions([target.name for target in self._targets])
        except KnowledgeUnavailableError:
            beats, latest = None, {}
        return liveness.judge(
            beats,
            targets=self._targets,
            latest=latest,
            now=self._clock.now(),
            period_seconds=self.period_seconds,
        )

    async def metrics(
        self, target: str, sensor: str, *, since: datetime, until: datetime, step_seconds: int
    ) -> Metrics:
        """One series on a grid; the first step is widened to its start, lest its mean be of a part."""
        start = floor_to_step(since, step_seconds)
        return Metrics(
            target=target,
            sensor=sensor,
            unit=CATALOGUE[sensor].unit,
            since=start,
            until=until,
            step_seconds=step_seconds,
            points=await self._points(target, sensor, start, until, step_seconds),
        )

    async def forecasts(
        self, target: Target, since: datetime, until: datetime, lead_steps: int = LEAD_STEPS
    ) -> Forecasts:
        """The forecast in force, and past ones against what came."""
        start, sensor = floor_to_step(since, GRID_SECONDS), target.demand_sensor
        async with _patience():
            actual = await self._points(target.name, sensor, start, until, GRID_SECONDS)
            # The bin that is still filling is no outcome yet.
            rows = await self._queries.forecasts_and_actuals(
                target.name,
                sensor,
                since=start,
                until=floor_to_step(until, GRID_SECONDS),
                lead_steps=lead_steps,
            )
            latest = await self._queries.latest_forecast(target.name, sensor, since=self._clock.now() - _DAY)
        return Forecasts(
            target=target.name,
            sensor=sensor,
            unit=CATALOGUE[sensor].unit,
            since=start,
            until=until,
            step_seconds=GRID_SECONDS,
            coverage=INTERVAL_COVERAGE,
            lead_seconds=lead_steps * GRID_SECONDS,
            actual=actual,
            past=tuple(
                PastForecast(
                    at=row.at,
                    issued_at=row.issued_at,
                    mean=row.mean,
                    lower=row.lower,
                    upper=row.upper,
                    actual=row.actual,
                )
                for row in rows
            ),
            quality=quality(rows),
            latest=in_force(latest, self._clock.now()),
        )

    async def decisions(
        self,
        *,
        target: str | None = None,
        kind: DecisionKind | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: Position | None = None,
        limit: int = PAGE_DECISIONS,
    ) -> DecisionPage:
        """One page of decisions; one more is read than shown, to know whether there is a next."""
        async with _patience():
            found = await self._queries.decisions(
                target=target, kind=kind, since=since, until=until, after=after, limit=limit + 1
            )
        page = found[:limit]
        return DecisionPage(
            decisions=tuple(page), next_cursor=encode(_position(page[-1])) if len(found) > limit else None
        )

    async def decision(self, identity: UUID) -> DecisionRecord | None:
        """One decision, if there is such a one."""
        async with _patience():
            return await self._queries.decision(identity)

    async def overview(
        self, *, target: str | None, kind: DecisionKind | None, after: Position | None
    ) -> Overview:
        """Everything the first page shows. While the database is away only the health, which says so."""
        health = await self.health()
        if not health.knowledge_is_reachable:
            return Overview(health=health)
        shown = [one for one in self._targets if target in {None, one.name}][:PAGE_TARGETS]
        names = {one.name for one in shown}
        now = self._clock.now()
        try:
            page = await self.decisions(target=target, kind=kind, after=after)
            forecasts = [await self.forecasts(one, now - PAGE_HISTORY, now) for one in shown]
        except KnowledgeUnavailableError:
            return Overview(health=await self.health())
        visible = tuple(state for state in health.targets if state.target in names)
        return Overview(
            health=health.model_copy(update={"targets": visible}),
            forecasts=tuple(forecasts),
            decisions=page,
            targets=tuple(one.name for one in self._targets),
        )

    async def events_after(self, position: Position) -> tuple[Event, ...]:
        """The decisions taken after a position, oldest first; when there are too many, `resync` instead.

        Read newest first, a few and then many, for the usual gap is a moment's.
        """
        for limit in (20, RESUMED_EVENTS):
            async with _patience():
                found = await self._queries.decisions(limit=limit)
            newer = [record for record in found if _position(record) > position]
            if len(newer) < limit:
                return tuple(_decision_event(record) for record in reversed(newer))
        return (Event("resync", '{"reason":"more was missed than is sent again"}'),)

    async def announced(self, message: dict[str, Any]) -> Sequence[Event]:
        """The events of a notification of the store: decisions whole, the rest as they were announced.

        What no store of ours announces (anybody who may connect can notify) makes no event.
        """
        if message.get("kind") in {"forecast", "heartbeat"}:
            told = {key: value for key, value in message.items() if key != "kind"}
            return [Event(message["kind"], json.dumps(told, separators=(",", ":")))]
        try:
            announced = _AnnouncedDecisions.model_validate(message)
        except ValidationError:
            return []
        async with _patience():
            found = await self._queries.decisions_by_id(announced.ids)
        events = [_decision_event(record) for record in reversed(found)]
        if announced.count > len(announced.ids):
            events.append(Event("resync", '{"reason":"more was decided at once than is sent"}'))
        return events

    async def _points(
        self, target: str, sensor: str, since: datetime, until: datetime, step_seconds: int
    ) -> tuple[MetricPoint, ...]:
        series = Series(target=target, sensor=sensor)
        async with _patience():
            bins = await self._queries.recent_bins(
                [series], since=since, until=until, step_seconds=step_seconds
            )
        return tuple(MetricPoint(at=one.at, value=one.mean) for one in bins[series])


@asynccontextmanager
async def _patience() -> AsyncIterator[None]:
    """Bound the wait for the database; what takes longer counts as away."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield
    except TimeoutError as error:
        message = f"the knowledge base did not answer within {PATIENCE_SECONDS:g} s"
        raise KnowledgeUnavailableError(message, delay_seconds=2.0) from error


def quality(rows: Sequence[ForecastRow]) -> ForecastQuality:
    """How forecasts did against what came."""
    known = [(row, row.actual) for row in rows if row.actual is not None]
    if not known:
        return ForecastQuality(compared=0, inside_ratio=None, mean_absolute_error=None)
    inside = sum(row.lower <= actual <= row.upper for row, actual in known)
    error = sum(abs(row.mean - actual) for row, actual in known)
    return ForecastQuality(
        compared=len(known), inside_ratio=inside / len(known), mean_absolute_error=error / len(known)
    )


def in_force(rows: Sequence[ForecastRow], now: datetime) -> LatestForecast | None:
    """The forecast these points make, unless all it is about has passed."""
    if not rows or rows[-1].at + timedelta(seconds=GRID_SECONDS) <= now:
        return None
    return LatestForecast(
        issued_at=rows[0].issued_at,
        model_version=rows[0].model_version,
        points=tuple(
            ForecastPoint(at=row.at, mean=row.mean, lower=row.lower, upper=row.upper) for row in rows
        ),
    )


def _position(record: DecisionRecord) -> Position:
    return Position(record.first_at, record.id)


def _decision_event(record: DecisionRecord) -> Event:
    return Event("decision", record.model_dump_json(), id=encode(_position(record)))
