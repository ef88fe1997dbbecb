"""Plans are values: what their digest covers, and what their kinds allow."""

import hashlib
from uuid import uuid4

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from maximus_assets.contracts.action import ACTION_TRAITS, Action, ActionKind, ActionPlan, Effect


def plan(*, desired: float = 6.0, reason: str = "demand is rising") -> ActionPlan:
    effect = Effect(sensor="ready_replicas_count", before=4.0, expected=desired, settles_within_seconds=120.0)
    action = Action(
        kind=ActionKind.SET_REPLICAS, target="shop", current=4.0, desired=desired, effects=(effect,)
    )
    return ActionPlan(
        id=uuid4(),
        target="shop",
        proposer="sizing",
        actions=(action,),
        reason=reason,
        confidence=0.9,
        direction="protective",
    )


def test_the_digest_names_the_change_and_not_the_proposal() -> None:
    assert plan().digest() == plan().digest()
    assert plan(desired=7.0).digest() != plan(desired=6.0).digest()
    assert plan(reason="another").digest() != plan().digest()


def test_the_digest_is_the_one_any_rfc_8785_implementation_computes() -> None:
    # RFC 8785, 3.2.2: the sample object of the specification and its canonical form.
    sample = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '€$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    expected = (
        b'{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        b'"string":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert rfc8785.dumps(sample) == expected
    canonical = (  # the plan's own canonical form, written out by hand
        '{"actions":[{"current":4,"desired":6,"effects":[{"before":4,"expected":6,"sensor":"ready_replicas_count",'
        '"settles_within_seconds":120}],"kind":"set_replicas","target":"shop"}],"confidence":0.9,'
        '"direction":"protective","proposer":"sizing","reason":"demand is rising","target":"shop"}'
    )
    assert plan().digest() == hashlib.sha256(canonical.encode()).hexdigest()


def test_a_plan_without_an_action_is_no_plan() -> None:
    with pytest.raises(ValidationError, match="at least 1 item"):
        ActionPlan.model_validate({**plan().model_dump(), "actions": ()})


def test_every_kind_states_what_is_true_of_it() -> None:
    assert set(ACTION_TRAITS) == set(ActionKind)
    assert all(
        0 < traits.blast_radius <= 0.5 and traits.minimum < traits.maximum
        for traits in ACTION_TRAITS.values()
    )


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_desired_value_is_a_finite_number(value: float) -> None:
    finite = value == value and abs(value) != float("inf")  # noqa: PLR0124 - NaN is the one value unlike itself
    if finite:
        assert plan(desired=value).actions[0].desired == value
    else:
        with pytest.raises(ValidationError):
            plan(desired=value)
