"""How fast the loop is: collecting, one turn for 1 and for 1,000 targets, learning, and the product's start.

    .venv/bin/python -m benchmarks.loop [--up] [--quick] [--out FILE]

A turn is measured whole: collecting, the window, forecasts by a packaged champion through MLflow, planning, and every
write to an embedded PostgreSQL with fsync and synchronous_commit on. Only its clock is stepped, so that a hundred turns
take seconds; a bin closes every twentieth turn, and those turns are in the figures, as are those that take over what was
forecast. What the loop begins after a turn, for which it has the rest of its period, is waited for and told by itself
(`beside`). Then the champion is loaded anew while a turn is under way, and swapped (`swap`: that turn and the two after
it). Processor time beside wall time tells a slow loop from a busy machine. `--up` also starts the whole product in a folder of its own, fresh and once more.
"""

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow.pyfunc
import numpy as np
import polars as pl
from rich.console import Console
from rich.progress import track

from benchmarks.report import percentile, write
from maximus_assets.contracts.clock import SystemClock
from maximus_assets.contracts.target import ReplicaSizing, Target
from maximus_assets.contracts.telemetry import COLLECT_SECONDS, GRID_SECONDS, SENSOR, VALUE
from maximus_assets.features.grid import to_grid
from maximus_assets.models.forecasting.learn import LearntForecaster, learn
from maximus_assets.plant.world import Plant
from maximus_assets.registry.packaging import save_forecaster
from serving import settings as settings_module
from serving.knowledge.migrate import migrate
from serving.monitor.host import HostSource
from serving.monitor.source import Collector
from serving.monitor.window import WINDOW_BINS
from serving.predictors.catalogue import Catalogue
from serving.predictors.proving import Loaded
from serving.supervisor.postgres import EmbeddedPostgres
from serving.supervisor.provision import DatabaseUrls
from serving.wiring import ControlLoopRuntime, build_loop

if TYPE_CHECKING:
    import pandas as pd

SWAPS = 3
DEMAND = "request_rate_per_second"
START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
console = Console()

Rows = list[dict[str, Any]]


class SteppedClock(SystemClock):
    """A clock that stands still until it is stepped."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self.elapsed = 0.0

    def now(self) -> datetime:
        """The present instant."""
        return self._start + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        """Seconds stepped."""
        return self.elapsed


class Packaged(Catalogue):
    """A catalogue of one packaged champion that asks nobody; every look finds it published anew.

    Args:
        files: The package.
    """

    def __init__(self, files: Path) -> None:
        super().__init__("benchmark")
        self._files = files
        self._champion = load(files, "1")

    async def refresh(self, probe: "pd.DataFrame | None" = None) -> bool:
        """Load the package aside, let it answer, and swap it in under the next number."""
        self.swaps += 1
        found = await asyncio.to_thread(load, self._files, str(1 + self.swaps))
        if probe is not None:
            await asyncio.to_thread(found.predict, probe, 1)
        self._champion = found
        return True


def measure_collect(rounds: int) -> Rows:
    """Read every host sensor, many times."""
    clock = SystemClock()
    collector = Collector([HostSource("host", clock=clock, data_dir=Path.cwd())])

    async def read() -> Rows:
        rows: Rows = []
        for _ in track(range(rounds), "collect", console=console):
            started = time.perf_counter()
            collected = await collector.collect(clock.now())
            took = (time.perf_counter() - started) * 1000
            rows.append({"part": "collect", "ms": round(took, 3), "samples": len(collected.samples)})
            await asyncio.sleep(0.01)
        return rows

    return asyncio.run(read())


def measure_learning() -> tuple[Rows, LearntForecaster, pl.DataFrame]:
    """Fit and backtest four weeks of one series."""
    samples = Plant(7).samples("t0", START - timedelta(days=28), START, COLLECT_SECONDS)
    grid = to_grid(samples.filter(pl.col(SENSOR) == DEMAND))
    started = time.process_time(), time.perf_counter()
    learnt = learn(grid)
    cpu, wall = time.process_time() - started[0], time.perf_counter() - started[1]
    row = {
        "part": "fit_and_backtest",
        "seconds": round(wall, 3),
        "cpu_seconds": round(cpu, 3),
        "bins": grid.height,
    }
    return [row], learnt, grid


def save(learnt: LearntForecaster, count: int, folder: Path) -> Path:
    """A champion that knows `count` services, packaged as the product does it."""
    states = tuple(replace(learnt.states[0], target=f"t{k}") for k in range(count))
    return save_forecaster(replace(learnt, states=states), folder)


def load(files: Path, version: str) -> Loaded:
    """A packaged champion, loaded as the product does it."""
    model = mlflow.pyfunc.load_model(str(files))
    return Loaded(version, lambda frame, steps: model.predict(frame, params={"horizon_steps": steps}), 0.0)


def package(learnt: LearntForecaster, count: int, folder: Path) -> Loaded:
    """Both."""
    return load(save(learnt, count, folder), "1")


def measure_turns(
    urls: DatabaseUrls, learnt: LearntForecaster, grid: pl.DataFrame, count: int, turns: int
) -> Rows:
    """Whole turns for `count` simulated services."""
    targets = tuple(
        Target(name=f"t{k}", source="simulated", demand_sensor=DEMAND, sizing=ReplicaSizing(), seed=k)
        for k in range(count)
    )
    with tempfile.TemporaryDirectory(prefix="mxbench-") as name:
        folder = Path(name)
        found = settings_module.load(
            {
                "MAXIMUS_DATABASE_URL": urls.app,
                "MAXIMUS_DATABASE_READ_URL": urls.read,
                "MAXIMUS_DATA_DIR": str(folder / "data"),
            },
            folder,
        ).model_copy(update={"targets": targets})
        clock = SteppedClock(START)
        loop = build_loop(found, clock=clock, catalogue=Packaged(save(learnt, count, folder)))
        fill_windows(loop, grid, clock.now())
        return asyncio.run(turn(loop, clock, count, turns))


def fill_windows(loop: ControlLoopRuntime, grid: pl.DataFrame, now: datetime) -> None:
    """Eight days for every service, as after a restart."""
    windows = loop.runner._cycle.windows  # noqa: SLF001
    recent = grid.tail(WINDOW_BINS)
    starts = recent["observed_at"].dt.epoch("s").to_numpy()
    for series in windows.series:
        windows.load_bins(series, starts, recent[VALUE].to_numpy(), np.full(len(starts), 20), now)
    loop.runner._needs_warm_up = False  # noqa: SLF001


async def turn(loop: ControlLoopRuntime, clock: SteppedClock, count: int, turns: int) -> Rows:
    """Take turns; the lease is tended between them, as it is beside them in the product."""
    runner, rows = loop.runner, []
    # By the server's clock the benchmark's months are over; the daily upkeep would drop them.
    runner._recorder._maintained_on = clock.now().date()  # noqa: SLF001
    runner._settled_with = ""  # noqa: SLF001 - here it was there from the start, in the product it is loaded beside turns
    async with loop.store, loop.queries:
        for number in track(range(turns + 1), f"turns of {count}", console=console):
            await between(loop, clock)
            closes = int(clock.now().timestamp()) % GRID_SECONDS == 0
            took = await timed(runner.step())
            if number:  # the first one only looks
                rows.append({"part": "turn", "targets": count, **took, "closes_bin": closes})
            if (asked := loop.forecaster._task) is not None:  # noqa: SLF001
                rows.append({"part": "beside", "targets": count, **await timed(asyncio.wait({asked}))})
        for _ in track(range(SWAPS), f"swaps of {count}", console=console):
            await between(loop, clock)
            took, _ = await asyncio.gather(timed(runner.step()), runner._champion.refresh())  # noqa: SLF001
            rows.append({"part": "swap", "targets": count, **took})
            for _ in range(2):  # the turn that asks the new one, and the one that takes its answer over
                await between(loop, clock)
                rows.append({"part": "swap", "targets": count, **await timed(runner.step())})
                if (asked := loop.forecaster._task) is not None:  # noqa: SLF001
                    await asyncio.wait({asked})
        assert runner.progress.turns == turns + 3 * SWAPS, runner.progress
        await loop.forecaster.aclose()
        await runner._lease.release()  # noqa: SLF001
    return rows


async def between(loop: ControlLoopRuntime, clock: SteppedClock) -> None:
    """A period passes, in which the lease is tended."""
    for _ in range(3):
        clock.elapsed += COLLECT_SECONDS / 3
        await loop.runner._lease.tend()  # noqa: SLF001


async def timed(work: Awaitable[object]) -> dict[str, float]:
    """How long it takes, and how much processor time this process uses meanwhile, in ms."""
    started, used = time.perf_counter(), time.process_time()
    await work
    seconds, used = time.perf_counter() - started, time.process_time() - used
    return {"ms": round(seconds * 1000, 3), "cpu_ms": round(used * 1000, 3)}


@contextmanager
def postgres() -> Iterator[DatabaseUrls]:
    """An embedded PostgreSQL of the benchmark's own."""
    with tempfile.TemporaryDirectory(prefix="mxb", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)  # the server runs as another user when this runs as root
        embedded = EmbeddedPostgres(folder)
        embedded.prepare()
        child = embedded.child()
        identity = (
            {} if child.user is None else {"user": child.user, "group": child.group, "extra_groups": []}
        )
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                child.argv, env=dict(child.environment), cwd="/", stdout=log, stderr=log, **identity
            )
        try:
            embedded.wait_ready(30, lambda: process.poll() is None)
            urls = embedded.provision()
            migrate(urls.owner)
            yield urls
        finally:
            process.send_signal(signal.SIGINT)  # fast shutdown
            process.wait(30)


def measure_up() -> Rows:
    """Start the whole product in a folder of its own: fresh, and again after it was stopped."""
    with tempfile.TemporaryDirectory(prefix="mxup", dir="/tmp") as name:
        Path(name).chmod(0o711)
        ports = dict(zip(("GATEWAY", "LOOP", "DAGSTER", "MLFLOW"), free_ports(4), strict=True))
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("MAXIMUS_")},
            "MAXIMUS_DATA_DIR": name,
            **{f"MAXIMUS_{part}_PORT": str(port) for part, port in ports.items()},
        }
        maximus = str(Path(sys.executable).parent / "maximus")
        rows: Rows = []
        for part in ("up_fresh", "up_resume"):
            with console.status(part):
                started = time.perf_counter()
                try:
                    subprocess.run(
                        (maximus, "up", "--detach"), env=environment, check=True, stdout=subprocess.DEVNULL
                    )
                    rows.append({"part": part, "seconds": round(time.perf_counter() - started, 2)})
                finally:
                    subprocess.run((maximus, "down"), env=environment, check=False, stdout=subprocess.DEVNULL)
        return rows


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def summarise(rows: Rows) -> dict[str, float | None]:
    """The figures that are compared; turns by their 99th percentile, bin-closing ones included."""

    def figures(part: str, key: str, **only: object) -> list[float]:
        return [
            float(row[key])
            for row in rows
            if row["part"] == part and all(row[k] == v for k, v in only.items())
        ]

    def of(values: list[float], how: Callable[[list[float]], float]) -> float | None:
        return how(values) if values else None

    def p99(values: list[float]) -> float:
        return percentile(values, 0.99)

    def middle(values: list[float]) -> float:
        return percentile(values, 0.5)

    return {
        "collect_p99_ms": of(figures("collect", "ms"), p99),
        "collect_median_ms": of(figures("collect", "ms"), middle),
        "turn_1_target_ms": of(figures("turn", "ms", targets=1), p99),
        "turn_1_target_median_ms": of(figures("turn", "ms", targets=1), middle),
        "turn_1000_targets_ms": of(figures("turn", "ms", targets=1000), p99),
        "turn_1000_targets_median_ms": of(figures("turn", "ms", targets=1000), middle),
        "turn_1000_targets_cpu_ms": of(figures("turn", "cpu_ms", targets=1000), p99),
        "turn_1000_targets_median_cpu_ms": of(figures("turn", "cpu_ms", targets=1000), middle),
        "swap_1000_targets_ms": of(figures("swap", "ms", targets=1000), max),
        "swap_1000_targets_cpu_ms": of(figures("swap", "cpu_ms", targets=1000), max),
        "beside_1000_targets_ms": of(figures("beside", "ms", targets=1000), max),
        "fit_and_backtest_seconds": of(figures("fit_and_backtest", "seconds"), max),
        "up_fresh_seconds": of(figures("up_fresh", "seconds"), max),
        "up_resume_seconds": of(figures("up_resume", "seconds"), max),
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="benchmarks.loop", description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=None, help="where the JSON goes")
    parser.add_argument("--quick", action="store_true", help="a slice in under a minute")
    parser.add_argument("--up", action="store_true", help="also start the whole product, fresh and again")
    arguments = parser.parse_args()
    rounds, turns = (100, 25) if arguments.quick else (500, 100)

    rows = measure_collect(rounds)
    learning, learnt, grid = measure_learning()
    rows += learning
    with postgres() as urls:
        rows += measure_turns(urls, learnt, grid, 1, turns)
        rows += measure_turns(urls, learnt, grid, 1000, turns)
    if arguments.up:
        rows += measure_up()
    config = {
        "quick": arguments.quick,
        "collect_rounds": rounds,
        "turns": turns,
        "postgres": "embedded, fsync on, synchronous_commit on",
    }
    write(arguments.out, "loop", config=config, rows=rows, summary=summarise(rows))


if __name__ == "__main__":
    main()
