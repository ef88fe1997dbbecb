import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import numpy as np
import polars as pl

from maximus_assets.features.calendar import fourier_columns
from maximus_assets.features.table import CALENDAR_COLUMNS, RECIPE, RECIPE_HASH, feature_table


def samples(count: int, every_seconds: int) -> pl.DataFrame:
    start = datetime(2026, 3, 2, tzinfo=UTC)
    return pl.DataFrame(
        {
            "target": ["a"] * count,
            "sensor": ["demand_count"] * count,
            "observed_at": [start + timedelta(seconds=every_seconds * i) for i in range(count)],
            "value": np.arange(count, dtype=float),
        },
        schema_overrides={"observed_at": pl.Datetime("us", "UTC")},
    )


def test_the_table_of_raw_samples_is_the_table_of_their_grid():
    raw = feature_table(samples(400, 60))
    assert raw.height == 80
    assert feature_table(raw.select("target", "sensor", "observed_at", "value")).equals(raw)


def test_calendar_columns_agree_with_those_of_the_shipped_model():
    table = feature_table(samples(600, 300))
    columns = fourier_columns(table["observed_at"].dt.epoch("s").to_numpy(), 1, 1)
    expected = dict(zip(("day_sin", "day_cos", "week_sin", "week_cos"), columns[:, 1:].T, strict=True))
    for name in CALENDAR_COLUMNS:
        assert np.allclose(table[name].to_numpy(), expected[name], atol=1e-7)


def test_the_recipe_hash_is_that_of_the_declared_recipe():
    text = json.dumps(RECIPE, sort_keys=True, separators=(",", ":"))
    assert sha256(text.encode()).hexdigest() == RECIPE_HASH
