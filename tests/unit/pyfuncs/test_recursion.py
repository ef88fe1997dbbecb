"""The numpy recursion against statsmodels' Kalman filter with the same coefficients."""

import numpy as np
import pytest
from statsmodels.tsa.statespace.sarimax import SARIMAX

from maximus_assets.pyfuncs.recursion import extend, trace


def noise(length: int, seed: int) -> np.ndarray:
    shocks = np.random.default_rng(seed).normal(size=length)
    series = np.zeros(length)
    for t in range(2, length):
        series[t] = 0.5 * series[t - 1] + 0.3 * series[t - 2] + shocks[t] + 0.4 * shocks[t - 1]
    return series


def forecast(values: np.ndarray, season: int, ar: list[float], ma: list[float], steps: int) -> np.ndarray:
    p, q = np.array(ar).reshape(-1, 1), np.array(ma).reshape(-1, 1)
    known = trace(values[:, None], season, p, q)
    n = len(values)
    return extend(
        known.filled[n - season :],
        known.differenced[n - len(p) :],
        known.innovations[n - len(q) :],
        ar=p,
        ma=q,
        steps=steps,
    )[:, 0]


def kalman(values: np.ndarray, order, season: int, params: list[float], steps: int) -> np.ndarray:
    model = SARIMAX(values, order=order, seasonal_order=(0, 1, 0, season) if season else (0, 0, 0, 0))
    return model.filter([*params, 1.0]).forecast(steps)


def with_gap(values: np.ndarray, begin: int, end: int) -> np.ndarray:
    holed = values.copy()
    holed[begin:end] = np.nan
    return holed


@pytest.mark.parametrize("gap", [(0, 0), (300, 330), (500, 501)])
@pytest.mark.parametrize("season", [0, 12])
def test_stationary_errors_are_forecast_as_the_kalman_filter_does(season: int, gap: tuple[int, int]):
    values = with_gap(noise(900, 1) + 10.0 * np.sin(np.arange(900) * 2 * np.pi / 12) * (season > 0), *gap)
    expected = kalman(values, (2, 0, 1), season, [0.5, 0.3, 0.4], 60)
    assert forecast(values, season, [0.5, 0.3], [0.4], 60) == pytest.approx(expected, abs=1e-6)


def test_an_ordinary_difference_folded_into_the_autoregression_is_forecast_as_the_kalman_filter_does():
    values = 50.0 + np.cumsum(noise(900, 2))
    expected = kalman(values, (1, 1, 1), 0, [0.6, -0.3], 60)
    polynomial = np.convolve([1.0, -0.6], [1.0, -1.0])
    assert forecast(values, 0, list(-polynomial[1:]), [-0.3], 60) == pytest.approx(expected, abs=1e-6)


def test_the_same_with_a_seasonal_difference_on_top():
    values = 50.0 + np.cumsum(noise(900, 3))
    expected = kalman(values, (1, 1, 1), 12, [0.6, -0.3], 40)
    polynomial = np.convolve([1.0, -0.6], [1.0, -1.0])
    assert forecast(values, 12, list(-polynomial[1:]), [-0.3], 40) == pytest.approx(expected, abs=1e-5)


def test_without_coefficients_the_last_season_repeats():
    values = np.arange(10.0)
    assert forecast(values, 4, [], [], 10).tolist() == [6, 7, 8, 9, 6, 7, 8, 9, 6, 7]


def test_a_missing_bin_of_the_last_season_takes_its_place_a_season_before():
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, np.nan, 7.0, 8.0])
    assert forecast(values, 4, [], [], 4).tolist() == [5, 2, 7, 8]


def test_a_gap_in_the_first_season_takes_what_came_a_season_later_else_what_was_last_seen():
    values = np.array([1.0, np.nan, np.nan, 4.0, np.nan, 6.0, np.nan, 8.0])
    filled = trace(values[:, None], 4, np.empty((0, 1)), np.empty((0, 1))).filled[:, 0]
    assert filled.tolist() == [1, 6, 6, 4, 1, 6, 6, 8]


def test_what_comes_later_changes_nothing_known_before():
    values = noise(400, 4)
    p, q = np.array([[0.5], [0.2]]), np.array([[0.3]])
    whole = trace(values[:, None], 24, p, q)
    changed = values.copy()
    changed[300:] += 100.0
    other = trace(changed[:, None], 24, p, q)
    assert np.array_equal(whole.innovations[:300], other.innovations[:300])
    assert np.array_equal(whole.filled[:300], other.filled[:300])


def test_a_series_never_seen_stays_finite():
    known = trace(np.full((50, 1), np.nan), 4, np.array([[0.5]]), np.array([[0.1]]))
    assert np.isfinite(known.filled).all()
    assert np.isfinite(known.innovations).all()
