"""From a situation to at most one plan for its target, or to the reason why there is none.

Capacity comes from `planning.sizing`; what is added here is what makes a size a safe change: nothing is taken away
while telemetry is lost, one step takes away no more than the action's blast radius, and a change that was proposed and
still stands is not proposed again every turn. Reasons are words without figures, so that an unchanged reason reads the
same; the figures go beside it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from maximus_assets.contracts.action import ACTION_TRAITS, Action, ActionKind, ActionPlan, Effect
from maximus_assets.contracts.prediction import Forecast
from maximus_assets.contracts.situation import Situation
from maximus_assets.contracts.target import ReplicaSizing, Sizing, Target
from maximus_assets.contracts.telemetry import GRID_SECONDS
from maximus_assets.planning.sizing import CORE_STEP, DEAD_BAND, Size, size

PROPOSER: Final = "sizing"

_SAFETY_SECONDS: Final = 30.0
"""Added to the lead a forecast must cover, beyond the start-up and one period of the loop."""

_REACTIVE_CONFIDENCE: Final = 0.5
"""How sure a size is that rests on the recent past alone, against the coverage of the interval it could rest on."""

_STANDS: Final = "the change proposed before still stands, and there are no actuators to carry it out"

_NO_FORECAST: Final[dict[str, str]] = {
    "unknown_series": "the champion never learnt this series",
    "no_champion": "there is no champion",
}
"""What a forecast that is not there is put down to; a cold one says itself what it lacks."""

_SPENT: Final = "the last forecast is over and the champion has given no other"

Figures = dict[str, float | int | str | bool | None]


@dataclass(frozen=True)
class Planned:
    """What planning came to.

    Attributes:
        plan: The plan, None for "do nothing".
        reason: Why, in words without figures; never empty.
        confidence: How sure, 0 to 1.
        figures: What it rests on, each with its unit in its name.
        stands: The proposal that stands after this: the plan, or the one before it that still holds, or None.
    """

    plan: ActionPlan | None
    reason: str
    confidence: float
    figures: Figures
    stands: ActionPlan | None = None


def plan(
    target: Target,
    situation: Situation,
    *,
    demand_recent: float | None,
    period_seconds: float,
    standing: ActionPlan | None,
    new_id: Callable[[], UUID],
) -> Planned:
    """Plan for one target.

    Args:
        target: The target.
        situation: What is known of it.
        demand_recent: Largest demand over the last minutes, None where nothing was seen.
        period_seconds: From one turn to the next.
        standing: The plan proposed before that nothing has carried out, if any.
        new_id: Makes the identity of a plan.
    """
    expected = expected_demand(
        situation.forecast,
        situation,
        lead_seconds=target.sizing.startup_seconds + period_seconds + _SAFETY_SECONDS,
    )
    current = _reading(situation, capacity_sensor(target.sizing))
    confidence = _confidence(situation, expected)
    figures: Figures = {
        "demand_recent": demand_recent,
        "demand_expected": expected,
        "capacity_current": current,
        "severity": situation.severity,
        "concerns": "; ".join(situation.concerns),
        "freeze_reason": situation.freeze_reason,
        "forecast_status": situation.forecast.status,
        "forecast_reason": situation.forecast.reason,
    }
    if current is None:
        reason = _words(situation, expected, "the present capacity is not known")
        return Planned(None, reason, confidence, figures)
    if demand_recent is None and expected is None:
        reason = _words(situation, expected, "neither demand nor forecast is known")
        return Planned(None, reason, confidence, figures)

    # A demand nobody saw counts as none: the forecast may still add, and taking away is forbidden below.
    sized = size(
        target.sizing, demand_recent=max(0.0, demand_recent or 0.0), demand_expected=expected, current=current
    )
    figures |= {
        "capacity_desired": sized.desired,
        "utilization_ratio": round(sized.utilization, 6),
        "modelled_p95_ms": None if sized.modelled_p95_ms is None else round(sized.modelled_p95_ms, 3),
    }
    why_not = _why_not(situation, sized, current, is_blind=demand_recent is None)
    if why_not is not None:
        return Planned(None, _words(situation, expected, f"{why_not}; {sized.reason}"), confidence, figures)
    if standing is not None and _still_stands(standing, sized, current):
        action = standing.actions[0]
        figures["standing_change"] = f"{action.kind} {action.current:g} -> {action.desired:g}"
        reason = _words(situation, expected, f"{_STANDS}; {sized.reason}")
        return Planned(None, reason, confidence, figures, standing)
    proposed = _propose(target, situation, sized, current, expected, new_id)
    return Planned(proposed, proposed.reason, confidence, figures, proposed)


def capacity_sensor(sizing: Sizing) -> str:
    """The sensor that shows a target's present capacity."""
    return "ready_replicas_count" if isinstance(sizing, ReplicaSizing) else "cpu_limit_cores"


def expected_demand(forecast: Forecast, situation: Situation, *, lead_seconds: float) -> float | None:
    """Largest upper bound of the forecast from now until a change made now has taken effect; None without one.

    Args:
        forecast: The forecast; a point stands for the whole bin that starts at it.
        situation: Gives the present instant.
        lead_seconds: How long a change takes to take effect.
    """
    until = situation.at + timedelta(seconds=lead_seconds)
    since = situation.at - timedelta(seconds=GRID_SECONDS)
    highest: float | None = None
    for point in forecast.points:
        if point.at > until:
            break  # they are in order
        if point.at > since:
            highest = max(highest or 0.0, point.upper)
    return highest


def _why_not(situation: Situation, sized: Size, current: float, *, is_blind: bool) -> str | None:
    """Why no plan is made, or None if one is."""
    if math.isclose(sized.desired, current):
        return "no change"
    if sized.desired < current and (situation.telemetry_lost or is_blind):
        return "less capacity would do, but nothing is taken away while telemetry is lost"
    if sized.desired < current and situation.freeze_reason:
        return f"less capacity would do, but nothing is taken away from any target: {situation.freeze_reason}"
    if math.isclose(_one_step(sized, current), current):
        return "less capacity would do, but the smallest step takes away more than one action may"
    return None


def _still_stands(standing: ActionPlan, sized: Size, current: float) -> bool:
    """Whether a proposal made before says what would be said now, give or take the dead band downwards."""
    action = standing.actions[0]
    desired = _one_step(sized, current)
    return math.isclose(action.current, current) and (
        action.desired * (1.0 - DEAD_BAND) <= desired <= action.desired + 1e-9
        and (action.desired > current) == (desired > current)
    )


def _one_step(sized: Size, current: float) -> float:
    """The desired capacity, but never further down than one action may go."""
    step = 1.0 if sized.unit == "replicas" else CORE_STEP
    radius = ACTION_TRAITS[_kind(sized)].blast_radius
    lowest = math.ceil(round(current * (1.0 - radius) / step, 6)) * step
    return round(min(current, max(sized.desired, lowest)), 6) if sized.desired < current else sized.desired


def _kind(sized: Size) -> ActionKind:
    return ActionKind.SET_REPLICAS if sized.unit == "replicas" else ActionKind.SET_CPU_LIMIT


def _propose(  # noqa: PLR0917 - one call, each argument of its own type
    target: Target,
    situation: Situation,
    sized: Size,
    current: float,
    expected: float | None,
    new_id: Callable[[], UUID],
) -> ActionPlan:
    desired = _one_step(sized, current)
    is_protective = desired > current
    parts = ["more capacity is needed" if is_protective else "less capacity is enough", sized.reason]
    if desired > sized.desired:
        parts.insert(1, "one step goes no further down than the blast radius")
    return ActionPlan(
        id=new_id(),
        target=target.name,
        proposer=PROPOSER,
        actions=(
            Action(
                kind=_kind(sized),
                target=target.name,
                current=current,
                desired=desired,
                effects=_effects(target.sizing, situation, sized, current, desired),
            ),
        ),
        reason=_words(situation, expected, "; ".join(parts)),
        confidence=_confidence(situation, expected),
        direction="protective" if is_protective else "saving",
    )


def _effects(
    sizing: Sizing, situation: Situation, sized: Size, current: float, desired: float
) -> tuple[Effect, ...]:
    """What the change is expected to do: to the capacity itself, and to what users or the processor feel of it."""
    settles = sizing.startup_seconds
    effects = [
        Effect(
            sensor=capacity_sensor(sizing), before=current, expected=desired, settles_within_seconds=settles
        )
    ]
    felt = "cpu_used_ratio" if sized.unit == "cores" else "replica_cpu_used_ratio"
    used = _reading(situation, felt)
    if used is not None:
        effects.append(
            Effect(
                sensor=felt,
                before=used,
                expected=round(min(1.0, sized.utilization * sized.desired / desired), 6),
                settles_within_seconds=settles + 2 * _SAFETY_SECONDS,
            )
        )
    return tuple(effects)


def _reading(situation: Situation, sensor: str) -> float | None:
    reading = situation.readings.get(sensor)
    return None if reading is None else reading.value


def _confidence(situation: Situation, expected: float | None) -> float:
    """The forecast's coverage, or one half without one that covers the lead, times the share of sensors that are fresh."""
    readings = situation.readings.values()
    fresh = sum(reading.is_fresh for reading in readings) / len(readings) if readings else 0.0
    basis = _REACTIVE_CONFIDENCE if expected is None else situation.forecast.coverage
    return round(basis * fresh, 3)


def _words(situation: Situation, expected: float | None, reason: str) -> str:
    """The reason, and what the forecast could not add to it and why."""
    if expected is not None:
        return reason
    forecast = situation.forecast
    lacking = _SPENT if forecast.status == "ok" else _NO_FORECAST.get(forecast.status, forecast.reason)
    return f"{reason}; reactive only, for {lacking or 'there is no forecast'}"
