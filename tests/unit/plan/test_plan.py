"""From a situation to at most one safe plan, or to the reason why there is none."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from maximus_assets.contracts.action import ActionKind
from maximus_assets.contracts.prediction import Forecast, ForecastPoint
from maximus_assets.contracts.situation import Reading
from maximus_assets.contracts.target import CoreSizing, ReplicaSizing, Target
from serving.analyze import analyze
from serving.plan import expected_demand, plan

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SHOP = Target(
    name="shop",
    source="simulated",
    demand_sensor="request_rate_per_second",
    sizing=ReplicaSizing(service_time_ms=50, slo_p95_ms=250, minimum=2, maximum=60, startup_seconds=120),
)
HOST = Target(name="host", source="host", demand_sensor="cpu_used_cores", sizing=CoreSizing())


def reading(sensor, value, *, must_fail_safe=False):
    return Reading(
        sensor=sensor,
        value=value,
        observed_at=NOON,
        is_fresh=value is not None,
        must_fail_safe=must_fail_safe,
    )


def forecast(*uppers, status="ok", first=NOON, target=SHOP):
    points = tuple(
        ForecastPoint(at=first + timedelta(seconds=300 * k), mean=upper / 2, lower=0, upper=upper)
        for k, upper in enumerate(uppers)
    )
    return Forecast(
        target=target.name,
        sensor=target.demand_sensor,
        issued_at=first - timedelta(seconds=300),
        status=status if points or status != "ok" else "cold",
        model_version="3" if points else "",
        points=points,
    )


def situation(replicas=12.0, rate=100.0, expected=None):
    readings = {
        "request_rate_per_second": reading("request_rate_per_second", rate, must_fail_safe=rate is None),
        "ready_replicas_count": reading("ready_replicas_count", replicas, must_fail_safe=replicas is None),
        "replica_cpu_used_ratio": reading("replica_cpu_used_ratio", 0.4),
    }
    return analyze(SHOP, readings, expected or forecast(), NOON)


def decide(seen, *, recent, standing=None, target=SHOP):
    return plan(target, seen, demand_recent=recent, period_seconds=15, standing=standing, new_id=uuid4)


def test_more_demand_makes_a_protective_plan_with_declared_effects():
    planned = decide(situation(replicas=12), recent=400.0)
    action = planned.plan.actions[0]
    assert planned.plan.direction == "protective"
    assert (action.kind, action.current) == (ActionKind.SET_REPLICAS, 12)
    assert action.desired > 20
    assert action.effects[0].sensor == "ready_replicas_count"
    assert action.effects[0].expected == action.desired
    assert action.effects[0].settles_within_seconds == 120
    assert planned.stands is planned.plan


def test_one_saving_step_takes_away_no_more_than_the_blast_radius():
    planned = decide(situation(replicas=12), recent=20.0)
    assert planned.plan.direction == "saving"
    assert planned.plan.actions[0].desired == 9
    assert "blast radius" in planned.reason


def test_a_step_smaller_than_one_replica_is_no_step():
    planned = decide(situation(replicas=3), recent=1.0)
    assert planned.plan is None
    assert "smallest step takes away more than one action may" in planned.reason


@pytest.mark.parametrize("recent", [20.0, None])
def test_nothing_is_taken_away_while_telemetry_is_lost(recent):
    planned = decide(situation(rate=None, expected=forecast(20.0)), recent=recent)
    assert planned.plan is None
    assert "nothing is taken away while telemetry is lost" in planned.reason


def test_capacity_is_still_added_while_telemetry_is_lost():
    planned = decide(situation(rate=None, expected=forecast(500.0)), recent=None)
    assert planned.plan.direction == "protective"


def test_without_the_present_capacity_nothing_is_proposed():
    planned = decide(situation(replicas=None), recent=400.0)
    assert planned.plan is None
    assert planned.reason.startswith("the present capacity is not known")


def test_without_demand_and_forecast_nothing_is_proposed():
    planned = decide(situation(rate=None), recent=None)
    assert planned.reason.startswith("neither demand nor forecast is known")


def test_a_forecast_adds_and_its_confidence_is_its_coverage():
    reactive = decide(situation(), recent=150.0)
    ahead = decide(situation(expected=forecast(400.0)), recent=150.0)
    assert reactive.plan is None or reactive.plan.direction == "saving"
    assert ahead.plan.direction == "protective"
    assert ahead.reason.startswith("more capacity is needed; the expected demand")
    assert (reactive.confidence, ahead.confidence) == (0.5, 0.9)


def test_the_forecast_counts_from_now_until_a_change_has_taken_effect_and_no_further():
    """The lead is start-up 120 s + period 15 s + 30 s: bins that overlap the next 165 s count, later ones do not."""
    seen = situation()
    early = forecast(900.0, 10.0, 20.0, 30.0, first=NOON - timedelta(seconds=310))
    assert expected_demand(early, seen, lead_seconds=165) == 10.0
    assert expected_demand(early, seen, lead_seconds=300) == 20.0
    assert expected_demand(forecast(), seen, lead_seconds=165) is None
    stale = forecast(900.0, first=NOON - timedelta(hours=2))
    assert expected_demand(stale, seen, lead_seconds=165) is None


@pytest.mark.parametrize("status", ["cold", "unknown_series", "no_champion"])
def test_what_a_forecast_could_not_add_is_said(status):
    planned = decide(situation(expected=forecast(status=status)), recent=150.0)
    assert "reactive only" in planned.reason
    assert planned.figures["forecast_status"] == status


def test_a_proposal_that_stands_is_not_made_again():
    first = decide(situation(), recent=20.0)
    again = decide(situation(), recent=20.5, standing=first.plan)
    assert again.plan is None
    assert again.stands is first.plan
    assert "still stands" in again.reason


@pytest.mark.parametrize(("recent", "direction"), [(180.0, None), (400.0, "protective")])
def test_a_proposal_that_no_longer_holds_is_taken_back(recent, direction):
    first = decide(situation(), recent=20.0)
    then = decide(situation(), recent=recent, standing=first.plan)
    assert then.stands is then.plan
    assert (then.plan.direction if then.plan else None) == direction


def test_a_saving_proposal_that_went_too_far_is_corrected_at_once():
    """A standing 12 -> 9 must not hide that 10 are needed by now."""
    first = decide(situation(), recent=20.0)
    then = decide(situation(), recent=155.0, standing=first.plan)
    assert first.plan.actions[0].desired == 9
    assert then.plan.actions[0].desired == 10


def test_a_standing_proposal_from_another_capacity_is_void():
    first = decide(situation(replicas=12), recent=20.0)
    then = decide(situation(replicas=11), recent=20.0, standing=first.plan)
    assert then.plan is not None


def test_reasons_read_the_same_while_the_figures_move():
    reasons = {decide(situation(), recent=recent, standing=None).reason for recent in (178.0, 179.0, 180.5)}
    assert len(reasons) == 1
    assert not re.search(r"\d", reasons.pop())


def test_cores_are_planned_in_their_own_kind_and_unit():
    readings = {
        "cpu_used_cores": reading("cpu_used_cores", 1.9),
        "cpu_limit_cores": reading("cpu_limit_cores", 2.0),
        "cpu_used_ratio": reading("cpu_used_ratio", 0.95),
    }
    seen = analyze(HOST, readings, forecast(target=HOST), NOON)
    planned = decide(seen, recent=1.9, target=HOST)
    action = planned.plan.actions[0]
    assert (action.kind, action.desired) == (ActionKind.SET_CPU_LIMIT, 2.8)
    assert [effect.sensor for effect in action.effects] == ["cpu_limit_cores", "cpu_used_ratio"]
    assert isinstance(planned.plan.id, UUID)


def test_a_forecast_that_is_over_adds_nothing_and_is_said_to_be_over():
    spent = forecast(900.0, first=NOON - timedelta(hours=2))
    planned = decide(situation(expected=spent), recent=150.0)
    assert planned.figures["demand_expected"] is None
    assert "reactive only, for the last forecast is over" in planned.reason
    assert planned.confidence == 0.5


def test_a_cold_forecast_says_itself_what_it_lacks():
    cold = forecast().model_copy(update={"reason": "the first forecast is still being computed"})
    assert decide(situation(expected=cold), recent=100.0).reason.endswith(
        "reactive only, for the first forecast is still being computed"
    )


def test_a_standing_change_is_named():
    first = decide(situation(replicas=12), recent=20.0)
    again = decide(situation(replicas=12), recent=20.0, standing=first.stands)
    assert again.plan is None
    assert again.figures["standing_change"] == "set_replicas 12 -> 9"
