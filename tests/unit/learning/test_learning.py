"""The command line over real files, in process and as the subprocess `maximus learn` starts."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from maximus_assets.features.grid import to_grid
from maximus_assets.learning import app, grid_step

START = datetime(2026, 3, 2, tzinfo=UTC)


def write(path: Path, hours: int, header: str = "timestamp,requests", zone: str = "Z") -> Path:
    rng = np.random.default_rng(1)
    lines = [header]
    for hour in range(hours):
        at = (START + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M:%S") + zone
        lines.append(f"{at},{100 + 30 * np.sin(2 * np.pi * hour / 24) + rng.normal():.3f}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_file_is_backtested_and_written_as_json(tmp_path):
    source, report = write(tmp_path / "demand.csv", 24 * 15), tmp_path / "report.json"
    result = CliRunner().invoke(app, ["--telemetry", str(source), "--json", str(report)])
    assert result.exit_code == 0, result.output
    for text in ("demand/demand_count", "1h", "6h", "24h", "combination", "MASE", "coverage"):
        assert text in result.stdout
    (one,) = json.loads(report.read_text())
    assert one["step_seconds"] == 3600
    chosen = [row for row in one["rows"] if row["is_chosen"]]
    assert [row["horizon_hours"] for row in chosen] == [1, 6, 24]
    assert all(row["r2"] > 0.9 for row in chosen)


def test_figures_that_are_undefined_are_printed_as_such(tmp_path):
    source = tmp_path / "flat.csv"
    lines = [f"{(START + timedelta(hours=hour)).isoformat()},5" for hour in range(24 * 6)]
    source.write_text("\n".join(["timestamp,requests", *lines]))
    result = CliRunner().invoke(app, ["--telemetry", str(source)])
    assert result.exit_code == 0, result.output
    assert "n/a" in result.stdout
    assert "inf" not in result.stdout
    assert "nan" not in result.stdout


def test_a_refused_series_is_named_beside_those_learnt(tmp_path):
    long, short = write(tmp_path / "long.csv", 24 * 6), write(tmp_path / "short.csv", 24 * 2)
    result = CliRunner().invoke(app, ["--telemetry", str(long), "--telemetry", str(short)])
    assert result.exit_code == 0, result.output
    assert "refused short/demand_count: 2.0 days of history" in result.stdout


def test_nothing_learnt_is_bad_input(tmp_path):
    result = CliRunner().invoke(app, ["--telemetry", str(write(tmp_path / "short.csv", 24))])
    assert result.exit_code == 2
    assert "every series was refused" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--telemetry", "absent.csv"], "absent.csv"),
        (["--telemetry", "naive.csv"], "--timezone"),
        (["--telemetry", "good.csv", "--value", "nothing"], "nothing"),
        (["--telemetry", "good.csv", "--step", "5 parsecs"], "--step"),
        (["--telemetry", "good.csv", "--json", "no/such/folder.json"], "--json"),
        (["--telemetry", "good.csv", "--telemetry", "absent.csv"], "absent.csv"),
    ],
)
def test_bad_input_is_one_message_on_stderr_and_exit_code_two(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "good.csv", 24 * 5)
    write(tmp_path / "naive.csv", 24 * 5, zone="")
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "bad input" in result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_the_module_runs_as_a_process(tmp_path):
    source = write(tmp_path / "demand.csv", 24 * 4)
    done = subprocess.run(
        [sys.executable, "-m", "maximus_assets.learning", "--telemetry", str(source)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "demand/demand_count" in done.stdout


@pytest.mark.parametrize(
    ("every", "expected"),
    [(15, 300), (300, 300), (301, 300), (420, 432), (3600, 3600), (86_400, 86_400), (604_800, 86_400)],
)
def test_the_grid_is_the_files_own_spacing_as_a_divisor_of_a_day(every: int, expected: int):
    frame = pl.DataFrame(
        {
            "target": ["a"] * 50,
            "sensor": ["demand_count"] * 50,
            "observed_at": [START + timedelta(seconds=every * i) for i in range(50)],
            "value": [1.0] * 50,
        },
        schema_overrides={"observed_at": pl.Datetime("us", "UTC")},
    )
    assert grid_step(frame) == expected
    assert 86_400 % grid_step(to_grid(frame, grid_step(frame))) == 0


def test_a_file_whose_unit_changes_says_from_which_day_and_goes_on(tmp_path):
    source, report = write(tmp_path / "demand.csv", 24 * 12), tmp_path / "report.json"
    header, *rows = source.read_text().splitlines()
    cells = [row.split(",") for row in rows]
    changed = [f"{at},{float(value) * (1000 if at >= '2026-03-10' else 1)}" for at, value in cells]
    source.write_text("\n".join([header, *changed]) + "\n")

    result = CliRunner().invoke(app, ["--telemetry", str(source), "--json", str(report)])

    assert result.exit_code == 0, result.output
    assert "caution demand/demand_count: 2026-03-10: demand/demand_count ends at" in result.stdout
    (one,) = json.loads(report.read_text())
    assert "near 1000: another unit?" in one["cautions"]["demand/demand_count"]


def test_holidays_are_taken_by_country_and_an_unknown_one_is_named(tmp_path):
    """Hours of ten weeks two hours east of Greenwich, with five holidays, each half as busy; times name no zone."""
    free = {"04-18", "04-21", "05-01", "05-29", "06-09"}
    source, report = tmp_path / "demand.csv", tmp_path / "report.json"
    hours = [datetime(2025, 4, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(24 * 72)]
    noise = np.random.default_rng(1).normal(0.0, 1.0, len(hours))
    lines = [
        f"{at:%Y-%m-%d %H:%M},{(100 + off) * (0.5 if f'{at:%m-%d}' in free else 1.0):.3f}"
        for at, off in zip(hours, noise, strict=True)
    ]
    source.write_text("\n".join(["timestamp,requests", *lines]))
    errors = []
    arguments = ["--telemetry", str(source), "--json", str(report), "--timezone", "Etc/GMT-2"]
    for more in ([], ["--holidays", "DE@Etc/GMT-2"]):
        result = CliRunner().invoke(app, [*arguments, *more])
        assert result.exit_code == 0, result.output
        (one,) = json.loads(report.read_text())
        (error,) = (row["mae"] for row in one["rows"] if row["is_chosen"] and row["horizon_hours"] == 24)
        errors.append(error)
    assert errors[1] < 0.7 * errors[0]
    result = CliRunner().invoke(app, [*arguments, "--holidays", "XX"])
    assert result.exit_code == 2
    assert "--holidays: no public holidays are known of 'XX'" in result.stderr
