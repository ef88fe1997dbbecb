"""Whatever is written to a file in a form that is accepted is read back as it was."""

import contextlib
import gzip
import io
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.telemetry.files import FileOptions, read_file
from maximus_assets.telemetry.options import parse_duration
from maximus_assets.telemetry.quality import clock, completeness, duplicates, value_range

quick = settings(max_examples=40, deadline=None)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
values = st.floats(-1e15, 1e15, allow_nan=False) | st.integers(-(10**15), 10**15).map(float)
instants = st.integers(-2_000_000_000, 7_000_000_000).map(lambda s: EPOCH + timedelta(seconds=s))
names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)


@st.composite
def series(draw, target: str = "web") -> pl.DataFrame:
    """A telemetry frame of one series, ascending."""
    start = draw(instants)
    gaps = draw(st.lists(st.integers(1, 10**10), min_size=0, max_size=20))
    at = [start]
    for gap in gaps:
        at.append(at[-1] + timedelta(microseconds=gap))
    return pl.DataFrame(
        {
            "target": [target] * len(at),
            "sensor": ["demand_count"] * len(at),
            "observed_at": pl.Series(at).cast(pl.Datetime("us", "UTC")),
            "value": draw(st.lists(values, min_size=len(at), max_size=len(at))),
        }
    )


@st.composite
def fleets(draw) -> pl.DataFrame:
    """A telemetry frame of several series, by series."""
    targets = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    return pl.concat([draw(series(target)) for target in sorted(targets)])


def read(table: pl.DataFrame, form: str, options: FileOptions | None = None) -> pl.DataFrame:
    content = io.BytesIO()
    if form.startswith("parquet"):
        table.write_parquet(content)
    else:
        table.write_csv(content, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")
    data = content.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"web.{form}"
        path.write_bytes(gzip.compress(data, 1) if form.endswith("gz") else data)
        return read_file(path, options or FileOptions())


forms = st.sampled_from(["csv", "csv.gz", "parquet", "parquet.gz"])


@quick
@given(series(), forms)
def test_a_wide_file_is_read_as_it_was_written(frame, form):
    assert read(frame.select("observed_at", "value"), form).equals(frame)


@quick
@given(fleets(), forms, st.randoms(use_true_random=False))
def test_a_long_file_is_read_as_it_was_written_however_its_series_are_interleaved(frame, form, chance):
    order = sorted(range(frame.height), key=lambda row: (chance.random(), row))
    shuffled = frame[order].sort("observed_at", maintain_order=True)
    assert read(shuffled, form).equals(frame)


@quick
@given(st.lists(st.tuples(values, values), min_size=1, max_size=20), instants, forms)
def test_wide_and_long_files_of_the_same_observations_agree(pairs, start, form):
    at = [start + timedelta(minutes=5 * row) for row in range(len(pairs))]
    wide = pl.DataFrame({"timestamp": at, "a": [a for a, _ in pairs], "b": [b for _, b in pairs]})
    long = wide.unpivot(index="timestamp", variable_name="target")
    long = long.with_columns(pl.concat_str(pl.lit("web."), "target").alias("target"))
    assert read(wide, form, FileOptions(value=("a", "b"))).equals(read(long, form))


@quick
@given(series(), st.sampled_from(["UTC", "Asia/Kolkata", "America/Sao_Paulo", "America/New_York"]))
def test_local_times_are_those_instants_or_refused(frame, zone):
    local = frame["observed_at"].dt.convert_time_zone(zone).dt.replace_time_zone(None)
    passes = [[at.replace(tzinfo=ZoneInfo(zone), fold=fold).utcoffset() for at in local] for fold in (0, 1)]
    table = frame.select(local.alias("timestamp"), "value")
    if passes[0] == passes[1]:
        assert read(table, "parquet", FileOptions(timezone=zone)).equals(frame)
    else:
        # Within a repeated hour the order of a few rows rarely tells the passes apart: then nothing is read.
        with contextlib.suppress(BadInputError):
            read(table, "parquet", FileOptions(timezone=zone))


@quick
@given(series())
def test_seconds_from_an_origin_are_those_instants(frame):
    origin = frame["observed_at"][0].replace(microsecond=0)
    seconds = (frame["observed_at"] - origin).dt.total_microseconds() / 1e6
    table = frame.select(seconds.alias("timestamp"), "value")
    assert read(table, "parquet", FileOptions(origin=origin)).equals(frame)


@quick
@given(series(), st.data())
def test_one_wrong_cell_refuses_the_whole_file_and_names_its_row(frame, data):
    row = data.draw(st.integers(0, frame.height - 1))
    cell = data.draw(st.sampled_from(["", "x", "nan", "inf", "1e16", "--"]))
    cells = [str(value) for value in frame["value"]]
    cells[row] = cell
    table = frame.select("observed_at", pl.Series("value", cells))
    with pytest.raises(BadInputError) as caught:
        read(table, "csv")
    assert (caught.value.row, caught.value.column) == (row + 1, "value")


@quick
@given(series())
def test_what_the_reader_accepts_passes_the_tests_of_quality(frame):
    found = read(frame.select("observed_at", "value"), "csv")
    for verdict in (value_range(found), duplicates(found), clock(found, found["observed_at"].max())):
        assert verdict.passed, verdict.reasons
    assert 0 < completeness(found).measured["minimum_ratio_found"] <= 1


@given(st.integers(1, 365 * 86_400))
def test_every_whole_number_of_seconds_can_be_written_as_a_duration(seconds):
    minutes, rest = divmod(seconds, 60)
    assert parse_duration(f"{seconds}s", source="x") == seconds
    assert parse_duration(f"{minutes}m{rest}s", source="x") == seconds
