from dataclasses import replace

import numpy as np
import pytest

from maximus_assets.models.forecasting.backtest import MAX_REFITS, History, backtest, refits
from maximus_assets.models.forecasting.base import ShortHistoryError, split
from maximus_assets.models.forecasting.rolling import Block, horizons, hourly, roll
from maximus_assets.models.forecasting.scoring import is_preferred, r_squared, ratio, scores
from maximus_assets.models.forecasting.seasonal_naive import SeasonalNaive

START = 1_772_409_600


@pytest.mark.parametrize(
    ("days", "judged_days"), [(3, 1.2), (8, 3.2), (14, 5.6), (17.5, 7.0), (28, 8.4), (100, 30.0)]
)
def test_the_last_part_is_judged_at_least_a_week_where_length_allows(days: float, judged_days: float):
    values = np.zeros(round(days * 288))
    parts = split(values, 300)
    assert (parts.length - parts.judging_start) / 288 == pytest.approx(judged_days, abs=0.01)
    assert 0 < parts.calibration_start < parts.judging_start < parts.length


def test_days_of_history_are_too_few_where_bins_are_long():
    with pytest.raises(ShortHistoryError, match="48 bins"):
        split(np.zeros(47), 86_400)


def test_each_horizon_is_judged_against_the_hour_it_is_about():
    values = np.arange(2000.0)
    state = SeasonalNaive().fit(values, START, 300, 288)
    rolled = roll([Block(state, 1500, 1600)], values, START, 300)
    assert rolled.origins.tolist() == list(range(1500, 1600, 12))
    assert rolled.actuals[0, :3].tolist() == [1500, 1501, 1502]
    assert rolled.forecasts[0, :3].tolist() == [1212, 1213, 1214]
    hours = hourly(rolled.actuals, 300)
    assert horizons(300) == {1: 0, 6: 5, 24: 23}
    assert hours[0, 23] == np.mean(np.arange(1500 + 276, 1500 + 288))


@pytest.mark.parametrize(
    ("step", "expected"), [(3600, {1: 0, 6: 5, 24: 23}), (7200, {6: 2, 24: 11}), (86_400, {24: 0})]
)
def test_horizons_shorter_than_a_bin_are_not_judged(step: int, expected: dict[int, int]):
    assert horizons(step) == expected


def test_blocks_carried_side_by_side_forecast_as_each_alone():
    values = 10.0 + np.random.default_rng(1).normal(size=1000)
    state = SeasonalNaive().fit(values, START, 900, 96)
    blocks = [Block(state, 500, 596), Block(state, 596, 692), Block(state, 692, 700)]
    together = roll(blocks, values, START, 900).forecasts
    alone = np.concatenate([roll([block], values, START, 900).forecasts for block in blocks])
    assert np.array_equal(together, alone)


class Recorder(SeasonalNaive):
    """Notes how much history it is given."""

    def __init__(self) -> None:
        self.fitted: list[int] = []
        self.refitted: list[int] = []

    def fit(self, values, start_epoch_seconds, step_seconds, horizon_steps):
        self.fitted.append(len(values))
        return super().fit(values, start_epoch_seconds, step_seconds, horizon_steps)

    def refit(self, component, values, start_epoch_seconds, step_seconds, begins):
        self.refitted.extend(begins)
        return super().refit(component, values, start_epoch_seconds, step_seconds, begins)


def test_a_method_is_fitted_once_and_refitted_each_day_on_what_precedes_it():
    recorder = Recorder()
    parts = backtest(recorder, History(np.random.default_rng(1).random(960), START, 900)).parts
    assert recorder.fitted == [parts.judging_start]
    assert recorder.refitted == [
        *range(parts.calibration_start, parts.judging_start, 96),
        *range(parts.judging_start, 960, 96),
        960,
    ]


def test_a_constant_series_has_no_r2_and_equals_its_baseline():
    history = History(np.full(600, 4.0), START, 900)
    result = backtest(SeasonalNaive(), history)
    for score in scores(result, result, history):
        assert score.r2 is None
        assert score.mase == 1.0
        assert score.mase_in_sample is None
        assert score.coverage == 1.0
        assert score.coverage_strict == 0.0


def test_figures_of_huge_values_stay_finite():
    values = 1e15 * np.random.default_rng(2).random(600)
    history = History(values, START, 900)
    result = backtest(SeasonalNaive(), history)
    for score in scores(result, result, history):
        assert score.r2 is not None
        assert np.isfinite(score.r2)


def test_r2_is_one_for_a_perfect_forecast_and_zero_for_the_mean():
    actual = np.array([1.0, 2.0, 6.0])
    assert r_squared(actual, actual) == 1.0
    assert r_squared(actual, np.full(3, 3.0)) == pytest.approx(0.0)
    assert r_squared(actual[:1], actual[:1]) is None


def test_a_ratio_to_a_baseline_without_error_is_defined_only_for_no_error():
    assert ratio(0.0, 0.0) == 1.0
    assert ratio(1.0, 0.0) is None
    assert ratio(None, 1.0) is None
    assert ratio(1.0, 4.0) == 0.25


def test_intervals_cover_the_stated_share_of_a_stationary_series():
    rng = np.random.default_rng(3)
    at = np.arange(40 * 96)
    values = 100.0 + 20.0 * np.sin(2 * np.pi * at / 96) + rng.normal(0, 3.0, len(at))
    history = History(values, START, 900)
    result = backtest(SeasonalNaive(), history)
    for score in scores(result, result, history):
        assert score.coverage == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize(
    ("loss", "is_used"), [(0.5, True), (1.0, False), (1.149, True), (1.151, False), (np.inf, False)]
)
def test_the_baseline_is_used_where_the_other_loses_clearly_or_nothing_tells_them_apart(
    loss: float, is_used: bool
):
    assert is_preferred(loss, 0.15) is is_used


def test_a_year_is_refitted_daily_and_longer_parts_evenly_and_no_more_often():
    assert refits(100, 100 + 366 * 288, 300) == range(100, 100 + 366 * 288, 288)
    assert refits(0, 366 * 288 + 1, 300).step == 2 * 288
    for days in (700, 5_000, 100_000):
        found = refits(50, 50 + days, 86_400)
        assert found[0] == 50
        assert MAX_REFITS // 2 < len(found) <= MAX_REFITS


def test_years_of_days_are_backtested_with_a_bounded_number_of_refits():
    recorder = Recorder()
    backtest(recorder, History(np.arange(4000.0) % 7, START, 86_400))
    assert len(recorder.refitted) <= 2 * 366 + 1


def test_a_gap_a_season_ago_is_not_filled_from_what_is_still_to_come():
    values = np.random.default_rng(3).random(600)
    values[232:256] = np.nan
    state = replace(SeasonalNaive().fit(values, START, 3600, 24), season_steps=168, minimum_bins=168)
    later = np.where(np.arange(600) >= 400, values + 100.0, values)
    before, after = (
        roll([Block(state, 400, 424)], each, START, 3600).forecasts[0] for each in (values, later)
    )
    assert np.array_equal(before, after)


def test_where_nothing_was_seen_before_an_origin_nothing_seen_after_it_is_taken():
    values = np.where(np.arange(600) < 405, np.nan, 7.0)
    state = replace(SeasonalNaive().fit(np.ones(600), START, 3600, 24), season_steps=168, minimum_bins=168)
    assert not roll([Block(state, 400, 424)], values, START, 3600).forecasts[0].any()
