from dataclasses import replace

import numpy as np
import pytest

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.features.calendar import fourier_columns
from maximus_assets.models.forecasting.backtest import History
from maximus_assets.models.forecasting.boosted import Growth, fit
from maximus_assets.pyfuncs.boosted import BoostedFleet, require
from maximus_assets.pyfuncs.boosted_features import Recipe
from maximus_assets.pyfuncs.components import Boosted
from maximus_assets.pyfuncs.forecasting import predict
from maximus_assets.pyfuncs.window import SeriesWindow

END = 300 * 6_000_000


def window(values: np.ndarray, target: str = "shop", end: int = END) -> SeriesWindow:
    return SeriesWindow(target, "demand_count", end, values)


def by_series(*states):
    return {(state.target, state.sensor): state for state in states}


def test_bounds_are_the_mean_and_the_states_offsets(make_state):
    (answer,) = predict(by_series(make_state()), [window(np.arange(288.0))], 12)
    assert answer.status == "ok"
    assert answer.mean.tolist() == list(range(12))
    assert answer.lower.tolist() == [x - 1.0 for x in range(12)]
    assert answer.upper.tolist() == [x + 2.0 for x in range(12)]


def test_nothing_is_forecast_below_the_floor_and_bounds_keep_their_order(make_state):
    state = make_state(floor=5.0, upper=np.full(288, 0.0))
    (answer,) = predict(by_series(state), [window(np.arange(288.0))], 12)
    assert answer.mean.min() == 5.0
    assert (answer.lower >= 5.0).all()
    assert (answer.lower <= answer.mean).all()
    assert (answer.mean <= answer.upper).all()


@pytest.mark.parametrize(
    ("length", "missing", "status"),
    [(288, 144, "ok"), (288, 145, "cold"), (287, 0, "cold"), (2304, 0, "ok"), (0, 0, "cold")],
)
def test_a_window_is_cold_below_its_minimum_or_with_more_than_half_missing(
    make_state, length: int, missing: int, status: str
):
    values = np.ones(length)
    values[length - missing :] = np.nan
    (answer,) = predict(by_series(make_state()), [window(values)], 12)
    assert answer.status == status
    assert len(answer.mean) == (12 if status == "ok" else 0)


def test_a_weekly_state_is_cold_until_it_has_its_week(make_state):
    state = make_state(season_steps=2016, minimum_bins=2016)
    short, long = predict(
        by_series(state, replace(state, target="api")),
        [window(np.ones(2015)), window(np.ones(2016), "api")],
        12,
    )
    assert (short.status, long.status) == ("cold", "ok")


def test_a_series_never_learnt_is_unknown(make_state):
    (answer,) = predict(by_series(make_state()), [window(np.ones(288), "other")], 12)
    assert answer.status == "unknown_series"
    assert answer.method == ""


@pytest.mark.parametrize("horizon", [0, -1, 289])
def test_a_horizon_that_was_never_backtested_is_refused(make_state, horizon: int):
    with pytest.raises(BadInputError, match="horizon_steps"):
        predict(by_series(make_state()), [window(np.ones(288))], horizon)


def test_the_longest_horizon_is_answered(make_state):
    (answer,) = predict(by_series(make_state()), [window(np.arange(288.0))], 288)
    assert answer.mean.tolist() == list(range(288))


def test_the_regression_is_taken_at_the_absolute_time_of_each_step(make_state):
    coefficients = np.array([10.0, 2.0, -3.0])
    state = make_state(season_steps=0, day_harmonics=1, regression=coefficients)
    past = fourier_columns(END + 300 * np.arange(-287, 1), 1, 0) @ coefficients
    (answer,) = predict(by_series(state), [window(past)], 12)
    future = fourier_columns(END + 300 * np.arange(1, 13), 1, 0) @ coefficients
    assert answer.mean == pytest.approx(future)


def test_series_do_not_influence_one_another(make_state):
    rng = np.random.default_rng(5)
    states = [
        make_state(target="a", minimum_bins=300, ar=np.array([0.9]), ma=np.array([0.2, 0.1])),
        make_state(target="b", ar=np.array([0.5, 0.3, 0.1])),
        make_state(target="c"),
        make_state(
            target="d", season_steps=0, day_harmonics=2, regression=np.arange(5.0), ma=np.array([0.4])
        ),
        make_state(target="e", season_steps=0, day_harmonics=1, week_harmonics=2, regression=np.arange(7.0)),
    ]
    windows = []
    for state, length, end in zip(
        states, (900, 301, 700, 288, 500), (END, END, END, END, END - 300), strict=True
    ):
        values = rng.normal(size=length)
        values[rng.random(length) < 0.2] = np.nan
        windows.append(window(values, state.target, end))
    together = predict(by_series(*states), windows, 30)
    for state, one, answer in zip(states, windows, together, strict=True):
        (alone,) = predict(by_series(state), [one], 30)
        assert answer.target == state.target
        assert answer.mean == pytest.approx(alone.mean, rel=1e-12, abs=1e-12)


def with_share(state, fleet: str, share: float):
    part = Boosted(method="boosted", step_seconds=3600, minimum_bins=25, horizon_steps=24, fleet=fleet)
    shares = np.concatenate([np.full(24, 1.0 - share), np.full(24, share)])
    return replace(state, components=(*state.components, part), weights=shares)


@pytest.fixture(scope="module")
def fleet() -> BoostedFleet:
    at = np.arange(24 * 20)
    values = 100.0 + 30.0 * np.sin(2 * np.pi * at / 24) + np.random.default_rng(1).normal(size=len(at))
    growth = Growth(max_rows=2_000, rounds=5, patience=2, depth=3)
    return fit([History(values, 0, 3600)], Recipe(3600, 24, 192), growth)


@pytest.fixture
def hourly(make_state):
    return make_state(step_seconds=3600, horizon_steps=24, season_steps=24, minimum_bins=24)


def test_the_fleets_model_has_its_share_and_is_asked_once_for_all(hourly, fleet, monkeypatch):
    values = np.random.default_rng(2).normal(100.0, 5.0, (3, 200))
    states = [with_share(replace(hourly, target=name), fleet.digest, 0.25) for name in ("a", "b")]
    plain = replace(hourly, target="c")
    windows = [window(row, name, end=3600 * 1_000) for row, name in zip(values, "abc", strict=True)]
    calls: list[int] = []
    ahead = fleet.ahead
    monkeypatch.setattr(fleet, "ahead", lambda some, *rest: calls.append(len(some)) or ahead(some, *rest))
    answers = predict(by_series(*states, plain), windows, 6, fleet=fleet)
    assert calls == [2]
    ends = np.array([each.end_epoch_seconds for each in windows])
    trees = ahead(list(values), ends, 6)
    for row, share in enumerate((0.25, 0.25, 0.0)):
        seasonal = values[row, -24:-18]
        assert answers[row].mean == pytest.approx((1 - share) * seasonal + share * trees[row], rel=1e-12)


def test_a_share_of_a_model_that_is_not_there_is_refused(hourly, fleet):
    state = with_share(hourly, fleet.digest, 0.5)
    asked = by_series(state), [window(np.ones(200), end=3600 * 1_000)], 6
    with pytest.raises(BadInputError, match=r"shop/demand_count.*there is none"):
        predict(*asked)
    with pytest.raises(BadInputError, match="needs the fleet's boosted model ffff"):
        predict(by_series(with_share(hourly, "f" * 64, 0.5)), *asked[1:], fleet=fleet)
    with pytest.raises(BadInputError, match="of 3600 s"):
        require([state], None)
    require([state], fleet)
    require([hourly], None)


def test_a_model_for_another_horizon_is_refused(hourly, fleet):
    other = Boosted(
        method="boosted", step_seconds=3600, minimum_bins=25, horizon_steps=12, fleet=fleet.digest
    )
    state = replace(
        hourly, components=(other,), weights=np.ones(12), lower=hourly.lower[:12], upper=hourly.upper[:12]
    )
    with pytest.raises(BadInputError, match="for 12 steps"):
        require([state], fleet)
