"""What hourly looks for 90 days come to: how often equals replace one another, and how soon the better one is found.

Hourly differences are drawn as of two versions on one series: their spread is that of the mean absolute error of twelve
forecasts whose errors are independent, and neighbouring hours may be alike. The shortcut `worth_looking` is exact: dividing
by the dependence only takes evidence away, so that a look at which the undivided wealth is too small decides nothing.
"""

import numpy as np
import pytest

from maximus_assets.checks.live import DEMOTION_LIMIT, DEMOTION_MARGIN, PROMOTION_LEVEL, Rules
from maximus_assets.checks.sequential import BETS, BOUND, change_evidence, differences, evidence

HOURS = 96
CHALLENGERS = 60
SPREAD = 0.15
FIRST = Rules().minimum_hours


def drawn(runs, hours, *, alike=0.0, mean=0.0, spread=SPREAD, seed=0):
    """Hourly differences, shape (runs, hours); `alike` is the correlation of neighbouring hours."""
    noise = np.random.default_rng(seed).normal(size=(runs, hours + 20))
    for hour in range(1, hours + 20):
        noise[:, hour] = alike * noise[:, hour - 1] + np.sqrt(1 - alike**2) * noise[:, hour]
    return mean + spread * noise[:, 20:]


def worth_looking(found, limit):
    """Run and hour of every look that could decide."""
    gains = np.log1p(-np.clip(found, -BOUND, BOUND)[None] * (BETS / BOUND)[:, None, None])
    wealth = np.logaddexp.reduce(np.cumsum(gains, axis=2)) - np.log(len(BETS))
    return [(run, hour) for run, hour in np.argwhere(wealth >= limit) if hour + 1 >= FIRST]


def decided(found):
    """Run -> hours until it was promoted."""
    limit, when = -np.log(PROMOTION_LEVEL), {}
    for run, hour in worth_looking(found, limit):
        if run not in when and evidence(found[run, : hour + 1]) >= limit:
            when[run] = hour + 1
    return when


@pytest.mark.parametrize(("alike", "most"), [(0.0, 0.01), (0.3, 0.05)])
def test_of_all_the_equals_a_champion_meets_in_ninety_days_hardly_ever_one_replaces_it(alike, most):
    runs = 20_000

    won = decided(drawn(runs, HOURS, alike=alike))

    assert CHALLENGERS * len(won) / runs <= most


@pytest.mark.parametrize(
    ("series", "median_hours", "share"), [(1, 72, 0.75), (4, 48, 0.99)], ids=["one-series", "four-series"]
)
def test_a_champion_whose_error_is_twenty_percent_larger_is_replaced_in_time(series, median_hours, share):
    better = (1.0 - 1.2) / (1.0 + 1.2)
    runs = 400

    when = decided(drawn(runs, HOURS, mean=better, spread=SPREAD / np.sqrt(series)))

    assert len(when) >= share * runs
    assert np.median(list(when.values())) <= median_hours


def test_after_a_drift_eight_clear_hours_are_enough():
    assert np.exp(evidence(np.full(8, -BOUND))) >= 1 / 0.05
    assert np.exp(evidence(np.full(4, -BOUND))) < 1 / 0.05


@pytest.mark.parametrize(
    ("alike", "mean", "most"),
    [(0.0, 0.0, 0.05), (0.3, 0.05, 0.0)],
    ids=["on-the-margin", "as-good"],
)
def test_a_champion_that_holds_against_the_naive_is_hardly_ever_demoted_in_ninety_days(alike, mean, most):
    """On the very margin; and as good as the naive, which is `DEMOTION_MARGIN` better."""
    runs, hours = 100, 90 * 24
    found = drawn(runs, hours, alike=alike, mean=mean)
    wealth = np.zeros((len(BETS), runs))
    demoted = set()
    for hour in range(hours):
        wealth = (1 + wealth) * (1 - (BETS / BOUND)[:, None] * np.clip(found[:, hour], -BOUND, BOUND))
        for run in np.flatnonzero(wealth.mean(axis=0) >= DEMOTION_LIMIT):
            if run not in demoted and change_evidence(
                found[run, max(0, hour + 1 - HOURS) : hour + 1]
            ) >= np.log(DEMOTION_LIMIT):
                demoted.add(run)

    assert len(demoted) / runs <= most


@pytest.mark.parametrize("good_hours", [0, 60])
def test_a_champion_twice_as_bad_as_the_naive_is_told_within_two_days_however_good_it_was(good_hours):
    bad = (1.0 - 2.0 / (1.0 + DEMOTION_MARGIN)) / (1.0 + 2.0 / (1.0 + DEMOTION_MARGIN))
    runs = 100
    before = drawn(runs, good_hours, mean=0.2) if good_hours else np.empty((runs, 0))
    found = np.hstack([before, drawn(runs, 36, mean=bad, seed=1)])

    told = sum(change_evidence(one) >= np.log(DEMOTION_LIMIT) for one in found)

    assert told >= 0.95 * runs
    assert change_evidence(before[0]) < np.log(DEMOTION_LIMIT)


def test_evidence_does_not_depend_on_units_and_is_nothing_without_outcomes():
    rng = np.random.default_rng(0)
    ours, theirs = rng.uniform(1, 2, (24, 3)), rng.uniform(1, 3, (24, 3))

    assert differences(ours, theirs) == pytest.approx(
        differences(ours * [1, 1e6, 1e-6], theirs * [1, 1e6, 1e-6])
    )
    assert differences(np.full((4, 1), np.nan), np.full((4, 1), np.nan)).size == 0
    assert differences(np.zeros((4, 1)), np.zeros((4, 1))).tolist() == [0.0] * 4
    assert evidence(np.empty(0)) == change_evidence(np.empty(0)) == 0.0
