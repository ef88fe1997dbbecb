"""States against statsmodels' own forecasts, and what structure is chosen for which series."""

import numpy as np
import pytest
from statsmodels.tsa.statespace.sarimax import SARIMAX

from maximus_assets.features.calendar import fourier_columns
from maximus_assets.models.forecasting.sarima import Sarima, Structure, errors, estimate
from maximus_assets.pyfuncs.components import Component, Recursion
from maximus_assets.pyfuncs.forecasting import predict
from maximus_assets.pyfuncs.state import SeriesState
from maximus_assets.pyfuncs.window import SeriesWindow

START = 1_772_409_600
STEP = 3600


def correlated(length: int, seed: int) -> np.ndarray:
    shocks = np.random.default_rng(seed).normal(size=length)
    values = np.zeros(length)
    for t in range(1, length):
        values[t] = 0.8 * values[t - 1] + shocks[t] + 0.3 * shocks[t - 1]
    return values


def ahead(component: Component, values: np.ndarray) -> np.ndarray:
    horizon = component.horizon_steps
    state = SeriesState(
        target="",
        sensor="",
        method=component.method,
        components=(component,),
        weights=np.ones(horizon),
        floor=-np.inf,
        lower=np.zeros(horizon),
        upper=np.zeros(horizon),
    )
    end = START + STEP * (len(values) - 1)
    (answer,) = predict({("", ""): state}, [SeriesWindow("", "", end, values)], state.horizon_steps)
    return answer.mean


@pytest.mark.parametrize("hole", [None, slice(200, 220)])
@pytest.mark.parametrize("order", [(0, 1, 1), (1, 0, 1), (2, 1, 1)])
def test_a_regression_with_arima_errors_forecasts_what_statsmodels_does(order, hole):
    at = START + STEP * np.arange(700)
    values = 100.0 + 20.0 * np.sin(2 * np.pi * at / 86_400) + correlated(700, 1)
    if hole is not None:
        values[hole] = np.nan
    state = estimate(Structure(0, 3, 2, order, 0.0), values, START, STEP, 24)
    columns = fourier_columns(START + STEP * np.arange(724), 3, 2) @ state.regression
    noise = values - columns[:700]
    # The state holds the autoregression with its difference folded in; statsmodels wants it without.
    ar = -np.polydiv(np.append(1.0, -state.ar), [1.0, -1.0])[0][1:] if order[1] else state.ar
    filtered = SARIMAX(noise, order=order).filter([*ar, *state.ma, 1.0])
    assert ahead(state, values) == pytest.approx(columns[700:] + filtered.forecast(24), rel=1e-4)


def test_a_seasonal_difference_forecasts_what_statsmodels_does():
    at = np.arange(800)
    values = 100.0 + 20.0 * np.sin(2 * np.pi * at / 24) + correlated(800, 2)
    state = estimate(Structure(1, 0, 0, (2, 0, 1), 0.0), values, START, STEP, 24)
    model = SARIMAX(values, order=(2, 0, 1), seasonal_order=(0, 1, 0, 24))
    filtered = model.filter([*state.ar, *state.ma, 1.0])
    assert ahead(state, values) == pytest.approx(filtered.forecast(24), rel=1e-4)


def test_errors_of_noise_that_never_varies_have_no_dynamics():
    ar, ma = errors(np.full(500, 3.0), (2, 0, 1))
    assert len(ar) == len(ma) == 0


def test_coefficients_are_recovered_from_a_long_enough_history():
    ar, ma = errors(correlated(4000, 3), (1, 0, 1))
    assert ar == pytest.approx([0.8], abs=0.05)
    assert ma == pytest.approx([0.3], abs=0.06)


@pytest.mark.parametrize("order", [(0, 1, 1), (1, 0, 1), (2, 1, 1)])
def test_coefficients_without_outliers_are_those_statsmodels_estimates(order):
    noise = np.clip(correlated(1500, 5), -4.0, 4.0)
    fitted = SARIMAX(noise / np.std(noise), order=order).fit(disp=0, maxiter=40, cov_type="none")
    ar, ma = errors(noise, order)
    expected = -np.convolve(fitted.polynomial_reduced_ar, [1.0, -1.0] if order[1] else [1.0])[1:]
    assert ar == pytest.approx(expected, abs=1e-6)
    assert ma == pytest.approx(fitted.polynomial_reduced_ma[1:], abs=1e-6)


def test_a_few_incidents_do_not_decide_the_coefficients():
    noise = correlated(4000, 3)
    hit = noise.copy()
    hit[np.random.default_rng(1).choice(4000, 40, replace=False)] += 60.0
    assert errors(hit, (1, 0, 0))[0] == pytest.approx(errors(noise, (1, 0, 0))[0], abs=0.15)


def test_a_weekly_shape_is_found_when_there_is_one():
    at = np.arange(28 * 24)
    weekday = (at // 24) % 7 < 5
    values = (
        100.0
        + 80.0 * weekday * np.sin(np.pi * (at % 24) / 24)
        + np.random.default_rng(4).normal(0, 1, len(at))
    )
    state = Sarima().fit(values, START, STEP, 24)
    assert isinstance(state, Recursion)
    assert state.season_steps == 168 or state.week_harmonics > 0
    actual = 100.0 + 80.0 * ((((at[:24] + len(at)) // 24) % 7) < 5) * np.sin(np.pi * (at[:24] % 24) / 24)
    assert np.abs(ahead(state, values) - actual).mean() < 6.0


def test_a_random_walk_is_forecast_near_its_last_value():
    values = 1000.0 + np.cumsum(np.random.default_rng(6).normal(size=20 * 24))
    state = Sarima().fit(values, START, STEP, 24)
    assert np.abs(ahead(state, values)[:3] - values[-1]).max() < 5.0
