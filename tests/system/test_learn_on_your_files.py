"""`maximus learn` on real recordings: request counts, processor use and CloudWatch exports, one command per format."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = {
    "nasa_http_jul95_1min.csv.gz": ["--timezone", "Etc/GMT+4"],
    "azure_v2_vm_cpu_mem_5min.csv.gz": ["--origin", "2019-01-01T00:00Z", "--value", "cpu_usage"],
    "alibaba2018_machine_usage_5min.csv.gz": [
        *("--time-column", "none", "--origin", "2018-01-01T00:00+08:00", "--step", "5m"),
        *("--value", "cpu_util_percent"),
    ],
}
CLOUDWATCH = ["--timezone", "UTC"]
DAMAGED_CLOCK = ["--time-column", "none", "--origin", "2014-03-01T17:36Z", "--step", "5m"]


def run_learn(file: Path, options: list[str], report: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "serving.cli",
        "learn",
        "--telemetry",
        str(file),
        *options,
        "--json",
        str(report),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.user_data
def test_every_recording_is_learnt_from_or_refused_for_what_is_wrong_with_it(user_data, tmp_path):
    workloads, exports = user_data / "workloads", user_data / "nab" / "data" / "realAWSCloudwatch"
    recordings = [
        (workloads / name, options) for name, options in COMMANDS.items() if (workloads / name).exists()
    ]
    recordings += [(file, CLOUDWATCH) for file in sorted(exports.glob("*.csv"))]
    assert recordings, f"none of the recordings is below {user_data}"
    for file, options in recordings:
        report = tmp_path / f"{file.name}.json"
        done = run_learn(file, options, report)
        if done.returncode == 2:
            assert "is there twice" in done.stderr, done.stderr
            assert "--time-column none" in done.stderr
            done = run_learn(file, DAMAGED_CLOCK, report)
        assert done.returncode == 0, done.stderr
        assert "coverage" in done.stdout
        assert json.loads(report.read_text())
