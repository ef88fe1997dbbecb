"""The queue agrees with what is known of M/M/c."""

import numpy as np
import pytest

from maximus_assets.plant.queueing import PATIENCE_SECONDS, response_tail, steady_state, waiting_probability


def test_one_server_waits_as_often_as_it_is_busy():
    busy = np.array([0.0, 0.3, 0.9])
    assert waiting_probability(1, busy) == pytest.approx(busy)


def test_erlang_c_matches_a_published_value():
    # Two servers, one erlang: C = 1/3 (worked in any textbook).
    assert waiting_probability(2, np.array([0.5]))[0] == pytest.approx(1 / 3)


def test_the_response_of_one_server_is_exponential():
    time = np.array([0.5, 2.0, 7.0])
    assert response_tail(1, np.full(3, 0.6), time) == pytest.approx(np.exp(-0.4 * time))


def test_the_tail_is_smooth_where_wait_and_service_have_one_rate():
    near = response_tail(4, np.array([0.75 - 1e-5, 0.75, 0.75 + 1e-5]), np.full(3, 3.0))
    assert near[1] == pytest.approx((near[0] + near[2]) / 2, rel=1e-4)


def test_an_idle_service_answers_in_three_service_times():
    state = steady_state(12, 0.05, np.array([0.0]))
    assert state.p95_ms[0] == pytest.approx(50 * np.log(20), rel=1e-6)
    assert state.waiting[0] == 0.0


def test_the_95th_percentile_leaves_five_percent():
    utilization = np.array([0.2, 0.7, 0.93, 0.99])
    state = steady_state(6, 1e-6, utilization)
    assert response_tail(6, utilization, state.p95_ms / 1000 / 1e-6) == pytest.approx(
        np.full(4, 0.05), rel=5e-3
    )


def test_littles_law_holds_for_the_wait():
    # Mean wait of M/M/c is C / (c - a) service times; the queue is the arrival rate times that.
    utilization = np.array([0.5, 0.8, 0.95])
    wait = waiting_probability(5, utilization) / (5 * (1 - utilization))
    assert steady_state(5, 1e-6, utilization).waiting == pytest.approx(5 * utilization * wait, rel=5e-3)


def test_an_overloaded_service_fails_what_it_cannot_serve_and_keeps_nobody_longer_than_he_waits():
    state = steady_state(12, 0.05, np.array([0.99, 1.25, 4.0]))
    assert state.failed_ratio == pytest.approx([0.0, 0.2, 0.75])
    assert state.p95_ms.max() == PATIENCE_SECONDS * 1000
    assert state.waiting.max() == pytest.approx(12 / 0.05 * PATIENCE_SECONDS)
