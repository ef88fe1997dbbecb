from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.telemetry import FRAME_COLUMNS
from maximus_assets.features.grid import series_names, stretches, to_grid

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def frame(*rows: tuple[str, float, float | None]) -> pl.DataFrame:
    """Rows of (target, seconds after START, value)."""
    return pl.DataFrame(
        {
            "target": [row[0] for row in rows],
            "sensor": ["demand_count"] * len(rows),
            "observed_at": [START + timedelta(seconds=row[1]) for row in rows],
            "value": [row[2] for row in rows],
        },
        schema_overrides={"observed_at": pl.Datetime("us", "UTC"), "value": pl.Float64},
    )


def test_a_bin_holds_the_mean_of_its_samples_and_is_labelled_by_its_start():
    grid = to_grid(frame(("a", 0, 1.0), ("a", 299.999, 3.0), ("a", 300, 10.0)))
    assert grid["value"].to_list() == [2.0, 10.0]
    assert grid["observed_at"].to_list() == [START, START + timedelta(seconds=300)]


def test_bins_are_aligned_to_the_epoch_not_to_the_first_sample():
    grid = to_grid(frame(("a", 290, 1.0), ("a", 310, 2.0)))
    assert grid["observed_at"].to_list() == [START, START + timedelta(seconds=300)]


def test_a_bin_nobody_saw_is_missing_and_not_filled():
    grid = to_grid(frame(("a", 0, 1.0), ("a", 900, 4.0)))
    assert grid["value"].to_list() == [1.0, None, None, 4.0]


def test_each_series_spans_its_own_bins_only():
    grid = to_grid(frame(("b", 600, 1.0), ("a", 0, 1.0), ("a", 300, 1.0)))
    assert grid["target"].to_list() == ["a", "a", "b"]


def test_nan_and_null_are_not_seen_and_a_series_without_values_has_no_row():
    grid = to_grid(frame(("a", 0, float("nan")), ("a", 1, 5.0), ("b", 0, None), ("b", 5, float("nan"))))
    assert grid["target"].to_list() == ["a"]
    assert grid["value"].to_list() == [5.0]


def test_the_grid_of_a_grid_is_the_grid():
    grid = to_grid(frame(("a", 0, 1.0), ("a", 900, 4.0), ("b", 300, 2.0)))
    assert to_grid(grid).equals(grid)


def test_columns_are_those_of_a_telemetry_frame_even_without_rows():
    grid = to_grid(frame())
    assert grid.columns == list(FRAME_COLUMNS)
    assert grid.schema["observed_at"] == pl.Datetime("us", "UTC")
    assert grid.is_empty()


def test_a_step_that_is_no_width_is_refused():
    with pytest.raises(BadInputError, match="positive"):
        to_grid(frame(("a", 0, 1.0)), 0)


def test_an_instant_a_century_away_is_refused_before_its_bins_fill_the_memory():
    stray = frame(*((name, seconds, 1.0) for name in "abcdefgh" for seconds in (0.0, 80 * 365 * 86_400.0)))
    with pytest.raises(BadInputError, match=r"/demand_count: from 2026-03-02T12:00:00.* bins"):
        to_grid(stray)


def test_where_each_series_of_a_grid_lies_in_it():
    grid = to_grid(frame(("b", 0, 1.0), ("a", 0, 1.0), ("a", 900, 4.0), ("ab", 0, 2.0)))
    found = stretches(grid)
    assert found.rows() == [
        ("a", "demand_count", 0, 4),
        ("ab", "demand_count", 4, 1),
        ("b", "demand_count", 5, 1),
    ]
    assert stretches(grid.clear()).is_empty()


def test_the_series_of_a_frame_are_named_once_in_order_seen_or_not(monkeypatch):
    monkeypatch.setattr("maximus_assets.features.grid.BATCH_ROWS", 2)
    rows = frame(("b", 0, 1.0), ("a", 0, None), ("b", 1, 1.0), ("c", 0, 4.0), ("b", 2, 2.0))
    assert series_names(rows)["target"].to_list() == ["a", "b", "c"]
    assert series_names(rows.clear()).is_empty()
