"""Whatever is wrong with a file is reported with its place, and nothing of the file is kept."""

import gzip
import io
import os
import random
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.telemetry import tables
from maximus_assets.telemetry.files import FileOptions, read_file
from maximus_assets.telemetry.tables import read_table

ORIGIN = datetime(2024, 5, 1, tzinfo=UTC)
UTC_ONLY = FileOptions(timezone="UTC")
HEADER = "timestamp,requests\n"
GOOD = "2024-05-01T00:00Z,1\n"


def refusal(path: Path, options: FileOptions | None = None) -> BadInputError:
    with pytest.raises(BadInputError) as caught:
        read_file(path, options or FileOptions())
    assert str(caught.value).startswith(str(path))
    assert caught.value.source == str(path)
    return caught.value


def write(tmp_path: Path, content: str | bytes, name: str = "web.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# content, options, row, column or option, what the message says
ROWS = [
    pytest.param(
        HEADER + GOOD + "2024-05-01T00:05Z,-0.5\n",
        {"sensor": "cpu_used_ratio"},
        2,
        "requests",
        "-0.5 is no plausible cpu_used_ratio",
        id="below range",
    ),
    pytest.param(
        HEADER + GOOD + "2024-05-01T00:05Z,abc\n", {}, 2, "requests", "'abc' is not a number", id="word"
    ),
    pytest.param(
        HEADER + GOOD + '2024-05-01T00:05Z,"1,5"\n', {}, 2, "requests", "'1,5' is not a number", id="comma"
    ),
    pytest.param(HEADER + GOOD + "2024-05-01T00:05Z,0x10\n", {}, 2, "requests", "is not a number", id="hex"),
    pytest.param(HEADER + GOOD + "2024-05-01T00:05Z,true\n", {}, 2, "requests", "is not a number", id="bool"),
    pytest.param(
        HEADER + GOOD + "2024-05-01T00:05Z,NaN\n", {}, 2, "requests", "NaN is not a finite", id="nan"
    ),
    pytest.param(
        HEADER + GOOD + "2024-05-01T00:05Z,inf\n", {}, 2, "requests", "inf is not a finite", id="inf"
    ),
    pytest.param(
        HEADER + GOOD + "2024-05-01T00:05Z,-Infinity\n", {}, 2, "requests", "not a finite", id="-inf"
    ),
    pytest.param(
        HEADER + GOOD + "2024-05-01T00:05Z,1e400\n", {}, 2, "requests", "not a finite", id="overflow"
    ),
    pytest.param(HEADER + GOOD + "2024-05-01T00:05Z,\n", {}, 2, "requests", "the cell is empty", id="empty"),
    pytest.param(
        HEADER + GOOD + "2024-05-01T00:05Z,  \n", {}, 2, "requests", "the cell is empty", id="blank"
    ),
    pytest.param(
        HEADER + GOOD + "2024-05-01T00:05Z\n", {}, 2, "requests", "the cell is empty", id="short row"
    ),
    pytest.param(
        HEADER + GOOD + "2024-05-01T00:05Z,2e15\n",
        {},
        2,
        "requests",
        "2e+15 is no plausible demand_count",
        id="absurd",
    ),
    pytest.param(
        HEADER + GOOD + "2024-05-01T00:05Z,1.5\n",
        {"sensor": "cpu_used_ratio"},
        2,
        "requests",
        "no plausible cpu_used_ratio (0 to 1 ratio)",
        id="above range",
    ),
    pytest.param(HEADER + GOOD + "\n" + GOOD, {}, 2, "timestamp", "the clock cell is empty", id="blank line"),
    pytest.param(HEADER + GOOD + ",5\n", {}, 2, "timestamp", "the clock cell is empty", id="no clock cell"),
    pytest.param(
        HEADER + GOOD + GOOD, {}, 2, "timestamp", "2024-05-01T00:00:00+00:00 is there twice", id="duplicate"
    ),
    pytest.param(
        HEADER + GOOD + "2024-05-01T02:00+02:00,1\n",
        {},
        2,
        "timestamp",
        "is there twice",
        id="duplicate by another zone",
    ),
    pytest.param(
        HEADER + GOOD + "2024-04-30T23:55Z,1\n",
        {},
        2,
        "timestamp",
        "is earlier than the row before it",
        id="unordered",
    ),
    pytest.param(
        HEADER + GOOD + "01/05/2024 00:05,1\n",
        {},
        2,
        "timestamp",
        "'01/05/2024 00:05' is not an ISO 8601",
        id="slashes",
    ),
    pytest.param(
        HEADER + GOOD + "2024-13-01T00:05Z,1\n", {}, 2, "timestamp", "is not an ISO 8601", id="month 13"
    ),
    pytest.param(
        HEADER + GOOD + "2023-02-29T00:05Z,1\n", {}, 2, "timestamp", "is not an ISO 8601", id="no leap year"
    ),
    pytest.param(
        HEADER + GOOD + "2024-05-01T24:05Z,1\n", {}, 2, "timestamp", "is not an ISO 8601", id="hour 24"
    ),
    pytest.param(
        HEADER + GOOD + "2024-05-01T00:05+19:00,1\n",
        {},
        2,
        "timestamp",
        "is not an ISO 8601",
        id="offset 19 h",
    ),
    pytest.param(
        HEADER + GOOD + "2024-05-01T00:05+01:60,1\n",
        {},
        2,
        "timestamp",
        "is not an ISO 8601",
        id="offset minute 60",
    ),
    pytest.param(
        HEADER + GOOD + "2024-05-01T00:05,1\n", {}, 2, "timestamp", "some timestamps carry a zone", id="mixed"
    ),
    pytest.param(
        HEADER + "0024-05-01T00:05Z,1\n", {}, 1, "timestamp", "the year 24 is not plausible", id="year 24"
    ),
    pytest.param(
        HEADER + "2024-05-01 00:00,1\n",
        {},
        1,
        "timestamp",
        "no time zone; name it with --timezone",
        id="naive",
    ),
    pytest.param(
        HEADER + "2024-05-01,1\n",
        {},
        1,
        "timestamp",
        "no time zone; name it with --timezone",
        id="naive date",
    ),
    pytest.param(
        HEADER + GOOD, {"timezone": "Asia/Tokyo"}, 1, "timestamp", "it is not Asia/Tokyo", id="another zone"
    ),
    pytest.param(HEADER + "0,1\n300,2\n", {}, 1, "timestamp", "state it with --origin", id="relative"),
    pytest.param(
        HEADER + "1714521600,1\n", {}, 1, "timestamp", "1970-01-01T00:00Z for Unix time", id="unix time"
    ),
    pytest.param(
        HEADER + "1714521600000,1\n",
        {"origin": "1970-01-01T00:00Z"},
        1,
        "timestamp",
        "milliseconds",
        id="milliseconds",
    ),
    pytest.param(
        HEADER + "0,1\nnan,2\n", {"origin": "2024-05-01T00:00Z"}, 2, "timestamp", "no", id="clock nan"
    ),
    pytest.param(
        HEADER + "0,1\n5m,2\n",
        {"origin": "2024-05-01T00:00Z"},
        2,
        "timestamp",
        "not a number of seconds",
        id="clock word",
    ),
    pytest.param(
        HEADER + "0,1\n0,2\n",
        {"origin": "2024-05-01T00:00Z"},
        2,
        "timestamp",
        "is there twice",
        id="relative twice",
    ),
    pytest.param(
        HEADER + "0,1\n0.0000001,2\n",
        {"origin": "2024-05-01T00:00Z"},
        2,
        "timestamp",
        "is there twice",
        id="below a microsecond",
    ),
    pytest.param(
        HEADER + GOOD + "2024-05-01T00:07Z,2\n",
        {"step": "5m"},
        2,
        "timestamp",
        "420 s after the row before it, which is no multiple of --step 300s",
        id="uneven",
    ),
    pytest.param(
        HEADER + "2024-03-10 02:30,1\n",
        {"timezone": "America/New_York"},
        1,
        "timestamp",
        "was skipped in America/New_York",
        id="gap",
    ),
    pytest.param(
        HEADER + "2024-11-03 00:55,1\n2024-11-03 01:30,1\n",
        {"timezone": "America/New_York"},
        2,
        "timestamp",
        "2024-11-03 01:30:00 happens twice in America/New_York",
        id="fold",
    ),
    pytest.param(
        HEADER + "".join(f"2024-11-03 {at},1\n" for at in ("00:55", "01:00", "01:05", "01:05", "01:10")),
        {"timezone": "America/New_York"},
        4,
        "timestamp",
        "happens twice",
        id="duplicate in a fold",
    ),
    pytest.param(
        HEADER + GOOD,
        {"origin": "2024-05-01T00:00Z"},
        None,
        "--origin",
        "need no origin",
        id="origin of dates",
    ),
    pytest.param(
        HEADER + GOOD,
        {"time_column": "when"},
        None,
        "--time-column",
        "there is no column when; there are: timestamp, requests",
        id="no such clock",
    ),
    pytest.param(
        HEADER + GOOD, {"value": ["cpu"]}, None, "--value", "there is no column cpu", id="no such value"
    ),
    pytest.param(
        HEADER + GOOD,
        {"value": ["timestamp"]},
        None,
        "--value",
        "column timestamp is not a value",
        id="clock as value",
    ),
    pytest.param("timestamp\n2024-05-01T00:00Z\n", {}, None, "--value", "no column is left", id="no value"),
    pytest.param(
        "timestamp,a,b\n2024-05-01T00:00Z,1,2\n",
        {},
        None,
        "--value",
        "several columns could be the value: a, b",
        id="two values",
    ),
    pytest.param(
        "timestamp,a b,a-b\n2024-05-01T00:00Z,1,2\n",
        {"value": ["a b", "a-b"]},
        None,
        "--value",
        "same target name",
        id="same name",
    ),
    pytest.param(
        "time,date,v\n1,2,3\n",
        {},
        None,
        "--time-column",
        "several columns could be the clock: time, date",
        id="two clocks",
    ),
    pytest.param("day,cpu\n1,2\n", {}, None, "--time-column", "give --origin and --step", id="no clock"),
    pytest.param(
        "day,cpu\n1,2\n",
        {"origin": "2024-05-01T00:00Z"},
        None,
        "--time-column",
        "--step",
        id="no clock, no step",
    ),
    pytest.param(
        HEADER + GOOD,
        {"time_column": "none", "origin": "2024-05-01T00:00Z"},
        None,
        "--step",
        "rows without a clock need --origin",
        id="no step",
    ),
    pytest.param(
        HEADER + GOOD,
        {"time_column": "none", "step": "5m"},
        None,
        "--origin",
        "rows without a clock need --origin",
        id="no origin",
    ),
    pytest.param(
        HEADER + GOOD + GOOD,
        {"time_column": "none", "step": "366d", "origin": "2199-01-01T00:00Z"},
        None,
        "--step",
        "beyond the year 2200",
        id="too far",
    ),
    pytest.param(HEADER, {}, None, None, "there is a header but no row", id="0 rows"),
    pytest.param("", {}, None, None, "the file is empty", id="0 bytes"),
    pytest.param("\n\n", {}, 0, None, "there is no header line", id="no header"),
    pytest.param(
        "2024-05-01T00:00Z,42\n2024-05-01T00:05Z,43\n",
        {},
        0,
        None,
        "must name the columns, but holds data: 2024-05-01T00:00Z, 42",
        id="headless",
    ),
    pytest.param(
        "timestamp,v,v\n2024-05-01T00:00Z,1,2\n", {}, 0, "v", "two columns have this name", id="same column"
    ),
    pytest.param("timestamp;v\n2024-05-01T00:00Z;1\n", {}, 0, None, "separated by ';'", id="semicolons"),
    pytest.param(
        HEADER + GOOD + "2024-05-01T00:05Z,1,5\n",
        {},
        2,
        None,
        "3 cells where the header names 2",
        id="long row",
    ),
    pytest.param(
        HEADER + GOOD + '2024-05-01T00:05Z,"5\n', {}, 2, None, "cannot be read as CSV", id="open quote"
    ),
    pytest.param(
        (HEADER + GOOD).encode() + b"2024-05-01T00:05Z,\xff\n", {}, 2, None, "not UTF-8", id="latin"
    ),
    pytest.param(b"\xff" + HEADER.encode(), {}, 0, None, "not a CSV file in UTF-8", id="binary header"),
    pytest.param((HEADER + GOOD).encode("utf-16"), {}, None, None, "UTF-16", id="utf-16"),
    pytest.param(bytes(range(256)) * 20, {}, None, None, "this is binary", id="binary"),
    pytest.param(
        "target,timestamp,v\nweb,2024-05-01T00:00Z,1\nWeb 2,2024-05-01T00:00Z,1\n",
        {},
        2,
        "target",
        "'Web 2' is not a name",
        id="long: name",
    ),
    pytest.param(
        "target,timestamp,v\n,2024-05-01T00:00Z,1\n", {}, 1, "target", "the cell is empty", id="long: no name"
    ),
    pytest.param(
        "target,sensor,timestamp,v\nweb,speed,2024-05-01T00:00Z,1\n",
        {},
        1,
        "sensor",
        "'speed' is not in the sensor catalogue",
        id="long: sensor",
    ),
    pytest.param(
        "target,timestamp,v\nweb,2024-05-01T00:00Z,1\napp,2024-05-01T00:00Z,1\nweb,2024-05-01T00:00Z,1\n",
        {},
        3,
        "timestamp",
        "is there twice",
        id="long: duplicate",
    ),
    pytest.param(
        "target,sensor,timestamp,v\na,demand_count,2024-05-01T00:00Z,1\nb,cpu_used_ratio,2024-05-01T00:00Z,7\n",
        {},
        2,
        "v",
        "no plausible cpu_used_ratio",
        id="long: absurd",
    ),
    pytest.param(
        "target,v\nweb,1\n",
        {"origin": "2024-05-01T00:00Z", "step": "5m"},
        None,
        "--time-column",
        "needs a clock column of its own",
        id="long: no clock",
    ),
    pytest.param(
        "target,timestamp,a,b\nweb,2024-05-01T00:00Z,1,2\n",
        {"value": ["a", "b"]},
        None,
        "--value",
        "one value column",
        id="long: two values",
    ),
]


@pytest.mark.parametrize(("content", "options", "row", "column", "message"), ROWS)
def test_it_is_refused_by_file_row_and_column_or_option(tmp_path, content, options, row, column, message):
    path = write(tmp_path, content)
    error = refusal(path, FileOptions.parse(**options))
    assert (error.row, error.column) == (row, column)
    assert message in str(error)
    if row is not None:
        assert f", row {row}" in str(error)
    if column is not None:
        assert column in str(error)


PARQUET = [
    pytest.param({"timestamp": ["x"]}, None, "--value", "no column is left", id="missing column"),
    pytest.param({"timestamp": [ORIGIN], "v": [True]}, None, "v", "of type Boolean, not a number", id="bool"),
    pytest.param({"timestamp": [ORIGIN], "v": [ORIGIN]}, None, "v", "not a number", id="instant"),
    pytest.param(
        {"timestamp": [ORIGIN], "v": [[1]]}, None, "v", "of type List(Int64), not a number", id="list"
    ),
    pytest.param({"timestamp": [ORIGIN], "v": [None]}, None, "v", "of type Null, not a number", id="null"),
    pytest.param(
        {"timestamp": [ORIGIN], "v": [float("nan")]}, 1, "v", "nan is not a finite number", id="nan"
    ),
    pytest.param(
        {"timestamp": [ORIGIN], "v": pl.Series([None], dtype=pl.Float64)},
        1,
        "v",
        "the cell is empty",
        id="missing",
    ),
    pytest.param(
        {"timestamp": [True], "v": [1]}, None, "timestamp", "of type Boolean, which is no clock", id="clock"
    ),
    pytest.param(
        {"timestamp": [ORIGIN, None], "v": [1, 2]}, 2, "timestamp", "the clock cell is empty", id="no clock"
    ),
    pytest.param(
        {"timestamp": [ORIGIN.replace(tzinfo=None)], "v": [1]}, 1, "timestamp", "--timezone", id="naive"
    ),
    pytest.param({"timestamp": [300], "v": [1]}, 1, "timestamp", "--origin", id="relative"),
    pytest.param(
        {"timestamp": pl.Series([], dtype=pl.Int64), "v": pl.Series([], dtype=pl.Int64)},
        None,
        None,
        "no row",
        id="0 rows",
    ),
    pytest.param(
        {"target": [1], "timestamp": [ORIGIN], "v": [1]}, None, "target", "of type Int64, not text", id="name"
    ),
]


@pytest.mark.parametrize(("columns", "row", "column", "message"), PARQUET)
def test_parquet_is_refused_in_the_same_words(tmp_path, columns, row, column, message):
    path = tmp_path / "web.parquet"
    pl.DataFrame(columns).write_parquet(path)
    error = refusal(path)
    assert (error.row, error.column) == (row, column)
    assert message in str(error)


def test_a_gzip_that_was_cut_off_is_refused_wherever_it_ends(tmp_path):
    stamps = pl.datetime_range(ORIGIN, ORIGIN.replace(day=3), "1m", eager=True)
    whole = gzip.compress(
        pl.DataFrame({"timestamp": stamps.to_physical(), "v": stamps.to_physical() % 977})
        .write_csv()
        .encode()
    )
    for length in (3, 15, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        assert "cut off" in str(refusal(write(tmp_path, whole[:length], "web.csv.gz")))


def test_a_damaged_gzip_is_refused(tmp_path):
    whole = bytearray(gzip.compress((HEADER + GOOD).encode()))
    whole[-6] ^= 0xFF
    assert "cannot be read" in str(refusal(write(tmp_path, bytes(whole), "web.csv.gz")))
    whole = bytearray(gzip.compress(random.Random(1).randbytes(5000)))
    whole[12] = 0xFF
    assert "web.csv.gz" in str(refusal(write(tmp_path, bytes(whole), "web.csv.gz")))


def test_a_name_that_promises_gzip_must_keep_it(tmp_path):
    assert "no gzip file" in str(refusal(write(tmp_path, HEADER + GOOD, "web.csv.gz")))


def test_a_damaged_parquet_file_is_refused_not_misread(tmp_path):
    buffer = io.BytesIO()
    stamps = pl.datetime_range(ORIGIN, ORIGIN.replace(day=2), "1m", eager=True)
    pl.DataFrame({"timestamp": stamps, "v": range(len(stamps))}).write_parquet(buffer)
    whole = buffer.getvalue()
    for length in (5, 100, len(whole) - 1):
        assert "Parquet file is damaged" in str(refusal(write(tmp_path, whole[:length], "web.parquet")))


def test_a_missing_file_a_directory_and_what_is_no_file_are_refused(tmp_path):
    assert "there is no such file" in str(refusal(tmp_path / "none.csv"))
    assert "this is a directory" in str(refusal(tmp_path))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "no regular file" in str(refusal(pipe))
    assert "cannot be read" in str(refusal(write(tmp_path, HEADER) / "below.csv"))


def test_a_file_that_opens_but_does_not_read_is_refused():
    # The first page of a process's memory is never mapped: opening works, reading fails, for root as well.
    assert "cannot be read: Input/output error" in str(refusal(Path("/proc/self/mem")))


def test_a_file_beyond_the_limit_is_refused_before_it_is_held_in_memory(tmp_path):
    bomb = write(tmp_path, gzip.compress(HEADER.encode() + b" " * 5_000_000), "web.csv.gz")
    with pytest.raises(BadInputError, match="larger than 1,000,000 bytes uncompressed"):
        read_table(bomb, max_bytes=1_000_000)
    many = write(tmp_path, HEADER + GOOD * 1000)
    with pytest.raises(BadInputError, match="are more than 100 cells"):
        read_table(many, max_cells=100)
    path = tmp_path / "wide.parquet"
    pl.DataFrame(
        {"timestamp": pl.zeros(10_000, eager=True), "v": pl.zeros(10_000, eager=True)}
    ).write_parquet(path)
    with pytest.raises(BadInputError, match="10,000 rows of 2 columns are more than 1,000 cells"):
        read_table(path, max_cells=1000)
    assert tables.MAX_BYTES < 2**30


def test_a_file_after_which_nothing_can_be_named_is_refused(tmp_path):
    assert "no target can be named after this" in str(refusal(write(tmp_path, HEADER + GOOD, "№.csv")))


def test_files_of_random_bytes_are_refused_in_words(tmp_path):
    chance = random.Random(7)
    for number in range(60):
        content = chance.randbytes(chance.randrange(1, 400))
        start = chance.choice([b"", b"PAR1", b"\x1f\x8b\x08\x00", HEADER.encode(), b"timestamp,v\n0,"])
        refusal(write(tmp_path, start + content, f"junk{number}.csv"), FileOptions(origin=ORIGIN))
