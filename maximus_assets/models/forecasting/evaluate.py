"""What the product would have said of a series: its own path, replayed over the last part of a history.

Nothing is chosen, estimated or calibrated on what is judged before it happened. This is what a comparison with other
forecasters asks; `learn` judges its own choice by the same path.
"""

from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from maximus_assets.models.forecasting.backtest import History
from maximus_assets.models.forecasting.base import Array
from maximus_assets.models.forecasting.learn import try_all


@dataclass(frozen=True)
class Evaluation:
    """Forecasts from every hour of the judged part, bin by bin.

    Attributes:
        origins: First bin forecast, shape (k,), ascending, an hour apart (a bin where bins are longer).
        forecasts: Of bins origin, origin + 1, ..., in the series' unit, shape (k, h).
        lower: Lower bounds of the intervals, same shape.
        upper: Upper bounds, same shape.
        actuals: What came, NaN where missing or not yet, same shape.
        methods: What was chosen: each component with its mean share, as it came out in the end.
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
    with threadpool_limits(limits=1):
        tried = try_all(history, judged_ratio=judged_ratio, horizon=horizon_steps)
    result = tried.preferred
    weights = result.state.by_component
    return Evaluation(
        origins=result.judging.origins,
        forecasts=result.judging.forecasts,
        lower=result.lower,
        upper=result.upper,
        actuals=result.judging.actuals,
        methods=tuple(
            f"{each.method} {share:.2f}"
            for each, share in zip(result.state.components, weights.mean(axis=1), strict=True)
        ),
        fit_seconds=perf_counter() - began,
    )
