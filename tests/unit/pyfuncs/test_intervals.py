"""Widths that follow the day: the same in service as in the backtest, and only from what is known."""

import numpy as np
import pytest

from maximus_assets.models.forecasting.adaptive import SENSITIVITY, calibrate
from maximus_assets.models.forecasting.backtest import History
from maximus_assets.models.forecasting.rolling import Block, Rolled, roll
from maximus_assets.models.forecasting.seasonal_naive import SeasonalNaive
from maximus_assets.models.forecasting.today import with_today
from maximus_assets.pyfuncs.forecasting import predict
from maximus_assets.pyfuncs.intervals import (
    REACTION_RANGE,
    SCALE_LIMIT,
    changes,
    levels,
    missed,
    reaction,
    scales,
)
from maximus_assets.pyfuncs.state import SeriesState, dump, load
from maximus_assets.pyfuncs.window import SeriesWindow

START = 1_772_409_600
STEP = 900
DAY = 96


def demand(days: int, seed: int = 1) -> np.ndarray:
    """A daily course with noise, a few holes, and demand that triples in the middle of the last day."""
    rng = np.random.default_rng(seed)
    at = np.arange(days * DAY)
    values = 100.0 + 50.0 * np.sin(2 * np.pi * at / DAY) + rng.normal(0.0, 8.0, len(at))
    values[-DAY // 2 :] *= 3.0
    values[rng.random(len(at)) < 0.03] = np.nan
    return np.asarray(values)


def replayed(values: np.ndarray, begin: int, end: int, component) -> Rolled:
    return roll([Block(component, at, at + DAY) for at in range(begin, end, DAY)], values[:end], START, STEP)


@pytest.mark.parametrize("floor", [0.0, -np.inf])
def test_served_intervals_are_those_of_the_backtest_at_every_hour_of_the_day_after(floor: float):
    values, begin, learnt = demand(16), 6 * DAY, 15 * DAY
    component = SeasonalNaive().fit(values[:begin], START, STEP, DAY)
    before, whole = (replayed(values, begin, end, component) for end in (learnt, len(values)))
    at_learning = calibrate(before, values[:learnt], list(range(begin, learnt, DAY)), STEP, floor)
    judged = calibrate(whole, values, list(range(begin, len(values), DAY)), STEP, floor)
    state = SeriesState(
        target="shop",
        sensor="demand_count",
        method="seasonal_naive",
        components=(component,),
        weights=np.ones(DAY),
        floor=floor,
        lower=at_learning.next_lower,
        upper=at_learning.next_upper,
        sensitivity=at_learning.sensitivity,
    )
    (state,) = load(dump([with_today(state, History(values[:learnt], START, STEP, floor))]))
    rows = np.flatnonzero(whole.origins >= learnt)
    assert len(rows) == 24
    for row in rows:
        origin = int(whole.origins[row])
        window = SeriesWindow(
            "shop", "demand_count", START + STEP * (origin - 1), values[origin - 8 * DAY : origin]
        )
        (said,) = predict({("shop", "demand_count"): state}, [window], DAY)
        assert said.upper == pytest.approx(said.mean + judged.upper[row], rel=1e-9)
        assert said.lower == pytest.approx(np.maximum(said.mean + judged.lower[row], floor), rel=1e-9)
    # The day was not a quiet one: its last intervals are far wider than its first.
    assert judged.upper[rows[-1], 0] > 3.0 * judged.upper[rows[0], 0]


def test_many_windows_at_once_are_answered_as_each_alone():
    values = np.stack([demand(8, seed) for seed in range(4)], axis=1)
    ends = np.array([5 * DAY, 8 * DAY])
    together = changes(values, ends, STEP)
    for column in range(4):
        alone = changes(values[:, column : column + 1], ends, STEP)
        assert np.array_equal(together[:, column], alone[:, 0])
    assert together.shape == (2, 4, 3)


def test_nothing_after_an_origin_and_nothing_older_than_the_window_counts():
    values = demand(12)[:, None]
    ends = np.array([9 * DAY])
    later, older = values.copy(), values.copy()
    later[9 * DAY :] = 1e9
    older[: 9 * DAY - 8 * DAY] = -1e6
    for other in (later, older):
        assert changes(other, ends, STEP) == pytest.approx(changes(values, ends, STEP), abs=1e-6)
        assert levels(other, ends, STEP) == pytest.approx(levels(values, ends, STEP))
    assert np.array_equal(changes(later, ends, STEP), changes(values, ends, STEP))


@pytest.mark.parametrize("unit", [1e-300, 1e-3, 7.0, 1e300])
def test_a_scale_does_not_depend_on_the_unit(unit: float):
    values = demand(9)[:, None]
    ends = np.array([9 * DAY])
    forecasts = np.linspace(1.0, 500.0, DAY)[None, :]

    def scale(values: np.ndarray, forecasts: np.ndarray) -> np.ndarray:
        level, change = levels(values, ends, STEP)[:, 0], changes(values, ends, STEP)[:, 0]
        return scales(forecasts, level, change, np.array(SENSITIVITY), STEP)

    plain = scale(values, forecasts)
    assert scale(unit * values, unit * forecasts) == pytest.approx(plain, rel=1e-9)
    assert (np.diff(plain) > 0.0).mean() > 0.5
    assert (plain >= 1.0 / SCALE_LIMIT).all()
    assert (plain <= SCALE_LIMIT).all()


@pytest.mark.parametrize(
    "values", [np.zeros(700), np.full(700, 5.0), np.full(700, np.nan), np.full(700, 1.7e308), np.ones(1)]
)
def test_a_past_without_movement_leaves_the_scale_alone(values: np.ndarray):
    ends = np.array([len(values)])
    assert (changes(values[:, None], ends, STEP) == 0.0).all()
    assert np.isfinite(levels(values[:, None], ends, STEP)).all()


def test_a_course_that_is_left_is_seen_and_soonest_in_the_last_hour():
    calm, left = demand(9)[:, None], demand(9)[:, None]
    calm[-DAY // 2 :] /= 3.0
    left[-DAY // 2 :] /= 3.0
    left[-4:] += 300.0
    ends = np.array([9 * DAY])
    more = (changes(left, ends, STEP) - changes(calm, ends, STEP))[0, 0]
    assert more[0] > 2.0
    assert more[0] > more[1] > more[2] > 0.0


def test_misses_widen_and_their_absence_narrows_within_bounds():
    def after(*misses: float) -> float:
        return float(reaction(np.array(misses)[:, None], 6.0, STEP)[-1, 0])

    assert after() == 1.0
    assert after(*[0.0] * 48) < 1.0 < after(*[1.0] * 4)
    assert after(*[np.nan] * 96) == 1.0
    assert after(*[1.0] * 5000) == pytest.approx(REACTION_RANGE[1])
    assert after(*[0.0] * 5000) == pytest.approx(REACTION_RANGE[0])
    # At the nominal rate of misses nothing moves.
    assert after(*([1.0] + [0.0] * 19) * 4) == pytest.approx(1.0)


def test_a_hole_misses_nothing():
    below, above = missed(np.array([1.0, 5.0, 9.0, np.nan]), np.full(4, 2.0), np.full(4, 8.0))
    assert below.tolist()[:3] == [1.0, 0.0, 0.0]
    assert above.tolist()[:3] == [0.0, 0.0, 1.0]
    assert np.isnan([below[3], above[3]]).all()
