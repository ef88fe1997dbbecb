"""How well demand is forecast: request counts and CPU, hourly or finer, and the hourly series of the M4 competition.

    .venv/bin/python -m benchmarks.forecast --data DIR [--train DIR] [--quick] [--out FILE]

DIR is laid out like the public data sets' folder (`workloads`, `nab/data/real*`, `cloud_monitoring`, `m4_hourly`; some may
be absent, files may be gzipped). Every demand series is forecast from every hour of its last 40 %, with parameters
refitted at most daily, and judged on hourly means, beside seasonal-naive, persistence and a ridge on lags. One core.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks.demand import fleet, m4
from benchmarks.demand.baselines import HORIZONS
from benchmarks.demand.figures import BLOCK_ORIGINS, NOMINAL, RESAMPLES
from benchmarks.demand.judge import JUDGED_RATIO, METHODS, judge
from benchmarks.demand.series import Demand, Skipped, find
from benchmarks.report import write
from maximus_assets.contracts.telemetry import GRID_SECONDS, OBSERVED_AT, SENSOR, TARGET, VALUE
from maximus_assets.models.forecasting.boosted import Growth

console = Console(width=None if sys.stdout.isatty() else 130)

Rows = list[dict[str, Any]]

QUICK_SERIES = 4
QUICK_M4 = 12
FLEET = 1_000
PREDICT_ROUNDS = 3


def spaced(items: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of the items, evenly spaced."""
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]


def measure_demand(data: Path, *, quick: bool) -> Rows:
    """Every demand series below the folder, or a few of them."""
    found = list(find(data))
    demands = [one for one in found if isinstance(one, Demand)]
    if quick:
        demands = spaced(demands, QUICK_SERIES)
    with console.status("teaching the fleets of demand series"):
        fleets = fleet.teach_demand(demands)
    rows = [
        judge(demand, fleets.get(demand.history.step_seconds))
        for demand in track(demands, "demand series", console=console)
    ]
    return rows + [skipped(one) for one in found if isinstance(one, Skipped)]


def measure_m4(data: Path, train: Path | None, *, quick: bool) -> Rows:
    """Every hourly series of the competition with both parts, or a few of them."""
    found, left_out = m4.read(data, train)
    names = spaced(list(found), QUICK_M4) if quick else list(found)
    training = {} if quick else m4.training_parts(data, train)
    with console.status("teaching the M4 series together"):
        taught = fleet.teach_m4({name: found[name] for name in names}, training)
    rows = [m4.judge(name, *found[name], taught) for name in track(names, "M4 hourly", console=console)]
    return rows + [skipped(one) for one in left_out]


def measure_fleet(data: Path, train: Path | None) -> Rows:
    """The boosted model by itself, with several seeds."""
    demands = [one for one in find(data) if isinstance(one, Demand)]
    found, _ = m4.read(data, train)
    training = m4.training_parts(data, train)
    rows: Rows = []
    for seed in track(fleet.SEEDS, "boosted model", console=console):
        if any(one.history.step_seconds == GRID_SECONDS for one in demands):
            rows += fleet.of_demand(demands, Growth(seed=seed))
        if found:
            rows += fleet.of_m4(found, training, Growth(seed=seed))
    return rows


def skipped(one: Skipped) -> dict[str, Any]:
    """The row of what was not judged."""
    return {"kind": "skipped", "series": one.name, "reason": one.reason}


def measure_predict() -> Rows:
    """A packaged champion asked for every target of a fleet at once, as the loop asks it: one hour, and a day ahead.

    The first call is not counted: the loop makes it while it warms up.
    """
    import polars as pl

    from benchmarks.loop import measure_learning, package
    from serving.monitor.window import WINDOW_BINS

    with console.status("learning four weeks of a simulated service"):
        learning, learnt, grid = measure_learning()
    rows: Rows = [{"kind": "learn", "seconds": learning[0]["seconds"], "bins": learning[0]["bins"]}]
    recent = grid.tail(WINDOW_BINS)
    with tempfile.TemporaryDirectory(prefix="mxforecast-") as folder, threadpool_limits(None):
        champion = package(learnt, FLEET, Path(folder))
        frame = pl.concat(
            [recent.with_columns(pl.lit(f"t{number}").alias(TARGET)) for number in range(FLEET)]
        ).select(TARGET, SENSOR, OBSERVED_AT, VALUE)
        window = frame.to_pandas()
        window[OBSERVED_AT] = window[OBSERVED_AT].dt.tz_localize(None)
        for steps in (3600 // GRID_SECONDS, 86_400 // GRID_SECONDS):
            for number in range(PREDICT_ROUNDS + 1):
                started = time.perf_counter(), time.process_time()
                champion.predict(window, steps)
                seconds, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
                if number:
                    figures = {"seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3)}
                    rows.append({"kind": "predict", "targets": FLEET, "steps": steps, **figures})
    return rows


def summarise(rows: Rows) -> dict[str, float | None]:
    """The figures that are compared; None where nothing was measured."""
    series = [row for row in rows if row["kind"] == "series"]
    hourly = [row for row in rows if row["kind"] == "m4"]

    def of(values: Sequence[float | None], how: Callable[[list[float]], float]) -> float | None:
        known = [value for value in values if value is not None]
        return float(how(known)) if known else None

    def r2(horizon: str) -> list[float | None]:
        return [row["ours"][horizon]["r2"] for row in series]

    coverage_errors = [
        abs(row["coverage"]["share"] - NOMINAL) if row["coverage"] is not None else None for row in series
    ]
    return {
        "r2_1h_median": of(r2("1h"), statistics.median),
        "r2_1h_min": of(r2("1h"), min),
        "r2_6h_median": of(r2("6h"), statistics.median),
        "r2_24h_median": of(r2("24h"), statistics.median),
        "skill_1h_min": of([row["skill_1h"] for row in series], min),
        "workloads_mase_ratio_max": of([row["mase_ratio"] for row in series], max),
        "workloads_mase_ratio_mean": of([row["mase_ratio"] for row in series], statistics.fmean),
        "coverage_90_error_max": of(coverage_errors, max),
        "m4_hourly_mase": of([row["mase"] for row in hourly], statistics.fmean),
        "m4_hourly_smape": of([row["smape"] for row in hourly], statistics.fmean),
        "fit_seconds_median": of([row["fit_seconds"] for row in series], statistics.median),
        "fit_seconds_max": of([row["fit_seconds"] for row in series], max),
    }


def print_rows(rows: Rows) -> None:
    """The series, M4 and what failed, for people."""
    series = [row for row in rows if row["kind"] == "series"]
    if series:
        console.print(_table_of_r2(series))
        console.print(_table_of_trust(series))
    hourly = [row for row in rows if row["kind"] == "m4"]
    if hourly:
        known = [row for row in hourly if row["mase"] is not None]
        console.print(
            f"M4 hourly, {len(hourly)} series: MASE {_mean(known, 'mase'):.3f} (seasonal-naive "
            f"{_mean(known, 'seasonal_naive_mase'):.3f}), sMAPE {_mean(hourly, 'smape'):.2f} (seasonal-naive "
            f"{_mean(hourly, 'seasonal_naive_smape'):.2f}), coverage {_mean(hourly, 'coverage'):.3f}"
        )
    print_fleet(rows)
    for row in rows:
        if row["kind"] == "predict":
            console.print(
                f"{row['targets']:,} targets, {row['steps']} steps predicted in {row['seconds']} s "
                f"({row['cpu_seconds']} s of processor)"
            )
        if row["kind"] == "failed":
            console.print(f"[red]failed[/red] {row['series']}: {row['reason']}", highlight=False)
    console.print(
        f"{sum(row['kind'] == 'skipped' for row in rows)} files or series left out; the JSON says why"
    )


def print_fleet(rows: Rows) -> None:
    """The boosted model by itself: medians over seeds, and how far the seeds lie apart on M4."""
    by_series: dict[str, Rows] = {}
    for row in rows:
        if row["kind"] == "boosted":
            by_series.setdefault(row["series"], []).append(row)
    if by_series:
        table = Table("series", title="boosted model of the fleet by itself: R², MASE against seasonal-naive")
        for heading in (*(f"{horizon} h" for horizon in HORIZONS), "MASE"):
            table.add_column(heading, justify="right")
        for name, found in by_series.items():
            r2 = [[row["boosted"][f"{horizon}h"]["r2"] for row in found] for horizon in HORIZONS]
            table.add_row(_short(name), *map(_middle, [*r2, [row["mase_ratio"] for row in found]]))
        console.print(table)
    for seed in sorted({row["seed"] for row in rows if row["kind"] == "boosted_m4"}):
        one = [row for row in rows if row["kind"] == "boosted_m4" and row["seed"] == seed]
        known = [row for row in one if row["mase"] is not None]
        console.print(
            f"M4 hourly, boosted model, seed {seed}, {len(one)} series: MASE {_mean(known, 'mase'):.3f}, "
            f"sMAPE {_mean(one, 'smape'):.2f}, learnt in {one[0]['fleet_fit_seconds']:.0f} s"
        )


def _middle(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return _figure(statistics.median(known) if known else None)


def _table_of_r2(series: Rows) -> Table:
    table = Table("series", title="R² of hourly means: ours, seasonal-naive, ridge")
    for horizon in HORIZONS:
        for name in ("ours", "sn", "ridge"):
            table.add_column(f"{horizon} h {name}", justify="right")
    for row in series:
        scores = [
            _figure(row[name][f"{horizon}h"]["r2"])
            for horizon in HORIZONS
            for name in ("ours", "seasonal_naive", "ridge")
        ]
        table.add_row(_short(row["series"]), *scores)
    return table


def _table_of_trust(series: Rows) -> Table:
    table = Table(
        "series", title="skill, MASE against seasonal-naive, coverage (! nominal outside its interval)"
    )
    for heading in ("skill 1 h", "MASE", "ridge", "coverage", "99 % interval", "n eff", "fit s"):
        table.add_column(heading, justify="right")
    for row in series:
        covered = row["coverage"]
        trust = (
            ("-", "-", "-")
            if covered is None
            else (
                f"{covered['share']:.3f}",
                f"{covered['low']:.3f}-{covered['high']:.3f}" + ("" if covered["holds_nominal"] else " !"),
                f"{covered['effective']:.0f}",
            )
        )
        figures = (row["skill_1h"], row["mase_ratio"], row["ridge_mase_ratio"])
        table.add_row(
            _short(row["series"]), *map(_figure, figures), *trust, _figure(row["fit_seconds"], ".1f")
        )
    return table


def _short(name: str) -> str:
    """A series' name without its folders and endings, at most 24 characters."""
    path, _, column = name.partition(":")
    stem = Path(path).name.removesuffix(".gz").removesuffix(".csv")
    return f"{stem[:16]} {column[:12]}"[:24].strip() if column else stem[:24]


def _figure(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)


def _mean(rows: Rows, key: str) -> float:
    return statistics.fmean(row[key] for row in rows) if rows else float("nan")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="benchmarks.forecast", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="a folder laid out like the data sets' folder"
    )
    parser.add_argument(
        "--train", type=Path, default=None, help="where to learn from what --data has only the test of"
    )
    parser.add_argument("--out", type=Path, default=None, help="where the JSON goes")
    parser.add_argument("--quick", action="store_true", help="a few series, in under a minute")
    arguments = parser.parse_args()
    for folder in (arguments.data, arguments.train):
        if folder is not None and not folder.is_dir():
            sys.exit(f"{folder} is no folder")

    with threadpool_limits(1):
        rows = measure_demand(arguments.data, quick=arguments.quick)
        rows += measure_m4(arguments.data, arguments.train, quick=arguments.quick)
        if not any(row["kind"] in {"series", "m4", "failed"} for row in rows):
            for row in rows:
                console.print(f"left out {row['series']}: {row['reason']}", highlight=False)
            sys.exit(f"{arguments.data} holds no demand series and no M4 hourly series that can be judged")
        if not arguments.quick:
            rows += measure_fleet(arguments.data, arguments.train)
            rows += measure_predict()
    print_rows(rows)
    config = {
        "quick": arguments.quick,
        "data": str(arguments.data),
        "train": None if arguments.train is None else str(arguments.train),
        "judged_ratio": JUDGED_RATIO,
        "horizons_hours": HORIZONS,
        "coverage": {
            "nominal": NOMINAL,
            "bootstrap_resamples": RESAMPLES,
            "block_origins": BLOCK_ORIGINS,
            "seed": 0,
        },
        "baselines": METHODS[1:],
        "threads": 1,
        "predict_cores": len(os.sched_getaffinity(0)),
    }
    write(arguments.out, "forecast", config=config, rows=rows, summary=summarise(rows))


if __name__ == "__main__":
    main()
