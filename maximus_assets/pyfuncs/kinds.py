"""How each kind of component is forecast from many windows at once: one entry for each kind, nothing else.

Components of a kind that agree in what their arithmetic needs to agree in are asked together, so that within such a group
time is the only loop. Each is asked for the bins after its window and, where a surprise may be corrected
(`pyfuncs.intercept`), for the window's last bins and some more as they would have been expected before them; what the two share is
worked out once.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from maximus_assets.features.calendar import DAY_SECONDS, fourier_columns
from maximus_assets.pyfuncs import rescaled, smoothing
from maximus_assets.pyfuncs.boosted import BoostedFleet
from maximus_assets.pyfuncs.components import Boosted, Component, Direct, Recursion, Rescaled, Smoothing
from maximus_assets.pyfuncs.direct import Rows, forecast
from maximus_assets.pyfuncs.past import Array, fill
from maximus_assets.pyfuncs.recursion import extend, trace


@dataclass(frozen=True)
class Question:
    """What components of one kind are asked.

    Attributes:
        windows: One for each component, oldest bin first, NaN where missing; at least `back + 1` bins.
        end: Start of the last bin of every window, in epoch seconds.
        steps: How many bins ahead.
        back: So many bins before the end of the windows, expect as many and as many again; 0 for nothing.
    """

    windows: Sequence[Array]
    end: int
    steps: int
    back: int


@dataclass(frozen=True)
class Answer:
    """What they say.

    Attributes:
        ahead: Of the bins after the windows, shape (series, steps).
        behind: Of the last `back` ones and as many more, as they would have been expected before, shape (series, 2 * back).
    """

    ahead: Array
    behind: Array


@dataclass(frozen=True)
class Kind:
    """One kind of component.

    Attributes:
        alike: Of a component and its window, what must be equal within a group, beside the step and the last bin.
        answer: What a group answers.
    """

    alike: Callable[[Any, Array], Hashable]
    answer: Callable[[Sequence[Any], Question], Answer]


def stack(components: Sequence[Recursion], field: str) -> Array:
    """One of `ar` or `ma` of many recursions, zero beyond each one's order, shape (largest order, series)."""
    vectors: list[Array] = [getattr(each, field) for each in components]
    stacked = np.zeros((max((len(vector) for vector in vectors), default=0), len(vectors)))
    for column, vector in enumerate(vectors):
        stacked[: len(vector), column] = vector
    return stacked


def regress(components: Sequence[Recursion], epoch_seconds: NDArray[np.int64]) -> Array:
    """The regression part of many recursions at the same instants.

    Args:
        components: The recursions.
        epoch_seconds: Instants, shape (time,).

    Returns:
        Shape (time, series); zero for one without regression.
    """
    parts = np.zeros((len(epoch_seconds), len(components)))
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for column, each in enumerate(components):
        if len(each.regression):
            alike[each.day_harmonics, each.week_harmonics].append(column)
    for (day, week), columns in alike.items():
        coefficients = np.stack([components[column].regression for column in columns], axis=1)
        parts[:, columns] = fourier_columns(epoch_seconds, day, week) @ coefficients
    return parts


def _recur(components: Sequence[Recursion], asked: Question) -> Answer:
    step, season = components[0].step_seconds, components[0].season_steps
    values = _right_aligned(asked.windows)
    length, back = len(values), asked.back
    ar, ma = stack(components, "ar"), stack(components, "ma")
    regression = regress(components, asked.end + step * np.arange(1 - length, 1, dtype=np.int64))
    known = trace(values - regression, season, ar, ma, known_steps=length - back)

    def ahead_of(origin: int, steps: int) -> Array:
        return extend(
            known.filled[origin - season : origin],
            known.differenced[origin - len(ar) : origin],
            known.innovations[origin - len(ma) : origin],
            ar=ar,
            ma=ma,
            steps=steps,
        ).T

    future = asked.end + step * np.arange(1, asked.steps + 1, dtype=np.int64)
    ahead = ahead_of(length, asked.steps) + regress(components, future).T
    if not back:
        return Answer(ahead, np.empty((len(components), 0)))
    around = asked.end + step * np.arange(1 - back, 1 + back, dtype=np.int64)
    return Answer(ahead, ahead_of(length - back, 2 * back) + regress(components, around).T)


def _direct(components: Sequence[Direct], asked: Question) -> Answer:
    step, values = components[0].step_seconds, np.stack(asked.windows, axis=1)
    past = fill(values, max(1, DAY_SECONDS // step))
    own = np.arange(len(components), dtype=np.int64)
    coefficients = np.stack([each.by_stretch for each in components])

    def ahead_of(origin: int, steps: int) -> Array:
        rows = Rows(
            origin=np.full(len(components), origin, dtype=np.int64),
            column=own,
            day=np.stack([each.day for each in components]) - past.offset[:, None],
            week=np.stack([each.week for each in components]) - past.offset[:, None],
            low=np.array([each.bounds[0] for each in components]) - past.offset,
            high=np.array([each.bounds[1] for each in components]) - past.offset,
            block=own,
            events=tuple(each.events.reshape(-1, 2) for each in components),
        )
        instant = asked.end + step * (1 + origin - len(values))
        return forecast(
            past,
            rows,
            coefficients,
            horizon_steps=components[0].horizon_steps,
            epoch_seconds=np.full(len(components), instant, dtype=np.int64),
            step_seconds=step,
            steps=steps,
        )

    behind = (
        ahead_of(len(values) - asked.back, 2 * asked.back) if asked.back else np.empty((len(components), 0))
    )
    return Answer(ahead_of(len(values), asked.steps), behind)


def _smooth(components: Sequence[Smoothing], asked: Question) -> Answer:
    step = components[0].step_seconds
    ahead, behind = smoothing.forecast(
        components, _right_aligned(asked.windows), asked.end // step, asked.steps, asked.back
    )
    return Answer(ahead, behind)


def _rescale(components: Sequence[Rescaled], asked: Question) -> Answer:
    values = np.stack(asked.windows, axis=1)
    past = fill(values, max(1, DAY_SECONDS // components[0].step_seconds))
    own = np.arange(len(components), dtype=np.int64)
    how = rescaled.rules(components, own)

    def ahead_of(origin: int, steps: int) -> Array:
        return rescaled.rescale(past, np.full(len(own), origin, dtype=np.int64), own, how, steps)

    behind = ahead_of(len(values) - asked.back, 2 * asked.back) if asked.back else np.empty((len(own), 0))
    return Answer(ahead_of(len(values), asked.steps), behind)


def _right_aligned(windows: Sequence[Array]) -> Array:
    """Windows that end together, NaN before the shorter ones begin, shape (time, series)."""
    length = max(len(window) for window in windows)
    values = np.full((length, len(windows)), np.nan)
    for column, window in enumerate(windows):
        values[length - len(window) :, column] = window
    return values


def of_fleet(fleet: BoostedFleet) -> Kind:
    """How the components of a fleet are forecast from: by its one model.

    Args:
        fleet: The model that they name.
    """

    def answer(components: Sequence[Boosted], asked: Question) -> Answer:
        ends = np.full(len(components), asked.end, dtype=np.int64)
        ahead = fleet.ahead(asked.windows, ends, asked.steps)
        if not asked.back:
            return Answer(ahead, np.empty((len(components), 0)))
        earlier = [window[: -asked.back] for window in asked.windows]
        ends -= components[0].step_seconds * asked.back
        return Answer(ahead, fleet.ahead(earlier, ends, 2 * asked.back))

    return Kind(lambda each, _: each.fleet, answer)


KINDS: Final[Mapping[type[Component], Kind]] = {
    Recursion: Kind(lambda each, _: each.season_steps, _recur),
    Direct: Kind(lambda each, window: (each.horizon_steps, len(window)), _direct),
    Smoothing: Kind(lambda each, _: len(each.season), _smooth),
    Rescaled: Kind(lambda _, window: len(window), _rescale),
}
"""Every kind that needs nothing but its components."""
