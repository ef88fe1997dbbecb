import random

from hypothesis import given
from hypothesis import strategies as st

from serving.supervisor.backoff import Backoff


def test_each_failure_waits_about_twice_as_long_up_to_the_maximum():
    backoff = Backoff(random.Random(1), initial_seconds=1.0, maximum_seconds=8.0)
    delays = [backoff.delay_seconds(0.0) for _ in range(6)]
    for delay, ceiling in zip(delays, (1, 2, 4, 8, 8, 8), strict=True):
        assert ceiling / 2 <= delay <= ceiling


def test_a_stable_run_starts_the_delays_over():
    backoff = Backoff(random.Random(1), initial_seconds=1.0, stable_seconds=60.0)
    for _ in range(5):
        backoff.delay_seconds(0.0)
    assert backoff.delay_seconds(59.9) > 4.0
    assert backoff.delay_seconds(60.0) <= 1.0


@given(st.lists(st.floats(min_value=0, max_value=59), max_size=200), st.integers())
def test_no_history_makes_it_wait_longer_than_the_maximum_or_not_at_all(runs, seed):
    backoff = Backoff(random.Random(seed), initial_seconds=0.5, maximum_seconds=30.0)
    for ran_seconds in runs:
        assert 0.25 <= backoff.delay_seconds(ran_seconds) <= 30.0
