"""Tests that may be looked at as often as one likes: bets against a hypothesis, hour after hour.

Belongs here: what a run of hourly differences is worth as evidence. Does not: what is compared, and what follows (`live`).

A p-value that is looked at every hour until it is small enough becomes so by chance alone, sooner or later. The wealth of
somebody who bets against the hypothesis at odds that are fair under it does not: it exceeds 1 / level at any time with a
probability of at most `level` (Ville 1939). So live evidence is such a wealth: for two forecasters Henzi and Ziegel
(Biometrika 2022) and Choe and Ramdas (Operations Research 2023); for bounded means, with a mixture of fixed bets as here,
Waudby-Smith and Ramdas (JRSS B 2024, section 4). One start that is known gives an e-process (`evidence`). Where the change may
begin at any hour, the wealths of all starts are added up (`change_evidence`): an e-detector of Shiryaev-Roberts type (Shin,
Ramdas and Rinaldo, NEJSDS 2024), which exceeds A within T hours with a probability of at most T / A.

What is hard is that hours of a forecast error depend on one another, while the guarantee asks that nothing of the past
foretells the sign of the next difference. So the logarithm of the wealth is divided by how many hours one independent hour is
worth, estimated from the differences themselves (integrated autocorrelation with Bartlett's weights; Newey and West 1987).
With that the guarantee is no theorem any more: `tests/laws/test_sequential_laws.py` measures it.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BOUND: Final = 0.25
"""What one hour counts for at most: a figure that is 5/3 of the other's. Bets can be as bold as the bound is narrow, and one
hour of an incident must not decide."""

BETS: Final = np.array([0.25, 0.5, 0.75, 0.95])
"""Shares of the wealth that an hour at the bound would cost; no single one is right for every difference."""

_LAGS: Final = 4
_ENOUGH_HOURS: Final = 24
_TINY: Final = 1e-9


def differences(ours: Array, theirs: Array, margin: float = 1.0) -> Array:
    """How much smaller one figure is than another, hour by hour, without unit.

    Args:
        ours: Shape (hours, series), >= 0; NaN where there is no outcome.
        theirs: The other's figures, likewise.
        margin: What the other's is multiplied by first: a difference then tells that ours is less than so many times it.

    Returns:
        Shape (hours,): the mean over series of (ours - theirs) / (ours + theirs), -1 to 1; negative where ours is smaller. Each
        hour's rests on that hour alone, so that none of it is known beforehand. An hour without any outcome is left out.
    """
    other = margin * theirs
    total = ours + other
    each = np.divide(ours - other, total, out=np.where(np.isnan(total), np.nan, 0.0), where=total > _TINY)
    seen = np.isfinite(each)
    counts = seen.sum(axis=1)
    sums = np.where(seen, each, 0.0).sum(axis=1)
    found: Array = sums[counts > 0] / counts[counts > 0]
    return found


def evidence(found: Array) -> float:
    """Evidence that differences are negative, of all hours together; a wealth of 1 says nothing.

    Args:
        found: Shape (hours,), of `differences`, in order.

    Returns:
        Natural logarithm of the wealth.
    """
    if not len(found):
        return 0.0
    bets = _log_wealth(found).sum(axis=1)
    return float(_log_mean(bets)) / dependence(found)


def change_evidence(found: Array) -> float:
    """Evidence that differences are negative since some hour, whichever; arguments as `evidence`."""
    if not len(found):
        return 0.0
    # From each hour to the end; how much hours depend on one another is asked of those hours alone, for a change of level would
    # pass for dependence.
    since = np.cumsum(_log_wealth(found)[:, ::-1], axis=1)[:, ::-1]
    each = [_log_mean(since[:, hour]) for hour in range(len(found))]
    stretched = [log / dependence(found[hour:]) if log > 0 else log for hour, log in enumerate(each)]
    return float(np.logaddexp.reduce(stretched))


def dependence(found: Array) -> float:
    """How many hours are worth one independent hour, >= 1.

    Args:
        found: Shape (hours,).
    """
    clipped = np.clip(found, -BOUND, BOUND)
    centred = clipped - clipped.mean()
    variance = float((centred**2).mean())
    if variance < _TINY:
        return 1.0  # at the bound throughout: nothing varies
    hours = len(found)
    # The estimate is too small by about 1 / hours, for the mean is estimated too.
    bias = 1.0 / hours if hours >= _ENOUGH_HOURS else 0.0
    total = 1.0
    for lag in range(1, min(_LAGS, hours - 1) + 1):
        correlation = float((centred[lag:] * centred[:-lag]).sum()) / hours / variance + bias
        total += 2.0 * (1.0 - lag / (_LAGS + 1)) * correlation
    return max(1.0, total)


def _log_wealth(found: Array) -> Array:
    """What each bet makes of each hour, as logarithms, shape (bets, hours)."""
    gains: Array = np.log1p(-np.outer(BETS / BOUND, np.clip(found, -BOUND, BOUND)))
    return gains


def _log_mean(logs: Array) -> float:
    """Logarithm of the mean of what `logs` are the logarithms of."""
    return float(np.logaddexp.reduce(logs) - np.log(len(logs)))
