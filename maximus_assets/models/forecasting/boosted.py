"""Learning one gradient-boosted model over all series of a fleet.

A row is a series, an origin and a step ahead; what is learnt is how far the outcome lies from the nearest known day,
brought towards the present level. Many series teach what one is too short for: how weekends, level shifts and noise carry
over. The number of trees is chosen on a later slice of time than the trees are grown on, then the model is grown anew on
all of it. Features are
`pyfuncs.boosted_features`', prediction is `pyfuncs.boosted`'s.

Chen and Guestrin, XGBoost: A Scalable Tree Boosting System (KDD 2016).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import xgboost
from numpy.typing import NDArray

from maximus_assets.models.forecasting.backtest import History
from maximus_assets.models.forecasting.base import ShortHistoryError
from maximus_assets.pyfuncs.boosted import BoostedFleet
from maximus_assets.pyfuncs.boosted_features import Array, Recipe, features, is_warm, stack

LATER_RATIO: Final = 0.15
"""Share of each history, its last part, on which the number of trees is chosen; more where it could not hold a forecast."""

BATCH_WINDOWS: Final = 512
"""Windows whose features are made at once, which bounds memory."""

LARGEST: Final = 20.0
"""Differences are learnt from up to so many scales: an incident must not outweigh a fleet."""


@dataclass(frozen=True)
class Growth:
    """How trees are grown.

    Attributes:
        max_rows: Most rows grown on; origins are spaced so that they fit.
        series_rows: Most rows grown on for each series there is: neighbouring origins tell much the same, so that few
            series cost less.
        knots_per_window: Steps ahead taken from one origin, drawn at random: more origins tell more than more steps.
        rounds: Most trees.
        patience: Trees without improvement on the later slice after which none is added.
        learning_rate: Of each tree.
        depth: Of each tree.
        least_rows: In a leaf.
        subsample: Share of rows each tree sees.
        columns: Share of features each tree sees.
        seed: Of every draw: the same histories and seed give the same model on the same number of threads.
        threads: Processor cores.
    """

    max_rows: int = 100_000
    series_rows: int = 2_000
    knots_per_window: int = 12
    rounds: int = 300
    patience: int = 40
    learning_rate: float = 0.08
    depth: int = 7
    least_rows: int = 30
    subsample: float = 0.6
    columns: float = 0.6
    seed: int = 0
    threads: int = 1


DEFAULT: Final = Growth()


@dataclass(frozen=True, eq=False)
class _Rows:
    columns: NDArray[np.float32]
    outcomes: Array


def fit(
    histories: Sequence[History], recipe: Recipe, growth: Growth = DEFAULT, *, rounds: int | None = None
) -> BoostedFleet:
    """Learn one model from every history.

    Args:
        histories: Of one step; those too short for a window and a horizon teach nothing. Taken one at a time, and more
            than once, so that they need not be in memory together.
        recipe: What to learn for.
        growth: How.
        rounds: How many trees, where that was chosen before; None to choose it.

    Raises:
        ShortHistoryError: No history, or only ones too short to grow on and to choose the number of trees on.
    """
    rng = np.random.default_rng(growth.seed)
    splits = [len(one.values) - _later_bins(len(one.values), recipe.horizon_steps) for one in histories]
    least = recipe.minimum_bins
    early = _rows(histories, [(least, split) for split in splits], recipe, growth, rng)
    later = _rows(
        histories,
        [(max(split, least), len(one.values)) for one, split in zip(histories, splits, strict=True)],
        recipe,
        growth,
        rng,
    )
    if early is None or later is None:
        raise ShortHistoryError(
            f"none of {len(histories)} histories spans a window of {least} bins and {recipe.horizon_steps} steps ahead, "
            "twice"
        )
    parameters = {
        "objective": "reg:absoluteerror",
        "eta": growth.learning_rate,
        "max_depth": growth.depth,
        "min_child_weight": growth.least_rows,
        "subsample": growth.subsample,
        "colsample_bytree": growth.columns,
        "seed": growth.seed,
        "nthread": growth.threads,
    }
    if rounds is None:
        grown_on = xgboost.QuantileDMatrix(early.columns, early.outcomes, nthread=growth.threads)
        chosen_on = xgboost.QuantileDMatrix(
            later.columns, later.outcomes, ref=grown_on, nthread=growth.threads
        )
        trial = xgboost.train(
            parameters,
            grown_on,
            growth.rounds,
            evals=[(chosen_on, "later")],
            early_stopping_rounds=growth.patience,
            verbose_eval=False,
        )
        rounds = trial.best_iteration + 1
    everything = xgboost.QuantileDMatrix(
        np.concatenate([early.columns, later.columns]),
        np.concatenate([early.outcomes, later.outcomes]),
        nthread=growth.threads,
    )
    return BoostedFleet(xgboost.train(parameters, everything, rounds), recipe)


def _later_bins(length: int, horizon_steps: int) -> int:
    """Bins of the later slice: room for some origins with all that follows them, never more than half a history."""
    return min(max(round(LATER_RATIO * length), horizon_steps + horizon_steps // 4), length // 2)


def replay(fleet: BoostedFleet, history: History, origins: NDArray[np.int64]) -> Array:
    """What the model forecasts at each origin of a history, from what precedes it.

    Args:
        fleet: The model; learnt from bins before the first origin, if the comparison is to be fair.
        history: The series, on the model's step.
        origins: First bin forecast, shape (k,).

    Returns:
        Shape (k, horizon), brought up to the history's floor; NaN where a window was too short or hollow.
    """
    memory, found = fleet.recipe.memory_bins, []
    for start in range(0, len(origins), BATCH_WINDOWS):
        some = origins[start : start + BATCH_WINDOWS]
        windows = [history.values[max(0, origin - memory) : origin] for origin in some]
        ends = history.start_epoch_seconds + history.step_seconds * (some - 1)
        found.append(np.maximum(fleet.predict(windows, ends.tolist()), history.floor))
    return np.concatenate(found) if found else np.empty((0, fleet.recipe.horizon_steps))


def _rows(
    histories: Sequence[History],
    parts: Sequence[tuple[int, int]],
    recipe: Recipe,
    growth: Growth,
    rng: np.random.Generator,
) -> _Rows | None:
    """Rows whose origins and outcomes lie in each history's part; None where there is none."""
    per_window = min(growth.knots_per_window, len(recipe.knots))
    spans = [max(0, end - recipe.horizon_steps - begin + 1) for begin, end in parts]
    most = min(growth.max_rows, growth.series_rows * max(1, len(parts)))
    every = max(1, -(-sum(spans) * per_window // most))
    columns: list[NDArray[np.float32]] = []
    outcomes: list[Array] = []
    for history, (begin, _), span in zip(histories, parts, spans, strict=True):
        # Drawn for every history, so that a fleet's other members do not hang on one that is too short.
        offset = int(rng.integers(every))
        origins = begin + np.arange(offset, span, every)
        for start in range(0, len(origins), BATCH_WINDOWS):
            found = _of_origins(history, origins[start : start + BATCH_WINDOWS], recipe, per_window, rng)
            if found is not None:
                columns.append(found.columns)
                outcomes.append(found.outcomes)
    return _Rows(np.concatenate(columns), np.concatenate(outcomes)) if columns else None


def _of_origins(
    history: History,
    origins: NDArray[np.int64],
    recipe: Recipe,
    per_window: int,
    rng: np.random.Generator,
) -> _Rows | None:
    """Rows of one history: what was known at each origin, and what came at some of the knots."""
    values = history.values
    pieces = [values[max(0, origin - recipe.memory_bins) : origin] for origin in origins]
    warm = np.array([is_warm(piece, recipe) for piece in pieces], dtype=np.bool_)
    origins, pieces = origins[warm], [piece for piece, use in zip(pieces, warm, strict=True) if use]
    if not pieces:
        return None
    ends = history.start_epoch_seconds + history.step_seconds * (origins - 1)
    found = features(stack(pieces, recipe.memory_bins), ends, recipe)
    chosen = np.argsort(rng.random((len(origins), len(recipe.knots))), axis=1)[:, :per_window]
    row = np.arange(len(origins))[:, None]
    came = values[origins[:, None] + recipe.knots[chosen]]
    outcome = (came - found.base[row, recipe.knots[chosen]]) / found.scale[:, None]
    seen = np.isfinite(outcome)
    return _Rows(found.columns[row, chosen][seen], np.clip(outcome[seen], -LARGEST, LARGEST))
