"""Which forecasting methods earn their place: each by itself, and the combination without and with each.

    .venv/bin/python -m benchmarks.methods --data DIR [--out FILE]

The series are none that `benchmarks.forecast` judges a combination on: columns that move of the server metrics in
`smd`, `asd`, `jumpstarter` and `aiops_kpi` (a few spaced ones of each machine, three or four weeks, at five minutes), the
training parts of every twelfth hourly series of M4, and four simulated services. Every method is replayed as in service;
figures are of the judged last 30 to 40 %, relative to the seasonal-naive's.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.progress import track
from threadpoolctl import threadpool_limits

from benchmarks.demand.m4 import STEP_SECONDS, training_parts
from benchmarks.report import write
from maximus_assets.contracts.telemetry import COLLECT_SECONDS, GRID_SECONDS, SENSOR, VALUE
from maximus_assets.features.grid import to_grid
from maximus_assets.models.forecasting.backtest import History, alone, plan, replay
from maximus_assets.models.forecasting.combination import LEFT_OUT, combine
from maximus_assets.models.forecasting.methods import BASELINE, METHODS
from maximus_assets.models.forecasting.scoring import horizon_name, r_squared, stretches
from maximus_assets.plant.world import Plant

Array = NDArray[np.float64]

START: Final = datetime(2026, 3, 2, tzinfo=UTC)
DAY_BINS: Final = 288
SETS: Final = {"smd": (5, 21, 5), "asd": (1, 21, 4), "jumpstarter": (1, 21, 3)}
"""Folder -> rows in a bin, days taken, columns taken of each machine."""

NEW: Final = ("level_naive", "ets", "theta")
"""What the combination is compared without and with."""


def metrics(data: Path) -> Iterator[tuple[str, History]]:
    """Columns that move of each machine's metrics."""
    for folder, (width, days, count) in SETS.items():
        for first in sorted((data / folder).glob("*_train.csv.gz")):
            parts = [first, first.with_name(first.name.replace("_train", "_test"))]
            frame = pl.concat(
                [
                    pl.read_csv(part, infer_schema_length=None).drop("label", strict=False).cast(pl.Float64)
                    for part in parts
                    if part.exists()
                ]
            )
            bins = {name: _bins(frame[name].to_numpy(), width)[: days * DAY_BINS] for name in frame.columns}
            moving = [name for name, values in bins.items() if len(np.unique(values)) > 40]
            for name in moving[:: max(1, len(moving) // count)][:count]:
                yield f"{folder}/{first.name.removesuffix('_train.csv.gz')}:{name}", _history(bins[name])
    for file in sorted((data / "aiops_kpi").glob("*.csv.gz")):
        frame = pl.read_csv(file, infer_schema_length=None)
        step = int(np.median(np.diff(frame["timestamp"].to_numpy())))
        values = _bins(frame["value"].to_numpy().astype(np.float64), GRID_SECONDS // step)
        yield f"aiops_kpi/{file.name[:6]}", _history(values[: 28 * DAY_BINS])


def hourly(data: Path) -> Iterator[tuple[str, History]]:
    """Every twelfth training part of M4's hourly series."""
    for name, values in list(training_parts(data).items())[3::12]:
        yield f"m4/{name}", _history(values, STEP_SECONDS)


def simulated() -> Iterator[tuple[str, History]]:
    """Three weeks of four simulated services."""
    for seed in range(1, 5):
        samples = Plant(seed).samples("t0", START - timedelta(days=21), START, COLLECT_SECONDS)
        grid = to_grid(samples.filter(pl.col(SENSOR) == "request_rate_per_second"))
        yield f"plant/{seed}", _history(grid[VALUE].to_numpy().astype(np.float64))


def _bins(values: Array, width: int) -> Array:
    return np.asarray(values[: len(values) // width * width].reshape(-1, width).mean(axis=1))


def _history(values: Array, step_seconds: int = GRID_SECONDS) -> History:
    floor = 0.0 if np.nanmin(values) >= 0.0 else -np.inf
    return History(np.array(values), int(START.timestamp()), step_seconds, floor)


def measure(name: str, history: History) -> list[dict[str, Any]]:
    """One series: a row for each method, combination and horizon."""
    found = plan(history)
    replays = {method.name: replay(method, history, found) for method in METHODS}
    judged = {method: alone(method, each, history, found).judging for method, each in replays.items()}
    mixes = {
        "combined without them": frozenset({BASELINE.name, *NEW}),
        **{f"combined with {new}": frozenset({BASELINE.name, *NEW}) - {new} for new in NEW},
        "combined with all": frozenset({BASELINE.name}),
        "combined as shipped": LEFT_OUT,
    }
    for mix, left_out in mixes.items():
        judged[mix] = combine(replays, history, found, left_out=left_out).judging
    rows: list[dict[str, Any]] = []
    for hours, bins in stretches(history.step_seconds).items():
        actual = judged[BASELINE.name].actuals[:, bins].mean(axis=1)
        known = np.isfinite(actual)
        means = {method: each.forecasts[known, bins].mean(axis=1) for method, each in judged.items()}
        naive = max(float(np.abs(actual[known] - means[BASELINE.name]).mean()), 1e-12)
        rows += [
            {
                "set": name.partition("/")[0] if name.startswith(("m4", "plant")) else "metrics",
                "series": name,
                "method": method,
                "horizon": horizon_name(hours),
                "mase": float(np.abs(actual[known] - mean).mean()) / naive,
                "r2": r_squared(actual[known], mean),
            }
            for method, mean in means.items()
        ]
    return rows


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean MASE and median R² by set, method and horizon."""
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return {
        f"{one} {method} {horizon}": f"{mase:.3f} / {r2:.3f}"
        for one, method, horizon, mase, r2 in frame.group_by("set", "method", "horizon", maintain_order=True)
        .agg(pl.col("mase").mean(), pl.col("r2").median())
        .iter_rows()
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="benchmarks.methods", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="a folder laid out like the data sets' folder"
    )
    parser.add_argument("--out", type=Path, default=None, help="where the JSON goes")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        sys.exit(f"{arguments.data} is no folder")
    rows: list[dict[str, Any]] = []
    with threadpool_limits(1):
        series = [*metrics(arguments.data), *hourly(arguments.data), *simulated()]
        for name, history in track(series, "series"):
            rows += measure(name, history)
    config = {"data": str(arguments.data), "methods": [each.name for each in METHODS], "threads": 1}
    write(arguments.out, "methods", config=config, rows=rows, summary=summarise(rows))


if __name__ == "__main__":
    main()
