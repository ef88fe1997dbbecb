"""A season that stops: what was learnt of it before and after, and who notices."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from maximus_assets.checks.drift import input_resembles_training, make_reference
from maximus_assets.features.grid import to_grid
from maximus_assets.models.forecasting.learn import learn
from maximus_assets.pyfuncs.forecasting import SeriesWindow, predict

START = datetime(2026, 3, 2, tzinfo=UTC)
STEP, DAY, LEVEL, SWING = 600, 144, 100.0, 40.0


def series(days: int, stops_after: int) -> np.ndarray:
    at = np.arange(days * DAY)
    swing = np.where(at < stops_after * DAY, SWING, 0.0)
    noise = np.random.default_rng(0).normal(0, 2, len(at))
    return LEVEL + swing * np.sin(2 * np.pi * at / DAY) + noise


def frame(values: np.ndarray) -> pl.DataFrame:
    at = [START + timedelta(seconds=STEP * index) for index in range(len(values))]
    columns = {"target": "shop", "sensor": "demand_count", "observed_at": at, "value": values}
    return pl.DataFrame(columns, schema_overrides={"observed_at": pl.Datetime("us", "UTC")})


def day_ahead(learnt, values: np.ndarray) -> np.ndarray:
    states = {(state.target, state.sensor): state for state in learnt.states}
    end = int(START.timestamp()) + STEP * (len(values) - 1)
    (answer,) = predict(states, [SeriesWindow("shop", "demand_count", end, values[-8 * DAY :])], DAY)
    assert answer.status == "ok"
    return answer.mean


def test_a_season_that_stops_is_forgotten_and_the_stop_is_told() -> None:
    before, since = series(14, 14), series(21, 14)
    learnt = learn(to_grid(frame(before), STEP), STEP)

    old = day_ahead(learnt, since)
    assert np.isfinite(old).all()
    assert np.abs(old - LEVEL).max() <= 2 * SWING, "whatever it says is no figure of another size"

    reference = make_reference(to_grid(frame(before), STEP), learnt.report)
    recent, now = frame(since[-2 * DAY :]), START + timedelta(days=21)
    moved = recent.with_columns(pl.col("observed_at") + timedelta(days=19))
    assert not input_resembles_training(to_grid(moved, STEP), reference, now).passed

    again = learn(to_grid(frame(since), STEP), STEP)
    new = day_ahead(again, since)
    assert np.abs(new - LEVEL).mean() < SWING / 4
