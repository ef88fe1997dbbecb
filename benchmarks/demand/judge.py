"""One series judged: ours beside the plain methods, on hourly means from an origin every hour of the last 40 %.

Ours is called once, through the function that the promoted forecaster's backtest goes through, and says how it did for
bins; here bins become hours. The plain methods see the same hours. A series that cannot be judged is a row that says why.
"""

import time
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.demand.baselines import HORIZONS, Hours, persistence, ridge, seasonal_naive
from benchmarks.demand.figures import NOMINAL, coverage, errors, pooled_mae, ratio
from benchmarks.demand.series import Demand
from maximus_assets.contracts.errors import MaximusError
from maximus_assets.models.forecasting.evaluate import evaluate
from maximus_assets.models.forecasting.fleetwide import Fleetwide
from maximus_assets.models.forecasting.rolling import hour_bins, hourly

Array = NDArray[np.float64]

JUDGED_RATIO: Final = 0.4
METHODS: Final = ("ours", "seasonal_naive", "persistence", "ridge")

Row = dict[str, Any]


def judge(demand: Demand, fleet: Fleetwide | None = None) -> Row:
    """Evaluate one series; never raises.

    Args:
        demand: The series.
        fleet: What the fleet it is one of was taught; None for a series by itself.

    Returns:
        A row of kind `series`; of kind `failed`, with its reason, where it could not be judged.
    """
    try:
        return _judged(demand, fleet)
    except MaximusError as error:
        return {"kind": "failed", "series": demand.name, "unit": demand.unit, "reason": str(error)}
    except Exception as error:  # noqa: BLE001 - one series' defect must not end the others; it stands in the report
        reason = f"{type(error).__name__}: {error}"
        return {"kind": "failed", "series": demand.name, "unit": demand.unit, "reason": reason}


def _judged(demand: Demand, fleet: Fleetwide | None) -> Row:
    history = demand.history
    step, width = history.step_seconds, hour_bins(history.step_seconds)
    began = time.process_time()
    found = evaluate(history, fleet, judged_ratio=JUDGED_RATIO)
    fit_cpu_seconds = time.process_time() - began
    regular = np.arange(found.origins[0], found.origins[0] + width * len(found.origins), width)
    if not np.array_equal(found.origins, regular):
        raise RuntimeError("origins are not an hour apart")
    count = len(found.origins)
    hours = to_hours(history.values, int(found.origins[0]), count, width)
    actual = hourly(found.actuals, step)
    season, naive = seasonal_naive(hours, count)
    own = hourly(found.forecasts, step)
    forecasts = {
        "ours": {horizon: own[:, horizon - 1] for horizon in HORIZONS},
        "seasonal_naive": naive,
        "persistence": persistence(hours, count),
        "ridge": ridge(hours, count),
    }
    by_method = {
        method: {f"{horizon}h": errors(actual[:, horizon - 1], ahead[horizon]) for horizon in HORIZONS}
        for method, ahead in forecasts.items()
    }
    columns = np.concatenate([np.arange((horizon - 1) * width, horizon * width) for horizon in HORIZONS])
    inside = (found.actuals >= found.lower) & (found.actuals <= found.upper)
    covered = coverage(np.where(np.isfinite(found.actuals), inside, np.nan)[:, columns])
    better = min(
        (by_method[name]["1h"]["mse"] for name in ("persistence", "seasonal_naive")),
        key=lambda mse: np.inf if mse is None else mse,
    )
    shortfall = ratio(by_method["ours"]["1h"]["mse"], better)
    return {
        "kind": "series",
        "series": demand.name,
        "unit": demand.unit,
        "step_seconds": step,
        "days": round(len(history.values) * step / 86_400, 2),
        "missing_ratio": round(float(np.isnan(history.values).mean()), 4),
        "origins": count,
        "chosen": ", ".join(dict.fromkeys(map(str, found.methods))),
        "season_hours": season,
        **by_method,
        "skill_1h": None if shortfall is None else 1.0 - shortfall,
        "mase_ratio": ratio(pooled_mae(by_method["ours"]), pooled_mae(by_method["seasonal_naive"])),
        "ridge_mase_ratio": ratio(pooled_mae(by_method["ridge"]), pooled_mae(by_method["seasonal_naive"])),
        "coverage": None
        if covered is None
        else {**asdict(covered), "holds_nominal": covered.low <= NOMINAL <= covered.high},
        "fleet_series": 0 if fleet is None else len(fleet.cuts),
        "fit_seconds": float(found.fit_seconds),
        "fit_cpu_seconds": fit_cpu_seconds,
    }


def to_hours(values: Array, first_origin: int, count: int, width: int) -> Hours:
    """Hourly means aligned to the origins, up to a day past the last one; an hour with a missing bin is missing.

    Args:
        values: Bins, shape (n,).
        first_origin: Index of the first bin that is forecast.
        count: Origins, an hour apart.
        width: Bins in an hour.
    """
    before = first_origin // width
    begin = first_origin - before * width
    length = (before + count + 24) * width
    padded = np.full(length, np.nan)
    piece = values[begin : begin + length]
    padded[: len(piece)] = piece
    return Hours(padded.reshape(-1, width).mean(axis=1), before)
