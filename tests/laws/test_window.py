"""The live window and the learning side's grid are the same function of the same samples."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maximus_assets.contracts.telemetry import GRID_SECONDS, Sample, Series
from maximus_assets.features.grid import to_grid
from maximus_assets.telemetry.frames import SCHEMA
from serving.monitor.source import History
from serving.monitor.window import GridWindows

SERIES = (Series(target="a", sensor="load_1m"), Series(target="b", sensor="load_1m"))
START = datetime(2026, 3, 2, 11, 57, 30, tzinfo=UTC)
BINS = 12

observations = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(0, BINS * GRID_SECONDS - 400),
        st.floats(0, 1e6, allow_subnormal=False),
    ),
    max_size=60,
    unique_by=lambda one: one[:2],
)


def samples(seen):
    return [Sample(SERIES[k].target, "load_1m", START + timedelta(seconds=s), v) for k, s, v in seen]


def gridded(seen, now):
    """What the learning side makes of it: (target, bin start) -> mean, whole bins only."""
    frame = pl.DataFrame(samples(seen), schema=SCHEMA, orient="row")
    rows = to_grid(frame).drop_nulls("value").iter_rows()
    return {(t, at): v for t, _, at, v in rows if at + timedelta(seconds=GRID_SECONDS) <= now}


def shown(windows, now):
    end = windows.last_closed_at(now)
    found = {}
    for series, values in zip(SERIES, windows.values(now), strict=True):
        for back, value in enumerate(values[::-1]):
            if not np.isnan(value):
                found[series.target, end - timedelta(seconds=GRID_SECONDS * back)] = value
    return found


@given(observations, st.randoms(use_true_random=False), st.integers(1, 7))
def test_the_window_shows_what_the_grid_would(seen, random, turns):
    """In whatever order and however many turns the samples come."""
    now = START + timedelta(seconds=BINS * GRID_SECONDS - 400)
    windows = GridWindows(SERIES, bins=BINS)
    random.shuffle(seen)
    for turn in range(turns):
        windows.observe(samples(seen[turn::turns]), now)
    expected = gridded(seen, now)
    assert shown(windows, now) == pytest.approx(expected)
    assert not windows.dropped


@given(observations)
def test_a_loaded_past_shows_what_the_grid_would(seen):
    now = START + timedelta(seconds=BINS * GRID_SECONDS - 400)
    windows = GridWindows(SERIES, bins=BINS)
    for k, series in enumerate(SERIES):
        mine = sorted((START.timestamp() + s, v) for series_k, s, v in seen if series_k == k)
        windows.load(series, History(np.array([s for s, _ in mine]), np.array([v for _, v in mine])), now)
    assert shown(windows, now) == pytest.approx(gridded(seen, now))


@given(observations, st.integers(0, 40))
def test_time_passing_only_moves_the_window_on(seen, later):
    now = START + timedelta(seconds=BINS * GRID_SECONDS - 400)
    then = now + timedelta(seconds=GRID_SECONDS * later)
    windows = GridWindows(SERIES, bins=BINS)
    windows.observe(samples(seen), now)
    windows.observe([], then)
    oldest = windows.last_closed_at(then) - timedelta(seconds=GRID_SECONDS * (BINS - 1))
    expected = {key: value for key, value in gridded(seen, then).items() if key[1] >= oldest}
    assert shown(windows, then) == pytest.approx(expected)
