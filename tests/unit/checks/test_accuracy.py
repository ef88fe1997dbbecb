import polars as pl
import pytest

from maximus_assets.checks.accuracy import (
    forecaster_beats_seasonal_naive,
    interval_coverage_holds,
    prediction_is_fast,
)
from maximus_assets.models.forecasting.learn import REPORT_SCHEMA


def row(target: str = "a", **changes: object) -> dict[str, object]:
    return {
        "target": target,
        "sensor": "demand_count",
        "method": "sarima",
        "is_chosen": True,
        "is_vetoed": False,
        "is_baseline": False,
        "horizon_hours": 1,
        "judged": 10**9,
        "r2": 0.8,
        "mae": 1.0,
        "baseline_mae": 1.0,
        "mase": 1.0,
        "mase_in_sample": 0.5,
        "coverage": 0.9,
        "coverage_strict": 0.9,
        "coverage_error": 0.0,
        **changes,
    }


def report(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=REPORT_SCHEMA)


@pytest.mark.parametrize(("mase", "passed"), [(1.0199, True), (1.02, True), (1.0201, False)])
def test_a_series_may_be_two_percent_worse_and_no_more(mase: float, passed: bool):
    verdict = forecaster_beats_seasonal_naive(report(row(mase=mase), row("b", mase=0.5)))
    assert verdict.passed is passed
    assert verdict.measured["mase_worst_ratio"] == pytest.approx(mase)
    assert verdict.measured["worst_series"] == "a/demand_count"
    if not passed:
        assert "a/demand_count" in verdict.reasons[0]


def test_a_series_is_judged_by_the_mean_over_its_horizons():
    rows = [row(mase=0.5), row(mase=1.2, horizon_hours=6), row(mase=1.3, horizon_hours=24)]
    assert forecaster_beats_seasonal_naive(report(*rows)).passed
    rows.append(row("b", mase=1.03))
    assert not forecaster_beats_seasonal_naive(report(*rows)).passed


def test_how_often_a_choice_was_vetoed_is_told():
    vetoed = row(mase=1.5, is_chosen=False, is_vetoed=True)
    assert forecaster_beats_seasonal_naive(report(row(), row("b"), vetoed)).measured["vetoed_count"] == 1


def test_what_was_not_chosen_is_not_judged():
    verdict = forecaster_beats_seasonal_naive(report(row(), row(mase=9.0, is_chosen=False)))
    assert verdict.passed
    assert verdict.measured["series_count"] == 1
    assert interval_coverage_holds(report(row(), row(coverage=0.1, is_chosen=False))).passed


def test_an_undefined_ratio_fails_and_an_unjudged_horizon_does_not_count():
    assert not forecaster_beats_seasonal_naive(report(row(mase=None, baseline_mae=0.0))).passed
    unjudged = row(mase=None, mae=None, judged=0, horizon_hours=24)
    assert forecaster_beats_seasonal_naive(report(row(), unjudged)).passed
    assert not forecaster_beats_seasonal_naive(report(unjudged)).passed


@pytest.mark.parametrize("check", [forecaster_beats_seasonal_naive, interval_coverage_holds])
def test_no_evidence_is_no_pass(check):
    verdict = check(report())
    assert not verdict.passed
    assert verdict.reasons


@pytest.mark.parametrize(
    ("coverage", "error", "passed"),
    [
        (0.871, 0.0, True),
        (0.869, 0.0, False),
        (0.949, 0.0, True),
        (0.951, 0.0, False),
        (0.845, 0.01, True),  # within 0.03 + 2.576 * 0.01
        (0.843, 0.01, False),
        (0.751, 0.2, True),  # uncertainty excuses no more than 0.12
        (0.749, 0.2, False),
        (0.751, None, True),
        (0.749, None, False),
    ],
)
def test_pooled_coverage_is_held_to_its_tolerance_and_its_uncertainty(
    coverage: float, error: float | None, passed: bool
):
    one = row(coverage=coverage, coverage_strict=coverage, coverage_error=error)
    verdict = interval_coverage_holds(report(one))
    assert verdict.passed is passed
    assert verdict.measured["coverage_1h_ratio"] == pytest.approx(coverage)


def test_each_horizon_is_held_to_it_alone():
    rows = [row(), row(horizon_hours=24, coverage=0.80, coverage_strict=0.80)]
    verdict = interval_coverage_holds(report(*rows))
    assert not verdict.passed
    assert verdict.reasons[0].startswith("24h ahead")


@pytest.mark.parametrize(
    ("coverage", "error", "passed"),
    [(0.821, 0.0, True), (0.819, 0.0, False), (0.701, 0.3, True), (0.699, 0.3, False)],
)
def test_one_series_cannot_hide_behind_the_others(coverage: float, error: float, passed: bool):
    others = [row(f"t{i}") for i in range(20)]
    one = row("a", coverage=coverage, coverage_strict=coverage, coverage_error=error)
    verdict = interval_coverage_holds(report(one, *others))
    assert verdict.passed is passed
    assert verdict.measured["series_too_narrow_count"] == (0 if passed else 1)


def test_a_series_that_stands_still_is_not_too_wide():
    verdict = interval_coverage_holds(report(row(coverage=1.0, coverage_strict=0.0)))
    assert verdict.passed
    assert verdict.measured["series_holding_nominal_ratio"] == 1.0


@pytest.mark.parametrize(("judged", "passed"), [(4 * 24, True), (300 * 24, False)])
def test_a_few_days_that_were_all_held_are_not_certain_to_be_too_wide(judged: int, passed: bool):
    one = row(horizon_hours=24, judged=judged, coverage=1.0, coverage_strict=1.0, coverage_error=0.0)
    assert interval_coverage_holds(report(one)).passed is passed


def test_the_figures_say_how_many_series_hold_the_nominal_coverage():
    shares = [(0.9, 0.01), (0.925, 0.01), (0.87, 0.01), (0.93, 0.01)]
    rows = [
        row(f"t{i}", coverage=share, coverage_strict=share, coverage_error=error)
        for i, (share, error) in enumerate(shares)
    ]
    assert interval_coverage_holds(report(*rows)).measured["series_holding_nominal_ratio"] == 0.5


@pytest.mark.parametrize(("seconds", "passed"), [(0.5, True), (0.501, False)])
def test_prediction_has_half_a_second(seconds: float, passed: bool):
    verdict = prediction_is_fast(seconds)
    assert verdict.passed is passed
    assert verdict.measured["prediction_seconds"] == seconds
