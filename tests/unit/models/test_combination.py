"""Shares of a mean of forecasts, and the combination that serves as it was judged."""

import numpy as np
import pytest

from maximus_assets.models.forecasting.backtest import History
from maximus_assets.models.forecasting.combination import LEFT_OUT
from maximus_assets.models.forecasting.evaluate import evaluate
from maximus_assets.models.forecasting.learn import try_all
from maximus_assets.models.forecasting.methods import METHODS
from maximus_assets.models.forecasting.mixing import shares
from maximus_assets.pyfuncs.forecasting import predict
from maximus_assets.pyfuncs.window import SeriesWindow

START = 1_772_409_600
STEP = 3600


def products(*deviations: float, count: int = 4000) -> np.ndarray:
    rng = np.random.default_rng(1)
    errors = np.stack([rng.normal(0.0, each, count) for each in deviations])
    return errors @ errors.T


def test_shares_of_independent_errors_are_inverse_to_their_variance():
    found = shares(products(1.0, 2.0), 4000, np.array([0.5, 0.5]), 1.0)
    assert found == pytest.approx([0.8, 0.2], abs=0.02)
    assert found.sum() == pytest.approx(1.0)


def test_a_forecast_that_only_adds_error_gets_no_share():
    good = np.random.default_rng(2).normal(size=4000)
    errors = np.stack([good, 3.0 * good])
    assert shares(errors @ errors.T, 4000, np.array([0.5, 0.5]), 1.0) == pytest.approx([1.0, 0.0], abs=1e-3)


def test_without_evidence_or_error_shares_are_the_usual_ones():
    usual = np.array([0.3, 0.7])
    assert shares(products(1.0, 9.0), 0.0, usual, 10.0) is usual
    assert shares(np.zeros((2, 2)), 50.0, usual, 10.0) is usual
    assert shares(products(1.0, 1.5), 0.01, usual, 10.0) == pytest.approx(usual, abs=0.05)


def series(days: int) -> np.ndarray:
    at = np.arange(24 * days)
    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.normal(0.0, 0.7, len(at)))
    return 200.0 + 40.0 * np.sin(2 * np.pi * at / 24) + walk + rng.normal(0.0, 3.0, len(at))


def test_what_serves_is_the_mean_that_was_judged():
    """A state's forecast from the live window is the replay's, were it to go on: the same shares of the same parts."""
    values = series(30)
    state = try_all(History(values, START, STEP)).results["combination"].state
    window = SeriesWindow("", "", START + STEP * (len(values) - 1), values[-8 * 24 :])
    (mixed,) = predict({("", ""): state}, [window], 24)
    assert {each.method for each in state.components} <= {each.name for each in METHODS} - LEFT_OUT
    assert state.by_component.sum(axis=0) == pytest.approx(np.ones(24))
    assert np.abs(mixed.mean - values[-24:]).mean() < 15.0


def test_an_evaluation_knows_nothing_of_what_it_judges_before_it_happened():
    values = series(24)
    plain = evaluate(History(values, START, STEP), judged_ratio=0.4)
    begin = int(plain.origins[0])
    assert begin == pytest.approx(0.6 * len(values), abs=1)
    changed = values.copy()
    changed[begin + 30 :] *= 3.0
    other = evaluate(History(changed, START, STEP), judged_ratio=0.4)
    before = plain.origins <= begin + 24
    assert np.array_equal(plain.forecasts[before], other.forecasts[before])
    assert np.array_equal(plain.upper[before], other.upper[before])
    assert plain.forecasts.shape == plain.lower.shape == plain.actuals.shape


def test_an_evaluation_may_look_two_days_ahead():
    values = series(28)
    two_days = evaluate(History(values, START, STEP), judged_ratio=0.25, horizon_steps=48)
    assert two_days.forecasts.shape[1] == 48
    assert np.isfinite(two_days.forecasts).all()
    assert two_days.fit_seconds > 0
