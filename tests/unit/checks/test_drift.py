"""Drift is seen where the plant's season changes, and not where it does not."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from maximus_assets.checks.drift import (
    ALARM,
    REFERENCE,
    SLACK,
    first_alarm,
    input_resembles_training,
    live_error_is_as_backtested,
    make_reference,
)
from maximus_assets.features.grid import to_grid
from maximus_assets.plant.scenarios import SeasonChange
from maximus_assets.plant.world import Plant

START = datetime(2026, 2, 2, tzinfo=UTC)
NOW = START + timedelta(days=28)


def demand(change=None, days=30, seed=7):
    samples = Plant(seed, season_change=change).samples("demo-shop", START, START + timedelta(days=days), 300)
    return to_grid(samples.filter(pl.col("sensor") == "request_rate_per_second"))


@pytest.fixture(scope="module")
def reference(learnt_shop):
    return make_reference(demand().filter(pl.col("observed_at") < NOW), learnt_shop.learnt.report)


def test_a_reference_has_a_row_for_each_quarter_of_a_day(reference):
    assert reference.schema == REFERENCE
    assert reference["quarter"].to_list() == [0, 1, 2, 3]
    assert reference["days"].to_list() == [28] * 4
    assert reference["mae"].unique().len() == 1
    assert all(0.0 < distance < 0.8 for distance in reference["worst_distance"])
    assert reference.estimated_size() < 2000


def test_live_error_is_held_against_the_backtest_of_the_hour_ahead(reference, learnt_shop):
    chosen = learnt_shop.learnt.report.filter("is_chosen", sensor="request_rate_per_second")
    maes = dict(chosen.select("horizon_hours", "mae").iter_rows())

    assert maes[0] != maes[1]
    assert set(reference["mae"]) == {maes[1]}


def test_an_ordinary_day_resembles_the_training(reference):
    for hours in range(0, 48, 6):
        now = NOW + timedelta(hours=hours)
        verdict = input_resembles_training(demand().filter(pl.col("observed_at") < now), reference, now)
        assert verdict.passed, verdict.reasons
        assert verdict.measured["series_count"] == 1


def test_a_season_that_moved_is_seen_within_a_day_and_named(reference):
    moved = demand(SeasonChange(NOW, later_hours=6.0))
    now = NOW + timedelta(hours=24)

    verdict = input_resembles_training(moved.filter(pl.col("observed_at") < now), reference, now)

    assert not verdict.passed
    assert verdict.measured["drifted_series"] == "demo-shop/request_rate_per_second"


def test_a_constant_series_drifts_when_it_moves_and_not_before(learnt_shop):
    frame = demand().with_columns(value=pl.lit(5.0))
    reference = make_reference(frame.filter(pl.col("observed_at") < NOW), learnt_shop.learnt.report)
    later = frame.filter(pl.col("observed_at") >= NOW - timedelta(hours=12))

    assert input_resembles_training(later, reference, NOW + timedelta(days=1)).passed
    moved = later.with_columns(value=pl.lit(4.0))
    assert not input_resembles_training(moved, reference, NOW + timedelta(days=1)).passed


def test_a_version_without_a_reference_is_not_judged():
    verdict = input_resembles_training(demand(), pl.DataFrame(schema=REFERENCE), NOW)

    assert verdict.passed
    assert verdict.reasons == ("nothing has been judged yet",)


def test_the_alarm_comes_with_lasting_error_and_not_with_an_hour_of_trouble():
    calm = np.ones(72)
    incident = calm.copy()
    incident[30:32] = 50.0
    doubled = calm.copy()
    doubled[30:] = 2.5

    assert first_alarm(calm) is None
    assert first_alarm(incident) is None
    assert first_alarm(doubled) == 30 + round(ALARM / (2.5 - SLACK)) - 1


@pytest.mark.parametrize(("share", "passed"), [(1, True), (2, False)])
def test_a_fleet_has_drifted_when_more_than_a_tenth_of_it_has(share, passed):
    hours = [START + timedelta(hours=index) for index in range(20)]
    rows = [
        ("1", f"shop-{index}/load", at, 50.0 if index < share else 1.0) for index in range(10) for at in hours
    ]
    scores = pl.DataFrame(rows, schema=["version", "series", "issued_at", "error"], orient="row")
    one = {
        "quarter": 0,
        "deciles": [0.0] * 9,
        "shares": [0.0] * 18,
        "worst_distance": 0.1,
        "days": 1,
        "mae": 1.0,
    }
    reference = pl.DataFrame(
        [{"target": f"shop-{index}", "sensor": "load", **one} for index in range(10)], schema=REFERENCE
    )

    verdict = live_error_is_as_backtested(scores, reference, "1")

    assert verdict.passed is passed
    assert verdict.measured["drifted_count"] == share
    assert verdict.measured["drifted_series"].startswith("shop-0/load")
