"""The fleet's gradient-boosted model by itself: learnt once from the first part of every series, judged on the rest.

One model over all five-minute demand series, from the bins before each one's judged part, and one over the hourly series of
the M4 competition, from their training parts. Several seeds, because trees are grown by chance. These rows stand beside
the promoted path's and enter no summary figure.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from benchmarks.demand import m4
from benchmarks.demand.baselines import HORIZONS, seasonal_naive
from benchmarks.demand.figures import Array, errors, pooled_mae, ratio
from benchmarks.demand.judge import JUDGED_RATIO, to_hours
from benchmarks.demand.series import Demand
from maximus_assets.contracts.telemetry import GRID_SECONDS
from maximus_assets.models.forecasting.backtest import History
from maximus_assets.models.forecasting.base import ShortHistoryError, day_steps
from maximus_assets.models.forecasting.boosted import Growth, fit, replay
from maximus_assets.models.forecasting.rolling import WINDOW_DAYS, hour_bins, hourly
from maximus_assets.pyfuncs.boosted_features import Recipe

Row = dict[str, Any]

SEEDS: Final = (0, 1, 2)
M4_MEMORY_DAYS: Final = 28
"""The competition's series are remembered whole; a live window is shorter."""


def of_demand(demands: Sequence[Demand], growth: Growth) -> list[Row]:
    """One model over all series on the product's grid."""
    chosen = [one for one in demands if one.history.step_seconds == GRID_SECONDS]
    begins = [len(one.history.values) - round(JUDGED_RATIO * len(one.history.values)) for one in chosen]
    day = day_steps(GRID_SECONDS)
    recipe = Recipe(GRID_SECONDS, day, WINDOW_DAYS * day)
    started = time.perf_counter()
    try:
        fleet = fit(
            [_before(one.history, begin) for one, begin in zip(chosen, begins, strict=True)],
            recipe,
            growth,
        )
    except ShortHistoryError as error:
        return [{"kind": "failed", "series": "boosted model of the demand series", "reason": str(error)}]
    seconds = time.perf_counter() - started
    rows: list[Row] = []
    for one, begin in zip(chosen, begins, strict=True):
        values, width = one.history.values, hour_bins(GRID_SECONDS)
        origins = np.arange(begin, len(values), width)
        padded = np.concatenate([values, np.full(day, np.nan)])
        actual = hourly(padded[origins[:, None] + np.arange(day)], GRID_SECONDS)
        own = hourly(replay(fleet, one.history, origins), GRID_SECONDS)
        _, naive = seasonal_naive(to_hours(values, begin, len(origins), width), len(origins))
        found = {f"{h}h": errors(actual[:, h - 1], own[:, h - 1]) for h in HORIZONS}
        base = {f"{h}h": errors(actual[:, h - 1], naive[h]) for h in HORIZONS}
        rows.append(
            {
                "kind": "boosted",
                "series": one.name,
                "seed": growth.seed,
                "boosted": found,
                "mase_ratio": ratio(pooled_mae(found), pooled_mae(base)),
                "fleet_fit_seconds": seconds,
            }
        )
    return rows


def of_m4(
    found: Mapping[str, tuple[Array, Array]], training: Mapping[str, Array], growth: Growth
) -> list[Row]:
    """One model over the competition's hourly series.

    Args:
        found: Name -> training part and what followed, of the series that are judged.
        training: Training parts of every series, also of those that are not judged.
        growth: How trees are grown.
    """
    names = list(found)
    recipe = Recipe(m4.STEP_SECONDS, m4.HORIZON, M4_MEMORY_DAYS * 24, has_clock=False)
    started = time.perf_counter()
    try:
        fleet = fit([History(one, 0, m4.STEP_SECONDS) for one in training.values()], recipe, growth)
    except ShortHistoryError as error:
        return [{"kind": "failed", "series": "boosted model of the M4 series", "reason": str(error)}]
    seconds = time.perf_counter() - started
    ahead = fleet.predict([found[name][0] for name in names])
    rows: list[Row] = []
    for name, forecast in zip(names, ahead, strict=True):
        past, actual = found[name]
        if np.isnan(forecast).any():
            reason = "its training part is too short for the boosted model"
            rows.append({"kind": "failed", "series": f"{m4.FOLDER}/{name}", "reason": reason})
            continue
        kept = np.maximum(forecast, 0.0) if past.min() >= 0.0 else forecast
        rows.append(
            {
                "kind": "boosted_m4",
                "series": f"{m4.FOLDER}/{name}",
                "seed": growth.seed,
                "mase": m4.mase(actual, kept, past),
                "smape": m4.smape(actual, kept),
                "fleet_fit_seconds": seconds,
            }
        )
    return rows


def _before(history: History, end: int) -> History:
    return History(history.values[:end], history.start_epoch_seconds, history.step_seconds, history.floor)
