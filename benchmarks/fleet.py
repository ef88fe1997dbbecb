"""How learning and predicting grow with the number of targets: 10, 100 and 1,000 simulated services.

    .venv/bin/python -m benchmarks.fleet [--targets N ...] [--quick] [--out FILE]

Each service has four weeks of five-minute demand of its own seed. All are learnt by the crew the product would use
(processes, or Ray where `RAY_ADDRESS` is set), packaged as the product packages a champion, and asked for one hour ahead
from eight days of each; where fewer than 1,000 were learnt, their states are repeated under other names for that. Memory
is the sum over this process and its workers of what they have for themselves (proportional set size), looked at twice
a second. The scaling exponent is the slope of log seconds over log targets: 1 is linear; on a machine busy with other work, go by that of the processor time.
"""

import argparse
import contextlib
import os
import resource
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import polars as pl
import psutil
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, track

from benchmarks.report import percentile, write
from maximus_assets.contracts.telemetry import GRID_SECONDS, OBSERVED_AT, SENSOR, VALUE, Series
from maximus_assets.features.grid import to_grid
from maximus_assets.models.crew import crew_for
from maximus_assets.models.forecasting.learn import LearntForecaster, learn
from maximus_assets.plant.world import Plant
from maximus_assets.registry.packaging import save_forecaster
from serving.predictors.inference import request_frame

DEMAND = "request_rate_per_second"
END = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
WINDOW_BINS = 8 * 288
PREDICTED = 1000
CALLS = 5
console = Console()

Rows = list[dict[str, Any]]


class PeakMemory:
    """The most memory this process and its descendants had at once, from a thread that looks twice a second."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        own = psutil.Process()
        while not self._is_over.wait(0.5):
            total = 0
            for process in (own, *own.children(recursive=True)):
                with contextlib.suppress(psutil.Error):  # it ended between the two calls
                    total += process.memory_full_info().pss
            self.peak_bytes = max(self.peak_bytes, total)


@contextlib.contextmanager
def bar(what: str, total: int) -> Iterator[Any]:
    """A progress bar; yields what moves it."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done.number)


def history(count: int, days: int) -> pl.DataFrame:
    """The grid of `count` services."""
    parts = []
    for seed in track(range(count), f"simulate {count}", console=console):
        samples = Plant(seed).samples(f"t{seed:04}", END - timedelta(days=days), END, GRID_SECONDS)
        parts.append(to_grid(samples.filter(pl.col(SENSOR) == DEMAND)))
    return pl.concat(parts)


def measure_learning(grid: pl.DataFrame, count: int) -> tuple[dict[str, Any], LearntForecaster]:
    """Learn all of it."""
    crew = crew_for(count)
    with PeakMemory() as memory, bar(f"learn {count}", count) as told:
        started, used = time.perf_counter(), cpu_seconds()
        learnt = learn(grid, progress=told)
        seconds, used = time.perf_counter() - started, cpu_seconds() - used
    row = {
        "part": "learn",
        "targets": count,
        "learnt": len(learnt.states),
        "left_out": len(learnt.skipped),
        "place": crew.place,
        "workers": crew.width,
        "seconds": round(seconds, 3),
        "seconds_each": round(seconds / count, 4),
        # What a cluster's workers use is not seen from here.
        "cpu_seconds": None if crew.place == "ray" else round(used, 3),
        "peak_memory_mb": round(memory.peak_bytes / 1e6, 1),
        "grid_mb": round(grid.estimated_size("mb"), 1),
    }
    return row, learnt


def measure_predicting(grid: pl.DataFrame, learnt: LearntForecaster) -> Rows:
    """One hour ahead of 1,000 targets in one call of the packaged model."""
    states = [
        replace(learnt.states[index % len(learnt.states)], target=f"p{index:04}")
        for index in range(PREDICTED)
    ]
    windows = {
        str(target): one[VALUE].fill_null(np.nan).to_numpy()[-WINDOW_BINS:]
        for (target,), one in grid.partition_by("target", as_dict=True).items()
    }
    names = [learnt.states[index % len(learnt.states)].target for index in range(PREDICTED)]
    values = np.stack([windows[name] for name in names])
    series = [Series(target=state.target, sensor=state.sensor) for state in states]
    with tempfile.TemporaryDirectory(prefix="mxfleet-") as folder:
        model = mlflow.pyfunc.load_model(
            str(save_forecaster(replace(learnt, states=tuple(states)), Path(folder)))
        )
        rows: Rows = []
        last = grid[OBSERVED_AT].max()
        assert isinstance(last, datetime)
        for call in track(range(CALLS), f"predict {PREDICTED}", console=console):
            started = time.perf_counter()
            frame = request_frame(series, values, last)
            answer = model.predict(frame, params={"horizon_steps": 3600 // GRID_SECONDS})
            seconds = time.perf_counter() - started
            assert len(answer) == PREDICTED * 3600 // GRID_SECONDS, "some target was not forecast"
            rows.append(
                {
                    "part": "predict",
                    "targets": PREDICTED,
                    "states": len(learnt.states),
                    "call": call,
                    "seconds": round(seconds, 4),
                }
            )
    return rows


def cpu_seconds() -> float:
    """Processor time of this process and of its workers that have ended; they end with each fleet."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def exponent(rows: Sequence[dict[str, Any]], name: str) -> float | None:
    """Slope of log time over log targets; None with fewer than two sizes, or where time was not seen."""
    points = [(float(row["targets"]), float(row[name])) for row in rows if row[name]]
    if len(points) < 2:
        return None
    return float(np.polyfit(*np.log(points).T, 1)[0])


def summarise(rows: Rows) -> dict[str, float | None]:
    """The figures that are compared."""
    learning = [row for row in rows if row["part"] == "learn"]
    calls = [float(row["seconds"]) for row in rows if row["part"] == "predict"]
    found: dict[str, float | None] = {}
    for row in learning:
        count = row["targets"]
        found[f"learn_{count}_seconds"] = row["seconds"]
        found[f"learn_{count}_seconds_each"] = row["seconds_each"]
        found[f"learn_{count}_cpu_seconds_each"] = row["cpu_seconds"] and row["cpu_seconds"] / count
        found[f"learn_{count}_peak_memory_mb"] = row["peak_memory_mb"]
    return {
        **found,
        "scaling_exponent": exponent(learning, "seconds"),
        "scaling_exponent_cpu": exponent(learning, "cpu_seconds"),
        "predict_1000_median_seconds": percentile(calls, 0.5) if calls else None,
        "predict_1000_worst_seconds": max(calls, default=None),
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="benchmarks.fleet", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--targets", type=int, nargs="+", default=None, help="how many, each a run of its own"
    )
    parser.add_argument("--out", type=Path, default=None, help="where the JSON goes")
    parser.add_argument("--quick", action="store_true", help="8 and 16 targets: a slice in about a minute")
    arguments = parser.parse_args()
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    counts = arguments.targets or ([8, 16] if arguments.quick else [10, 100, 1000])
    days = 28

    rows: Rows = []
    for count in counts:
        grid = history(count, days)
        row, learnt = measure_learning(grid, count)
        rows.append(row)
        console.print(row)
    rows += measure_predicting(grid, learnt)
    config = {
        "targets": counts,
        "days": days,
        "step_seconds": GRID_SECONDS,
        "ray": "RAY_ADDRESS" in os.environ,
    }
    write(arguments.out, "fleet", config=config, rows=rows, summary=summarise(rows))


if __name__ == "__main__":
    main()
