"""What holds of sizing whatever the figures."""

from hypothesis import given
from hypothesis import strategies as st

from maximus_assets.contracts.target import CoreSizing, ReplicaSizing
from maximus_assets.planning.queueing import erlang_c, response_tail, servers_needed
from maximus_assets.planning.sizing import DEAD_BAND, size

rates = st.floats(0, 5_000, allow_nan=False)
seconds = st.floats(0.001, 2.0)
replica_sizings = st.builds(
    ReplicaSizing,
    service_time_ms=st.floats(1, 500),
    slo_p95_ms=st.floats(1, 5_000),
    minimum=st.integers(1, 10),
    maximum=st.integers(10, 200),
)
core_sizings = st.builds(
    CoreSizing, utilization=st.floats(0.05, 1), minimum=st.floats(0.05, 1), maximum=st.floats(1, 256)
)
sizings = replica_sizings | core_sizings


@given(st.integers(1, 300), st.floats(0, 400))
def test_waiting_is_a_probability_that_falls_with_servers(servers, offered):
    fewer, more = erlang_c(servers, offered), erlang_c(servers + 1, offered)
    assert 0.0 <= more <= fewer <= 1.0


@given(rates, seconds, st.integers(1, 200), st.floats(0, 60), st.floats(0, 60))
def test_the_response_tail_is_a_tail(arrivals, service, servers, at, later):
    at, later = sorted((at, later))
    tails = [
        response_tail(t, arrivals_per_second=arrivals, service_seconds=service, servers=servers)
        for t in (at, later)
    ]
    assert -1e-12 <= tails[1] <= tails[0] + 1e-12 <= 1.0 + 1e-9


@given(rates, rates, seconds, seconds)
def test_more_requests_never_need_fewer_servers(one, other, service, limit):
    few, many = (
        servers_needed(arrivals_per_second=rate, service_seconds=service, limit_seconds=limit, maximum=500)
        for rate in sorted((one, other))
    )
    assert many is None or (few is not None and few <= many)


@given(sizings, rates, st.none() | rates, st.floats(0, 300))
def test_a_size_is_within_its_bounds_or_the_bounds_of_nothing(sizing, recent, expected, current):
    assert (
        sizing.minimum
        <= size(sizing, demand_recent=recent, demand_expected=expected, current=current).desired
    )
    assert (
        sizing.maximum
        >= size(sizing, demand_recent=recent, demand_expected=expected, current=current).desired
    )


@given(sizings, rates, rates, st.floats(0, 300))
def test_no_forecast_ever_removes_capacity(sizing, recent, expected, current):
    reactive = size(sizing, demand_recent=recent, demand_expected=None, current=current)
    assert (
        size(sizing, demand_recent=recent, demand_expected=expected, current=current).desired
        >= reactive.desired
    )


@given(sizings, rates, rates, st.floats(0, 300))
def test_more_demand_never_asks_for_less(sizing, one, other, current):
    less, more = (
        size(sizing, demand_recent=rate, demand_expected=None, current=current).desired
        for rate in sorted((one, other))
    )
    assert less <= more


@given(sizings, rates, st.floats(0, 300))
def test_a_second_look_at_the_new_capacity_changes_nothing(sizing, recent, current):
    """What the rule asks for is where it stays: it cannot flap on a constant demand."""
    first = size(sizing, demand_recent=recent, demand_expected=None, current=current)
    second = size(sizing, demand_recent=recent, demand_expected=None, current=first.desired)
    assert second.desired == first.desired


@given(sizings, rates, st.floats(1, 300))
def test_every_way_down_is_worth_it(sizing, recent, current):
    sized = size(sizing, demand_recent=recent, demand_expected=None, current=current)
    if sizing.minimum <= current <= sizing.maximum and sized.desired < current:
        assert current - sized.desired > DEAD_BAND * current
