"""The figures: errors by horizon, skill, and coverage with its interval. Squares are of the series' own unit."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NOMINAL: Final = 0.9
RESAMPLES: Final = 2_000
BLOCK_ORIGINS: Final = 48
"""Hourly origins in a block of the bootstrap: two days, for errors a day ahead overlap for a day."""


def errors(actual: Array, forecast: Array) -> dict[str, Any]:
    """R², mean absolute and mean squared error where both are known.

    Args:
        actual: Shape (n,), NaN where missing.
        forecast: Same shape.

    Returns:
        `n`, `r2`, `mae`, `mse`; None where nothing, or for R² nothing that varies, can be compared.
    """
    compared = np.isfinite(actual) & np.isfinite(forecast)
    a, f = actual[compared], forecast[compared]
    if not len(a):
        return {"n": 0, "r2": None, "mae": None, "mse": None}
    residual = a - f
    spread = float(np.sum((a - a.mean()) ** 2))
    return {
        "n": len(a),
        "r2": 1.0 - float(residual @ residual) / spread if spread > 0.0 else None,
        "mae": float(np.abs(residual).mean()),
        "mse": float(np.mean(residual**2)),
    }


def pooled_mae(by_horizon: dict[str, dict[str, Any]]) -> float | None:
    """Mean absolute error over all compared hours of all horizons."""
    found = [one for one in by_horizon.values() if one["n"]]
    count = sum(one["n"] for one in found)
    return sum(one["mae"] * one["n"] for one in found) / count if count else None


def ratio(own: float | None, other: float | None) -> float | None:
    """`own / other`; 1 where both are zero, None where it is undefined."""
    if own is None or other is None:
        return None
    if other == 0.0:
        return 1.0 if own == 0.0 else None
    return own / other


@dataclass(frozen=True)
class Coverage:
    """Share of outcomes inside their 90 % intervals.

    Attributes:
        share: That share.
        low: Lower end of its 99 % interval.
        high: Upper end.
        bins: How many outcomes were compared.
        effective: How many independent outcomes would vary as much: share (1 - share) / variance of the bootstrap.
        block_origins: Hourly origins in a block.
    """

    share: float
    low: float
    high: float
    bins: int
    effective: float
    block_origins: int


def coverage(inside: Array, seed: int = 0) -> Coverage | None:
    """Coverage with a 99 % circular-block-bootstrap interval (Politis and Romano, 1992).

    Args:
        inside: 1 where an outcome lay in its interval, 0 where not, NaN where there was none; shape (origins, bins),
            origins in order of time.
        seed: Of the resampling.

    Returns:
        None where there was no outcome.
    """
    known = np.isfinite(inside).sum(axis=1).astype(np.float64)
    covered = np.nansum(inside, axis=1)
    total = float(known.sum())
    if total == 0.0:
        return None
    origins = len(known)
    block = min(BLOCK_ORIGINS, origins)
    blocks = -(-origins // block)
    starts = np.random.default_rng(seed).integers(0, origins, size=(RESAMPLES, blocks))
    lengths = np.full(blocks, block)
    lengths[-1] = origins - block * (blocks - 1)

    def resampled(counts: Array) -> Array:
        running = np.concatenate([[0.0], np.cumsum(np.concatenate([counts, counts]))])
        return np.asarray((running[starts + lengths] - running[starts]).sum(axis=1))

    weights = resampled(known)
    shares = resampled(covered)[weights > 0] / weights[weights > 0]
    share = float(covered.sum()) / total
    variance = float(shares.var())
    low, high = np.quantile(shares, [0.005, 0.995])
    return Coverage(
        share=share,
        low=float(low),
        high=float(high),
        bins=int(total),
        effective=min(total, share * (1.0 - share) / variance) if variance > 0.0 else total / block,
        block_origins=block,
    )
