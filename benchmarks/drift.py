"""`python -m benchmarks.drift`: how often the drift checks cry wolf, and how soon they see a season that moves.

Ordinary weeks of simulated services, incidents included, forecast every hour by what was learnt of the four weeks before;
then the same weeks with a day that comes six hours earlier from the first night on. A false alarm is a service that raises
one at any hour of its ordinary week.
"""

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.report import Row, write
from maximus_assets.checks.drift import first_alarm, input_resembles_training, make_reference
from maximus_assets.contracts.prediction import HOUR_STEPS
from maximus_assets.contracts.telemetry import GRID_SECONDS, OBSERVED_AT, SENSOR, VALUE
from maximus_assets.features.grid import to_grid
from maximus_assets.models.forecasting.learn import LearntForecaster, learn
from maximus_assets.plant.scenarios import SeasonChange
from maximus_assets.plant.world import Plant
from maximus_assets.pyfuncs.forecasting import predict
from maximus_assets.pyfuncs.window import SeriesWindow

NOW = datetime(2026, 3, 2, tzinfo=UTC)
DEMAND = "request_rate_per_second"
BINS = 8 * 288
FIRST = 28 * 288
LATER_HOURS = -6.0


def main() -> None:
    """Learn, replay, count."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("--services", type=int, default=16, help="simulated services, each with its own seed")
    parser.add_argument("--days", type=int, default=7, help="ordinary days replayed of each")
    parser.add_argument("--out", type=Path, help="write the measurements here as JSON")
    given = parser.parse_args()
    seeds = tuple(range(1, given.services + 1))
    ordinary = {seed: demand(seed, given.days) for seed in seeds}
    moved = {seed: demand(seed, 2, SeasonChange(NOW, LATER_HOURS)) for seed in seeds}
    learnt = {seed: learn(grid.filter(pl.col(OBSERVED_AT) < NOW)) for seed, grid in ordinary.items()}
    calm, after = (
        errors(learnt, grids, days * 24 - 2) for grids, days in ((ordinary, given.days), (moved, 2))
    )
    rows: list[Row] = []
    for seed in seeds:
        reference = make_reference(ordinary[seed].filter(pl.col(OBSERVED_AT) < NOW), learnt[seed].report)
        rows.append(
            {
                "service": seed,
                "error_false_alarm": first_alarm(calm[seed]) is not None,
                "input_false_alarm": first_unlike(ordinary[seed], reference, given.days * 24) is not None,
                "error_delay_hours": first_alarm(after[seed]),
                "input_delay_hours": first_unlike(moved[seed], reference, 48),
            }
        )
    write(
        given.out,
        "drift",
        config={"services": given.services, "days": given.days, "later_hours": LATER_HOURS},
        rows=rows,
        summary={
            "service_days": given.services * given.days,
            "error_false_alarms": sum(row["error_false_alarm"] for row in rows),
            "input_false_alarms": sum(row["input_false_alarm"] for row in rows),
            "error_delay_median_hours": _median(rows, "error_delay_hours"),
            "input_delay_median_hours": _median(rows, "input_delay_hours"),
        },
    )


def demand(seed: int, days: int, change: SeasonChange | None = None) -> pl.DataFrame:
    """Four weeks of a service's demand before `NOW` and so many days after, on the grid."""
    samples = Plant(seed, season_change=change).samples(
        f"shop-{seed}", NOW - timedelta(days=28), NOW + timedelta(days=days), GRID_SECONDS
    )
    return to_grid(samples.filter(pl.col(SENSOR) == DEMAND))


def errors(
    learnt: Mapping[int, LearntForecaster], grids: Mapping[int, pl.DataFrame], hours: int
) -> dict[int, NDArray[np.float64]]:
    """Each service's error of the hour ahead, every hour from `NOW` on, in units of the backtest's."""
    states = {(state.target, state.sensor): state for each in learnt.values() for state in each.states}
    maes = {seed: each.report.filter("is_chosen", horizon_hours=1)["mae"][0] for seed, each in learnt.items()}
    values = {seed: grid[VALUE].to_numpy() for seed, grid in grids.items()}
    found: dict[int, list[float]] = {seed: [] for seed in learnt}
    for hour in range(hours):
        last, end = FIRST + HOUR_STEPS * hour, int((NOW + timedelta(hours=hour)).timestamp())
        windows = [
            SeriesWindow(f"shop-{seed}", DEMAND, end, values[seed][last - BINS + 1 : last + 1])
            for seed in learnt
        ]
        for seed, answer in zip(learnt, predict(states, windows, HOUR_STEPS), strict=True):
            came = values[seed][last + 1 : last + 1 + HOUR_STEPS].mean()
            found[seed].append(abs(float(answer.mean.mean()) - came) / maes[seed])
    return {seed: np.array(each) for seed, each in found.items()}


def first_unlike(grid: pl.DataFrame, reference: pl.DataFrame, hours: int) -> int | None:
    """Hours after `NOW` at which the input check, asked every three hours, first fails; None if never."""
    for hour in range(3, hours, 3):
        now = NOW + timedelta(hours=hour)
        recent = grid.filter(pl.col(OBSERVED_AT).is_between(now - timedelta(days=2), now, closed="left"))
        if not input_resembles_training(recent, reference, now).passed:
            return hour
    return None


def _median(rows: Sequence[Row], figure: str) -> float:
    return float(np.median([np.inf if row[figure] is None else row[figure] for row in rows]))


if __name__ == "__main__":
    main()
