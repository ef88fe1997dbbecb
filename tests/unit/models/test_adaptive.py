import numpy as np
import pytest

from maximus_assets.models.forecasting import adaptive
from maximus_assets.models.forecasting.adaptive import WIDTH_RANGE, Calibrated, calibrate
from maximus_assets.models.forecasting.conformal import offsets
from maximus_assets.models.forecasting.rolling import Rolled
from maximus_assets.pyfuncs.intervals import REACTION_RANGE, SCALE_LIMIT

STEP = 3600
DAY = 24


def rolled(errors: np.ndarray) -> Rolled:
    """Forecasts of zero from every hour; the error of hour t is errors[t], whatever the horizon."""
    origins = np.arange(len(errors), dtype=np.int64)
    padded = np.concatenate([errors, np.full(DAY, np.nan)])
    actuals = padded[origins[:, None] + np.arange(DAY)[None, :]]
    return Rolled(origins, np.zeros_like(actuals), actuals)


def calibrated(one: Rolled, count: int) -> Calibrated:
    """By days; what was observed is what was not expected."""
    return calibrate(one, one.actuals[:, 0], days(count), STEP, -np.inf)


def days(count: int) -> list[int]:
    return [DAY * day for day in range(count)]


def coverage(one: Rolled, lower: np.ndarray, upper: np.ndarray, since: int) -> float:
    known = np.isfinite(one.actuals[since:])
    inside = (one.actuals[since:] >= lower[since:]) & (one.actuals[since:] <= upper[since:])
    return float(inside[known].mean())


def test_coverage_is_held_while_errors_grow_where_fixed_intervals_fall_short():
    rng = np.random.default_rng(1)
    growing = rolled(rng.normal(size=DAY * 60) * np.linspace(1.0, 6.0, DAY * 60))
    found = calibrated(growing, 60)
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
    found = calibrated(steady, 60)
    assert coverage(steady, found.lower, found.upper, DAY * 10) == pytest.approx(0.9, abs=0.02)
    assert found.upper[DAY * 10 :].mean() == pytest.approx(1.645, abs=0.3)
    assert found.lower[DAY * 10 :].mean() == pytest.approx(-1.645, abs=0.3)


def test_the_first_day_has_no_width_and_teaches_no_miss():
    one = rolled(np.random.default_rng(3).normal(size=DAY * 3))
    found = calibrated(one, 3)
    assert (found.lower[:DAY] == 0.0).all()
    assert (found.upper[:DAY] == 0.0).all()
    # The second day has the errors of the first, and few of them: its intervals are wider than their quantiles.
    known = np.where(np.arange(DAY * 3)[:, None] + np.arange(DAY) < DAY, one.errors, np.nan)
    nearest, farthest = offsets(known, STEP)[1][0], offsets(known, STEP)[1][-1]
    assert found.upper[DAY, 0] == pytest.approx(nearest * 1.05, abs=0.1 * nearest)
    assert found.upper[DAY, -1] > 1.3 * farthest


def test_a_streak_of_misses_widens_an_interval_up_to_its_limit():
    jumps = rolled(np.repeat(2.0 ** np.arange(40), DAY))
    found = calibrated(jumps, 40)
    assert np.isfinite(found.next_upper).all()
    assert np.isfinite(found.upper).all()
    # A day twice as far off as all before it: the largest known error, times what each part may widen it at most.
    known = jumps.actuals[38 * DAY, 0]
    most = known * WIDTH_RANGE[1] * REACTION_RANGE[1] * SCALE_LIMIT**2
    assert known < found.upper[39 * DAY, 0] <= most


def test_a_lasting_shift_is_held_again_within_days():
    rng = np.random.default_rng(4)
    shifted = rolled(rng.normal(size=DAY * 30) + np.where(np.arange(DAY * 30) < DAY * 20, 0.0, 8.0))
    found = calibrated(shifted, 30)
    assert coverage(shifted, found.lower, found.upper, DAY * 24) > 0.85


def test_errors_that_calm_down_and_grow_again_are_held_better_than_by_the_day_alone(monkeypatch):
    """Their size changes five-fold every ten days, in the middle of a day."""
    at = np.arange(DAY * 60)
    size = np.where((at + DAY // 2) // (10 * DAY) % 2 == 0, 1.0, 5.0)
    one = rolled(np.random.default_rng(5).normal(size=len(at)) * size)
    judged = slice(DAY * 10 + 108, DAY * 60 - 12)
    actual = one.actuals[judged, 0]

    def judge(found: Calibrated) -> tuple[float, float]:
        """How far from nominal the hour ahead is held in five days, on average, and its interval score."""
        lower, upper = found.lower[judged, 0], found.upper[judged, 0]
        inside = (actual >= lower) & (actual <= upper)
        shares = inside.reshape(-1, DAY * 5).mean(axis=1)
        beyond = np.maximum(lower - actual, 0.0) + np.maximum(actual - upper, 0.0)
        return float(np.abs(shares - 0.9).mean()), float((upper - lower + 20.0 * beyond).mean())

    distance, score = judge(calibrated(one, 60))
    monkeypatch.setattr(adaptive, "SENSITIVITY", (0.0,) * 5)
    monkeypatch.setattr(adaptive, "HALF_LIFE_DAYS", 14.0)
    distance_by_day, score_by_day = judge(calibrated(one, 60))
    assert distance < 0.07
    assert distance_by_day > 0.085
    assert score < 0.95 * score_by_day


def test_widths_are_in_the_unit_of_the_errors():
    one = rolled(np.random.default_rng(7).normal(size=DAY * 12))
    other = Rolled(one.origins, 8.0 * one.forecasts, 8.0 * one.actuals)
    found, scaled = calibrated(one, 12), calibrated(other, 12)
    assert scaled.upper == pytest.approx(8.0 * found.upper)
    assert scaled.next_lower == pytest.approx(8.0 * found.next_lower)


def test_a_day_knows_its_own_misses_of_before_an_origin_and_none_after_it():
    """A jump at noon widens the afternoon's intervals and nothing of the morning's."""
    errors = np.random.default_rng(8).normal(size=DAY * 12)
    jumped = errors.copy()
    noon = DAY * 11 + 12
    jumped[noon:] += 30.0
    quiet, loud = calibrated(rolled(errors), 12), calibrated(rolled(jumped), 12)
    assert np.array_equal(quiet.upper[: noon + 1], loud.upper[: noon + 1])
    assert (loud.upper[noon + 6 :, 0] > 2.0 * quiet.upper[noon + 6 :, 0]).all()
