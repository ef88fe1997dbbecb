"""What the series of a fleet teach one another: when one boosted model is learnt over them, from which bins, and its replay.

The model is learnt three times: from what precedes the calibration parts, from what precedes the judging parts, and from
everything. The first two say what it would have forecast in those parts, the third is shipped. It is hard because many
series must not tell of one another's future: of series that share a clock, no bin is learnt from that came after the
first of those parts began anywhere.

Growing the trees is `boosted`'s, what is made of a forecast `combination`'s.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from time import perf_counter
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from maximus_assets.features.calendar import DAY_SECONDS
from maximus_assets.models.forecasting.backtest import History, Plan, Replay, plan
from maximus_assets.models.forecasting.base import (
    MINIMUM_BINS,
    Array,
    ShortHistoryError,
    day_steps,
    horizon_steps,
)
from maximus_assets.models.forecasting.boosted import BATCH_WINDOWS, DEFAULT, Growth, fit
from maximus_assets.models.forecasting.rolling import WINDOW_DAYS, Rolled
from maximus_assets.pyfuncs.boosted import BoostedFleet, load
from maximus_assets.pyfuncs.boosted_features import Recipe
from maximus_assets.pyfuncs.components import Boosted

NAME: Final = "boosted"

LEAST_SERIES: Final = 8
"""Fewest series that are a fleet: below, one model over all of them knows little that each does not, and costs more."""

LEAST_DAYS: Final = 5.0
"""A series is worth learning from where so many days precede the calibration parts: some thirteen days of history."""

SERIES_A_METHOD: Final = 64
"""Without evidence the model weighs as much as one method of a series for each so many series it was taught by."""

LARGEST_USUAL: Final = 6.0
"""But never more than so many."""

LEEWAY_DAYS: Final = 3.0
"""How much earlier than usual a calibration part may begin; one that begins earlier still does without the model, for all
would have to be learnt from as little as precedes it."""


@dataclass(frozen=True)
class Cuts:
    """Up to where one series may be learnt from, in bins.

    Attributes:
        calibration: Bins that precede the calibration parts.
        judging: Bins that precede the judging parts.
        is_member: Whether the models may forecast this series' own parts.
    """

    calibration: int
    judging: int
    is_member: bool = True


@dataclass(frozen=True)
class Lesson:
    """What a worker is told, for the replay of one series; some MB at most.

    Attributes:
        calibration: The model that forecasts calibration parts, as `BoostedFleet.dump` wrote it.
        judging: The one that forecasts judging parts.
        shipped: The one that is shipped.
        component: A state's share of the model that is shipped.
        usual: How much the model weighs without evidence, relative to 1 for a method of one series.
    """

    calibration: bytes
    judging: bytes
    shipped: bytes
    component: Boosted
    usual: float = 1.0


@dataclass(frozen=True, eq=False)
class Fleetwide:
    """A fleet's model.

    Attributes:
        shipped: Learnt from everything.
        lesson: For the replays.
        cuts: Of each history, in the order they were given.
        teachers: How many histories had enough before the calibration parts.
        seconds: How long learning took.
    """

    shipped: BoostedFleet
    lesson: Lesson
    cuts: tuple[Cuts, ...]
    teachers: int
    seconds: float

    def members(self, names: Sequence[str]) -> set[str]:
        """Names, given in the order of the histories, of those whose parts the models may forecast."""
        return {name for name, cut in zip(names, self.cuts, strict=True) if cut.is_member}


class NoFleetError(ShortHistoryError):
    """There are too few series, or too little history, for a model of all; says what is needed."""


def recipe_for(
    step_seconds: int,
    horizon: int | None = None,
    *,
    memory_days: int = WINDOW_DAYS,
    has_clock: bool = True,
) -> Recipe:
    """What the product's model is learnt for.

    Args:
        step_seconds: Width of a bin, a divisor of a day.
        horizon: Steps ahead; None for a day.
        memory_days: Days that a forecast sees.
        has_clock: Whether instants mean anything.
    """
    day = day_steps(step_seconds)
    memory = max(memory_days * day, day + max(1, 3600 // step_seconds))
    return Recipe(step_seconds, horizon or horizon_steps(step_seconds), memory, has_clock)


def common_cuts(histories: Sequence[History]) -> tuple[Cuts, ...]:
    """Cuts at one instant for all: of series that share a clock.

    The parts for calibration and for judging begin where each history's length puts them; learning ends where the first
    of them begins. A history that is too short to be split is no member and may be learnt from all the same.

    Args:
        histories: The series; any may be too short or hollow.
    """
    begins = np.array([_begins(one) for one in histories]).reshape(-1, 2)
    known = np.isfinite(begins[:, 0])
    if not known.any():
        return tuple(Cuts(0, 0, is_member=False) for _ in histories)
    earliest = float(np.median(begins[known, 0])) - LEEWAY_DAYS * DAY_SECONDS
    member = known & (np.nan_to_num(begins[:, 0], nan=-np.inf) >= earliest)
    calibration, judging = begins[member].min(axis=0)
    return tuple(
        Cuts(_bins_before(one, calibration), _bins_before(one, judging), bool(is_member))
        for one, is_member in zip(histories, member, strict=True)
    )


def own_cuts(plans: Sequence[Plan]) -> tuple[Cuts, ...]:
    """Each series' own parts: of series whose clocks have nothing to do with one another.

    Args:
        plans: How each is split.
    """
    return tuple(Cuts(each.parts.calibration_start, each.parts.judging_start) for each in plans)


def teach(
    histories: Sequence[History],
    cuts: Sequence[Cuts],
    recipe: Recipe,
    *,
    growth: Growth = DEFAULT,
    told: Callable[[str], None] = lambda _: None,
) -> Fleetwide:
    """Learn the fleet's model three times.

    What it costs is bounded by `Growth.max_rows` and `Growth.rounds`, however many series there are. The number of trees
    of what is shipped is the one chosen for the judging parts.

    Args:
        histories: Of one step; taken one at a time, and more than once.
        cuts: Up to where each is learnt from.
        recipe: What for.
        growth: How trees are grown.
        told: Hears of each model in words.

    Raises:
        NoFleetError: There are too few series with enough history.
    """
    began = perf_counter()
    least = max(MINIMUM_BINS, LEAST_DAYS * DAY_SECONDS / recipe.step_seconds)
    teachers = sum(each.calibration >= least for each in cuts)
    if teachers < LEAST_SERIES:
        raise NoFleetError(
            f"of {len(cuts)} series {teachers} have {LEAST_DAYS:g} days before the calibration parts; "
            f"a fleet's boosted model needs {LEAST_SERIES}"
        )
    found: list[bytes] = []
    trees = 0
    for name, ends in (
        ("the calibration parts", [each.calibration for each in cuts]),
        ("the judging parts", [each.judging for each in cuts]),
        ("the future", None),
    ):
        before = perf_counter()
        if ends is None:
            model = fit(histories, recipe, growth, rounds=trees)
        else:
            model = fit(_Cut(histories, ends), recipe, growth)
        trees = model.trees
        found.append(model.dump())
        told(
            f"boosted model for {name}: {trees} trees from {len(cuts)} series, {perf_counter() - before:.1f} s"
        )
    # Read back: what is judged is what is shipped, to the last bit.
    shipped = load(found[2])
    component = Boosted(
        method=NAME,
        step_seconds=recipe.step_seconds,
        minimum_bins=recipe.minimum_bins,
        horizon_steps=recipe.horizon_steps,
        fleet=shipped.digest,
    )
    usual = min(teachers / SERIES_A_METHOD, LARGEST_USUAL)
    lesson = Lesson(found[0], found[1], found[2], component, usual)
    return Fleetwide(shipped, lesson, tuple(cuts), teachers, perf_counter() - began)


def replay(lesson: Lesson, history: History, plan: Plan, beside: Rolled) -> Replay:
    """What the fleet's model would have forecast of one series.

    Args:
        lesson: The models.
        history: The series.
        plan: How it is split.
        beside: What another method forecast from the same origins; it stands in where no bin of a window is known.
    """
    is_judged = beside.origins >= plan.parts.judging_start
    found = np.concatenate(
        [
            _ahead(read(content), history, beside.origins[rows])
            for content, rows in ((lesson.calibration, ~is_judged), (lesson.judging, is_judged))
        ]
    )
    return Replay(
        lesson.component, replace(beside, forecasts=np.where(np.isnan(found), beside.forecasts, found))
    )


@lru_cache(maxsize=3)
def read(content: bytes) -> BoostedFleet:
    """A model, read once by each worker and not once for each series."""
    return load(content)


def _ahead(fleet: BoostedFleet, history: History, origins: NDArray[np.int64]) -> Array:
    memory, horizon = fleet.recipe.memory_bins, fleet.recipe.horizon_steps
    found = [np.empty((0, horizon))]
    for start in range(0, len(origins), BATCH_WINDOWS):
        some = origins[start : start + BATCH_WINDOWS]
        windows = [history.values[max(0, origin - memory) : origin] for origin in some]
        ends = history.start_epoch_seconds + history.step_seconds * (some - 1)
        found.append(fleet.ahead(windows, ends, horizon))
    return np.concatenate(found)


def _begins(history: History) -> tuple[float, float]:
    """Instants at which the calibration and the judging part begin, NaN for a history that cannot be split."""
    try:
        parts = plan(history).parts
    except ShortHistoryError:
        return np.nan, np.nan
    start, step = history.start_epoch_seconds, history.step_seconds
    return start + step * parts.calibration_start, start + step * parts.judging_start


def _bins_before(history: History, instant: float) -> int:
    """How many bins had ended."""
    ended = int((instant - history.start_epoch_seconds) // history.step_seconds)
    return min(max(ended, 0), len(history.values))


class _Cut(Sequence[History]):
    """Histories up to a bin of each, cut when they are asked for."""

    def __init__(self, histories: Sequence[History], ends: Sequence[int]) -> None:
        self._histories, self._ends = histories, ends

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> History: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[History]: ...
    def __getitem__(self, index: int | slice) -> History | Sequence[History]:
        if isinstance(index, slice):
            return _Cut(self._histories[index], self._ends[index])
        whole = self._histories[index]
        return replace(whole, values=whole.values[: self._ends[index]])

    def __iter__(self) -> Iterator[History]:
        for whole, end in zip(self._histories, self._ends, strict=True):
            yield replace(whole, values=whole.values[:end])
