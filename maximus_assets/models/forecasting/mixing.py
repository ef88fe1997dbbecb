"""Weights of a mean of forecasts: not negative, one in all, and no further from usual than the evidence reaches.

Weights by least squared error of the mean take the errors' correlations into account (Bates and Granger, Operational
Research Quarterly 20, 1969). Unrestrained they chase noise and lose to the plain mean (Claeskens et al., International
Journal of Forecasting 32, 2016); so they are shares, and stated usual ones weigh as much as a stated number of
independent errors.
"""

from itertools import pairwise
from typing import Final

import numpy as np
from scipy.optimize import nnls

from maximus_assets.models.forecasting.base import Array

STRETCH_SECONDS: Final = (900, 3600, 21_600, 86_400)
"""Ends of the stretches that share weights: the scaler's lead, an hour, six hours, a day."""

_SUM_WEIGHT: Final = 1e3
"""How much the sum of the weights counts against their squared error, which is scaled to about one."""


def stretches(horizon_steps: int, step_seconds: int) -> list[tuple[int, int]]:
    """First step and one past the last of every stretch that shares weights, from 0 to the horizon.

    Args:
        horizon_steps: How many steps ahead.
        step_seconds: Width of a step.
    """
    ends = {0, horizon_steps, *(end // step_seconds for end in STRETCH_SECONDS if end >= step_seconds)}
    return list(pairwise(sorted(end for end in ends if end <= horizon_steps)))


def shares(products: Array, evidence: float, usual: Array, prior: float) -> Array:
    """The shares with the least squared error of the mean, drawn towards the usual ones.

    Args:
        products: Sums of products of the errors of each two forecasts, shape (m, m), finite.
        evidence: How many independent errors they are worth, >= 0.
        usual: Shares that are taken without evidence, shape (m,), >= 0, 1 in all.
        prior: How many independent errors these are worth, > 0.

    Returns:
        Shape (m,), each within [0, 1], 1 in all. The usual ones where there is no evidence or no error.
    """
    count = len(products)
    squares = np.diag(products)
    scale = max(float(squares.min()), 1e-9 * float(squares.max()))
    if evidence <= 0.0 or scale <= 0.0:
        return usual
    # Rounding may leave products short of semidefinite.
    values, vectors = np.linalg.eigh(products / scale)
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    pull = np.sqrt(max(prior / evidence, 1e-6))
    system = np.concatenate([root, pull * np.eye(count), np.full((1, count), _SUM_WEIGHT)])
    found, _ = nnls(
        system, np.concatenate([np.zeros(count), pull * usual, [_SUM_WEIGHT]]), maxiter=50 * count
    )
    total = float(found.sum())
    return np.asarray(found / total) if total > 0.0 else usual
