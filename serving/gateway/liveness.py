"""Heartbeat rows, judged: is a loop alive, which one is it, what does it say of each target. Pure.

It is hard because a row outlives the process that wrote it. A state is believed only while its heartbeat is young; what
the loop says of a target is read leniently, for the row may have been written by another version of the product.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.decision import DecisionRecord
from maximus_assets.contracts.target import Target
from serving.gateway.answers import Health, Liveness, LoopHealth, Readiness, TargetHealth, TelemetryHealth
from serving.knowledge.heartbeat import Heartbeat

STALE_AFTER_PERIODS: Final = 3
"""A loop that missed this many turns is not believed to be alive."""

_RANK: Final[dict[str, int]] = {"leading": 0, "observing": 1, "suspended": 2, "starting": 3, "standby": 4}


class _TargetDetail(BaseModel):
    """What a loop may say of a target in its heartbeat's `detail`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    status: Readiness | None = None
    reason: str | None = None
    bins: int | None = None
    severity: Literal["normal", "warning", "critical"] | None = None


class _TelemetryDetail(BaseModel):
    """What a loop may say in its heartbeat's `detail` of all it sees."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    is_lost: bool = False
    reason: str = ""
    blind_targets: int = 0
    frozen_sensors: int = 0
    own_concerns: tuple[str, ...] = ()


class _Detail(BaseModel):
    """What a loop may say in its heartbeat's `detail`; everything may be missing."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    champion_version: str = ""
    is_dry_run: bool = True
    failures_in_a_row: int = 0
    failure: str = ""
    telemetry: _TelemetryDetail = _TelemetryDetail()
    targets: dict[str, _TargetDetail] = {}


def is_live(beat: Heartbeat, *, now: datetime, period_seconds: float) -> bool:
    """Whether a heartbeat is younger than three periods."""
    return (now - beat.beat_at).total_seconds() <= STALE_AFTER_PERIODS * period_seconds


def leading(beats: Sequence[Heartbeat], *, now: datetime, period_seconds: float) -> Heartbeat | None:
    """The live loop that leads; of two that both say so (one is about to notice), that of the higher epoch."""
    leaders = [
        beat
        for beat in beats
        if beat.state == "leading" and is_live(beat, now=now, period_seconds=period_seconds)
    ]
    return max(leaders, key=lambda beat: beat.epoch, default=None)


def shown(beats: Sequence[Heartbeat], *, now: datetime, period_seconds: float) -> Heartbeat | None:
    """The loop to show first: the leader, else the most telling live one, else the one heard of last."""
    leader = leading(beats, now=now, period_seconds=period_seconds)
    if leader is not None:
        return leader
    live = [beat for beat in beats if is_live(beat, now=now, period_seconds=period_seconds)]
    if live:
        return min(live, key=lambda beat: (_RANK[beat.state], -beat.beat_at.timestamp()))
    return max(beats, key=lambda beat: beat.beat_at, default=None)


def judge(
    beats: Sequence[Heartbeat] | None,
    *,
    targets: Sequence[Target],
    latest: Mapping[str, DecisionRecord],
    now: datetime,
    period_seconds: float,
) -> Health:
    """Health from the heartbeat rows.

    Args:
        beats: The rows; None when the database is away.
        targets: What is watched.
        latest: Target -> its latest decision.
        now: The present.
        period_seconds: How often a loop turns.
    """
    first = shown(beats or (), now=now, period_seconds=period_seconds)
    detail = _detail(first)
    status: Liveness
    if beats is None:
        status = "unknown"
    elif first is None:
        status = "absent"
    elif is_live(first, now=now, period_seconds=period_seconds):
        status = "live"
    else:
        status = "stale"
    return Health(
        status=status,
        summary=_summary(status, first, detail, now),
        checked_at=now,
        period_seconds=period_seconds,
        is_dry_run=detail.is_dry_run,
        knowledge_is_reachable=beats is not None,
        champion_version=detail.champion_version,
        loop=None if first is None else _loop(first, now),
        others=tuple(
            _loop(beat, now)
            for beat in beats or ()
            if beat is not first and is_live(beat, now=now, period_seconds=period_seconds)
        ),
        telemetry=TelemetryHealth.model_validate(detail.telemetry.model_dump()),
        targets=tuple(
            _target(
                target,
                detail.targets.get(target.name),
                latest.get(target.name),
                unsaid="unknown" if beats is None else "waiting",
            )
            for target in targets
        ),
    )


def _detail(beat: Heartbeat | None) -> _Detail:
    if beat is None:
        return _Detail()
    try:
        return _Detail.model_validate(beat.detail)
    except ValidationError:
        # Written by a version that says it otherwise: what it says of itself in columns still holds.
        return _Detail()


def _loop(beat: Heartbeat, now: datetime) -> LoopHealth:
    def age(at: datetime | None) -> float | None:
        return None if at is None else max(0.0, round((now - at).total_seconds(), 3))

    return LoopHealth(
        state=beat.state,
        holder=beat.holder,
        epoch=beat.epoch,
        pid=beat.pid,
        started_at=beat.started_at,
        beat_at=beat.beat_at,
        beat_age_seconds=age(beat.beat_at) or 0.0,
        turn_at=beat.turn_at,
        turn_age_seconds=age(beat.turn_at),
        turn_seconds=beat.turn_seconds,
        turns=beat.turns,
    )


def _target(
    target: Target, detail: _TargetDetail | None, latest: DecisionRecord | None, *, unsaid: Readiness
) -> TargetHealth:
    said = detail or _TargetDetail()
    return TargetHealth(
        target=target.name,
        group=target.group,
        source=target.source,
        demand_sensor=target.demand_sensor,
        unit=CATALOGUE[target.demand_sensor].unit,
        forecast=said.status or unsaid,
        forecast_reason=said.reason or "",
        bins=said.bins,
        severity=said.severity,
        latest_decision=latest,
    )


def _summary(status: Liveness, beat: Heartbeat | None, detail: _Detail, now: datetime) -> str:
    """The state in one sentence, without figures that change by the second."""
    if status == "unknown":
        return "The database does not answer, so nobody can say how the loop is. This page tries again by itself."
    if beat is None:
        return "No loop has ever written a heartbeat here. Start the product, or look at the loop's log."
    if status == "stale":
        minutes = max(1, round((now - beat.beat_at).total_seconds() / 60))
        return (
            f"It was last heard of {minutes} min ago, as {beat.state}. What is shown below is from then; nothing is "
            "decided until a loop is back."
        )
    if beat.state == "suspended" and detail.failures_in_a_row:
        why = f": {detail.failure.rstrip('.')}" if detail.failure else ""
        return f"Its turns fail, so it decides nothing{why}. It tries again by itself; its log says more."
    if beat.state == "leading" and detail.telemetry.is_lost:
        return f"It looks and decides each turn, but takes nothing away from any target: {detail.telemetry.reason}."
    return {
        "leading": "It looks at every target each turn, compares what came with what it expected, and decides.",
        "standby": "Another loop holds the lease, or none does yet; this one takes over when the lease runs out.",
        "observing": (
            "It has just started. Its first look decides nothing, for a rate needs two readings; from its next turn on "
            "it decides."
        ),
        "suspended": "It cannot record what it would decide, so it decides nothing until the database takes writes.",
        "starting": "It has not ended a turn yet.",
    }[beat.state]
