"""The queue model against closed forms, published values and itself."""

import math

import pytest

from maximus_assets.planning.queueing import (
    erlang_c,
    response_p95_seconds,
    response_tail,
    servers_needed,
    service_p95_seconds,
)


def test_one_server_waits_with_the_probability_that_it_is_busy():
    assert erlang_c(1, 0.37) == pytest.approx(0.37, rel=1e-12)


def test_two_servers_agree_with_the_closed_form():
    """For c = 2, C = a^2 / (2 + a)."""
    assert erlang_c(2, 1.2) == pytest.approx(1.2**2 / (2 + 1.2), rel=1e-12)


def test_many_servers_agree_with_the_textbook_sum_in_exact_arithmetic():
    from fractions import Fraction

    servers, offered = 60, Fraction(52)
    terms = [offered**k / math.factorial(k) for k in range(servers + 1)]
    last = terms[servers] * servers / (servers - offered)
    assert erlang_c(servers, 52.0) == pytest.approx(float(last / (sum(terms[:servers]) + last)), rel=1e-12)


def test_a_thousand_servers_neither_overflow_nor_vanish():
    assert 0.0 < erlang_c(1000, 990.0) < 1.0


def test_an_overloaded_queue_makes_everybody_wait_and_has_no_percentile():
    assert erlang_c(3, 3.0) == 1.0
    assert response_p95_seconds(arrivals_per_second=60, service_seconds=0.05, servers=3) is None
    assert response_tail(10.0, arrivals_per_second=60, service_seconds=0.05, servers=3) == 1.0


@pytest.mark.parametrize("arrivals", [0.0, 1.0, 10.0, 19.9, 19.999])
def test_one_server_responds_as_the_closed_form_says(arrivals):
    """M/M/1: the response is exponential with rate mu - lambda."""
    p95 = response_p95_seconds(arrivals_per_second=arrivals, service_seconds=0.05, servers=1)
    assert p95 == pytest.approx(-math.log(0.05) / (20.0 - arrivals), rel=1e-7)


def test_the_tail_is_right_where_its_two_rates_meet():
    """c mu - lambda = mu: the response is a mixture whose tail is exp(-mu t) (1 + C mu t)."""
    servers, service, at = 4, 0.1, 0.23
    arrivals = (servers - 1) / service
    waiting = erlang_c(servers, servers - 1.0)
    expected = math.exp(-at / service) * (1 + waiting * at / service)
    exact = response_tail(at, arrivals_per_second=arrivals, service_seconds=service, servers=servers)
    near = response_tail(
        at, arrivals_per_second=arrivals * (1 + 1e-9), service_seconds=service, servers=servers
    )
    assert exact == pytest.approx(expected, rel=1e-12)
    assert near == pytest.approx(expected, rel=1e-7)


def test_the_tail_integrates_to_the_mean_response():
    """Mean = service + C / (c mu - lambda) (Erlang C): a check of the whole distribution at once."""
    servers, service, arrivals, step = 5, 0.2, 21.0, 0.001
    mean = (
        sum(
            response_tail(
                (k + 0.5) * step, arrivals_per_second=arrivals, service_seconds=service, servers=servers
            )
            for k in range(20_000)
        )
        * step
    )
    waiting = erlang_c(servers, arrivals * service)
    assert mean == pytest.approx(service + waiting / (servers / service - arrivals), rel=1e-5)


def test_an_idle_queue_responds_like_the_service_alone():
    assert response_p95_seconds(arrivals_per_second=0, service_seconds=0.05, servers=3) == pytest.approx(
        service_p95_seconds(0.05), rel=1e-8
    )


def test_the_servers_needed_are_enough_and_one_fewer_is_not():
    for arrivals in (1.0, 17.0, 100.0, 431.0, 900.0):
        servers = servers_needed(
            arrivals_per_second=arrivals, service_seconds=0.05, limit_seconds=0.25, maximum=100
        )
        assert servers is not None
        p95 = response_p95_seconds(arrivals_per_second=arrivals, service_seconds=0.05, servers=servers)
        fewer = (
            response_p95_seconds(arrivals_per_second=arrivals, service_seconds=0.05, servers=servers - 1)
            if servers > 1
            else None
        )
        assert p95 is not None
        assert p95 <= 0.25
        assert fewer is None or fewer > 0.25


def test_no_number_of_servers_beats_the_service_itself():
    assert (
        servers_needed(arrivals_per_second=1, service_seconds=0.1, limit_seconds=0.29, maximum=1000) is None
    )


def test_more_demand_than_the_maximum_can_carry_has_no_answer():
    assert servers_needed(arrivals_per_second=2000, service_seconds=0.05, limit_seconds=1, maximum=60) is None
