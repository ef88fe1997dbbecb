"""What a plan is held against before it may count: the limits of its action kinds, and whether anything can act at all.

The planner keeps the same limits by itself; a gate that trusted it would be none. A judge that fails is a veto.
"""

from collections.abc import Callable
from typing import Final

from maximus_assets.contracts.action import ACTION_TRAITS, ActionPlan
from maximus_assets.contracts.target import Target
from maximus_assets.contracts.verdict import Verdict

DRY_RUN_REASON: Final = "no actuators: dry run only"


def judge(plan: ActionPlan, target: Target, *, freeze_reason: str = "") -> tuple[Verdict, ...]:
    """Every gate's verdict on a plan, always all of them.

    Args:
        plan: The plan.
        target: The target it is about.
        freeze_reason: Why nothing may be taken away from any target this turn; empty when it may.
    """
    return (
        _judged("plan_is_within_limits", lambda: within_limits(plan, target)),
        _judged("nothing_is_taken_blindly", lambda: nothing_taken_blindly(plan, freeze_reason)),
        _judged("actuator_is_present", actuator_is_present),
    )


def within_limits(plan: ActionPlan, target: Target) -> Verdict:
    """Whether every action keeps its kind's bounds, its target's bounds, and its kind's blast radius."""
    reasons: list[str] = []
    measured: dict[str, float | int | str | bool] = {}
    for action in plan.actions:
        traits = ACTION_TRAITS[action.kind]
        low, high = max(traits.minimum, target.sizing.minimum), min(traits.maximum, target.sizing.maximum)
        removed = max(0.0, action.current - action.desired) / action.current if action.current > 0 else 0.0
        measured |= {
            f"{action.kind}_desired": action.desired,
            f"{action.kind}_removed_ratio": round(removed, 6),
        }
        if action.target != target.name:
            reasons.append("an action is about another target")
        # Coming back inside the bounds step by step is no breach; going further out is.
        if (action.desired < low and action.desired < action.current) or (
            action.desired > high and action.desired > action.current
        ):
            reasons.append(f"{action.kind} leaves the bounds of its kind or target")
        if removed > traits.blast_radius + 1e-9:
            reasons.append(f"{action.kind} takes away more than one action may")
    return Verdict(
        name="plan_is_within_limits", passed=not reasons, reasons=tuple(reasons), measured=measured
    )


def nothing_taken_blindly(plan: ActionPlan, freeze_reason: str) -> Verdict:
    """Whether no action takes capacity away while the telemetry as a whole is lost."""
    takes = freeze_reason != "" and any(action.desired < action.current for action in plan.actions)
    return Verdict(
        name="nothing_is_taken_blindly", passed=not takes, reasons=(freeze_reason,) if takes else ()
    )


def actuator_is_present() -> Verdict:
    """Whether anything could carry the plan out; nothing can yet."""
    return Verdict(name="actuator_is_present", passed=False, reasons=(DRY_RUN_REASON,))


def _judged(name: str, gate: Callable[[], Verdict]) -> Verdict:
    try:
        return gate()
    except Exception as error:  # noqa: BLE001 - whatever a judge raises, its answer is no
        return Verdict(name=name, passed=False, reasons=(f"the judge failed: {type(error).__name__}",))
