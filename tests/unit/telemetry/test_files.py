"""Every kind of file that is read, and what comes of it."""

import gzip
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.telemetry import instants
from maximus_assets.telemetry.files import FileOptions, read_file
from maximus_assets.telemetry.frames import SCHEMA

MAY = datetime(2024, 5, 1, tzinfo=UTC)


def write(tmp_path: Path, text: str, name: str = "web.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def points(frame: pl.DataFrame) -> list[tuple[datetime, float]]:
    return list(frame.select("observed_at", "value").iter_rows())


@pytest.mark.parametrize(
    "stamp",
    [
        "2024-05-01T00:00:00Z",
        "2024-05-01 00:00:00Z",
        "2024-05-01T00:00Z",
        "2024-05-01T02:00:00+02:00",
        "2024-05-01 02:00:00 +0200",
        "2024-04-30T19:30:00-04:30",
        "2024-05-01T00:00:00.000000Z",
        '"2024-05-01T00:00:00,000Z"',
        "2024-05-01T00:00:00.000000000Z",
        " 2024-05-01T02:00+02 ",
    ],
)
def test_an_instant_with_a_zone_needs_no_option(tmp_path, stamp):
    frame = read_file(write(tmp_path, f"timestamp,requests\n{stamp},42\n"), FileOptions())
    assert frame.schema == SCHEMA
    assert frame.rows() == [("web", "demand_count", MAY, 42.0)]


def test_local_timestamps_are_read_in_the_zone_given(tmp_path):
    path = write(tmp_path, "timestamp,requests\n2024-05-01 00:00,1\n2024-05-01 00:05,2\n")
    assert points(read_file(path, FileOptions(timezone="America/New_York"))) == [
        (MAY + timedelta(hours=4), 1.0),
        (MAY + timedelta(hours=4, minutes=5), 2.0),
    ]


def test_a_zone_that_agrees_with_the_timestamps_own_is_no_contradiction(tmp_path):
    path = write(tmp_path, "timestamp,requests\n2024-05-01T00:00:00Z,1\n")
    assert points(read_file(path, FileOptions(timezone="UTC"))) == [(MAY, 1.0)]


def test_dates_alone_are_midnights(tmp_path):
    path = write(tmp_path, '"ds","y"\n"2024-05-01",9.5\n"2024-05-02",8.5\n')
    assert points(read_file(path, FileOptions(timezone="UTC"))) == [
        (MAY, 9.5),
        (MAY + timedelta(days=1), 8.5),
    ]


def test_a_repeated_hour_is_told_apart_by_the_order_of_rows(tmp_path):
    # New York, 3 November 2024: 01:00-02:00 happens twice; every row is half an hour after the one before.
    local = ["00:30", "01:00", "01:30", "01:00", "01:30", "02:00"]
    path = write(tmp_path, "time,v\n" + "".join(f"2024-11-03 {at},1\n" for at in local))
    found = read_file(path, FileOptions(timezone="America/New_York"))["observed_at"].to_list()
    start = datetime(2024, 11, 3, 4, 30, tzinfo=UTC)
    assert found == [start + timedelta(minutes=30 * row) for row in range(6)]


def test_interleaved_series_pass_through_a_repeated_hour_each_by_itself(tmp_path):
    local = ["00:30", "01:00", "01:30", "01:00", "01:30", "02:00"]
    rows = "".join(f"a,2024-11-03 {at},1\nb,2024-11-03 {at},2\n" for at in local)
    frame = read_file(write(tmp_path, "target,time,value\n" + rows), FileOptions(timezone="America/New_York"))
    start = datetime(2024, 11, 3, 4, 30, tzinfo=UTC)
    for target in ("a", "b"):
        found = frame.filter(pl.col("target") == target)["observed_at"].to_list()
        assert found == [start + timedelta(minutes=30 * row) for row in range(6)]


def test_long_columns_are_taken_apart_piece_by_piece(tmp_path, monkeypatch):
    stamps = [MAY + timedelta(minutes=row) for row in range(25)]
    lines = [f"{at:%Y-%m-%dT%H:%M:%SZ},{at.minute}\n" for at in stamps]
    path = write(tmp_path, "timestamp,v\n" + "".join(lines))
    whole = read_file(path, FileOptions())
    monkeypatch.setattr(instants, "_PIECE_ROWS", 10)
    assert read_file(path, FileOptions()).equals(whole)
    lines[17] = "soon,1\n"
    with pytest.raises(BadInputError, match="row 18, column timestamp: 'soon' is not"):
        read_file(write(tmp_path, "timestamp,v\n" + "".join(lines)), FileOptions())


def test_hourly_rows_pass_through_a_repeated_hour(tmp_path):
    local = ["00:00", "01:00", "01:00", "02:00"]
    path = write(tmp_path, "time,v\n" + "".join(f"2024-11-03 {at},1\n" for at in local))
    found = read_file(path, FileOptions(timezone="America/New_York", step_seconds=3600))[
        "observed_at"
    ].to_list()
    start = datetime(2024, 11, 3, 4, tzinfo=UTC)
    assert found == [start + timedelta(hours=row) for row in range(4)]


def test_rows_pass_over_a_skipped_hour(tmp_path):
    path = write(tmp_path, "time,v\n2024-03-10 01:30,1\n2024-03-10 03:00,2\n")
    found = read_file(path, FileOptions(timezone="America/New_York", step_seconds=1800))[
        "observed_at"
    ].to_list()
    assert found[1] - found[0] == timedelta(minutes=30)


def test_seconds_are_counted_from_the_origin(tmp_path):
    path = write(tmp_path, "timestamp,cpu\n0,1\n300,2\n600.5,3\n")
    assert points(read_file(path, FileOptions(origin=MAY))) == [
        (MAY, 1.0),
        (MAY + timedelta(seconds=300), 2.0),
        (MAY + timedelta(seconds=600.5), 3.0),
    ]


def test_unix_time_is_read_from_an_origin_of_1970(tmp_path):
    path = write(tmp_path, f"timestamp,cpu\n{int(MAY.timestamp())},1\n")
    assert points(read_file(path, FileOptions.parse(origin="1970-01-01T00:00Z"))) == [(MAY, 1.0)]


def test_an_origin_without_a_zone_is_local_to_the_zone_given(tmp_path):
    path = write(tmp_path, "timestamp,cpu\n0,1\n")
    options = FileOptions.parse(origin="2024-05-01", timezone="Asia/Tokyo")
    assert points(read_file(path, options)) == [(MAY - timedelta(hours=9), 1.0)]


def test_rows_without_a_clock_are_counted(tmp_path):
    path = write(tmp_path, "day,cpu\n1,10\n1,20\n2,30\n")
    options = FileOptions.parse(origin="2024-05-01T00:00Z", step="5m", value=["cpu"])
    assert points(read_file(path, options)) == [
        (MAY + timedelta(minutes=5 * row), 10.0 * (row + 1)) for row in range(3)
    ]


def test_a_damaged_clock_can_be_replaced_and_is_then_no_value(tmp_path):
    path = write(tmp_path, "timestamp,value\n2024-05-01 03:00,1\n2024-05-01 03:00,2\n")
    options = FileOptions.parse(time_column="none", origin="2024-05-01T02:55Z", step="5m")
    assert [at.minute for at, _ in points(read_file(path, options))] == [55, 0]


def test_the_clock_may_have_any_name_when_it_is_told(tmp_path):
    path = write(tmp_path, "when,requests\n2024-05-01T00:00Z,1\n")
    assert read_file(path, FileOptions(time_column="when")).height == 1


def test_the_clock_is_found_by_its_usual_names_in_any_case(tmp_path):
    for name in ("TimeStamp", "Date", " time "):
        assert read_file(write(tmp_path, f"{name},v\n2024-05-01T00:00Z,1\n"), FileOptions()).height == 1


def test_several_columns_become_several_targets(tmp_path):
    path = write(
        tmp_path,
        "timestamp,CPU usage,note,mem\n2024-05-01T00:00Z,1,x,5\n2024-05-01T00:05Z,2,y,6\n",
        "Azure v2.csv",
    )
    frame = read_file(path, FileOptions(value=("CPU usage", "mem")))
    assert frame.select("target", "value").rows() == [
        ("azure-v2.cpu-usage", 1.0),
        ("azure-v2.cpu-usage", 2.0),
        ("azure-v2.mem", 5.0),
        ("azure-v2.mem", 6.0),
    ]
    assert read_file(path, FileOptions(value=("mem",)))["target"].unique().to_list() == ["azure-v2"]


def test_columns_may_be_called_by_numbers(tmp_path):
    path = write(tmp_path, "timestamp,17,18\n2024-05-01T00:00Z,1,5\n")
    assert read_file(path, FileOptions(value=("17",)))["value"].to_list() == [1.0]


def test_values_may_be_any_sensor_of_the_catalogue(tmp_path):
    path = write(tmp_path, "timestamp,v\n2024-05-01T00:00Z,0.5\n")
    assert read_file(path, FileOptions(sensor="cpu_used_ratio"))["sensor"].to_list() == ["cpu_used_ratio"]


def test_a_long_file_names_its_own_targets_and_sensors(tmp_path):
    path = write(
        tmp_path,
        "target,sensor,observed_at,value\n"
        "b,request_rate_per_second,2024-05-01T00:00Z,1\n"
        "a,cpu_used_ratio,2024-05-01T00:00Z,0.5\n"
        "a,request_rate_per_second,2024-05-01T00:00Z,3\n"
        "b,request_rate_per_second,2024-05-01T00:05Z,4\n",
    )
    assert read_file(path, FileOptions()).rows() == [
        ("a", "cpu_used_ratio", MAY, 0.5),
        ("a", "request_rate_per_second", MAY, 3.0),
        ("b", "request_rate_per_second", MAY, 1.0),
        ("b", "request_rate_per_second", MAY + timedelta(minutes=5), 4.0),
    ]


def test_a_long_file_without_sensors_gets_the_one_given(tmp_path):
    path = write(tmp_path, "target,timestamp,load\nweb,2024-05-01T00:00Z,7\n")
    assert read_file(path, FileOptions()).rows() == [("web", "demand_count", MAY, 7.0)]


def test_a_long_file_may_hold_more_columns_than_it_needs(tmp_path):
    path = write(tmp_path, "target,timestamp,value,label\nweb,2024-05-01T00:00Z,7,0\n")
    assert read_file(path, FileOptions())["value"].to_list() == [7.0]


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n\n"])
def test_the_end_of_the_last_line_does_not_matter(tmp_path, end):
    path = tmp_path / "web.csv"
    path.write_bytes(f"timestamp,v\r\n2024-05-01T00:00Z,1\r\n2024-05-01T00:05Z,2{end}".encode())
    assert read_file(path, FileOptions()).height == 2


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    path = tmp_path / "web.csv"
    path.write_bytes(b"\xef\xbb\xbftimestamp,v\n2024-05-01T00:00Z,1\n")
    assert read_file(path, FileOptions()).height == 1


def test_what_a_file_is_shows_in_its_bytes_not_in_its_name(tmp_path):
    table = pl.DataFrame({"timestamp": ["2024-05-01T00:00Z"], "v": [1]})
    parquet = io.BytesIO()
    table.write_parquet(parquet)
    csv = b"timestamp,v\n2024-05-01T00:00Z,1\n"
    for content in (csv, gzip.compress(csv), parquet.getvalue(), gzip.compress(parquet.getvalue())):
        path = tmp_path / "web.data"
        path.write_bytes(content)
        assert read_file(path, FileOptions(timezone="UTC")).rows() == [("web.data", "demand_count", MAY, 1.0)]


def test_gzip_members_are_read_one_after_the_other(tmp_path):
    path = tmp_path / "web.csv.gz"
    path.write_bytes(
        gzip.compress(b"timestamp,v\n2024-05-01T00:00Z,1\n") + gzip.compress(b"2024-05-01T00:05Z,2\n")
    )
    assert read_file(path, FileOptions())["value"].to_list() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("column", "options"),
    [
        (pl.Series([MAY]), FileOptions()),
        (pl.Series([MAY]).dt.cast_time_unit("ns"), FileOptions()),
        (pl.Series([MAY]).dt.convert_time_zone("Asia/Tokyo"), FileOptions()),
        (pl.Series([MAY]).dt.replace_time_zone(None).dt.cast_time_unit("ms"), FileOptions(timezone="UTC")),
        (pl.Series([MAY.date()]), FileOptions(timezone="UTC")),
        (pl.Series([0]), FileOptions(origin=MAY)),
        (pl.Series([0.0]), FileOptions(origin=MAY)),
        (pl.Series(["2024-05-01T00:00Z"]), FileOptions()),
    ],
)
def test_parquet_clocks_of_every_type_are_read(tmp_path, column, options):
    path = tmp_path / "web.parquet"
    pl.DataFrame({"timestamp": column, "v": pl.Series([3], dtype=pl.Int32)}).write_parquet(path)
    assert read_file(path, options).rows() == [("web", "demand_count", MAY, 3.0)]


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("NASA http_jul95.csv.gz", "nasa-http_jul95"),
        ("web.v2.parquet", "web.v2"),
        ("--_x.CSV", "x"),
        ("é-load.csv", "load"),
    ],
)
def test_a_target_is_named_after_its_file(tmp_path, name, target):
    content = b"timestamp,v\n2024-05-01T00:00Z,1\n"
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert read_file(path, FileOptions())["target"].to_list() == [target]


def test_long_file_names_stay_apart_when_they_are_cut(tmp_path):
    names = []
    for end in "ab":
        path = write(tmp_path, "timestamp,v\n2024-05-01T00:00Z,1\n", "x" * 80 + end + ".csv")
        names += read_file(path, FileOptions())["target"].to_list()
    assert len(set(names)) == 2
    assert [len(name) for name in names] == [63, 63]


def test_spacing_that_was_declared_may_have_holes(tmp_path):
    path = write(tmp_path, "timestamp,v\n2024-05-01T00:01Z,1\n2024-05-01T00:06Z,2\n2024-05-01T00:21Z,3\n")
    assert read_file(path, FileOptions(step_seconds=300)).height == 3


def test_an_origin_is_refused_where_a_parquet_file_shows_dates_of_its_own(tmp_path):
    path = tmp_path / "web.parquet"
    for stamp, zone in ((MAY, None), (MAY.replace(tzinfo=None), "UTC"), (MAY.date(), "UTC")):
        pl.DataFrame({"timestamp": [stamp], "v": [1]}).write_parquet(path)
        with pytest.raises(BadInputError, match=r"option --origin: .* need no origin"):
            read_file(path, FileOptions(origin=MAY, timezone=zone))
