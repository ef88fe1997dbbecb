"""`python -m maximus_assets.learning`: backtest the forecaster on files, and print how well it would have done.

It reads, learns and reports; it registers and promotes nothing. Progress goes to stderr, the table to stdout. Bad
input, and files of which no series can be learnt from, end it with a message on stderr and exit code 2.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import polars as pl
import typer
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from maximus_assets.contracts.clock import SystemClock
from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.holidays import HolidayCalendar
from maximus_assets.contracts.prediction import INTERVAL_COVERAGE
from maximus_assets.contracts.telemetry import GRID_SECONDS, OBSERVED_AT, SENSOR, TARGET
from maximus_assets.features.calendar import DAY_SECONDS
from maximus_assets.features.grid import to_grid
from maximus_assets.features.holidays import holidays_around
from maximus_assets.models.fleet import Finished
from maximus_assets.models.forecasting.learn import LearntForecaster, learn
from maximus_assets.models.forecasting.scoring import horizon_name
from maximus_assets.prometheus.push import PUSHGATEWAY_VARIABLE, telling
from maximus_assets.telemetry.files import read_file
from maximus_assets.telemetry.options import FileOptions
from maximus_assets.telemetry.quality_change import unit_changes

EXIT_BAD_INPUT: Final = 2
PIPE_WIDTH: Final = 120

app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class FileReport:
    """What was learnt of one file.

    Attributes:
        path: The file.
        step_seconds: The grid it was learnt on.
        learnt: States, report, and what was refused.
        rows: Observations read.
        cautions: Series -> what is odd about its history and was learnt from all the same.
    """

    path: Path
    step_seconds: int
    learnt: LearntForecaster
    rows: int = 0
    cautions: Mapping[str, str] = field(default_factory=dict)


@app.command()
def backtest(
    *,
    telemetry: Annotated[
        list[Path], typer.Option(help="CSV or Parquet file, gzipped or not; repeat it for more.")
    ],
    time_column: Annotated[
        str | None, typer.Option(help="Column that holds the time; `none` when there is none.")
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="IANA zone of times that state none.")] = None,
    origin: Annotated[str | None, typer.Option(help="Instant that relative times count from.")] = None,
    step: Annotated[str | None, typer.Option(help="Spacing of rows without a clock, such as 5m.")] = None,
    value: Annotated[list[str] | None, typer.Option(help="Column to learn; repeat it for more.")] = None,
    holidays: Annotated[
        str | None, typer.Option(help="Country whose holidays are known ahead: DE, DE-BY@Europe/Berlin.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the report here as well.")] = None,
) -> None:
    """Backtest the forecaster on telemetry files: R2, MASE and interval coverage for each series and horizon."""
    stderr = Console(stderr=True)
    # A pipe has no width; a table folded to a guessed one cannot be read or parsed.
    stdout = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)

    def complain(problem: str) -> None:
        stderr.print(problem, style="yellow", markup=False, highlight=False, soft_wrap=True)

    pushgateway = os.environ.get(PUSHGATEWAY_VARIABLE, "")
    with telling("maximus_learn", pushgateway, clock=SystemClock(), complain=complain) as outcome:
        try:
            options = FileOptions.parse(
                time_column=time_column, timezone=timezone, origin=origin, step=step, value=value or ()
            )
            calendar = None if holidays is None else HolidayCalendar.parse(holidays, source="--holidays")
            reports = _learn_files(telemetry, options, calendar, stderr)
            if json_file is not None:
                _write(json_file, reports)
        except BadInputError as error:
            stderr.print(f"bad input: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(EXIT_BAD_INPUT) from error
        outcome.rows = sum(report.rows for report in reports)
        for report in reports:
            show(report, stdout)
        if not any(report.learnt.states for report in reports):
            stderr.print("nothing could be learnt from: every series was refused", style="red")
            raise typer.Exit(EXIT_BAD_INPUT)


def grid_step(frame: pl.DataFrame) -> int:
    """The grid a file is learnt on: its own spacing, but no finer than the live grid, and a divisor of a day.

    It is the smallest divisor of a day that is not below the median spacing, or a divisor less than 1 % below it, for
    clocks drift.

    Args:
        frame: A telemetry frame.

    Returns:
        Seconds, `GRID_SECONDS` to a day.
    """
    gaps = frame.sort(TARGET, SENSOR, OBSERVED_AT).select(
        pl.col(OBSERVED_AT).diff().over(TARGET, SENSOR).dt.total_microseconds().median()
    )
    median = gaps.item()
    spacing = GRID_SECONDS if median is None else float(median) / 1e6
    wanted = max(float(GRID_SECONDS), spacing)
    divisors = [step for step in range(GRID_SECONDS, DAY_SECONDS + 1) if DAY_SECONDS % step == 0]
    drifted = [step for step in divisors if 0.99 * wanted < step <= wanted]
    return max(drifted) if drifted else min((step for step in divisors if step > wanted), default=DAY_SECONDS)


def show(report: FileReport, console: Console) -> None:
    """Print a table with one row for each series and horizon, then what was refused and why.

    Args:
        report: Of one file.
        console: Where to.
    """
    learnt = report.learnt
    if not learnt.report.is_empty():
        table = Table(
            title=f"{report.path.name}: {report.step_seconds} s grid, learnt in {learnt.fit_seconds:.1f} s",
            caption="hourly means of the judged last part of the history, judged: how many; MASE: error relative to the "
            f"seasonal-naive's, below 1 is better; coverage of {INTERVAL_COVERAGE:.0%} intervals",
            title_justify="left",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            caption_justify="left",
        )
        for name in ("series", "ahead", "method"):
            table.add_column(name, no_wrap=name != "series", overflow="fold")
        for name in ("R²", "R² naive", "MASE", "coverage", "judged"):
            table.add_column(name, justify="right", no_wrap=True)
        naive = {
            (row[TARGET], row[SENSOR], row["horizon_hours"]): row["r2"]
            for row in learnt.report.filter("is_baseline").iter_rows(named=True)
        }
        vetoed = {
            (row[TARGET], row[SENSOR]): row["method"]
            for row in learnt.report.filter("is_vetoed").iter_rows(named=True)
        }
        for row in learnt.report.filter("is_chosen").iter_rows(named=True):
            key = (row[TARGET], row[SENSOR])
            table.add_row(
                f"{row[TARGET]}/{row[SENSOR]}",
                horizon_name(row["horizon_hours"]),
                f"{row['method']} ({vetoed[key]} vetoed)" if key in vetoed else row["method"],
                _figure(row["r2"]),
                _figure(naive[*key, row["horizon_hours"]]),
                _figure(row["mase"]),
                "n/a" if row["coverage"] is None else f"{row['coverage']:.1%}",
                str(row["judged"]),
            )
        console.print(table)
    for series, why in report.cautions.items():
        console.print(f"caution {series}: {why}", markup=False, highlight=False, soft_wrap=True)
    for series, reason in learnt.skipped.items():
        console.print(f"refused {series}: {reason}", markup=False, highlight=False, soft_wrap=True)


def as_json(report: FileReport) -> dict[str, object]:
    """The report as JSON types; an undefined figure is null.

    Args:
        report: Of one file.
    """
    return {
        "file": report.path.name,
        "step_seconds": report.step_seconds,
        "fit_seconds": report.learnt.fit_seconds,
        "skipped": report.learnt.skipped,
        "cautions": dict(report.cautions),
        "rows": report.learnt.report.to_dicts(),
    }


def _learn_files(
    paths: list[Path], options: FileOptions, calendar: HolidayCalendar | None, console: Console
) -> list[FileReport]:
    """Read every file before learning from any, so that a bad one costs no waiting."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as progress:
        task = progress.add_task("reading", total=None)
        frames = []
        for path in paths:
            progress.update(task, description=f"reading {path.name}")
            frames.append(read_file(path, options))

        def told(done: Finished) -> None:
            progress.update(task, completed=done.number, total=done.total)

        reports = []
        for path, frame in zip(paths, frames, strict=True):
            step_seconds = grid_step(frame)
            progress.update(task, description=f"learning {path.name}", completed=0, total=None)
            events = holidays_around(frame, calendar)
            learnt = learn(to_grid(frame, step_seconds), step_seconds, progress=told, events=events)
            reports.append(FileReport(path, step_seconds, learnt, frame.height, unit_changes(frame)))
    return reports


def _write(path: Path, reports: list[FileReport]) -> None:
    text = json.dumps([as_json(report) for report in reports], indent=2, allow_nan=False)
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"cannot be written ({error})", source=str(path), column="--json") from error


def _figure(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    app(prog_name="maximus learn")
