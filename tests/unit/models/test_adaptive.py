import numpy as np
import pytest

from maximus_assets.models.forecasting.adaptive import WIDTH_RANGE, calibrate
from maximus_assets.models.forecasting.conformal import offsets
from maximus_assets.models.forecasting.rolling import Rolled

STEP = 3600
DAY = 24


def rolled(errors: np.ndarray) -> Rolled:
    """Forecasts of zero from every hour; the error of hour t is errors[t], whatever the horizon."""
    origins = np.arange(len(errors), dtype=np.int64)
    padded = np.concatenate([errors, np.full(DAY, np.nan)])
    actuals = padded[origins[:, None] + np.arange(DAY)[None, :]]
    return Rolled(origins, np.zeros_like(actuals), actuals)


def days(count: int) -> list[int]:
    return [DAY * day for day in range(count)]


def coverage(one: Rolled, lower: np.ndarray, upper: np.ndarray, since: int) -> float:
    known = np.isfinite(one.actuals[since:])
    inside = (one.actuals[since:] >= lower[since:]) & (one.actuals[since:] <= upper[since:])
    return float(inside[known].mean())


def test_coverage_is_held_while_errors_grow_where_fixed_intervals_fall_short():
    rng = np.random.default_rng(1)
    growing = rolled(rng.normal(size=DAY * 60) * np.linspace(1.0, 6.0, DAY * 60))
    found = calibrate(growing, days(60), STEP, -np.inf)
    adapted = coverage(growing, found.lower, found.upper, DAY * 20)
    low, high = offsets(growing.errors[: DAY * 20], STEP)
    fixed = coverage(
        growing,
        np.broadcast_to(low, growing.actuals.shape),
        np.broadcast_to(high, growing.actuals.shape),
        DAY * 20,
    )
    assert adapted == pytest.approx(0.9, abs=0.03)
    assert fixed < 0.75


def test_steady_errors_keep_the_nominal_coverage():
    steady = rolled(np.random.default_rng(2).normal(size=DAY * 60))
    found = calibrate(steady, days(60), STEP, -np.inf)
    assert coverage(steady, found.lower, found.upper, DAY * 10) == pytest.approx(0.9, abs=0.02)
    assert found.next_upper == pytest.approx(np.full(DAY, 1.645), abs=0.45)


def test_the_first_day_has_no_width_and_teaches_no_miss():
    one = rolled(np.random.default_rng(3).normal(size=DAY * 3))
    found = calibrate(one, days(3), STEP, -np.inf)
    assert (found.lower[:DAY] == 0.0).all()
    assert (found.upper[:DAY] == 0.0).all()
    # The second day has the errors of the first, and few of them: its intervals are wider than their quantiles.
    known = np.where(np.arange(DAY * 3)[:, None] + np.arange(DAY) < DAY, one.errors, np.nan)
    nearest, farthest = offsets(known, STEP)[1][0], offsets(known, STEP)[1][-1]
    assert found.upper[DAY, 0] == pytest.approx(nearest * 1.12, abs=0.05 * nearest)
    assert found.upper[DAY, -1] > 2.0 * farthest


def test_a_streak_of_misses_widens_an_interval_up_to_its_limit():
    jumps = rolled(np.repeat(2.0 ** np.arange(40), DAY))
    found = calibrate(jumps, days(40), STEP, -np.inf)
    assert np.isfinite(found.next_upper).all()
    known = np.sort(jumps.errors[np.isfinite(jumps.errors[:, 0]), 0])
    assert known[-1] < found.next_upper[0] <= known[-1] * WIDTH_RANGE[1] * 1.1


def test_a_lasting_shift_is_held_again_within_days():
    rng = np.random.default_rng(4)
    shifted = rolled(rng.normal(size=DAY * 30) + np.where(np.arange(DAY * 30) < DAY * 20, 0.0, 8.0))
    found = calibrate(shifted, days(30), STEP, -np.inf)
    assert coverage(shifted, found.lower, found.upper, DAY * 24) > 0.85
