"""Weights of a mean of forecasts: not negative, one in all, and no further from equal than the evidence reaches.

Weights by least squared error of the mean take the errors' correlations into account (Bates and Granger, Operational
Research Quarterly 20, 1969). Unrestrained they chase noise and lose to the plain mean (Claeskens et al., International
Journal of Forecasting 32, 2016); so they are shares, and a prior for equal ones weighs as much as a stated number of
independent errors.
"""

from typing import Final

import numpy as np
from scipy.optimize import nnls

from maximus_assets.models.forecasting.base import Array

_SUM_WEIGHT: Final = 1e3
"""How much the sum of the weights counts against their squared error, which is scaled to about one."""


def shares(products: Array, evidence: float, prior: float) -> Array:
    """The shares with the least squared error of the mean.

    Args:
        products: Sums of products of the errors of each two forecasts, shape (m, m), finite.
        evidence: How many independent errors they are worth, >= 0.
        prior: How many the prior for equal shares is worth, > 0.

    Returns:
        Shape (m,), each within [0, 1], 1 in all. Equal where there is no evidence or no error.
    """
    count = len(products)
    squares = np.diag(products)
    scale = max(float(squares.min()), 1e-9 * float(squares.max()))
    if evidence <= 0.0 or scale <= 0.0:
        return np.full(count, 1.0 / count)
    # Products may fall short of semidefinite by their rounding, which the prior covers.
    restrained = products / scale + max(prior / evidence, 1e-6) * np.eye(count)
    values, vectors = np.linalg.eigh(restrained)
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    system = np.concatenate([root, np.full((1, count), _SUM_WEIGHT)])
    wanted = np.zeros(count + 1)
    wanted[-1] = _SUM_WEIGHT
    found, _ = nnls(system, wanted, maxiter=50 * count)
    total = float(found.sum())
    return np.asarray(found / total) if total > 0.0 else np.full(count, 1.0 / count)
