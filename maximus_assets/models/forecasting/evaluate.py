"""What the product would have said of a series: its own path, replayed over the last part of a history.

Nothing is chosen, estimated or calibrated on what is judged before it happened. This is what a comparison with other
forecasters asks; `learn` judges its own choice by the same path.
"""

from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from maximus_assets.models.forecasting.backtest import History, backtest, best, calibration_mase
from maximus_assets.models.forecasting.base import Array
from maximus_assets.models.forecasting.methods import BASELINE, METHODS


@dataclass(frozen=True)
class Evaluation:
    """Forecasts from every hour of the judged part, bin by bin.

    Attributes:
        origins: First bin forecast, shape (k,), ascending, an hour apart (a bin where bins are longer).
        forecasts: Of bins origin, origin + 1, ..., in the series' unit, shape (k, h).
        lower: Lower bounds of the intervals, same shape.
        upper: Upper bounds, same shape.
        actuals: What came, NaN where missing or not yet, same shape.
        methods: What was chosen.
        fit_seconds: How long learning and forecasting took.
    """

    origins: NDArray[np.int64]
    forecasts: Array
    lower: Array
    upper: Array
    actuals: Array
    methods: tuple[str, ...]
    fit_seconds: float


def evaluate(history: History, *, judged_ratio: float = 0.4, horizon_steps: int | None = None) -> Evaluation:
    """Learn from what precedes the judged part, then forecast it, refitted daily.

    Args:
        history: The series.
        judged_ratio: Share of the history that is judged, its last part, in (0, 1).
        horizon_steps: How many bins ahead; None for a day.

    Raises:
        ShortHistoryError: The history is too short, or has too many holes.
    """
    began = perf_counter()
    results = {m.name: backtest(m, history, judged_ratio=judged_ratio) for m in METHODS}
    baseline = results[BASELINE.name]
    errors = [(name, calibration_mase(one, baseline, history.step_seconds)) for name, one in results.items()]
    chosen = best(errors, BASELINE.name, 0.02)
    result = results[chosen]
    h = slice(None, horizon_steps)
    return Evaluation(
        result.judging.origins,
        result.judging.forecasts[:, h],
        result.lower[:, h],
        result.upper[:, h],
        result.judging.actuals[:, h],
        (chosen,),
        perf_counter() - began,
    )
