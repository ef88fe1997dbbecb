"""The figures against ones worked out by hand, and the plain methods on series whose future is known."""

import numpy as np
import pytest

from benchmarks.demand import m4
from benchmarks.demand.baselines import Hours, persistence, ridge, seasonal_naive
from benchmarks.demand.figures import coverage, errors, pooled_mae, ratio
from benchmarks.demand.judge import to_hours

NAN = np.nan


def test_errors_are_of_what_can_be_compared():
    found = errors(np.array([1.0, 3.0, NAN, 5.0]), np.array([2.0, 3.0, 9.0, 3.0]))
    # Residuals -1, 0, 2 around actuals 1, 3, 5 whose mean is 3: R² = 1 - 5 / 8.
    assert found == pytest.approx({"n": 3, "r2": 0.375, "mae": 1.0, "mse": 5 / 3})


def test_a_constant_series_has_no_r2_and_an_absent_one_no_figure():
    assert errors(np.full(3, 2.0), np.full(3, 3.0))["r2"] is None
    assert errors(np.full(3, NAN), np.zeros(3)) == {"n": 0, "r2": None, "mae": None, "mse": None}


def test_horizons_are_pooled_by_how_many_hours_each_compares():
    assert (
        pooled_mae({"1h": {"n": 3, "mae": 2.0}, "24h": {"n": 1, "mae": 6.0}, "6h": {"n": 0, "mae": None}})
        == 3.0
    )


def test_a_ratio_to_no_error_is_one_only_for_no_error():
    assert (ratio(0.0, 0.0), ratio(1.0, 0.0), ratio(1.0, 4.0), ratio(None, 1.0)) == (1.0, None, 0.25, None)


def test_coverage_of_independent_outcomes_has_about_as_many_effective_ones():
    rng = np.random.default_rng(1)
    inside = (rng.random((2000, 1)) < 0.9).astype(float)
    found = coverage(inside)
    error = np.sqrt(0.9 * 0.1 / 2000)
    assert found.share == inside.mean()
    assert found.high - found.low == pytest.approx(2 * 2.576 * error, rel=0.25)
    assert found.effective == pytest.approx(2000, rel=0.35)


def test_outcomes_that_come_in_clumps_count_for_few_and_widen_the_interval():
    rng = np.random.default_rng(1)
    days = np.repeat(rng.random(80) < 0.9, 24)[:, None].astype(float)
    found = coverage(np.repeat(days, 12, axis=1))
    assert found.bins == 80 * 24 * 12
    assert found.effective == pytest.approx(80, rel=0.5)
    assert found.high - found.low > 0.1


def test_missing_outcomes_count_for_nothing():
    found = coverage(np.array([[1.0, NAN], [0.0, 1.0], [NAN, NAN], [1.0, 1.0]]))
    assert (found.share, found.bins) == (0.8, 5)
    assert coverage(np.full((4, 2), NAN)) is None


def test_the_same_seed_gives_the_same_interval():
    inside = (np.random.default_rng(2).random((300, 3)) < 0.8).astype(float)
    assert coverage(inside) == coverage(inside)


def test_hours_are_aligned_to_the_first_origin():
    hours = to_hours(np.arange(100.0), 25, 3, 12)
    assert hours.first == 2
    assert hours.values[:2].tolist() == [np.arange(1, 13).mean(), np.arange(13, 25).mean()]
    assert hours.values[2] == np.arange(25, 37).mean()


def test_persistence_says_the_last_known_hour_and_seasonal_naive_the_same_hour_yesterday():
    daily = np.tile(np.arange(24.0), 20)
    hours = Hours(daily, 240)
    assert persistence(hours, 3)[6].tolist() == [23.0, 0.0, 1.0]
    season, ahead = seasonal_naive(hours, 48)
    assert season == 24
    for horizon, forecasts in ahead.items():
        np.testing.assert_array_equal(forecasts, daily[240 + horizon - 1 : 240 + horizon - 1 + 48])


def test_seasonal_naive_looks_back_a_week_where_days_differ():
    week = np.random.default_rng(3).random(168)
    season, ahead = seasonal_naive(Hours(np.tile(week, 6), 672), 100)
    assert season == 168
    np.testing.assert_allclose(ahead[24], np.tile(week, 6)[672 + 23 : 672 + 123])


@pytest.mark.parametrize("method", [ridge, persistence, lambda hours, count: seasonal_naive(hours, count)[1]])
def test_no_plain_method_sees_what_comes_at_or_after_its_origin(method):
    rng = np.random.default_rng(4)
    values = np.sin(np.arange(500) / 24 * 2 * np.pi) + rng.normal(0, 0.2, 500)
    changed = values.copy()
    changed[330:] += 100.0
    for horizon, forecasts in method(Hours(values, 300), 100).items():
        other = method(Hours(changed, 300), 100)[horizon]
        np.testing.assert_array_equal(forecasts[:31], other[:31])
        assert (forecasts[32:] != other[32:]).any()


def test_the_ridge_learns_an_autoregression_that_the_others_miss():
    rng = np.random.default_rng(5)
    values = np.zeros(900)
    for i in range(2, 900):
        values[i] = 1.6 * values[i - 1] - 0.9 * values[i - 2] + rng.normal()
    hours = Hours(values, 600)
    actual = values[600:800]
    scores = {
        name: errors(actual, ahead[1])["mse"]
        for name, ahead in (("ridge", ridge(hours, 200)), ("last", persistence(hours, 200)))
    }
    assert scores["ridge"] < 1.3
    assert scores["last"] > 2.0


def test_holes_in_the_past_are_filled_from_the_past():
    values = np.tile(np.arange(24.0), 3)
    values[50] = NAN
    values[0] = NAN
    assert Hours(values, 60).filled[50] == 2.0
    assert np.isfinite(Hours(values, 60).filled).all()


def test_the_competitions_errors_are_its_own_definitions():
    training = np.concatenate([np.zeros(24), np.full(24, 2.0)])
    assert m4.mase(np.array([1.0, 2.0]), np.array([2.0, 4.0]), training) == 1.5 / 2.0
    assert m4.mase(np.ones(2), np.ones(2), np.ones(48)) is None
    assert m4.smape(np.array([1.0, 0.0]), np.array([3.0, 0.0])) == pytest.approx((200 * 2 / 4 + 0) / 2)
    assert m4.repeated(np.arange(30.0)).tolist() == [*np.arange(6.0, 30.0), *np.arange(6.0, 30.0)]
