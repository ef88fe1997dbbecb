"""A season ago at today's level: the ratio, and the stated rule where there is none."""

import numpy as np
import pytest

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.pyfuncs.components import Rescaled
from maximus_assets.pyfuncs.past import fill
from maximus_assets.pyfuncs.rescaled import MOST_RATIO, rescale, rules

DAY = 24
SHAPE = 100.0 + 50.0 * np.sin(2 * np.pi * np.arange(DAY) / DAY)


def ahead(values: np.ndarray, *, level: int = DAY, around: int = 1, half_life: int = 0) -> np.ndarray:
    how = Rescaled("level_naive", 3600, 2 * DAY, DAY, DAY, level, around, half_life)
    origin, column = np.array([len(values)]), np.array([0])
    return rescale(fill(values[:, None], DAY), origin, column, rules([how], column), DAY)[0]


def test_demand_that_doubled_doubles_its_swing():
    assert ahead(np.concatenate([SHAPE, 2.0 * SHAPE])) == pytest.approx(4.0 * SHAPE)
    assert ahead(np.concatenate([SHAPE, SHAPE])) == pytest.approx(SHAPE)


def test_a_level_near_zero_is_corrected_by_difference():
    quiet = np.concatenate([np.full(DAY, 0.5), np.zeros(DAY)])
    quiet[DAY:] = 20.0
    # A half is a fortieth of the last day's mean: the ratio would be forty.
    assert ahead(quiet) == pytest.approx(np.full(DAY, 39.5))


def test_a_level_below_zero_is_corrected_by_difference():
    assert ahead(np.concatenate([SHAPE - 200.0, SHAPE - 190.0])) == pytest.approx(SHAPE - 180.0)


def test_a_ratio_is_held_within_its_bounds():
    tenfold = np.concatenate([np.full(DAY, 10.0), np.full(DAY, 100.0)])
    assert ahead(tenfold) == pytest.approx(np.full(DAY, 100.0 * MOST_RATIO))


def test_the_correction_fades_at_its_half_life():
    doubled = np.concatenate([np.full(DAY, 10.0), np.full(DAY, 20.0)])
    found = ahead(doubled, half_life=6)
    assert found[5] == pytest.approx(20.0 * 1.5)
    assert found[11] == pytest.approx(20.0 * 1.25)


def test_an_hour_looked_up_uses_nothing_later_than_the_present():
    values = np.concatenate([np.zeros(DAY), np.arange(DAY, dtype=float)])
    found = ahead(values, around=7, level=1)
    assert np.isfinite(found).all()
    # The last bin is a mean of what came up to the present alone.
    assert found[-1] > found[0]


def test_a_season_beyond_the_window_is_refused():
    with pytest.raises(BadInputError, match="season_steps"):
        Rescaled("level_naive", 3600, DAY, DAY, 7 * DAY, 1, 1, 0)
