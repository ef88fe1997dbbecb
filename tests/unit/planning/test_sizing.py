"""What capacity is asked for, and in which words."""

import re
import time

import pytest

from maximus_assets.contracts.target import CoreSizing, ReplicaSizing
from maximus_assets.planning.queueing import response_p95_seconds
from maximus_assets.planning.sizing import REPLICA_HEADROOM, size

SHOP = ReplicaSizing(service_time_ms=50, slo_p95_ms=250, minimum=2, maximum=60)


def test_replicas_keep_the_objective_at_the_demand_with_head_room_and_one_fewer_does_not():
    sized = size(SHOP, demand_recent=300.0, demand_expected=None, current=1)
    enough, fewer = (
        response_p95_seconds(
            arrivals_per_second=300.0 * REPLICA_HEADROOM,
            service_seconds=0.05,
            servers=int(sized.desired) - less,
        )
        for less in (0, 1)
    )
    assert enough is not None
    assert enough <= 0.25
    assert fewer is None or fewer > 0.25


def test_a_forecast_adds_capacity():
    reactive = size(SHOP, demand_recent=100, demand_expected=None, current=10)
    ahead = size(SHOP, demand_recent=100, demand_expected=400, current=10)
    assert ahead.desired > reactive.desired
    assert ahead.basis == "forecast"
    assert ahead.demand == 400


def test_a_forecast_never_takes_capacity_away():
    reactive = size(SHOP, demand_recent=400, demand_expected=None, current=60)
    hopeful = size(SHOP, demand_recent=400, demand_expected=1, current=60)
    assert hopeful.desired == reactive.desired
    assert hopeful.basis == "reactive"


def test_a_forecast_that_asks_for_nothing_more_decides_nothing():
    sized = size(SHOP, demand_recent=100, demand_expected=100.5, current=10)
    assert sized.desired == size(SHOP, demand_recent=100, demand_expected=None, current=10).desired
    assert (sized.basis, sized.demand) == ("reactive", 100)


def test_a_small_way_down_is_not_worth_a_change():
    needed = size(SHOP, demand_recent=500, demand_expected=None, current=1).desired
    held = size(SHOP, demand_recent=500, demand_expected=None, current=needed + 1)
    freed = size(SHOP, demand_recent=500, demand_expected=None, current=needed * 1.5)
    assert held.desired == needed + 1
    assert held.is_held
    assert "not by enough to be worth a change" in held.reason
    assert freed.desired == needed


def test_the_dead_band_ends_at_exactly_a_tenth():
    cores = CoreSizing(utilization=0.5, minimum=0.5, maximum=64)
    assert size(cores, demand_recent=4.5, demand_expected=None, current=10.0).desired == 10.0
    assert size(cores, demand_recent=4.4, demand_expected=None, current=10.0).desired == pytest.approx(8.8)


def test_any_way_up_is_taken():
    needed = size(SHOP, demand_recent=500, demand_expected=None, current=1).desired
    assert size(SHOP, demand_recent=500, demand_expected=None, current=needed - 1).desired == needed


def test_bounds_hold_and_are_named():
    least = size(SHOP, demand_recent=0, demand_expected=None, current=12)
    most = size(SHOP, demand_recent=1e6, demand_expected=None, current=12)
    assert (least.desired, least.bound) == (2, "minimum")
    assert (most.desired, most.bound) == (60, "maximum")
    assert most.modelled_p95_ms is None
    assert most.utilization > 1


def test_a_capacity_outside_the_bounds_is_never_held():
    cores = CoreSizing(minimum=1.0, maximum=4.0, utilization=0.7)
    assert size(cores, demand_recent=3.0, demand_expected=None, current=4.2).desired == 4.0


def test_cores_are_busy_to_the_share_planned_for():
    sized = size(CoreSizing(utilization=0.7), demand_recent=1.4, demand_expected=None, current=1.0)
    assert (sized.desired, sized.unit, sized.modelled_p95_ms) == (2.0, "cores", None)
    assert sized.utilization == pytest.approx(0.7)


def test_an_objective_below_the_service_itself_is_said_and_still_sized():
    hopeless = ReplicaSizing(service_time_ms=100, slo_p95_ms=200, minimum=1, maximum=60)
    sized = size(hopeless, demand_recent=50, demand_expected=None, current=10)
    assert "no capacity can meet it" in sized.reason
    assert 5 < sized.desired < 60


def test_reasons_hold_no_figures_so_that_the_same_reason_reads_the_same():
    for demand in (0, 3, 100, 431.7, 1e6):
        for expected in (None, 0.0, 900.0):
            assert not re.search(
                r"\d", size(SHOP, demand_recent=demand, demand_expected=expected, current=12).reason
            )


@pytest.mark.parametrize(
    "figures",
    [
        {"demand_recent": float("nan"), "demand_expected": None, "current": 1},
        {"demand_recent": 1, "demand_expected": float("inf"), "current": 1},
        {"demand_recent": -1, "demand_expected": None, "current": 1},
    ],
)
def test_a_figure_that_is_no_demand_is_refused(figures):
    with pytest.raises(ValueError, match="finite"):
        size(SHOP, **figures)


def test_a_thousand_targets_are_sized_within_a_tenth_of_a_second():
    """A generous bound on work, not a benchmark: measured 25 ms."""
    started = time.process_time()
    for k in range(1000):
        size(SHOP, demand_recent=float(k), demand_expected=k * 1.2, current=20)
    assert time.process_time() - started < 0.1
