"""What every forecasting method must do. A new method is done when it is listed in `METHODS` and this passes."""

from dataclasses import replace

import numpy as np
import pytest

from maximus_assets.models.forecasting.backtest import History, backtest
from maximus_assets.models.forecasting.base import Forecaster, ShortHistoryError, day_steps, horizon_steps
from maximus_assets.models.forecasting.methods import METHODS
from maximus_assets.models.forecasting.rolling import Block, roll
from maximus_assets.pyfuncs.components import Component
from maximus_assets.pyfuncs.forecasting import predict
from maximus_assets.pyfuncs.state import SeriesState, dump, load
from maximus_assets.pyfuncs.window import SeriesWindow

START = 1_772_409_600  # a Monday, 00:00 UTC
STEPS = (900, 3600, 86_400)


@pytest.fixture(params=METHODS, ids=lambda method: method.name)
def method(request: pytest.FixtureRequest) -> Forecaster:
    return request.param


def demand(days: float, step: int, seed: int = 1, level: float = 100.0) -> np.ndarray:
    """Day and week with noise; always positive."""
    count = round(days * 86_400 / step)
    at = START + step * np.arange(count)
    noise = np.random.default_rng(seed).normal(0.0, 0.05 * level, count)
    day, week = np.sin(2 * np.pi * at / 86_400), np.cos(2 * np.pi * at / 604_800)
    return level * (1.5 + 0.5 * day + 0.3 * week) + noise


def days_for(step: int) -> int:
    return 10 if step < 86_400 else 80


def fitted(method: Forecaster, values: np.ndarray, step: int, horizon: int | None = None) -> Component:
    return method.fit(values, START, step, horizon or horizon_steps(step))


def alone(component: Component) -> SeriesState:
    horizon = component.horizon_steps
    return SeriesState(
        target="t",
        sensor="demand_count",
        method=component.method,
        components=(component,),
        weights=np.ones(horizon),
        floor=-np.inf,
        lower=np.zeros(horizon),
        upper=np.zeros(horizon),
    )


def ahead(state: SeriesState, values: np.ndarray, horizon: int) -> np.ndarray:
    named = replace(state, target="t", sensor="demand_count")
    end = START + state.step_seconds * (len(values) - 1)
    (answer,) = predict(
        {("t", "demand_count"): named}, [SeriesWindow("t", "demand_count", end, values)], horizon
    )
    assert answer.status == "ok"
    return answer.mean


@pytest.mark.parametrize("step", STEPS)
def test_fitting_twice_gives_the_same_finite_state(method: Forecaster, step: int):
    values = demand(days_for(step), step)
    first, second = (fitted(method, values.copy(), step) for _ in range(2))
    assert first.equals(second)
    assert first.method == method.name
    assert first.step_seconds == step
    for name in first.VECTORS:
        assert np.isfinite(getattr(first, name)).all()


def test_fitting_leaves_its_input_alone(method: Forecaster):
    values = demand(6, 900)
    before = values.copy()
    fitted(method, values, 900)
    assert np.array_equal(values, before)


@pytest.mark.parametrize("step", STEPS)
def test_a_state_forecasts_every_step_of_its_horizon(method: Forecaster, step: int):
    values = demand(days_for(step), step)
    state = alone(fitted(method, values, step))
    assert state.horizon_steps == horizon_steps(step)
    mean = ahead(state, values, state.horizon_steps)
    assert mean.shape == (state.horizon_steps,)
    assert np.isfinite(mean).all()
    assert mean.min() > 0
    assert mean.max() < 400


def test_a_state_survives_the_file(method: Forecaster):
    state = alone(fitted(method, demand(6, 900), 900))
    (again,) = load(dump([state]))
    assert state.equals(again)


def test_no_forecast_lies_below_the_floor(method: Forecaster):
    values = np.maximum(demand(10, 900) - 120.0, 0.0)
    result = backtest(method, History(values, START, 900, floor=0.0))
    assert result.judging.forecasts.min() >= 0.0
    assert ahead(result.state, values, 96).min() >= 0.0


def test_a_short_history_is_refused_with_what_is_needed(method: Forecaster):
    with pytest.raises(ShortHistoryError, match=r"at least .* days"):
        fitted(method, demand(1.4, 900), 900)
    with pytest.raises(ShortHistoryError, match=r"at least 3\.0 days"):
        backtest(method, History(demand(2.9, 900), START, 900))
    assert backtest(method, History(demand(3.0, 900), START, 900)).state.method == method.name


def test_a_history_more_than_half_missing_is_refused(method: Forecaster):
    values = demand(6, 900)
    values[: len(values) // 2 + 2] = np.nan
    with pytest.raises(ShortHistoryError, match="missing"):
        fitted(method, values, 900)


@pytest.mark.parametrize("pattern", ["scattered", "last_day", "second_to_fourth_day", "night"])
def test_missing_bins_are_tolerated(method: Forecaster, pattern: str):
    values = demand(16, 900)
    day = day_steps(900)
    if pattern == "scattered":
        values[np.random.default_rng(2).random(len(values)) < 0.3] = np.nan
    elif pattern == "last_day":
        values[-day:] = np.nan
    elif pattern == "second_to_fourth_day":
        values[day : 4 * day] = np.nan
    else:
        values[np.arange(len(values)) % day < day // 4] = np.nan
    result = backtest(method, History(values, START, 900))
    assert np.isfinite(result.judging.forecasts).all()
    assert np.isfinite(result.state.lower).all()
    assert np.isfinite(ahead(result.state, values[:-day], 96)).all()


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(600),
        np.full(600, 7.0),
        np.full(600, 1e15),
        demand(7, 900, level=1e14),
        np.tile([0.0, 1e15], 300),
    ],
    ids=["zeros", "constant", "huge_constant", "huge", "huge_alternating"],
)
def test_degenerate_histories_are_forecast_finitely(method: Forecaster, values: np.ndarray):
    result = backtest(method, History(values, START, 900))
    assert np.isfinite(result.judging.forecasts).all()
    assert (result.state.lower <= 0).all()
    assert (result.state.upper >= 0).all()
    if np.ptp(values) == 0:
        assert ahead(result.state, values, 96) == pytest.approx(values[:96])


def test_refitting_for_one_day_is_refitting_for_it_among_others(method: Forecaster):
    values = demand(12, 900)
    first = fitted(method, values[:900], 900)
    begins = [600, 644, 1000, len(values)]
    together = method.refit(first, values, START, 900, begins)
    for begin, among in zip(begins, together, strict=True):
        (alone_at,) = method.refit(first, values[:begin], START, 900, [begin])
        assert (among.method, among.horizon_steps, among.minimum_bins) == (
            alone_at.method,
            alone_at.horizon_steps,
            alone_at.minimum_bins,
        )
        for name in among.VECTORS:
            assert getattr(among, name) == pytest.approx(getattr(alone_at, name), rel=1e-6, abs=1e-6)


def test_a_horizon_beyond_a_day_is_forecast(method: Forecaster):
    values = demand(20, 3600)
    state = alone(fitted(method, values, 3600, 48))
    mean = ahead(state, values, 48)
    assert np.abs(mean - demand(22, 3600)[-48:]).mean() < 15.0


def test_a_window_of_the_states_minimum_is_enough_and_the_live_window_holds_it(method: Forecaster):
    values = demand(28, 900)
    state = alone(fitted(method, values, 900))
    assert state.minimum_bins <= 8 * day_steps(900)
    named = replace(state, target="t", sensor="s")
    recent = values[-state.minimum_bins :]
    (answer,) = predict({("t", "s"): named}, [SeriesWindow("t", "s", START + 900 * len(values), recent)], 12)
    assert answer.status == "ok"


def test_what_serves_forecasts_what_was_judged(method: Forecaster):
    """From the same component, the live window gives the forecast that the backtest judged at that origin."""
    values, step, horizon = demand(40, 3600), 3600, 24
    values[700:790][np.random.default_rng(5).random(90) < 0.1] = np.nan
    begin = 850
    (component,) = method.refit(method.fit(values[:700], START, step, horizon), values, START, step, [begin])
    rolled = roll([Block(component, begin, begin + 24)], values, START, step)
    for row in (0, 5, 23):
        origin = int(rolled.origins[row])
        recent = values[origin - 8 * day_steps(step) : origin]
        served = predict(
            {("t", "demand_count"): replace(alone(component), target="t", sensor="demand_count")},
            [SeriesWindow("t", "demand_count", START + step * (origin - 1), recent)],
            horizon,
        )
        # Later in the day the backtest's memory is some hours longer than the live one.
        assert served[0].mean == pytest.approx(rolled.forecasts[row], rel=0.05 if row else 1e-9)


def test_many_series_are_forecast_as_each_by_itself(method: Forecaster):
    """Series of one call share a loop, whatever their structures; none may see another."""
    states, windows = {}, []
    for seed in range(3):
        values = demand(12, 3600, seed, level=10.0**seed)
        values[:100] = np.nan if seed == 1 else values[:100]
        name = (f"t{seed}", "demand_count")
        # More history, another structure.
        component = method.fit(demand(5 + 6 * seed, 3600, seed, level=10.0**seed), START, 3600, 24)
        states[name] = replace(alone(component), target=name[0], sensor=name[1])
        windows.append(SeriesWindow(*name, START + 3600 * (len(values) - 1), values[-8 * 24 :]))
    together = predict(states, windows, 24)
    for window, among in zip(windows, together, strict=True):
        (single,) = predict(states, [window], 24)
        assert among.mean == pytest.approx(single.mean, rel=1e-9)
