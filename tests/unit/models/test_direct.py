"""The direct regression: what it leans on with little evidence, and what it learns with more."""

import numpy as np
import pytest

from maximus_assets.features.events import Event
from maximus_assets.models.forecasting.backtest import History, plan, replay
from maximus_assets.models.forecasting.direct import DirectRegression
from maximus_assets.models.forecasting.rolling import Block, roll
from maximus_assets.models.forecasting.sarima import Sarima

START = 1_772_409_600
STEP = 3600
DAY = 24


def error(values: np.ndarray, events: tuple[Event, ...] = (), where: np.ndarray | None = None) -> float:
    history = History(values, START, STEP, events=events)
    split = plan(history)
    rolled = replay(DirectRegression(events), history, split).rolled
    rows = rolled.origins >= split.parts.judging_start
    apart = np.abs(rolled.errors[rows])
    if where is not None:
        target = rolled.origins[rows][:, None] + np.arange(DAY)
        apart = apart[np.append(where, np.zeros(DAY, dtype=bool))[target]]
    return float(np.nanmean(apart))


def demand(days: int, seed: int = 1) -> np.ndarray:
    at = np.arange(days * DAY)
    weekday = 1.0 - 0.4 * ((at // DAY) % 7 >= 5)
    noise = np.random.default_rng(seed).normal(0.0, 2.0, len(at))
    return 100.0 * weekday * (1.0 + 0.5 * np.sin(2 * np.pi * at / DAY)) + noise


def test_a_weekly_shape_is_forecast_near_its_noise():
    assert error(demand(35)) < 1.8 * 2.0 * np.sqrt(2 / np.pi)


def test_a_known_event_is_forecast_from_earlier_ones():
    at = np.arange(42 * DAY)
    # Every fifth day from ten o'clock to four: neither day nor week tells it.
    is_sale = ((at // DAY) % 5 == 2) & (at % DAY >= 10) & (at % DAY < 16)
    values = demand(42) + 80.0 * is_sale
    days = np.flatnonzero((np.arange(42)) % 5 == 2)
    events = tuple(
        Event("sale", START + int(d) * 86_400 + 10 * STEP, START + int(d) * 86_400 + 16 * STEP) for d in days
    )
    assert error(values, events, is_sale) < 0.5 * error(values, (), is_sale)


def test_an_incident_is_not_taken_for_a_season():
    values = demand(28)
    hit = values.copy()
    hit[13 * DAY + 9 : 13 * DAY + 14] += 900.0
    assert error(hit) < 2.5 * error(values)


def test_a_season_that_stops_is_left_behind_within_days():
    values = demand(42)
    values[28 * DAY :] = 100.0 + np.random.default_rng(2).normal(0.0, 2.0, 14 * DAY)
    component = DirectRegression().fit(values[: 36 * DAY], START, STEP, DAY)
    rolled = roll([Block(component, 36 * DAY, 42 * DAY)], values, START, STEP)
    assert np.nanmean(np.abs(rolled.errors)) < 8.0


@pytest.mark.parametrize("level", [0.0, 7.0])
def test_a_constant_is_forecast_as_itself(level: float):
    component = DirectRegression().fit(np.full(400, level), START, STEP, DAY)
    rolled = roll([Block(component, 300, 400)], np.full(400, level), START, STEP)
    assert rolled.forecasts == pytest.approx(np.full(rolled.forecasts.shape, level))


def test_blocks_of_different_kinds_are_refused():
    values = demand(20)
    blocks = [
        Block(DirectRegression().fit(values, START, STEP, DAY), 240, 264),
        Block(Sarima().fit(values, START, STEP, DAY), 264, 288),
    ]
    with pytest.raises(TypeError, match="of one kind"):
        roll(blocks, values, START, STEP)
