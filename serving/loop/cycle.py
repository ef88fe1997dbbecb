"""One turn of the loop: see, expect, analyse, plan, judge, and say what was decided about every target.

A turn is a function of its ports and of what was decided before. It writes nothing and changes nothing that was
decided: whoever runs it records the decisions first and remembers them after (`Memory.keep`), so that a turn that dies
anywhere has neither lost nor doubled one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID, uuid4

import numpy as np
import numpy.typing as npt

from maximus_assets.contracts.action import ActionPlan
from maximus_assets.contracts.decision import DecisionRecord
from maximus_assets.contracts.prediction import Forecast
from maximus_assets.contracts.situation import Reading, TelemetryState
from maximus_assets.contracts.target import PRODUCT, Target
from maximus_assets.contracts.telemetry import Sample, Series
from serving.analyze import analyze, judge_readings, judge_telemetry
from serving.knowledge.rows import LONGEST_DECISION
from serving.loop.gates import judge
from serving.monitor.readings import LatestValues
from serving.monitor.source import Collected, Source
from serving.monitor.window import GridWindows
from serving.observability import MONITOR_REJECTED_TOTAL
from serving.plan import Planned, plan
from serving.predictors.inference import Forecasts

Floats = npt.NDArray[np.float64]


class Collects(Protocol):
    """Port: reads every source in bounded time."""

    @property
    def sources(self) -> Sequence[Source]:
        """What is read."""
        ...

    async def collect(self, now: datetime) -> Collected:
        """One round over all sources; never raises for a source's sake."""
        ...


class Expects(Protocol):
    """Port: forecasts of live windows."""

    async def forecasts(
        self, series: Sequence[Series], windows: Callable[[], Floats], end_at: datetime
    ) -> Forecasts:
        """Forecasts for windows that end at a bin."""
        ...

    def proceed(self) -> None:
        """Begin what takes longer than a turn has; does not wait."""
        ...


@dataclass
class Memory:
    """What was decided before and is safely recorded.

    Attributes:
        epoch: Under which lease.
        last: Target -> its latest record.
        standing: Target -> the proposal nothing has carried out and nothing has taken back.
        telemetry: How far the telemetry as a whole could be believed.
    """

    epoch: int = 0
    last: dict[str, DecisionRecord] = field(default_factory=dict)
    standing: dict[str, ActionPlan] = field(default_factory=dict)
    telemetry: TelemetryState = field(default_factory=TelemetryState)

    def keep(self, turn: "Turn") -> None:
        """Remember a turn whose decisions are recorded."""
        self.epoch = turn.epoch
        self.last.update({record.target: record for record in turn.records})
        self.standing = dict(turn.standing)
        self.telemetry = turn.telemetry


@dataclass(frozen=True)
class Observation:
    """What one look at the targets gave.

    Attributes:
        at: When.
        samples: What was read and believed.
        failures: Source -> why it gave nothing.
    """

    at: datetime
    samples: list[Sample]
    failures: dict[str, str]


@dataclass(frozen=True)
class Turn:
    """What one turn came to.

    Attributes:
        at: When.
        epoch: Under which lease.
        records: One decision a target: new, or the unchanged one before with its count moved on.
        forecasts: Those not recorded yet.
        standing: Target -> the proposal that stands after this turn.
        telemetry: How far the telemetry as a whole can be believed.
        frozen_sensors: How many sensors, of all targets, show a value that stands still and should not.
        own_concerns: What is wrong with the product's own parts, in words.
    """

    at: datetime
    epoch: int
    records: tuple[DecisionRecord, ...]
    forecasts: tuple[Forecast, ...]
    standing: dict[str, ActionPlan]
    telemetry: TelemetryState = field(default_factory=TelemetryState)
    frozen_sensors: int = 0
    own_concerns: tuple[str, ...] = ()


class Cycle:
    """What a turn needs, wired together.

    Args:
        targets: What is watched and sized.
        collector: Reads the sources.
        forecaster: Expects the demand.
        period_seconds: From one turn to the next.
        windows: The recent past; made for the targets' demand series unless given.
        new_id: Makes identities of decisions and plans.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        collector: Collects,
        forecaster: Expects,
        period_seconds: float,
        windows: GridWindows | None = None,
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        self.targets = tuple(targets)
        self.series = tuple(Series(target=t.name, sensor=t.demand_sensor) for t in targets)
        self.windows = windows or GridWindows(self.series)
        self.latest = LatestValues()
        self._collector = collector
        self._forecaster = forecaster
        self._period_seconds = period_seconds
        self._new_id = new_id
        # Several sources may read one target, and of a sensor that two read the first is the owner.
        self._sensors: dict[str, tuple[str, ...]] = {}
        self._owner: dict[tuple[str, str], str] = {}
        for source in collector.sources:
            for target, sensors in source.sensors.items():
                new = tuple(sensor for sensor in sensors if (target, sensor) not in self._owner)
                self._sensors[target] = (*self._sensors.get(target, ()), *new)
                self._owner |= dict.fromkeys(((target, sensor) for sensor in new), source.name)
        self._demand_owner = {
            target.name: self._owner[target.name, target.demand_sensor]
            for target in self.targets
            if (target.name, target.demand_sensor) in self._owner
        }

    async def observe(self, now: datetime) -> Observation:
        """Read every source and take in what is believable.

        Args:
            now: The turn's instant.
        """
        collected = await self._collector.collect(now)
        samples = self.latest.update(collected.samples, now)
        if len(samples) < len(collected.samples):
            kept = set(samples)
            for sample in collected.samples:
                if sample not in kept:
                    MONITOR_REJECTED_TOTAL.labels(
                        self._owner.get((sample.target, sample.sensor), "unknown")
                    ).inc()
        self.windows.observe(samples, now)
        return Observation(at=now, samples=samples, failures=collected.failures)

    async def decide(self, now: datetime, epoch: int, memory: Memory) -> Turn:
        """Decide about every target on what was observed.

        Args:
            now: The turn's instant.
            epoch: Of the lease it is decided under.
            memory: What was decided before; not changed.
        """
        expected = await self._forecaster.forecasts(
            self.series, lambda: self.windows.values(now), self.windows.last_closed_at(now)
        )
        recent = self.windows.recent_maxima(now)
        readings = {target.name: self.readings(target.name, now) for target in self.targets}
        telemetry = judge_telemetry(memory.telemetry, self.targets, readings, self._demand_owner)
        standing: dict[str, ActionPlan] = {}
        records: list[DecisionRecord] = []
        for row, target in enumerate(self.targets):
            planned = self._plan(
                target,
                readings[target.name],
                expected.by_target[target.name],
                telemetry,
                demand_recent=None if np.isnan(recent[row]) else float(recent[row]),
                standing=memory.standing.get(target.name) if memory.epoch == epoch else None,
                now=now,
            )
            if planned.stands is not None:
                standing[target.name] = planned.stands
            forecast = expected.by_target[target.name]
            record = self._record(target, planned, forecast, telemetry, now=now, epoch=epoch)
            before = memory.last.get(target.name)
            records.append(record if before is None else coalesced(record, before))
        return Turn(
            at=now,
            epoch=epoch,
            records=tuple(records),
            forecasts=tuple(expected.by_target.values()) if expected.is_new else (),
            standing=standing,
            telemetry=telemetry,
            frozen_sensors=sum(one.is_frozen for known in readings.values() for one in known.values()),
            own_concerns=judge_readings(self.readings(PRODUCT, now))[1],
        )

    def proceed(self) -> None:
        """A turn is over: begin what was left for the time until the next one. Does not wait."""
        self._forecaster.proceed()

    def readings(self, target: str, now: datetime) -> dict[str, Reading]:
        """What is known of a target, each sensor under its own policy."""
        return self.latest.readings(target, self._sensors.get(target, ()), now)

    def _plan(
        self,
        target: Target,
        readings: dict[str, Reading],
        forecast: Forecast,
        telemetry: TelemetryState,
        *,
        demand_recent: float | None,
        standing: ActionPlan | None,
        now: datetime,
    ) -> Planned:
        return plan(
            target,
            analyze(target, readings, forecast, now, telemetry),
            demand_recent=demand_recent,
            period_seconds=self._period_seconds,
            standing=standing,
            new_id=self._new_id,
        )

    def _record(
        self,
        target: Target,
        planned: Planned,
        forecast: Forecast,
        telemetry: TelemetryState,
        *,
        now: datetime,
        epoch: int,
    ) -> DecisionRecord:
        return DecisionRecord(
            id=self._new_id(),
            target=target.name,
            first_at=now,
            last_at=now,
            epoch=epoch,
            kind="noop" if planned.plan is None else "propose",
            is_dry_run=True,
            reason=planned.reason,
            plan=planned.plan,
            verdicts=()
            if planned.plan is None
            else judge(planned.plan, target, freeze_reason=telemetry.reason),
            state=planned.figures,
            confidence=planned.confidence,
            model_version=forecast.model_version if forecast.status == "ok" else "",
        )


def coalesced(record: DecisionRecord, before: DecisionRecord) -> DecisionRecord:
    """The record itself, or the unchanged no-op before it, counted once more and with today's figures.

    No record goes on for longer than `LONGEST_DECISION`: what was decided in a week of quiet is seven records.
    """
    if not record.repeats(before) or record.last_at - before.first_at > LONGEST_DECISION:
        return record
    return before.model_copy(
        update={
            "last_at": max(before.last_at, record.last_at),  # a clock set back takes nothing back
            "count": before.count + 1,
            "state": record.state,
            "confidence": record.confidence,
        }
    )
