"""Surprises: what counts as one, how much of it lasts, and that what serves corrects as what was judged."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maximus_assets.models.forecasting.backtest import History
from maximus_assets.models.forecasting.intercept import Corrected, correct
from maximus_assets.models.forecasting.learn import try_all
from maximus_assets.models.forecasting.rolling import Rolled
from maximus_assets.pyfuncs.forecasting import predict
from maximus_assets.pyfuncs.intercept import surprises
from maximus_assets.pyfuncs.state import SeriesState
from maximus_assets.pyfuncs.window import SeriesWindow

START, STEP = 1_772_409_600, 300
HOUR, HALF, DAY = 12, 6, 288
DAYS = 20


def rolled(values: np.ndarray, forecast: np.ndarray) -> Rolled:
    """One forecast for every bin, whatever the origin: what does not learn."""
    origins = np.arange(0, len(values), HOUR)
    padded, expected = (np.concatenate([each, np.full(DAY, np.nan)]) for each in (values, forecast))
    ahead = origins[:, None] + np.arange(DAY)
    return Rolled(origins, np.nan_to_num(expected[ahead]), padded[ahead])


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 1.0, DAYS * DAY)


def corrected(values: np.ndarray) -> Corrected:
    return correct(rolled(values, np.zeros(len(values))), list(range(0, len(values), DAY)), STEP)


def error(values: np.ndarray, found: Rolled, of: slice) -> float:
    """Mean absolute error of the first hour ahead."""
    rows = np.isin(found.origins, np.arange(len(values))[of])
    return float(np.nanmean(np.abs(found.errors[rows, :HOUR])))


def of(bins: np.ndarray, moved: float = 0.0, usual: float = 1.0) -> float:
    """The surprise of one half hour of which zero was expected."""
    found = surprises(bins[None, :], np.zeros((1, len(bins))), np.array([moved]), np.array([usual]))
    return float(found[0])


def test_an_ordinary_half_hour_and_a_spike_are_no_surprise():
    assert of(np.full(HALF, 3.9)) == 0.0
    assert of(np.array([0.0, 500.0, 500.0, 0.0, 0.0, 0.0])) == 0.0


def test_a_half_hour_that_is_far_off_on_both_sides_is_no_surprise():
    assert of(np.array([30.0, 30.0, 30.0, 30.0, -30.0, 30.0])) == 0.0


def test_a_half_hour_on_one_side_and_far_off_counts_whole_and_in_between_in_part():
    assert of(np.full(HALF, -8.0)) == pytest.approx(-8.0)
    assert of(np.full(HALF, -6.0)) == pytest.approx(-3.0)


def test_what_the_forecast_has_taken_in_by_itself_is_no_surprise_any_more():
    assert of(np.full(HALF, 8.0), moved=5.0) == pytest.approx(3.0)
    assert of(np.full(HALF, 8.0), moved=9.0) == 0.0
    assert of(np.full(HALF, 8.0), moved=-9.0) == pytest.approx(8.0)


def test_nothing_is_a_surprise_where_too_little_is_known():
    half = np.full(HALF, 50.0)
    assert of(half, usual=0.0) == 0.0
    half[:4] = np.nan
    assert of(half) == 0.0


@given(scale=st.floats(1e-3, 1e6), shift=st.floats(-1e3, 1e3), seed=st.integers(0, 50))
def test_a_surprise_goes_with_the_unit_and_not_with_the_level(scale: float, shift: float, seed: int):
    half, one = np.random.default_rng(seed).normal(6.0, 1.0, (1, HALF)), np.ones(1)
    plain = surprises(half, np.zeros_like(half), 0.5 * one, one)
    moved = surprises(
        scale * (half + shift), np.full_like(half, scale * shift), 0.5 * scale * one, scale * one
    )
    assert moved == pytest.approx(scale * plain, rel=1e-6, abs=1e-9 * scale)


def test_a_level_that_moves_for_good_is_followed_within_hours_and_learnt_to_last():
    values = noise()
    values[12 * DAY :] += 25.0
    found = corrected(values)
    plain = rolled(values, np.zeros(len(values)))
    next_day = slice(13 * DAY, 14 * DAY)
    assert error(values, plain, next_day) > 24.0
    assert error(values, found.rolled, next_day) < 4.0
    assert found.lasts[0] > 0.9


def test_a_series_of_incidents_that_pass_teaches_that_none_lasts():
    values = noise()
    for begin in range(DAY, len(values) - DAY, DAY // 2):
        values[begin : begin + HOUR] += 25.0
    found = corrected(values)
    assert found.lasts[2 * HOUR] < 0.05
    late = slice(15 * DAY, 19 * DAY)
    plain = rolled(values, np.zeros(len(values)))
    assert error(values, found.rolled, late) < 1.1 * error(values, plain, late)


def test_ordinary_noise_is_left_nearly_as_it_is():
    values = noise()
    found, plain = corrected(values), rolled(values, np.zeros(len(values)))
    assert (found.rolled.forecasts != plain.forecasts).any(axis=1).mean() < 0.02


@pytest.mark.parametrize("bin_", [5 * DAY, 9 * DAY + 7, 15 * DAY + 100])
def test_nothing_that_came_later_changes_a_correction(bin_: int):
    values = noise(3)
    values[4 * DAY : 6 * DAY] += 15.0
    later = values.copy()
    later[bin_:] -= 40.0
    before = np.arange(0, len(values), HOUR) <= bin_
    one, other = corrected(values).rolled.forecasts, corrected(later).rolled.forecasts
    assert np.array_equal(one[before], other[before])
    assert not np.array_equal(one[~before], other[~before])


def test_too_few_hours_correct_nothing():
    values = noise()[: 8 * HOUR]
    found = corrected(values)
    assert found.usual_miss == 0.0
    assert len(found.lasts) == 0


@pytest.fixture(scope="module")
def shifting() -> tuple[History, SeriesState]:
    """Ten days of a daily shape, the last hour and a half of which lies far above it, and what was learnt of it."""
    rng = np.random.default_rng(5)
    at = np.arange(10 * DAY)
    values = 100.0 + 30.0 * np.sin(2 * np.pi * at / DAY) + rng.normal(0.0, 2.0, len(at))
    values[-18:] += 80.0
    history = History(values, START, STEP, floor=0.0)
    return history, replace(try_all(history).preferred.state, target="t", sensor="s")


def answer(state: SeriesState, values: np.ndarray, steps: int) -> np.ndarray:
    end = START + STEP * (10 * DAY - 1) - STEP * (8 * DAY - len(values))
    (found,) = predict({("t", "s"): state}, [SeriesWindow("t", "s", end, values)], steps)
    return found.mean


def test_what_serves_adds_the_share_of_the_surprise_that_was_learnt(shifting):
    history, state = shifting
    window = history.values[-8 * DAY :]
    plain = replace(state, usual_miss=0.0, lasts=np.empty(0))
    before, now = answer(plain, window[:-HOUR], 2 * HOUR), answer(plain, window, HOUR)
    surprise = surprises(
        window[None, -HALF:],
        before[None, HALF:HOUR],
        np.array([(now - before[HOUR:]).mean()]),
        np.array([state.usual_miss]),
    )
    assert surprise[0] > 10.0
    by_hand = answer(plain, window, DAY) + surprise[0] * state.lasts
    assert answer(state, window, DAY) == pytest.approx(by_hand, rel=1e-4)
    assert answer(state, window, 3) == pytest.approx(by_hand[:3], rel=1e-4)


def test_a_window_that_is_just_long_enough_is_forecast_without_correction(shifting):
    history, state = shifting
    window = history.values[-state.minimum_bins :]
    plain = replace(state, usual_miss=0.0, lasts=np.empty(0))
    assert np.array_equal(answer(state, window, DAY), answer(plain, window, DAY))
