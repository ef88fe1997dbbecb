"""ETS, Theta and the rescaled season: what each finds in a series made for it, and the season they share."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maximus_assets.models.forecasting.backtest import History, plan, replay
from maximus_assets.models.forecasting.base import Forecaster
from maximus_assets.models.forecasting.ets import Ets
from maximus_assets.models.forecasting.level_naive import LevelNaive
from maximus_assets.models.forecasting.rolling import Block, roll
from maximus_assets.models.forecasting.seasonal_naive import SeasonalNaive
from maximus_assets.models.forecasting.seasons import Material, Season, seasons
from maximus_assets.models.forecasting.theta import Theta
from maximus_assets.pyfuncs.components import Rescaled, Smoothing

START = 1_772_409_600  # a Monday, 00:00 UTC
STEP = 3600
DAY = 24


def clock(days: int) -> np.ndarray:
    return np.arange(days * DAY)


def noise(count: int, seed: int = 1, size: float = 2.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, size, count)


def daily(days: int) -> np.ndarray:
    return 100.0 + 40.0 * np.sin(2 * np.pi * clock(days) / DAY)


def error(method: Forecaster, values: np.ndarray, *, steps: slice = slice(None)) -> float:
    history = History(values, START, STEP)
    found = plan(history)
    rolled = replay(method, history, found).rolled
    rows = rolled.origins >= found.parts.judging_start
    return float(np.nanmean(np.abs(rolled.errors[rows][:, steps])))


def made(values: np.ndarray) -> Material:
    return Material(values, START, STEP, DAY)


@pytest.mark.parametrize("method", [Ets(), Theta()], ids=lambda each: each.name)
def test_a_day_with_noise_is_forecast_near_the_noise(method: Forecaster):
    values = daily(28) + noise(28 * DAY)
    assert error(method, values) < 1.35 * 2.0 * np.sqrt(2 / np.pi)
    assert error(method, values) < 0.85 * error(SeasonalNaive(), values)


@pytest.mark.parametrize("method", [Ets(), Theta()], ids=lambda each: each.name)
def test_a_walk_around_a_day_is_followed_closely_near_and_no_worse_far(method: Forecaster):
    values = daily(28) + np.cumsum(noise(28 * DAY))
    assert error(method, values, steps=slice(0, 1)) < 0.4 * error(SeasonalNaive(), values, steps=slice(0, 1))
    assert error(method, values) < error(SeasonalNaive(), values)


def test_what_returns_to_its_level_is_forecast_to_return():
    values = np.zeros(40 * DAY)
    shocks = noise(len(values))
    for at in range(1, len(values)):
        values[at] = 0.9 * values[at - 1] + shocks[at]
    component = Ets().fit(values, START, STEP, DAY)
    assert isinstance(component, Smoothing)
    assert component.gains[1] < 0.0
    assert error(Ets(), values, steps=slice(12, 24)) < 0.9 * error(Theta(), values, steps=slice(12, 24))


def test_thetas_drift_is_half_the_slope():
    values = 0.5 * clock(21) + daily(21)
    component = Theta().fit(values, START, STEP, DAY)
    assert isinstance(component, Smoothing)
    assert component.drift[0] == pytest.approx(0.25, rel=0.05)


def test_a_level_that_moves_with_its_swing_is_best_rescaled():
    growth = 1.0 + 0.6 * np.sin(2 * np.pi * clock(28) / (9 * DAY))
    values = growth * (daily(28) - 50.0) + noise(28 * DAY, size=0.5)
    assert error(LevelNaive(), values) < 0.9 * error(SeasonalNaive(), values)


def test_a_week_is_looked_up_where_a_day_would_mislead():
    values = daily(35) * np.where((clock(35) // DAY) % 7 >= 5, 0.3, 1.0) + noise(35 * DAY, size=0.5)
    component = LevelNaive().fit(values, START, STEP, DAY)
    assert isinstance(component, Rescaled)
    assert component.season_steps == 7 * DAY
    smoothed = Ets().fit(values, START, STEP, DAY)
    assert isinstance(smoothed, Smoothing)
    assert len(smoothed.season) == 7 * DAY
    assert error(Ets(), values) < 0.25 * error(SeasonalNaive(), daily(35) * 0 + values[::-1]) + 3.0


@pytest.mark.parametrize("method", [Ets(), Theta()], ids=lambda each: each.name)
@settings(deadline=None, max_examples=8)
@given(shift=st.integers(-1000, 1000), seed=st.integers(0, 100))
def test_a_shifted_series_is_forecast_shifted(method: Forecaster, shift: int, seed: int):
    values = daily(10) + np.cumsum(noise(10 * DAY, seed))
    found = []
    for each in (values, values + shift):
        component = method.fit(each[: 9 * DAY], START, STEP, DAY)
        found.append(roll([Block(component, 9 * DAY, 10 * DAY)], each, START, STEP).forecasts)
    assert found[1] == pytest.approx(found[0] + shift, abs=1e-6)


def test_a_season_of_gain_zero_is_the_mean_over_the_days():
    values = daily(10) + noise(10 * DAY, size=0.1)
    (season,) = seasons(made(values), [10 * DAY], Season(1, 0.0))
    days = values.reshape(10, DAY)
    assert season == pytest.approx((days - days.mean(axis=1)[:, None]).mean(axis=0), abs=0.02)


def test_a_season_begins_at_the_epoch_whatever_the_history_does():
    values = daily(12)
    (whole,) = seasons(made(values), [12 * DAY], Season(1, 0.1))
    late = Material(values[7:], START + 7 * STEP, STEP, DAY)
    (other,) = seasons(late, [len(values) - 7], Season(1, 0.1))
    assert other == pytest.approx(whole, abs=1e-9)


def test_an_incident_is_no_season():
    values = daily(20) + noise(20 * DAY, size=0.5)
    hit = values.copy()
    hit[15 * DAY + 9] += 5000.0
    (plain,), (after,) = (seasons(made(each), [20 * DAY], Season(1, 0.3)) for each in (values, hit))
    assert np.abs(after - plain).max() < 3.0


def test_no_season_is_known_before_a_whole_day_of_it():
    found = seasons(made(daily(10)), [DAY - 1, DAY, 6 * DAY], Season(7, 0.3))
    assert not found[0].any()
    assert found[1].any()
    assert [len(each) for each in found] == [7 * DAY] * 3
    # Before a whole week has been seen, every day of the week is the same.
    assert np.ptp(found[2].reshape(7, DAY), axis=0).max() == pytest.approx(0.0)
