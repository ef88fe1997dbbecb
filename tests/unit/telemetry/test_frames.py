"""A telemetry frame is what its contract says, or is refused by row and column."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.telemetry import FRAME_COLUMNS, Sample
from maximus_assets.telemetry.frames import SCHEMA, by_series, empty, from_samples, validate

AT = datetime(2024, 5, 1, tzinfo=UTC)
GOOD = from_samples([Sample("web", "cpu_used_ratio", AT, 0.5), Sample("app", "demand_count", AT, 2.0)])


def test_the_schema_has_the_contracts_columns_in_order():
    assert SCHEMA.names() == list(FRAME_COLUMNS)
    assert list(SCHEMA.values()) == [pl.String(), pl.String(), pl.Datetime("us", "UTC"), pl.Float64()]


def test_frames_are_handed_back_unchanged():
    assert validate(GOOD, "x") is GOOD
    assert validate(empty(), "x").height == 0
    assert GOOD.rows() == [("web", "cpu_used_ratio", AT, 0.5), ("app", "demand_count", AT, 2.0)]


def test_an_implausible_value_has_the_form_of_a_frame():
    # Whether it is plausible is a question of quality, which can only be asked of a frame.
    frame = GOOD.with_columns(value=pl.lit(7.0))
    assert validate(frame, "x") is frame


@pytest.mark.parametrize(
    ("frame", "row", "column", "message"),
    [
        (GOOD.drop("sensor"), None, "sensor", "missing"),
        (GOOD.with_columns(value=pl.lit(1)), None, "value", "Int32, not Float64"),
        (
            GOOD.with_columns(pl.col("observed_at").dt.replace_time_zone(None)),
            None,
            "observed_at",
            "not Datetime",
        ),
        (GOOD.with_columns(unit=pl.lit("ms")), None, "unit", "no such column"),
        (GOOD.select(reversed(GOOD.columns)), None, None, "stand in the order"),
        (GOOD.with_columns(value=pl.Series([1.0, None])), 2, "value", "no value"),
        (GOOD.with_columns(value=pl.Series([1.0, float("nan")])), 2, "value", "not a finite number"),
        (GOOD.with_columns(value=pl.Series([float("-inf"), 1.0])), 1, "value", "not a finite number"),
        (GOOD.with_columns(target=pl.Series(["web", "W"])), 2, "target", "not a name"),
        (GOOD.with_columns(target=pl.Series(["web", "w\n"])), 2, "target", "not a name"),
        (
            GOOD.with_columns(sensor=pl.Series(["speed", "cpu_used_ratio"])),
            1,
            "sensor",
            "speed is not in the",
        ),
    ],
)
def test_what_is_no_frame_is_refused_by_row_and_column(frame, row, column, message):
    with pytest.raises(BadInputError, match=f"^here.*{message}") as caught:
        validate(frame, "here")
    assert (caught.value.row, caught.value.column) == (row, column)


def test_rows_are_put_in_order_by_series_and_instant_and_none_is_lost():
    names = [("b", "load_1m"), ("a", "load_1m"), ("a", "cpu_used_ratio")]
    rows = [Sample(*names[i % 3], AT + timedelta(seconds=(i * 7) % 10), float(i)) for i in range(60)]
    frame = from_samples(rows)
    assert by_series(frame).equals(frame.sort("target", "sensor", "observed_at", maintain_order=True))
    assert by_series(empty()).equals(empty())
