"""The arithmetic of exponential smoothing: the textbook's recursion, and what it does without observations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.pyfuncs.components import Smoothing
from maximus_assets.pyfuncs.smoothing import extend, forecast, memory_steps, smooth

DAY = 24


def textbook(values: np.ndarray, gains: tuple[float, ...], start: float) -> tuple[float, float]:
    alpha, beta, phi, drift = gains
    level, trend = start, drift
    for value in values:
        expected = level + phi * trend
        error = 0.0 if np.isnan(value) else value - expected
        level, trend = expected + alpha * error, phi * trend + beta * error
    return level, trend


@settings(deadline=None, max_examples=40)
@given(
    alpha=st.floats(0.05, 1.0),
    beta=st.floats(-0.2, 0.2),
    phi=st.floats(0.0, 1.0),
    drift=st.floats(-1.0, 1.0),
    seed=st.integers(0, 1000),
)
def test_the_loop_is_the_textbooks_recursion(alpha: float, beta: float, phi: float, drift: float, seed: int):
    rng = np.random.default_rng(seed)
    values = rng.normal(50.0, 5.0, 60)
    values[rng.random(60) < 0.3] = np.nan
    values[0] = 40.0
    gains = (alpha, beta, phi, drift)
    found = smooth(values[:, None], np.array(gains)[:, None], day_steps=DAY)
    level, trend = textbook(values, gains, float(np.nanmean(values[:DAY])))
    assert found.level[-1, 0] == pytest.approx(level)
    assert found.trend[-1, 0] == pytest.approx(trend)
    ahead = extend(found.level[-1], found.trend[-1], np.array([phi]), 3)[0]
    assert ahead[2] == pytest.approx(level + (phi + phi**2 + phi**3) * trend)


def test_missing_bins_change_nothing_without_a_trend():
    values = np.concatenate([np.random.default_rng(1).normal(10.0, 1.0, 50), np.full(30, np.nan)])
    found = smooth(values[:, None], np.array([[0.3], [0.0], [1.0], [0.0]]), day_steps=DAY)
    assert (found.level[50:] == found.level[49]).all()


def test_an_outage_longer_than_the_loop_keeps_the_level_before_it():
    length = memory_steps(DAY) + 40
    values = np.full((length, 1), np.nan)
    values[:40] = 7.0
    found = smooth(values, np.array([[0.3], [0.0], [1.0], [0.0]]), day_steps=DAY)
    assert found.level[-1, 0] == pytest.approx(7.0)


def test_a_series_first_seen_among_what_is_forecast_is_not_known_before():
    values = np.full((80, 2), np.nan)
    values[:, 0] = 5.0
    values[60:, 1] = 900.0
    gains = np.tile(np.array([[0.3], [0.0], [1.0], [0.0]]), 2)
    found = smooth(values, gains, day_steps=DAY, known_steps=50)
    assert (found.level[:60, 1] == 0.0).all()
    assert found.level[60:, 1] == pytest.approx(900.0)
    assert found.level[:, 0] == pytest.approx(5.0)


def component(gains: tuple[float, ...], season: np.ndarray) -> Smoothing:
    return Smoothing("ets", 3600, DAY, 48, np.array(gains), np.zeros(1), season)


def test_a_forecast_repeats_the_season_from_the_epoch_on():
    season = np.arange(24.0) - 11.5
    end = 3600 * (24 * 100 + 6)
    values = 100.0 + season[(24 * 100 + 6 + np.arange(-47, 1)) % 24]
    ((ahead,), _) = forecast([component((0.3, 0.0, 1.0, 0.1), season)], values[:, None], end // 3600, 48)
    assert ahead == pytest.approx(100.0 + np.tile(np.roll(season, -7), 2))


@pytest.mark.parametrize(
    ("gains", "season"),
    [
        ((1.2, 0.0, 1.0, 0.0), 1),
        ((0.3, -2.0, 1.0, 0.0), 1),
        ((0.3, 0.0, 1.1, 0.0), 1),
        ((0.3, 0.0), 1),
        ((0.3, 0.0, 1.0, 0.0), 25),
    ],
)
def test_gains_that_let_errors_grow_and_odd_seasons_are_refused(gains: tuple[float, ...], season: int):
    with pytest.raises(BadInputError, match="ets component"):
        component(gains, np.zeros(season))
