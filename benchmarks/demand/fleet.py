"""What series teach one another: the fleets of the promoted path, and the fleet's gradient-boosted model by itself.

Demand series of one step are a fleet, and so are the hourly series of the M4 competition. The data sets' clocks have
nothing to do with one another, so each series teaches what precedes its own calibration part, then its own judged part.

By itself the model is learnt once from the first part of every series and judged on the rest, with several seeds, because
trees are grown by chance. Those rows stand beside the promoted path's and enter no summary figure.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
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
from maximus_assets.models.forecasting.boosted import DEFAULT, Growth, fit, replay
from maximus_assets.models.forecasting.evaluate import teach_apart
from maximus_assets.models.forecasting.fleetwide import Fleetwide, NoFleetError, recipe_for
from maximus_assets.models.forecasting.rolling import WINDOW_DAYS, hour_bins, hourly
from maximus_assets.pyfuncs.boosted_features import Recipe

Row = dict[str, Any]

SEEDS: Final = (0, 1, 2)
M4_MEMORY_DAYS: Final = 28
"""The competition's series are remembered whole; a live window is shorter."""


def teach_demand(demands: Sequence[Demand]) -> dict[int, Fleetwide]:
    """The fleets of the promoted path: step -> what its series were taught; nothing where they are too few."""
    found = {}
    for step in sorted({one.history.step_seconds for one in demands}):
        members = [one.history for one in demands if one.history.step_seconds == step]
        with suppress(NoFleetError):
            found[step] = teach_apart(members, [JUDGED_RATIO] * len(members), recipe_for(step))
    return found


def teach_m4(
    found: Mapping[str, tuple[Array, Array]], training: Mapping[str, Array], growth: Growth = DEFAULT
) -> Fleetwide | None:
    """The competition's series as a fleet of the promoted path; None where they are too few.

    Args:
        found: Name -> training part and what followed, of the series that are judged.
        training: Training parts of every series; those that are not judged teach all they have.
        growth: How trees are grown.
    """
    judged = [m4.to_history(one) for one, _ in found.values()]
    others = [
        History(one, 0, m4.STEP_SECONDS, 0.0 if one.min() >= 0.0 else -np.inf)
        for name, one in training.items()
        if name not in found
    ]
    recipe = recipe_for(m4.STEP_SECONDS, m4.HORIZON, memory_days=M4_MEMORY_DAYS, has_clock=False)
    ratios = [m4.HORIZON / len(one.values) for one in judged]
    try:
        return teach_apart(judged, ratios, recipe, others=others, growth=growth)
    except NoFleetError:
        return None


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
