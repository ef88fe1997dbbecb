import numpy as np
import pytest

from maximus_assets.features.calendar import (
    DAY_SECONDS,
    WEEK_SECONDS,
    column_count,
    fourier_columns,
    frequencies,
)


@pytest.mark.parametrize(("day", "week"), [(0, 0), (3, 0), (0, 8), (6, 20), (2, 35)])
def test_columns_are_linearly_independent_over_two_weeks(day: int, week: int):
    seconds = np.arange(0, 2 * WEEK_SECONDS, 300, dtype=np.int64)
    columns = fourier_columns(seconds, day, week)
    assert columns.shape == (len(seconds), column_count(day, week))
    assert np.linalg.matrix_rank(columns) == columns.shape[1]


def test_a_harmonic_of_the_week_that_the_day_brings_is_left_out():
    assert len(frequencies(1, 7)) == 1 + 6
    assert len(frequencies(0, 7)) == 7
    assert len(frequencies(1, 14)) == 1 + 6 + 6 + 1  # the day brings its first harmonic, not its second


def test_phases_repeat_every_week_exactly_even_far_from_the_epoch():
    seconds = np.array([0, 12_345, 500_000], dtype=np.int64)
    near, far = fourier_columns(seconds, 4, 10), fourier_columns(seconds + 5000 * WEEK_SECONDS, 4, 10)
    assert np.array_equal(near, far)


def test_the_first_pair_is_the_phase_of_the_day():
    quarter = fourier_columns(np.array([0, DAY_SECONDS // 4], dtype=np.int64), 1, 0)
    assert quarter[0] == pytest.approx([1.0, 0.0, 1.0])
    assert quarter[1] == pytest.approx([1.0, 1.0, 0.0], abs=1e-12)
