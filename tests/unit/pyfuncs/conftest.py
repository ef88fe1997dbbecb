"""States to predict from."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from maximus_assets.pyfuncs.state import SeriesState

STATE = SeriesState(
    target="shop",
    sensor="demand_count",
    method="seasonal_naive",
    step_seconds=300,
    minimum_bins=288,
    season_steps=288,
    day_harmonics=0,
    week_harmonics=0,
    regression=np.empty(0),
    ar=np.empty(0),
    ma=np.empty(0),
    floor=-np.inf,
    lower=-np.ones(288),
    upper=np.full(288, 2.0),
)


@pytest.fixture
def make_state() -> Callable[..., SeriesState]:
    """A day's seasonal-naive, with fields replaced."""
    return lambda **changes: replace(STATE, **changes)
