"""What the product would have said of a series: its own path, replayed over the last part of a history.

Nothing is chosen, estimated or calibrated on what is judged before it happened. This is what a comparison with other
forecasters asks; `learn` judges its own choice by the same path. Series that are a fleet are taught together first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from maximus_assets.models.forecasting.backtest import History, plan
from maximus_assets.models.forecasting.base import Array, ShortHistoryError
from maximus_assets.models.forecasting.boosted import DEFAULT, Growth
from maximus_assets.models.forecasting.fleetwide import Cuts, Fleetwide, own_cuts, teach
from maximus_assets.models.forecasting.learn import try_all
from maximus_assets.pyfuncs.boosted_features import Recipe


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
        fit_seconds: How long learning and forecasting took, with this series' part of what teaching its fleet took.
    """

    origins: NDArray[np.int64]
    forecasts: Array
    lower: Array
    upper: Array
    actuals: Array
    methods: tuple[str, ...]
    fit_seconds: float


def evaluate(
    history: History,
    fleet: Fleetwide | None = None,
    *,
    judged_ratio: float = 0.4,
    horizon_steps: int | None = None,
) -> Evaluation:
    """Learn from what precedes the judged part, then forecast it, refitted daily.

    Args:
        history: The series.
        fleet: What `teach_apart` made of the series it is one of; None for a series by itself.
        judged_ratio: Share of the history that is judged, its last part, in (0, 1).
        horizon_steps: How many bins ahead; None for a day.

    Raises:
        ShortHistoryError: The history is too short, or has too many holes.
    """
    began = perf_counter()
    with threadpool_limits(limits=1):
        lesson = None if fleet is None else fleet.lesson
        tried = try_all(history, lesson, judged_ratio=judged_ratio, horizon=horizon_steps)
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
        fit_seconds=perf_counter() - began + (0.0 if fleet is None else fleet.seconds / len(fleet.cuts)),
    )


def teach_apart(
    histories: Sequence[History],
    judged_ratios: Sequence[float],
    recipe: Recipe,
    *,
    others: Sequence[History] = (),
    growth: Growth = DEFAULT,
) -> Fleetwide:
    """Teach series together whose clocks have nothing to do with one another: from what precedes each one's own parts.

    Args:
        histories: The series that will be judged; one that is too short to be split teaches nothing.
        judged_ratios: Share of each that is judged, its last part.
        recipe: What for.
        others: Series of which nothing is judged: these are learnt from whole.
        growth: How trees are grown.

    Raises:
        NoFleetError: There are too few series with enough history.
    """
    cuts: list[Cuts] = []
    for history, ratio in zip(histories, judged_ratios, strict=True):
        try:
            cuts += own_cuts([plan(history, judged_ratio=ratio, horizon=recipe.horizon_steps)])
        except ShortHistoryError:
            cuts.append(Cuts(0, 0, is_member=False))
    # What is shipped is learnt from everything, also from what is judged here; no replay looks at it.
    whole = [Cuts(len(each.values), len(each.values), is_member=False) for each in others]
    with threadpool_limits(limits=1):
        return teach([*histories, *others], [*cuts, *whole], recipe, growth=growth)
