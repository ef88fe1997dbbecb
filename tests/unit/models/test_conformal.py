import numpy as np
import pytest

from maximus_assets.models.forecasting.conformal import LEAST_ERRORS, bounds, offsets


def test_bounds_are_the_corrected_order_statistics():
    # 99 errors: the 95th smallest above, the 5th smallest below.
    errors = np.arange(1.0, 100.0) - 50.0
    assert bounds(np.random.default_rng(1).permutation(errors)) == (5.0 - 50.0, 95.0 - 50.0)


def test_too_few_errors_promise_nothing():
    assert bounds(np.arange(LEAST_ERRORS - 1.0)) is None
    assert bounds(np.arange(float(LEAST_ERRORS))) is not None
    assert bounds(np.full(100, np.nan)) is None


def test_a_biased_method_keeps_its_forecast_within_its_interval():
    assert bounds(np.arange(10.0, 110.0))[0] == 0.0
    assert bounds(-np.arange(10.0, 110.0))[1] == 0.0


def test_bounds_widen_with_the_errors_of_their_own_horizon():
    rng = np.random.default_rng(2)
    errors = rng.normal(size=(200, 288)) * np.linspace(1.0, 10.0, 288)[None, :]
    lower, upper = offsets(errors, 300)
    assert upper[287] == pytest.approx(1.645 * 10.0, rel=0.15)
    assert upper[0] == pytest.approx(1.645, rel=0.25)
    assert lower[143] == pytest.approx(-1.645 * 5.5, rel=0.15)


def test_a_horizon_without_enough_errors_takes_the_widest_before_it():
    errors = np.full((60, 24), np.nan)
    errors[:, 0] = np.linspace(-4.0, 4.0, 60)
    errors[:, 1] = np.linspace(-1.0, 1.0, 60)
    lower, upper = offsets(errors, 3600)
    assert upper[0] > upper[1]
    assert (upper[2:] == upper[0]).all()
    assert (lower[2:] == lower[0]).all()


def test_a_first_horizon_without_enough_errors_takes_the_largest_seen():
    errors = np.full((3, 24), np.nan)
    errors[0, 5], errors[1, 7] = -9.0, 4.0
    lower, upper = offsets(errors, 3600)
    assert (lower == -9.0).all()
    assert (upper == 4.0).all()


def test_more_coverage_is_never_narrower_and_equal_weights_are_no_weights():
    rng = np.random.default_rng(6)
    errors = rng.standard_t(3, size=400)
    fading = 0.5 ** (np.arange(400) / 100)
    for weights in (None, fading):
        found = [bounds(errors, share, weights) for share in (0.5, 0.8, 0.9, 0.95)]
        lowers, uppers = zip(*(each for each in found if each is not None), strict=True)
        assert len(lowers) == 4
        assert list(lowers) == sorted(lowers, reverse=True)
        assert list(uppers) == sorted(uppers)
    assert bounds(errors, 0.9, np.ones(400)) == bounds(errors, 0.9)


def test_recent_errors_count_for_more():
    errors = np.concatenate([np.linspace(-10.0, 10.0, 300), np.linspace(-1.0, 1.0, 300)])
    fading = 0.5 ** (np.arange(600)[::-1] / 50)
    plain, recent = bounds(errors), bounds(errors, weights=fading)
    assert plain is not None
    assert recent is not None
    assert plain[1] > 8.0
    assert recent[1] < 3.0


def test_weights_that_add_up_to_little_promise_nothing():
    assert bounds(np.arange(100.0), weights=np.full(100, 0.18)) is None
    assert bounds(np.arange(100.0), weights=np.full(100, 0.2)) is not None
