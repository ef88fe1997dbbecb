"""Live evidence: what wins is better beyond noise on the same outcomes, and nothing else does."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from maximus_assets.checks.live import (
    UNDER_COST,
    Rules,
    Standing,
    champion_holds_against_naive,
    compared,
    judge_challenger,
    scored,
)
from maximus_assets.telemetry.outcomes import ACTUALS, FORECASTS, Outcomes

START = datetime(2026, 3, 2, tzinfo=UTC)
STEP = timedelta(minutes=5)
RULES = Rules()


def world(hours, forecasts, *, series=1, seed=0, phase_hours=0.0):
    """Outcomes of a daily wave with noise; `forecasts` maps a version to (bias, noise, half width) of what it said."""
    rng = np.random.default_rng(seed)
    bins = 12 * (hours + 2)
    back = 12 * 24 * 7
    clock = np.arange(-back, bins)
    wave = 100 + 40 * np.sin(2 * np.pi * (clock / 288 - np.where(clock >= 0, phase_hours / 24, 0.0)))
    actuals, said = [], []
    for index in range(series):
        target = f"shop-{index}"
        values = wave + rng.normal(0, 2, len(clock))
        actuals += [
            (target, "load", START + STEP * int(at), value) for at, value in zip(clock, values, strict=True)
        ]
        for at in range(12 * hours):
            truth = values[back + at + 1]
            hour = values[back + at + 1 : back + at + 13].mean()
            for version, (bias, noise, width) in forecasts.items():
                error = bias + rng.normal(0, noise)
                said.append(
                    (
                        version,
                        target,
                        "load",
                        START + STEP * at,
                        truth + error,
                        truth + error - width,
                        truth + error + width,
                        hour + error,
                    )
                )
    return Outcomes(
        pl.DataFrame(said, schema=FORECASTS, orient="row"),
        pl.DataFrame(actuals, schema=ACTUALS, orient="row"),
        series,
    )


def judge(outcomes, *, rules=RULES, age=10.0, shadow=30.0, has_drifted=False, known=None, added=0):
    standing = Standing("1", "2", age, shadow, has_drifted, added)
    return judge_challenger(scored(outcomes), standing, rules, known or outcomes.known_series)


def test_a_score_is_the_error_of_the_hour_the_loss_of_the_bin_and_whether_it_was_covered():
    outcomes = world(3, {"1": (0.0, 0.0, 1.0), "low": (-3.0, 0.0, 1.0), "high": (5.0, 0.0, 1.0)})

    rows = {key[0]: part for key, part in scored(outcomes).partition_by("version", as_dict=True).items()}

    assert rows["1"]["error"].max() == pytest.approx(0.0, abs=1e-9)
    assert rows["1"]["loss"].to_numpy() == pytest.approx(1.0)  # one unit of idle capacity
    assert rows["low"]["error"].to_numpy() == pytest.approx(3.0)
    assert rows["low"]["loss"].to_numpy() == pytest.approx(2.0 * UNDER_COST)  # two too few
    assert rows["high"]["loss"].to_numpy() == pytest.approx(6.0)
    assert [rows[name]["is_covered"].all() for name in ("1", "low", "high")] == [True, False, False]
    assert rows["1"].height == 36


def test_a_challenger_that_is_better_beyond_noise_is_promoted():
    judged = judge(world(26, {"1": (0.0, 3.0, 5.0), "2": (0.0, 2.0, 4.0)}))

    assert judged.action == "promote"
    assert judged.verdict.passed
    assert judged.verdict.measured["error_ratio_high"] < 1.0
    assert judged.verdict.measured["hours"] == 26


def test_a_challenger_that_is_worse_is_kept_waiting_and_then_retired():
    outcomes = world(26, {"1": (0.0, 2.0, 4.0), "2": (0.0, 3.0, 5.0)})

    assert judge(outcomes).action == "keep"
    assert "worse" in judge(outcomes).verdict.reasons[0]
    assert judge(outcomes, shadow=96.0).action == "retire"


def test_two_equal_versions_do_not_replace_one_another_unless_the_champion_is_old():
    outcomes = world(70, {"1": (0.0, 2.0, 4.0), "2": (0.0, 2.0, 4.0)}, series=8)

    assert judge(outcomes).action == "keep"
    assert judge(outcomes, age=24.0 * 8).action == "promote"


def test_a_version_that_forecasts_more_series_need_only_be_no_worse():
    equal = world(70, {"1": (0.0, 2.0, 4.0), "2": (0.0, 2.0, 4.0)}, series=8)
    worse = world(70, {"1": (0.0, 2.0, 4.0), "2": (0.0, 2.4, 4.0)}, series=8)

    judged = judge(equal, added=1)

    assert judged.action == "promote"
    assert "no worse, and it forecasts 1 more series" in judged.verdict.reasons[0]
    assert judge(worse, added=1).action == "keep"


def test_chance_alone_promotes_almost_never():
    """Twelve pairs of equals; at 1 % on each of two figures, more than two winners would be no chance."""
    won = [
        judge(world(24, {"1": (0.0, 2.0, 4.0), "2": (0.0, 2.0, 4.0)}, seed=seed)).action for seed in range(12)
    ]

    assert won.count("promote") <= 2


@pytest.mark.parametrize(
    ("hours", "has_drifted", "action"),
    [(23, False, "wait"), (24, False, "promote"), (7, True, "wait"), (8, True, "promote")],
)
def test_how_much_evidence_is_enough_depends_on_drift(hours, has_drifted, action):
    outcomes = world(hours, {"1": (0.0, 6.0, 9.0), "2": (0.0, 1.0, 4.0)})

    assert judge(outcomes, has_drifted=has_drifted).action == action


def test_evidence_on_few_of_the_champions_series_is_not_enough():
    outcomes = world(26, {"1": (0.0, 6.0, 9.0), "2": (0.0, 1.0, 4.0)}, series=2)

    assert judge(outcomes, known=2).action == "promote"
    assert judge(outcomes, known=3).action == "wait"


def test_only_outcomes_of_both_count():
    """The challenger was asked in the easy hours alone; that must not help it."""
    outcomes = world(26, {"1": (0.0, 2.0, 4.0), "2": (0.0, 2.0, 4.0)})
    late = pl.col("issued_at") >= START + timedelta(hours=13)
    hard = outcomes.forecasts.with_columns(
        pl.when((pl.col("version") == "1") & ~late)
        .then(pl.col("hour_mean") + 50)
        .otherwise(pl.col("hour_mean"))
        .alias("hour_mean")
    ).filter((pl.col("version") == "1") | late)
    judged = judge(Outcomes(hard, outcomes.actuals, 1), rules=Rules(minimum_hours=12))

    assert judged.verdict.measured["hours"] == 13
    assert judged.action == "keep"


def test_small_errors_do_not_excuse_intervals_that_hold_nothing():
    outcomes = world(26, {"1": (0.0, 6.0, 12.0), "2": (0.0, 1.0, 0.2)})
    judged = judge(outcomes)

    assert judged.action == "keep"
    assert "lie within its intervals" in " ".join(judged.verdict.reasons)


def test_a_ratio_weighs_every_series_alike_and_its_bounds_hold_it():
    scores = scored(world(24, {"1": (0.0, 2.0, 4.0), "2": (0.0, 4.0, 4.0)}, series=2))
    both = scores.filter(pl.col("version") == "2").join(
        scores.filter(pl.col("version") == "1").select("series", "issued_at", "error"),
        on=["series", "issued_at"],
        suffix="_champion",
    )
    big = both.with_columns(
        pl.when(pl.col("series") == "shop-0/load")
        .then(pl.col(name) * 1000)
        .otherwise(pl.col(name))
        .alias(name)
        for name in ("error", "error_champion")
    )

    ratio = compared(both, "error")
    assert ratio == pytest.approx(compared(big, "error"))
    assert 1.0 < ratio.low < ratio.ratio < ratio.high
    assert ratio == compared(both, "error")  # nothing is drawn anew


def test_a_champion_worse_than_yesterday_is_told_and_one_that_is_better_is_not():
    good = scored(world(30, {"1": (0.0, 1.0, 4.0)}))
    bad = scored(world(30, {"1": (6.0, 1.0, 4.0)}))

    assert champion_holds_against_naive(good, "1", 12).passed
    verdict = champion_holds_against_naive(bad, "1", 12)
    assert not verdict.passed
    assert verdict.measured["error_ratio_low"] > 1.1
    assert champion_holds_against_naive(bad, "1", 31).passed  # nothing is concluded from too little


def test_when_the_naive_fails_too_the_champion_is_not_blamed():
    moved = scored(world(20, {"1": (20.0, 1.0, 4.0)}, phase_hours=6.0))

    assert champion_holds_against_naive(moved, "1", 12).passed


def test_without_evidence_nothing_is_concluded():
    scores = scored(Outcomes.nothing())

    assert judge_challenger(scores, Standing("1", "2", 1.0, 1.0), RULES, 0).action == "wait"
    assert champion_holds_against_naive(scores, "1", 12).passed


@pytest.mark.parametrize(("has_drifted", "action"), [(True, "promote"), (False, "keep")])
def test_intervals_that_hold_again_replace_a_drifted_champions_that_do_not(has_drifted, action):
    scores = scored(world(24, {"1": (0, 1, 6), "2": (0, 1, 6)}))
    ours, theirs = (scores.filter(pl.col("version") == version) for version in "21")
    # The same errors and losses; every second outcome lies beyond the champion's intervals.
    same = ours.with_columns(theirs["error"], theirs["loss"])
    narrow = theirs.with_columns(pl.int_range(theirs.height).mod(2).eq(0).alias("is_covered"))
    standing = Standing(
        champion="1", challenger="2", champion_age_hours=10.0, shadow_hours=30.0, has_drifted=has_drifted
    )
    found = judge_challenger(pl.concat([same, narrow]), standing, RULES, 1)
    assert found.action == action, found.verdict.reasons
    assert any("its intervals hold" in why for why in found.verdict.reasons) == has_drifted


def test_intervals_that_hold_again_do_not_excuse_larger_errors():
    scores = scored(world(24, {"1": (0, 1, 6), "2": (0, 1, 6)}))
    ours, theirs = (scores.filter(pl.col("version") == version) for version in "21")
    worse = ours.with_columns(1.1 * theirs["error"], theirs["loss"])
    narrow = theirs.with_columns(pl.int_range(theirs.height).mod(2).eq(0).alias("is_covered"))
    standing = Standing(
        champion="1", challenger="2", champion_age_hours=10.0, shadow_hours=30.0, has_drifted=True
    )
    assert judge_challenger(pl.concat([worse, narrow]), standing, RULES, 1).action == "keep"
