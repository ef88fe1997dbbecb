"""The grid for any samples: every bin is the mean of its samples, and bins do not know one another."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maximus_assets.features import grid as grid_module
from maximus_assets.features.grid import to_grid

START = datetime(2026, 3, 2, tzinfo=UTC)
SAMPLES = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 40_000_000), st.floats(-1e6, 1e6)),
    min_size=1,
    max_size=60,
)


def frame(samples: list[tuple[str, int, float]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "target": [target for target, _, _ in samples],
            "sensor": ["demand_count"] * len(samples),
            "observed_at": [START + timedelta(milliseconds=after) for _, after, _ in samples],
            "value": [value for _, _, value in samples],
        },
        schema_overrides={"observed_at": pl.Datetime("us", "UTC")},
    )


@settings(deadline=None)
@given(SAMPLES, st.sampled_from([300, 600, 3600]))
def test_every_bin_is_the_mean_of_its_samples(samples, step: int):
    grid = to_grid(frame(samples), step)
    for target, _, at, value in grid.iter_rows():
        seen = [
            one
            for name, after, one in samples
            if name == target and START + timedelta(milliseconds=after - after % (step * 1000)) == at
        ]
        if value is None:
            assert not seen
        else:
            assert value == pytest.approx(sum(seen) / len(seen), rel=1e-9, abs=1e-6)
    for target in {name for name, _, _ in samples}:
        instants = grid.filter(pl.col("target") == target)["observed_at"]
        assert (instants.diff().drop_nulls() == timedelta(seconds=step)).all()


@settings(deadline=None)
@given(SAMPLES, st.integers(0, 130))
def test_the_grid_of_a_stretch_is_that_stretch_of_the_grid(samples, first_bin: int):
    cut = START + timedelta(seconds=300 * first_bin)
    whole = to_grid(frame(samples)).filter(pl.col("observed_at") >= cut).drop_nulls()
    part = to_grid(frame(samples).filter(pl.col("observed_at") >= cut)).drop_nulls()
    assert part.drop("value").equals(whole.drop("value"))
    # A mean may differ in its last bits with where its samples lie in memory.
    assert part["value"].to_list() == pytest.approx(whole["value"].to_list(), rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(SAMPLES, st.randoms())
def test_the_order_of_rows_does_not_show_in_the_grid(samples, random):
    shuffled = samples.copy()
    random.shuffle(shuffled)
    assert to_grid(frame(shuffled)).equals(to_grid(frame(samples)))


@settings(deadline=None)
@given(SAMPLES, st.integers(1, 20))
def test_series_put_into_bins_a_few_at_a_time_give_the_same_grid(samples, rows: int):
    before = grid_module.BATCH_ROWS
    whole = to_grid(frame(samples))
    grid_module.BATCH_ROWS = rows
    try:
        assert to_grid(frame(samples)).equals(whole)
    finally:
        grid_module.BATCH_ROWS = before


@settings(deadline=None)
@given(SAMPLES, st.data())
def test_a_grid_is_taken_as_it_is_and_what_is_nearly_one_is_not(samples, data):
    grid = to_grid(frame(samples))
    assert to_grid(grid) is grid
    row = data.draw(st.integers(0, grid.height - 1))
    at = pl.int_range(pl.len()) == row
    nearly = {
        "twice": pl.concat([grid[: row + 1], grid[row:]]),
        "not seen": grid.with_columns(pl.when(at).then(None).otherwise("value").alias("value")),
        "not a number": grid.with_columns(pl.when(at).then(float("nan")).otherwise("value").alias("value")),
        "late": grid.with_columns(
            pl.when(at)
            .then(pl.col("observed_at").dt.offset_by("1s"))
            .otherwise("observed_at")
            .alias("observed_at")
        ),
        "left out": pl.concat([grid[:row], grid[row + 1 :]]),
        "turned round": grid.reverse(),
    }
    for changed in nearly.values():
        again = to_grid(changed)
        assert again.equals(slow(changed))
        assert to_grid(again) is again


def slow(samples: pl.DataFrame) -> pl.DataFrame:
    """The grid, one bin after the other."""
    seen: dict[tuple[str, str, datetime], list[float]] = {}
    for target, sensor, at, value in samples.sort("target", "sensor", "observed_at", "value").iter_rows():
        if value is not None and value == value:  # noqa: PLR0124 - not-a-number is not
            start = at - (at - START) % timedelta(seconds=300)
            seen.setdefault((target, sensor, start), []).append(value)
    rows = []
    for target, sensor in sorted({key[:2] for key in seen}):
        starts = [key[2] for key in seen if key[:2] == (target, sensor)]
        at = min(starts)
        while at <= max(starts):
            values = seen.get((target, sensor, at))
            rows.append((target, sensor, at, sum(values) / len(values) if values else None))
            at += timedelta(seconds=300)
    return pl.DataFrame(
        rows,
        schema={
            "target": pl.String,
            "sensor": pl.String,
            "observed_at": pl.Datetime("us", "UTC"),
            "value": pl.Float64,
        },
        orient="row",
    )
