"""The grid for any samples: every bin is the mean of its samples, and bins do not know one another."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
