"""The combination: a weighted mean of every method's forecast, its weights learnt from their out-of-sample errors.

Combining beats choosing, and a choice among a few is what a short history is worst at (Bates and Granger, Operational
Research Quarterly 20, 1969; Makridakis et al., International Journal of Forecasting 36, 2020). Weights are learnt anew
each day, for a few stretches of steps ahead, from errors known by then: old ones and outlying ones count less, and without
evidence there are usual weights. The mean is then corrected where it has just missed by far more than usual (`intercept`).
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from maximus_assets.models.forecasting.backtest import Backtest, History, Plan, Replay, judge
from maximus_assets.models.forecasting.base import Array, day_steps
from maximus_assets.models.forecasting.intercept import correct
from maximus_assets.models.forecasting.level_naive import LevelNaive
from maximus_assets.models.forecasting.mixing import shares, stretches
from maximus_assets.models.forecasting.rolling import HOUR_SECONDS, Rolled
from maximus_assets.models.forecasting.seasonal_naive import SeasonalNaive

NAME: Final = "combination"

HALF_LIFE_DAYS: Final = 10.0
"""Age at which an error weighs half."""

USUAL: Final = {"direct": 3.0}
"""How much a method weighs without evidence, relative to 1 for any other: the direct regression is a mean itself."""

PRIOR: Final = 10.0
"""Independent errors that the usual weights are worth."""

LEFT_OUT: Final = frozenset({SeasonalNaive.name, LevelNaive.name})
"""Not combined: the direct regression holds the seasonal-naive already, as one of its simple forecasts; the rescaled season
is so much worse a day ahead than what it would be mixed with that its errors teach that too late."""

OUTLIER_RATIO: Final = 6.0
"""An origin's error this many times the median one weighs half (a Cauchy weight)."""

LEAST_SHARE: Final = 0.02
"""A method with a smaller share everywhere is left out of the state."""


def combine(
    replays: Mapping[str, Replay],
    history: History,
    plan: Plan,
    *,
    usual_weights: Mapping[str, float] = USUAL,
    left_out: frozenset[str] = LEFT_OUT,
) -> Backtest:
    """Combine methods that were replayed over the same history.

    Args:
        replays: By method.
        history: That history.
        plan: How it was split.
        usual_weights: How much a method weighs without evidence, 1 where it is not named.
        left_out: Methods that are not combined.
    """
    methods = [name for name in replays if name not in left_out]
    every = [replays[name].rolled for name in methods]
    forecasts = np.stack([each.forecasts for each in every])
    edges = stretches(plan.horizon_steps, history.step_seconds)
    usual = np.array([usual_weights.get(name, 1.0) for name in methods])
    weights = _weights(
        forecasts,
        every[0],
        plan.starts,
        edges=edges,
        step_seconds=history.step_seconds,
        usual_shares=usual / usual.sum(),
    )
    block = np.searchsorted(plan.starts, every[0].origins, "right") - 1
    mixed = np.zeros_like(every[0].forecasts)
    for index, (first, last) in enumerate(edges):
        mixed[:, first:last] = np.einsum("mkh,km->kh", forecasts[:, :, first:last], weights[block, index])
    final = np.repeat(weights[-1].T, [last - first for first, last in edges], axis=1)
    final[final < LEAST_SHARE] = 0.0
    final /= final.sum(axis=0)
    kept = [place for place in range(len(methods)) if final[place].any()]
    components = tuple(replays[methods[place]].component for place in kept)
    rolled = Rolled(every[0].origins, np.maximum(mixed, history.floor), every[0].actuals)
    corrected = correct(rolled, plan.starts, history.step_seconds)
    return judge(NAME, components, final[kept], corrected=corrected, history=history, plan=plan)


def _weights(
    forecasts: Array,
    rolled: Rolled,
    starts: Sequence[int],
    *,
    edges: Sequence[tuple[int, int]],
    step_seconds: int,
    usual_shares: Array,
) -> Array:
    """Weights at each start and after the last outcome, shape (starts + 1, stretches, methods)."""
    count, day = len(forecasts), day_steps(step_seconds)
    errors = rolled.actuals - forecasts
    target = rolled.origins[:, None] + np.arange(rolled.actuals.shape[1])
    begins = [*starts, int(target.max()) + 1]
    segment = np.searchsorted(begins, target, "right")
    found = np.empty((len(begins), len(edges), count))
    for index, (first, last) in enumerate(edges):
        part, known = errors[:, :, first:last], np.isfinite(rolled.actuals[:, first:last])
        size = np.abs(part).mean(axis=0)
        lead = last * step_seconds / HOUR_SECONDS
        products, evidence, usual = np.zeros((count, count)), 0.0, 0.0
        for at in range(len(begins)):
            new = known & (segment[:, first:last] == at)
            if at and new.any():
                fade = 0.5 ** ((begins[at] - begins[at - 1]) / (HALF_LIFE_DAYS * day))
                trust = np.ones(int(new.sum()))
                if usual > 0.0:
                    trust = 1.0 / (1.0 + (size[new] / (OUTLIER_RATIO * usual)) ** 2)
                rows = part[:, new]
                products = fade * products + (rows * trust) @ rows.T
                evidence = fade * evidence + float(trust.sum()) / (last - first) / (1.0 + lead)
                median = float(np.median(size[new]))
                usual = median if usual == 0.0 else fade * usual + (1.0 - fade) * median
            found[at, index] = shares(products, evidence, usual_shares, PRIOR)
    return found
