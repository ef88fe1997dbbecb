"""One boosted model for a fleet: what is learnt, what may not be seen, and what its bytes hold."""

import numpy as np
import pytest

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.models.forecasting.backtest import History
from maximus_assets.models.forecasting.base import ShortHistoryError
from maximus_assets.models.forecasting.boosted import BATCH_WINDOWS, Growth, fit, replay
from maximus_assets.pyfuncs import boosted, boosted_features
from maximus_assets.pyfuncs.boosted import BoostedFleet, load
from maximus_assets.pyfuncs.boosted_features import Recipe, features, is_warm, stack

START = 1_772_409_600  # a Monday, 00:00 UTC
HOURLY = Recipe(3600, 24, 8 * 24)
GROWTH = Growth(max_rows=6_000, rounds=40, patience=10, depth=4, learning_rate=0.2)


def demand(seed, days=35, step=3600, weekend=0.4):
    """A day's wave, weekends at a fraction of it, and noise; every series with its own level and phase."""
    rng = np.random.default_rng(seed)
    at = START + step * np.arange(days * 86_400 // step)
    wave = 1.5 + np.sin(2 * np.pi * (at / 86_400 + rng.random()))
    share = np.where((at - START) // 86_400 % 7 >= 5, weekend, 1.0)
    return rng.uniform(1, 1000) * (wave * share + rng.normal(0, 0.05, len(at)))


def history(values, step=3600):
    return History(values, START, step)


@pytest.fixture(scope="module")
def fleet():
    return fit([history(demand(seed)) for seed in range(8)], HOURLY, GROWTH)


def ahead(fleet, values, end):
    """Forecast of one series whose window ends before index `end`."""
    return fleet.predict([values[:end]], [START + fleet.recipe.step_seconds * (end - 1)])[0]


def test_it_forecasts_a_series_it_never_saw_better_than_a_day_or_a_week_ago(fleet):
    values = demand(99, days=42)
    errors = {"ours": [], "day": [], "week": []}
    for end in range(35 * 24, 41 * 24, 3):
        actual = values[end : end + 24]
        errors["ours"].append(np.abs(actual - ahead(fleet, values, end)).mean())
        errors["day"].append(np.abs(actual - values[end - 24 : end]).mean())
        errors["week"].append(np.abs(actual - values[end - 168 : end - 144]).mean())
    means = {name: np.mean(found) for name, found in errors.items()}
    assert means["ours"] < 0.95 * min(means["day"], means["week"])


@pytest.mark.parametrize(("factor", "shift"), [(1000.0, 0.0), (1e-6, 0.0), (3.0, 500.0)])
def test_another_unit_gives_the_same_forecast_in_that_unit(fleet, factor, shift):
    values = demand(50)
    plain, turned = (ahead(fleet, one, 700) for one in (values, factor * values + shift))
    np.testing.assert_allclose(turned, factor * plain + shift, rtol=1e-3)


def test_nothing_at_or_after_the_origin_is_seen(fleet):
    values = demand(51)
    changed = values.copy()
    changed[700:] = -1e6
    np.testing.assert_array_equal(ahead(fleet, values, 700), ahead(fleet, changed, 700))
    changed[699] += 50.0
    assert (ahead(fleet, values, 700) != ahead(fleet, changed, 700)).any()


def test_bins_older_than_the_memory_change_nothing(fleet):
    values = demand(52)
    changed = values.copy()
    changed[: 700 - HOURLY.memory_bins] = np.nan
    np.testing.assert_array_equal(ahead(fleet, values, 700), ahead(fleet, changed, 700))


def test_a_series_is_forecast_the_same_alone_and_among_others(fleet):
    values = [demand(seed)[:700] for seed in (60, 61, 62)]
    ends = [START + 3600 * 699] * 3
    together = fleet.predict(values, ends)
    for index in range(3):
        np.testing.assert_array_equal(fleet.predict([values[index]], ends[:1])[0], together[index])


def test_the_same_histories_and_seed_give_the_same_bytes(fleet):
    again = fit([history(demand(seed)) for seed in range(8)], HOURLY, GROWTH)
    assert again.dump() == fleet.dump()


def test_learning_leaves_its_histories_alone_and_what_follows_them_unseen():
    values = demand(1)
    longer = np.concatenate([values, np.full(200, 1e9)])
    before = longer.copy()
    one = fit([history(longer[: len(values)])], HOURLY, GROWTH)
    assert np.array_equal(longer, before)
    assert one.dump() == fit([history(values)], HOURLY, GROWTH).dump()


def test_bytes_hold_the_whole_model(fleet):
    again = load(fleet.dump())
    assert again.recipe == fleet.recipe
    values = demand(53)
    np.testing.assert_array_equal(ahead(again, values, 700), ahead(fleet, values, 700))


@pytest.mark.parametrize("damage", ["empty", "pickle", "cut", "flipped"])
def test_damaged_bytes_are_refused_before_xgboost_sees_them(fleet, damage):
    whole = fleet.dump()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    content = {"empty": b"", "pickle": b"\x80\x04pickle", "cut": whole[:-100], "flipped": bytes(flipped)}
    with pytest.raises(BadInputError, match="damaged or of another format"):
        load(content[damage])


def test_a_booster_of_another_format_is_refused(fleet, monkeypatch):
    monkeypatch.setattr(boosted, "FORMAT_VERSION", 2)
    content = BoostedFleet(fleet._booster.copy(), fleet.recipe).dump()
    monkeypatch.undo()
    with pytest.raises(BadInputError, match="is not of format 1"):
        load(content)


def test_a_cold_window_has_no_forecast_and_does_not_disturb_the_others(fleet):
    values = demand(54)[:700]
    hollow = values.copy()
    hollow[-20:] = np.nan
    ends = [START + 3600 * 699] * 3
    found = fleet.predict([values[-HOURLY.minimum_bins + 1 :], values, hollow], ends)
    assert np.isnan(found[[0, 2]]).all()
    np.testing.assert_array_equal(found[1], ahead(fleet, values, 700))


@pytest.mark.parametrize("kept", ["recent", "scattered", "just_enough"])
def test_a_window_with_holes_or_little_history_has_a_finite_forecast(fleet, kept):
    values = demand(55)[:700]
    if kept == "recent":
        values = values[-HOURLY.minimum_bins :]
    elif kept == "scattered":
        values[np.random.default_rng(0).random(700) < 0.4] = np.nan
        values[-30:] = demand(55)[670:700]
    else:
        values[: -HOURLY.minimum_bins // 2] = np.nan
    assert is_warm(values, HOURLY)
    assert np.isfinite(ahead(fleet, values, len(values))).all()


@pytest.mark.parametrize("level", [0.0, 7.0, -1e9, 1e12])
def test_a_constant_series_is_forecast_near_its_constant(fleet, level):
    found = ahead(fleet, np.full(300, level), 300)
    assert np.abs(found - level).max() <= 5.0 + 1e-6 * abs(level)


def test_the_clock_must_be_given_to_a_model_that_has_one(fleet):
    with pytest.raises(BadInputError, match="last instant"):
        fleet.predict([demand(1)])
    recipe = Recipe(3600, 24, 8 * 24, has_clock=False)
    clockless = fit([history(demand(seed)) for seed in range(3)], recipe, GROWTH)
    assert np.isfinite(clockless.predict([demand(1)])).all()


def test_histories_too_short_to_teach_are_refused_and_among_longer_ones_passed_over(fleet):
    short = history(demand(70, days=2))
    with pytest.raises(ShortHistoryError, match="none of 1 histories"):
        fit([short], HOURLY, GROWTH)
    with pytest.raises(ShortHistoryError):
        fit([], HOURLY, GROWTH)
    assert isinstance(fit([short, history(demand(1))], HOURLY, GROWTH), BoostedFleet)


def test_fine_bins_are_asked_at_knots_and_filled_in_between():
    recipe = Recipe(300, 288, 8 * 288)
    assert recipe.knots[:5].tolist() == [0, 1, 2, 6, 11]
    assert recipe.knots[-1] == 287
    assert len(recipe.knots) < 32
    fleet = fit([history(demand(seed, days=14, step=300), 300) for seed in range(3)], recipe, GROWTH)
    values = demand(5, days=9, step=300)
    found = fleet.predict([values], [START + 300 * (len(values) - 1)])[0]
    assert found.shape == (288,)
    typical = np.abs(np.diff(values)).mean()
    assert np.abs(np.diff(found)).max() < 5 * typical


@pytest.mark.parametrize(("step", "steps"), [(300, 1), (300, 4), (300, 12), (300, 13), (300, 288), (3600, 7)])
def test_fewer_steps_are_the_first_of_all(fleet, step, steps):
    recipe = Recipe(step, 86_400 // step, 8 * 86_400 // step)
    if step == 300:
        fleet = fit([history(demand(seed, days=10, step=step), step) for seed in range(2)], recipe, GROWTH)
    windows = [demand(seed, days=9, step=step) for seed in (5, 6)]
    ends = np.full(2, START)
    some, every = (fleet.ahead(windows, ends, count) for count in (steps, recipe.horizon_steps))
    assert some.shape == (2, steps)
    np.testing.assert_array_equal(some, every[:, :steps])


def test_however_hollow_a_window_with_one_bin_has_a_forecast_and_one_without_has_none(fleet):
    one = np.full(700, np.nan)
    one[-150] = 5.0
    found = fleet.ahead([one, np.full(700, np.nan), demand(1)[:700]], np.full(3, START), 24)
    assert np.isfinite(found[[0, 2]]).all()
    assert np.isnan(found[1]).all()


def test_holes_take_the_day_before_or_else_the_last_bin_known():
    recipe = Recipe(3600, 24, 4 * 24, has_clock=False)
    whole = np.arange(96.0)
    window = whole.copy()
    window[:10] = np.nan
    window[20:22] = np.nan
    window[40:60] = np.nan
    filled = boosted_features._filled(window[None], recipe)[0]
    assert np.isnan(filled[:10]).all()
    np.testing.assert_array_equal(filled[20:22], [19.0, 19.0])
    expected = [*whole[16:20], 19.0, 19.0, *whole[22:36]]
    np.testing.assert_array_equal(filled[40:60], expected)
    np.testing.assert_array_equal(boosted_features._filled(whole[None], recipe)[0], whole)


def test_features_of_a_repeating_day_say_that_nothing_differs():
    values = np.tile(np.arange(24.0), 8)[None, :]
    found = features(values, np.array([START]), Recipe(3600, 24, 8 * 24, has_clock=False))
    np.testing.assert_array_equal(found.base[0], np.arange(24.0))
    assert found.scale[0] == np.abs(np.arange(24.0) - 11.5).mean()
    days_back = found.columns[0, :, :6]
    assert (days_back == 0.0).all()


def test_a_stack_keeps_the_latest_bins():
    stacked = stack([np.arange(3.0), np.arange(10.0)], 4)
    np.testing.assert_array_equal(stacked, [[np.nan, 0, 1, 2], [6, 7, 8, 9]])


@pytest.mark.parametrize("figures", [(0, 1, 400), (7, 1, 100_000), (3600, 0, 400), (3600, 1, 24)])
def test_a_recipe_that_no_feature_can_be_made_of_is_refused(figures):
    with pytest.raises(BadInputError):
        Recipe(*figures)


def test_a_replay_is_what_would_have_been_forecast_at_each_origin(fleet):
    values = demand(56, days=42)
    origins = np.arange(240, 240 + BATCH_WINDOWS + 5)
    found = replay(fleet, history(values), origins)
    for index in (0, BATCH_WINDOWS - 1, BATCH_WINDOWS, len(origins) - 1):
        np.testing.assert_array_equal(found[index], ahead(fleet, values, origins[index]))
    high = float(values.max())
    assert (replay(fleet, History(values, START, 3600, floor=high), origins[:3]) == high).any()
    assert replay(fleet, history(values), origins[:0]).shape == (0, 24)
