"""States to predict from."""

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest

from maximus_assets.pyfuncs.components import Recursion
from maximus_assets.pyfuncs.state import SeriesState

RECURSION = Recursion(
    method="seasonal_naive",
    step_seconds=300,
    minimum_bins=288,
    horizon_steps=288,
    season_steps=288,
    day_harmonics=0,
    week_harmonics=0,
    regression=np.empty(0),
    ar=np.empty(0),
    ma=np.empty(0),
)

STATE = SeriesState(
    target="shop",
    sensor="demand_count",
    method="seasonal_naive",
    components=(RECURSION,),
    weights=np.ones(288),
    floor=-np.inf,
    lower=-np.ones(288),
    upper=np.full(288, 2.0),
)

_OF_COMPONENT = {field.name for field in fields(Recursion)} - {"method"}


@pytest.fixture
def make_state() -> Callable[..., SeriesState]:
    """A day's seasonal-naive, with fields of the state or of its one component replaced."""

    def make(**changes: object) -> SeriesState:
        own = {name: changes.pop(name) for name in list(changes) if name in _OF_COMPONENT}
        component = replace(RECURSION, **own) if own else RECURSION
        horizon = component.horizon_steps
        shape = {"weights": np.ones(horizon), "lower": -np.ones(horizon), "upper": np.full(horizon, 2.0)}
        return replace(STATE, components=(component,), **(shape | changes))

    return make
