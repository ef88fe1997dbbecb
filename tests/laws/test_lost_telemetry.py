"""What holds while telemetry is lost, whatever else is seen."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from maximus_assets.contracts.prediction import Forecast, ForecastPoint
from maximus_assets.contracts.situation import Reading, TelemetryState
from maximus_assets.contracts.target import CoreSizing, ReplicaSizing, Target
from serving.analyze import RECOVERY_TURNS, analyze, judge_telemetry
from serving.loop.gates import judge
from serving.plan import capacity_sensor, plan

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
REPLICAS = ("request_rate_per_second", ReplicaSizing(minimum=1, maximum=60))
CORES = ("cpu_used_cores", CoreSizing(minimum=0.5, maximum=64))

amounts = st.floats(0, 500, allow_nan=False)
kinds = st.sampled_from([REPLICAS, CORES])


@st.composite
def fleets(draw):
    """Targets, what is read of each, and which source reads it."""
    count = draw(st.integers(1, 9))
    targets, readings, owners = [], {}, {}
    for number in range(count):
        demand, sizing = draw(kinds)
        name = f"target-{number}"
        targets.append(Target(name=name, source="simulated", demand_sensor=demand, sizing=sizing))
        is_seen = draw(st.booleans() | st.just(True))
        capacity = capacity_sensor(sizing)
        readings[name] = {
            demand: Reading(
                sensor=demand,
                value=draw(amounts) if is_seen else None,
                observed_at=NOON,
                is_fresh=is_seen,
                is_frozen=not is_seen and draw(st.booleans()),
                must_fail_safe=not is_seen,
            ),
            capacity: Reading(
                sensor=capacity, value=float(draw(st.integers(1, 90))), observed_at=NOON, is_fresh=True
            ),
        }
        owners[name] = draw(st.sampled_from(["one", "two", "three"]))
    return targets, readings, owners


def expected(target, draw):
    """A forecast, or none."""
    upper = draw(st.none() | amounts)
    points = (
        ()
        if upper is None
        else tuple(
            ForecastPoint(at=NOON + timedelta(seconds=300 * k), mean=upper / 2, lower=0, upper=upper)
            for k in range(3)
        )
    )
    return Forecast(
        target=target.name,
        sensor=target.demand_sensor,
        issued_at=NOON - timedelta(seconds=300),
        status="ok" if points else "cold",
        points=points,
    )


states = st.builds(
    TelemetryState, is_lost=st.booleans(), reason=st.just("x"), good_turns=st.integers(0, RECOVERY_TURNS - 1)
)


@settings(deadline=None)
@given(st.data(), fleets(), states)
def test_no_plan_lowers_any_capacity_while_telemetry_is_lost(data, fleet, before):
    targets, readings, owners = fleet
    state = judge_telemetry(before, targets, readings, owners)
    for target in targets:
        seen = analyze(target, readings[target.name], expected(target, data.draw), NOON, state)
        planned = plan(
            target,
            seen,
            demand_recent=data.draw(st.none() | amounts),
            period_seconds=15,
            standing=None,
            new_id=uuid4,
        )
        if planned.plan is None:
            continue
        action = planned.plan.actions[0]
        if state.is_lost or seen.telemetry_lost:
            assert action.desired > action.current
        verdicts = {v.name: v for v in judge(planned.plan, target, freeze_reason=state.reason)}
        assert verdicts["nothing_is_taken_blindly"].passed


@given(fleets(), states)
def test_it_is_lost_exactly_when_a_third_is_blind_or_a_whole_source_or_it_was_a_moment_ago(fleet, before):
    targets, readings, owners = fleet
    blind = {t.name for t in targets if readings[t.name][t.demand_sensor].value is None}
    sources = {source: {n for n in owners if owners[n] == source} for source in owners.values()}
    is_bad = len(blind) / len(targets) >= 1 / 3 or any(names <= blind for names in sources.values())
    is_watched = before.is_lost and before.good_turns + 1 < RECOVERY_TURNS
    state = judge_telemetry(before, targets, readings, owners)
    assert state.is_lost == (is_bad or is_watched)
    assert bool(state.reason) == state.is_lost
    assert state.blind_targets == len(blind)


@given(fleets(), states)
def test_the_reason_holds_no_figures_so_that_an_unchanged_loss_is_one_record(fleet, before):
    state = judge_telemetry(before, *fleet)
    assert not any(character.isdigit() for character in state.reason)
