"""Pictures are PNG, bounded, and show what they say, whatever they are given."""

import io
from datetime import UTC, datetime, timedelta

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest
from matplotlib.image import imread

from maximus_assets.contracts.verdict import Verdict
from maximus_assets.features.table import feature_table
from maximus_assets.plant.world import Plant
from maximus_assets.plots.canvas import (
    BAD,
    GAP,
    MAX_BYTES,
    WIDTH,
    PictureTooLargeError,
    as_markdown,
    figure,
    to_png,
)
from maximus_assets.plots.forecaster import autocorrelation, draw_forecasters
from maximus_assets.plots.gates import bounded, draw_gate
from maximus_assets.plots.telemetry import draw_day, draw_history
from maximus_assets.telemetry.frames import by_series, empty
from maximus_assets.telemetry.quality_frozen import frozen_runs

START = datetime(2026, 2, 2, tzinfo=UTC)
END = START + timedelta(days=1)


def pixels(png: bytes) -> np.ndarray:
    assert png.startswith(b"\x89PNG")
    assert len(png) <= MAX_BYTES
    return np.asarray(imread(io.BytesIO(png)))[:, :, :3]


def share(image: np.ndarray, colour: str, alpha: float) -> float:
    """Share of the pixels that have a colour laid on white."""
    rgb = np.array(mpl.colors.to_rgb(colour)) * alpha + (1 - alpha)
    return float((np.abs(image - rgb).max(axis=2) < 0.02).mean())


@pytest.fixture(scope="module")
def day() -> pl.DataFrame:
    return by_series(Plant(7).samples("shop", START, END, 60))


def test_a_whole_day_has_no_marks_and_a_damaged_one_shows_its_gap_and_its_frozen_span(
    day: pl.DataFrame,
) -> None:
    is_hit = (pl.col("sensor") == "replica_cpu_used_ratio") & (
        pl.col("observed_at").dt.hour().is_between(14, 17)
    )
    gap = (pl.col("sensor") == "request_p95_ms") & (pl.col("observed_at").dt.hour().is_between(3, 5))
    damaged = day.with_columns(pl.when(is_hit).then(0.37).otherwise("value").alias("value")).filter(~gap)

    whole = pixels(draw_day(day, START, END, frozen_runs(day, [])))
    marked = pixels(draw_day(damaged, START, END, frozen_runs(damaged, [])))

    assert whole.shape[1] == WIDTH * 100
    assert share(whole, GAP, 0.35) == share(whole, BAD, 0.25) == 0.0
    assert share(marked, GAP, 0.35) > 0.005
    assert share(marked, BAD, 0.25) > 0.005


def test_what_is_wrong_is_shown_even_among_hundreds_of_series(day: pl.DataFrame) -> None:
    one = day.filter(pl.col("sensor") == "request_rate_per_second")
    many = by_series(pl.concat(one.with_columns(target=pl.lit(f"web-{n:03d}")) for n in range(40)))
    gone = many.filter(~((pl.col("target") == "web-037") & (pl.col("observed_at").dt.hour() > 6)))
    none = frozen_runs(one, [])

    flagged = pixels(draw_day(gone, START, END, none, ["web-037/request_rate_per_second"]))

    assert share(flagged, GAP, 0.35) > 0.01
    assert share(pixels(draw_day(gone, START, END, none)), GAP, 0.35) == 0.0


def test_nothing_observed_is_a_picture_that_says_so() -> None:
    pixels(draw_day(empty(), START, END, frozen_runs(empty(), [])))
    pixels(draw_history(feature_table(empty())))


def test_what_was_learnt_is_drawn_for_the_first_series_only(learnt_shop) -> None:
    pictures = draw_forecasters(learnt_shop.learnt, learnt_shop.grid)

    assert list(pictures) == ["demo-shop/request_rate_per_second"]
    assert pixels(pictures["demo-shop/request_rate_per_second"]).std() > 0.05
    assert draw_forecasters(learnt_shop.learnt, learnt_shop.grid, most=0) == {}


def test_a_series_with_little_history_or_none_judged_is_drawn_all_the_same(learnt_shop) -> None:
    from dataclasses import replace

    unjudged = replace(learnt_shop.learnt, report=learnt_shop.learnt.report.clear())

    for grid in (
        learnt_shop.grid.tail(5),
        learnt_shop.grid.with_columns(value=pl.lit(None, dtype=pl.Float64)),
    ):
        (png,) = draw_forecasters(unjudged, grid).values()
        pixels(png)


def test_weeks_of_demand_and_the_shape_of_their_day_are_drawn(day: pl.DataFrame) -> None:
    pixels(draw_history(feature_table(day)))


def test_autocorrelation_is_that_of_the_process() -> None:
    random = np.random.default_rng(3)
    noise = random.normal(size=4000)
    process = np.zeros(4000)
    for at in range(1, 4000):
        process[at] = 0.7 * process[at - 1] + noise[at]
    process[::50] = np.nan

    assert autocorrelation(process, 3) == pytest.approx([0.7, 0.49, 0.343], abs=0.06)
    assert np.abs(autocorrelation(noise, 20)).max() < 0.06
    assert autocorrelation(np.ones(10), 2).tolist() == [0.0, 0.0]
    assert autocorrelation(np.full(10, np.nan), 2).tolist() == [0.0, 0.0]


def test_a_gate_pairs_each_figure_with_its_bound() -> None:
    verdict = Verdict(
        name="gate_holds",
        passed=False,
        measured={
            "mase_pooled_ratio": 1.2,
            "worst_series": "a/b",
            "coverage_1h_ratio": 0.7,
            "coverage_1h_least_ratio": 0.8,
            "prediction_seconds": 0.1,
            "limit_seconds": 0.5,
        },
    )

    found = {each.name: (each.value, each.bound, each.is_most, each.holds) for each in bounded(verdict)}

    assert found == {
        "coverage_1h_ratio": (0.7, 0.8, False, False),
        "prediction_seconds": (0.1, 0.5, True, True),
    }
    assert draw_gate(Verdict(name="x_holds", passed=True)) is None
    image = pixels(draw_gate(verdict) or b"")
    assert share(image, BAD, 1.0) > 0.01


def test_a_picture_is_drawn_coarser_until_it_is_small_enough_and_refused_beyond_that() -> None:
    made = figure("noise", 4.0)
    made.subplots().imshow(np.random.default_rng(1).uniform(size=(300, 300)))
    fine = to_png(made, max_bytes=10**7)

    assert len(to_png(made, max_bytes=len(fine) - 1)) < len(fine)
    with pytest.raises(PictureTooLargeError, match="at most 100"):
        to_png(made, max_bytes=100)


def test_markdown_holds_the_picture_and_its_words() -> None:
    assert as_markdown(b"abc", "a [b]") == "![a (b)](data:image/png;base64,YWJj)"
