"""Plans held against the limits, by gates that do not trust the planner."""

from uuid import uuid4

import pytest

from maximus_assets.contracts.action import Action, ActionKind, ActionPlan, Effect
from maximus_assets.contracts.target import ReplicaSizing, Target
from serving.loop import gates
from serving.loop.gates import judge, within_limits

SHOP = Target(
    name="shop",
    source="simulated",
    demand_sensor="request_rate_per_second",
    sizing=ReplicaSizing(minimum=2, maximum=60),
)


def proposal(current, desired, *, target="shop"):
    effect = Effect(
        sensor="ready_replicas_count", before=current, expected=desired, settles_within_seconds=60
    )
    action = Action(
        kind=ActionKind.SET_REPLICAS, target=target, current=current, desired=desired, effects=(effect,)
    )
    return ActionPlan(
        id=uuid4(),
        target="shop",
        proposer="test",
        actions=(action,),
        reason="test",
        confidence=1,
        direction="saving",
    )


@pytest.mark.parametrize(
    ("current", "desired", "passed"),
    [
        (12, 9, True),
        (12, 8.9, False),  # a quarter is the most one action may take away
        (4, 3, True),
        (3, 2, False),
        (60, 60, True),
        (50, 61, False),
        (80, 65, True),  # on the way back inside the bounds
        (2, 1.6, False),
        (1, 2, True),
    ],
)
def test_limits_hold_whatever_the_planner_thought(current, desired, passed):
    assert within_limits(proposal(current, desired), SHOP).passed is passed


def test_an_action_about_another_target_does_not_pass():
    assert not within_limits(proposal(12, 11, target="other"), SHOP).passed


def test_every_plan_is_told_that_nothing_can_act():
    verdicts = {verdict.name: verdict for verdict in judge(proposal(12, 11), SHOP)}
    assert verdicts["plan_is_within_limits"].passed
    assert not verdicts["actuator_is_present"].passed
    assert verdicts["actuator_is_present"].reasons == ("no actuators: dry run only",)


def test_a_judge_that_fails_is_a_veto(monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(gates, "within_limits", broken)
    verdict = judge(proposal(12, 11), SHOP)[0]
    assert not verdict.passed
    assert "ZeroDivisionError" in verdict.reasons[0]
