"""What the API answers with: frozen types, each field with its unit, so that the OpenAPI document says everything.

Decisions are answered as the contract's own record. Nothing here reads or computes; `reading` does.
"""

from typing import Literal

from fastapi import Response
from pydantic import BaseModel, Field

from maximus_assets.contracts.base import Contract, Instant, Name
from maximus_assets.contracts.decision import DecisionRecord
from maximus_assets.contracts.prediction import ForecastPoint

Liveness = Literal["live", "stale", "absent", "unknown"]
"""`live`: a loop's heartbeat is younger than three periods. `stale`: the newest is older. `absent`: no loop ever ran.
`unknown`: the database cannot be asked."""

LoopState = Literal["starting", "observing", "leading", "standby", "suspended"]

Readiness = Literal["ok", "cold", "unknown_series", "no_champion", "waiting", "unknown"]
"""Of a target's forecast; `waiting`: the loop has not spoken about the target yet. `unknown`: the database cannot be
asked."""


class LoopHealth(Contract):
    """One loop, as its heartbeat row tells.

    Attributes:
        state: What it does: `leading` decides, `standby` waits for the lease, `observing` had its first look after a
            start, `suspended` could not record, or failed, and so decides nothing, `starting` has not turned yet.
        holder: Which process it is.
        epoch: Fencing epoch it last held, 0 when it never led.
        pid: Its process id.
        started_at: When it started.
        beat_at: Its last heartbeat.
        beat_age_seconds: How long ago that was.
        turn_at: Its last turn that decided, if any has.
        turn_age_seconds: How long ago that was.
        turn_seconds: How long that turn took.
        turns: How many turns decided since it started.
    """

    state: LoopState
    holder: str
    epoch: int
    pid: int
    started_at: Instant
    beat_at: Instant
    beat_age_seconds: float
    turn_at: Instant | None
    turn_age_seconds: float | None
    turn_seconds: float | None
    turns: int


class TargetHealth(Contract):
    """What the loop knows of one target.

    Attributes:
        target: The target.
        group: The cluster or host it belongs to.
        source: Where its telemetry comes from.
        demand_sensor: The sensor it is sized by.
        unit: That sensor's unit.
        forecast: Whether it can be forecast.
        forecast_reason: Why not, in words; empty when it can.
        bins: Five-minute bins of the live window that hold data, when the loop says.
        severity: The worst of its readings against the sensor catalogue's thresholds, when the loop says.
        latest_decision: Its latest decision, if any.
    """

    target: Name
    group: Name
    source: str
    demand_sensor: Name
    unit: str
    forecast: Readiness
    forecast_reason: str = ""
    bins: int | None = None
    severity: Literal["normal", "warning", "critical"] | None = None
    latest_decision: DecisionRecord | None = None


class TelemetryHealth(Contract):
    """How far what the loop sees can be believed.

    Attributes:
        is_lost: Whether so much is stale or frozen that nothing is taken away from any target.
        reason: Why, in words; empty while it is not lost.
        blind_targets: Targets that lack a sensor that must fail safe.
        frozen_sensors: Sensors that show one value for longer than what they measure can stand still.
        own_concerns: What is wrong with the product's own database, cache and models, in words.
    """

    is_lost: bool = False
    reason: str = ""
    blind_targets: int = 0
    frozen_sensors: int = 0
    own_concerns: tuple[str, ...] = ()


class Health(Contract):
    """Whether the loop lives, and how each target fares.

    Attributes:
        status: Whether a loop is alive; only `live` is answered with 200.
        summary: The same in one sentence.
        checked_at: When this was looked up.
        period_seconds: How often the loop turns.
        is_dry_run: Whether nothing can be changed.
        knowledge_is_reachable: Whether the database answered.
        champion_version: Registry version of the forecaster in use, empty when there is none.
        loop: The leading loop, else the one heard of last.
        others: Every other loop heard of within three periods.
        telemetry: How far what it sees can be believed.
        targets: Every watched target.
    """

    status: Liveness
    summary: str
    checked_at: Instant
    period_seconds: float
    is_dry_run: bool
    knowledge_is_reachable: bool
    champion_version: str = ""
    loop: LoopHealth | None = None
    others: tuple[LoopHealth, ...] = ()
    telemetry: TelemetryHealth = TelemetryHealth()
    targets: tuple[TargetHealth, ...] = ()


class MetricPoint(Contract):
    """The samples of one step.

    Attributes:
        at: Start of the step.
        value: Their mean, in the sensor's unit.
    """

    at: Instant
    value: float


class Metrics(Contract):
    """One series on an even grid; a step without samples has no point.

    Attributes:
        target: The target.
        sensor: The sensor.
        unit: Its unit.
        since: Start of the range, inclusive.
        until: End of the range, exclusive.
        step_seconds: Width of a step; steps are counted from the Unix epoch.
        points: Oldest first.
    """

    target: Name
    sensor: Name
    unit: str
    since: Instant
    until: Instant
    step_seconds: int
    points: tuple[MetricPoint, ...]


class LatestForecast(Contract):
    """The forecast in force.

    Attributes:
        issued_at: Start of the last grid bin it knew.
        model_version: Registry version of the forecaster.
        points: One for each step ahead.
    """

    issued_at: Instant
    model_version: str
    points: tuple[ForecastPoint, ...]


class PastForecast(Contract):
    """What had been expected of one bin, and what came.

    Attributes:
        at: Start of the bin.
        issued_at: Start of the last bin that forecast knew.
        mean: Expected value.
        lower: Lower bound of the interval.
        upper: Upper bound.
        actual: What came; None while it has not or was not seen.
    """

    at: Instant
    issued_at: Instant
    mean: float
    lower: float
    upper: float
    actual: float | None


class ForecastQuality(Contract):
    """How the forecasts shown did.

    Attributes:
        compared: Bins for which both forecast and outcome are known.
        inside_ratio: Share of them whose outcome lay within the interval; None without any.
        mean_absolute_error: Mean distance between expectation and outcome, in the sensor's unit; None without any.
    """

    compared: int = Field(ge=0)
    inside_ratio: float | None
    mean_absolute_error: float | None


class Forecasts(Contract):
    """What is expected of one series, and how past expectations compare with what came.

    Attributes:
        target: The target.
        sensor: The sensor.
        unit: Its unit.
        since: Start of the history.
        until: Now.
        step_seconds: Width of a bin.
        coverage: Share of outcomes the intervals are meant to hold.
        lead_seconds: How far ahead the past forecasts compared were made.
        actual: What came, on the grid; the last bin may still be filling.
        past: What had been expected, and what came.
        quality: The comparison in two figures.
        latest: The forecast in force, if there is one.
    """

    target: Name
    sensor: Name
    unit: str
    since: Instant
    until: Instant
    step_seconds: int
    coverage: float
    lead_seconds: int
    actual: tuple[MetricPoint, ...]
    past: tuple[PastForecast, ...]
    quality: ForecastQuality
    latest: LatestForecast | None


class DecisionPage(Contract):
    """Decisions, newest first.

    Attributes:
        decisions: At most `limit` of them.
        next_cursor: Pass it as `cursor` for the next page; None on the last.
    """

    decisions: tuple[DecisionRecord, ...]
    next_cursor: str | None = None


class Overview(Contract):
    """Everything the first page shows, read at one moment.

    Attributes:
        health: The loop and its targets.
        forecasts: One for each target whose history could be read.
        decisions: The newest decisions.
        targets: Names of all watched targets, shown or not.
    """

    health: Health
    forecasts: tuple[Forecasts, ...] = ()
    decisions: DecisionPage = DecisionPage(decisions=())
    targets: tuple[Name, ...] = ()


def sent(answer: BaseModel) -> Response:
    """An answer as it is sent.

    Handing the framework the model instead would have it validated and turned into plain values once more, which for a
    page of decisions took longer than reading it.
    """
    return Response(answer.model_dump_json(), media_type="application/json")
