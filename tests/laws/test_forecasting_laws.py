"""What must hold for any series: equivariance, honesty about time, coverage under exchangeability."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maximus_assets.models.forecasting.backtest import History, backtest
from maximus_assets.models.forecasting.base import Forecaster
from maximus_assets.models.forecasting.conformal import bounds, offsets
from maximus_assets.models.forecasting.level_naive import LevelNaive
from maximus_assets.models.forecasting.methods import METHODS
from maximus_assets.models.forecasting.seasonal_naive import SeasonalNaive

START = 1_772_409_600
STEP = 3600


def series(seed: int, days: int = 12) -> np.ndarray:
    rng = np.random.default_rng(seed)
    at = np.arange(days * 24)
    walk = np.cumsum(rng.normal(0.0, 1.0, len(at)))
    values = 100.0 + 20.0 * np.sin(2 * np.pi * at / 24) + walk
    values[rng.random(len(at)) < 0.05] = np.nan
    return values


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    scale=st.sampled_from([0.001, 0.5, 3.0, 1e6]),
    shift=st.floats(-1e3, 1e3),
)
def test_seasonal_naive_moves_with_the_unit_of_its_series(seed: int, scale: float, shift: float):
    values = series(seed)
    plain = backtest(SeasonalNaive(), History(values, START, STEP))
    moved = backtest(SeasonalNaive(), History(scale * values + shift, START, STEP))
    span = scale * 100.0
    assert moved.judging.forecasts == pytest.approx(
        scale * plain.judging.forecasts + shift, abs=1e-9 * span + 1e-9
    )
    assert moved.state.upper == pytest.approx(scale * plain.state.upper, abs=1e-9 * span + 1e-9)
    assert moved.state.lower == pytest.approx(scale * plain.state.lower, abs=1e-9 * span + 1e-9)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize(("scale", "shift"), [(4.0, 0.0), (1.0, 500.0), (0.01, -3.0)])
def test_every_method_moves_with_the_unit_of_its_series(method: Forecaster, scale: float, shift: float):
    if isinstance(method, LevelNaive):
        # A ratio is of a quantity whose zero means nothing is there: its unit may change, its zero may not.
        shift = 0.0
    values = series(7, days=20)
    plain = backtest(method, History(values, START, STEP))
    moved = backtest(method, History(scale * values + shift, START, STEP))
    assert [type(each) for each in moved.state.components] == [type(each) for each in plain.state.components]
    # The likelihood is maximised numerically, so coefficients agree to the optimiser's tolerance only, and where it
    # stops depends on how the processor rounds: single forecasts have been seen 3 % of the spread apart.
    apart = np.abs(moved.judging.forecasts - (scale * plain.judging.forecasts + shift))
    assert apart.max() < 0.05 * scale * np.nanstd(values)
    assert apart.mean() < 0.01 * scale * np.nanstd(values)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_what_comes_later_changes_no_forecast_issued_before_it(method: Forecaster):
    values = series(11, days=20)
    plain = backtest(method, History(values, START, STEP))
    changed_from = plain.parts.judging_start + 50
    changed = values.copy()
    changed[changed_from:] = -1e3
    other = backtest(method, History(changed, START, STEP))
    issued_before = plain.judging.origins <= changed_from
    assert issued_before.sum() > 40
    assert np.array_equal(plain.judging.forecasts[issued_before], other.judging.forecasts[issued_before])
    # Nor do the intervals of that day: they rest on outcomes known when it began.
    assert np.array_equal(plain.lower[issued_before], other.lower[issued_before])
    assert np.array_equal(plain.upper[issued_before], other.upper[issued_before])
    assert not np.array_equal(plain.lower[~issued_before], other.lower[~issued_before])


@pytest.mark.parametrize("draw", ["normal", "exponential", "student"])
@pytest.mark.parametrize("count", [19, 60, 199])
def test_intervals_hold_exchangeable_errors_as_often_as_they_claim(draw: str, count: int):
    rng = np.random.default_rng(count)
    sampler = {
        "normal": lambda size: rng.normal(size=size),
        "exponential": lambda size: rng.exponential(size=size) - 0.7,
        "student": lambda size: rng.standard_t(2, size=size),
    }[draw]
    rounds = 4000
    held = 0
    for _ in range(rounds):
        sample = sampler(count + 1)
        found = bounds(sample[:-1])
        assert found is not None
        held += found[0] <= sample[-1] <= found[1]
    # The rank guarantees at least 90 % and, without ties, at most 2 / (count + 1) more; four standard errors of slack.
    slack = 4.0 * np.sqrt(0.9 * 0.1 / rounds)
    assert 0.9 - slack <= held / rounds <= 0.9 + 2.0 / (count + 1) + slack


@settings(max_examples=60, deadline=None)
@given(
    errors=st.lists(st.floats(-1e15, 1e15), max_size=60),
    horizon=st.sampled_from([1, 2, 24, 288]),
    step=st.sampled_from([300, 3600, 86_400]),
)
def test_offsets_are_finite_and_enclose_the_mean_whatever_the_errors(
    errors: list[float], horizon: int, step: int
):
    rows = np.full((max(1, len(errors) // horizon + 1), horizon), np.nan)
    rows.flat[: len(errors)] = errors
    lower, upper = offsets(rows, step)
    assert lower.shape == upper.shape == (horizon,)
    assert np.isfinite(lower).all()
    assert np.isfinite(upper).all()
    assert (lower <= 0).all()
    assert (upper >= 0).all()
