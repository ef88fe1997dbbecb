"""The plain methods beside ours: seasonal-naive, persistence, and a ridge on lags, on hourly means.

Each is as good as it honestly gets: season, penalty and lags are chosen on the last quarter of what precedes the judged
part, and the ridge is fitted anew every day on all that is known by then. None sees anything from its origin on.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

HORIZONS: Final = (1, 6, 24)
DAY: Final = 24
WEEK: Final = 168

LAG_SETS: Final = (
    tuple(range(1, 25)),
    (*range(1, 25), 48, 72),
    (*range(1, 25), 48, 72, 96, 120, 144, 167, 168),
)
"""Hours before the origin (1 is the last known hour); the ridge also gets the hours one day and week before its target."""

PENALTIES: Final = (0.1, 1.0, 10.0, 100.0, 1_000.0, 10_000.0)
"""Per standardised column; chosen with the lags."""

LEAST_ROWS: Final = 48
"""Fewest rows the ridge is fitted on; with fewer it says what the seasonal-naive says."""


@dataclass(frozen=True)
class Hours:
    """A series as hourly means, aligned to the origins.

    Attributes:
        values: Shape (n,), NaN where a bin of the hour is missing.
        first: Index of the first judged hour: the first origin forecasts it one hour ahead.
    """

    values: Array
    first: int

    @property
    def filled(self) -> Array:
        """What a plain method sees where an hour is missing: a day before, a week before, or the last hour known."""
        filled = self.values.copy()
        for index in np.flatnonzero(np.isnan(filled)):
            earlier = [filled[index - lag] for lag in (DAY, WEEK, 1) if index >= lag]
            filled[index] = next((value for value in earlier if np.isfinite(value)), np.nan)
        known = filled[np.isfinite(filled)]
        return np.where(np.isfinite(filled), filled, known[0] if len(known) else 0.0)


def persistence(hours: Hours, count: int) -> dict[int, Array]:
    """The last known hour, from `count` origins: horizon -> forecasts of shape (count,)."""
    last = hours.filled[hours.first - 1 + np.arange(count)]
    return dict.fromkeys(HORIZONS, last)


def seasonal_naive(hours: Hours, count: int) -> tuple[int, dict[int, Array]]:
    """A day or a week ago, whichever was nearer before the judged part.

    Returns:
        The season in hours, and horizon -> forecasts of shape (count,).
    """
    season = _season(hours.values[: hours.first])
    filled = hours.filled
    origins = hours.first + np.arange(count)
    return season, {horizon: filled[origins + horizon - 1 - season] for horizon in HORIZONS}


def ridge(hours: Hours, count: int) -> dict[int, Array]:
    """Ridge regression on lags, one for each horizon, fitted anew every 24 origins."""
    filled, known = hours.filled, np.isfinite(hours.values)
    season = _season(hours.values[: hours.first])
    found = {}
    for horizon in HORIZONS:
        lags, penalty = _tuned(filled, known, hours.first, horizon)
        forecasts = np.empty(count)
        for begin in range(0, count, DAY):
            origins = hours.first + np.arange(begin, min(begin + DAY, count))
            fitted = _fit(filled, known, origins[0], horizon=horizon, lags=lags, penalty=penalty)
            forecasts[begin : begin + DAY] = (
                filled[origins + horizon - 1 - season]
                if fitted is None
                else _apply(filled, origins, horizon, lags, fitted)
            )
        found[horizon] = forecasts
    return found


def _season(before: Array) -> int:
    """24 or 168 hours, by mean absolute error on the last quarter; a week must have been seen before it."""
    begin = len(before) - len(before) // 4

    def error(season: int) -> float:
        if begin < season:
            return np.inf
        differences = np.abs(before[begin:] - before[begin - season : len(before) - season])
        compared = differences[np.isfinite(differences)]
        return float(compared.mean()) if len(compared) * 2 >= len(differences) else np.inf

    return WEEK if error(WEEK) < error(DAY) else DAY


def _columns(filled: Array, origins: NDArray[np.int64], horizon: int, lags: tuple[int, ...]) -> Array:
    """What is known at each origin, shape (k, columns)."""
    before_target = [DAY - horizon + 1] + ([WEEK - horizon + 1] if max(lags) >= WEEK else [])
    back = sorted({*lags, *before_target})
    columns = filled[origins[:, None] - np.array(back)[None, :]]
    return np.column_stack([columns, columns[:, :DAY].mean(axis=1)])


@dataclass(frozen=True)
class _Fitted:
    middle: Array
    scale: Array
    weights: Array
    constant: float
    low: float
    high: float


def _fit(
    filled: Array,
    known: NDArray[np.bool_],
    end: int,
    *,
    horizon: int,
    lags: tuple[int, ...],
    penalty: float,
) -> _Fitted | None:
    """Fitted on targets before `end`; None where there are too few."""
    origins = np.arange(max(lags), end - horizon + 1)
    origins = origins[known[origins + horizon - 1]] if len(origins) else origins
    if len(origins) < LEAST_ROWS:
        return None
    columns = _columns(filled, origins, horizon, lags)
    targets = filled[origins + horizon - 1]
    middle, scale = columns.mean(axis=0), columns.std(axis=0)
    scale = np.where(scale > 1e-12 * np.maximum(1.0, np.abs(middle)), scale, np.inf)
    standard = (columns - middle) / scale
    gram = standard.T @ standard + penalty * np.eye(standard.shape[1])
    constant = float(targets.mean())
    weights = np.linalg.solve(gram, standard.T @ (targets - constant))
    # Half a range beyond what was seen: a straight line must not run away where a level is new.
    margin = float(np.ptp(targets)) / 2.0
    return _Fitted(
        middle, scale, weights, constant, float(targets.min()) - margin, float(targets.max()) + margin
    )


def _apply(
    filled: Array, origins: NDArray[np.int64], horizon: int, lags: tuple[int, ...], fitted: _Fitted
) -> Array:
    standard = (_columns(filled, origins, horizon, lags) - fitted.middle) / fitted.scale
    return np.clip(standard @ fitted.weights + fitted.constant, fitted.low, fitted.high)


def _tuned(
    filled: Array, known: NDArray[np.bool_], first: int, horizon: int
) -> tuple[tuple[int, ...], float]:
    """Lags and penalty with the least squared error on the last quarter before `first`; ties keep the plainer."""
    begin = first - first // 4
    targets = np.arange(begin, first)
    targets = targets[known[begin:first]]
    best, least = (LAG_SETS[0], PENALTIES[3]), np.inf
    for lags in LAG_SETS:
        origins = targets - horizon + 1
        if not len(origins) or origins[0] < max(lags):
            continue
        for penalty in PENALTIES:
            fitted = _fit(filled, known, begin, horizon=horizon, lags=lags, penalty=penalty)
            if fitted is None:
                continue
            error = float(np.mean((_apply(filled, origins, horizon, lags, fitted) - filled[targets]) ** 2))
            if error < least:
                best, least = (lags, penalty), error
    return best
