"""Which files of a data folder are demand, and what becomes of damaged ones."""

import gzip
from datetime import datetime, timedelta

import numpy as np
import pytest

from benchmarks.demand.series import Demand, Skipped, find, to_history, unit_of
from maximus_assets.contracts.errors import BadInputError


def put(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())


def table(header, rows):
    return header + "\n" + "\n".join(rows) + "\n"


def minutes(count, step=1):
    start = datetime(2020, 1, 1)  # noqa: DTZ001 - the files carry no zone
    return [(start + timedelta(minutes=step * i)).strftime("%Y-%m-%d %H:%M") for i in range(count)]


def by_name(root):
    return {found.name: found for found in find(root)}


def test_request_counts_by_the_minute_become_means_of_five_minutes(tmp_path):
    put(
        tmp_path,
        "workloads/web.csv.gz",
        table("timestamp,requests", [f"{t},{i}" for i, t in enumerate(minutes(10))]),
    )
    found = by_name(tmp_path)["workloads/web.csv.gz:requests"]
    assert found.unit == "requests"
    assert found.history.step_seconds == 300
    assert found.history.values.tolist() == [2.0, 7.0]
    assert found.history.start_epoch_seconds == 1_577_836_800
    assert found.history.floor == 0.0


def test_seconds_from_a_start_are_instants_and_only_columns_of_demand_are_series(tmp_path):
    put(
        tmp_path,
        "workloads/vm.csv",
        table("timestamp,cpu_usage,assigned_mem", ["0,5,1", "300,6,1", "600,7,1"]),
    )
    (found,) = find(tmp_path)
    assert found.name == "workloads/vm.csv:cpu_usage"
    assert found.unit == "cpu"
    assert found.history.values.tolist() == [5.0, 6.0, 7.0]


def test_days_without_a_clock_end_early_where_rows_are_missing(tmp_path):
    rows = [
        f"{day},{day * 1000 + i}" for day, count in ((1, 24), (2, 20), (3, 24), (4, 25)) for i in range(count)
    ]
    put(tmp_path, "workloads/days.csv", table("day,cpu_util_percent", rows))
    (found,) = find(tmp_path)
    values = found.history.values
    assert found.history.step_seconds == 3600
    assert len(values) == 96
    assert np.isnan(values[44:48]).all()
    assert np.isfinite(np.delete(values, range(44, 48))).all()
    assert values[48] == 3000.0
    assert values[-1] == (4023 + 4024) / 2


def test_the_unit_is_the_one_the_set_states_in_its_names(tmp_path):
    rows = [f"{t}:00,{i}" for i, t in enumerate(minutes(30, 5))]
    for name in (
        "realAWSCloudwatch/ec2_cpu_utilization_1.csv",
        "realAWSCloudwatch/elb_request_count_1.csv.gz",
        "realKnownCause/ec2_request_latency.csv",
        "artificialNoAnomaly/art_cpu.csv",
    ):
        put(tmp_path, f"nab/data/{name}", table("timestamp,value", rows))
    clouds = [f'"{t.replace(" ", "T")}:00Z",{i},0' for i, t in enumerate(minutes(90))]
    put(tmp_path, "cloud_monitoring/db-rps/a.csv.gz", table('"TimeStamp","Value","Label"', clouds))
    put(tmp_path, "cloud_monitoring/crash-rate/b.csv", table("TimeStamp,Value,Label", clouds))
    found = by_name(tmp_path)
    assert {name: one.unit for name, one in found.items() if isinstance(one, Demand)} == {
        "nab/data/realAWSCloudwatch/ec2_cpu_utilization_1.csv": "cpu",
        "nab/data/realAWSCloudwatch/elb_request_count_1.csv.gz": "requests",
        "cloud_monitoring/db-rps/a.csv.gz": "requests",
    }
    assert "is no demand" in found["nab/data/realKnownCause/ec2_request_latency.csv"].reason
    assert "is no demand" in found["cloud_monitoring/crash-rate/b.csv"].reason
    assert found["cloud_monitoring/db-rps/a.csv.gz"].history.values[0] == 2.0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        (
            "timestamp,requests\n2020-01-01 00:00,1\nyesterday,2\n",
            "row 2, column timestamp: 'yesterday' is no instant",
        ),
        ("timestamp,requests\n0,1\n60,many\n", "row 2, column requests: 'many' is no number"),
        ("timestamp,requests\n0,1\n86400,2\n", "coarser than hourly"),
        ("timestamp,requests\n0,1\n", "fewer than two instants"),
        ("timestamp,requests\n0,\n60,\n", "fewer than two instants with a value"),
        ("timestamp,requests\n0,1\n60,1\n120,1\n9e12,1\n", "is an instant wrong"),
        ("when,requests\n0,1\n", "neither a column timestamp nor a column day"),
        ("timestamp,memory\n0,1\n", "no column of requests or CPU"),
        ("day,requests\n1.5,1\n", "must be whole numbers"),
        ("timestamp,requests\n0,1,2,3\n60,1\n", "cannot be read"),
    ],
)
def test_a_damaged_file_is_left_out_with_its_reason_and_the_others_are_read(tmp_path, text, reason):
    put(tmp_path, "workloads/bad.csv", text)
    put(tmp_path, "workloads/good.csv", "timestamp,requests\n0,1\n60,2\n")
    bad, good = find(tmp_path)
    assert isinstance(bad, Skipped)
    assert reason in bad.reason
    assert isinstance(good, Demand)


def test_a_truncated_gzip_file_is_left_out(tmp_path):
    put(tmp_path, "workloads/bad.csv.gz", table("timestamp,requests", [f"{60 * i},{i}" for i in range(500)]))
    path = tmp_path / "workloads/bad.csv.gz"
    path.write_bytes(path.read_bytes()[:-200])
    (found,) = find(tmp_path)
    assert "cannot be read" in found.reason


def test_a_folder_without_the_sets_holds_nothing(tmp_path):
    assert list(find(tmp_path)) == []


def test_a_step_between_the_grids_widths_takes_the_next_that_divides_the_hour():
    history = to_history(np.arange(100) * 420.0, np.ones(100), "seven minutes")
    assert history.step_seconds == 600
    with pytest.raises(BadInputError, match="coarser than hourly"):
        to_history(np.arange(100) * 7200.0, np.ones(100), "two hours")


def test_holes_stay_missing():
    history = to_history(np.array([0.0, 300.0, 600.0, 1500.0]), np.array([1.0, np.nan, 3.0, 4.0]), "holes")
    np.testing.assert_array_equal(history.values, [1.0, np.nan, 3.0, np.nan, np.nan, 4.0])


def test_words_count_whole():
    assert unit_of("mongodb-machine-rps") == "requests"
    assert unit_of("corps") is None
    assert unit_of("rds_cpu_utilization_e47b3b") == "cpu"
